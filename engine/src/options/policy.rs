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

    /// First bytes of a key that say which tables it may lie in with others.
    pub fn window_bytes(&self) -> Option<usize> {
        match self {
            Policy::TimeWindow(windows) => Some(windows.prefix_bytes.into()),
            _ => None,
        }
    }
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
