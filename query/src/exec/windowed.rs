//! One output series of an aggregate plan, made slice by slice of its buckets.
//!
//! ```text
//! next slice of buckets (in the order of the plan) -> fold -> finish -> fill -> expressions
//!   -> rows in order -> offset, limit -> part
//! ```
//!
//! With a limit the first slice is as small as the limit and later ones grow fourfold, so that
//! the newest five minutes of a year are found without reading the year. Without a limit a slice
//! is bounded by memory. Plans whose rows depend on rows far away (linear fill, functions of
//! consecutive rows, previous values seen from the far end) are one slice.
//!
//! Which empty buckets are rows: all from the start of the range to its end, if there is any
//! value at all; with an open start, from the first bucket with a value on. Empty buckets at the
//! head of the answer therefore wait (`pending`) until a value is seen.

use std::collections::VecDeque;

use firndb_tsdb::model::{Bitmap, TimeRange, Timestamp};

use super::aggregate::Finished;
use super::companions;
use super::expr::{self, Bound};
use super::fill::{self, Carry};
use super::fold::{self, States};
use super::mask;
use super::resolve::{Ref, Resolved};
use super::shared::Shared;
use super::transform::{self, Running};
use super::vector::Vector;
use super::window::{Buckets, Run};
use super::{Series, aggregate};
use crate::error::{Error, Result};
use crate::plan::{Fill, Function, Plan};

/// States of a slice, over all calls: 16 MiB at 16 bytes each.
const SLICE_STATES: u64 = 1 << 20;
/// Bytes a bucket takes besides the states: its edge, its time, its place in the answer.
const BUCKET_BYTES: u64 = 64;

/// Buckets of one output series yet to come.
pub struct GroupRun {
    group: usize,
    /// First and last nanosecond of what is still to be evaluated; `None`: nothing.
    rest: Option<TimeRange>,
    /// The range of the plan as it stands: no open end, and no open start unless `is_open`.
    range: TimeRange,
    /// Open start: where data begins is found out when it matters.
    is_open: bool,
    slice: Option<u64>,
    skip: u64,
    left: u64,
    has_values: bool,
    pending: Option<TimeRange>,
    todo: VecDeque<Todo>,
    carries: Vec<Carry>,
    transforms: Vec<Running>,
    /// Rows before this are only the lead of a function of rows.
    shown_from: Timestamp,
}

enum Todo {
    /// Buckets without a value, not yet made.
    Empty(TimeRange),
    /// Rows in the order of the answer, before offset and limit.
    Rows(Vec<Timestamp>, Vec<Vector>),
}

impl GroupRun {
    /// Output series `group`, nothing evaluated yet.
    pub fn new(shared: &Shared, group: usize) -> GroupRun {
        let plan = &shared.plan;
        let (range, shown_from) = ranges(plan, &shared.resolved);
        GroupRun {
            group,
            rest: (!range.is_empty()).then_some(range),
            range,
            is_open: shared.is_open_start(),
            slice: first_slice(shared),
            skip: plan.offset,
            left: plan.limit.unwrap_or(u64::MAX),
            has_values: false,
            pending: None,
            todo: VecDeque::new(),
            carries: vec![None; shared.resolved.calls.len()],
            transforms: shared
                .resolved
                .transforms
                .iter()
                .map(|s| Running::new(s.transform))
                .collect(),
            shown_from,
        }
    }

    /// The next part with at least one row.
    pub fn next(&mut self, shared: &Shared) -> Result<Option<Series>> {
        loop {
            if self.left == 0 {
                return Ok(None);
            }
            let (times, values) = match self.todo.pop_front() {
                Some(Todo::Rows(times, values)) => (times, values),
                Some(Todo::Empty(range)) => self.empty_rows(shared, range)?,
                None if self.rest.is_some() => {
                    self.advance(shared)?;
                    continue;
                }
                None => return Ok(None),
            };
            let skipped = self.skip.min(times.len() as u64);
            self.skip -= skipped;
            let end = (times.len() as u64).min(skipped.saturating_add(self.left));
            self.left -= end - skipped;
            let (start, end) = (skipped as usize, end as usize);
            if start < end {
                let values = values.iter().map(|column| column.slice(start, end)).collect();
                return Ok(Some(shared.part(self.group, times[start..end].to_vec(), values)));
            }
        }
    }

    /// Evaluates the next slice and queues its rows.
    fn advance(&mut self, shared: &Shared) -> Result<()> {
        shared.means.check()?;
        self.find_start(shared)?;
        let Some(rest) = self.rest else { return Ok(()) };
        let range = self.cut(shared, rest)?;
        let run = Run::covering(&shared.buckets, range.start, range.end);
        let series = &shared.groups[self.group].series;
        let states = fold::evaluate(shared, series, &run, range)?;
        if shared.resolved.multi_row().is_some() {
            let (times, values) = companions::multi_rows(shared, states, &run)?;
            self.todo.push_back(ordered(shared, times, values));
            return Ok(());
        }
        let finished = finish(shared, states, run.len())?;
        let has = has_values(&finished.0, run.len());
        let Some((first, last)) = edges(&has) else {
            self.defer(shared.plan.descending, range);
            return Ok(());
        };
        if let Some(empty) = self.pending.take() {
            self.todo.push_back(Todo::Empty(empty));
        }
        // Rows from `low` to `high` are shown; what lies beyond, seen in the plan's order, waits.
        let descending = shared.plan.descending;
        let mut low = 0;
        if self.is_open && descending && first > 0 {
            low = first;
            self.pending = Some(TimeRange::new(run.start(0), run.start(first) - 1));
        } else if self.is_open && !descending && !self.has_values {
            low = first;
        }
        let high = run.len();
        let (low, high) =
            if shared.plan.window.is_none() { (first, last + 1) } else { (low, high) };
        self.has_values = true;
        let shown = mask::from_fn(run.len(), |bucket| (low..high).contains(&bucket));
        let shown = if shared.plan.fill == Fill::None { has } else { shown };
        let (times, values) = self.rows(shared, finished, &run, shown)?;
        self.todo.push_back(ordered(shared, times, values));
        Ok(())
    }

    /// Takes the next slice off `rest`.
    fn cut(&mut self, shared: &Shared, rest: TimeRange) -> Result<TimeRange> {
        let buckets = &shared.buckets;
        let all = buckets.count_between(rest.start, rest.end);
        let limit = shared.means.limits.buckets_max;
        if limit > 0 && all > limit && rest.start > TimeRange::ALL.start {
            return Err(Error::Limit { name: "max-select-buckets", found: all, limit });
        }
        let Some(size) = self.slice.filter(|size| *size < all) else {
            shared.reserve(all.saturating_mul(BUCKET_BYTES))?;
            self.rest = None;
            return Ok(rest);
        };
        self.slice = Some(size.saturating_mul(4).min(slice_max(shared)));
        let steps = size as i64 - 1;
        let (slice, rest) = if shared.plan.descending {
            let from = buckets.shift(buckets.at(rest.end).start, -steps).max(rest.start);
            (TimeRange::new(from, rest.end), TimeRange::new(rest.start, from.saturating_sub(1)))
        } else {
            let last = buckets.shift(buckets.at(rest.start).start, steps);
            let to = (buckets.at(last).end.saturating_sub(1)).min(rest.end);
            (TimeRange::new(rest.start, to), TimeRange::new(to.saturating_add(1), rest.end))
        };
        self.rest = (!rest.is_empty()).then_some(rest);
        Ok(slice)
    }

    /// A slice without a value: whether its buckets are rows may depend on what follows.
    fn defer(&mut self, descending: bool, range: TimeRange) {
        match (self.has_values, self.is_open, descending) {
            // Before the first value of an open start there are no rows.
            (false, true, false) => {}
            // A value was seen, and the end is known: rows.
            (true, false, _) | (true, true, false) => self.todo.push_back(Todo::Empty(range)),
            // Rows if a value follows.
            (false, _, _) | (true, true, true) => {
                let join =
                    |p: TimeRange| TimeRange::new(p.start.min(range.start), p.end.max(range.end));
                self.pending = Some(self.pending.map_or(range, join));
            }
        }
    }

    /// With an open start, moves the start of what is left to the first row there is.
    fn find_start(&mut self, shared: &Shared) -> Result<()> {
        let is_needed = self.range.start <= TimeRange::ALL.start;
        // A descending slice as small as the limit may well be all there is to do.
        let may_wait = shared.plan.descending
            && self.slice.is_some_and(|size| size < slice_max(shared))
            && self.rest.is_some_and(|rest| rest.end == self.range.end);
        if !is_needed || may_wait {
            return Ok(());
        }
        if shared.plan.window.is_none() {
            return Ok(());
        }
        let mut start = None;
        for series in &shared.groups[self.group].series {
            shared.means.check()?;
            let mut pieces = shared.input.pieces(*series as usize, self.range, false)?;
            while let Some(piece) = pieces.next_piece()? {
                if let Some(span) = piece.time_range() {
                    let first = span.start.max(self.range.start);
                    start = Some(start.map_or(first, |start: Timestamp| start.min(first)));
                    break;
                }
            }
        }
        let Some(start) = start else {
            self.rest = None;
            return Ok(());
        };
        self.range.start = start;
        self.rest = self.rest.map(|rest| TimeRange::new(start.max(rest.start), rest.end));
        self.rest = self.rest.filter(|rest| !rest.is_empty());
        Ok(())
    }

    /// Rows of buckets without a value, a slice at a time.
    fn empty_rows(
        &mut self,
        shared: &Shared,
        range: TimeRange,
    ) -> Result<(Vec<Timestamp>, Vec<Vector>)> {
        if shared.plan.fill == Fill::None {
            return Ok((Vec::new(), Vec::new()));
        }
        let (buckets, steps) = (&shared.buckets, slice_max(shared) as i64 - 1);
        let (now, later) = if shared.plan.descending {
            let from = buckets.shift(buckets.at(range.end).start, -steps).max(range.start);
            (TimeRange::new(from, range.end), TimeRange::new(range.start, from - 1))
        } else {
            let last = buckets.shift(buckets.at(range.start).start, steps);
            let to = (buckets.at(last).end - 1).min(range.end);
            (TimeRange::new(range.start, to), TimeRange::new(to + 1, range.end))
        };
        if !later.is_empty() {
            self.todo.push_front(Todo::Empty(later));
        }
        let run = Run::covering(buckets, now.start, now.end);
        let finished = finish(shared, States::new(shared, run.len())?, run.len())?;
        let shown = Bitmap::filled(run.len(), true);
        let (times, values) = self.rows(shared, finished, &run, shown)?;
        let Todo::Rows(times, values) = ordered(shared, times, values) else {
            unreachable!("ordered gives rows")
        };
        Ok((times, values))
    }

    /// Finished states as rows, ascending: the buckets of `shown`.
    fn rows(
        &mut self,
        shared: &Shared,
        (calls, spots): FinishedCalls,
        run: &Run,
        shown: Bitmap,
    ) -> Result<(Vec<Timestamp>, Vec<Vector>)> {
        let mut times: Vec<Timestamp> = (0..run.len()).map(|b| run.start(b)).collect();
        if shared.plan.window.is_none() {
            times[0] = if shared.is_open_start() { 0 } else { shared.plan.range.start };
        }
        if let (Some(spots), None, Some(_)) =
            (&spots, &shared.plan.window, shared.resolved.selector())
        {
            times[0] = spots[0].time;
        }
        let found = shared.resolved.selector().and_then(|call| calls[call].mask());
        let mut columns: Vec<Vector> = Vec::with_capacity(shared.resolved.refs.len());
        let mut calls: Vec<Option<Vector>> = calls.into_iter().map(Some).collect();
        for to in &shared.resolved.refs {
            let column = match to {
                Ref::Call(call) => {
                    let column = calls[*call].take().expect("one reference per call");
                    let is_count = matches!(
                        shared.resolved.calls[*call].function,
                        Function::Count | Function::CountDistinct
                    );
                    let (fill, carry) = (&shared.plan.fill, &mut self.carries[*call]);
                    match shared.plan.window {
                        Some(_) => fill::apply(fill, is_count, &times, column, carry),
                        None => fill::apply(&Fill::Null, is_count, &times, column, carry),
                    }
                }
                Ref::Transform(at) => {
                    let slot = &shared.resolved.transforms[*at];
                    let input = expr::eval(&slot.input, &columns, times.len()).into_owned();
                    self.transforms[*at].apply(&times, &input)
                }
                Ref::Tag(_) | Ref::Field(_) => {
                    let spots = spots.as_deref().unwrap_or_default();
                    companions::column(shared, to, spots, found.as_ref())?
                }
            };
            columns.push(column);
        }
        let values = outputs(shared, columns, times.len());
        let shown = self.shown(shared, shown, &times, &values);
        if shown.count() == times.len() {
            return Ok((times, values));
        }
        let rows = mask::rows(&shown);
        let times = rows.iter().map(|row| times[*row as usize]).collect();
        Ok((times, values.iter().map(|column| column.take(&rows)).collect()))
    }

    /// Without the lead of functions of rows, and without rows in which they have no value.
    fn shown(
        &self,
        shared: &Shared,
        shown: Bitmap,
        times: &[Timestamp],
        values: &[Vector],
    ) -> Bitmap {
        if shared.resolved.transforms.is_empty() {
            return shown;
        }
        mask::from_fn(times.len(), |row| {
            shown.get(row)
                && times[row] >= self.shown_from
                && values.iter().any(|column| column.is_valid(row))
        })
    }
}

/// Values of the output columns.
pub fn outputs(shared: &Shared, mut columns: Vec<Vector>, rows: usize) -> Vec<Vector> {
    let plain = shared
        .resolved
        .outputs
        .iter()
        .enumerate()
        .all(|(at, output)| matches!(output, Bound::Column(column) if *column == at));
    if plain {
        columns.truncate(shared.resolved.outputs.len());
        return columns;
    }
    let value = |output| expr::eval(output, &columns, rows).into_owned();
    shared.resolved.outputs.iter().map(value).collect()
}

fn ordered(shared: &Shared, mut times: Vec<Timestamp>, values: Vec<Vector>) -> Todo {
    if !shared.plan.descending {
        return Todo::Rows(times, values);
    }
    let reversed: Vec<u32> = (0..times.len() as u32).rev().collect();
    times.reverse();
    Todo::Rows(times, values.iter().map(|column| column.take(&reversed)).collect())
}

/// Values of all calls, one per bucket, and where the single selector found them.
type FinishedCalls = (Vec<Vector>, Option<Vec<aggregate::Spot>>);

fn finish(shared: &Shared, states: States, buckets: usize) -> Result<FinishedCalls> {
    let mut calls: Vec<Vector> =
        shared.resolved.calls.iter().map(|_| Vector::missing(buckets)).collect();
    let mut found = None;
    for (state, (_, numbers)) in states.fields.into_iter().zip(&shared.field_calls) {
        for (call, number) in state.calls.into_iter().zip(numbers) {
            if let Finished::Buckets { values, spots } = call.finish(&state.counts)? {
                calls[*number] = values;
                found = spots;
            }
        }
    }
    Ok((calls, found))
}

/// Buckets in which some call has a value.
fn has_values(calls: &[Vector], buckets: usize) -> Bitmap {
    let mut has = Bitmap::filled(buckets, false);
    for call in calls {
        match call.mask() {
            None => return Bitmap::filled(buckets, true),
            Some(mask) => has = mask::zip(&has, &mask, |a, b| a | b),
        }
    }
    has
}

fn edges(bits: &Bitmap) -> Option<(usize, usize)> {
    let first = (0..bits.len()).find(|bit| bits.get(*bit))?;
    let last = (0..bits.len()).rev().find(|bit| bits.get(*bit))?;
    Some((first, last))
}

/// The span that an aggregate plan reads, and the first time it shows: functions of rows need
/// buckets before the first one. A window has no open end.
pub fn ranges(plan: &Plan, resolved: &Resolved) -> (TimeRange, Timestamp) {
    let (mut range, mut shown_from) = (plan.range, Timestamp::MIN);
    if plan.window.is_none() || resolved.is_raw() {
        return (range, shown_from);
    }
    if range.end >= TimeRange::ALL.end {
        range.end = plan.now;
    }
    let slots = resolved.transforms.iter();
    let lead = slots.map(|slot| transform::lead(&slot.transform)).fold(0, u64::saturating_add);
    if lead > 0 && range.start > TimeRange::ALL.start {
        let buckets = Buckets::new(plan.window.clone());
        shown_from = buckets.at(range.start).start;
        range.start = buckets.shift(shown_from, -i64::try_from(lead).unwrap_or(i64::MAX));
    }
    (range, shown_from)
}

fn slice_max(shared: &Shared) -> u64 {
    (SLICE_STATES / shared.resolved.calls.len().max(1) as u64).max(1024)
}

/// Buckets of the first slice; `None`: all at once.
fn first_slice(shared: &Shared) -> Option<u64> {
    let plan = &shared.plan;
    let is_whole = plan.window.is_none()
        || plan.fill == Fill::Linear
        || (plan.fill == Fill::Previous && plan.descending)
        || !shared.resolved.transforms.is_empty()
        || shared.resolved.multi_row().is_some();
    if is_whole {
        return None;
    }
    let wanted = plan.limit.map_or(u64::MAX, |limit| limit.saturating_add(plan.offset));
    Some(wanted.clamp(1, slice_max(shared)))
}
