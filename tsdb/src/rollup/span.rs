//! Arithmetic of buckets and slots: both are aligned to the Unix epoch, times before it included.
//!
//! A slot is an hour: what a late point marks as to be built again. Results that leave the range of
//! timestamps stick to its ends.

use crate::model::{TimeRange, Timestamp};

/// Length of a slot.
pub const SLOT_NS: i64 = 3_600_000_000_000;

/// The start of the bucket that `timestamp` lies in.
pub fn floor(timestamp: Timestamp, every_ns: i64) -> Timestamp {
    timestamp.div_euclid(every_ns).saturating_mul(every_ns)
}

/// The start of the first bucket that begins at `timestamp` or later.
pub fn ceil(timestamp: Timestamp, every_ns: i64) -> Timestamp {
    match timestamp.rem_euclid(every_ns) {
        0 => timestamp,
        over => timestamp.saturating_add(every_ns - over),
    }
}

/// The whole buckets within `range`.
pub fn whole(range: TimeRange, every_ns: i64) -> TimeRange {
    let end = floor(range.end.saturating_add(1), every_ns);
    TimeRange::new(ceil(range.start, every_ns), end.saturating_sub(1))
}

/// The buckets that share time with `range`.
pub fn touched(range: TimeRange, every_ns: i64) -> TimeRange {
    let end = ceil(range.end.saturating_add(1), every_ns);
    TimeRange::new(floor(range.start, every_ns), end.saturating_sub(1))
}

/// The number of the slot that `timestamp` lies in.
pub fn slot_of(timestamp: Timestamp) -> i64 {
    timestamp.div_euclid(SLOT_NS)
}

/// The time of a slot.
pub fn slot_range(slot: i64) -> TimeRange {
    let start = slot.saturating_mul(SLOT_NS);
    TimeRange::new(start, start.saturating_add(SLOT_NS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::{TIMESTAMP_MAX, TIMESTAMP_MIN};

    #[test]
    fn buckets_are_aligned_to_the_epoch_on_both_sides() {
        let cases = [
            (0, 10, 0, 0),
            (1, 10, 0, 10),
            (9, 10, 0, 10),
            (10, 10, 10, 10),
            (-1, 10, -10, 0),
            (-10, 10, -10, -10),
            (-11, 10, -20, -10),
        ];
        for (at, every, down, up) in cases {
            assert_eq!((floor(at, every), ceil(at, every)), (down, up), "{at} by {every}");
        }
    }

    #[test]
    fn ranges_widen_and_narrow_to_buckets() {
        let range = |start, end| TimeRange::new(start, end);
        let cases = [
            (range(0, 9), range(0, 9), range(0, 9)),
            (range(1, 9), range(10, 9), range(0, 9)),
            (range(0, 8), range(0, -1), range(0, 9)),
            (range(-5, 25), range(0, 19), range(-10, 29)),
            (range(-20, -1), range(-20, -1), range(-20, -1)),
            (range(3, 4), range(10, -1), range(0, 9)),
        ];
        for (of, narrow, wide) in cases {
            assert_eq!((whole(of, 10), touched(of, 10)), (narrow, wide), "{of:?}");
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for every in [1_000_000_000, SLOT_NS, 24 * SLOT_NS] {
            for at in [i64::MIN, TIMESTAMP_MIN, TIMESTAMP_MAX, i64::MAX] {
                assert!(floor(at, every) <= at && ceil(at, every) >= at, "{at} by {every}");
            }
            assert!(!whole(TimeRange::ALL, every).is_empty());
        }
        assert_eq!(slot_of(-1), -1);
        assert_eq!(slot_range(-1), TimeRange::new(-SLOT_NS, -1));
        assert!(slot_range(slot_of(TIMESTAMP_MAX)).contains(TIMESTAMP_MAX));
    }
}
