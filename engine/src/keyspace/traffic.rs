//! What goes through a keyspace: bytes in by its users and by jobs, runs that reads look at.
//!
//! Writers add to a counter of their keyspace once a batch. Reads are sampled, one of
//! [`SAMPLE`] on each thread, so that threads that read the same keyspace share no written line.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// One read of this many is looked at.
pub const SAMPLE: u32 = 64;

thread_local! {
    static READS: Cell<u32> = const { Cell::new(0) };
}

/// Counters of a keyspace, since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Keys and values of its users' writes.
    pub user_bytes: AtomicU64,
    /// Sizes of the tables that flushes wrote.
    pub flushed_bytes: AtomicU64,
    /// Sizes of the tables that compactions wrote.
    pub compacted_bytes: AtomicU64,
    /// Point reads that were looked at, and the runs in whose tables the key could lie.
    pub gets: AtomicU64,
    pub get_runs: AtomicU64,
    /// Scans that were looked at, and the runs they merged.
    pub seeks: AtomicU64,
    pub seek_runs: AtomicU64,
}

/// Whether this read is one to look at.
pub(crate) fn is_sampled() -> bool {
    READS.with(|reads| {
        let count = reads.get().wrapping_add(1);
        reads.set(count);
        count.is_multiple_of(SAMPLE)
    })
}

impl Traffic {
    /// A point read looked at the tables of so many runs.
    pub fn got(&self, runs: usize) {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.get_runs.fetch_add(runs as u64, Ordering::Relaxed);
    }

    /// A scan merges so many runs.
    pub fn sought(&self, runs: usize) {
        self.seeks.fetch_add(1, Ordering::Relaxed);
        self.seek_runs.fetch_add(runs as u64, Ordering::Relaxed);
    }
}
