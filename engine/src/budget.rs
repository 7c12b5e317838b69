//! One memory budget for the whole process, drawn on by everything that can grow.
//!
//! The process makes one [`Budget`] from `--memory-limit` and hands it down. Whoever is about to
//! hold memory in proportion to data or requests reserves it first; a refusal is an error to the
//! caller (503 or a query error), never an allocation that ends in an out-of-memory kill.
//!
//! Not everybody is refused at the same point: caches stop growing first, then queries are refused,
//! then request bodies; what frees memory (flush, compaction) always goes on. So a query over
//! everything leaves room for writers, and writers leave room for the jobs that make room.
//!
//! No sum of reservations is what the operating system sees: there is code, stacks, what the
//! allocator keeps. The process measures itself ([`Budget::measure`]) and the difference is held
//! as [`Share::Other`]: it rises at once and falls slowly, because memory that was reserved and
//! not yet touched hides it for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who holds memory. The order is the order of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Share {
    /// Active and sealed memtables, log buffers, range deletes.
    Memtables,
    /// Block cache, table indexes and filters.
    Caches,
    /// Series look-up cache and schema.
    Series,
    /// What deletes mean whose rows are still on disk.
    Deletes,
    /// Flush and compaction buffers.
    Compaction,
    /// Running queries and exports.
    Queries,
    /// Request bodies, compressed and decompressed, and what open transactions wrote.
    Requests,
    /// What the process was measured to hold beyond the others.
    Other,
}

impl Share {
    /// All shares, in metric order.
    pub const ALL: [Share; 8] = [
        Share::Memtables,
        Share::Caches,
        Share::Series,
        Share::Deletes,
        Share::Compaction,
        Share::Queries,
        Share::Requests,
        Share::Other,
    ];

    /// Sixteenths of the limit that a reservation of this share leaves to those behind it.
    fn leaves_sixteenths(self) -> u64 {
        match self {
            Share::Caches => 4,
            Share::Queries => 3,
            Share::Series | Share::Deletes => 2,
            Share::Requests => 1,
            Share::Memtables | Share::Compaction | Share::Other => 0,
        }
    }

    /// Label of the metric.
    pub fn name(self) -> &'static str {
        match self {
            Share::Memtables => "memtables",
            Share::Caches => "caches",
            Share::Series => "series",
            Share::Deletes => "deletes",
            Share::Compaction => "compaction",
            Share::Queries => "queries",
            Share::Requests => "requests",
            Share::Other => "other",
        }
    }
}

/// At each measure [`Share::Other`] falls by at most one part in this many.
const OTHER_FALL: u64 = 16;

#[derive(Debug)]
struct Inner {
    limit_bytes: u64,
    total_bytes: AtomicU64,
    held_bytes: [AtomicU64; Share::ALL.len()],
    /// Least that [`Share::Other`] holds.
    other_min_bytes: u64,
}

/// A bounded amount of memory, shared by clones.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

impl Budget {
    /// A budget of `limit_bytes` in all.
    pub fn new(limit_bytes: u64) -> Self {
        Budget::with_other(limit_bytes, 0)
    }

    /// A budget of `limit_bytes` in all, of which `other_min_bytes` are set aside from the start
    /// for what nobody reserves: code, stacks, the allocator's own.
    pub fn with_other(limit_bytes: u64, other_min_bytes: u64) -> Self {
        let budget = Budget(Arc::new(Inner {
            limit_bytes,
            total_bytes: AtomicU64::new(other_min_bytes),
            held_bytes: Default::default(),
            other_min_bytes,
        }));
        budget.0.held_bytes[Share::Other as usize].store(other_min_bytes, Ordering::Relaxed);
        budget
    }

    /// A budget that never refuses, for tests and small tools.
    pub fn unlimited() -> Self {
        Budget::new(u64::MAX)
    }

    /// The limit in bytes.
    pub fn limit_bytes(&self) -> u64 {
        self.0.limit_bytes
    }

    /// Bytes held by all.
    pub fn total_bytes(&self) -> u64 {
        self.0.total_bytes.load(Ordering::Relaxed)
    }

    /// Bytes held by one share.
    pub fn held_bytes(&self, share: Share) -> u64 {
        self.0.held_bytes[share as usize].load(Ordering::Relaxed)
    }

    /// Bytes up to which `share` may fill the budget; the rest is left to those behind it.
    pub fn ceiling_bytes(&self, share: Share) -> u64 {
        self.0.limit_bytes - self.0.limit_bytes / 16 * share.leaves_sixteenths()
    }

    /// Takes note of what the operating system says the process holds. Called on a tick.
    pub fn measure(&self, resident_bytes: u64) {
        let held = &self.0.held_bytes[Share::Other as usize];
        let before = held.load(Ordering::Relaxed);
        let known = self.total_bytes().saturating_sub(before);
        let least = self.0.other_min_bytes.max(before - before / OTHER_FALL);
        let other = resident_bytes.saturating_sub(known).max(least);
        held.store(other, Ordering::Relaxed);
        if other >= before {
            self.0.total_bytes.fetch_add(other - before, Ordering::Relaxed);
        } else {
            self.0.total_bytes.fetch_sub(before - other, Ordering::Relaxed);
        }
    }

    /// Reserves `bytes`, or says no when that would exceed the ceiling of the share.
    pub fn try_reserve(&self, share: Share, bytes: u64) -> Option<Reservation> {
        self.try_reserve_leaving(share, bytes, 0)
    }

    /// As [`Budget::try_reserve`], and `leave_bytes` must be left below the share's ceiling: for
    /// large takers that come before small ones.
    pub fn try_reserve_leaving(
        &self,
        share: Share,
        bytes: u64,
        leave_bytes: u64,
    ) -> Option<Reservation> {
        let ceiling = self.ceiling_bytes(share).saturating_sub(leave_bytes);
        self.take(share, bytes, ceiling).then(|| Reservation { budget: self.clone(), share, bytes })
    }

    /// Counts `bytes` as held, unless more than `ceiling` would be.
    fn take(&self, share: Share, bytes: u64, ceiling: u64) -> bool {
        let taken =
            self.0.total_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| {
                total.checked_add(bytes).filter(|sum| bytes == 0 || *sum <= ceiling)
            });
        if taken.is_ok() {
            self.0.held_bytes[share as usize].fetch_add(bytes, Ordering::Relaxed);
        }
        taken.is_ok()
    }

    /// Records `bytes` that are held whatever the limit says (memory already allocated, such as
    /// a memtable that a durable record must be applied to).
    pub fn reserve_anyway(&self, share: Share, bytes: u64) -> Reservation {
        self.0.total_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.held_bytes[share as usize].fetch_add(bytes, Ordering::Relaxed);
        Reservation { budget: self.clone(), share, bytes }
    }
}

/// Memory held; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    share: Share,
    bytes: u64,
}

impl Reservation {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Grows by `bytes`, or says no and stays as it is.
    #[must_use]
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        let is_taken = self.budget.take(self.share, bytes, self.budget.ceiling_bytes(self.share));
        self.bytes += if is_taken { bytes } else { 0 };
        is_taken
    }

    /// Sets the amount, growing past the limit if need be.
    pub fn resize_anyway(&mut self, bytes: u64) {
        let (total, held) =
            (&self.budget.0.total_bytes, &self.budget.0.held_bytes[self.share as usize]);
        if bytes >= self.bytes {
            total.fetch_add(bytes - self.bytes, Ordering::Relaxed);
            held.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            total.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            held.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.total_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.0.held_bytes[self.share as usize].fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_refused_before_queries_and_queries_before_requests() {
        let budget = Budget::new(1600);
        let order = [Share::Caches, Share::Queries, Share::Series, Share::Requests];
        let _held = budget.reserve_anyway(Share::Memtables, 1100);
        for (share, ceiling) in order.into_iter().zip([1200, 1300, 1400, 1500]) {
            assert_eq!(budget.ceiling_bytes(share), ceiling, "{share:?}");
            let room = ceiling - budget.total_bytes();
            assert!(budget.try_reserve(share, room + 1).is_none(), "{share:?}");
            std::mem::forget(budget.try_reserve(share, room).expect("up to the ceiling"));
            assert!(budget.try_reserve(share, 0).is_some(), "nothing more is always there");
        }
        assert!(budget.try_reserve(Share::Compaction, 100).is_some());
        assert!(budget.try_reserve_leaving(Share::Memtables, 50, 60).is_none());
        assert!(budget.try_reserve_leaving(Share::Memtables, 50, 50).is_some());
    }

    #[test]
    fn a_reservation_that_grew_keeps_no_second_handle() {
        let budget = Budget::new(100);
        let mut held = budget.reserve_anyway(Share::Memtables, 1);
        assert!(held.try_grow(10) && held.try_grow(20) && !held.try_grow(1000));
        assert_eq!((held.bytes(), budget.total_bytes()), (31, 31));
        drop(held);
        assert_eq!((budget.total_bytes(), Arc::strong_count(&budget.0)), (0, 1));
    }

    #[test]
    fn what_is_measured_beyond_the_known_counts_and_falls_slowly() {
        let budget = Budget::with_other(10_000, 100);
        let held = budget.reserve_anyway(Share::Memtables, 1000);
        assert_eq!((budget.total_bytes(), budget.held_bytes(Share::Other)), (1100, 100));
        budget.measure(2600);
        assert_eq!((budget.total_bytes(), budget.held_bytes(Share::Other)), (2600, 1600));
        budget.measure(1000);
        assert_eq!(budget.held_bytes(Share::Other), 1500, "by a sixteenth");
        drop(held);
        assert_eq!(budget.total_bytes(), 1500);
        for _ in 0..100 {
            budget.measure(0);
        }
        assert_eq!((budget.total_bytes(), budget.held_bytes(Share::Other)), (100, 100));
    }
}
