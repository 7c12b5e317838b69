//! A store of points in a real folder, whose log nobody waits for.

use std::path::Path;
use std::sync::Arc;

use firndb_engine::fs::real::RealFs;
use firndb_engine::hooks::Plain;
use firndb_engine::options::{Durability, Options as EngineOptions};
use firndb_tsdb::{Options, Tsdb};

use crate::clock::BenchClock;

/// Opens the store in `dir`, or makes it.
pub fn open(dir: &Path) -> Tsdb {
    let clock = Arc::new(BenchClock::new());
    let mut engine = EngineOptions::new(dir, Arc::new(RealFs), clock, Arc::new(Plain::new()));
    engine.durability = Durability::Os;
    Tsdb::open(Options::new(engine)).unwrap()
}
