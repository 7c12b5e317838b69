//! The time-series layer without text: writes of known and of new series, scans of one series.
//!
//! Prints processor time of the calling thread (flushes and compactions run elsewhere), so that
//! a busy machine disturbs less. Rows are those of the TSBS `cpu-only` set: ten tags, ten fields.
//! Run: `cargo bench --bench points -- FOLDER`.

// It measures and prints.
#![allow(missing_docs, clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

#[path = "shared/clock.rs"]
mod clock;
#[path = "shared/store.rs"]
mod store;

use std::time::Instant;

use firndb_engine::store::CompactOptions;
use firndb_tsdb::model::{
    Batch, Field, FieldId, FieldValue, Point, PointSeries, SeriesId, Tag, TimeRange,
};
use firndb_tsdb::{Database, Piece, ScanRequest, Tsdb};

use store::open;

const SECOND_NS: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND_NS;
const HOSTS: usize = 4000;

/// Processor time of this thread in nanoseconds.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn resident_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

fn fields(seed: u64) -> Vec<Field<'static>> {
    let keys = [
        "usage_user",
        "usage_system",
        "usage_idle",
        "usage_nice",
        "usage_iowait",
        "usage_irq",
        "usage_softirq",
        "usage_steal",
        "usage_guest",
        "usage_guest_nice",
    ];
    let value = |n: usize| FieldValue::Integer((seed >> (n * 5) & 127) as i64 % 100);
    keys.iter().enumerate().map(|(n, key)| Field { key: (*key).into(), value: value(n) }).collect()
}

fn text(host: usize) -> String {
    format!(
        "cpu,hostname=host_{host},region=eu-central-1,datacenter=eu-central-1a,rack={},os=Ubuntu,\
         arch=x64,team=SF,service={},service_version=1,service_environment=production",
        host % 100,
        host % 20
    )
}

/// A batch with a row of each host at `timestamp`.
fn batch<'a>(database: &Database, texts: &'a [String], timestamp: i64, rows: usize) -> Batch<'a> {
    let mut batch = Batch::default();
    for (line, text) in texts.iter().enumerate() {
        let series = match database.known_series(text.as_bytes()) {
            Some(known) => PointSeries::Known(known),
            None => {
                let mut parts = text.split(',');
                let measurement = parts.next().unwrap().into();
                let start = batch.tags.len() as u32;
                batch.tags.extend(parts.map(|tag| {
                    let (key, value) = tag.split_once('=').unwrap();
                    Tag { key: key.into(), value: value.into() }
                }));
                let tags = start..batch.tags.len() as u32;
                PointSeries::New { text: text.as_bytes(), measurement, tags }
            }
        };
        for row in 0..rows {
            let start = batch.fields.len() as u32;
            let seed = (line as u64 + row as u64 * 7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let seed = seed ^ timestamp as u64;
            batch.fields.extend(fields(seed));
            let fields = start..batch.fields.len() as u32;
            let timestamp = timestamp + row as i64 * 10 * SECOND_NS;
            batch.points.push(Point { series: series.clone(), fields, timestamp, line: 0 });
        }
    }
    batch
}

fn known_series(tsdb: &Tsdb) {
    let database = tsdb.create_database("known", None).unwrap();
    let texts: Vec<String> = (0..HOSTS).map(text).collect();
    database.write(None, &batch(&database, &texts, START - SECOND_NS, 1), START).unwrap();
    let steps = 1000;
    let mut spent = 0;
    let start = Instant::now();
    for step in 0..steps {
        let batch = batch(&database, &texts, START + step * 10 * SECOND_NS, 1);
        let before = cpu_ns();
        let got = database.write(None, &batch, START).unwrap();
        spent += cpu_ns() - before;
        assert_eq!(got.written, HOSTS as u64);
    }
    println!(
        "known series, rows of 10:  {:6.0} ns a row of this thread; {:.1} s wall with making",
        spent as f64 / (steps as f64 * HOSTS as f64),
        start.elapsed().as_secs_f64()
    );
}

fn new_series(tsdb: &Tsdb) {
    let database = tsdb.create_database("new", None).unwrap();
    let (total, per_batch) = (1_000_000, 5000);
    let mut spent = 0;
    let start = Instant::now();
    for first in (0..total).step_by(per_batch) {
        let texts: Vec<String> = (first..first + per_batch).map(text).collect();
        let batch = batch(&database, &texts, START, 1);
        let before = cpu_ns();
        database.write(None, &batch, START).unwrap();
        spent += cpu_ns() - before;
    }
    let metrics = tsdb.store().metrics();
    println!(
        "new series:                {:6.0} k series/s of this thread, {:.1} s wall; peak {} MiB \
         resident, {} MiB memtables at the end",
        total as f64 / (spent as f64 / 1e9) / 1e3,
        start.elapsed().as_secs_f64(),
        resident_mib(),
        (metrics.memtable_active_bytes + metrics.memtable_sealed_bytes) >> 20,
    );
    assert_eq!(database.series_count(), total as u64);
}

fn scan(database: &Database, name: &str) {
    let info = database.measurement("cpu").unwrap();
    let fields: Vec<FieldId> = vec![info.field("usage_user").unwrap().id];
    let rounds = 2000;
    let mut rows = 0;
    let before = cpu_ns();
    for round in 0..rounds {
        let series = [SeriesId((round * 37 % HOSTS) as u32)];
        let from = START + 3600 * SECOND_NS;
        let request = ScanRequest {
            policy: None,
            measurement: info.id,
            series: &series,
            fields: &fields,
            range: TimeRange::new(from, from + 3600 * SECOND_NS - 1),
            descending: false,
            now: START,
        };
        let scan = database.scan(&request).unwrap();
        let mut pieces = scan.series(0).unwrap();
        while let Some(piece) = pieces.next_piece().unwrap() {
            rows += match piece {
                Piece::Rows(columns) => columns.rows(),
                Piece::Chunk(chunk) => chunk.load(&[0], TimeRange::ALL).unwrap().rows(),
            };
        }
    }
    println!(
        "one series, one hour, {name:<9} {:6.1} us a scan, {} rows each",
        (cpu_ns() - before) as f64 / rounds as f64 / 1e3,
        rows / rounds
    );
}

fn main() {
    let dir = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let dir = std::path::PathBuf::from(dir.expect("a folder to work in")).join("points-bench");
    let _ = std::fs::remove_dir_all(&dir);
    let tsdb = open(&dir);
    known_series(&tsdb);
    let database = tsdb.database("known").unwrap();
    scan(&database, "as it is");
    tsdb.store().flush(None).unwrap();
    scan(&database, "flushed");
    tsdb.store().compact(None, CompactOptions { is_final: false }, &|| false).unwrap();
    scan(&database, "compacted");
    tsdb.store().compact(None, CompactOptions { is_final: true }, &|| false).unwrap();
    scan(&database, "final");
    new_series(&tsdb);
    tsdb.store().close().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}
