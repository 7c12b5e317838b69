//! `+ - * / % & | ^` over columns.

use firndb_tsdb::model::Bitmap;

use super::super::mask;
use super::super::vector::{Data, Vector};
use crate::plan::Operator;

/// `left operator right`, row by row.
pub fn apply(operator: Operator, left: &Vector, right: &Vector) -> Vector {
    let rows = left.len();
    let validity = mask::and(left.mask().as_ref(), right.mask().as_ref());
    match (&left.data, &right.data) {
        (Data::Integer(a), Data::Integer(b)) if operator != Operator::Div => {
            checked(a, b, validity, |a, b| integers(operator, a, b), Data::Integer)
        }
        (Data::Unsigned(a), Data::Unsigned(b)) if operator != Operator::Div => {
            checked(a, b, validity, |a, b| unsigned(operator, a, b), Data::Unsigned)
        }
        (Data::Unsigned(a), Data::Integer(b)) if operator != Operator::Div => {
            let op = |a, b| unsigned(operator, a, u64::try_from(b).ok()?);
            checked(a, b, validity, op, Data::Unsigned)
        }
        (Data::Integer(a), Data::Unsigned(b)) if operator != Operator::Div => {
            let op = |a, b| unsigned(operator, u64::try_from(a).ok()?, b);
            checked(a, b, validity, op, Data::Unsigned)
        }
        (Data::Boolean(a), Data::Boolean(b)) => {
            checked(a, b, validity, |a, b| booleans(operator, a, b), Data::Boolean)
        }
        (a, b) => match (floats(a), floats(b)) {
            (Some(a), Some(b)) => {
                checked(&a, &b, validity, |a, b| float(operator, a, b), Data::Float)
            }
            _ => Vector::missing(rows),
        },
    }
}

/// A numeric column as floats; `None` for other types.
pub fn floats(data: &Data) -> Option<Vec<f64>> {
    match data {
        Data::Float(v) => Some(v.clone()),
        Data::Integer(v) => Some(v.iter().map(|v| *v as f64).collect()),
        Data::Unsigned(v) => Some(v.iter().map(|v| *v as f64).collect()),
        _ => None,
    }
}

fn checked<A: Copy, B: Copy, C: Default>(
    a: &[A],
    b: &[B],
    validity: Option<Bitmap>,
    op: impl Fn(A, B) -> Option<C>,
    data: impl Fn(Vec<C>) -> Data,
) -> Vector {
    let mut failed = Vec::new();
    let values = a.iter().zip(b).enumerate().map(|(row, (a, b))| {
        op(*a, *b).unwrap_or_else(|| {
            failed.push(row);
            C::default()
        })
    });
    let values: Vec<C> = values.collect();
    let mut validity = validity;
    if !failed.is_empty() {
        let bits = validity.get_or_insert_with(|| Bitmap::filled(values.len(), true));
        failed.into_iter().for_each(|row| bits.set(row, false));
    }
    Vector { data: data(values), validity }
}

fn integers(operator: Operator, a: i64, b: i64) -> Option<i64> {
    match operator {
        Operator::Add => a.checked_add(b),
        Operator::Sub => a.checked_sub(b),
        Operator::Mul => a.checked_mul(b),
        Operator::Mod => Some(if b == 0 { 0 } else { a.wrapping_rem(b) }),
        Operator::BitAnd => Some(a & b),
        Operator::BitOr => Some(a | b),
        Operator::BitXor => Some(a ^ b),
        _ => None,
    }
}

fn unsigned(operator: Operator, a: u64, b: u64) -> Option<u64> {
    match operator {
        Operator::Add => a.checked_add(b),
        Operator::Sub => a.checked_sub(b),
        Operator::Mul => a.checked_mul(b),
        Operator::Mod => Some(a.checked_rem(b).unwrap_or(0)),
        Operator::BitAnd => Some(a & b),
        Operator::BitOr => Some(a | b),
        Operator::BitXor => Some(a ^ b),
        _ => None,
    }
}

fn booleans(operator: Operator, a: bool, b: bool) -> Option<bool> {
    match operator {
        Operator::BitAnd => Some(a & b),
        Operator::BitOr => Some(a | b),
        Operator::BitXor => Some(a ^ b),
        _ => None,
    }
}

fn float(operator: Operator, a: f64, b: f64) -> Option<f64> {
    match operator {
        Operator::Add => Some(a + b),
        Operator::Sub => Some(a - b),
        Operator::Mul => Some(a * b),
        Operator::Div => Some(if b == 0.0 { 0.0 } else { a / b }),
        Operator::Mod => Some(if b == 0.0 { 0.0 } else { a % b }),
        _ => None,
    }
}
