//! What may stand beside what in `SELECT`, before anything is known of measurements.

use crate::error::{Error, Result};
use crate::influxql::ast::{Expr, Fill, Select};
use crate::influxql::duration;

/// Functions that answer with one of the values, whose row other columns can be taken from.
const SELECTORS: [&str; 7] = ["first", "last", "min", "max", "percentile", "top", "bottom"];

/// Functions of one field and nothing else.
const PLAIN: [&str; 11] =
    ["count", "sum", "mean", "median", "mode", "min", "max", "first", "last", "spread", "stddev"];

/// Functions of consecutive rows.
const TRANSFORMS: [&str; 7] = [
    "derivative",
    "non_negative_derivative",
    "difference",
    "non_negative_difference",
    "moving_average",
    "cumulative_sum",
    "elapsed",
];

/// Functions of InfluxDB that this version does not have.
const UNSUPPORTED: [&str; 12] = [
    "sample",
    "holt_winters",
    "holt_winters_with_fit",
    "chande_momentum_oscillator",
    "exponential_moving_average",
    "double_exponential_moving_average",
    "triple_exponential_moving_average",
    "triple_exponential_derivative",
    "kaufmans_efficiency_ratio",
    "kaufmans_adaptive_moving_average",
    "relative_strength_index",
    "histogram",
];

/// Checks the columns, the fill and the windows of a statement.
pub fn select(select: &Select, windows: bool) -> Result<()> {
    let mut seen = Seen { windows, ..Seen::default() };
    let mut columns = 0;
    for field in &select.fields {
        if !field.expr.is_time() {
            columns += 1;
            seen.column(&field.expr)?;
        }
    }
    if columns == 0 {
        return Err(Error::invalid("at least 1 non-time field must be queried"));
    }
    if let Some(name) = seen.top_or_bottom.filter(|_| seen.calls > 1) {
        let text = format!("selector function {name}() cannot be combined with other functions");
        return Err(Error::Invalid(text));
    }
    if seen.calls == 0 {
        match select.fill {
            Fill::None => return Err(Error::invalid("fill(none) must be used with a function")),
            Fill::Linear => {
                return Err(Error::invalid("fill(linear) must be used with a function"));
            }
            _ if windows => {
                return Err(Error::invalid("GROUP BY requires at least one aggregate function"));
            }
            _ => {}
        }
        return Ok(());
    }
    if seen.distinct && (seen.calls != 1 || seen.variables) {
        let text =
            "aggregate function distinct() cannot be combined with other functions or fields";
        return Err(Error::invalid(text));
    }
    if seen.variables && seen.others {
        let text = "mixing aggregate and non-aggregate queries is not supported";
        return Err(Error::invalid(text));
    }
    if seen.variables && seen.calls > 1 {
        let text = "mixing multiple selector functions with tags or fields is not supported";
        return Err(Error::invalid(text));
    }
    Ok(())
}

/// What the columns are made of.
#[derive(Default)]
struct Seen {
    windows: bool,
    /// Fields and tags outside calls.
    variables: bool,
    calls: usize,
    /// Calls that are not selectors.
    others: bool,
    distinct: bool,
    top_or_bottom: Option<&'static str>,
}

impl Seen {
    fn column(&mut self, expr: &Expr) -> Result<()> {
        match expr {
            Expr::Var { .. } | Expr::Wildcard(_) | Expr::Regex(_) => {
                self.variables = true;
                Ok(())
            }
            Expr::Paren(inner) => self.column(inner),
            Expr::Call { name, args } => self.call(name, args),
            Expr::Distinct(_) => {
                self.distinct_of_a_field();
                Ok(())
            }
            Expr::Binary { left, right, .. } => {
                let literals = [left, right].map(|side| is_literal(side));
                if literals == [true, true] {
                    return Err(Error::invalid("field must contain at least one variable"));
                }
                for (side, literal) in [left, right].into_iter().zip(literals) {
                    if matches!(side.bare(), Expr::Wildcard(_)) {
                        let text = "unable to use wildcard in a binary expression";
                        return Err(Error::invalid(text));
                    }
                    if !literal {
                        self.column(side)?;
                    }
                }
                Ok(())
            }
            _ => Err(Error::invalid("field must contain at least one variable")),
        }
    }

    fn distinct_of_a_field(&mut self) {
        self.calls += 1;
        self.distinct = true;
        self.others = true;
    }

    fn call(&mut self, name: &str, args: &[Expr]) -> Result<()> {
        if let Some(arity) = math_arity(name) {
            expect_arguments(name, args, arity, arity)?;
            return args.iter().filter(|a| !is_literal(a)).try_for_each(|arg| self.column(arg));
        }
        if TRANSFORMS.contains(&name) {
            return self.transform(name, args);
        }
        if UNSUPPORTED.contains(&name) {
            return Err(Error::Unsupported(format!("the function {name}()")));
        }
        self.calls += 1;
        self.others |= !SELECTORS.contains(&name);
        match name {
            "distinct" => {
                self.distinct = true;
                expect_arguments(name, args, 1, 1)?;
                match args[0].bare() {
                    Expr::Var { .. } => Ok(()),
                    _ => Err(expected_field(name)),
                }
            }
            "count" if matches!(args, [Expr::Distinct(_)]) => Ok(()),
            "count" if matches!(args, [Expr::Call { name, .. }] if name == "distinct") => {
                match args {
                    [Expr::Call { args, .. }] if matches!(args[..], [Expr::Var { .. }]) => Ok(()),
                    _ => Err(expected_field("distinct")),
                }
            }
            "percentile" => {
                expect_arguments(name, args, 2, 2)?;
                match args[1].bare() {
                    Expr::Integer(_) | Expr::Number(_) => expect_field(name, &args[0]),
                    _ => Err(Error::invalid("expected float argument in percentile()")),
                }
            }
            "integral" => {
                expect_arguments(name, args, 1, 2)?;
                expect_unit(name, args.get(1))?;
                expect_field(name, &args[0])
            }
            "top" | "bottom" => self.top_or_bottom(name, args),
            name if PLAIN.contains(&name) => {
                expect_arguments(name, args, 1, 1)?;
                expect_field(name, &args[0])
            }
            _ => Err(Error::Invalid(format!("undefined function {name}()"))),
        }
    }

    fn top_or_bottom(&mut self, name: &str, args: &[Expr]) -> Result<()> {
        let word = if name == "top" { "top" } else { "bottom" };
        self.top_or_bottom.get_or_insert(word);
        let [field, middle @ .., last] = args else {
            return Err(arguments(name, "at least 2", args.len()));
        };
        let Expr::Integer(limit) = last.bare() else {
            let text = format!("expected integer as last argument in {name}(), found {last}");
            return Err(Error::Invalid(text));
        };
        if *limit <= 0 {
            let text = format!("limit ({limit}) in {name} function must be at least 1");
            return Err(Error::Invalid(text));
        }
        if !matches!(field.bare(), Expr::Var { .. }) {
            let text = format!("expected first argument to be a field in {name}(), found {field}");
            return Err(Error::Invalid(text));
        }
        match middle.iter().find(|arg| !matches!(arg.bare(), Expr::Var { .. })) {
            None => Ok(()),
            Some(other) => {
                let text = format!("only fields or tags are allowed in {name}(), found {other}");
                Err(Error::Invalid(text))
            }
        }
    }

    fn transform(&mut self, name: &str, args: &[Expr]) -> Result<()> {
        match name {
            "moving_average" => {
                expect_arguments(name, args, 2, 2)?;
                match args[1].bare() {
                    Expr::Integer(rows) if *rows > 1 => {}
                    Expr::Integer(rows) => {
                        let text =
                            format!("moving_average window must be greater than 1, got {rows}");
                        return Err(Error::Invalid(text));
                    }
                    other => {
                        let text = format!(
                            "second argument for moving_average must be an integer, got {other}"
                        );
                        return Err(Error::Invalid(text));
                    }
                }
            }
            "derivative" | "non_negative_derivative" | "elapsed" => {
                expect_arguments(name, args, 1, 2)?;
                expect_unit(name, args.get(1))?;
            }
            _ => expect_arguments(name, args, 1, 1)?,
        }
        match args[0].bare() {
            Expr::Call { name: inner, args } if math_arity(inner).is_none() => {
                if !self.windows {
                    let text = format!("{name} aggregate requires a GROUP BY interval");
                    return Err(Error::Invalid(text));
                }
                if TRANSFORMS.contains(&inner.as_str()) || inner == "top" || inner == "bottom" {
                    return Err(Error::Unsupported(format!("{name}() of {inner}()")));
                }
                let distinct = self.distinct;
                self.call(inner, args)?;
                self.distinct = distinct; // the rows of distinct() are one column here
                self.others = true;
                Ok(())
            }
            arg => {
                expect_field(name, arg)?;
                if self.windows {
                    let text = format!("aggregate function required inside the call to {name}");
                    return Err(Error::Invalid(text));
                }
                self.calls += 1;
                self.others = true;
                Ok(())
            }
        }
    }
}

fn is_literal(expr: &Expr) -> bool {
    match expr.bare() {
        Expr::Binary { left, right, .. } => is_literal(left) && is_literal(right),
        Expr::Number(_)
        | Expr::Integer(_)
        | Expr::Unsigned(_)
        | Expr::Duration(_)
        | Expr::String(_)
        | Expr::Boolean(_) => true,
        _ => false,
    }
}

/// How many arguments a function of single values takes.
pub fn math_arity(name: &str) -> Option<usize> {
    match name {
        "abs" | "acos" | "asin" | "atan" | "ceil" | "cos" | "exp" | "floor" | "ln" | "log2"
        | "log10" | "round" | "sin" | "sqrt" | "tan" => Some(1),
        "atan2" | "log" | "pow" => Some(2),
        _ => None,
    }
}

fn arguments(name: &str, expected: &str, got: usize) -> Error {
    let text = format!("invalid number of arguments for {name}, expected {expected}, got {got}");
    Error::Invalid(text)
}

fn expect_arguments(name: &str, args: &[Expr], min: usize, max: usize) -> Result<()> {
    if (min..=max).contains(&args.len()) {
        return Ok(());
    }
    let expected = match min == max {
        true => min.to_string(),
        false => format!("at least {min} but no more than {max}"),
    };
    Err(arguments(name, &expected, args.len()))
}

fn expected_field(name: &str) -> Error {
    Error::Invalid(format!("expected field argument in {name}()"))
}

fn expect_field(name: &str, arg: &Expr) -> Result<()> {
    match arg.bare() {
        Expr::Var { .. } | Expr::Wildcard(_) | Expr::Regex(_) => Ok(()),
        _ => Err(expected_field(name)),
    }
}

/// The unit of time that some functions take last.
fn expect_unit(name: &str, unit: Option<&Expr>) -> Result<()> {
    match unit.map(Expr::bare) {
        None => Ok(()),
        Some(Expr::Duration(ns)) if *ns > 0 => Ok(()),
        Some(Expr::Duration(ns)) => {
            let text =
                format!("duration argument must be positive, got {}", duration::literal(*ns));
            Err(Error::Invalid(text))
        }
        Some(other) => {
            let text = format!("second argument to {name} must be a duration, got {other}");
            Err(Error::Invalid(text))
        }
    }
}
