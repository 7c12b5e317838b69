//! Retention policies: how long points live and how time is cut into partitions.
//!
//! Pure arithmetic; who stores policies is [`crate::catalog`], who drops partitions is
//! [`crate::maintenance`]. A duration of `None` is for ever. Partition windows are aligned to the
//! Unix epoch and have whole seconds.
//!
//! Modules: `rule` (rules that shorten the life of some points).

pub mod rule;

use serde::{Deserialize, Serialize};

use crate::model::time::{TIMESTAMP_MAX, TIMESTAMP_MIN};
use crate::model::{TimeRange, Timestamp};
use crate::{Error, Result};

pub use rule::{RetentionRule, RuleKind, RuleScope, Trim};

/// Name of the policy that a database gets when none is asked for.
pub const POLICY_NAME_DEFAULT: &str = "autogen";

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3600 * SECOND_NS;
const DAY_NS: i64 = 24 * HOUR_NS;

/// A retention policy of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionPolicy {
    /// Its name.
    pub name: String,
    /// How long points live, in nanoseconds; `None`: for ever.
    pub duration_ns: Option<i64>,
    /// Length of a partition in nanoseconds; whole seconds.
    pub shard_duration_ns: i64,
    /// Kept and shown for clients that set it; there is one copy.
    pub replication: u32,
    /// Whether writes and queries that name no policy use this one.
    pub is_default: bool,
}

/// What a statement or a request says of a policy to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicySpec {
    /// Its name; `None`: [`POLICY_NAME_DEFAULT`].
    pub name: Option<String>,
    /// `None` or `Some(0)`: for ever.
    pub duration_ns: Option<i64>,
    /// `None` or `Some(0)`: chosen by the duration.
    pub shard_duration_ns: Option<i64>,
    /// `None`: 1.
    pub replication: Option<u32>,
    /// Whether it becomes the default.
    pub is_default: bool,
}

/// What a statement changes of a policy; `None` leaves as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyChange {
    /// `Some(0)`: for ever.
    pub duration_ns: Option<i64>,
    /// `Some(0)`: chosen by the duration.
    pub shard_duration_ns: Option<i64>,
    /// Number of copies, kept and shown.
    pub replication: Option<u32>,
    /// Make it the default.
    pub make_default: bool,
}

impl RetentionPolicy {
    /// The policy that `spec` describes.
    pub fn from_spec(spec: &PolicySpec) -> Result<RetentionPolicy> {
        let duration_ns = checked_duration(spec.duration_ns)?;
        Ok(RetentionPolicy {
            name: spec.name.clone().unwrap_or_else(|| POLICY_NAME_DEFAULT.to_owned()),
            duration_ns,
            shard_duration_ns: checked_shard_duration(spec.shard_duration_ns, duration_ns)?,
            replication: spec.replication.unwrap_or(1),
            is_default: spec.is_default,
        })
    }

    /// The policy after `change`; who else loses the default is the caller's part.
    pub fn changed(&self, change: &PolicyChange) -> Result<RetentionPolicy> {
        let duration_ns = match change.duration_ns {
            None => self.duration_ns,
            some => checked_duration(some)?,
        };
        let asked = change.shard_duration_ns.or(Some(self.shard_duration_ns));
        Ok(RetentionPolicy {
            name: self.name.clone(),
            duration_ns,
            shard_duration_ns: checked_shard_duration(asked, duration_ns)?,
            replication: change.replication.unwrap_or(self.replication),
            is_default: self.is_default || change.make_default,
        })
    }

    /// Whether two policies differ at most in being the default.
    pub fn is_same_but_default(&self, other: &RetentionPolicy) -> bool {
        *self == RetentionPolicy { is_default: self.is_default, ..other.clone() }
    }

    /// The earliest timestamp that is still alive at `now`.
    pub fn alive_from(&self, now: Timestamp) -> Timestamp {
        match self.duration_ns {
            None => TIMESTAMP_MIN,
            Some(duration) => now.saturating_sub(duration).max(TIMESTAMP_MIN),
        }
    }

    /// The window of a new partition that holds `timestamp`.
    pub fn window_of(&self, timestamp: Timestamp) -> Window {
        let len = self.shard_duration_ns / SECOND_NS;
        let second = timestamp.div_euclid(SECOND_NS);
        Window { start_s: second.div_euclid(len) * len, len_s: len }
    }
}

/// The span of time of a partition, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// First second.
    pub start_s: i64,
    /// Number of seconds.
    pub len_s: i64,
}

impl Window {
    /// The second after the last.
    pub fn end_s(&self) -> i64 {
        self.start_s + self.len_s
    }

    /// The timestamps inside.
    pub fn range(&self) -> TimeRange {
        let start = self.start_s.saturating_mul(SECOND_NS).max(TIMESTAMP_MIN);
        let end = self.end_s().saturating_mul(SECOND_NS).saturating_sub(1).min(TIMESTAMP_MAX);
        TimeRange::new(start, end)
    }

    /// What is left of the window beside `other`, on the side where `second` lies.
    pub fn cut_beside(&self, other: &Window, second: i64) -> Window {
        let (mut start, mut end) = (self.start_s, self.end_s());
        if other.end_s() <= second {
            start = start.max(other.end_s());
        }
        if other.start_s > second {
            end = end.min(other.start_s);
        }
        Window { start_s: start, len_s: end - start }
    }
}

fn checked_duration(duration_ns: Option<i64>) -> Result<Option<i64>> {
    match duration_ns {
        None | Some(0) => Ok(None),
        Some(ns) if ns < HOUR_NS => Err(Error::PolicyTooShort),
        some => Ok(some),
    }
}

/// The rules of InfluxDB 1.x: an hour below two days, a day up to half a year, else a week; what
/// is asked for counts, but not below an hour.
fn checked_shard_duration(asked_ns: Option<i64>, duration_ns: Option<i64>) -> Result<i64> {
    let shard_ns = match asked_ns {
        None | Some(0) => match duration_ns {
            Some(ns) if ns < 2 * DAY_NS => HOUR_NS,
            Some(ns) if ns <= 180 * DAY_NS => DAY_NS,
            _ => 7 * DAY_NS,
        },
        Some(ns) => ns.max(HOUR_NS) / SECOND_NS * SECOND_NS,
    };
    if duration_ns.is_some_and(|ns| ns < shard_ns) {
        return Err(Error::PolicyShorterThanShard);
    }
    Ok(shard_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_durations_follow_the_duration() {
        type Case = (&'static str, Option<i64>, Option<i64>, Result<i64, &'static str>);
        let cases: [Case; 9] = [
            ("for ever", None, None, Ok(7 * DAY_NS)),
            ("zero is for ever", Some(0), Some(0), Ok(7 * DAY_NS)),
            ("an hour", Some(HOUR_NS), None, Ok(HOUR_NS)),
            ("just below two days", Some(2 * DAY_NS - 1), None, Ok(HOUR_NS)),
            ("two days", Some(2 * DAY_NS), None, Ok(DAY_NS)),
            ("half a year", Some(180 * DAY_NS), None, Ok(DAY_NS)),
            ("a year", Some(365 * DAY_NS), None, Ok(7 * DAY_NS)),
            ("asked for less than an hour", Some(DAY_NS), Some(SECOND_NS), Ok(HOUR_NS)),
            ("too short", Some(HOUR_NS - 1), None, Err("must be at least 1h0m0s")),
        ];
        for (name, duration_ns, shard_duration_ns, expected) in cases {
            let spec = PolicySpec { duration_ns, shard_duration_ns, ..PolicySpec::default() };
            match (RetentionPolicy::from_spec(&spec), expected) {
                (Ok(policy), Ok(ns)) => assert_eq!(policy.shard_duration_ns, ns, "{name}"),
                (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{name}"),
                (got, expected) => panic!("{name}: {got:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn windows_cover_all_of_time() {
        let policy = RetentionPolicy::from_spec(&PolicySpec::default()).unwrap();
        for timestamp in [TIMESTAMP_MIN, -1, 0, 1, 1_700_000_000_000_000_000, TIMESTAMP_MAX] {
            let window = policy.window_of(timestamp);
            assert!(window.range().contains(timestamp), "{timestamp} in {window:?}");
            assert_eq!(window.start_s.rem_euclid(7 * 86_400), 0);
        }
    }

    #[test]
    fn a_window_is_cut_beside_its_neighbours() {
        let week = Window { start_s: 0, len_s: 700 };
        let early = Window { start_s: 100, len_s: 100 };
        let late = Window { start_s: 500, len_s: 100 };
        let cut = week.cut_beside(&early, 300).cut_beside(&late, 300);
        assert_eq!(cut, Window { start_s: 200, len_s: 300 });
    }
}
