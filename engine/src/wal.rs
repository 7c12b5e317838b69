//! The write-ahead log: what is acknowledged is here before it is anywhere else.
//!
//! One log serves every keyspace of a store. It is a chain of segment files `NNNNNN.log`, written
//! front to back, never reused and never appended to after a restart.
//!
//! ```text
//! segment := header | record* | zeros to the end of the prepared file
//!
//! header, 64 bytes
//! +-----------+-------------+---------+--------------+-------------+------------------+
//! | magic 8 B | version u32 | crc u32 | store_id u128| segment u64 | previous u64     |
//! +-----------+-------------+---------+--------------+-------------+------------------+
//! | previous_bytes u64 | previous_chain u32 | flags u32 |      crc: all other header bytes
//! +--------------------+--------------------+-----------+
//!   version  2 where flags is not 0, else 1
//!   flags    1 unsynced: the segment before may not have been on disk when this one was begun
//!
//! record, starts at a multiple of 8
//! +---------+---------+--------------+---------+-----------------+--------------+------+------+
//! | crc u32 | len u32 | body_crc u32 | kind u32| durable_upto u64| seq u64      | body | pad  |
//! +---------+---------+--------------+---------+-----------------+--------------+------+------+
//!   crc    store id, segment number, then the 28 bytes that follow it in the header
//!   len    bytes of the body; the padding to the next multiple of 8 is zero
//!   kind   1 data, 2 seal (the last record of a segment; its body is empty)
//!   durable_upto  bytes of this segment that are on disk whenever the record is seen, and with
//!          them all segments before it; 0 while those may not be
//! ```
//!
//! Integers are little-endian. `chain` is the CRC over the header's crc and every record's crc in
//! order. All zeros where a record would start is the end of the segment.
//!
//! Invariants:
//! - a segment's header and name are on disk before a record of it is written, and unless the
//!   header says "unsynced" the seal of the segment before it is on disk before that: only
//!   segments at the end of the log that nobody synced, the last one always, may be torn;
//! - a sync goes through the segments in their order, so what is on disk is a prefix of the log;
//! - the next header says how long the sealed segment is and what its chain is, so that a missing
//!   or shortened segment is found;
//! - bytes of another segment or another store are never a valid record: both are in the crc;
//! - `fsync` runs under no lock that an appender needs;
//! - after one failed write or sync nothing is written any more ([`Error::ReadOnly`]): the state
//!   of the unsynced pages is unknown, and a retried sync may lie.
//!
//! Why `durable_upto`: the end of the log may be torn by a crash, and that is no damage. A bad
//! record with a later record, or a later header, that says "what lies here was on disk" is damage,
//! and opening is refused. Without it the two look alike. Of the last record of all nothing says so
//! but the manifest, once the store was closed ([`LogBounds::end`]).
//!
//! Why a segment may be begun on one that is not synced: writers who do not ask for a sync flush
//! their memtables before the operating system writes the log out. What is removed by then never
//! reaches the disk, which is most of a log that is 1.4 times the data.

mod files;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod fuzz;
mod segment;
mod source;

mod chain;
mod reader;
mod recover;
mod tail;
mod waiting;

mod writer;

pub mod inspect;
pub mod salvage;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::histogram::{Histogram, HistogramCounts};
use crate::key::{FileNumber, Seq};

use inspect::SegmentLink;

pub use reader::{Replay, ReplayOptions, TornTail, Visit, replay};
pub use recover::recover;
pub use segment::{file_name, file_number};
pub use waiting::Ticket;
pub use writer::{LogPosition, Numbers, Wal};

/// What the log is told at open.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// Identity of the store: records of another store are never read as ours.
    pub store_id: u128,
    /// Size of a segment. 64 MiB: a rotation costs two more fsyncs, so it should be rare, and
    /// the segment is the unit in which the log is given back.
    pub segment_bytes: u64,
    /// Log bytes held in memory at most; an append past that waits for the disk.
    pub buffer_bytes_max: usize,
    /// Longest body of a record.
    pub record_bytes_max: u64,
    /// Whether [`Wal::needs_prepare`] asks for the next segment ahead of time, where syncs are
    /// frequent enough to gain by it.
    pub prepare: bool,
}

impl Default for WalOptions {
    fn default() -> Self {
        WalOptions {
            store_id: 0,
            segment_bytes: 64 << 20,
            buffer_bytes_max: 8 << 20,
            record_bytes_max: RECORD_BYTES_MAX,
            prepare: true,
        }
    }
}

/// Default limit of a record's body: 256 MiB, more than any batch that fits a memtable.
pub const RECORD_BYTES_MAX: u64 = 256 << 20;

/// Which part of the log a store needs, as its manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// Segments below this number are obsolete and not read.
    pub from: FileNumber,
    /// The last segment when the store was last closed. What lies behind it may be torn by a
    /// crash; it itself may not, and nor may it be missing.
    pub end: Option<SegmentLink>,
}

impl LogBounds {
    /// Everything there is, ended by whatever is found.
    pub const ALL: LogBounds = LogBounds { from: FileNumber(0), end: None };

    /// The end, where it is needed.
    fn end_needed(&self) -> Option<SegmentLink> {
        self.end.filter(|end| end.number >= self.from)
    }
}

/// A segment of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Number of its file.
    pub number: FileNumber,
    /// Bytes of header and records.
    pub bytes: u64,
    /// Sequence number of its first record, if there is one.
    pub first_seq: Option<Seq>,
    /// Sequence number of its last record, if there is one.
    pub last_seq: Option<Seq>,
    /// CRC over the CRCs of header and records.
    pub chain: u32,
}

/// What the log counts.
#[derive(Debug, Default)]
pub struct WalMetrics {
    appended_bytes: AtomicU64,
    records: AtomicU64,
    buffer_waits: AtomicU64,
    segments_created: AtomicU64,
    segments_prepared: AtomicU64,
    sync_ns: Histogram,
    group_records: Histogram,
}

/// What the log counted up to one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalCounts {
    /// Bytes of records, headers included.
    pub appended_bytes: u64,
    /// Records.
    pub records: u64,
    /// Appends that had to wait for room in the buffer.
    pub buffer_waits: u64,
    /// Segments put to use.
    pub segments_created: u64,
    /// Of these, the ones that had been prepared ahead of time.
    pub segments_prepared: u64,
    /// Duration of each fsync in nanoseconds.
    pub sync_ns: HistogramCounts,
    /// Records that each group write carried.
    pub group_records: HistogramCounts,
}

impl WalMetrics {
    /// The counts so far.
    pub fn read(&self) -> WalCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WalCounts {
            appended_bytes: load(&self.appended_bytes),
            records: load(&self.records),
            buffer_waits: load(&self.buffer_waits),
            segments_created: load(&self.segments_created),
            segments_prepared: load(&self.segments_prepared),
            sync_ns: self.sync_ns.read(),
            group_records: self.group_records.read(),
        }
    }
}

#[cfg(doc)]
use crate::Error;

#[cfg(test)]
mod tests;
