//! Expressions over columns, evaluated a column at a time.
//!
//! Names are bound to column numbers once per query ([`bind`]); [`eval`] then goes through the
//! tree once per batch, with one loop per node over all rows.
//!
//! A missing operand makes arithmetic missing and a comparison false. Integer arithmetic that
//! leaves 64 bits is missing, never a wrapped number.

mod arithmetic;
mod math;

use std::borrow::Cow;
use std::sync::Arc;

use firndb_tsdb::model::Bitmap;
use regex::Regex;

use super::mask;
use super::vector::{Cell, Data, TextBuilder, Vector};
use crate::error::{Error, Result};
use crate::plan::{Call, Expr, Literal, Math, Operator};

/// An expression whose names are column numbers.
#[derive(Debug, Clone)]
pub enum Bound {
    /// Column of the batch.
    Column(usize),
    /// A constant.
    Constant(Literal),
    /// A name that does not exist: missing everywhere.
    Missing,
    /// A function of single values.
    Math(Math, Vec<Bound>),
    /// Two operands.
    Binary(Operator, Box<Bound>, Box<Bound>),
    /// Whether text matches.
    Matches {
        /// The text.
        expr: Box<Bound>,
        /// The pattern.
        regex: Arc<Regex>,
        /// Whether it must not match.
        negated: bool,
    },
}

/// Gives names their column numbers; `None`: there is no such thing.
pub trait Names {
    /// The column of a field.
    fn field(&mut self, name: &str) -> Option<usize>;
    /// The column of a tag.
    fn tag(&mut self, key: &str) -> Option<usize>;
    /// The column of an aggregate.
    fn call(&mut self, call: &Call) -> Result<Option<usize>>;
    /// The column of a function of consecutive rows.
    fn transform(&mut self, expr: &Expr) -> Result<Option<usize>>;
}

/// Binds `expr` with `names`.
pub fn bind(expr: &Expr, names: &mut dyn Names) -> Result<Bound> {
    let column = |at: Option<usize>| at.map_or(Bound::Missing, Bound::Column);
    Ok(match expr {
        Expr::Literal(literal) => Bound::Constant(literal.clone()),
        Expr::Field(name) => column(names.field(name)),
        Expr::Tag(key) => column(names.tag(key)),
        Expr::Call(call) => column(names.call(call)?),
        Expr::Transform(..) => column(names.transform(expr)?),
        Expr::Math(function, operands) => {
            let wanted = math::operands(*function);
            if operands.len() != wanted {
                let text = format!(
                    "invalid number of arguments for {}, expected {wanted}, got {}",
                    format!("{function:?}").to_lowercase(),
                    operands.len()
                );
                return Err(Error::invalid(text));
            }
            let bound: Result<_> = operands.iter().map(|operand| bind(operand, names)).collect();
            Bound::Math(*function, bound?)
        }
        Expr::Binary(operator, left, right) => {
            Bound::Binary(*operator, Box::new(bind(left, names)?), Box::new(bind(right, names)?))
        }
        Expr::Matches { expr, regex, negated } => Bound::Matches {
            expr: Box::new(bind(expr, names)?),
            regex: regex.clone(),
            negated: *negated,
        },
    })
}

/// The value of `expr` in each of `rows` rows.
pub fn eval<'a>(expr: &Bound, columns: &'a [Vector], rows: usize) -> Cow<'a, Vector> {
    match expr {
        Bound::Column(at) => Cow::Borrowed(&columns[*at]),
        Bound::Constant(literal) => Cow::Owned(constant(literal, rows)),
        Bound::Missing => Cow::Owned(Vector::missing(rows)),
        Bound::Math(function, operands) => {
            let operands: Vec<_> = operands.iter().map(|o| eval(o, columns, rows)).collect();
            Cow::Owned(math::apply(*function, &operands))
        }
        Bound::Binary(operator, left, right) if is_arithmetic(*operator) => {
            let (left, right) = (eval(left, columns, rows), eval(right, columns, rows));
            Cow::Owned(arithmetic::apply(*operator, &left, &right))
        }
        Bound::Binary(..) | Bound::Matches { .. } => {
            let bits = holds(expr, columns, rows);
            Cow::Owned(Vector::full(Data::Boolean((0..rows).map(|row| bits.get(row)).collect())))
        }
    }
}

/// The rows in which the condition `expr` is true.
pub fn holds(expr: &Bound, columns: &[Vector], rows: usize) -> Bitmap {
    match expr {
        Bound::Binary(Operator::And, left, right) => {
            let left = holds(left, columns, rows);
            mask::zip(&left, &holds(right, columns, rows), |a, b| a & b)
        }
        Bound::Binary(Operator::Or, left, right) => {
            let left = holds(left, columns, rows);
            mask::zip(&left, &holds(right, columns, rows), |a, b| a | b)
        }
        Bound::Binary(operator, left, right) if is_comparison(*operator) => {
            compare(*operator, left, right, columns, rows)
        }
        Bound::Matches { expr, regex, negated } => {
            let text = eval(expr, columns, rows);
            matches(&text, |text| regex.is_match(text) != *negated)
        }
        other => {
            let value = eval(other, columns, rows);
            let Data::Boolean(values) = &value.data else { return Bitmap::filled(rows, false) };
            let bits = mask::from_values(values, |value| value);
            mask::and(Some(&bits), value.validity.as_ref()).unwrap_or(bits)
        }
    }
}

/// Replaces columns for which `constant` knows one value for all rows, and evaluates what becomes
/// constant by that.
pub fn specialise(expr: &Bound, constant: &dyn Fn(usize) -> Option<Literal>) -> Bound {
    let inner = |expr: &Bound| Box::new(specialise(expr, constant));
    let known = |expr: &Bound| matches!(expr, Bound::Constant(_));
    let truth = |expr: &Bound| match expr {
        Bound::Constant(Literal::Boolean(truth)) => Some(*truth),
        _ => None,
    };
    match expr {
        Bound::Column(at) => constant(*at).map_or(Bound::Column(*at), Bound::Constant),
        Bound::Binary(operator @ (Operator::And | Operator::Or), left, right) => {
            let (left, right) = (inner(left), inner(right));
            let dominant = *operator == Operator::Or;
            match (truth(&left), truth(&right)) {
                (Some(t), _) | (_, Some(t)) if t == dominant => {
                    Bound::Constant(Literal::Boolean(dominant))
                }
                (Some(_), _) => *right,
                (_, Some(_)) => *left,
                _ => Bound::Binary(*operator, left, right),
            }
        }
        Bound::Binary(operator, left, right) => {
            let (left, right) = (inner(left), inner(right));
            let decided = is_comparison(*operator) && known(&left) && known(&right);
            evaluated(Bound::Binary(*operator, left, right), decided)
        }
        Bound::Matches { expr, regex, negated } => {
            let expr = inner(expr);
            let decided = known(&expr);
            evaluated(Bound::Matches { expr, regex: regex.clone(), negated: *negated }, decided)
        }
        Bound::Math(function, operands) => {
            Bound::Math(*function, operands.iter().map(|o| *inner(o)).collect())
        }
        Bound::Constant(_) | Bound::Missing => expr.clone(),
    }
}

fn evaluated(condition: Bound, decided: bool) -> Bound {
    match decided {
        true => Bound::Constant(Literal::Boolean(holds(&condition, &[], 1).get(0))),
        false => condition,
    }
}

fn is_arithmetic(operator: Operator) -> bool {
    use Operator::*;
    matches!(operator, Add | Sub | Mul | Div | Mod | BitAnd | BitOr | BitXor)
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::*;
    matches!(operator, Equal | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual)
}

fn constant(literal: &Literal, rows: usize) -> Vector {
    Vector::full(match literal {
        Literal::Float(v) => Data::Float(vec![*v; rows]),
        Literal::Integer(v) => Data::Integer(vec![*v; rows]),
        Literal::Unsigned(v) => Data::Unsigned(vec![*v; rows]),
        Literal::Boolean(v) => Data::Boolean(vec![*v; rows]),
        Literal::String(text) => {
            let mut builder = TextBuilder::default();
            (0..rows).for_each(|_| builder.push(text.as_bytes()));
            builder.finish()
        }
    })
}

/// Rows of a text column that pass; each different tag value is tested once.
fn matches(text: &Vector, passes: impl Fn(&str) -> bool) -> Bitmap {
    let bits = match &text.data {
        Data::Tag { codes, words } => {
            let passed: Vec<bool> = words.iter().map(|word| passes(word)).collect();
            mask::from_values(codes, |code| passed[code as usize])
        }
        Data::String { .. } => mask::from_fn(text.len(), |row| match text.cell(row) {
            Cell::String(value) => passes(value),
            _ => false,
        }),
        _ => return Bitmap::filled(text.len(), false),
    };
    mask::and(Some(&bits), text.validity.as_ref()).unwrap_or(bits)
}

fn compare(
    operator: Operator,
    left: &Bound,
    right: &Bound,
    columns: &[Vector],
    rows: usize,
) -> Bitmap {
    if let (Bound::Constant(literal), false) = (left, matches!(right, Bound::Constant(_))) {
        return compare_constant(mirrored(operator), right, literal, columns, rows);
    }
    if let Bound::Constant(literal) = right {
        return compare_constant(operator, left, literal, columns, rows);
    }
    let (left, right) = (eval(left, columns, rows), eval(right, columns, rows));
    mask::from_fn(rows, |row| cells(operator, left.cell(row), right.cell(row)))
}

/// The operator with its sides exchanged.
fn mirrored(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        same => same,
    }
}

/// The hot path of filters: a column against a constant, one loop without branches.
fn compare_constant(
    operator: Operator,
    expr: &Bound,
    literal: &Literal,
    columns: &[Vector],
    rows: usize,
) -> Bitmap {
    let column = eval(expr, columns, rows);
    let bits = match (&column.data, literal) {
        (Data::Float(v), Literal::Float(c)) => test(operator, v, |v| v, *c),
        (Data::Float(v), Literal::Integer(c)) => test(operator, v, |v| v, *c as f64),
        (Data::Float(v), Literal::Unsigned(c)) => test(operator, v, |v| v, *c as f64),
        (Data::Integer(v), Literal::Integer(c)) => test(operator, v, |v| v, *c),
        (Data::Integer(v), Literal::Float(c)) => test(operator, v, |v| v as f64, *c),
        (Data::Integer(v), Literal::Unsigned(c)) => test(operator, v, i128::from, i128::from(*c)),
        (Data::Unsigned(v), Literal::Unsigned(c)) => test(operator, v, |v| v, *c),
        (Data::Unsigned(v), Literal::Integer(c)) => test(operator, v, i128::from, i128::from(*c)),
        (Data::Unsigned(v), Literal::Float(c)) => test(operator, v, |v| v as f64, *c),
        (Data::Boolean(v), Literal::Boolean(c)) => test(operator, v, |v| v, *c),
        (Data::String { .. } | Data::Tag { .. }, Literal::String(c)) => {
            return matches(&column, |text| ordered(operator, &text, &c.as_str()));
        }
        _ => return Bitmap::filled(rows, false),
    };
    mask::and(Some(&bits), column.validity.as_ref()).unwrap_or(bits)
}

fn test<T: Copy, U: PartialOrd + Copy>(
    operator: Operator,
    values: &[T],
    of: impl Fn(T) -> U,
    constant: U,
) -> Bitmap {
    match operator {
        Operator::Equal => mask::from_values(values, |v| of(v) == constant),
        Operator::NotEqual => mask::from_values(values, |v| of(v) != constant),
        Operator::Less => mask::from_values(values, |v| of(v) < constant),
        Operator::LessOrEqual => mask::from_values(values, |v| of(v) <= constant),
        Operator::Greater => mask::from_values(values, |v| of(v) > constant),
        _ => mask::from_values(values, |v| of(v) >= constant),
    }
}

fn ordered<T: PartialOrd + ?Sized>(operator: Operator, a: &T, b: &T) -> bool {
    match operator {
        Operator::Equal => a == b,
        Operator::NotEqual => a != b,
        Operator::Less => a < b,
        Operator::LessOrEqual => a <= b,
        Operator::Greater => a > b,
        _ => a >= b,
    }
}

fn cells(operator: Operator, a: Cell<'_>, b: Cell<'_>) -> bool {
    let exact = |cell: Cell<'_>| match cell {
        Cell::Integer(v) => Some(i128::from(v)),
        Cell::Unsigned(v) => Some(i128::from(v)),
        _ => None,
    };
    let float = |cell: Cell<'_>| match cell {
        Cell::Float(v) => Some(v),
        Cell::Integer(v) => Some(v as f64),
        Cell::Unsigned(v) => Some(v as f64),
        _ => None,
    };
    match (a, b) {
        (Cell::String(a), Cell::String(b)) => ordered(operator, a, b),
        (Cell::Boolean(a), Cell::Boolean(b)) => ordered(operator, &a, &b),
        (a, b) => match (exact(a), exact(b), float(a), float(b)) {
            (Some(a), Some(b), ..) => ordered(operator, &a, &b),
            (.., Some(a), Some(b)) => ordered(operator, &a, &b),
            _ => false,
        },
    }
}

/// How two values of one type compare; NaN and missing values come last.
pub fn order_cells(a: Cell<'_>, b: Cell<'_>) -> std::cmp::Ordering {
    let key = |cell: Cell<'_>| match cell {
        Cell::Float(v) => (v.is_nan(), v, 0),
        Cell::Integer(v) => (false, 0.0, i128::from(v)),
        Cell::Unsigned(v) => (false, 0.0, i128::from(v)),
        _ => (true, 0.0, 0),
    };
    let (a, b) = (key(a), key(b));
    let floats = a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal);
    a.0.cmp(&b.0).then(floats).then(a.2.cmp(&b.2))
}

/// Whether the value is a number that compares with nothing.
pub fn is_nan(cell: Cell<'_>) -> bool {
    matches!(cell, Cell::Float(v) if v.is_nan())
}

/// Least and greatest value that rows of a column may have, as far as statistics tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bounds {
    /// Nothing is known.
    Unknown,
    /// No row has a value.
    Empty,
    /// Every value lies between these, both included.
    Between(f64, f64),
}

/// Whether the condition can hold in some row, given what is known of each column. Never says no
/// wrongly.
pub fn may_hold(expr: &Bound, bounds: &dyn Fn(usize) -> Bounds) -> bool {
    match expr {
        Bound::Binary(Operator::And, a, b) => may_hold(a, bounds) && may_hold(b, bounds),
        Bound::Binary(Operator::Or, a, b) => may_hold(a, bounds) || may_hold(b, bounds),
        Bound::Binary(operator, left, right) if is_comparison(*operator) => {
            let (operator, column, literal) = match (&**left, &**right) {
                (Bound::Column(column), Bound::Constant(c)) => (*operator, *column, c),
                (Bound::Constant(c), Bound::Column(column)) => (mirrored(*operator), *column, c),
                _ => return true,
            };
            let constant = match literal {
                Literal::Float(c) => *c,
                // Integers beyond 2^53 are compared exactly later; here an error of one matters.
                Literal::Integer(c) if c.unsigned_abs() < 1 << 53 => *c as f64,
                _ => return true,
            };
            match bounds(column) {
                Bounds::Unknown => true,
                Bounds::Empty => false,
                Bounds::Between(low, high) => match operator {
                    Operator::Equal => low <= constant && constant <= high,
                    Operator::NotEqual => !(low == constant && high == constant),
                    Operator::Less => low < constant,
                    Operator::LessOrEqual => low <= constant,
                    Operator::Greater => high > constant,
                    _ => high >= constant,
                },
            }
        }
        Bound::Missing => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
