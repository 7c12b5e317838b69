//! One memory budget for the whole process, drawn on by everything that can grow.
//!
//! The process makes one [`Budget`] from `--memory-limit` and hands it down. Whoever is about to
//! hold memory in proportion to data or requests reserves it first; a refusal is an error to the
//! caller (503 or a query error), never an allocation that ends in an out-of-memory kill.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who holds memory. The order is the order of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Share {
    /// Active and sealed memtables, log buffers.
    Memtables,
    /// Block cache, table indexes and filters.
    Caches,
    /// Series look-up cache and schema.
    Series,
    /// Flush and compaction buffers.
    Compaction,
    /// Running queries and exports.
    Queries,
    /// Request bodies, compressed and decompressed.
    Requests,
}

impl Share {
    /// All shares, in metric order.
    pub const ALL: [Share; 6] = [
        Share::Memtables,
        Share::Caches,
        Share::Series,
        Share::Compaction,
        Share::Queries,
        Share::Requests,
    ];

    /// Label of the metric.
    pub fn name(self) -> &'static str {
        match self {
            Share::Memtables => "memtables",
            Share::Caches => "caches",
            Share::Series => "series",
            Share::Compaction => "compaction",
            Share::Queries => "queries",
            Share::Requests => "requests",
        }
    }
}

#[derive(Debug)]
struct Inner {
    limit_bytes: u64,
    total_bytes: AtomicU64,
    held_bytes: [AtomicU64; Share::ALL.len()],
}

/// A bounded amount of memory, shared by clones.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

impl Budget {
    /// A budget of `limit_bytes` in all.
    pub fn new(limit_bytes: u64) -> Self {
        Budget(Arc::new(Inner {
            limit_bytes,
            total_bytes: AtomicU64::new(0),
            held_bytes: Default::default(),
        }))
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

    /// Reserves `bytes`, or says no when that would exceed the limit.
    pub fn try_reserve(&self, share: Share, bytes: u64) -> Option<Reservation> {
        let taken =
            self.0.total_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| {
                total.checked_add(bytes).filter(|sum| *sum <= self.0.limit_bytes)
            });
        taken.ok()?;
        self.0.held_bytes[share as usize].fetch_add(bytes, Ordering::Relaxed);
        Some(Reservation { budget: self.clone(), share, bytes })
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
        let Some(more) = self.budget.try_reserve(self.share, bytes) else { return false };
        self.bytes += bytes;
        std::mem::forget(more); // its bytes are counted in `self` now
        true
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
