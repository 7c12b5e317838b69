//! Buckets of time: which bucket a timestamp lies in, and where a run of buckets begins and ends.
//!
//! A bucket is `[start, start + every)`. Starts are multiples of `every` plus the offset, counted
//! from the epoch in UTC or on the wall clock of a zone. Where the zone's offset changes, a
//! bucket longer than the change is stretched or shrunk so that the next one starts on the wall
//! clock again; a shorter one keeps its length.

use chrono::Offset;
use chrono::TimeZone;
use firndb_tsdb::model::Timestamp;

use crate::plan::Window;

/// Buckets of one plan; without a window one bucket is all of time.
#[derive(Debug, Clone)]
pub struct Buckets {
    window: Option<Window>,
}

/// One bucket, `start` included, `end` not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// First nanosecond.
    pub start: Timestamp,
    /// First nanosecond of the next bucket.
    pub end: Timestamp,
}

impl Buckets {
    /// The buckets of `window`, whose length is positive.
    pub fn new(window: Option<Window>) -> Buckets {
        assert!(window.as_ref().is_none_or(|w| w.every_ns > 0), "the plan checks the length");
        Buckets { window }
    }

    /// The bucket that `timestamp` lies in. Ends of time are cut to what 64 bits hold.
    pub fn at(&self, timestamp: Timestamp) -> Bucket {
        let Some(window) = &self.window else {
            return Bucket { start: Timestamp::MIN, end: Timestamp::MAX };
        };
        let every = i128::from(window.every_ns);
        let zone = zone_ns(window, i128::from(timestamp));
        let local = i128::from(timestamp) + zone - i128::from(window.offset_ns);
        let start = local.div_euclid(every) * every + i128::from(window.offset_ns) - zone;
        let end = start + every;
        Bucket { start: clamp(settle(window, start, zone)), end: clamp(settle(window, end, zone)) }
    }

    /// Length of a bucket, near enough to count buckets of a span.
    pub fn count_between(&self, start: Timestamp, end: Timestamp) -> u64 {
        match &self.window {
            None => 1,
            Some(_) if start > end => 0,
            Some(window) => {
                let (from, to) = (self.at(start).start, self.at(end).start);
                let width = i128::from(to) - i128::from(from);
                (width / i128::from(window.every_ns)) as u64 + 1
            }
        }
    }

    /// `count` lengths later (or earlier, when negative), from a start to a start.
    pub fn shift(&self, start: Timestamp, count: i64) -> Timestamp {
        let Some(window) = &self.window else { return start };
        // From the middle of the bucket no change of the zone leads into a neighbour.
        let middle = i128::from(start) + i128::from(window.every_ns) / 2;
        self.at(clamp(middle + i128::from(count) * i128::from(window.every_ns))).start
    }
}

/// Moves an edge computed with the offset `zone` to the offset that holds at the edge, when that
/// is a smaller step than a bucket.
fn settle(window: &Window, edge: i128, zone: i128) -> i128 {
    if window.zone.is_none() {
        return edge;
    }
    let change = zone - zone_ns(window, edge);
    if change.abs() < i128::from(window.every_ns) { edge + change } else { edge }
}

fn zone_ns(window: &Window, at: i128) -> i128 {
    let Some(zone) = window.zone else { return 0 };
    let at = chrono::DateTime::from_timestamp_nanos(clamp(at));
    let offset = zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    i128::from(offset.local_minus_utc()) * 1_000_000_000
}

fn clamp(t: i128) -> Timestamp {
    t.clamp(i128::from(Timestamp::MIN), i128::from(Timestamp::MAX)) as Timestamp
}

/// A run of neighbouring buckets, numbered from 0.
#[derive(Debug, Clone)]
pub struct Run {
    /// Starts of the buckets, and the end of the last one.
    edges: Vec<Timestamp>,
    /// Width of every bucket when all have the same.
    every: Option<u64>,
}

/// Rows `start..end` of a piece lie in bucket `bucket` of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Number of the bucket in the run.
    pub bucket: usize,
    /// First row.
    pub start: usize,
    /// Row after the last.
    pub end: usize,
}

impl Run {
    /// The buckets from the one that holds `first` to the one that holds `last`.
    pub fn covering(buckets: &Buckets, first: Timestamp, last: Timestamp) -> Run {
        let bucket = buckets.at(first);
        let mut edges = vec![bucket.start, bucket.end];
        let fixed = match &buckets.window {
            Some(window) if window.zone.is_none() => Some(window.every_ns),
            _ => None,
        };
        let mut end = bucket.end;
        while end <= last && end < Timestamp::MAX {
            end = match fixed {
                Some(every) => end.saturating_add(every),
                None => buckets.at(end).end.max(end + 1),
            };
            edges.push(end);
        }
        // The first and the last width may be cut at the ends of time: then search instead.
        let every = fixed.filter(|every| {
            bucket.end.checked_sub(bucket.start) == Some(*every) && end < Timestamp::MAX
        });
        Run { edges, every: every.map(|every| every as u64) }
    }

    /// Number of buckets.
    pub fn len(&self) -> usize {
        self.edges.len() - 1
    }

    /// Start of bucket `bucket`.
    pub fn start(&self, bucket: usize) -> Timestamp {
        self.edges[bucket]
    }

    /// First nanosecond after bucket `bucket`.
    #[cfg(test)]
    pub fn end(&self, bucket: usize) -> Timestamp {
        self.edges[bucket + 1]
    }

    /// The bucket that `timestamp`, which lies within the run, belongs to.
    pub fn find(&self, timestamp: Timestamp) -> usize {
        let last = self.len() - 1;
        let at = match self.every {
            Some(every) => (timestamp.wrapping_sub(self.edges[0]) as u64 / every) as usize,
            None => self.edges.partition_point(|edge| *edge <= timestamp).saturating_sub(1),
        };
        at.min(last)
    }

    /// Cuts rows with these ascending timestamps, all within the run, at the edges.
    pub fn segments(&self, timestamps: &[Timestamp], out: &mut Vec<Segment>) {
        out.clear();
        let (mut start, mut next) = (0, usize::MAX);
        while start < timestamps.len() {
            // Mostly it is the bucket after the one before, which spares a division.
            let is_next = next < self.len() && timestamps[start] < self.edges[next + 1];
            let bucket = if is_next { next } else { self.find(timestamps[start]) };
            next = bucket + 1;
            let end = if bucket + 1 == self.len() {
                timestamps.len()
            } else {
                first_at_or_after(timestamps, start, self.edges[bucket + 1])
            };
            out.push(Segment { bucket, start, end });
            start = end;
        }
    }
}

/// First row from `start` on whose timestamp is `edge` or later; `timestamps[start]` is earlier.
/// Steps double, then a binary search: cheap for short buckets and for long ones.
fn first_at_or_after(timestamps: &[Timestamp], start: usize, edge: Timestamp) -> usize {
    let (mut low, mut step) = (start, 1);
    while low + step < timestamps.len() && timestamps[low + step] < edge {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(timestamps.len());
    low + 1 + timestamps[low + 1..high].partition_point(|t| *t < edge)
}

#[cfg(test)]
mod tests;
