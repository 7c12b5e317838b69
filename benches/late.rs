//! Late points: what a load costs of which a tenth comes up to an hour late, beside the same load
//! in order.
//!
//! Lines are short TSBS `cpu-only` ones (ten integer fields) of 500 hosts over six hours, in bodies
//! of 5000 lines, parsed and written as the server does; then everything is flushed and compacted
//! to its final form. Printed is processor time of the whole process (flushes and compactions
//! included), the least of three rounds, and the bytes that are left.
//! Run: `cargo bench --bench late -- FOLDER`.

// It measures and prints.
#![allow(missing_docs, clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

#[path = "shared/clock.rs"]
mod clock;

use std::path::Path;
use std::sync::Arc;

use firndb::ingest::line_protocol::parse;
use firndb::ingest::precision::Precision;
use firndb_engine::fs::real::RealFs;
use firndb_engine::hooks::Plain;
use firndb_engine::options::{Durability, Options as EngineOptions};
use firndb_engine::store::CompactOptions;
use firndb_tsdb::{Options, Tsdb};

use clock::BenchClock;

const HOSTS: u64 = 500;
const STEPS: u64 = 6 * 360;
const STEP_S: u64 = 10;
const LATE_S: u64 = 3600;
const BODY_LINES: usize = 5000;
const ROUNDS: usize = 3;
const START_S: u64 = 1_451_606_400;

/// Time of arrival, host and step of every point.
fn points(late_percent: u64) -> Vec<(u64, u64, u64)> {
    let mut random = 42u64;
    let mut points = Vec::new();
    for step in 0..STEPS {
        for host in 0..HOSTS {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let late_s = if random % 100 < late_percent { (random >> 32) % LATE_S } else { 0 };
            points.push((step * STEP_S + late_s, host, step));
        }
    }
    points.sort();
    points
}

fn bodies(late_percent: u64) -> Vec<String> {
    let line = |(_, host, step): &(u64, u64, u64)| {
        let seed = (host * 31 + step).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let fields: Vec<String> =
            (0..10).map(|n| format!("usage_{n}={}i", (seed >> (n * 5) & 127) % 100)).collect();
        let at = (START_S + step * STEP_S) * 1_000_000_000;
        format!("cpu,hostname=host_{host},region=eu,rack={} {} {at}\n", host % 90, fields.join(","))
    };
    points(late_percent).chunks(BODY_LINES).map(|chunk| chunk.iter().map(line).collect()).collect()
}

fn cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn tables_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let tables = entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "tbl"));
    tables.map(|entry| entry.metadata().unwrap().len()).sum()
}

/// Processor time of the load, and of all until the final form; bytes of tables.
fn load(dir: &Path, bodies: &[String]) -> (f64, f64, u64) {
    let _ = std::fs::remove_dir_all(dir);
    let clock = Arc::new(BenchClock::new());
    let hooks = Arc::new(Plain::new());
    let mut engine = EngineOptions::new(dir, Arc::new(RealFs), clock, hooks);
    engine.durability = Durability::Os;
    engine.memtable_bytes_max = 48 << 20;
    engine.memtable_bytes_hard = 96 << 20;
    let tsdb = Tsdb::open(Options::new(engine)).unwrap();
    let database = tsdb.create_database("bench", None).unwrap();
    let start = cpu_s();
    for body in bodies {
        let known = |series: &[u8]| database.known_series(series);
        let parsed = parse(body.as_bytes(), Precision::Nanosecond, 0, known);
        database.write(None, &parsed.batch, 0).unwrap();
    }
    tsdb.store().flush(None).unwrap();
    let loaded = cpu_s() - start;
    tsdb.store().compact(None, CompactOptions { is_final: true }, &|| false).unwrap();
    let settled = cpu_s() - start;
    tsdb.store().close().unwrap();
    (loaded, settled, tables_bytes(dir))
}

fn main() {
    let folder = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let dir = Path::new(&folder.expect("a folder to write to")).join("late");
    let loads = [("in order", bodies(0)), ("a tenth late", bodies(10))];
    let mut best = [(f64::INFINITY, f64::INFINITY, 0); 2];
    for _ in 0..ROUNDS {
        for ((_, bodies), best) in loads.iter().zip(&mut best) {
            let (loaded, settled, bytes) = load(&dir, bodies);
            *best = (best.0.min(loaded), best.1.min(settled), bytes);
        }
    }
    for ((name, _), (loaded, settled, bytes)) in loads.iter().zip(best) {
        println!("{name:<14} load {loaded:>6.2} s   until final {settled:>6.2} s   {bytes} bytes");
    }
    let [in_order, late] = best;
    println!("late / in order: {:.2} and {:.2}", late.0 / in_order.0, late.1 / in_order.1);
    let _ = std::fs::remove_dir_all(&dir);
}
