//! Replay: reads the segments back, in order, and tells a torn tail from damage.
use std::path::Path;

use super::SegmentInfo;
use crate::Result;
use crate::fs::Fs;
use crate::key::{FileNumber, Seq};

/// What replay is told.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// Identity of the store.
    pub store_id: u128,
    /// Segments below this number are obsolete (the manifest says so) and are not read.
    pub from: FileNumber,
    /// Longest body of a record.
    pub record_bytes_max: u64,
}

/// What replay found. `Replay::default()` is that of a new store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replay {
    /// Segments that were read, in order.
    pub segments: Vec<SegmentInfo>,
    /// Segments to remove: obsolete ones, and ones that were prepared and never used.
    /// [`super::Wal::create`] removes them.
    pub unused: Vec<FileNumber>,
    /// Largest sequence number, 0 when there was no record.
    pub last_seq: Seq,
    /// Data records.
    pub records: u64,
    /// Bytes of records and headers.
    pub bytes: u64,
    /// The tail that a crash left behind, cut.
    pub torn_tail: Option<TornTail>,
}

/// A tail that was written in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub segment: FileNumber,
    /// Where its last whole record ends.
    pub offset_bytes: u64,
    /// From there to the last byte that is not zero.
    pub bytes: u64,
}

/// Reads every record of the log in order. `visit` gets the segment, the sequence number and the
/// body; `progress` the bytes done and the bytes in all.
pub fn replay(
    _fs: &dyn Fs,
    _dir: &Path,
    _options: &ReplayOptions,
    _visit: &mut dyn FnMut(FileNumber, Seq, &[u8]) -> Result<()>,
    _progress: &dyn Fn(u64, u64),
) -> Result<Replay> {
    todo!()
}
