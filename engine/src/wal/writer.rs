//! Appending and syncing.
use std::path::Path;
use std::sync::Arc;

use super::{Replay, SegmentInfo, WalMetrics, WalOptions};
use crate::Result;
use crate::clock::Clock;
use crate::fs::Fs;
use crate::key::{FileNumber, Seq};

/// A place in the log: bytes over all segments of this [`Wal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPosition(pub u64);

/// Gives out file numbers, ascending. Called under the append lock: an atomic, no more.
pub type Numbers = Arc<dyn Fn() -> FileNumber + Send + Sync>;

/// The log, open for appending.
pub struct Wal {}

impl Wal {
    /// Starts a new segment behind what `replayed` found and removes what it found unused.
    pub fn create(
        _fs: Arc<dyn Fs>,
        _dir: &Path,
        _options: WalOptions,
        _replayed: &Replay,
        _clock: Arc<dyn Clock>,
        _metrics: Arc<WalMetrics>,
        _numbers: Numbers,
    ) -> Result<Wal> {
        todo!()
    }

    /// Adds a record to the log buffer. Call order is log order; sequence numbers do not descend.
    pub fn append(&self, _seq: Seq, _body: &[&[u8]]) -> Result<LogPosition> {
        todo!()
    }

    /// Returns when everything before `position` was handed to the operating system.
    pub fn write_to(&self, _position: LogPosition) -> Result<()> {
        todo!()
    }

    /// Returns when everything before `position` is on disk.
    pub fn sync_to(&self, _position: LogPosition) -> Result<()> {
        todo!()
    }

    /// Where the next record goes.
    pub fn end(&self) -> LogPosition {
        todo!()
    }

    /// The segment being appended to. The next record goes there or to a later one.
    pub fn segment(&self) -> FileNumber {
        todo!()
    }

    /// Whether the next segment should be prepared now.
    pub fn needs_prepare(&self) -> bool {
        todo!()
    }

    /// Creates, fills and syncs the next segment; for a background job.
    pub fn prepare_next(&self) -> Result<()> {
        todo!()
    }

    /// Ends the current segment; the next record starts a new one. Does nothing to an empty one.
    pub fn rotate(&self) -> Result<()> {
        todo!()
    }

    /// Segments whose records may be needed, oldest first; the last is being written.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        todo!()
    }

    /// Removes segments below `keep_from`. Only after the manifest edit that says so is durable.
    pub fn remove_before(&self, _keep_from: FileNumber) -> Result<()> {
        todo!()
    }

    /// Syncs, seals and ends the log: every byte of it is then known to have been written.
    pub fn close(&self) -> Result<()> {
        todo!()
    }
}
