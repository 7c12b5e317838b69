//! The rule for whole runs: of all runs by age, the youngest group of neighbours of like size that
//! is long enough; when there are too many runs and no such group, the cheapest neighbours.
//!
//! Where the oldest run stands alone (lazy leveled, closed windows) the others gather beside it
//! and go into it all at once, when they are worth the rewrite.

use super::columns::{Column, Part, columns, part_bytes};
use super::shape::{Shape, Unit};
use super::{Picture, Plan, PlanReason};
use crate::manifest::{LEVEL_LAST, Place};

/// The next merge of whole runs, or of what they have in one window.
pub(super) fn plan(picture: &Picture<'_>, shape: &Shape) -> Option<Plan> {
    let columns = columns_of(picture, shape);
    let open = columns.len().saturating_sub(1);
    // Where reads and writes are most likely, first: the newest window.
    columns.iter().enumerate().rev().find_map(|(index, column)| {
        let is_closed = matches!(shape.unit, Unit::Windows(_)) && index < open;
        plan_column(picture, shape, column, is_closed)
    })
}

/// Bytes that merges which are due would read.
pub(super) fn due_bytes(picture: &Picture<'_>, shape: &Shape) -> u64 {
    let columns = columns_of(picture, shape);
    let open = columns.len().saturating_sub(1);
    let due = |(index, column): (usize, &Column<'_>)| {
        let is_closed = matches!(shape.unit, Unit::Windows(_)) && index < open;
        let bytes: Vec<u64> = column.parts.iter().map(part_bytes).collect();
        let group = group(&bytes, shape, is_closed, true, 0);
        group.map_or(0, |(from, to)| bytes[from..to].iter().sum())
    };
    columns.iter().enumerate().map(due).sum()
}

fn columns_of<'a>(picture: &Picture<'a>, shape: &Shape) -> Vec<Column<'a>> {
    let runs: Vec<_> = picture.levels.runs().collect();
    let whole = Column::whole(&runs);
    match shape.unit {
        Unit::Windows(bytes) => columns(&whole.parts, Some(bytes)),
        _ => vec![whole],
    }
}

fn plan_column(
    picture: &Picture<'_>,
    shape: &Shape,
    column: &Column<'_>,
    is_closed: bool,
) -> Option<Plan> {
    let parts = &column.parts;
    // Runs that a job holds part the rest into spans of free neighbours.
    let is_free =
        |(_, tables): &&Part<'_>| !tables.iter().any(|table| picture.in_flight.holds(table.number));
    let excess = parts.len().saturating_sub(shape.runs_max);
    let mut start = 0;
    while start < parts.len() {
        let len = parts[start..].iter().take_while(is_free).count();
        let span = &parts[start..start + len];
        let bytes: Vec<u64> = span.iter().map(part_bytes).collect();
        let has_last = start + len == parts.len();
        if let Some((from, to)) = group(&bytes, shape, is_closed, has_last, excess) {
            let stands_alone = shape.last_ratio.is_some() && shape.unit == Unit::Runs;
            let to_last = has_last && to == len && stands_alone;
            let plan = plan_group(picture, &span[from..to], to_last)?;
            if picture.allows(&plan) {
                return Some(plan);
            }
        }
        start += len + 1;
    }
    None
}

/// Which neighbours of a span of runs (newest first) to merge. `has_last`: the oldest run of all is
/// its last. `excess`: how many runs there are too many.
fn group(
    bytes: &[u64],
    shape: &Shape,
    is_closed: bool,
    has_last: bool,
    excess: usize,
) -> Option<(usize, usize)> {
    // In the open window the oldest run is one like others.
    let stands_alone = match shape.unit {
        Unit::Windows(_) => is_closed,
        _ => true,
    };
    let last_ratio = shape.last_ratio.filter(|_| has_last && stands_alone);
    let Some((ratio, (last, younger))) = last_ratio.zip(bytes.split_last()) else {
        return tier(bytes, shape).or_else(|| (excess > 0).then(|| cheapest(bytes, shape))?);
    };
    let is_worth_it = younger.iter().sum::<u64>().saturating_mul(ratio) >= *last;
    let is_long = younger.len() >= shape.merge_min();
    let goes_in = match is_closed {
        true => !younger.is_empty() && (is_worth_it || is_long),
        false => is_long && is_worth_it,
    };
    if goes_in {
        return Some((0, bytes.len()));
    }
    let inner = tier(younger, shape);
    inner.or_else(|| (excess > 0).then(|| cheapest(younger, shape))?)
}

/// A merge of `group`. `to_last`: the oldest of all is in it, and goes to the last level.
fn plan_group(picture: &Picture<'_>, group: &[Part<'_>], to_last: bool) -> Option<Plan> {
    let (newest, oldest) = (group.first()?.0, group.last()?.0);
    let last = Place { level: LEVEL_LAST, age: 0 };
    let output = match oldest.level {
        _ if to_last => last,
        0 => newest,
        _ => oldest,
    };
    let mut inputs = group.to_vec();
    // Of a last run that stays where it is, only what the others overlap is rewritten.
    if to_last && oldest == last {
        let (_, tables) = inputs.pop()?;
        let younger = Plan::merge(inputs.clone(), output, PlanReason::Tier)?;
        let overlaps =
            tables.into_iter().filter(|table| table.overlaps(&younger.smallest, &younger.largest));
        inputs.push((last, overlaps.collect()));
    }
    let plan = Plan::merge(inputs, output, PlanReason::Tier)?;
    Some(picture.complete(plan, false))
}

/// The youngest group of neighbours of like size: from a run on, every older one that has at most
/// `ratio` times the mean of the group so far.
pub(super) fn tier(bytes: &[u64], shape: &Shape) -> Option<(usize, usize)> {
    for start in 0..bytes.len() {
        let mut sum = bytes[start];
        let mut end = start + 1;
        while end < bytes.len() && end - start < shape.merge_max {
            let mean = sum as f64 / (end - start) as f64;
            if bytes[end] as f64 > mean * shape.ratio {
                break;
            }
            sum += bytes[end];
            end += 1;
        }
        if end - start >= shape.merge_min() {
            return Some((start, end));
        }
    }
    None
}

/// The fewest neighbours with the fewest bytes.
fn cheapest(bytes: &[u64], shape: &Shape) -> Option<(usize, usize)> {
    let least = shape.merge_min().min(bytes.len());
    if least < 2 {
        return None;
    }
    let starts = 0..=bytes.len() - least;
    let start = starts.min_by_key(|start| bytes[*start..start + least].iter().sum::<u64>())?;
    Some((start, start + least))
}
