//! How many bytes a second compactions may read.
//!
//! Each chunk of bytes is given the moment at which it may be followed by the next one: that of the
//! chunk before it and the time its bytes take at the rate. Time that nobody used is not saved up.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// A rate that all compactions of a store share.
#[derive(Debug)]
pub struct Rate {
    /// 0: no limit.
    bytes_per_s: AtomicU64,
    /// When the bytes taken so far are paid for, on the monotonic clock.
    paid_ns: Mutex<u64>,
}

impl Rate {
    /// A rate; 0 is no limit.
    pub fn new(bytes_per_s: u64) -> Self {
        Rate { bytes_per_s: AtomicU64::new(bytes_per_s), paid_ns: Mutex::new(0) }
    }

    /// Changes the rate. What was taken at the old one is forgotten.
    pub fn set(&self, bytes_per_s: u64) {
        let mut paid_ns = self.paid_ns.lock();
        self.bytes_per_s.store(bytes_per_s, Ordering::Release);
        *paid_ns = 0;
    }

    /// The rate; 0 is no limit.
    pub fn bytes_per_s(&self) -> u64 {
        self.bytes_per_s.load(Ordering::Acquire)
    }

    /// Whether there is a limit.
    pub fn is_set(&self) -> bool {
        self.bytes_per_s() > 0
    }

    /// Takes `bytes` at `now_ns`; gives the moment from which on more may be taken.
    pub fn take(&self, now_ns: u64, bytes: u64) -> u64 {
        match self.bytes_per_s() {
            0 => now_ns,
            bytes_per_s => self.take_at(now_ns, bytes, bytes_per_s, u64::MAX),
        }
    }

    /// As [`Rate::take`], at a rate of the caller's, and nobody is sent further than `ahead_ns_max`
    /// into the future.
    pub fn take_at(&self, now_ns: u64, bytes: u64, bytes_per_s: u64, ahead_ns_max: u64) -> u64 {
        let mut paid_ns = self.paid_ns.lock();
        let cost_ns = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_s.max(1));
        let cost_ns = u64::try_from(cost_ns).unwrap_or(u64::MAX);
        let paid = (*paid_ns).max(now_ns).saturating_add(cost_ns);
        *paid_ns = paid.min(now_ns.saturating_add(ahead_ns_max));
        *paid_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn bytes_take_their_time() {
        let rate = Rate::new(1000);
        assert_eq!(rate.take(5 * SECOND, 500), 5 * SECOND + SECOND / 2);
        // A second taker waits behind the first.
        assert_eq!(rate.take(5 * SECOND, 1000), 6 * SECOND + SECOND / 2);
        // Idle time is not saved up.
        assert_eq!(rate.take(60 * SECOND, 1000), 61 * SECOND);
        rate.set(2000);
        assert_eq!(rate.take(60 * SECOND, 1000), 60 * SECOND + SECOND / 2, "as of now");
        rate.set(0);
        assert_eq!(rate.take(60 * SECOND, u64::MAX), 60 * SECOND, "no limit");
        rate.set(0);
        assert_eq!(rate.take_at(0, 100, 1000, SECOND), SECOND / 10);
        assert_eq!(rate.take_at(0, 5000, 1000, SECOND), SECOND, "no further");
        assert_eq!(rate.take_at(SECOND, 0, 0, SECOND), SECOND);
        rate.set(1);
        assert_eq!(rate.take(60 * SECOND, u64::MAX), u64::MAX, "no overflow");
    }
}
