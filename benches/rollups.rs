//! What rollups cost beside what points cost anyway: processor time of flushes, compactions and
//! maintenance, with and without a rollup of two levels (1m, 1h).
//!
//! All jobs run in the calling thread, whose processor time is printed. Rows have ten integers, as
//! in the TSBS `cpu-only` set, every ten seconds and every second. An hour is written, flushed and
//! maintained at a time; in the end partitions are closed as they are once their window is over.
//! Run: `cargo bench --bench rollups -- FOLDER`.

// It measures and prints.
#![allow(missing_docs, clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

#[path = "shared/clock.rs"]
mod clock;

use std::path::Path;
use std::sync::Arc;

use firndb_engine::fs::real::RealFs;
use firndb_engine::hooks::Plain;
use firndb_engine::options::{Background, Durability, Options as EngineOptions};
use firndb_engine::store::CompactOptions;
use firndb_tsdb::model::{Batch, Field, FieldValue, Point, PointSeries, Tag, TimeRange};
use firndb_tsdb::{Database, Options, RollupLevel, RollupSpec, Tsdb};

use clock::BenchClock;

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3600 * SECOND_NS;
/// A whole day, so that days and partitions begin here.
const START: i64 = 19_675 * 24 * HOUR_NS;
const FIELDS: usize = 10;

/// Processor time of this thread in nanoseconds.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn open(dir: &Path) -> Tsdb {
    let clock = Arc::new(BenchClock::new());
    let mut engine = EngineOptions::new(dir, Arc::new(RealFs), clock, Arc::new(Plain::new()));
    engine.durability = Durability::Os;
    engine.background = Background::Inline;
    engine.memtable_bytes_max = 1 << 30; // flushed by the hour
    engine.memtable_bytes_hard = 2 << 30;
    let mut options = Options::new(engine);
    options.rolling.rows_per_call = u64::MAX;
    Tsdb::open(options).unwrap()
}

/// Values that wander, as percentages do.
fn value(host: usize, field: usize, row: i64) -> i64 {
    let seed = (host as u64 * 31 + field as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let wander = (seed ^ row as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 61;
    50 + (seed >> 60) as i64 + wander as i64
}

fn write_rows(database: &Database, hosts: usize, timestamp: i64, keys: &[String]) {
    let texts: Vec<String> = (0..hosts).map(|host| format!("cpu,host=host_{host}")).collect();
    let mut batch = Batch::default();
    for (host, text) in texts.iter().enumerate() {
        let series = match database.known_series(text.as_bytes()) {
            Some(known) => PointSeries::Known(known),
            None => {
                let start = batch.tags.len() as u32;
                batch.tags.push(Tag { key: "host".into(), value: text[9..].into() });
                let tags = start..start + 1;
                PointSeries::New { text: text.as_bytes(), measurement: "cpu".into(), tags }
            }
        };
        let start = batch.fields.len() as u32;
        batch.fields.extend(keys.iter().enumerate().map(|(field, key)| Field {
            key: key.as_str().into(),
            value: FieldValue::Integer(value(host, field, timestamp / SECOND_NS)),
        }));
        let fields = start..batch.fields.len() as u32;
        batch.points.push(Point { series, fields, timestamp, line: 0 });
    }
    let got = database.write(None, &batch, timestamp).unwrap();
    assert_eq!(got.written, hosts as u64);
}

/// Processor time of everything but the writes, and the part of it that built rollups.
struct Spent {
    all_ns: u64,
    building_ns: u64,
    bytes: u64,
}

fn run(dir: &Path, (hosts, step_s, hours): (usize, i64, i64), is_rolled_up: bool) -> Spent {
    let tsdb = open(dir);
    let database = tsdb.create_database("d", None).unwrap();
    let keys: Vec<String> = (0..FIELDS).map(|field| format!("usage_{field}")).collect();
    if is_rolled_up {
        let level = |every_s: i64| RollupLevel { every_ns: every_s * SECOND_NS, keep_ns: None };
        let levels = vec![level(60), level(3600)];
        database.create_rollup(&RollupSpec { levels, ..RollupSpec::default() }).unwrap();
    }
    let mut spent = Spent { all_ns: 0, building_ns: 0, bytes: 0 };
    for hour in 0..hours {
        let start = START + hour * HOUR_NS;
        for row in 0..3600 / step_s {
            write_rows(&database, hosts, start + row * step_s * SECOND_NS, &keys);
        }
        let before = cpu_ns();
        tsdb.store().flush(None).unwrap();
        let flushed = cpu_ns();
        tsdb.maintain(start + HOUR_NS + 120 * SECOND_NS).unwrap();
        let done = cpu_ns();
        spent.all_ns += done - before;
        spent.building_ns += done - flushed;
    }
    let before = cpu_ns();
    tsdb.store().flush(None).unwrap();
    tsdb.store().compact(None, CompactOptions { is_final: true }, &|| false).unwrap();
    spent.all_ns += cpu_ns() - before;
    if is_rolled_up {
        let status = database.rollup_status().unwrap().remove(0);
        let end = Some(START + hours * HOUR_NS);
        assert!(status.levels.iter().all(|level| level.built_until == end), "{status:?}");
        spent.bytes = status.levels.iter().map(|level| level.bytes).sum();
        let range = TimeRange::new(START, START + hours * HOUR_NS - 1);
        let covers = database.rollup_cover(None, "cpu", range, START + hours * HOUR_NS).unwrap();
        assert!(covers.iter().all(|cover| cover.spans == [range]));
    }
    spent
}

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let Some(dir) = args.next() else {
        println!("give a folder to write in: cargo bench --bench rollups -- FOLDER");
        return;
    };
    for (hosts, step_s, hours) in [(1000, 10, 8), (100, 1, 8)] {
        let values = (hosts as i64 * (3600 / step_s) * hours) as f64 * FIELDS as f64;
        let mut ns = [0.0; 2];
        let mut rolled = Spent { all_ns: 0, building_ns: 0, bytes: 0 };
        for (is_rolled_up, ns) in [false, true].into_iter().zip(&mut ns) {
            let dir = Path::new(&dir).join(format!("rollups-{step_s}s-{is_rolled_up}"));
            let _ = std::fs::remove_dir_all(&dir);
            let spent = run(&dir, (hosts, step_s, hours), is_rolled_up);
            *ns = spent.all_ns as f64 / values;
            rolled = spent;
            std::fs::remove_dir_all(&dir).unwrap();
        }
        println!(
            "a row each {step_s:2} s: {:5.1} ns a value without, {:5.1} with rollups: {:+.0} %; \
             building {:.1} ns, {:.2} bytes a value",
            ns[0],
            ns[1],
            (ns[1] / ns[0] - 1.0) * 100.0,
            rolled.building_ns as f64 / values,
            rolled.bytes as f64 / values,
        );
    }
}
