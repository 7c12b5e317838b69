//! The clock of the benches: real durations, and no date, so that runs are alike.

use std::time::Instant;

use firndb_engine::clock::Clock;

/// Counts from when it is made.
#[derive(Debug)]
pub struct BenchClock(Instant);

impl BenchClock {
    /// Counts from now.
    pub fn new() -> Self {
        BenchClock(Instant::now())
    }
}

impl Clock for BenchClock {
    fn unix_ns(&self) -> i64 {
        0
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}
