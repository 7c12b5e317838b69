//! Functions of consecutive rows: each sees the rows of one output series in order of time and
//! skips rows without a value. State is carried from batch to batch.

use std::collections::VecDeque;

use firndb_tsdb::model::{Bitmap, Timestamp};

use super::vector::{Cell, Data, Vector};
use crate::plan::Transform;

/// One function on its way through the rows.
#[derive(Debug, Clone)]
pub struct Running {
    transform: Transform,
    before: Option<(Timestamp, Number)>,
    recent: VecDeque<f64>,
    sum: Option<Number>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Float(f64),
    /// Signed and unsigned: differences of both fit.
    Integer(i128),
}

impl Number {
    fn of(cell: Cell<'_>) -> Option<Number> {
        match cell {
            Cell::Float(v) => Some(Number::Float(v)),
            Cell::Integer(v) => Some(Number::Integer(i128::from(v))),
            Cell::Unsigned(v) => Some(Number::Integer(i128::from(v))),
            _ => None,
        }
    }

    fn to_f64(self) -> f64 {
        match self {
            Number::Float(v) => v,
            Number::Integer(v) => v as f64,
        }
    }

    fn combine(
        self,
        other: Number,
        float: fn(f64, f64) -> f64,
        int: fn(i128, i128) -> i128,
    ) -> Number {
        match (self, other) {
            (Number::Integer(a), Number::Integer(b)) => Number::Integer(int(a, b)),
            (a, b) => Number::Float(float(a.to_f64(), b.to_f64())),
        }
    }
}

impl Running {
    /// At its start.
    pub fn new(transform: Transform) -> Running {
        Running { transform, before: None, recent: VecDeque::new(), sum: None }
    }

    /// The function of the next rows; missing where it has no value yet.
    pub fn apply(&mut self, times: &[Timestamp], input: &Vector) -> Vector {
        let numbers: Vec<Option<Number>> = (0..times.len())
            .map(|row| Number::of(input.cell(row)).and_then(|value| self.next(times[row], value)))
            .collect();
        column(&numbers)
    }

    fn next(&mut self, time: Timestamp, value: Number) -> Option<Number> {
        match self.transform {
            Transform::CumulativeSum => {
                let sum = match self.sum {
                    Some(sum) => sum.combine(value, |a, b| a + b, i128::saturating_add),
                    None => value,
                };
                self.sum = Some(sum);
                return Some(sum);
            }
            Transform::MovingAverage { rows } => {
                self.recent.push_back(value.to_f64());
                if (self.recent.len() as u64) < rows {
                    return None;
                }
                let mean = self.recent.iter().sum::<f64>() / rows as f64;
                self.recent.pop_front();
                return Some(Number::Float(mean));
            }
            _ => {}
        }
        let (before_time, before) = self.before.replace((time, value))?;
        let elapsed = i128::from(time) - i128::from(before_time);
        let change = value.combine(before, |a, b| a - b, |a, b| a - b);
        match self.transform {
            Transform::Elapsed { unit_ns } => Some(Number::Integer(elapsed / i128::from(unit_ns))),
            Transform::Difference { non_negative } => {
                Some(change).filter(|change| !non_negative || change.to_f64() >= 0.0)
            }
            Transform::Derivative { unit_ns, non_negative } => {
                let rate = change.to_f64() / (elapsed as f64 / unit_ns as f64);
                let counts = elapsed != 0 && (!non_negative || rate >= 0.0);
                Some(Number::Float(rate)).filter(|_| counts)
            }
            Transform::CumulativeSum | Transform::MovingAverage { .. } => None,
        }
    }
}

/// A column of these numbers: integers unless one of them is a float; what leaves 64 bits is
/// missing.
fn column(numbers: &[Option<Number>]) -> Vector {
    let is_float = numbers.iter().flatten().any(|n| matches!(n, Number::Float(_)));
    let mut validity = Bitmap::filled(numbers.len(), true);
    let mut absent = |row: usize| validity.set(row, false);
    let data = if is_float {
        let value = |(row, n): (usize, &Option<Number>)| match n {
            Some(n) => n.to_f64(),
            None => {
                absent(row);
                0.0
            }
        };
        Data::Float(numbers.iter().enumerate().map(value).collect())
    } else {
        let value = |(row, n): (usize, &Option<Number>)| match n {
            Some(Number::Integer(n)) if i64::try_from(*n).is_ok() => *n as i64,
            _ => {
                absent(row);
                0
            }
        };
        Data::Integer(numbers.iter().enumerate().map(value).collect())
    };
    let is_full = validity.count() == numbers.len();
    Vector { data, validity: (!is_full).then_some(validity) }
}

/// How many buckets before the first one the function needs for its first value.
pub fn lead(transform: &Transform) -> u64 {
    match transform {
        Transform::MovingAverage { rows } => rows.saturating_sub(1),
        Transform::CumulativeSum => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_rows() {
        let times = [0, 10, 20, 40];
        let mut validity = Bitmap::filled(4, true);
        validity.set(1, false);
        let ints = Vector { data: Data::Integer(vec![1, 99, 5, 3]), validity: Some(validity) };
        let floats = Vector::full(Data::Float(vec![1.0, 2.0, 4.0, 3.0]));
        let unsigned = Vector::full(Data::Unsigned(vec![5, 3, 7, 7]));
        use Transform::*;
        let cases: [(&str, Transform, &Vector, &str); 8] = [
            ("gap", Difference { non_negative: false }, &ints, "- - 4 -2"),
            ("only up", Difference { non_negative: true }, &ints, "- - 4 -"),
            ("unsigned down", Difference { non_negative: false }, &unsigned, "- -2 4 0"),
            ("rate", Derivative { unit_ns: 10, non_negative: false }, &floats, "- 1.0 2.0 -0.5"),
            ("counter", Derivative { unit_ns: 10, non_negative: true }, &floats, "- 1.0 2.0 -"),
            ("mean", MovingAverage { rows: 2 }, &floats, "- 1.5 3.0 3.5"),
            ("total", CumulativeSum, &ints, "1 - 6 9"),
            ("time", Elapsed { unit_ns: 3 }, &ints, "- - 6 6"),
        ];
        for (name, transform, input, expected) in cases {
            let mut whole = Running::new(transform);
            let out = whole.apply(&times, input);
            let text = |v: &Vector| -> Vec<String> {
                let cell = |row| match v.cell(row) {
                    Cell::Missing => "-".to_owned(),
                    Cell::Float(v) => format!("{v:?}"),
                    Cell::Integer(v) => v.to_string(),
                    other => format!("{other:?}"),
                };
                (0..v.len()).map(cell).collect()
            };
            assert_eq!(text(&out).join(" "), expected, "{name}");
            // Cut into two batches it is the same.
            let mut cut = Running::new(transform);
            let mut joined = text(&cut.apply(&times[..2], &input.slice(0, 2)));
            joined.extend(text(&cut.apply(&times[2..], &input.slice(2, 4))));
            assert_eq!(joined.join(" "), expected, "{name}, cut");
        }
    }
}
