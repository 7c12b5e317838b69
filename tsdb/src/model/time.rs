//! Timestamps and ranges of time. No clock is read here or anywhere below the process.

/// Nanoseconds since the Unix epoch.
pub type Timestamp = i64;

/// Earliest timestamp a point may have; the two values below are reserved.
pub const TIMESTAMP_MIN: Timestamp = i64::MIN + 2;
/// Latest timestamp a point may have; the value above is reserved.
pub const TIMESTAMP_MAX: Timestamp = i64::MAX - 1;

/// A span of time, both ends included; empty when `start > end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First nanosecond.
    pub start: Timestamp,
    /// Last nanosecond.
    pub end: Timestamp,
}

impl TimeRange {
    /// All of time.
    pub const ALL: TimeRange = TimeRange { start: TIMESTAMP_MIN, end: TIMESTAMP_MAX };

    /// The span from `start` to `end`, both included.
    pub fn new(start: Timestamp, end: Timestamp) -> Self {
        TimeRange { start, end }
    }

    /// Whether no nanosecond lies inside.
    pub fn is_empty(&self) -> bool {
        self.start > self.end
    }

    /// Whether `timestamp` lies inside.
    pub fn contains(&self, timestamp: Timestamp) -> bool {
        self.start <= timestamp && timestamp <= self.end
    }

    /// Whether all of `other` lies inside.
    pub fn covers(&self, other: &TimeRange) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the two share a nanosecond.
    pub fn overlaps(&self, other: &TimeRange) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// What both share; may be empty.
    pub fn intersect(&self, other: &TimeRange) -> TimeRange {
        TimeRange { start: self.start.max(other.start), end: self.end.min(other.end) }
    }
}
