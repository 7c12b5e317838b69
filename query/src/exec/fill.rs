//! What stands in empty buckets, column by column, in order of time.

use firndb_tsdb::model::Timestamp;

use super::vector::{Data, Vector};
use crate::plan::{Fill, Literal};

/// The last value so far of each column, for `fill(previous)` over several batches.
pub type Carry = Option<Vector>;

/// Fills `column`, whose rows are the buckets starting at `times`, ascending.
///
/// - `is_count`: an empty bucket counts 0 unless another number is asked for;
/// - `carry`: the last value of the batch before; left as that of this one.
pub fn apply(
    fill: &Fill,
    is_count: bool,
    times: &[Timestamp],
    column: Vector,
    carry: &mut Carry,
) -> Vector {
    match fill {
        Fill::None => column,
        Fill::Null if is_count => constant(column, &Literal::Integer(0)),
        Fill::Null => column,
        Fill::Value(literal) => constant(column, literal),
        Fill::Previous => previous(column, carry),
        Fill::Linear => linear(times, column),
    }
}

/// Puts a number in place of missing values, in the type of the column.
fn constant(mut column: Vector, literal: &Literal) -> Vector {
    let float = match literal {
        Literal::Float(v) => *v,
        Literal::Integer(v) => *v as f64,
        Literal::Unsigned(v) => *v as f64,
        _ => return column,
    };
    if let Data::Missing(rows) = column.data {
        let data = match literal {
            Literal::Integer(v) => Data::Integer(vec![*v; rows]),
            Literal::Unsigned(v) => Data::Unsigned(vec![*v; rows]),
            _ => Data::Float(vec![float; rows]),
        };
        return Vector::full(data);
    }
    let Some(bits) = &column.validity else { return column };
    let missing = (0..bits.len()).filter(|row| !bits.get(*row));
    match &mut column.data {
        Data::Float(values) => missing.for_each(|row| values[row] = float),
        Data::Integer(values) => {
            let value = if let Literal::Integer(v) = literal { *v } else { float as i64 };
            missing.for_each(|row| values[row] = value);
        }
        Data::Unsigned(values) => {
            let value = if let Literal::Unsigned(v) = literal { *v } else { float as u64 };
            missing.for_each(|row| values[row] = value);
        }
        _ => return column,
    }
    column.validity = None;
    column
}

fn previous(column: Vector, carry: &mut Carry) -> Vector {
    let rows = column.len();
    if rows == 0 {
        return column;
    }
    // The carried value is row 0, the column's rows follow.
    let mut all = carry.take().unwrap_or_else(|| Vector::missing(1));
    all.append(&column);
    let mut last = 0;
    let source: Vec<u32> = (1..=rows as u32)
        .map(|row| {
            if all.is_valid(row as usize) {
                last = row;
            }
            last
        })
        .collect();
    let filled = all.take(&source);
    *carry = Some(filled.take(&[rows as u32 - 1]));
    match &filled.validity {
        Some(bits) if bits.count() == rows => Vector::full(filled.data),
        _ => filled,
    }
}

fn linear(times: &[Timestamp], mut column: Vector) -> Vector {
    let Some(mut bits) = column.validity.take() else { return column };
    let known: Vec<usize> = (0..bits.len()).filter(|row| bits.get(*row)).collect();
    for pair in known.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let span = times[to] as f64 - times[from] as f64;
        for row in from + 1..to {
            let share = (times[row] as f64 - times[from] as f64) / span;
            let between = |a: f64, b: f64| a + (b - a) * share;
            match &mut column.data {
                Data::Float(v) => v[row] = between(v[from], v[to]),
                Data::Integer(v) => v[row] = between(v[from] as f64, v[to] as f64) as i64,
                Data::Unsigned(v) => v[row] = between(v[from] as f64, v[to] as f64) as u64,
                _ => continue,
            }
            bits.set(row, true);
        }
    }
    column.validity = (bits.count() < bits.len()).then_some(bits);
    column
}

#[cfg(test)]
mod tests {
    use firndb_tsdb::model::Bitmap;

    use super::super::vector::Cell;
    use super::*;

    fn gaps(values: &[Option<i64>]) -> Vector {
        let mut bits = Bitmap::filled(values.len(), true);
        (0..values.len()).filter(|i| values[*i].is_none()).for_each(|i| bits.set(i, false));
        let data = Data::Integer(values.iter().map(|v| v.unwrap_or(0)).collect());
        Vector { data, validity: Some(bits) }
    }

    fn cells(v: &Vector) -> Vec<Option<i64>> {
        let cell = |row| if let Cell::Integer(v) = v.cell(row) { Some(v) } else { None };
        (0..v.len()).map(cell).collect()
    }

    #[test]
    fn fills() {
        let times: Vec<i64> = (0..6).map(|i| i * 10).collect();
        let input = [None, Some(2), None, None, Some(8), None];
        let cases = [
            ("null", Fill::Null, false, input),
            ("count", Fill::Null, true, [0, 2, 0, 0, 8, 0].map(Some)),
            ("number", Fill::Value(Literal::Float(7.9)), true, [7, 2, 7, 7, 8, 7].map(Some)),
            (
                "previous",
                Fill::Previous,
                false,
                [None, Some(2), Some(2), Some(2), Some(8), Some(8)],
            ),
            ("linear", Fill::Linear, false, [None, Some(2), Some(4), Some(6), Some(8), None]),
        ];
        for (name, fill, is_count, expected) in cases {
            let out = apply(&fill, is_count, &times, gaps(&input), &mut None);
            assert_eq!(cells(&out), expected, "{name}");
        }
    }

    #[test]
    fn previous_is_carried_over_batches() {
        let mut carry = None;
        let times = [0, 10];
        let first = apply(&Fill::Previous, false, &times, gaps(&[Some(1), None]), &mut carry);
        let second = apply(&Fill::Previous, false, &times, gaps(&[None, Some(3)]), &mut carry);
        let third = apply(&Fill::Previous, false, &times, gaps(&[None, None]), &mut carry);
        assert_eq!(cells(&first), [Some(1), Some(1)]);
        assert_eq!(cells(&second), [Some(1), Some(3)]);
        assert_eq!(cells(&third), [Some(3), Some(3)]);
    }
}
