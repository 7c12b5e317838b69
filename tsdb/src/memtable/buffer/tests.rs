//! A buffer against a map from (time, field) to the last value.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TYPES: [FieldType; 4] =
    [FieldType::Integer, FieldType::Float, FieldType::Boolean, FieldType::Unsigned];

fn shapes() -> Vec<Vec<ShapeField>> {
    let field = |id: u32| (FieldId(id), TYPES[id as usize]);
    vec![
        vec![field(0), field(1)],
        vec![field(1)],
        vec![field(0), field(1), field(2), field(3)],
        vec![field(3)],
    ]
}

/// Value `n` of a field as its slot.
fn slot(field: FieldId, n: u64) -> u64 {
    match TYPES[field.0 as usize] {
        FieldType::Boolean => n % 2,
        FieldType::Float => (n as f64).to_bits(),
        _ => n,
    }
}

fn slot_of(column: &Column, row: usize) -> Option<u64> {
    if !column.is_valid(row) {
        return None;
    }
    Some(match &column.values {
        Values::Float(v) => v[row].to_bits(),
        Values::Integer(v) => v[row] as u64,
        Values::Unsigned(v) => v[row],
        Values::Boolean(v) => u64::from(v[row]),
        Values::String { .. } | Values::Missing(_) => unreachable!("not in these shapes"),
    })
}

fn check(rows: &[(i64, u32)], range: TimeRange) {
    let shapes = shapes();
    let mut buffer = SeriesBuffer::new(rows[0].1);
    let mut model: BTreeMap<i64, BTreeMap<FieldId, u64>> = BTreeMap::new();
    for (n, (timestamp, shape)) in rows.iter().enumerate() {
        let mut slots = vec![*timestamp as u64];
        for (field, _) in &shapes[*shape as usize] {
            slots.push(slot(*field, n as u64));
            model.entry(*timestamp).or_default().insert(*field, slot(*field, n as u64));
        }
        buffer.push(*shape, &slots);
    }
    let asked: Vec<FieldId> = [3, 0, 2, 1, 9].map(FieldId).to_vec();
    let got = buffer.read(&asked, range, &shapes, &[]);
    let wanted: Vec<_> = model.iter().filter(|(time, _)| range.contains(**time)).collect();
    assert_eq!(got.timestamps, wanted.iter().map(|(time, _)| **time).collect::<Vec<_>>());
    assert_eq!(buffer.has_rows(range, &shapes), !wanted.is_empty());
    for (column, field) in got.columns.iter().zip(&asked) {
        assert_eq!((column.field, column.values.len()), (*field, wanted.len()));
        for (row, (_, values)) in wanted.iter().enumerate() {
            assert_eq!(slot_of(column, row), values.get(field).copied(), "{field:?} row {row}");
        }
    }
    let fields: Vec<FieldId> = buffer.fields(&shapes).iter().map(|(id, _)| *id).collect();
    let mut used: Vec<FieldId> = model.values().flat_map(|row| row.keys().copied()).collect();
    used.sort();
    used.dedup();
    assert_eq!(fields, used);
}

proptest! {
    #[test]
    fn reads_what_was_last_written(
        rows in proptest::collection::vec((-20i64..20, 0u32..4), 1..60),
        start in -25i64..25,
        len in 0i64..40,
    ) {
        check(&rows, TimeRange::new(start, start + len));
    }

    #[test]
    fn reads_sorted_rows_of_one_shape(count in 1i64..80, start in -5i64..90, len in -1i64..40) {
        let rows: Vec<(i64, u32)> = (0..count).map(|n| (n, 2)).collect();
        check(&rows, TimeRange::new(start, start + len));
    }
}

#[test]
fn small_buffers_hold_little() {
    let shapes = shapes();
    let mut buffer = SeriesBuffer::new(2);
    let grown: usize = (0..2u64).map(|n| buffer.push(2, &[n, 0, 0, 0, 0])).sum();
    assert_eq!(grown, 2 * 5 * 8);
    assert!(size_of::<SeriesBuffer>() <= 64, "{}", size_of::<SeriesBuffer>());
    assert_eq!(buffer.fields(&shapes).len(), 4);
}

#[test]
fn strings_come_from_the_text() {
    use crate::memtable::payload::text_slot;
    let shapes = vec![vec![(FieldId(0), FieldType::String)]];
    let mut buffer = SeriesBuffer::new(0);
    buffer.push(0, &[5, text_slot(1, 2)]);
    buffer.push(0, &[4, text_slot(0, 0)]);
    let got = buffer.read(&[FieldId(0)], TimeRange::ALL, &shapes, b"xyz");
    let values = Values::String { offsets: vec![0, 0, 2], bytes: b"yz".to_vec() };
    assert_eq!((got.timestamps, &got.columns[0].values), (vec![4, 5], &values));
}
