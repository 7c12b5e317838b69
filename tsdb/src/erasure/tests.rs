//! Erasures against a map of cells, and their bytes.

use std::collections::BTreeMap;

use firndb_engine::coding::Decoder;
use proptest::prelude::*;

use super::*;
use crate::model::{Column, Values};

/// Cells by row and field.
type Cells = BTreeMap<i64, BTreeMap<FieldId, i64>>;

const FIELDS: [FieldId; 3] = [FieldId(0), FieldId(3), FieldId(7)];

fn columns(cells: &Cells) -> Columns {
    let column = |field: &FieldId| {
        let cell = |row: &BTreeMap<FieldId, i64>| row.get(field).copied();
        let has: Vec<bool> = cells.values().map(|row| cell(row).is_some()).collect();
        let mut validity = crate::model::Bitmap::default();
        has.iter().for_each(|has| validity.push(*has));
        // One column of text, whose bytes have to move.
        let values = match field.0 {
            3 => {
                let (mut offsets, mut bytes) = (vec![0], Vec::new());
                for row in cells.values() {
                    let text = cell(row).map_or(String::new(), |value| "x".repeat(value as usize));
                    bytes.extend_from_slice(text.as_bytes());
                    offsets.push(bytes.len() as u32);
                }
                Values::String { offsets, bytes }
            }
            _ => Values::Integer(cells.values().map(|row| cell(row).unwrap_or(0)).collect()),
        };
        let validity = Some(validity).filter(|_| has.contains(&false));
        Column { field: *field, values, validity }
    };
    let columns = FIELDS.iter().map(column).collect();
    Columns { timestamps: cells.keys().copied().collect(), columns }
}

fn cells(columns: &Columns) -> Cells {
    let mut cells = Cells::new();
    for (row, timestamp) in columns.timestamps.iter().enumerate() {
        let found = cells.entry(*timestamp).or_default();
        for column in columns.columns.iter().filter(|column| column.is_valid(row)) {
            found.insert(
                column.field,
                match &column.values {
                    Values::Integer(values) => values[row],
                    Values::String { offsets, .. } => i64::from(offsets[row + 1] - offsets[row]),
                    other => panic!("{other:?}"),
                },
            );
        }
    }
    cells
}

fn erasure(seq: Seq, ranges: &[(i64, i64)], fields: &[FieldId]) -> Erasure {
    Erasure {
        seq,
        series: Arc::new(Bitmap::of(&[1])),
        ranges: ranges.iter().map(|(start, end)| TimeRange::new(*start, *end)).collect(),
        fields: (!fields.is_empty()).then(|| fields.into()),
    }
}

fn some_cells() -> impl Strategy<Value = Cells> {
    let row = proptest::collection::btree_map(proptest::sample::select(&FIELDS[..]), 0i64..5, 1..3);
    proptest::collection::btree_map(0i64..40, row, 0..30)
}

fn some_erasure() -> impl Strategy<Value = Erasure> {
    let cuts = proptest::collection::btree_set(-5i64..45, 1..8);
    let fields = proptest::sample::subsequence(FIELDS.to_vec(), 0..3);
    (0u64..9, cuts, fields).prop_map(|(seq, cuts, fields)| {
        let cuts: Vec<i64> = cuts.into_iter().collect();
        let ranges: Vec<_> =
            (cuts.chunks(2)).map(|pair| (pair[0], *pair.last().expect("not empty"))).collect();
        erasure(seq, &ranges, &fields)
    })
}

proptest! {
    #[test]
    fn rows_lose_what_is_newer_than_their_source(
        before in some_cells(),
        erasures in proptest::collection::vec(some_erasure(), 0..4),
        source in 0u64..9,
    ) {
        let mut expected = before.clone();
        for erasure in erasures.iter().filter(|erasure| erasure.seq > source) {
            for (timestamp, row) in &mut expected {
                if erasure.ranges.iter().any(|range| range.contains(*timestamp)) {
                    row.retain(|field, _| !erasure.is_of_field(*field));
                }
            }
        }
        expected.retain(|_, row| !row.is_empty());
        let set = ErasureSet::new(erasures);
        prop_assert!(set.of(SeriesId(2)).is_empty());
        let mut got = columns(&before);
        let own = set.of(SeriesId(1));
        own.apply(source, &mut got);
        prop_assert_eq!(cells(&got), expected.clone());
        // What is told without reading is true.
        if let (Some(first), Some(last)) = (before.keys().next(), before.keys().last()) {
            let range = TimeRange::new(*first, *last);
            if !own.touch(source, &range, FIELDS.into_iter()) {
                prop_assert_eq!(&expected, &before);
            }
            if own.cover(source, &range, FIELDS.into_iter()) {
                prop_assert!(expected.is_empty());
            }
        }
    }

    #[test]
    fn records_come_back(
        groups in proptest::collection::vec(
            (some_erasure(), proptest::collection::vec(any::<u32>(), 1..9), any::<bool>()), 0..4),
        seq in proptest::option::of(1u64..),
    ) {
        let groups = groups.into_iter().map(|(erasure, series, all)| Group {
            policy: (!all).then(|| "short".into()),
            series: Arc::new(Bitmap::of(&series)),
            ranges: erasure.ranges,
            fields: erasure.fields,
        });
        let record = Record { seq, groups: groups.collect() };
        let bytes = record.encode();
        prop_assert_eq!(Record::decode(&bytes).unwrap(), record);
        for cut in 0..bytes.len() {
            let _ = Record::decode(&bytes[..cut]);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(0u8..20, 0..60)) {
        let _ = decode_groups(Decoder::new(&bytes));
    }
}

#[test]
fn all_of_time_has_bytes() {
    let all = Group {
        policy: None,
        series: Arc::new(Bitmap::from_range(0..100_000)),
        ranges: [TimeRange::ALL].into(),
        fields: None,
    };
    let record = Record { seq: None, groups: vec![all] };
    let bytes = record.encode();
    assert!(bytes.len() < 100, "{} bytes", bytes.len());
    assert_eq!(Record::decode(&bytes).unwrap(), record);
    assert_eq!(
        record.groups[0].within(&TimeRange::new(3, 4)).unwrap().span(),
        TimeRange::new(3, 4)
    );
    assert!(record.groups[0].within(&TimeRange::new(4, 3)).is_none());
}

#[test]
fn damage_is_refused() {
    let cases: [(&str, &[u8], &str); 6] = [
        ("a bitmap cut off", &[0, 0, 5], "length exceeds what is left"),
        ("no span", &[0, 1, 7, 0], "number of spans makes no sense"),
        ("more spans than bytes", &[0, 1, 7, 9, 0], "number of spans makes no sense"),
        ("fields descend", &[0, 1, 7, 1, 0, 0, 2, 3, 2], "field numbers do not ascend"),
        ("policy is no text", &[1, 0xff], "not UTF-8"),
        ("five series", &[0, 5, 1], "number of series"),
    ];
    for (name, bytes, reason) in cases {
        let error = decode_groups(Decoder::new(bytes)).unwrap_err();
        assert_eq!(error.reason, reason, "{name}");
    }
}
