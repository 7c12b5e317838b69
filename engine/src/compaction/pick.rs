//! What should be compacted next: a pure function of the levels, the policy and what is running.
//!
//! A policy becomes a `shape::Shape`: how many runs may stand side by side, what is of like
//! size, and what is merged at once. One of two rules reads it: `ranges` for levels of one run
//! each, `tiers` for whole runs and for windows of keys. Both look at the same picture, runs
//! by age, so that policies may be changed at any time. `by_hand` makes the plans that somebody
//! asked for.
//!
//! Invariants, whatever the policy and whatever runs beside:
//! - a table that lies in age between two inputs and shares a key with their range is an input;
//! - a table older than the output does not shadow it: what goes to another level takes all older
//!   tables of its range with it, down to that level;
//! - deletes go only when neither a table nor a running job can have something older for them.

mod by_hand;
mod columns;
mod ranges;
mod shape;
mod tiers;

pub use by_hand::{pick_all, pick_in_place, pick_level, pick_range};
pub use ranges::targets;

use self::shape::{Shape, Unit};
use super::InFlight;
use crate::key::{FileNumber, KeyspaceId};
use crate::levels::LevelsSummary;
use crate::manifest::{LEVELS, Place, TableMeta};
use crate::options::{Leveled, Policy};

/// Why a compaction is done: a label of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanReason {
    /// Level 0 has too many runs.
    Runs,
    /// A level is larger than its target.
    Size,
    /// Neighbouring runs are of like size.
    Tier,
    /// Level 0 cannot go down now, and has too many runs.
    Young,
    /// The keyspace gets its final form.
    Final,
    /// Somebody asked.
    Manual,
    /// Nobody can see anything of the tables: they go unread.
    Drop,
    /// Nobody can see a good part of a table: it is written anew without.
    Deletes,
}

impl PlanReason {
    /// Label of the metric.
    pub fn name(self) -> &'static str {
        match self {
            PlanReason::Runs => "runs",
            PlanReason::Size => "size",
            PlanReason::Tier => "tier",
            PlanReason::Young => "young",
            PlanReason::Final => "final",
            PlanReason::Manual => "manual",
            PlanReason::Drop => "drop",
            PlanReason::Deletes => "deletes",
        }
    }
}

/// Tables of one run that a plan takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanInput {
    /// The run.
    pub place: Place,
    /// The tables, ascending.
    pub tables: Vec<FileNumber>,
}

/// What should be compacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What goes in, newest run first.
    pub inputs: Vec<PlanInput>,
    /// Where the output goes.
    pub output: Place,
    /// First user key of the inputs.
    pub smallest: Vec<u8>,
    /// Last user key of the inputs.
    pub largest: Vec<u8>,
    /// Sizes of the inputs.
    pub input_bytes: u64,
    /// Entries of kind `Delete` in the inputs.
    pub input_deletes: u64,
    /// No table that is older than the inputs shares their range.
    pub is_bottom: bool,
    /// The output is the final form of the keyspace.
    pub is_final: bool,
    /// The tables only change their place.
    pub is_move: bool,
    /// Why.
    pub reason: PlanReason,
}

impl Plan {
    /// Every table that goes in.
    pub fn tables(&self) -> impl Iterator<Item = FileNumber> {
        self.inputs.iter().flat_map(|input| input.tables.iter().copied())
    }

    /// A plan that merges `inputs`, newest first; `None` where they hold nothing.
    pub(super) fn merge(
        inputs: Vec<(Place, Vec<&TableMeta>)>,
        output: Place,
        reason: PlanReason,
    ) -> Option<Plan> {
        let tables = || inputs.iter().flat_map(|(_, tables)| tables.iter().copied());
        let smallest = tables().map(|table| &*table.smallest).min()?.to_vec();
        let largest = tables().map(|table| &*table.largest).max()?.to_vec();
        let input_bytes = tables().map(|table| table.bytes).sum();
        let input_deletes = tables().map(|table| table.deletes).sum();
        let input = |(place, tables): &(Place, Vec<&TableMeta>)| {
            let tables = tables.iter().map(|table| table.number).collect();
            PlanInput { place: *place, tables }
        };
        let inputs = inputs.iter().filter(|(_, tables)| !tables.is_empty()).map(input).collect();
        let (is_bottom, is_final, is_move) = (false, false, false);
        Some(Plan {
            inputs,
            output,
            smallest,
            largest,
            input_bytes,
            input_deletes,
            is_bottom,
            is_final,
            is_move,
            reason,
        })
    }
}

/// What a rule looks at.
struct Picture<'a> {
    keyspace: KeyspaceId,
    levels: &'a LevelsSummary<'a>,
    in_flight: &'a InFlight,
}

impl Picture<'_> {
    /// Whether nothing that the plan needs is held.
    fn allows(&self, plan: &Plan) -> bool {
        self.in_flight.allows(self.keyspace, plan)
    }

    /// Says whether the plan's output is the oldest data of its range, and whether a move will do.
    fn complete(&self, mut plan: Plan, can_move: bool) -> Plan {
        let is_taken = |table: &TableMeta| plan.tables().any(|number| number == table.number);
        let is_older = |place: Place| is_older(place, plan.output);
        let older = self.levels.runs().filter(|run| is_older(run.place));
        let mut older = older.flat_map(|run| &run.tables).filter(|table| !is_taken(table));
        let is_below = older.any(|table| table.overlaps(&plan.smallest, &plan.largest))
            || self.in_flight.writes_older(self.keyspace, &plan);
        plan.is_bottom = !is_below;
        // Deletes that could go are worth a rewrite.
        plan.is_move = can_move && !(plan.is_bottom && plan.input_deletes > 0);
        plan
    }
}

/// Whether what lies at `place` is older than what lies at `other`.
pub(super) fn is_older(place: Place, other: Place) -> bool {
    place.level > other.level || place.level == other.level && place.age < other.age
}

/// What should be compacted next under `policy`, if anything.
pub fn pick(
    keyspace: KeyspaceId,
    levels: &LevelsSummary<'_>,
    policy: &Policy,
    in_flight: &InFlight,
) -> Option<Plan> {
    let picture = Picture { keyspace, levels, in_flight };
    let shape = Shape::of(policy);
    match shape.unit {
        Unit::Ranges(leveled) => ranges::plan(&picture, &shape, &leveled),
        Unit::Runs | Unit::Windows(_) => tiers::plan(&picture, &shape),
    }
}

/// How overdue each level is; 1 and more is due. Level 0 by runs, the last level never. Policies of
/// whole runs know no other level.
pub fn scores(levels: &LevelsSummary<'_>, policy: &Policy, in_flight: &InFlight) -> [f64; LEVELS] {
    let picture = Picture { keyspace: KeyspaceId(0), levels, in_flight };
    let shape = Shape::of(policy);
    match shape.unit {
        Unit::Ranges(leveled) => ranges::scores(&picture, &leveled),
        Unit::Runs | Unit::Windows(_) => {
            let runs0_trigger = u32::try_from(shape.merge_min()).unwrap_or(u32::MAX);
            let like = Leveled { runs0_trigger, ..Leveled::default() };
            let scores = ranges::scores(&picture, &like);
            std::array::from_fn(|level| if level == 0 { scores[0] } else { 0.0 })
        }
    }
}

/// Bytes that have to be rewritten until nothing is due.
pub fn debt_bytes(levels: &LevelsSummary<'_>, policy: &Policy) -> u64 {
    let shape = Shape::of(policy);
    let in_flight = &InFlight::default();
    match shape.unit {
        Unit::Ranges(leveled) => ranges::due_bytes(levels, &leveled),
        Unit::Runs | Unit::Windows(_) => {
            let picture = Picture { keyspace: KeyspaceId(0), levels, in_flight };
            tiers::due_bytes(&picture, &shape)
        }
    }
}

#[cfg(test)]
mod tests;
