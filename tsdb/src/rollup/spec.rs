//! What may be asked for: checks a [`RollupSpec`] and fills in what it leaves open.
//!
//! Limits: a bucket has at least a second (what is shorter is hardly coarser than points) and at
//! most 366 days; a rollup at most eight levels; points live at least an hour, as under a policy.

use super::{Rollup, RollupLevel, RollupSpec};
use crate::retention::{PolicySpec, RetentionPolicy};
use crate::{Error, Result};

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3600 * SECOND_NS;
const EVERY_MAX_NS: i64 = 366 * 24 * HOUR_NS;
const LEVELS_MAX: usize = 8;
/// Policies take 255 bytes; the name of a class has some more than the rollup's.
const NAME_BYTES_MAX: usize = 200;

/// Buckets in a partition of a level, about: with these a series has one chunk in it.
const BUCKETS_PER_PARTITION: i64 = 2880;

const CLASS_PREFIX: &str = "rollup:";

/// Whether a policy of this name is none of the user's.
pub fn is_internal_policy(name: &str) -> bool {
    name.starts_with(CLASS_PREFIX)
}

/// Name of the internal policy of a level.
pub(super) fn class(rollup: &str, every_ns: i64) -> String {
    format!("{CLASS_PREFIX}{rollup}:{}", duration_text(every_ns))
}

/// A duration of whole seconds in the largest unit that divides it.
pub(super) fn duration_text(ns: i64) -> String {
    let seconds = ns / SECOND_NS;
    let units = [(604_800, "w"), (86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let fits = units.into_iter().find(|(unit, _)| seconds % unit == 0);
    let (unit, name) = fits.unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

impl Rollup {
    /// The rollup that `spec` describes, of points of `policy`.
    pub(crate) fn from_spec(spec: &RollupSpec, policy: &RetentionPolicy) -> Result<Rollup> {
        let levels = checked_levels(&spec.levels)?;
        let raw_ns = spec.raw_ns.filter(|ns| *ns != 0);
        if raw_ns.is_some_and(|ns| ns < HOUR_NS) {
            return Err(invalid("points of a rollup must live at least 1h"));
        }
        let texts: Vec<String> = levels.iter().map(|l| duration_text(l.every_ns)).collect();
        let default = || format!("{}_{}", policy.name, texts.join("_"));
        let name = spec.name.clone().unwrap_or_else(default);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(invalid("invalid name"));
        }
        let mut measurements = spec.measurements.clone();
        measurements.sort();
        measurements.dedup();
        Ok(Rollup { name, policy: policy.name.clone(), measurements, levels, raw_ns })
    }

    /// The internal policy of a level.
    pub(crate) fn internal_policy(&self, level: usize) -> RetentionPolicy {
        let RollupLevel { every_ns, keep_ns } = self.levels[level];
        let longest = keep_ns.map_or(i64::MAX, |keep| keep / 4).max(HOUR_NS);
        let shard_ns = every_ns.saturating_mul(BUCKETS_PER_PARTITION).clamp(HOUR_NS, longest);
        RetentionPolicy {
            name: self.class(level),
            duration_ns: keep_ns,
            shard_duration_ns: shard_ns / SECOND_NS * SECOND_NS,
            ..RetentionPolicy::from_spec(&PolicySpec::default()).expect("the default is sound")
        }
    }
}

fn checked_levels(levels: &[RollupLevel]) -> Result<Vec<RollupLevel>> {
    if levels.is_empty() || levels.len() > LEVELS_MAX {
        return Err(invalid("a rollup has one to eight levels"));
    }
    let mut checked: Vec<RollupLevel> = Vec::with_capacity(levels.len());
    for level in levels {
        let (every_ns, keep_ns) = (level.every_ns, level.keep_ns.filter(|ns| *ns != 0));
        if every_ns < SECOND_NS || every_ns % SECOND_NS != 0 || every_ns > EVERY_MAX_NS {
            return Err(invalid("EVERY must be whole seconds, at least 1s and at most 366d"));
        }
        if keep_ns.is_some_and(|keep| keep < every_ns.max(HOUR_NS)) {
            return Err(invalid("KEEP must be at least EVERY and at least 1h"));
        }
        if let Some(finer) = checked.last()
            && (every_ns <= finer.every_ns || every_ns % finer.every_ns != 0)
        {
            return Err(invalid(
                "levels go from fine to coarse, each a multiple of the one before",
            ));
        }
        checked.push(RollupLevel { every_ns, keep_ns });
    }
    Ok(checked)
}

fn invalid(reason: &str) -> Error {
    Error::Invalid { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_NS: i64 = 60 * SECOND_NS;
    const DAY_NS: i64 = 24 * HOUR_NS;

    fn level(every_ns: i64, keep_ns: Option<i64>) -> RollupLevel {
        RollupLevel { every_ns, keep_ns }
    }

    fn resolve(levels: Vec<RollupLevel>, raw_ns: Option<i64>) -> Result<Rollup> {
        let policy = RetentionPolicy::from_spec(&PolicySpec::default()).unwrap();
        Rollup::from_spec(&RollupSpec { levels, raw_ns, ..RollupSpec::default() }, &policy)
    }

    #[test]
    fn only_sound_levels_are_taken() {
        let (minute, hour) = (level(MINUTE_NS, Some(90 * DAY_NS)), level(HOUR_NS, None));
        type Case =
            (&'static str, Vec<RollupLevel>, Option<i64>, Result<&'static str, &'static str>);
        let cases: Vec<Case> = vec![
            ("two levels", vec![minute, hour], Some(7 * DAY_NS), Ok("autogen_1m_1h")),
            ("odd lengths", vec![level(90 * SECOND_NS, Some(0))], Some(0), Ok("autogen_90s")),
            ("a week", vec![level(7 * DAY_NS, None)], None, Ok("autogen_1w")),
            ("none", vec![], None, Err("one to eight")),
            ("nine", vec![minute; 9], None, Err("one to eight")),
            ("half a second", vec![level(SECOND_NS / 2, None)], None, Err("whole seconds")),
            ("parts of a second", vec![level(SECOND_NS * 3 / 2, None)], None, Err("whole seconds")),
            ("two years", vec![level(730 * DAY_NS, None)], None, Err("at most 366d")),
            ("negative", vec![level(-MINUTE_NS, None)], None, Err("whole seconds")),
            ("kept too short", vec![level(DAY_NS, Some(HOUR_NS))], None, Err("KEEP")),
            ("kept for minutes", vec![level(SECOND_NS, Some(MINUTE_NS))], None, Err("KEEP")),
            ("coarse first", vec![hour, minute], None, Err("from fine to coarse")),
            ("twice", vec![minute, minute], None, Err("from fine to coarse")),
            ("no multiple", vec![level(7 * MINUTE_NS, None), hour], None, Err("a multiple")),
            ("points too short", vec![minute], Some(MINUTE_NS), Err("at least 1h")),
        ];
        for (name, levels, raw_ns, expected) in cases {
            match (resolve(levels, raw_ns), expected) {
                (Ok(rollup), Ok(text)) => assert_eq!(rollup.name, text, "{name}"),
                (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{name}"),
                (got, expected) => panic!("{name}: {got:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn partitions_of_a_level_hold_some_thousand_buckets_but_not_its_life() {
        let cases = [
            (level(SECOND_NS, None), HOUR_NS),
            (level(MINUTE_NS, None), 2 * DAY_NS),
            (level(MINUTE_NS, Some(DAY_NS)), 6 * HOUR_NS),
            (level(MINUTE_NS, Some(HOUR_NS)), HOUR_NS),
            (level(HOUR_NS, Some(5 * 365 * DAY_NS)), 120 * DAY_NS),
        ];
        for (level, expected) in cases {
            let policy = resolve(vec![level], None).unwrap().internal_policy(0);
            assert_eq!(policy.shard_duration_ns, expected, "{level:?}");
            assert!(is_internal_policy(&policy.name));
        }
    }
}
