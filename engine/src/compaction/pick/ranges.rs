//! The rule for levels of one run each: level 0 is due by its number of runs, a deeper level by its
//! bytes over its target. Level 0 goes first: its runs are what every read pays for and what
//! holds writers up. Deeper levels follow, the most overdue one first.
//!
//! Targets are derived from the largest level upward, so that the last level holds most bytes and
//! space amplification stays near `1 + 1/ratio` whatever the size of the keyspace; levels above
//! the base level stay empty.
//!
//! Level 0 falls into columns, which go down side by side. Where all of it is held up, because jobs
//! of the base level are in the way, its younger runs are merged among themselves.

use super::columns::{Column, Part, columns, part_bytes};
use super::shape::Shape;
use super::{Picture, Plan, PlanReason, tiers};
use crate::levels::{LevelsSummary, RunSummary};
use crate::manifest::{LEVEL_LAST, LEVELS, Place, TableMeta};
use crate::options::Leveled;

/// Pieces of level 0 that go down side by side: each with a cursor for every run.
const PIECES_MAX: u64 = 4;

/// Fewest runs of level 0 that are merged among themselves: fewer would be written for nothing.
const YOUNG_RUNS_MIN: usize = 4;

/// The next job of a level.
pub(super) fn plan(picture: &Picture<'_>, shape: &Shape, leveled: &Leveled) -> Option<Plan> {
    let scores = scores(picture, leveled);
    if scores[0] >= 1.0
        && let Some(plan) = plan_runs0(picture, shape, leveled)
    {
        return Some(plan);
    }
    let mut due: Vec<u8> = (1..LEVEL_LAST).filter(|level| scores[*level as usize] >= 1.0).collect();
    due.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]));
    due.into_iter().find_map(|level| plan_level(picture, level))
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

/// How overdue each level is; 1 and more is due. Level 0 by its runs, the last level never. What
/// jobs hold is on its way already and does not count.
pub(super) fn scores(picture: &Picture<'_>, leveled: &Leveled) -> [f64; LEVELS] {
    let mut scores = [0.0; LEVELS];
    let levels = picture.levels;
    let (base, targets) = targets(levels, leveled);
    let is_free = |table: &&&TableMeta| !picture.in_flight.holds(table.number);
    let runs = levels.runs0.iter().filter(|run| run.tables.iter().any(|t| is_free(&t))).count();
    scores[0] = runs as f64 / f64::from(leveled.runs0_trigger.max(1));
    for level in base..LEVEL_LAST {
        let free = levels.level(level).iter().filter(is_free);
        let bytes: u64 = free.map(|table| table.bytes).sum();
        scores[level as usize] = bytes as f64 / targets[level as usize].max(1) as f64;
    }
    scores
}

/// Bytes that have to be rewritten until no level is due: what is above its target, times the
/// levels it has to go down.
pub(super) fn due_bytes(levels: &LevelsSummary<'_>, leveled: &Leveled) -> u64 {
    let (base, targets) = targets(levels, leveled);
    let mut due = 0;
    if levels.runs0.len() >= leveled.runs0_trigger as usize {
        due += levels.runs0.iter().map(RunSummary::bytes).sum::<u64>();
    }
    for level in base..LEVEL_LAST {
        let bytes: u64 = levels.level(level).iter().map(|table| table.bytes).sum();
        let over = bytes.saturating_sub(targets[level as usize]);
        due += over * u64::from(LEVEL_LAST - level);
    }
    due
}

/// A piece of level 0 with what it overlaps in the base level, else some of its younger runs.
fn plan_runs0(picture: &Picture<'_>, shape: &Shape, leveled: &Leveled) -> Option<Plan> {
    let (base, _) = targets(picture.levels, leveled);
    let mut pieces = pieces(picture);
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.parts.len()));
    let plan = pieces.into_iter().find_map(|piece| plan_piece(picture, piece, base));
    plan.or_else(|| plan_young(picture, shape))
}

/// What of level 0 may go down: its columns, neighbouring ones taken together where they are small.
/// Where a job holds part of a column, what is older than all that it holds: what is younger
/// shadows it from above.
fn pieces<'a>(picture: &Picture<'a>) -> Vec<Column<'a>> {
    let runs: Vec<_> = picture.levels.runs0.iter().collect();
    let whole = Column::whole(&runs);
    let least = whole.bytes().div_ceil(PIECES_MAX);
    let (mut pieces, mut open) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for column in columns(&whole.parts, None) {
        match older_than_held(picture, &column) {
            Some(older) => {
                pieces.push(std::mem::take(&mut open));
                let columns = columns(&older, None).into_iter();
                pieces.extend(columns.map(|column| column.tables().collect()));
                bytes = 0;
            }
            None => {
                bytes += column.bytes();
                open.extend(column.tables());
                if bytes >= least {
                    pieces.push(std::mem::take(&mut open));
                    bytes = 0;
                }
            }
        }
    }
    pieces.push(open);
    pieces.retain(|tables| !tables.is_empty());
    pieces.into_iter().map(|tables| whole.only(&tables)).collect()
}

/// The parts of `column` that are older than every part with a table that a job holds; `None` where
/// no table is held.
fn older_than_held<'a>(picture: &Picture<'_>, column: &Column<'a>) -> Option<Vec<Part<'a>>> {
    let is_held =
        |(_, tables): &Part<'_>| tables.iter().any(|table| picture.in_flight.holds(table.number));
    let held = column.parts.iter().rposition(is_held)?;
    Some(column.parts[held + 1..].to_vec())
}

/// The piece with what it overlaps in the base level.
fn plan_piece(picture: &Picture<'_>, piece: Column<'_>, base: u8) -> Option<Plan> {
    let output = Place { level: base, age: 0 };
    let mut tables: Vec<_> = piece.tables().collect();
    let upper = Plan::merge(piece.parts.clone(), output, PlanReason::Runs)?;
    let lower = overlapping(picture.levels.level(base), &upper.smallest, &upper.largest);
    tables.sort_by(|a, b| a.smallest.cmp(&b.smallest));
    let is_disjoint = tables.windows(2).all(|pair| pair[0].largest < pair[1].smallest);
    let can_move = lower.is_empty() && is_disjoint;
    let inputs = piece.parts.into_iter().chain([(output, lower)]).collect();
    let plan = picture.complete(Plan::merge(inputs, output, PlanReason::Runs)?, can_move);
    picture.allows(&plan).then_some(plan)
}

/// Some of the youngest runs of level 0 into one, which stays there.
fn plan_young(picture: &Picture<'_>, shape: &Shape) -> Option<Plan> {
    let runs: Vec<_> = picture.levels.runs0.iter().collect();
    let parts = Column::whole(&runs).parts;
    let is_free =
        |(_, tables): &&Part<'_>| !tables.iter().any(|table| picture.in_flight.holds(table.number));
    let free: Vec<_> = parts.iter().take_while(is_free).cloned().collect();
    let bytes: Vec<u64> = free.iter().map(part_bytes).collect();
    let inner_runs = (YOUNG_RUNS_MIN - 1).max(shape.inner_runs);
    let like = Shape { inner_runs, ratio: YOUNG_RATIO, ..*shape };
    let (from, to) = tiers::tier(&bytes, &like)?;
    let (output, _) = free[from];
    let plan = Plan::merge(free[from..to].to_vec(), output, PlanReason::Young)?;
    let plan = picture.complete(plan, false);
    picture.allows(&plan).then_some(plan)
}

/// What is of like size among young runs: a run that was merged before is left alone.
const YOUNG_RATIO: f64 = 2.0;

/// The table of `level` that overlaps the next level least for its size.
fn plan_level(picture: &Picture<'_>, level: u8) -> Option<Plan> {
    let levels = picture.levels;
    let output = Place { level: level + 1, age: 0 };
    let below = levels.level(level + 1);
    let free = levels.level(level).iter().filter(|table| !picture.in_flight.holds(table.number));
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
        let plan = picture.complete(Plan::merge(inputs, output, PlanReason::Size)?, can_move);
        picture.allows(&plan).then_some(plan)
    })
}

/// The tables of a run that share a key with a range.
pub(super) fn overlapping<'a>(
    tables: &[&'a TableMeta],
    smallest: &[u8],
    largest: &[u8],
) -> Vec<&'a TableMeta> {
    let start = tables.partition_point(|table| *table.largest < *smallest);
    tables[start..].iter().take_while(|table| *table.smallest <= *largest).copied().collect()
}
