//! Plans that somebody asked for: everything, a range of keys, a level, a table.

use super::columns::{Column, Part};
use super::ranges::{overlapping, targets};
use super::{Picture, Plan, PlanReason};
use crate::compaction::InFlight;
use crate::key::{FileNumber, KeyspaceId};
use crate::levels::LevelsSummary;
use crate::manifest::{LEVEL_LAST, Place};
use crate::options::Policy;
use crate::scan::bounds::Bounds;

/// Where everything goes that is merged by hand.
fn output_of(policy: &Policy, inputs: &[Part<'_>]) -> Option<Place> {
    let (newest, deepest) = (inputs.first()?.0, inputs.last()?.0);
    Some(match policy {
        Policy::Leveled(_) | Policy::LazyLeveled(_) => Place { level: LEVEL_LAST, age: 0 },
        _ if deepest.level == 0 => newest,
        _ => deepest,
    })
}

/// All runs into one; `None` while a job of the keyspace runs, or where there is nothing to do.
pub fn pick_all(
    keyspace: KeyspaceId,
    levels: &LevelsSummary<'_>,
    policy: &Policy,
    in_flight: &InFlight,
    is_final: bool,
) -> Option<Plan> {
    if in_flight.is_busy(keyspace) {
        return None;
    }
    let runs: Vec<_> = levels.runs().collect();
    let inputs = Column::whole(&runs).parts;
    let output = output_of(policy, &inputs)?;
    let reason = if is_final { PlanReason::Final } else { PlanReason::Manual };
    let mut plan = Plan::merge(inputs, output, reason)?;
    (plan.is_bottom, plan.is_final) = (true, is_final);
    Some(plan)
}

/// Everything that shares a key with `bounds`, and what hangs together with it, into one run;
/// `None` while a job holds some of it, or where there is nothing to do.
pub fn pick_range(
    keyspace: KeyspaceId,
    levels: &LevelsSummary<'_>,
    policy: &Policy,
    in_flight: &InFlight,
    bounds: &Bounds,
) -> Option<Plan> {
    let picture = Picture { keyspace, levels, in_flight };
    let runs: Vec<_> = levels.runs().collect();
    let whole = Column::whole(&runs);
    let inside =
        |table: &crate::manifest::TableMeta| bounds.overlap(&table.smallest, &table.largest);
    let mut first = whole.tables().filter(|table| inside(table)).peekable();
    first.peek()?;
    let (mut smallest, mut largest) = (None, None);
    for table in first {
        smallest = Some(smallest.map_or(&*table.smallest, |key: &[u8]| key.min(&table.smallest)));
        largest = Some(largest.map_or(&*table.largest, |key: &[u8]| key.max(&table.largest)));
    }
    let (mut smallest, mut largest) = (smallest?, largest?);
    // What is taken widens the range, until it hangs together with nothing outside.
    let inputs = loop {
        let parts = whole.parts.iter();
        let parts = parts.map(|(place, run)| (*place, overlapping(run, smallest, largest)));
        let inputs: Vec<Part<'_>> = parts.collect();
        let taken = || inputs.iter().flat_map(|(_, tables)| tables);
        let low = taken().map(|table| &*table.smallest).min()?;
        let high = taken().map(|table| &*table.largest).max()?;
        if (low, high) == (smallest, largest) {
            break inputs;
        }
        (smallest, largest) = (low, high);
    };
    let inputs: Vec<_> = inputs.into_iter().filter(|(_, tables)| !tables.is_empty()).collect();
    let output = output_of(policy, &inputs)?;
    let plan = picture.complete(Plan::merge(inputs, output, PlanReason::Manual)?, false);
    picture.allows(&plan).then_some(plan)
}

/// The table `number` written anew where it lies; `None` while a job holds it, or where it is gone.
pub fn pick_in_place(
    keyspace: KeyspaceId,
    levels: &LevelsSummary<'_>,
    in_flight: &InFlight,
    number: FileNumber,
    reason: PlanReason,
) -> Option<Plan> {
    let picture = Picture { keyspace, levels, in_flight };
    let (place, table) = levels.runs().find_map(|run| {
        let table = run.tables.iter().find(|table| table.number == number)?;
        Some((run.place, *table))
    })?;
    let plan = Plan::merge(vec![(place, vec![table])], place, reason)?;
    let plan = Plan { is_final: table.is_final, ..picture.complete(plan, false) };
    picture.allows(&plan).then_some(plan)
}

/// A whole level into the next one; level 0 into the base level, or under a policy without levels
/// into one run; the last level into itself. `None` while a job holds some of it, or where there
/// is nothing to do.
pub fn pick_level(
    keyspace: KeyspaceId,
    levels: &LevelsSummary<'_>,
    policy: &Policy,
    in_flight: &InFlight,
    level: u8,
) -> Option<Plan> {
    let picture = Picture { keyspace, levels, in_flight };
    let runs: Vec<_> = match level {
        0 => levels.runs0.iter().collect(),
        level => levels.levels.get(level as usize - 1).into_iter().collect(),
    };
    let mut inputs = Column::whole(&runs).parts;
    inputs.retain(|(_, tables)| !tables.is_empty());
    let newest = inputs.first()?.0;
    let output = match (level, policy) {
        (0, Policy::Leveled(leveled)) => Place { level: targets(levels, leveled).0, age: 0 },
        (0, _) => newest,
        (level, _) => Place { level: LEVEL_LAST.min(level + 1), age: 0 },
    };
    if output.level > level {
        let upper = Plan::merge(inputs.clone(), output, PlanReason::Manual)?;
        let below = levels.level(output.level);
        inputs.push((output, overlapping(below, &upper.smallest, &upper.largest)));
    }
    let plan = picture.complete(Plan::merge(inputs, output, PlanReason::Manual)?, false);
    picture.allows(&plan).then_some(plan)
}
