//! Random plans over random rows against the model; and the same answer, bit for bit, however
//! rows are cut into pieces and however many threads there are.

use super::model;
use super::rows::{Made, Random, cut, make};
use super::*;

/// A plan that the model knows.
pub fn random_plan(random: &mut Random) -> Plan {
    let functions = [
        Function::Count,
        Function::Sum,
        Function::Mean,
        Function::Min,
        Function::Max,
        Function::First,
        Function::Last,
        Function::Median,
        Function::Percentile(90.0),
        Function::Percentile(1.0),
        Function::Mode,
    ];
    let columns = if random.one_in(4) {
        let mut columns: Vec<Expr> = FIELDS.iter().map(|(name, _)| field(name)).collect();
        (0..random.below(4)).for_each(|_| drop(columns.remove(0)));
        columns.push(Expr::Tag("host".into()));
        columns
    } else {
        let column = |random: &mut Random| {
            let function = random.pick(&functions).clone();
            let (name, field_type) = *random.pick(&FIELDS);
            let fits = crate::exec::aggregate::check_type(&function, field_type).is_ok();
            call(function, if fits { name } else { "f" })
        };
        (0..1 + random.below(3)).map(|_| column(random)).collect()
    };
    let mut plan = plan(columns);
    let is_raw = matches!(plan.columns[0].expr, Expr::Field(_));
    if !is_raw && !random.one_in(3) {
        let every_ns = *random.pick(&[7, 60, 250, 1000]);
        plan.window = Some(Window { every_ns, offset_ns: 0, zone: None });
    }
    plan.fill = random.pick(&[Fill::Null, Fill::None, Fill::Value(Literal::Integer(3))]).clone();
    if random.one_in(2) {
        let start = random.below(1500) as i64 - 400;
        plan.range = TimeRange::new(start, start + random.below(1500) as i64);
    }
    plan.now = 3000;
    if plan.window.is_some() && plan.range == TimeRange::ALL {
        plan.range.end = random.below(3000) as i64;
    }
    if random.one_in(3) {
        let operator = *random.pick(&[Operator::Greater, Operator::LessOrEqual]);
        let limit = Expr::Literal(Literal::Integer(random.below(60) as i64 - 20));
        let name = field(random.pick::<&str>(&["i", "f", "u"]));
        plan.filter = Some(Expr::Binary(operator, Box::new(name), Box::new(limit)));
    }
    let groups: [&[&str]; 4] = [&[], &["host"], &["host", "zone"], &["n"]];
    plan.group = GroupTags::List(random.pick(&groups).iter().map(|k| (*k).to_owned()).collect());
    plan.descending = random.one_in(2);
    plan.limit = random.one_in(2).then(|| 1 + random.below(20));
    plan.offset = if random.one_in(3) { random.below(10) } else { 0 };
    plan
}

/// Fails with the first difference.
pub fn same(got: &Answer, expected: &Answer, name: &str) {
    let heads = |answer: &Answer| -> Vec<(String, usize)> {
        answer.iter().map(|(tags, rows)| (tags.clone(), rows.len())).collect()
    };
    for ((tags, got), (_, expected)) in got.iter().zip(expected) {
        for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
            assert_eq!(got, expected, "row {at} of {tags:?}, {name}");
        }
    }
    assert_eq!(heads(got), heads(expected), "{name}");
}

fn check(seed: u64, made: &[Made], random: &mut Random) {
    let plan = random_plan(random);
    let expected = model::answer(&plan, made);
    let whole = cut(made, random, true);
    let got = answer(&means(0), &plan, &whole).unwrap();
    same(&got, &expected, &format!("seed {seed}, whole rows, {plan:?}"));
    for threads in [0, 2] {
        let pieces = cut(made, random, false);
        let got = answer(&means(threads), &plan, &pieces).unwrap();
        same(&got, &expected, &format!("seed {seed}, cut, {threads} threads, {plan:?}"));
    }
}

#[test]
fn plans_agree_with_the_model() {
    let rounds = std::env::var("FIRN_TEST_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    for seed in 0..rounds {
        let mut random = Random::new(seed);
        let made = make(&mut random);
        for _ in 0..4 {
            check(seed, &made, &mut random);
        }
    }
}

#[test]
fn float_answers_do_not_depend_on_cuts_or_threads() {
    for seed in 0..40 {
        let mut random = Random::new(seed + 10_000);
        let mut made = make(&mut random);
        for row in made.iter_mut().flat_map(|made| &mut made.rows) {
            row.f = row.f.map(|f| f / 3.0);
        }
        let functions = [Function::Sum, Function::Mean, Function::Stddev, Function::Spread];
        let mut plan = plan(functions.map(|function| call(function, "f")).to_vec());
        plan.window = Some(Window { every_ns: 700, offset_ns: 0, zone: None });
        plan.range.end = 3000;
        let expected = answer(&means(0), &plan, &cut(&made, &mut random, true)).unwrap();
        for threads in [0, 1, 3] {
            let pieces = cut(&made, &mut random, false);
            let got = answer(&means(threads), &plan, &pieces).unwrap();
            assert_eq!(got, expected, "seed {seed}, {threads} threads");
        }
    }
}
