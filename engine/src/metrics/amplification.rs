//! What keyspaces cost beyond what their users asked for: bytes written, runs read, bytes kept.
//!
//! Counters begin at zero when the store is opened; live bytes are an estimate from where tables
//! lie, not from what is in them.

use std::ops::AddAssign;
use std::sync::atomic::Ordering;

use crate::keyspace::traffic::Traffic;
use crate::levels::LevelsSummary;

/// What keyspaces cost beyond what their users asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amplification {
    /// Keys and values of users' writes.
    pub user_bytes: u64,
    /// Sizes of the tables that flushes wrote.
    pub flushed_bytes: u64,
    /// Sizes of the tables that compactions wrote.
    pub compacted_bytes: u64,
    /// Point reads that were looked at: one in [`crate::keyspace::traffic::SAMPLE`].
    pub gets: u64,
    /// Runs in whose tables their keys could lie.
    pub get_runs: u64,
    /// Scans that were looked at.
    pub seeks: u64,
    /// Runs that they merged.
    pub seek_runs: u64,
    /// Sizes of all tables.
    pub table_bytes: u64,
    /// Estimate of those bytes that nothing newer replaces: the oldest table of each range.
    pub live_bytes: u64,
}

impl Amplification {
    /// The costs of one keyspace.
    pub(crate) fn of(traffic: &Traffic, levels: &LevelsSummary<'_>) -> Self {
        Amplification {
            user_bytes: traffic.user_bytes.load(Ordering::Relaxed),
            flushed_bytes: traffic.flushed_bytes.load(Ordering::Relaxed),
            compacted_bytes: traffic.compacted_bytes.load(Ordering::Relaxed),
            gets: traffic.gets.load(Ordering::Relaxed),
            get_runs: traffic.get_runs.load(Ordering::Relaxed),
            seeks: traffic.seeks.load(Ordering::Relaxed),
            seek_runs: traffic.seek_runs.load(Ordering::Relaxed),
            table_bytes: levels.runs().map(|run| run.bytes()).sum(),
            live_bytes: levels.live_bytes(),
        }
    }

    /// Bytes of tables written for each byte that users wrote; the log is not among them.
    pub fn write(&self) -> Option<f64> {
        ratio(self.flushed_bytes + self.compacted_bytes, self.user_bytes)
    }

    /// Runs that a point read looks at.
    pub fn get(&self) -> Option<f64> {
        ratio(self.get_runs, self.gets)
    }

    /// Runs that a scan merges.
    pub fn seek(&self) -> Option<f64> {
        ratio(self.seek_runs, self.seeks)
    }

    /// Bytes on disk for each live one.
    pub fn space(&self) -> Option<f64> {
        ratio(self.table_bytes, self.live_bytes)
    }
}

fn ratio(cost: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| cost as f64 / of as f64)
}

impl AddAssign for Amplification {
    fn add_assign(&mut self, other: Self) {
        self.user_bytes += other.user_bytes;
        self.flushed_bytes += other.flushed_bytes;
        self.compacted_bytes += other.compacted_bytes;
        self.gets += other.gets;
        self.get_runs += other.get_runs;
        self.seeks += other.seeks;
        self.seek_runs += other.seek_runs;
        self.table_bytes += other.table_bytes;
        self.live_bytes += other.live_bytes;
    }
}
