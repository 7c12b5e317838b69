//! Counters that many threads add to without sharing a line of the processor's cache.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Look-ups that found their block.
    Hits,
    /// Look-ups that had to read.
    Misses,
    /// Bytes of blocks read for the cache.
    ReadBytes,
    /// Blocks pushed out.
    Evictions,
    /// Filter probes that spared a table.
    FilterNegative,
    /// Filter probes that let through a key that was there.
    FilterTruePositive,
    /// Filter probes that let through a key that was not there.
    FilterFalsePositive,
}

const COUNTERS: usize = Counter::FilterFalsePositive as usize + 1;

/// More stripes than cores here cost nothing but 128 bytes each.
const STRIPES: usize = 32;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([AtomicU64; COUNTERS]);

/// Each thread adds to its own stripe; a reader sums over all.
#[derive(Debug, Default)]
pub(super) struct Counters([Stripe; STRIPES]);

thread_local! {
    static STRIPE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES
    };
}

impl Counters {
    pub(super) fn add(&self, counter: Counter, more: u64) {
        // A thread that is being torn down has no stripe of its own any more.
        let stripe = STRIPE.try_with(|stripe| *stripe).unwrap_or(0);
        self.0[stripe].0[counter as usize].fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn sum(&self, counter: Counter) -> u64 {
        self.0.iter().map(|stripe| stripe.0[counter as usize].load(Ordering::Relaxed)).sum()
    }
}
