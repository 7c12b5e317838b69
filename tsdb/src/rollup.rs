//! Rollups: what the points of a policy come to per bucket of time, kept after the points are gone.
//!
//! A rollup has levels, finest first. Each level is an internal policy ([`Rollup::class`]) whose
//! rows have the series numbers of the points, the start of a bucket as timestamp and the columns
//! of [`mod@column`]. So log, memtable, chunks, compaction, expiry and drops serve them as they
//! serve points, and a bucket that is written again wins by being written later.
//!
//! Modules in order; each may use those above it: `column` (numbers of derived fields), `span`
//! (arithmetic of buckets and slots), `spec` (what may be asked for), `fold` (values into
//! buckets), `rows` (buckets into payloads), `state` (how far a rollup is); the rest are parts of
//! [`Database`](crate::Database): `api` (making, dropping and asking), `late` (marks of late
//! points), `erase` (deletes), `block` (buckets of some series), `build` (forward), `repair`
//! (again).

mod api;
mod block;
mod build;
pub mod column;
mod erase;
mod fold;
mod late;
mod repair;
mod rows;
mod span;
mod spec;
mod state;

use serde::{Deserialize, Serialize};

use crate::model::{TimeRange, Timestamp};

pub use build::RollupOptions;
pub(crate) use late::Late;
pub use spec::is_internal_policy;
pub(crate) use state::Running;

/// What a statement or a request says of a rollup to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollupSpec {
    /// Its name; `None`: made of policy and levels.
    pub name: Option<String>,
    /// The policy whose points it is of; `None`: the default one.
    pub policy: Option<String>,
    /// The measurements it is of; empty: all.
    pub measurements: Vec<String>,
    /// At least one, finest first, each a multiple of the one before.
    pub levels: Vec<RollupLevel>,
    /// How long points of these measurements live once rolled up; `None`: as the policy says.
    pub raw_ns: Option<i64>,
}

/// A level of a rollup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollupLevel {
    /// Length of a bucket in nanoseconds; whole seconds.
    pub every_ns: i64,
    /// How long buckets live; `None`: for ever.
    pub keep_ns: Option<i64>,
}

/// A rollup of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollup {
    /// Its name.
    pub name: String,
    /// The policy whose points it is of.
    pub policy: String,
    /// The measurements it is of, sorted; empty: all.
    pub measurements: Vec<String>,
    /// Levels, finest first.
    pub levels: Vec<RollupLevel>,
    /// How long points of these measurements live once rolled up; `None`: as the policy says.
    pub raw_ns: Option<i64>,
}

/// How far a rollup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupStatus {
    /// The rollup.
    pub rollup: Rollup,
    /// A status per level, finest first.
    pub levels: Vec<LevelStatus>,
    /// Hours with late points or deletes that are still to be built again.
    pub dirty_slots: u64,
}

/// How far a level is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelStatus {
    /// Length of a bucket.
    pub every_ns: i64,
    /// Buckets that end before this are built; `None`: none yet.
    pub built_until: Option<Timestamp>,
    /// Bytes of its tables.
    pub bytes: u64,
}

/// The buckets of a level that may stand for points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelCover {
    /// Length of a bucket.
    pub every_ns: i64,
    /// The policy to name in [`ScanRequest::policy`](crate::ScanRequest::policy).
    pub class: String,
    /// Ascending spans of whole buckets, each complete and equal to the points, those that are
    /// gone included.
    pub spans: Vec<TimeRange>,
}

impl Rollup {
    /// Whether points of this measurement are rolled up.
    pub fn includes(&self, measurement: &str) -> bool {
        self.measurements.is_empty()
            || self.measurements.binary_search_by(|name| name.as_str().cmp(measurement)).is_ok()
    }

    /// Name of the internal policy of a level.
    pub fn class(&self, level: usize) -> String {
        spec::class(&self.name, self.levels[level].every_ns)
    }

    /// Length of the longest bucket.
    pub fn coarsest_ns(&self) -> i64 {
        self.levels.last().map_or(1, |level| level.every_ns)
    }
}
