//! Deletes against merges that do not know them yet, and what else random histories seldom meet.

use std::sync::Arc;

use firndb_engine::batch::WriteBatch;
use firndb_engine::budget::{Budget, Share};
use firndb_engine::clock::ManualClock;
use firndb_engine::fs::sim::{OpKind, SimFs};
use firndb_engine::hooks::Plain;
use firndb_engine::options::{Background, Options as EngineOptions};
use firndb_engine::store::{CompactOptions, Store};

use super::purge::PurgeStep;
use super::*;
use crate::catalog::SYNCED;
use crate::database::Database;
use crate::erasure::Group;
use crate::hooks::{LeftOutByDatabase, Resolver};
use crate::maintenance::MaintenanceReport;
use crate::memtable::erase;
use crate::model::{Batch, Field, FieldType, FieldValue, Point, PointSeries, SeriesId, Values};
use crate::{Error, Options, Piece, ScanRequest, Tsdb};

pub(super) const NOW: i64 = 1_700_000_000_000_000_000;

fn engine_options(fs: &SimFs) -> EngineOptions {
    let (fs, clock) = (Arc::new(fs.clone()), Arc::new(ManualClock::at(0)));
    let mut engine = EngineOptions::new("/db", fs, clock, Arc::new(Plain::new()));
    engine.background = Background::Inline;
    engine
}

pub(super) fn open(fs: &SimFs) -> (Tsdb, Arc<Database>) {
    open_within(fs, &Budget::unlimited())
}

pub(super) fn open_within(fs: &SimFs, budget: &Budget) -> (Tsdb, Arc<Database>) {
    let engine = EngineOptions { budget: budget.clone(), ..engine_options(fs) };
    let tsdb = Tsdb::open(Options::new(engine)).unwrap();
    let database = tsdb.create_database("d", None).unwrap();
    (tsdb, database)
}

/// Writes a row of measurement `m`: field `f` of the value's type.
fn write(database: &Database, offset: i64, value: FieldValue<'_>) -> u64 {
    let batch = Batch {
        fields: vec![Field { key: "f".into(), value }],
        points: vec![Point {
            series: PointSeries::New { text: b"m", measurement: "m".into(), tags: 0..0 },
            fields: 0..1,
            timestamp: NOW + offset,
            line: 1,
        }],
        ..Batch::default()
    };
    database.write(None, &batch, NOW).unwrap().written
}

fn put(database: &Database, offset: i64) {
    assert_eq!(write(database, offset, FieldValue::Integer(offset)), 1);
}

fn request(range: TimeRange, fields: Option<Vec<String>>) -> DeleteRequest {
    let target = DeleteTarget { measurement: "m".to_owned(), tags: None, rows: None };
    let statement = "a delete".to_owned();
    DeleteRequest { policy: None, targets: vec![target], range, fields, statement }
}

fn offsets(from: i64, to: i64) -> TimeRange {
    TimeRange::new(NOW + from, NOW + to)
}

/// Offsets of the rows.
fn rows(database: &Database) -> Vec<i64> {
    let Some(info) = database.measurement("m") else { return Vec::new() };
    let series = database.series(Some("m"), None).unwrap();
    let fields: Vec<_> = info.fields.iter().map(|field| field.id).collect();
    let scan = database
        .scan(&ScanRequest {
            policy: None,
            measurement: info.id,
            series: &series,
            fields: &fields,
            range: TimeRange::ALL,
            descending: false,
            now: NOW,
        })
        .unwrap();
    let (mut pieces, mut found) = (scan.series(0).unwrap(), Vec::new());
    while let Some(piece) = pieces.next_piece().unwrap() {
        let columns = match piece {
            Piece::Rows(columns) => columns,
            Piece::Chunk(chunk) => chunk.load(&[0], TimeRange::ALL).unwrap(),
        };
        found.extend(columns.timestamps.iter().map(|timestamp| timestamp - NOW));
    }
    found
}

pub(super) fn compact(store: &Store, is_final: bool) {
    store.compact(None, CompactOptions { is_final }, &|| false).unwrap();
}

#[test]
fn a_merge_before_the_deletes_are_read_mixes_nothing() {
    for (is_final, is_begun) in [(false, true), (true, false)] {
        let fs = SimFs::new(1);
        let (tsdb, database) = open(&fs);
        (0..10).for_each(|offset| put(&database, offset));
        tsdb.store().flush(None).unwrap();
        database.delete(&request(offsets(2, 5), None), NOW).unwrap();
        put(&database, 4);
        tsdb.store().flush(None).unwrap();
        let expected = [0, 1, 4, 6, 7, 8, 9];
        assert_eq!(rows(&database), expected);
        drop(database);
        tsdb.store().close().unwrap();
        // A store whose hooks do not know the database's deletes, as while it is opened.
        let mut options = engine_options(&fs);
        let left_out = Arc::new(LeftOutByDatabase::default());
        if is_begun {
            left_out.begin("d"); // and not told what
        }
        options.hooks = Arc::new(Resolver::new(options.hooks.clone(), left_out));
        let store = Store::open(options).unwrap();
        compact(&store, is_final);
        store.close().unwrap();
        let (tsdb, database) = open(&fs);
        assert_eq!(rows(&database), expected);
        compact(tsdb.store(), is_final);
        assert_eq!(rows(&database), expected);
        purge(&database);
        assert_eq!(rows(&database), expected);
    }
}

#[test]
fn a_merge_while_a_delete_is_logged_mixes_nothing() {
    let (tsdb, database) = open(&SimFs::new(1));
    (0..5).for_each(|offset| put(&database, offset));
    tsdb.store().flush(None).unwrap();
    (5..10).for_each(|offset| put(&database, offset));
    // The steps of a delete, with a flush and a merge at the worst moment.
    let groups: Arc<[Group]> = [Group {
        policy: None,
        series: Arc::new(croaring::Bitmap::of(&[0])),
        ranges: [offsets(3, 6)].into(),
        fields: None,
    }]
    .into();
    let partition = database.partitions.all()[0].1.keyspace;
    let mut batch = WriteBatch::new();
    batch.append(partition, &erase::encode(&groups));
    let deleting = database.left_out.begin_delete();
    let commit = database.store.write_no_wait(&batch, SYNCED).unwrap();
    compact(tsdb.store(), true);
    database.left_out.add_delete(commit.seq(), groups);
    drop(deleting);
    let expected = [0, 1, 2, 7, 8, 9];
    assert_eq!(rows(&database), expected);
    assert_eq!(database.left_out.blind_merges(), 1);
    put(&database, 4);
    tsdb.store().rewrite(partition, CompactOptions::default(), &|| false).unwrap();
    assert_eq!(rows(&database), [0, 1, 2, 4, 7, 8, 9]);
}

pub(super) fn purge(database: &Database) {
    for _ in 0..100 {
        if database.deletes().iter().all(|delete| delete.state == DeleteState::Done) {
            return;
        }
        database.purge(NOW).unwrap();
    }
    panic!("{:?}", database.deletes());
}

#[test]
fn a_delete_between_two_writes_of_one_memtable_outlives_flush_and_replay() {
    for is_flushed in [false, true] {
        let fs = SimFs::new(1);
        let (tsdb, database) = open(&fs);
        (0..4).for_each(|offset| put(&database, offset));
        let report = database.delete(&request(offsets(1, 2), None), NOW).unwrap();
        assert_eq!(report, DeleteReport { id: Some(1), series: 1, partitions: 1 });
        put(&database, 2);
        if is_flushed {
            tsdb.store().flush(None).unwrap();
        }
        assert_eq!(rows(&database), [0, 2, 3]);
        drop(database);
        tsdb.store().close().unwrap();
        let (tsdb, database) = open(&fs);
        assert_eq!(rows(&database), [0, 2, 3]);
        purge(&database);
        assert_eq!(rows(&database), [0, 2, 3]);
        tsdb.store().close().unwrap();
    }
}

#[test]
fn a_deleted_field_may_come_back_with_another_type() {
    let (tsdb, database) = open(&SimFs::new(1));
    put(&database, 0);
    tsdb.store().flush(None).unwrap();
    put(&database, 1);
    let text = || FieldValue::String("a".into());
    assert_eq!(write(&database, 2, text()), 0, "another type");
    database.delete(&request(TimeRange::ALL, Some(vec!["f".to_owned()])), NOW).unwrap();
    assert_eq!(database.measurement("m").unwrap().fields, []);
    assert!(rows(&database).is_empty());
    assert_eq!(write(&database, 1, text()), 1);
    let field = database.measurement("m").unwrap().fields[0].clone();
    assert_eq!((field.id.0, field.field_type), (1, FieldType::String));
    tsdb.store().flush(None).unwrap();
    assert_eq!(rows(&database), [1]);
    compact(tsdb.store(), true);
    assert_eq!(rows(&database), [1]);
}

#[test]
fn a_partition_that_is_empty_goes_and_others_shrink() {
    let (tsdb, database) = open(&SimFs::new(1));
    let week = 7 * 86_400 * 1_000_000_000;
    let random = |offset: i64| {
        let mixed = offset.wrapping_mul(6_364_136_223_846_793_005);
        (mixed ^ mixed >> 29).wrapping_mul(1_442_695_040_888_963_407)
    };
    for offset in 0..500 {
        write(&database, offset, FieldValue::Integer(random(offset)));
        write(&database, offset - week, FieldValue::Integer(random(offset)));
    }
    compact(tsdb.store(), true);
    assert_eq!(database.partitions.all().len(), 2);
    let before = offsets(-week, -1);
    let count = database.count_matching(&request(before, None), NOW).unwrap();
    let expected = DeleteCount { points: 500, values: 500, series: 1, partitions: 1 };
    assert_eq!(count, expected);
    database.delete(&request(before, None), NOW).unwrap();
    database.delete(&request(offsets(10, 499), None), NOW).unwrap();
    let steps: Vec<_> = (0..4).map(|_| database.purge(NOW).unwrap()).collect();
    assert_eq!(steps.iter().map(|step| step.partitions).collect::<Vec<_>>(), [1, 1, 0, 0]);
    assert_eq!(steps.iter().map(|step| step.done).collect::<Vec<_>>(), [0, 0, 2, 0]);
    assert_eq!(database.partitions.all().len(), 1);
    assert_eq!(rows(&database), (0..10).collect::<Vec<_>>());
    for delete in database.deletes() {
        assert_eq!((delete.state, delete.done), (DeleteState::Done, Some(NOW)));
        assert!(delete.bytes_freed > 2_000, "{delete:?}");
    }
    write(&database, -week, FieldValue::Integer(1));
    assert_eq!(rows(&database)[..2], [-week, 0]);
}

/// Writes rows of `m` with values that do not pack.
fn put_many(database: &Database, count: i64) {
    for first in (0..count).step_by(10_000) {
        let mut batch = Batch::default();
        for offset in first..first + 10_000 {
            let at = batch.fields.len() as u32;
            let seed = (offset as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let value = FieldValue::Integer((seed ^ seed >> 29).wrapping_mul(0xbf58_476d) as i64);
            batch.fields.push(Field { key: "f".into(), value });
            batch.points.push(Point {
                series: PointSeries::New { text: b"m", measurement: "m".into(), tags: 0..0 },
                fields: at..at + 1,
                timestamp: NOW + offset,
                line: at,
            });
        }
        database.write(None, &batch, NOW).unwrap();
    }
}

#[test]
fn a_purge_ends_when_the_store_is_to_be_closed_and_the_next_open_goes_on() {
    let fs = SimFs::new(1);
    let (tsdb, database) = open(&fs);
    put_many(&database, 1_000_000);
    compact(tsdb.store(), false);
    database.delete(&request(offsets(10, 20), None), NOW).unwrap();
    let partition = database.partitions.all()[0].1.keyspace;
    let tables = |database: &Database| -> Vec<_> {
        let view = database.store.view(partition).unwrap();
        view.tables().iter().map(|table| (table.smallest.clone(), table.bytes)).collect()
    };
    let before = tables(&database);
    assert!(before.iter().map(|(_, bytes)| bytes).sum::<u64>() > 4 << 20, "{before:?}");
    // The moment at which its first table is made.
    let stopping = tsdb.clone();
    fs.observe(Some(Box::new(move |_, op| {
        if op.kind == OpKind::Create {
            stopping.stop_long_work();
        }
    })));
    let start = fs.op_count();
    assert_eq!(database.purge(NOW).unwrap(), PurgeStep::default());
    let calls = fs.op_count() - start;
    fs.observe(None);
    assert_eq!(tables(&database), before);
    assert_eq!(tsdb.maintain(NOW).unwrap(), MaintenanceReport::default(), "nothing any more");
    let rows = request(offsets(0, 9), None);
    let refused = database.count_matching(&rows, NOW).unwrap_err();
    assert!(matches!(refused, Error::Engine(firndb_engine::Error::Closed)), "{refused}");
    drop(database);
    tsdb.store().close().unwrap();
    drop(tsdb);

    let (_tsdb, database) = open(&fs);
    let listed = |database: &Database| {
        let delete = database.deletes().remove(0);
        (delete.state, delete.partitions, delete.partitions_left)
    };
    assert_eq!(listed(&database), (DeleteState::Purging, 1, 1));
    let start = fs.op_count();
    assert_eq!(database.purge(NOW).unwrap().partitions, 1);
    let calls_of_all = fs.op_count() - start;
    assert!(calls * 2 < calls_of_all, "{calls} calls, of {calls_of_all}");
    assert_eq!(listed(&database), (DeleteState::Purging, 1, 0));
    assert_eq!(database.purge(NOW).unwrap().done, 1);
    assert_eq!(listed(&database), (DeleteState::Done, 1, 0));
}

#[test]
fn a_delete_that_there_is_no_room_for_is_refused_and_takes_nothing() {
    let budget = Budget::new(1 << 30);
    let (_tsdb, database) = open_within(&SimFs::new(1), &budget);
    (0..4).for_each(|offset| put(&database, offset));
    let room = |bytes: u64| {
        let held = budget.ceiling_bytes(Share::Deletes) - budget.total_bytes() - bytes;
        budget.reserve_anyway(Share::Other, held)
    };
    let request = request(offsets(1, 2), None);
    for bytes in [0, 200, 900] {
        let others = room(bytes);
        let refused = database.delete(&request, NOW).unwrap_err();
        let is_busy = matches!(refused, Error::Engine(firndb_engine::Error::Busy { .. }));
        assert!(is_busy, "{refused}");
        assert_eq!((rows(&database).len(), database.deletes().len()), (4, 0));
        assert_eq!(budget.held_bytes(Share::Deletes), 0, "{bytes}");
        drop(others);
    }
    let others = room(4000);
    database.delete(&request, NOW).unwrap();
    drop(others);
    assert_eq!(rows(&database), [0, 3]);
}

#[test]
fn chunks_that_are_erased_whole_are_not_read() {
    let fs = SimFs::new(1);
    let (tsdb, database) = open(&fs);
    (0..10).for_each(|offset| put(&database, offset));
    tsdb.store().flush(None).unwrap();
    put(&database, 20);
    tsdb.store().flush(None).unwrap();
    database.delete(&request(offsets(0, 9), None), NOW).unwrap();
    let info = database.measurement("m").unwrap();
    let scan = database
        .scan(&ScanRequest {
            policy: None,
            measurement: info.id,
            series: &[SeriesId(0)],
            fields: &[info.fields[0].id],
            range: TimeRange::ALL,
            descending: false,
            now: NOW,
        })
        .unwrap();
    let mut pieces = scan.series(0).unwrap();
    let Some(Piece::Chunk(chunk)) = pieces.next_piece().unwrap() else { panic!("the untouched") };
    assert!(chunk.stats(0).is_some(), "with its statistics");
    let columns = chunk.load(&[0], TimeRange::ALL).unwrap();
    assert_eq!(columns.columns[0].values, Values::Integer(vec![20]));
    assert!(pieces.next_piece().unwrap().is_none());
}

#[test]
fn the_list_keeps_the_last_hundred() {
    let fs = SimFs::new(1);
    let (tsdb, database) = open(&fs);
    for offset in 0..150 {
        put(&database, offset);
        database.delete(&request(offsets(offset, offset), None), NOW).unwrap();
    }
    assert_eq!(database.delete(&request(offsets(9, 3), None), NOW).unwrap().id, None);
    purge(&database);
    let ids = |database: &Database| -> Vec<u64> {
        database.deletes().iter().map(|delete| delete.id).collect()
    };
    assert_eq!(ids(&database), (51..=150).collect::<Vec<_>>());
    drop(database);
    tsdb.store().close().unwrap();
    let (_tsdb, database) = open(&fs);
    assert_eq!(ids(&database), (51..=150).collect::<Vec<_>>());
    put(&database, 0);
    let report = database.delete(&request(offsets(0, 0), None), NOW).unwrap();
    assert_eq!(report.id, Some(151));
}

#[test]
fn numbers_of_deleted_fields_run_out_with_a_refusal() {
    let (_tsdb, database) = open(&SimFs::new(1));
    let mut taken = Vec::new();
    for round in 0..3 {
        let keys: Vec<String> = (0..30_000).map(|n| format!("{round}-{n}")).collect();
        let field = |key: &String| {
            let (key, value) = (key.clone().into(), FieldValue::Boolean(true));
            Field { key, value }
        };
        let point = Point {
            series: PointSeries::New { text: b"m", measurement: "m".into(), tags: 0..0 },
            fields: 0..30_000,
            timestamp: NOW,
            line: 1,
        };
        let batch = Batch {
            fields: keys.iter().map(field).collect(),
            points: vec![point],
            ..Batch::default()
        };
        taken.push(database.write(None, &batch, NOW).unwrap().written);
        database.delete(&request(TimeRange::ALL, Some(keys)), NOW).unwrap();
    }
    assert_eq!(taken, [1, 1, 0], "65,535 numbers in all");
}
