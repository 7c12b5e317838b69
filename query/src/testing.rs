//! A small store on a simulated file system, for unit tests.

use std::sync::Arc;

use firndb_engine::budget::Budget;
use firndb_engine::clock::ManualClock;
use firndb_engine::fs::sim::SimFs;
use firndb_engine::hooks::Plain;
use firndb_engine::options::{Background, Options as EngineOptions};
use firndb_engine::store::CompactOptions;
use firndb_ingest::line_protocol;
use firndb_ingest::precision::Precision;
use firndb_tsdb::{Options, Tsdb};

use crate::exec::{Cancel, Context, Limits};

/// What `now` is: 2023-11-14T23:13:20Z.
pub const NOW: i64 = 1_700_003_600_000_000_000;

/// Where points lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In memory.
    Memory,
    /// In tables.
    Tables,
    /// In tables of closed partitions.
    Compacted,
}

/// A store with database `d`.
pub fn open() -> Tsdb {
    let clock = Arc::new(ManualClock::at(NOW));
    let fs = Arc::new(SimFs::new(1));
    let mut engine = EngineOptions::new("/db", fs, clock, Arc::new(Plain::new()));
    engine.background = Background::Inline;
    let tsdb = Tsdb::open(Options::new(engine)).unwrap();
    tsdb.create_database("d", None).unwrap();
    tsdb
}

/// Writes lines into `d`, timestamps in nanoseconds.
pub fn write(tsdb: &Tsdb, lines: &str) {
    let database = tsdb.database("d").unwrap();
    let known = |text: &[u8]| database.known_series(text);
    let parsed = line_protocol::parse(lines.as_bytes(), Precision::Nanosecond, NOW, known);
    assert_eq!(parsed.error_count, 0, "{lines}");
    let summary = database.write(None, &parsed.batch, NOW).unwrap();
    assert!(summary.refused.is_empty(), "{:?}", summary.refused);
}

/// Moves all points there.
pub fn settle(tsdb: &Tsdb, place: Place) {
    if place != Place::Memory {
        tsdb.store().flush(None).unwrap();
    }
    if place == Place::Compacted {
        tsdb.store().compact(None, CompactOptions { is_final: true }, &|| false).unwrap();
    }
}

/// A context over `tsdb` with this many threads (0: the caller's).
pub fn context(tsdb: &Tsdb, threads: usize) -> Context {
    let pool = || rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    Context {
        tsdb: tsdb.clone(),
        pool: (threads > 0).then(|| Arc::new(pool())),
        budget: Budget::new(1 << 30),
        clock: Arc::new(ManualClock::at(NOW)),
        deadline_ns: None,
        cancel: Cancel::default(),
        limits: Limits::default(),
    }
}
