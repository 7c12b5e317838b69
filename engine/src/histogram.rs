//! A histogram that many threads fill without waiting: one counter for each power of two.
//!
//! Bucket `i` counts the values whose highest set bit is bit `i - 1`: bucket 0 holds zero, bucket 1
//! one, bucket 2 two and three, and so on. That is precise to a factor of two, which tells a
//! fsync of 100 us from one of 10 ms, in 65 words.

use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets: zero, and one for each bit of a `u64`.
pub const BUCKETS: usize = 65;

/// Counts of values by power of two.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts `value`.
    pub fn record(&self, value: u64) {
        let bucket = (u64::BITS - value.leading_zeros()) as usize;
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn read(&self) -> HistogramCounts {
        let counts = std::array::from_fn(|i| self.counts[i].load(Ordering::Relaxed));
        HistogramCounts { counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// What a [`Histogram`] held at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistogramCounts {
    /// Values in each bucket.
    pub counts: [u64; BUCKETS],
    /// Sum of all values.
    pub sum: u64,
}

impl HistogramCounts {
    /// Number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Largest value that bucket `index` counts.
    pub fn bound(index: usize) -> u64 {
        1u64.checked_shl(index as u32).map_or(u64::MAX, |bound| bound - 1)
    }

    /// A value that at least the part `quantile` (0 to 1) of all values does not exceed.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let rank = (self.count() as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Self::bound(index);
            }
        }
        u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_their_power_of_two() {
        let histogram = Histogram::default();
        for value in [0, 1, 2, 3, 4, 1000, u64::MAX] {
            histogram.record(value);
        }
        let counts = histogram.read();
        assert_eq!(counts.count(), 7);
        assert_eq!(counts.counts[..4], [1, 1, 2, 1]);
        assert_eq!((counts.counts[10], counts.counts[64]), (1, 1));
        assert_eq!(HistogramCounts::bound(10), 1023);
        assert_eq!(counts.quantile(0.5), 3);
        assert_eq!(counts.quantile(0.8), 1023);
        assert_eq!(counts.quantile(1.0), u64::MAX);
    }
}
