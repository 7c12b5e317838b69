//! How the tables of a keyspace are compacted: what is traded for what.
//!
//! | policy       | written for each byte | runs a read meets   | kept beyond what lives    |
//! |--------------|-----------------------|---------------------|---------------------------|
//! | leveled      | most                  | fewest              | one part in `ratio`       |
//! | lazy leveled | between               | between             | one part in `ratio`       |
//! | tiered       | fewest                | most                | as much as lives          |
//! | time window  | as tiered, then once  | as tiered, then one | little, if keys stay      |
//!
//! Invariant: all of them work on the same picture of runs ordered by age, so a change of policy
//! rewrites nothing: the next pick finds what is due under the new one.

use crate::{Error, Result};

/// How the tables of a keyspace are compacted. May be changed at run time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Policy {
    /// Few runs to read: one run per level, each `ratio` times the one above.
    Leveled(Leveled),
    /// Few bytes to write: runs of like size and adjacent age are merged.
    Tiered(Tiered),
    /// Tiered above, and one last run that holds nearly everything.
    LazyLeveled(LazyLeveled),
    /// Tiered in the newest window of keys, one run in each older one.
    TimeWindow(TimeWindow),
}

/// Numbers of the leveled policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leveled {
    /// Runs in level 0 that make it due. 4, as in LevelDB and its heirs.
    pub runs0_trigger: u32,
    /// Size of a level over the size of the level above. 10: write amplification grows with it,
    /// space amplification (1 + 1/ratio) falls.
    pub ratio: u32,
    /// Bytes of the first level below level 0.
    pub base_bytes: u64,
}

/// Numbers of the tiered policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tiered {
    /// Fewest runs merged at once.
    pub merge_runs_min: u32,
    /// Most runs merged at once: each holds a cursor with its blocks.
    pub merge_runs_max: u32,
    /// A run is of like size when it has at most this many times the mean of the younger ones.
    pub ratio: f64,
    /// More runs than this are merged whatever their sizes: the bound of read amplification.
    pub runs_max: u32,
}

/// Numbers of the lazy leveled policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LazyLeveled {
    /// How the younger runs are merged.
    pub tiers: Tiered,
    /// The younger runs go into the last one when they have at least one part in this many of its
    /// bytes: the last run is rewritten about this many times while it doubles, and bytes that
    /// nobody can read any more stay below one part in this many.
    pub ratio: u32,
}

/// Numbers of the time-window policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeWindow {
    /// How the runs of the newest window are merged.
    pub tiers: Tiered,
    /// A window is the keys that share this many first bytes: big-endian time, cut short. The
    /// greatest window with a table is the open one. No table spans two.
    pub prefix_bytes: u8,
}

impl Policy {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Policy::Leveled(_) => "leveled",
            Policy::Tiered(_) => "tiered",
            Policy::LazyLeveled(_) => "lazy_leveled",
            Policy::TimeWindow(_) => "time_window",
        }
    }

    /// Whether a keyspace may be compacted after it.
    ///
    /// # Errors
    /// `Invalid` with the number that will not do, and what is allowed.
    pub fn check(&self) -> Result<()> {
        match self {
            Policy::Leveled(Leveled { runs0_trigger, ratio, base_bytes }) => {
                at_least("leveled.runs0_trigger", *runs0_trigger, 1)?;
                at_least("leveled.ratio", *ratio, 2)?;
                at_least("leveled.base_bytes", *base_bytes, 1)
            }
            Policy::Tiered(tiers) => tiers.check(),
            Policy::LazyLeveled(LazyLeveled { tiers, ratio }) => {
                tiers.check()?;
                at_least("lazy_leveled.ratio", *ratio, 1)
            }
            Policy::TimeWindow(TimeWindow { tiers, prefix_bytes }) => {
                tiers.check()?;
                at_least("time_window.prefix_bytes", *prefix_bytes, 1)
            }
        }
    }

    /// First bytes of a key that say which tables it may lie in with others.
    pub fn window_bytes(&self) -> Option<usize> {
        match self {
            Policy::TimeWindow(windows) => Some(windows.prefix_bytes.into()),
            _ => None,
        }
    }
}

impl Tiered {
    fn check(&self) -> Result<()> {
        at_least("tiered.merge_runs_min", self.merge_runs_min, 2)?;
        if self.merge_runs_max < self.merge_runs_min {
            let (max, min) = (self.merge_runs_max, self.merge_runs_min);
            let allowed = format!("it must be at least merge_runs_min, which is {min}");
            return refuse("tiered.merge_runs_max", max.into(), &allowed);
        }
        if !(self.ratio >= 1.0 && self.ratio.is_finite()) {
            return refuse("tiered.ratio", self.ratio, "it must be a number, 1 or more");
        }
        at_least("tiered.runs_max", self.runs_max, 2)
    }
}

fn at_least(field: &str, value: impl Into<u64>, least: u64) -> Result<()> {
    let value = value.into();
    if value >= least {
        return Ok(());
    }
    refuse(field, value as f64, &format!("it must be at least {least}"))
}

fn refuse(field: &str, value: f64, allowed: &str) -> Result<()> {
    Err(Error::Invalid { reason: format!("{field} is {value}; {allowed}") })
}

impl Default for Leveled {
    fn default() -> Self {
        Leveled { runs0_trigger: 4, ratio: 10, base_bytes: 256 << 20 }
    }
}

impl Default for Tiered {
    fn default() -> Self {
        Tiered { merge_runs_min: 4, merge_runs_max: 16, ratio: 2.0, runs_max: 12 }
    }
}

impl Default for LazyLeveled {
    fn default() -> Self {
        LazyLeveled { tiers: Tiered::default(), ratio: 4 }
    }
}

impl Default for TimeWindow {
    fn default() -> Self {
        TimeWindow { tiers: Tiered::default(), prefix_bytes: 6 }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy::Leveled(Leveled::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_will_not_do_are_named() {
        let (leveled, tiered) = (Leveled::default(), Tiered::default());
        let (lazy, windows) = (LazyLeveled::default(), TimeWindow::default());
        let none = Tiered { merge_runs_min: 0, ..tiered };
        let cases = [
            (Policy::Leveled(leveled), ""),
            (Policy::Leveled(Leveled { runs0_trigger: 1, ratio: 2, base_bytes: 1 }), ""),
            (
                Policy::Leveled(Leveled { runs0_trigger: 0, ..leveled }),
                "leveled.runs0_trigger is 0; it must be at least 1",
            ),
            (
                Policy::Leveled(Leveled { ratio: 1, ..leveled }),
                "leveled.ratio is 1; it must be at least 2",
            ),
            (
                Policy::Leveled(Leveled { base_bytes: 0, ..leveled }),
                "leveled.base_bytes is 0; it must be at least 1",
            ),
            (Policy::Tiered(tiered), ""),
            (
                Policy::Tiered(Tiered { merge_runs_min: 1, ..tiered }),
                "tiered.merge_runs_min is 1; it must be at least 2",
            ),
            (Policy::Tiered(Tiered { merge_runs_min: 3, merge_runs_max: 3, ..tiered }), ""),
            (
                Policy::Tiered(Tiered { merge_runs_min: 3, merge_runs_max: 2, ..tiered }),
                "tiered.merge_runs_max is 2; it must be at least merge_runs_min, which is 3",
            ),
            (
                Policy::Tiered(Tiered { ratio: 0.5, ..tiered }),
                "tiered.ratio is 0.5; it must be a number, 1 or more",
            ),
            (
                Policy::Tiered(Tiered { ratio: f64::NAN, ..tiered }),
                "tiered.ratio is NaN; it must be a number, 1 or more",
            ),
            (
                Policy::Tiered(Tiered { ratio: f64::INFINITY, ..tiered }),
                "tiered.ratio is inf; it must be a number, 1 or more",
            ),
            (
                Policy::Tiered(Tiered { runs_max: 1, ..tiered }),
                "tiered.runs_max is 1; it must be at least 2",
            ),
            (Policy::LazyLeveled(lazy), ""),
            (
                Policy::LazyLeveled(LazyLeveled { ratio: 0, ..lazy }),
                "lazy_leveled.ratio is 0; it must be at least 1",
            ),
            (
                Policy::LazyLeveled(LazyLeveled { tiers: none, ..lazy }),
                "tiered.merge_runs_min is 0; it must be at least 2",
            ),
            (Policy::TimeWindow(windows), ""),
            (
                Policy::TimeWindow(TimeWindow { prefix_bytes: 0, ..windows }),
                "time_window.prefix_bytes is 0; it must be at least 1",
            ),
            (
                Policy::TimeWindow(TimeWindow { tiers: none, ..windows }),
                "tiered.merge_runs_min is 0; it must be at least 2",
            ),
        ];
        for (policy, expected) in cases {
            let found = match policy.check() {
                Ok(()) => String::new(),
                Err(Error::Invalid { reason }) => reason,
                Err(other) => panic!("{other}"),
            };
            assert_eq!(found, expected, "{policy:?}");
        }
    }
}
