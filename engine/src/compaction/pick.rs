//! What should be compacted next: a pure function of the levels, the policy and what is running.
//!
//! Leveled: level 0 is due by its number of runs, a deeper level by its bytes over its target.
//! Targets are derived from the largest level upward, so that the last level holds most bytes and
//! space amplification stays near `1 + 1/ratio` whatever the size of the keyspace; levels above
//! the base level stay empty. The most overdue level goes first.
//!
//! Tiered: of all runs by age, the youngest group of neighbours of like size that is long enough.
//! When there are too many runs and no such group, the cheapest group of neighbours.

use super::InFlight;
use crate::key::{FileNumber, KeyspaceId};
use crate::levels::{LevelsSummary, RunSummary};
use crate::manifest::{LEVEL_LAST, LEVELS, Place, TableMeta};
use crate::options::{Leveled, Policy, Tiered};

/// Why a compaction is done: a label of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanReason {
    /// Level 0 has too many runs.
    Runs,
    /// A level is larger than its target.
    Size,
    /// Neighbouring runs are of like size.
    Tier,
    /// The keyspace gets its final form.
    Final,
    /// Somebody asked.
    Manual,
}

impl PlanReason {
    /// Label of the metric.
    pub fn name(self) -> &'static str {
        match self {
            PlanReason::Runs => "runs",
            PlanReason::Size => "size",
            PlanReason::Tier => "tier",
            PlanReason::Final => "final",
            PlanReason::Manual => "manual",
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
    fn merge(
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

/// What should be compacted next under `policy`, if anything.
pub fn pick(
    keyspace: KeyspaceId,
    levels: &LevelsSummary<'_>,
    policy: &Policy,
    in_flight: &InFlight,
) -> Option<Plan> {
    match policy {
        Policy::Leveled(leveled) => pick_leveled(keyspace, levels, leveled, in_flight),
        Policy::Tiered(tiered) => pick_tiered(keyspace, levels, tiered, in_flight),
    }
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
    let deepest = runs.last()?.place;
    let output = match policy {
        Policy::Leveled(_) => Place { level: LEVEL_LAST, age: 0 },
        Policy::Tiered(_) if deepest.level == 0 => runs[0].place,
        Policy::Tiered(_) => deepest,
    };
    let inputs = runs.iter().map(|run| (run.place, run.tables.clone())).collect();
    let reason = if is_final { PlanReason::Final } else { PlanReason::Manual };
    let mut plan = Plan::merge(inputs, output, reason)?;
    (plan.is_bottom, plan.is_final) = (true, is_final);
    Some(plan)
}

/// The base level (where level 0 goes) and the target of each level from it down, by level.
pub fn targets(levels: &LevelsSummary<'_>, leveled: &Leveled) -> (u8, [u64; LEVELS]) {
    let mut targets = [0; LEVELS];
    let ratio = u64::from(leveled.ratio.max(2));
    let bytes = |level: usize| levels.levels.get(level - 1).map_or(0, RunSummary::bytes);
    let largest = (1..LEVELS).map(bytes).max().unwrap_or(0);
    let mut base = LEVELS - 1;
    targets[base] = largest.max(leveled.base_bytes);
    while base > 1 && targets[base] > leveled.base_bytes {
        base -= 1;
        targets[base] = (targets[base + 1] / ratio).max(1);
    }
    // Data above the base level, left by a larger past: its target is next to nothing, so that it
    // moves down soon.
    let first = (1..LEVELS).find(|level| bytes(*level) > 0).unwrap_or(base);
    targets[first.min(base)..base].fill(1);
    (base.min(first) as u8, targets)
}

/// How overdue each level is; 1 and more is due. Level 0 by runs, the last level never.
pub fn scores(
    levels: &LevelsSummary<'_>,
    leveled: &Leveled,
    in_flight: &InFlight,
) -> [f64; LEVELS] {
    let mut scores = [0.0; LEVELS];
    let (base, targets) = targets(levels, leveled);
    scores[0] = levels.runs0.len() as f64 / f64::from(leveled.runs0_trigger.max(1));
    for level in base..LEVEL_LAST {
        let free = levels.level(level).iter().filter(|table| !in_flight.holds(table.number));
        let bytes: u64 = free.map(|table| table.bytes).sum();
        scores[level as usize] = bytes as f64 / targets[level as usize].max(1) as f64;
    }
    scores
}

/// Bytes that have to be rewritten until no level is due: what is above its target, times the
/// levels it has to go down.
pub fn debt_bytes(levels: &LevelsSummary<'_>, policy: &Policy) -> u64 {
    match policy {
        Policy::Leveled(leveled) => {
            let (base, targets) = targets(levels, leveled);
            let mut debt = 0;
            if levels.runs0.len() >= leveled.runs0_trigger as usize {
                debt += levels.runs0.iter().map(RunSummary::bytes).sum::<u64>();
            }
            for level in base..LEVEL_LAST {
                let bytes: u64 = levels.level(level).iter().map(|table| table.bytes).sum();
                let over = bytes.saturating_sub(targets[level as usize]);
                debt += over * u64::from(LEVEL_LAST - level);
            }
            debt
        }
        Policy::Tiered(tiered) => {
            let runs: Vec<u64> = levels.runs().map(RunSummary::bytes).collect();
            tier(&runs, tiered).map_or(0, |(start, end)| runs[start..end].iter().sum())
        }
    }
}

fn pick_leveled(
    keyspace: KeyspaceId,
    levels: &LevelsSummary<'_>,
    leveled: &Leveled,
    in_flight: &InFlight,
) -> Option<Plan> {
    let scores = scores(levels, leveled, in_flight);
    let mut due: Vec<u8> = (0..LEVEL_LAST).filter(|level| scores[*level as usize] >= 1.0).collect();
    due.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]));
    due.into_iter().find_map(|level| {
        let plan = match level {
            0 => plan_runs0(levels, leveled, in_flight)?,
            level => plan_level(keyspace, levels, level, in_flight)?,
        };
        in_flight.allows(keyspace, &plan).then_some(plan)
    })
}

/// Every run of level 0 with what it overlaps in the base level.
fn plan_runs0(levels: &LevelsSummary<'_>, leveled: &Leveled, in_flight: &InFlight) -> Option<Plan> {
    let (base, _) = targets(levels, leveled);
    let output = Place { level: base, age: 0 };
    let runs: Vec<_> = levels.runs0.iter().map(|run| (run.place, run.tables.clone())).collect();
    if runs.iter().flat_map(|(_, tables)| tables).any(|table| in_flight.holds(table.number)) {
        return None;
    }
    let upper = Plan::merge(runs.clone(), output, PlanReason::Runs)?;
    let lower = overlapping(levels.level(base), &upper.smallest, &upper.largest);
    let mut tables: Vec<_> = runs.iter().flat_map(|(_, tables)| tables.iter().copied()).collect();
    tables.sort_by(|a, b| a.smallest.cmp(&b.smallest));
    let is_disjoint = tables.windows(2).all(|pair| pair[0].largest < pair[1].smallest);
    let can_move = lower.is_empty() && is_disjoint;
    let inputs = runs.into_iter().chain([(output, lower)]).collect();
    let plan = Plan::merge(inputs, output, PlanReason::Runs)?;
    Some(complete(levels, plan, can_move))
}

/// The table of `level` that overlaps the next level least for its size.
fn plan_level(
    keyspace: KeyspaceId,
    levels: &LevelsSummary<'_>,
    level: u8,
    in_flight: &InFlight,
) -> Option<Plan> {
    let output = Place { level: level + 1, age: 0 };
    let below = levels.level(level + 1);
    let free = levels.level(level).iter().filter(|table| !in_flight.holds(table.number));
    let cost = |table: &&TableMeta| {
        let lower = overlapping(below, &table.smallest, &table.largest);
        let bytes: u64 = lower.iter().map(|table| table.bytes).sum();
        (bytes as f64 / table.bytes.max(1) as f64, table.number)
    };
    let mut candidates: Vec<_> = free.map(|table| (cost(table), *table)).collect();
    candidates.sort_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    candidates.into_iter().find_map(|(_, table)| {
        let lower = overlapping(below, &table.smallest, &table.largest);
        let can_move = lower.is_empty();
        let inputs = vec![(Place { level, age: 0 }, vec![table]), (output, lower)];
        let plan = Plan::merge(inputs, output, PlanReason::Size)?;
        let plan = complete(levels, plan, can_move);
        in_flight.allows(keyspace, &plan).then_some(plan)
    })
}

fn overlapping<'a>(
    tables: &[&'a TableMeta],
    smallest: &[u8],
    largest: &[u8],
) -> Vec<&'a TableMeta> {
    let start = tables.partition_point(|table| *table.largest < *smallest);
    tables[start..].iter().take_while(|table| *table.smallest <= *largest).copied().collect()
}

/// Says whether the plan's output is the oldest data of its range, and whether a move will do.
fn complete(levels: &LevelsSummary<'_>, mut plan: Plan, can_move: bool) -> Plan {
    let deeper = (plan.output.level + 1..=LEVEL_LAST).map(|level| levels.level(level));
    plan.is_bottom = deeper.flatten().all(|table| !table.overlaps(&plan.smallest, &plan.largest));
    // Deletes that could go are worth a rewrite.
    plan.is_move = can_move && !(plan.is_bottom && plan.input_deletes > 0);
    plan
}

fn pick_tiered(
    keyspace: KeyspaceId,
    levels: &LevelsSummary<'_>,
    tiered: &Tiered,
    in_flight: &InFlight,
) -> Option<Plan> {
    let runs: Vec<_> = levels.runs().collect();
    // Runs that a job holds part the rest into spans of free neighbours.
    let is_free = |run: &&RunSummary<'_>| !run.tables.iter().any(|t| in_flight.holds(t.number));
    let mut start = 0;
    while start < runs.len() {
        let len = runs[start..].iter().take_while(|run| is_free(run)).count();
        let bytes: Vec<u64> = runs[start..start + len].iter().map(|run| run.bytes()).collect();
        let excess = runs.len() > tiered.runs_max.max(2) as usize;
        let group = tier(&bytes, tiered).or_else(|| excess.then(|| cheapest(&bytes, tiered))?);
        if let Some((from, to)) = group {
            let group = &runs[start + from..start + to];
            let plan = plan_group(group, start + to == runs.len())?;
            if in_flight.allows(keyspace, &plan) {
                return Some(plan);
            }
        }
        start += len + 1;
    }
    None
}

fn plan_group(group: &[&RunSummary<'_>], is_bottom: bool) -> Option<Plan> {
    let (newest, oldest) = (group.first()?.place, group.last()?.place);
    let output = if oldest.level == 0 { newest } else { oldest };
    let inputs = group.iter().map(|run| (run.place, run.tables.clone())).collect();
    let mut plan = Plan::merge(inputs, output, PlanReason::Tier)?;
    plan.is_bottom = is_bottom;
    Some(plan)
}

/// The youngest group of neighbours of like size: from a run on, every older one that has at most
/// `ratio` times the mean of the group so far.
fn tier(bytes: &[u64], tiered: &Tiered) -> Option<(usize, usize)> {
    let (least, most) = group_len(tiered);
    for start in 0..bytes.len() {
        let mut sum = bytes[start];
        let mut end = start + 1;
        while end < bytes.len() && end - start < most {
            let mean = sum as f64 / (end - start) as f64;
            if bytes[end] as f64 > mean * tiered.ratio.max(1.0) {
                break;
            }
            sum += bytes[end];
            end += 1;
        }
        if end - start >= least {
            return Some((start, end));
        }
    }
    None
}

/// The fewest neighbours with the fewest bytes.
fn cheapest(bytes: &[u64], tiered: &Tiered) -> Option<(usize, usize)> {
    let (least, _) = group_len(tiered);
    let least = least.min(bytes.len());
    if least < 2 {
        return None;
    }
    let starts = 0..=bytes.len() - least;
    let start = starts.min_by_key(|start| bytes[*start..start + least].iter().sum::<u64>())?;
    Some((start, start + least))
}

fn group_len(tiered: &Tiered) -> (usize, usize) {
    let least = tiered.merge_runs_min.max(2) as usize;
    (least, (tiered.merge_runs_max as usize).max(least))
}

#[cfg(test)]
mod tests;
