//! Latencies second by second: what the progress tells while a bench runs, and which second was the
//! slowest.
//!
//! A connection counts the second that it is in by itself, and hands it in when the next begins: no
//! operation waits for another connection's. Two digits are enough here, and a second of all
//! connections is then some kilobytes. Of a long run only the newest seconds are kept, and of those
//! before the slowest: one that hands in later than that is judged by itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

/// Seconds that are kept for connections that are behind.
const KEPT_MAX: usize = 60;

/// A second of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slowest {
    /// Its number, from 0.
    pub second: u64,
    /// Longest latency.
    pub max_ns: u64,
    pub p99_ns: u64,
}

#[derive(Debug)]
struct Latencies {
    histogram: Histogram<u32>,
    max_ns: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new(2).expect("two digits are allowed");
        Latencies { histogram, max_ns: 0 }
    }
}

impl Latencies {
    fn add(&mut self, other: &Latencies) {
        self.histogram += &other.histogram;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    fn p99_ns(&self) -> u64 {
        // A histogram gives the end of the bucket, which may lie behind the longest.
        self.histogram.value_at_quantile(0.99).min(self.max_ns)
    }
}

#[derive(Debug, Default)]
struct Kept {
    seconds: BTreeMap<u64, Latencies>,
    /// Of those that are not kept any more.
    slowest: Option<Slowest>,
    /// What was handed in since somebody asked.
    recent: Latencies,
}

impl Kept {
    fn hand_in(&mut self, second: u64, latencies: &Latencies) {
        self.recent.add(latencies);
        self.seconds.entry(second).or_default().add(latencies);
        while self.seconds.len() > KEPT_MAX {
            self.slowest = self.slowest();
            self.seconds.pop_first();
        }
    }

    fn slowest(&self) -> Option<Slowest> {
        let kept = self.seconds.iter().map(|(second, latencies)| Slowest {
            second: *second,
            max_ns: latencies.max_ns,
            p99_ns: latencies.p99_ns(),
        });
        // Of equals the first.
        self.slowest.into_iter().chain(kept).reduce(|a, b| if b.max_ns > a.max_ns { b } else { a })
    }
}

/// The seconds of a run.
#[derive(Debug, Default)]
pub struct Seconds(Mutex<Kept>);

impl Seconds {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Counts are as good after a panic as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one connection to note what it meets.
    pub fn connection(&self) -> Connection<'_> {
        Connection { seconds: self, second: 0, latencies: Latencies::default() }
    }

    /// The 99th percentile of what was handed in since the last call; `None`: nothing was.
    pub fn recent_p99_ns(&self) -> Option<u64> {
        let recent = std::mem::take(&mut self.kept().recent);
        (recent.max_ns > 0).then(|| recent.p99_ns())
    }

    /// The second with the longest latency of those handed in.
    pub fn slowest(&self) -> Option<Slowest> {
        self.kept().slowest()
    }
}

/// The second that a connection is in; handed in when the next begins, and at the end.
#[derive(Debug)]
pub struct Connection<'s> {
    seconds: &'s Seconds,
    second: u64,
    latencies: Latencies,
}

impl Connection<'_> {
    /// Notes a latency of an operation of `second`.
    pub fn note(&mut self, second: u64, ns: u64) {
        if second != self.second {
            self.hand_in();
            self.second = second;
        }
        let ns = ns.max(1);
        // It grows with what it is given; only without memory does it not.
        let _ = self.latencies.histogram.record(ns);
        self.latencies.max_ns = self.latencies.max_ns.max(ns);
    }

    fn hand_in(&mut self) {
        if self.latencies.max_ns > 0 {
            self.seconds.kept().hand_in(self.second, &self.latencies);
            self.latencies.histogram.reset();
            self.latencies.max_ns = 0;
        }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.hand_in();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_those_of_all_connections_and_the_slowest_stays() {
        let seconds = Seconds::default();
        assert_eq!((seconds.recent_p99_ns(), seconds.slowest()), (None, None));
        let (mut one, mut two) = (seconds.connection(), seconds.connection());
        (1..=198).for_each(|_| one.note(3, 1000));
        two.note(3, 70_000);
        two.note(3, 90_000);
        assert_eq!(seconds.recent_p99_ns(), None, "the second goes on");
        one.note(4, 5000);
        two.note(4, 6000);
        // 198 of 200 are short: the 99th percentile just is.
        assert!(seconds.recent_p99_ns().is_some_and(|ns| (990..1010).contains(&ns)));
        assert_eq!(seconds.recent_p99_ns(), None, "nothing new");
        let is_third = |seconds: &Seconds| {
            let Slowest { second, max_ns, p99_ns } = seconds.slowest().unwrap();
            assert_eq!((second, max_ns), (3, 90_000));
            assert!((990..1010).contains(&p99_ns), "{p99_ns}");
        };
        is_third(&seconds);
        drop(two);
        assert_eq!(seconds.recent_p99_ns(), Some(6000));
        // An hour later, and it is still known.
        (5..3600).for_each(|second| one.note(second, 80_000));
        assert!(seconds.kept().seconds.len() <= KEPT_MAX);
        is_third(&seconds);
        one.note(3600, 90_001);
        drop(one);
        assert_eq!(seconds.slowest().map(|slowest| slowest.second), Some(3600));
    }
}
