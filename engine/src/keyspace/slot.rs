//! A memtable in the store's hands: who still writes to it, what it weighs, what log it needs.

use std::sync::{Arc, OnceLock};

use crate::key::{FileNumber, Kind, Op, Seq};
use crate::levels::Version;
use crate::memtable::Memtable;
use crate::range_delete::{LiveRangeDeletes, RangeDelete};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::wal::LogPosition;

/// Why a memtable is flushed: a label of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FlushReason {
    /// Memtables together hold more than they may.
    Size,
    /// It is old.
    Age,
    /// It pins a log that grew too long.
    Wal,
    /// Somebody asked.
    Manual,
    /// Replay holds more than it may.
    Replay,
}

impl FlushReason {
    /// All reasons, in metric order.
    pub const ALL: [FlushReason; 5] = [
        FlushReason::Size,
        FlushReason::Age,
        FlushReason::Wal,
        FlushReason::Manual,
        FlushReason::Replay,
    ];

    /// Label of the metric.
    pub fn name(self) -> &'static str {
        match self {
            FlushReason::Size => "size",
            FlushReason::Age => "age",
            FlushReason::Wal => "wal",
            FlushReason::Manual => "manual",
            FlushReason::Replay => "replay",
        }
    }

    fn from_index(index: usize) -> FlushReason {
        FlushReason::ALL[index]
    }
}

/// A memtable in the store's hands.
pub(crate) struct MemtableSlot {
    pub memtable: Arc<dyn Memtable>,
    /// What was deleted by the range while it was active.
    pub range_deletes: Arc<LiveRangeDeletes>,
    /// The log segment of its first record, or an earlier one.
    pub first_segment: FileNumber,
    /// Where the log ended before its first record.
    pub first_position: LogPosition,
    /// When it was made, on the monotonic clock.
    pub created_ns: u64,
    /// Sequence number of its newest record; fixed once it is sealed.
    last_seq: AtomicU64,
    /// Sequence number of the newest record that brought it entries, range deletes not counted.
    last_entry_seq: AtomicU64,
    /// Where the log ends behind its newest record.
    last_position: AtomicU64,
    /// Batches that are in the log and not yet applied here.
    writers: AtomicUsize,
    /// Bytes that the store's sum holds for it.
    counted_bytes: AtomicUsize,
    /// [`FlushReason`] once it is sealed.
    reason: AtomicUsize,
    /// Sealed, left by its writers and counted as sealed: may be flushed.
    is_ready: AtomicBool,
    /// The tables of the keyspace just after its flush: what was written up to its seal.
    flushed: OnceLock<Arc<Version>>,
}

impl MemtableSlot {
    /// An empty memtable whose first record goes behind `first_position`.
    pub fn new(
        memtable: Arc<dyn Memtable>,
        first_segment: FileNumber,
        first_position: LogPosition,
        created_ns: u64,
    ) -> Arc<Self> {
        Arc::new(MemtableSlot {
            memtable,
            range_deletes: Arc::default(),
            first_segment,
            first_position,
            created_ns,
            last_seq: AtomicU64::new(0),
            last_entry_seq: AtomicU64::new(0),
            last_position: AtomicU64::new(first_position.0),
            writers: AtomicUsize::new(0),
            counted_bytes: AtomicUsize::new(0),
            reason: AtomicUsize::new(FlushReason::Size as usize),
            is_ready: AtomicBool::new(false),
            flushed: OnceLock::new(),
        })
    }

    /// A batch is in the log and will be applied. Under the commit lock. `has_entries`: not only
    /// range deletes.
    pub fn enter(&self, seq: Seq, position: LogPosition, has_entries: bool) {
        self.writers.fetch_add(1, Ordering::SeqCst);
        self.last_seq.store(seq, Ordering::SeqCst);
        if has_entries {
            self.last_entry_seq.store(seq, Ordering::SeqCst);
        }
        self.last_position.store(position.0, Ordering::SeqCst);
    }

    /// The batch was applied and counted.
    pub fn leave(&self) {
        self.writers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Applies an operation of a batch that entered.
    pub fn apply(&self, seq: Seq, op: &Op<'_>) {
        if op.kind == Kind::DeleteRange {
            let (start, end) = (op.key.into(), op.value.into());
            self.range_deletes.add(RangeDelete { seq, start, end });
        } else {
            self.memtable.apply(seq, op);
        }
    }

    /// Returns once every batch that entered was applied. The slot is sealed, so none follows;
    /// applying takes microseconds, a large batch milliseconds.
    pub fn wait_for_writers(&self) {
        while self.writers.load(Ordering::SeqCst) > 0 {
            crate::sync::thread::yield_now();
        }
    }

    /// Sequence number of its newest record.
    pub fn last_seq(&self) -> Seq {
        self.last_seq.load(Ordering::SeqCst)
    }

    /// No entry that is visible now has a greater sequence number.
    pub fn last_entry_seq(&self) -> Seq {
        self.last_entry_seq.load(Ordering::SeqCst)
    }

    /// Where the log ends behind its newest record.
    pub fn last_position(&self) -> LogPosition {
        LogPosition(self.last_position.load(Ordering::SeqCst))
    }

    /// Takes note of its size; gives by how much the store's sum changes.
    pub fn count(&self) -> i64 {
        let bytes = self.memtable.bytes() + self.range_deletes.bytes();
        bytes as i64 - self.counted_bytes.swap(bytes, Ordering::Relaxed) as i64
    }

    /// What the store's sum holds for it.
    pub fn counted_bytes(&self) -> usize {
        self.counted_bytes.load(Ordering::Relaxed)
    }

    /// Takes it out of the store's sum.
    pub fn uncount(&self) -> usize {
        self.counted_bytes.swap(0, Ordering::Relaxed)
    }

    /// Whether it may be flushed.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::SeqCst)
    }

    /// It may be flushed.
    pub fn set_ready(&self) {
        self.is_ready.store(true, Ordering::SeqCst);
    }

    /// The tables of the keyspace just after its flush.
    pub fn flushed(&self) -> Option<&Arc<Version>> {
        self.flushed.get()
    }

    /// It was flushed, and these are the tables now.
    pub fn set_flushed(&self, version: Arc<Version>) {
        assert!(self.flushed.set(version).is_ok(), "a memtable is flushed once");
    }

    /// Why it was sealed.
    pub fn reason(&self) -> FlushReason {
        FlushReason::from_index(self.reason.load(Ordering::Relaxed))
    }

    /// Says why it is sealed.
    pub fn set_reason(&self, reason: FlushReason) {
        self.reason.store(reason as usize, Ordering::Relaxed);
    }
}
