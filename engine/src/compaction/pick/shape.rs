//! What a policy asks of the runs of a keyspace, as the numbers that the picker reads.
//!
//! Every policy is a point in one space: how many runs of like size may stand side by side among
//! the younger runs (K) and at the end (Z), what counts as like size (T), and what is merged at
//! once: ranges of a level, whole runs, or the part of each run that lies in one window.
//!
//! | policy       | K             | Z             | at once |
//! |--------------|---------------|---------------|---------|
//! | leveled      | 1             | 1             | ranges  |
//! | tiered       | merge min - 1 | merge min - 1 | runs    |
//! | lazy leveled | merge min - 1 | 1             | runs    |
//! | time window  | merge min - 1 | 1 once closed | windows |

use crate::options::{LazyLeveled, Leveled, Policy, Tiered, TimeWindow};

/// A closed window, or the last run of the lazy policy, that takes the younger runs in when they
/// have this part of its bytes. For windows: what comes late costs no more than this many times.
const WINDOW_RATIO: u64 = 10;

/// What a policy asks of the runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    /// K: runs of like size that may stand side by side.
    pub inner_runs: usize,
    /// Z: whether the oldest run stands alone, and takes the younger ones in when they have one
    /// part in this many of its bytes. `None`: it is a run like others.
    pub last_ratio: Option<u64>,
    /// T: a run is of like size up to this many times the mean of the younger ones; or, between
    /// levels, what one has over the one above.
    pub ratio: f64,
    /// Most runs merged at once.
    pub merge_max: usize,
    /// Runs beyond which any are merged.
    pub runs_max: usize,
    /// What is merged at once.
    pub unit: Unit,
}

/// What is merged at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unit {
    /// Tables of a level with what they overlap in the next one.
    Ranges(Leveled),
    /// Whole runs.
    Runs,
    /// The parts of runs that lie in one window of keys with this many first bytes in common.
    Windows(usize),
}

impl Shape {
    pub(super) fn of(policy: &Policy) -> Shape {
        match *policy {
            Policy::Leveled(leveled) => Shape {
                inner_runs: (leveled.runs0_trigger as usize).saturating_sub(1).max(1),
                last_ratio: Some(u64::from(leveled.ratio.max(2))),
                ratio: f64::from(leveled.ratio.max(2)),
                merge_max: usize::MAX,
                runs_max: usize::MAX,
                unit: Unit::Ranges(leveled),
            },
            Policy::Tiered(tiered) => Shape::tiers(&tiered, None, Unit::Runs),
            Policy::LazyLeveled(LazyLeveled { tiers, ratio }) => {
                Shape::tiers(&tiers, Some(ratio.max(1).into()), Unit::Runs)
            }
            Policy::TimeWindow(TimeWindow { tiers, prefix_bytes }) => {
                Shape::tiers(&tiers, Some(WINDOW_RATIO), Unit::Windows(prefix_bytes.into()))
            }
        }
    }

    fn tiers(tiered: &Tiered, last_ratio: Option<u64>, unit: Unit) -> Shape {
        let inner_runs = (tiered.merge_runs_min as usize).saturating_sub(1).max(1);
        Shape {
            inner_runs,
            last_ratio,
            ratio: tiered.ratio.max(1.0),
            merge_max: (tiered.merge_runs_max as usize).max(inner_runs + 1),
            runs_max: tiered.runs_max.max(2) as usize,
            unit,
        }
    }

    /// Fewest runs merged at once: one more than may stand side by side.
    pub(super) fn merge_min(&self) -> usize {
        self.inner_runs + 1
    }
}
