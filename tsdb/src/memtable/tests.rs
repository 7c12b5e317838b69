//! The memtable against a map, and what the flush makes of it.

use std::collections::BTreeMap;

use super::payload::PayloadWriter;
use super::*;
use crate::model::{FieldValue, Timestamp, Values};

const FIELD: FieldId = FieldId(0);

fn payload(rows: &[(u32, Timestamp, i64)]) -> Vec<u8> {
    let mut writer = PayloadWriter::new(0);
    for (index, (series, timestamp, value)) in rows.iter().enumerate() {
        let series = SeriesId(*series);
        if index == 0 {
            writer.begin_new_shape(series, &[(FIELD, FieldType::Integer)], *timestamp);
        } else {
            writer.begin(series, 0, *timestamp);
        }
        writer.value(&FieldValue::Integer(*value));
    }
    writer.bytes().to_vec()
}

fn apply(memtable: &PointsMemtable, seq: Seq, payload: &[u8]) {
    payload::decode::<true>(payload, &mut payload::NoSink).unwrap();
    memtable.apply(seq, &Op { kind: Kind::Append, key: &[], value: payload });
}

#[test]
fn rows_of_many_series_are_found_again() {
    let memtable = PointsMemtable::new();
    let mut model: BTreeMap<u32, BTreeMap<Timestamp, i64>> = BTreeMap::new();
    let mut random = 1u64;
    for seq in 1..200 {
        let mut rows = Vec::new();
        for _ in 0..50 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let series = (random >> 33) as u32 % 700 * 3;
            let timestamp = (random >> 20) as i64 % 100;
            rows.push((series, timestamp, (random >> 7) as i64));
            model.entry(series).or_default().insert(timestamp, (random >> 7) as i64);
        }
        apply(&memtable, seq, &payload(&rows));
    }
    assert_eq!(memtable.seq_max(), 199);
    let listed: Vec<u32> = memtable.series().iter().map(|series| series.0).collect();
    assert_eq!(listed, model.keys().copied().collect::<Vec<_>>());
    let range = TimeRange::new(20, 60);
    for series in 0..2100 {
        let rows = model.get(&series).cloned().unwrap_or_default();
        let wanted: Vec<_> = rows.range(20..=60).map(|(t, v)| (*t, *v)).collect();
        let got = memtable.read(SeriesId(series), &[FIELD], range);
        assert_eq!(memtable.has_rows(SeriesId(series), range), got.is_some());
        let got: Vec<_> = got.map_or_else(Vec::new, |columns| {
            let Values::Integer(values) = &columns.columns[0].values else { panic!("type") };
            columns.timestamps.iter().copied().zip(values.iter().copied()).collect()
        });
        assert_eq!(got, wanted, "series {series}");
    }
}

#[test]
fn million_small_series_stay_small() {
    let memtable = PointsMemtable::new();
    let rows: Vec<_> = (0..100_000u32).flat_map(|s| [(s, 1, 1), (s, 2, 2)]).collect();
    apply(&memtable, 1, &payload(&rows));
    let per_series = memtable.bytes() / 100_000;
    assert!(per_series <= 160, "{per_series} bytes per series of two rows");
}

#[test]
fn several_threads_write_at_once() {
    let memtable = PointsMemtable::new();
    std::thread::scope(|scope| {
        for thread in 0..4i64 {
            let memtable = &memtable;
            scope.spawn(move || {
                for batch in 0..50 {
                    let rows: Vec<_> =
                        (0..200).map(|s| (s * 7, batch * 4 + thread, thread)).collect();
                    apply(memtable, 1, &payload(&rows));
                }
            });
        }
    });
    for series in 0..200 {
        let columns = memtable.read(SeriesId(series * 7), &[FIELD], TimeRange::ALL).unwrap();
        assert_eq!(columns.timestamps, (0..200).collect::<Vec<_>>());
    }
}

#[test]
fn slices_hold_every_row_once() {
    for (rows, step) in [(1i64, 1i64), (7, 1), (100, 1), (100, 37), (64, 63)] {
        let memtable = PointsMemtable::new();
        // In order, or all over the place with a few written twice.
        let times: Vec<i64> = (0..rows).map(|row| row * step % 101).collect();
        let written: Vec<_> = times.iter().chain(&times[..times.len() / 3]).copied().collect();
        apply(&memtable, 1, &payload(&written.iter().map(|t| (3, *t, *t)).collect::<Vec<_>>()));
        let mut sorted = times.clone();
        sorted.sort_unstable();
        for slice_rows in [1, 8, 50, 1000] {
            let mut found = Vec::new();
            for slice in memtable.slices(SeriesId(3), slice_rows) {
                let columns = memtable.read_all(SeriesId(3), slice).expect("rows");
                assert!(columns.rows() <= slice_rows, "{rows} {step} {slice_rows}");
                found.extend(columns.timestamps);
            }
            assert_eq!(found, sorted, "{rows} {step} {slice_rows}");
        }
    }
    assert!(PointsMemtable::new().slices(SeriesId(3), 8).is_empty());
}
