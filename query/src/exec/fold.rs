//! Series into the states of a run of buckets.
//!
//! Series are folded in blocks of eight, one after another within a block; blocks are folded by
//! as many threads as there are and merged in order. The size of a block is fixed, so the answer
//! does not depend on the threads, down to the last bit of a float sum.

use firndb_engine::budget::Reservation;
use firndb_tsdb::model::TimeRange;
use rayon::prelude::*;

use super::aggregate::{self, FieldState};
use super::filter::{RowFilter, SeriesFilter};
use super::input::{Chunk, Piece};
use super::mask;
use super::rollup::Buckets;
use super::shared::{Shared, grow};
use super::window::{Run, Segment};
use crate::error::Result;
use crate::plan::Function;

/// Series of a block.
const BLOCK: usize = 8;
/// Values below which handing work to other threads costs more than it brings: at about 1 ns a
/// value this is a quarter of a millisecond.
pub const WORTH_THREADS: u64 = 250_000;
/// What opening a series costs, in values.
const SERIES_COST: u64 = 5_000;

/// States of all fields with calls, over one run of buckets, with the memory they hold.
pub struct States {
    /// One per element of [`Shared::field_calls`].
    pub fields: Vec<FieldState>,
    held: Reservation,
}

impl States {
    /// States without a value.
    pub fn new(shared: &Shared, buckets: usize) -> Result<States> {
        let bytes =
            buckets * shared.field_calls.len() * 8 + buckets * shared.resolved.calls.len() * 32;
        let held = shared.reserve(bytes as u64)?;
        let call = |call: &usize| {
            let slot = &shared.resolved.calls[*call];
            let field = slot.field.expect("calls of a field have one");
            let field_type = shared.resolved.fields[field].field_type;
            let wants = shared.resolved.shows_spot(shared.plan.window.is_some());
            aggregate::accumulator(&slot.function, field_type, buckets, wants)
        };
        let field = |(_, calls): &(usize, Vec<usize>)| FieldState {
            counts: vec![0; buckets],
            calls: calls.iter().map(call).collect(),
        };
        Ok(States { fields: shared.field_calls.iter().map(field).collect(), held })
    }

    fn charge(&mut self) -> Result<()> {
        let bytes: usize = self.fields.iter().map(|field| field.memory_bytes()).sum();
        grow(&mut self.held, bytes as u64)
    }

    fn merge(&mut self, other: States) -> Result<()> {
        for (mine, theirs) in self.fields.iter_mut().zip(other.fields) {
            mine.merge(theirs);
        }
        self.charge()
    }
}

/// Folds `series` within `range`, which `run` covers.
pub fn evaluate(shared: &Shared, series: &[u32], run: &Run, range: TimeRange) -> Result<States> {
    let block = |series: &[u32]| -> Result<(States, u64)> {
        let mut states = States::new(shared, run.len())?;
        let mut values = 0;
        for one in series {
            values += fold_series(shared, &mut states, *one, run, range)? + SERIES_COST;
        }
        Ok((states, values))
    };
    let mut blocks = series.chunks(BLOCK);
    let Some(first) = blocks.next() else { return States::new(shared, run.len()) };
    let (mut states, values) = block(first)?;
    let rest: Vec<&[u32]> = blocks.collect();
    let worth = values.saturating_mul(rest.len() as u64) >= WORTH_THREADS;
    match shared.means.pool.as_ref().filter(|_| worth) {
        Some(pool) => {
            // In waves, so that a million series do not hold a state each at once.
            for wave in rest.chunks(pool.current_num_threads() * 4) {
                let done: Result<Vec<(States, u64)>> =
                    pool.install(|| wave.par_iter().map(|series| block(series)).collect());
                done?.into_iter().try_for_each(|(other, _)| states.merge(other))?;
            }
        }
        None => {
            for series in rest {
                states.merge(block(series)?.0)?;
            }
        }
    }
    Ok(states)
}

/// One series in one run of buckets.
struct Folding<'a> {
    shared: &'a Shared,
    states: &'a mut States,
    series: u32,
    run: &'a Run,
    range: TimeRange,
    segments: Vec<Segment>,
    values: u64,
}

/// Folds one series and returns how many values it had.
fn fold_series(
    shared: &Shared,
    states: &mut States,
    series: u32,
    run: &Run,
    range: TimeRange,
) -> Result<u64> {
    let filter = SeriesFilter::new(shared, series);
    if matches!(filter, SeriesFilter::Nothing) {
        return Ok(0);
    }
    let mut folding =
        Folding { shared, states, series, run, range, segments: Vec::new(), values: 0 };
    folding.pieces(&filter)?;
    let values = folding.values;
    states.fields.iter_mut().for_each(|field| field.end_series());
    states.charge()?;
    Ok(values)
}

impl Folding<'_> {
    fn pieces(&mut self, filter: &SeriesFilter<'_>) -> Result<()> {
        let edge = one_edge(self.shared);
        let before = self.counts();
        let descending = edge == Some(Edge::Last);
        let mut pieces = self.shared.input.pieces(self.series as usize, self.range, descending)?;
        while let Some(piece) = pieces.next_piece()? {
            self.shared.means.check()?;
            match filter {
                SeriesFilter::Nothing => {}
                SeriesFilter::All => self.piece(&piece)?,
                SeriesFilter::Rows(filter) => self.filtered(&piece, filter)?,
            }
            if edge.is_some() && self.counts().iter().zip(&before).all(|(now, was)| now > was) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Values in the first bucket, per field.
    fn counts(&self) -> Vec<u64> {
        self.states.fields.iter().map(|field| field.counts[0]).collect()
    }

    fn piece(&mut self, piece: &Piece<'_>) -> Result<()> {
        if let Piece::Buckets(buckets) = piece {
            return self.buckets(buckets);
        }
        if let Piece::Chunk(chunk) = piece {
            let span = chunk.time_range();
            let bucket = self.run.find(span.start.max(self.range.start));
            if self.range.covers(&span) && bucket == self.run.find(span.end) {
                return self.whole_chunk(piece, chunk.as_ref(), bucket);
            }
        }
        let all: Vec<usize> = (0..self.states.fields.len()).collect();
        self.load(piece, &all)
    }

    /// A chunk that lies in one bucket: statistics where they suffice, rows where they do not.
    fn whole_chunk(&mut self, piece: &Piece<'_>, chunk: &dyn Chunk, bucket: usize) -> Result<()> {
        let mut unanswered = Vec::new();
        for (at, (field, _)) in self.shared.field_calls.iter().enumerate() {
            let (count, stats) = (chunk.count(*field), chunk.stats(*field));
            let state = &mut self.states.fields[at];
            if state.takes_stats(bucket, count, stats) {
                state.fold_stats(bucket, count, stats, self.series);
                self.count(chunk.rows(), 1)?;
            } else {
                unanswered.push(at);
            }
        }
        if unanswered.is_empty() { Ok(()) } else { self.load(piece, &unanswered) }
    }

    /// Reads and folds the rows of these fields (numbers among those with calls).
    fn load(&mut self, piece: &Piece<'_>, at: &[usize]) -> Result<()> {
        let fields: Vec<usize> = at.iter().map(|at| self.shared.field_calls[*at].0).collect();
        let rows = piece.load(&fields, self.range)?;
        self.count(rows.timestamps.len(), at.len())?;
        self.run.segments(&rows.timestamps, &mut self.segments);
        for (at, column) in at.iter().zip(&rows.columns) {
            let (times, segments) = (&rows.timestamps, &self.segments);
            self.states.fields[*at].fold(times, column, None, segments, self.series);
        }
        self.states.charge()
    }

    /// Folds buckets of a rollup; they lie within the range.
    fn buckets(&mut self, buckets: &Buckets) -> Result<()> {
        self.count(buckets.starts.len(), self.states.fields.len())?;
        let mut own_segments = Vec::new();
        self.run.segments(&buckets.starts, &mut self.segments);
        for (state, (field, _)) in self.states.fields.iter_mut().zip(&self.shared.field_calls) {
            let of = &buckets.fields[*field];
            let (starts, segments) = match &of.starts {
                None => (&buckets.starts, &self.segments),
                Some(starts) => {
                    self.run.segments(starts, &mut own_segments);
                    (starts, &own_segments)
                }
            };
            state.fold_buckets(starts, &of.counts, &of.parts, segments, self.series);
        }
        self.states.charge()
    }

    fn filtered(&mut self, piece: &Piece<'_>, filter: &RowFilter<'_>) -> Result<()> {
        let Some(kept) = filter.keep(piece, self.range)? else { return Ok(()) };
        self.count(kept.timestamps.len(), filter.width())?;
        let fields: Vec<usize> = self.shared.field_calls.iter().map(|(field, _)| *field).collect();
        // One span from the first to the last kept row.
        for (start, end) in mask::spans(&kept.rows, usize::MAX) {
            let span = TimeRange::new(kept.timestamps[start], kept.timestamps[end - 1]);
            let rows = piece.load(&fields, span)?;
            self.count(rows.timestamps.len(), fields.len())?;
            let bits = mask::slice(&kept.rows, start, end);
            self.run.segments(&rows.timestamps, &mut self.segments);
            for (state, column) in self.states.fields.iter_mut().zip(&rows.columns) {
                state.fold(&rows.timestamps, column, Some(&bits), &self.segments, self.series);
            }
        }
        self.states.charge()
    }

    fn count(&mut self, rows: usize, columns: usize) -> Result<()> {
        let values = rows as u64 * columns as u64;
        self.values += values;
        self.shared.count_points(values)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    First,
    Last,
}

/// When only first values, or only last ones, are asked for over all of time: a series can be
/// left as soon as each field has one.
fn one_edge(shared: &Shared) -> Option<Edge> {
    if shared.plan.window.is_some() {
        return None;
    }
    let edges = shared.resolved.calls.iter().map(|call| match call.function {
        Function::First => Some(Edge::First),
        Function::Last => Some(Edge::Last),
        _ => None,
    });
    edges.reduce(|a, b| if a == b { a } else { None }).flatten()
}
