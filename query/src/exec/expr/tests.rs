//! Expressions over rows made by hand.

use super::*;

fn columns() -> Vec<Vector> {
    let mut gap = Bitmap::filled(4, true);
    gap.set(2, false);
    vec![
        Vector::full(Data::Integer(vec![1, -5, 7, i64::MAX])),
        Vector { data: Data::Float(vec![0.5, 2.0, 9.0, -1.0]), validity: Some(gap) },
        Vector::full(Data::Tag { codes: vec![0, 1, 1, 0], words: ["a".into(), "b".into()].into() }),
        Vector::full(Data::Unsigned(vec![0, 1, u64::MAX, 3])),
        Vector::missing(4),
    ]
}

fn col(at: usize) -> Box<Bound> {
    Box::new(Bound::Column(at))
}
fn int(v: i64) -> Box<Bound> {
    Box::new(Bound::Constant(Literal::Integer(v)))
}
fn float(v: f64) -> Box<Bound> {
    Box::new(Bound::Constant(Literal::Float(v)))
}
fn text(v: &str) -> Box<Bound> {
    Box::new(Bound::Constant(Literal::String(v.into())))
}
fn set(bits: &Bitmap) -> Vec<usize> {
    (0..bits.len()).filter(|i| bits.get(*i)).collect()
}

#[test]
fn conditions() {
    use Operator::*;
    let regex = |negated| Bound::Matches {
        expr: col(2),
        regex: Arc::new(Regex::new("^a").unwrap()),
        negated,
    };
    let cases = [
        ("integer > float", Bound::Binary(Greater, col(0), float(0.5)), vec![0, 2, 3]),
        ("constant first", Bound::Binary(Less, float(0.5), col(0)), vec![0, 2, 3]),
        ("missing is false", Bound::Binary(Less, col(1), int(10)), vec![0, 1, 3]),
        ("and so is its contrary", Bound::Binary(GreaterOrEqual, col(1), int(10)), vec![]),
        ("tag", Bound::Binary(Equal, col(2), text("b")), vec![1, 2]),
        ("tag is not a number", Bound::Binary(Equal, col(2), int(1)), vec![]),
        ("regex", regex(false), vec![0, 3]),
        ("not regex", regex(true), vec![1, 2]),
        ("column with column", Bound::Binary(Greater, col(0), col(1)), vec![0, 3]),
        ("unsigned", Bound::Binary(Greater, col(3), int(-1)), vec![0, 1, 2, 3]),
        ("unsigned with integer", Bound::Binary(Greater, col(3), col(0)), vec![1, 2]),
        ("unknown field", Bound::Binary(NotEqual, Box::new(Bound::Missing), int(1)), vec![]),
        ("missing column", Bound::Binary(NotEqual, col(4), int(1)), vec![]),
        (
            "or",
            Bound::Binary(
                Or,
                Box::new(Bound::Binary(Equal, col(0), int(7))),
                Box::new(Bound::Binary(Equal, col(2), text("a"))),
            ),
            vec![0, 2, 3],
        ),
    ];
    for (name, expr, expected) in cases {
        assert_eq!(set(&holds(&expr, &columns(), 4)), expected, "{name}");
    }
}

#[test]
fn arithmetic_cells() {
    use Operator::*;
    let cells = |expr: &Bound| -> Vec<String> {
        let columns = columns();
        let v = eval(expr, &columns, 4);
        (0..4).map(|row| format!("{:?}", v.cell(row))).collect()
    };
    let cases: [(&str, Bound, [&str; 4]); 6] = [
        (
            "overflow is missing",
            Bound::Binary(Add, col(0), int(1)),
            ["Integer(2)", "Integer(-4)", "Integer(8)", "Missing"],
        ),
        (
            "division is a float",
            Bound::Binary(Div, int(1), int(2)),
            ["Float(0.5)", "Float(0.5)", "Float(0.5)", "Float(0.5)"],
        ),
        (
            "by zero",
            Bound::Binary(Div, col(0), int(0)),
            ["Float(0.0)", "Float(0.0)", "Float(0.0)", "Float(0.0)"],
        ),
        (
            "mixed with a gap",
            Bound::Binary(Mul, col(0), col(1)),
            ["Float(0.5)", "Float(-10.0)", "Missing", "Float(-9.223372036854776e18)"],
        ),
        (
            "unsigned stays",
            Bound::Binary(Add, col(3), int(1)),
            ["Unsigned(1)", "Unsigned(2)", "Missing", "Unsigned(4)"],
        ),
        (
            "root of a negative number",
            Bound::Math(Math::Sqrt, vec![Bound::Constant(Literal::Integer(-1))]),
            ["Missing"; 4],
        ),
    ];
    for (name, expr, expected) in cases {
        assert_eq!(cells(&expr), expected, "{name}");
    }
}

#[test]
fn bounds_rule_out_only_what_cannot_be() {
    use Operator::*;
    let between = |_| Bounds::Between(10.0, 20.0);
    let cases = [
        (Greater, 20.0, false),
        (GreaterOrEqual, 20.0, true),
        (Less, 10.0, false),
        (LessOrEqual, 10.0, true),
        (Equal, 15.0, true),
        (Equal, 21.0, false),
        (NotEqual, 15.0, true),
    ];
    for (operator, constant, expected) in cases {
        let expr = Bound::Binary(operator, col(0), float(constant));
        assert_eq!(may_hold(&expr, &between), expected, "{operator:?} {constant}");
    }
    let equal = |a: f64| Box::new(Bound::Binary(Equal, col(0), float(a)));
    assert!(may_hold(&Bound::Binary(Or, equal(5.0), equal(12.0)), &between));
    assert!(!may_hold(&Bound::Binary(And, equal(5.0), equal(12.0)), &between));
    assert!(!may_hold(&equal(1.0), &|_| Bounds::Empty));
    assert!(may_hold(&equal(1.0), &|_| Bounds::Unknown));
}
