//! Random appends and erasures against a map; what a flush makes of what is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use croaring::Bitmap;
use firndb_engine::key::{Kind, Op};
use firndb_engine::memtable::Memtable;
use firndb_engine::scan::Cursor;
use proptest::prelude::*;

use super::super::payload::PayloadWriter;
use super::*;
use crate::model::{FieldId, FieldType, FieldValue, SeriesId, TimeRange, Timestamp, Values};

const FIELDS: [ShapeField; 3] = [
    (FieldId(0), FieldType::Integer),
    (FieldId(1), FieldType::String),
    (FieldId(4), FieldType::Integer),
];

/// Values by series, time and field; of text its length.
type Model = BTreeMap<u32, BTreeMap<Timestamp, BTreeMap<FieldId, i64>>>;

#[derive(Debug, Clone)]
enum Step {
    Rows(Vec<(u32, Timestamp, Vec<usize>, i64)>),
    Erase(Vec<u32>, Vec<TimeRange>, Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let series = || 0u32..130;
    let fields = |least| proptest::sample::subsequence(vec![0usize, 1, 2], least..=2);
    let row = (series(), 0i64..12, fields(1), 0i64..5);
    let range = (0i64..12, 0i64..4).prop_map(|(start, len)| TimeRange::new(start, start + len));
    prop_oneof![
        2 => proptest::collection::vec(row, 1..20).prop_map(Step::Rows),
        1 => (proptest::collection::vec(series(), 1..90), range, fields(0))
            .prop_map(|(series, range, fields)| Step::Erase(series, vec![range], fields)),
    ]
}

fn rows_payload(rows: &[(u32, Timestamp, Vec<usize>, i64)]) -> Vec<u8> {
    let mut writer = PayloadWriter::new(0);
    let mut shapes: Vec<Vec<usize>> = Vec::new();
    for (series, timestamp, fields, value) in rows {
        let series = SeriesId(*series);
        match shapes.iter().position(|shape| shape == fields) {
            Some(shape) => writer.begin(series, shape as u32, *timestamp),
            None => {
                let shape: Vec<ShapeField> = fields.iter().map(|at| FIELDS[*at]).collect();
                writer.begin_new_shape(series, &shape, *timestamp);
                shapes.push(fields.clone());
            }
        }
        for at in fields {
            match FIELDS[*at].1 {
                FieldType::String => {
                    writer.value(&FieldValue::String("x".repeat(*value as usize).into()));
                }
                _ => writer.value(&FieldValue::Integer(*value)),
            }
        }
    }
    writer.bytes().to_vec()
}

fn payload(step: &Step, model: &mut Model) -> Vec<u8> {
    match step {
        Step::Rows(rows) => {
            for (series, timestamp, fields, value) in rows {
                let row = model.entry(*series).or_default().entry(*timestamp).or_default();
                row.extend(fields.iter().map(|at| (FIELDS[*at].0, *value)));
            }
            rows_payload(rows)
        }
        Step::Erase(series, ranges, fields) => {
            let ids: Vec<FieldId> = fields.iter().map(|at| FIELDS[*at].0).collect();
            for (_, rows) in model.iter_mut().filter(|(id, _)| series.contains(id)) {
                for (timestamp, row) in rows.iter_mut() {
                    if ranges.iter().any(|range| range.contains(*timestamp)) {
                        row.retain(|field, _| !ids.is_empty() && !ids.contains(field));
                    }
                }
                rows.retain(|_, row| !row.is_empty());
            }
            model.retain(|_, rows| !rows.is_empty());
            encode(&[Group {
                policy: None,
                series: Arc::new(Bitmap::of(series)),
                ranges: ranges.clone().into(),
                fields: (!ids.is_empty()).then(|| ids.into()),
            }])
        }
    }
}

fn read(memtable: &PointsMemtable, series: u32) -> BTreeMap<Timestamp, BTreeMap<FieldId, i64>> {
    let fields = FIELDS.map(|(field, _)| field);
    let mut rows: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let Some(columns) = memtable.read(SeriesId(series), &fields, TimeRange::ALL) else {
        return rows;
    };
    for (row, timestamp) in columns.timestamps.iter().enumerate() {
        let found = rows.entry(*timestamp).or_default();
        for column in columns.columns.iter().filter(|column| column.is_valid(row)) {
            let value = match &column.values {
                Values::Integer(values) => values[row],
                Values::String { offsets, .. } => i64::from(offsets[row + 1] - offsets[row]),
                other => panic!("{other:?}"),
            };
            found.insert(column.field, value);
        }
    }
    rows
}

proptest! {
    #[test]
    fn rows_are_taken_away_in_their_turn(steps in proptest::collection::vec(step(), 1..12)) {
        let memtable = Arc::new(PointsMemtable::new());
        let mut model = Model::new();
        for (step, seq) in steps.iter().zip(1..) {
            let payload = payload(step, &mut model);
            super::super::check(&payload).unwrap();
            memtable.apply(seq, &Op { kind: Kind::Append, key: &[], value: &payload });
            prop_assert_eq!(memtable.seq_max(), seq);
        }
        let listed: Vec<u32> = memtable.series().iter().map(|series| series.0).collect();
        prop_assert_eq!(&listed, &model.keys().copied().collect::<Vec<_>>());
        for series in 0..130 {
            let expected = model.get(&series).cloned().unwrap_or_default();
            prop_assert_eq!(read(&memtable, series), expected);
        }
        // The flush gives the same series, each once, and nothing when nothing is left.
        let mut cursor = memtable.clone().cursor();
        cursor.seek_first().unwrap();
        let mut flushed = Vec::new();
        while cursor.valid() {
            flushed.push(crate::keys::parse_chunk_key(cursor.key()).unwrap().0.0);
            cursor.next().unwrap();
        }
        prop_assert_eq!(flushed, listed);
        cursor.seek_last().unwrap();
        prop_assert_eq!(cursor.valid(), !model.is_empty());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(0u8..12, 0..60)) {
        let _ = super::super::check(&[&[VERSION][..], &bytes].concat());
    }
}

#[test]
fn memory_is_given_back() {
    let memtable = PointsMemtable::new();
    let rows: Vec<_> = (0..10_000).map(|t| (7, t, vec![0, 2], 1)).collect();
    let apply = |seq, payload: &[u8]| {
        memtable.apply(seq, &Op { kind: Kind::Append, key: &[], value: payload });
    };
    apply(1, &rows_payload(&rows));
    let before = memtable.bytes();
    apply(
        2,
        &payload(&Step::Erase(vec![7], vec![TimeRange::new(0, 8_999)], vec![]), &mut Model::new()),
    );
    assert!(memtable.bytes() < before / 4, "{} of {before} bytes", memtable.bytes());
    apply(3, &payload(&Step::Erase(vec![7], vec![TimeRange::ALL], vec![]), &mut Model::new()));
    assert!(memtable.read(SeriesId(7), &[FieldId(0)], TimeRange::ALL).is_none());
    assert!(memtable.span(SeriesId(7)).is_none());
}
