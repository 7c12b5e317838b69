//! Functions of single numbers. `abs ceil floor round` keep the type of integers.

use std::borrow::Cow;

use firndb_tsdb::model::Bitmap;

use super::super::mask;
use super::super::vector::{Data, Vector};
use super::arithmetic::floats;
use crate::plan::Math;

/// Number of operands.
pub fn operands(function: Math) -> usize {
    if matches!(function, Math::Atan2 | Math::Log | Math::Pow) { 2 } else { 1 }
}

/// The function of each row; what has no value (the root of -1) is missing.
pub fn apply(function: Math, operands: &[Cow<'_, Vector>]) -> Vector {
    let first = &*operands[0];
    let keeps = matches!(function, Math::Abs | Math::Ceil | Math::Floor | Math::Round);
    match &first.data {
        Data::Unsigned(_) if keeps => return first.clone(),
        Data::Integer(_) if keeps && function != Math::Abs => return first.clone(),
        Data::Integer(values) if keeps => {
            let values = values.iter().map(|v| v.checked_abs().unwrap_or(i64::MAX)).collect();
            return Vector { data: Data::Integer(values), validity: first.validity.clone() };
        }
        _ => {}
    }
    let rows = first.len();
    let Some(x) = floats(&first.data) else { return Vector::missing(rows) };
    let (values, validity): (Vec<f64>, Option<Bitmap>) = match operands.get(1) {
        Some(second) => {
            let Some(y) = floats(&second.data) else { return Vector::missing(rows) };
            let both = mask::and(first.mask().as_ref(), second.mask().as_ref());
            (x.iter().zip(&y).map(|(x, y)| of_two(function, *x, *y)).collect(), both)
        }
        None => (x.into_iter().map(|x| of_one(function, x)).collect(), first.mask()),
    };
    let validity = match values.iter().any(|v| v.is_nan() || v.is_infinite()) {
        true => mask::and(validity.as_ref(), Some(&mask::from_values(&values, f64::is_finite))),
        false => validity,
    };
    Vector { data: Data::Float(values), validity }
}

fn of_one(function: Math, x: f64) -> f64 {
    match function {
        Math::Abs => x.abs(),
        Math::Acos => x.acos(),
        Math::Asin => x.asin(),
        Math::Atan => x.atan(),
        Math::Ceil => x.ceil(),
        Math::Cos => x.cos(),
        Math::Exp => x.exp(),
        Math::Floor => x.floor(),
        Math::Ln => x.ln(),
        Math::Log2 => x.log2(),
        Math::Log10 => x.log10(),
        Math::Round => x.round(),
        Math::Sin => x.sin(),
        Math::Sqrt => x.sqrt(),
        Math::Tan => x.tan(),
        Math::Atan2 | Math::Log | Math::Pow => f64::NAN,
    }
}

fn of_two(function: Math, x: f64, y: f64) -> f64 {
    match function {
        Math::Atan2 => x.atan2(y),
        Math::Log => x.ln() / y.ln(),
        Math::Pow => x.powf(y),
        _ => f64::NAN,
    }
}
