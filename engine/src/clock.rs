//! Time comes in through this door: nothing below the process reads a clock.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Where the engine and the crates above get the time from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall clock, nanoseconds since the Unix epoch. May jump.
    fn unix_ns(&self) -> i64;
    /// Nanoseconds since some fixed moment; never goes back. For durations and deadlines.
    fn monotonic_ns(&self) -> u64;
}

/// A clock that stands until it is moved: the clock of tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    unix_ns: AtomicI64,
    monotonic_ns: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `unix_ns`.
    pub fn at(unix_ns: i64) -> Self {
        ManualClock { unix_ns: AtomicI64::new(unix_ns), monotonic_ns: AtomicU64::new(0) }
    }

    /// Sets the wall clock; the monotonic clock stands.
    pub fn set_unix_ns(&self, unix_ns: i64) {
        self.unix_ns.store(unix_ns, Ordering::SeqCst);
    }

    /// Moves both clocks forward by `ns`.
    pub fn advance_ns(&self, ns: u64) {
        self.unix_ns.fetch_add(ns as i64, Ordering::SeqCst);
        self.monotonic_ns.fetch_add(ns, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn unix_ns(&self) -> i64 {
        self.unix_ns.load(Ordering::SeqCst)
    }

    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.load(Ordering::SeqCst)
    }
}
