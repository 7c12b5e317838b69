//! The executor over a real store: the same rows in memory, in tables, rewritten and overlapping
//! give what the model gives.

use super::random::{random_plan, same};
use super::rows::{Made, Random, make};
use super::*;
use crate::testing::{self, Place};

/// Line protocol of the rows of each series that `keep` keeps.
fn lines(made: &[Made], keep: impl Fn(usize) -> bool) -> String {
    let mut text = String::new();
    for made in made {
        let tags: String = made.tags.iter().map(|(k, v)| format!(",{k}={v}")).collect();
        for (_, row) in made.rows.iter().enumerate().filter(|(at, _)| keep(*at)) {
            let fields = [
                row.i.map(|v| format!("i={v}i")),
                row.f.map(|v| format!("f={v:?}")),
                row.u.map(|v| format!("u={v}u")),
                row.b.map(|v| format!("b={v}")),
                row.s.map(|v| format!("s=\"{v}\"")),
            ];
            let fields: Vec<String> = fields.into_iter().flatten().collect();
            if !fields.is_empty() {
                text += &format!("m{tags} {} {}\n", fields.join(","), row.time);
            }
        }
    }
    text
}

fn stored_answer(context: &crate::exec::Context, plan: &Plan) -> Answer {
    let mut answer: Answer = Vec::new();
    for series in crate::exec::run(context, plan).unwrap().series {
        let tags: Vec<String> = series.head.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
        answer.push((tags.join(","), rows_of(&series)));
    }
    answer
}

#[test]
fn stored_rows_give_the_answers_of_the_model() {
    for seed in 0..6 {
        let mut random = Random::new(seed + 500);
        let made = make(&mut random);
        let tsdb = testing::open();
        let place = *random.pick(&[Place::Memory, Place::Tables, Place::Compacted]);
        // Odd rows late, and every fifth row twice: chunks and memtables overlap.
        testing::write(&tsdb, &lines(&made, |at| at % 2 == 0));
        testing::settle(&tsdb, Place::Tables);
        testing::write(&tsdb, &lines(&made, |at| at % 2 == 1 || at % 5 == 0));
        testing::settle(&tsdb, place);
        for threads in [0, 2] {
            let context = testing::context(&tsdb, threads);
            for _ in 0..12 {
                let mut plan = random_plan(&mut random);
                if let Source::Measurement { database, .. } = &mut plan.source {
                    *database = "d".into();
                }
                let expected = super::model::answer(&plan, &made);
                let got = stored_answer(&context, &plan);
                same(&got, &expected, &format!("seed {seed}, {place:?}, {plan:?}"));
            }
            assert_eq!(context.budget.total_bytes(), 0, "all memory is given back");
        }
    }
}

#[test]
fn unknown_names() {
    let tsdb = testing::open();
    let context = testing::context(&tsdb, 0);
    let mut plan = plan(vec![call(Function::Sum, "f")]);
    assert!(stored_answer(&context, &plan).is_empty(), "an unknown measurement has no rows");
    let source = |database: &str, policy: Option<&str>| Source::Measurement {
        database: database.into(),
        policy: policy.map(str::to_owned),
        measurement: "m".into(),
    };
    plan.source = source("nope", None);
    let error = crate::exec::run(&context, &plan).unwrap_err();
    assert_eq!(error.to_string(), "database not found: nope");
    plan.source = source("d", Some("nope"));
    let error = crate::exec::run(&context, &plan).unwrap_err();
    assert_eq!(error.to_string(), "retention policy not found: nope");
}

#[test]
fn series_limit_counts_series_found() {
    let tsdb = testing::open();
    testing::write(&tsdb, "m,host=a i=1i 1\nm,host=b i=1i 1\nm,host=c i=1i 1\n");
    let mut context = testing::context(&tsdb, 0);
    context.limits.series_max = 2;
    let error = crate::exec::run(&context, &plan(vec![call(Function::Sum, "i")])).unwrap_err();
    assert_eq!(error.to_string(), "max-select-series limit exceeded: (3/2)");
}

#[test]
fn long_series_in_memory_and_in_tables() {
    // More rows than are given at once, irregular, of three hosts whose times interleave.
    let time = |host: i64, row: i64| row * 30 + host * 10 + (row % 7) * 3;
    let mut expected: Vec<(i64, Vec<String>)> = Vec::new();
    let mut text = String::new();
    for row in 0..5000 {
        for (host, name) in [(0, "a"), (1, "b"), (2, "c")] {
            text += &format!("m,host={name} i={row}i {}\n", time(host, row));
            expected.push((time(host, row), vec![format!("{row}i"), name.into()]));
        }
    }
    expected.sort_by_key(|(time, _)| *time);
    let tsdb = testing::open();
    testing::write(&tsdb, &text);
    for place in [Place::Memory, Place::Compacted] {
        testing::settle(&tsdb, place);
        for (descending, limit, offset) in
            [(false, None, 0), (true, None, 0), (true, Some(3), 1), (false, Some(2000), 3000)]
        {
            let mut plan = plan(vec![field("i"), Expr::Tag("host".into())]);
            (plan.descending, plan.limit, plan.offset) = (descending, limit, offset);
            let mut rows = expected.clone();
            if descending {
                rows.reverse();
            }
            let rows: Vec<_> = rows
                .into_iter()
                .skip(offset as usize)
                .take(limit.unwrap_or(u64::MAX) as usize)
                .collect();
            let name = format!("{place:?}, {plan:?}");
            same(
                &stored_answer(&testing::context(&tsdb, 2), &plan),
                &vec![("".into(), rows)],
                &name,
            );
        }
    }
}
