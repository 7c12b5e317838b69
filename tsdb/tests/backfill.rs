//! Many partitions at once: a year in random order of days, and ten thousand days to open.

use std::collections::BTreeSet;

use firndb_engine::fs::sim::{OpKind, Rng, SimFs};
use firndb_engine::options::Durability;
use firndb_engine::store::CompactOptions;
use firndb_tsdb::model::Timestamp;
use firndb_tsdb::{Database, PolicySpec, Tsdb};

use crate::truth::{NewPoint, Value, options, write};

const DAY_NS: i64 = 86_400_000_000_000;
const START: Timestamp = 1_500_000_000_000_000_000 / DAY_NS * DAY_NS;

fn by_days() -> PolicySpec {
    PolicySpec { shard_duration_ns: Some(DAY_NS), ..PolicySpec::default() }
}

fn point(host: u64, at: Timestamp) -> NewPoint {
    let value = Value::Integer(at / 1_000_000_000 % 1000 + host as i64);
    NewPoint {
        series: ("cpu".to_owned(), vec![("host".to_owned(), format!("h{host}"))]),
        fields: vec![("busy".to_owned(), value)],
        timestamp: at,
    }
}

/// Partitions of the store.
fn partitions(tsdb: &Tsdb) -> usize {
    tsdb.store().keyspaces().iter().filter(|k| k.name.starts_with("points/")).count()
}

/// A point every two minutes over the days, which come in the order given.
fn load(database: &Database, order: &[u64], now: Timestamp) {
    for days in order.chunks(30) {
        // A batch takes an hour of each of its days: all of their partitions at once.
        for hour in 0..24 {
            let points: Vec<NewPoint> = (days.iter())
                .flat_map(|day| (0..30).map(move |minutes| (day, 2 * minutes)))
                .map(|(day, minute)| {
                    let at = START + *day as i64 * DAY_NS + (hour * 60 + minute) * 60_000_000_000;
                    point(0, at)
                })
                .collect();
            let summary = write(database, None, &points, now).unwrap();
            assert_eq!(summary.written, points.len() as u64);
        }
    }
}

/// Loads, compacts to the end; bytes of tables and number of partitions.
fn loaded(order: &[u64]) -> (u64, usize) {
    let fs = SimFs::new(7);
    let mut options = options(&fs, Durability::Os);
    options.engine.memtable_bytes_max = 1 << 20;
    let tsdb = Tsdb::open(options).unwrap();
    let database = tsdb.create_database("year", Some(by_days())).unwrap();
    load(&database, order, START + 400 * DAY_NS);
    let metrics = tsdb.store().metrics();
    let held = metrics.memtable_active_bytes + metrics.memtable_sealed_bytes;
    assert!(held <= 2 << 20, "{held} bytes of memtables");
    tsdb.store().compact(None, CompactOptions { is_final: true }, &|| false).unwrap();
    let files = fs.files();
    let bytes = files.iter().filter(|path| path.extension().is_some_and(|e| e == "tbl"));
    let bytes = bytes.map(|path| fs.bytes(path).unwrap().len() as u64).sum();
    (bytes, partitions(&tsdb))
}

#[test]
fn a_year_in_random_order_of_days_ends_as_compact_as_in_order() {
    let in_order: Vec<u64> = (0..365).collect();
    let mut random = in_order.clone();
    let mut rng = Rng::new(20_261_121);
    for at in (1..random.len()).rev() {
        random.swap(at, rng.below(at as u64 + 1) as usize);
    }
    let (bytes, partitions) = loaded(&in_order);
    let (bytes_random, partitions_random) = loaded(&random);
    println!("in order {bytes} bytes, random {bytes_random} bytes");
    assert_eq!((partitions, partitions_random), (365, 365));
    assert!(bytes_random * 100 <= bytes * 102, "{bytes_random} over {bytes} bytes");
}

#[test]
fn partitions_of_a_batch_are_made_by_one_edit() {
    let fs = SimFs::new(1);
    let tsdb = Tsdb::open(options(&fs, Durability::Os)).unwrap();
    let database = tsdb.create_database("days", Some(by_days())).unwrap();
    write(&database, None, &[point(0, START)], START).unwrap();
    let points: Vec<NewPoint> = (1..100).map(|day| point(0, START + day * DAY_NS)).collect();
    fs.start_trace();
    write(&database, None, &points, START).unwrap();
    let is_manifest = |path: &std::path::Path| path.to_string_lossy().contains("MANIFEST");
    let trace = fs.trace();
    let syncs = trace.iter().filter(|op| op.kind == OpKind::Sync && is_manifest(&op.path));
    assert_eq!(syncs.count(), 1, "{trace:?}");
    assert_eq!(partitions(&tsdb), 100);
}

#[test]
fn ten_thousand_partitions_open_without_reading_them() {
    const DAYS: i64 = 10_000;
    let fs = SimFs::new(3);
    let settings = || {
        let mut options = options(&fs, Durability::Os);
        options.engine.memtable_bytes_max = 256 << 20;
        options.engine.memtable_bytes_hard = 512 << 20;
        options.engine.wal_bytes_max = 256 << 20;
        options
    };
    let start = 0;
    {
        let tsdb = Tsdb::open(settings()).unwrap();
        let database = tsdb.create_database("days", Some(by_days())).unwrap();
        let points: Vec<NewPoint> = (0..DAYS).map(|day| point(0, start + day * DAY_NS)).collect();
        write(&database, None, &points, start).unwrap();
        tsdb.store().flush(None).unwrap();
        // What a kill leaves: a log with something in it.
        write(&database, None, &[point(1, start)], start).unwrap();
        tsdb.store().close().unwrap();
    }
    fs.start_trace();
    let tsdb = Tsdb::open(settings()).unwrap();
    assert_eq!(partitions(&tsdb) as i64, DAYS);
    let is_table = |path: &std::path::Path| path.extension().is_some_and(|e| e == "tbl");
    let trace = fs.trace();
    let tables: BTreeSet<_> = trace.iter().map(|op| &op.path).filter(|p| is_table(p)).collect();
    println!("{} calls, {} tables", trace.len(), tables.len());
    // Those of the index and the catalog, whatever the number of partitions.
    assert!(tables.len() <= 4, "{tables:?}");
    assert!(trace.len() < 500, "{} calls", trace.len());
}
