//! What single functions and clauses mean, on a handful of rows.

use super::rows::Row;
use super::*;
use crate::error::Error;
use crate::exec::tests::rows::{Made, Random, cut};

fn row(time: i64, i: impl Into<Option<i64>>, f: impl Into<Option<f64>>) -> Row {
    Row { time, i: i.into(), f: f.into(), u: None, b: None, s: None }
}

/// Two hosts; `a` has a hole in `i` at 20, `b` in `f` at 10.
fn two_hosts() -> Vec<TestSeries> {
    let mut a = vec![row(0, 3, 1.5), row(10, 5, 2.5), row(20, None, 2.0), row(30, 5, 0.5)];
    let mut b = vec![row(5, 5, 4.0), row(10, 9, None), row(31, 1, 8.0)];
    a[0].s = Some("red");
    b[0].s = Some("blue");
    a[3].s = Some("red");
    let made = [
        Made { tags: vec![("host", "a")], rows: a },
        Made { tags: vec![("host", "b"), ("zone", "x")], rows: b },
    ];
    cut(&made, &mut Random::new(3), false)
}

/// One line per row: `tags| time cells`.
fn lines(plan: &Plan) -> Vec<String> {
    let answer = answer(&means(0), plan, &two_hosts()).unwrap();
    let line = |tags: &str, (time, cells): &(i64, Vec<String>)| {
        format!("{tags}| {time} {}", cells.join(" ")).trim_start_matches("| ").to_owned()
    };
    answer.iter().flat_map(|(tags, rows)| rows.iter().map(|row| line(tags, row))).collect()
}

fn every(mut plan: Plan, every_ns: i64, fill: Fill) -> Plan {
    plan.window = Some(Window { every_ns, offset_ns: 0, zone: None });
    plan.range = TimeRange::new(0, 49);
    plan.fill = fill;
    plan
}

fn transform(function: Transform, of: Expr) -> Expr {
    Expr::Transform(function, Box::new(of))
}

fn top(count: u64, tags: &[&str]) -> Function {
    Function::Top { count, tags: tags.iter().map(|t| (*t).to_owned()).collect() }
}

#[test]
fn functions() {
    let derivative = Transform::Derivative { unit_ns: 10, non_negative: false };
    let difference = Transform::Difference { non_negative: false };
    let cases: Vec<(&str, Plan, &[&str])> = vec![
        ("selector has its time", plan(vec![call(Function::Max, "i")]), &["10 9i"]),
        ("ties: earliest", plan(vec![call(Function::Min, "f")]), &["30 0.5"]),
        (
            "two selectors have the start",
            plan(vec![call(Function::Max, "i"), call(Function::Min, "i")]),
            &["0 9i 1i"],
        ),
        (
            "companions of a selector",
            plan(vec![call(Function::Max, "i"), Expr::Tag("host".into()), field("f"), field("s")]),
            &["10 9i b - -"],
        ),
        (
            "companions of a window's selector stand at its start",
            every(plan(vec![call(Function::Last, "i"), Expr::Tag("host".into())]), 25, Fill::Null),
            &["0 9i b", "25 1i b"],
        ),
        ("distinct", plan(vec![call(Function::Distinct, "i")]), &["0 3i", "0 5i", "0 9i", "0 1i"]),
        ("count distinct", plan(vec![call(Function::CountDistinct, "i")]), &["0 4i"]),
        ("mode of text", plan(vec![call(Function::Mode, "s")]), &["0 red"]),
        ("stddev of one", plan(vec![call(Function::Stddev, "u")]), &[]),
        (
            "stddev",
            plan(vec![call(Function::Stddev, "i"), call(Function::Spread, "i")]),
            &["0 2.6583202716502514 8i"],
        ),
        ("top", plan(vec![call(top(2, &[]), "i")]), &["5 5i", "10 9i"]),
        (
            "top of each host",
            plan(vec![call(top(2, &["host"]), "i"), Expr::Tag("host".into())]),
            &["10 5i a", "10 9i b"],
        ),
        (
            "bottom per window keeps its times",
            every(
                plan(vec![call(Function::Bottom { count: 1, tags: vec![] }, "f")]),
                25,
                Fill::None,
            ),
            &["0 1.5", "30 0.5"],
        ),
        (
            "previous",
            every(plan(vec![call(Function::Sum, "i")]), 15, Fill::Previous),
            &["0 22i", "15 22i", "30 6i", "45 6i"],
        ),
        (
            "linear",
            every(plan(vec![call(Function::Count, "i")]), 15, Fill::Linear),
            &["0 4i", "15 3i", "30 2i", "45 -"],
        ),
        (
            "arithmetic of calls",
            plan(vec![Expr::Binary(
                Operator::Div,
                Box::new(call(Function::Sum, "i")),
                Box::new(call(Function::Count, "i")),
            )]),
            &["0 4.666666666666667"],
        ),
        (
            "derivative of windows skips empty ones",
            every(plan(vec![transform(derivative, call(Function::Sum, "i"))]), 10, Fill::Null),
            &["10 6.0", "30 -4.0"],
        ),
        (
            "difference of rows",
            plan(vec![transform(difference, field("i"))]),
            &["5 2i", "10 0i", "10 4i", "30 -4i", "31 -4i"],
        ),
        (
            "an unknown field beside a known one",
            plan(vec![call(Function::Sum, "nope"), call(Function::Count, "i")]),
            &["0 - 6i"],
        ),
        ("an unknown field alone", plan(vec![call(Function::Sum, "nope")]), &[]),
        ("tags alone are no rows", plan(vec![Expr::Tag("host".into())]), &[]),
        (
            "zones of the clock",
            {
                let mut plan = every(plan(vec![call(Function::Count, "i")]), 1 << 40, Fill::None);
                plan.window.as_mut().unwrap().zone = Some(chrono_tz::Asia::Tokyo);
                plan
            },
            &["-514162794496 6i"],
        ),
    ];
    for (name, plan, expected) in cases {
        assert_eq!(lines(&plan), expected, "{name}");
    }
}

#[test]
fn groups_and_their_limits() {
    let mut plan = plan(vec![call(Function::Count, "i")]);
    plan.group = GroupTags::All;
    assert_eq!(lines(&plan), ["host=a,zone=| 0 3i", "host=b,zone=x| 0 3i"]);
    plan.series_limit = Some(1);
    assert_eq!(lines(&plan), ["host=a,zone=| 0 3i"]);
    plan.series_offset = 1;
    assert_eq!(lines(&plan), ["host=b,zone=x| 0 3i"]);
    plan.series_offset = 2;
    assert!(lines(&plan).is_empty());
    // Series without rows are not counted.
    plan.series_offset = 0;
    plan.range = TimeRange::new(31, 40);
    assert_eq!(lines(&plan), ["host=b,zone=x| 31 1i"]);
}

#[test]
fn newest_row_of_each_series() {
    let mut plan = plan(vec![field("f"), field("i")]);
    plan.group = GroupTags::List(vec!["host".into()]);
    plan.descending = true;
    plan.limit = Some(1);
    assert_eq!(lines(&plan), ["host=a| 30 0.5 5i", "host=b| 31 8.0 1i"]);
}

#[test]
fn conditions_on_tags_and_fields() {
    let equal = |left: Expr, right: Literal| {
        Expr::Binary(Operator::Equal, Box::new(left), Box::new(Expr::Literal(right)))
    };
    let either = |a: Expr, b: Expr| Expr::Binary(Operator::Or, Box::new(a), Box::new(b));
    let host = |name: &str| equal(Expr::Tag("host".into()), Literal::String(name.into()));
    let cases: [(&str, Expr, &[&str]); 4] = [
        (
            "tag or field",
            either(host("b"), equal(field("i"), Literal::Integer(3))),
            &["0 3i", "5 5i", "10 9i", "31 1i"],
        ),
        ("tag that nobody has", host("c"), &[]),
        (
            "missing tag is empty",
            equal(Expr::Tag("zone".into()), Literal::String("".into())),
            &["0 3i", "10 5i", "30 5i"],
        ),
        ("text", equal(field("s"), Literal::String("red".into())), &["0 3i", "30 5i"]),
    ];
    for (name, condition, expected) in cases {
        let mut plan = plan(vec![field("i")]);
        plan.filter = Some(condition);
        assert_eq!(lines(&plan), expected, "{name}");
    }
}

#[test]
fn what_cannot_be_answered() {
    let error = |plan: &Plan| match answer(&means(0), plan, &two_hosts()) {
        Err(error) => error.to_string(),
        Ok(answer) => panic!("an answer: {answer:?}"),
    };
    let cases = [
        (plan(vec![call(Function::Mean, "s")]), "unsupported mean iterator type: string"),
        (
            plan(vec![call(Function::Mean, "i"), field("i")]),
            "mixing aggregate and non-aggregate queries is not supported",
        ),
        (
            plan(vec![call(Function::Distinct, "i"), call(Function::Sum, "i")]),
            "selector function distinct() cannot be combined with other functions",
        ),
        (
            plan(vec![transform(Transform::MovingAverage { rows: 0 }, field("i"))]),
            "the second argument must be greater than 0",
        ),
        (
            plan(vec![Expr::Math(Math::Pow, vec![field("i")])]),
            "invalid number of arguments for pow, expected 2, got 1",
        ),
    ];
    for (plan, expected) in cases {
        assert_eq!(error(&plan), expected);
    }
}

#[test]
fn limits_deadline_and_cancellation() {
    let error = |change: &dyn Fn(&mut Means), plan: &Plan| {
        let mut means = means(0);
        change(&mut means);
        answer(&means, plan, &two_hosts()).unwrap_err().to_string()
    };
    let sums = plan(vec![call(Function::Sum, "f")]);
    let windows = every(sums.clone(), 1, Fill::Null);
    type Case<'a> = (&'a dyn Fn(&mut Means), &'a Plan, &'a str);
    let cases: [Case<'_>; 5] = [
        (&|m| m.limits.points_max = 3, &sums, "max-select-point limit exceeded: ("),
        (&|m| m.limits.buckets_max = 49, &windows, "max-select-buckets limit exceeded: (50/49)"),
        (&|m| m.budget = Budget::new(10), &windows, "query memory limit exceeded"),
        (&|m| m.deadline_ns = Some(0), &sums, "query-timeout limit exceeded"),
        (&|m| m.cancel.cancel(), &sums, "query interrupted"),
    ];
    for (change, plan, expected) in cases {
        let got = error(change, plan);
        assert!(got.starts_with(expected), "{got}");
    }
}

#[test]
fn sums_of_integers_are_exact_or_refused() {
    let rows = |values: &[i64]| {
        let rows = values.iter().enumerate().map(|(at, v)| row(at as i64, *v, None)).collect();
        cut(&[Made { tags: vec![], rows }], &mut Random::new(1), true)
    };
    let sum = plan(vec![call(Function::Sum, "i"), call(Function::Mean, "i")]);
    let exact = rows(&[i64::MAX, i64::MAX, -i64::MAX, -5]);
    let got = answer(&means(0), &sum, &exact).unwrap();
    let expected = i64::MAX - 5;
    assert_eq!(got[0].1[0].1[0], format!("{expected}i"), "the way there may leave 64 bits");
    let refused = answer(&means(0), &sum, &rows(&[i64::MAX, 1]));
    assert!(matches!(refused, Err(Error::Invalid(text)) if text.contains("64 bits")));
}

#[test]
fn memory_is_given_back() {
    let mut means = means(2);
    means.budget = Budget::new(64 << 20);
    let mut plan = plan(vec![call(Function::Median, "i"), call(Function::Max, "f")]);
    plan.group = GroupTags::All;
    answer(&means, &plan, &two_hosts()).unwrap();
    assert_eq!(means.budget.total_bytes(), 0);
}
