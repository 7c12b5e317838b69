//! Aggregate functions: one accumulator per call, folded over dense slices bucket by bucket.
//!
//! ```text
//! rows of a series -> values without gaps, cut at the buckets' edges -> fold  (or fold_stats)
//!   (or buckets of a rollup, made points of their parts -> fold_buckets)
//!   -> end_series -> ... next series of the block ... -> merge of blocks in order -> finish
//! ```
//!
//! Invariants:
//! - the answer depends on the points alone: not on how rows were cut into pieces, not on
//!   whether statistics or rows were folded, not on the number of threads;
//! - what a bucket's state holds means nothing while the bucket's count is 0; counts are kept
//!   once per field by [`FieldState`].

mod buckets;
mod collect;
mod edge;
mod extreme;
mod number;
mod sum;
mod tally;

use std::any::Any;

use firndb_tsdb::chunk::Stats;
use firndb_tsdb::model::{Bitmap, Column, FieldType, Timestamp, Values};

use super::mask;
use super::vector::Vector;
use super::window::Segment;
use crate::error::{Error, Result};
use crate::plan::Function;

pub use buckets::{BucketSlice, Parts, parts};
pub use number::Number;

/// Where a selected value was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spot {
    /// Its time.
    pub time: Timestamp,
    /// Index of its series in the input.
    pub series: u32,
}

/// Values of one field of one series, none missing, cut at the edges of buckets.
pub struct Slice<'a> {
    /// Time of each value, ascending.
    pub timestamps: &'a [Timestamp],
    /// The values.
    pub values: &'a Values,
    /// Where buckets begin and end among them.
    pub segments: &'a [Segment],
    /// Values that each bucket had before.
    pub counts: &'a [u64],
    /// Index of the series in the input.
    pub series: u32,
}

/// State of one call over a run of buckets.
pub trait Accumulator: Send {
    /// Takes in more values of the current series, later than those before.
    fn fold(&mut self, slice: &Slice<'_>);

    /// Whether [`Accumulator::fold_stats`] can stand for folding a chunk that lies in `bucket`.
    fn takes_stats(&self, bucket: usize, stats: &Stats, counts: &[u64]) -> bool {
        let _ = (bucket, stats, counts);
        false
    }

    /// Takes in a whole chunk by its statistics.
    fn fold_stats(&mut self, bucket: usize, stats: &Stats, counts: &[u64], series: u32) {
        let _ = (bucket, stats, counts, series);
    }

    /// Takes in buckets of a rollup of the current series, later than what came before.
    ///
    /// # Panics
    /// When [`parts`] has none for the function: the planner gives it points.
    fn fold_buckets(&mut self, _: &BucketSlice<'_>) {
        unreachable!("a function that buckets do not tell is given points")
    }

    /// The next values belong to another series.
    fn end_series(&mut self) {}

    /// Takes in the state of the series that come after, with the counts of both sides.
    fn merge(&mut self, other: Box<dyn Any>, counts: &[u64], other_counts: &[u64]);

    /// The answer.
    fn finish(self: Box<Self>, counts: &[u64]) -> Result<Finished>;

    /// For `merge`.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;

    /// Bytes held beyond a constant per bucket.
    fn memory_bytes(&self) -> usize {
        0
    }
}

/// What a call comes to.
pub enum Finished {
    /// A value per bucket.
    Buckets {
        /// The values; missing in empty buckets.
        values: Vector,
        /// Where they were found, when that was asked for.
        spots: Option<Vec<Spot>>,
    },
    /// Any number of values per bucket.
    Rows {
        /// Bucket of each row, ascending.
        buckets: Vec<usize>,
        /// The values.
        values: Vector,
        /// Where they were found.
        spots: Vec<Spot>,
    },
}

/// Whether the function answers with one of the values.
pub fn is_selector(function: &Function) -> bool {
    use Function::*;
    matches!(function, Min | Max | First | Last | Percentile(_) | Top { .. } | Bottom { .. })
}

/// Whether the function gives any number of rows per bucket.
pub fn is_multi_row(function: &Function) -> bool {
    matches!(function, Function::Distinct | Function::Top { .. } | Function::Bottom { .. })
}

/// The name that people write.
pub fn name(function: &Function) -> &'static str {
    match function {
        Function::Count | Function::CountDistinct => "count",
        Function::Sum => "sum",
        Function::Mean => "mean",
        Function::Median => "median",
        Function::Min => "min",
        Function::Max => "max",
        Function::First => "first",
        Function::Last => "last",
        Function::Spread => "spread",
        Function::Stddev => "stddev",
        Function::Percentile(_) => "percentile",
        Function::Mode => "mode",
        Function::Distinct => "distinct",
        Function::Top { .. } => "top",
        Function::Bottom { .. } => "bottom",
        Function::Integral { .. } => "integral",
    }
}

/// Whether `function` is defined for values of `field_type`.
pub fn check_type(function: &Function, field_type: FieldType) -> Result<()> {
    use Function::*;
    let fits = match function {
        Count | CountDistinct | Mode | Distinct | First | Last => true,
        Min | Max => field_type != FieldType::String,
        Sum
        | Mean
        | Median
        | Spread
        | Stddev
        | Percentile(_)
        | Top { .. }
        | Bottom { .. }
        | Integral { .. } => {
            matches!(field_type, FieldType::Float | FieldType::Integer | FieldType::Unsigned)
        }
    };
    if fits {
        return Ok(());
    }
    let (name, field_type) = (name(function), field_type.name());
    Err(Error::invalid(format!("unsupported {name} iterator type: {field_type}")))
}

/// An accumulator over `buckets` buckets. `spots`: a selector remembers where.
///
/// # Panics
/// When [`check_type`] refuses the combination.
pub fn accumulator(
    function: &Function,
    field_type: FieldType,
    buckets: usize,
    spots: bool,
) -> Box<dyn Accumulator> {
    match field_type {
        FieldType::Float => numeric::<f64>(function, buckets, spots),
        FieldType::Integer => numeric::<i64>(function, buckets, spots),
        FieldType::Unsigned => numeric::<u64>(function, buckets, spots),
        FieldType::Boolean => numeric::<bool>(function, buckets, spots),
        FieldType::String => match function {
            Function::First => Box::new(edge::TextEdge::new(buckets, false)),
            Function::Last => Box::new(edge::TextEdge::new(buckets, true)),
            Function::Count => Box::new(sum::Count),
            function => Box::new(tally::Tally::<Box<[u8]>>::new(buckets, function)),
        },
    }
}

fn numeric<T: Number>(function: &Function, buckets: usize, spots: bool) -> Box<dyn Accumulator> {
    match function {
        Function::Count => Box::new(sum::Count),
        Function::Sum => Box::new(sum::Sum::<T>::new(buckets, false)),
        Function::Mean => Box::new(sum::Sum::<T>::new(buckets, true)),
        Function::Stddev => Box::new(sum::Moments::<T>::new(buckets)),
        Function::Min => Box::new(extreme::Extreme::<T, false>::new(buckets, spots)),
        Function::Max => Box::new(extreme::Extreme::<T, true>::new(buckets, spots)),
        Function::Spread => Box::new(extreme::Spread::<T>::new(buckets)),
        Function::First => Box::new(edge::Edge::<T>::new(buckets, false)),
        Function::Last => Box::new(edge::Edge::<T>::new(buckets, true)),
        Function::CountDistinct | Function::Mode | Function::Distinct => {
            Box::new(tally::Tally::<T::Key>::new(buckets, function))
        }
        Function::Median
        | Function::Percentile(_)
        | Function::Top { .. }
        | Function::Bottom { .. }
        | Function::Integral { .. } => {
            Box::new(collect::Collect::<T>::new(buckets, function.clone(), spots))
        }
    }
}

/// One field's share of a run of buckets: how many values, and a state per call.
pub struct FieldState {
    /// Values per bucket.
    pub counts: Vec<u64>,
    /// One per call of this field, in plan order.
    pub calls: Vec<Box<dyn Accumulator>>,
}

impl FieldState {
    /// Takes in the rows of `column` that `kept` keeps (`None`: all).
    pub fn fold(
        &mut self,
        timestamps: &[Timestamp],
        column: &Column,
        kept: Option<&Bitmap>,
        segments: &[Segment],
        series: u32,
    ) {
        if matches!(column.values, Values::Missing(_)) {
            return;
        }
        match mask::and(column.validity.as_ref(), kept) {
            None => self.fold_dense(timestamps, &column.values, segments, series),
            Some(kept) => {
                let rows = mask::rows(&kept);
                let timestamps: Vec<_> = rows.iter().map(|r| timestamps[*r as usize]).collect();
                let values = take(&column.values, &rows);
                let segments = narrowed(segments, &rows);
                self.fold_dense(&timestamps, &values, &segments, series);
            }
        }
    }

    fn fold_dense(
        &mut self,
        timestamps: &[Timestamp],
        values: &Values,
        segments: &[Segment],
        series: u32,
    ) {
        let counts = self.counts.as_slice();
        let slice = Slice { timestamps, values, segments, counts, series };
        self.calls.iter_mut().for_each(|call| call.fold(&slice));
        for segment in segments {
            self.counts[segment.bucket] += (segment.end - segment.start) as u64;
        }
    }

    /// Takes in buckets of a rollup, each with as many values as `values` says.
    pub fn fold_buckets(
        &mut self,
        starts: &[Timestamp],
        values: &[i64],
        parts: &Parts,
        segments: &[Segment],
        series: u32,
    ) {
        if segments.is_empty() {
            return;
        }
        let counts = self.counts.as_slice();
        let slice = BucketSlice { starts, parts, segments, counts, series };
        self.calls.iter_mut().for_each(|call| call.fold_buckets(&slice));
        for segment in segments {
            let sum: i64 = values[segment.start..segment.end].iter().sum();
            self.counts[segment.bucket] += sum as u64;
        }
    }

    /// Whether the statistics of a chunk in `bucket` can stand for its `count` values.
    pub fn takes_stats(&self, bucket: usize, count: usize, stats: Option<&Stats>) -> bool {
        let counts_only = self.calls.is_empty();
        match stats {
            _ if count == 0 => true,
            Some(stats) => {
                self.calls.iter().all(|call| call.takes_stats(bucket, stats, &self.counts))
            }
            None => counts_only,
        }
    }

    /// Takes in a whole chunk by its statistics.
    pub fn fold_stats(&mut self, bucket: usize, count: usize, stats: Option<&Stats>, series: u32) {
        if count == 0 {
            return;
        }
        if let Some(stats) = stats {
            for call in &mut self.calls {
                call.fold_stats(bucket, stats, &self.counts, series);
            }
        }
        self.counts[bucket] += count as u64;
    }

    /// The next values belong to another series.
    pub fn end_series(&mut self) {
        self.calls.iter_mut().for_each(|call| call.end_series());
    }

    /// Takes in the state of the series that come after.
    pub fn merge(&mut self, other: FieldState) {
        for (mine, theirs) in self.calls.iter_mut().zip(other.calls) {
            mine.merge(theirs.into_any(), &self.counts, &other.counts);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        let fixed = self.counts.len() * (8 + 32 * self.calls.len());
        fixed + self.calls.iter().map(|call| call.memory_bytes()).sum::<usize>()
    }
}

/// These rows of `values`.
pub fn take(values: &Values, rows: &[u32]) -> Values {
    fn pick<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
        rows.iter().map(|row| values[*row as usize]).collect()
    }
    match values {
        Values::Float(v) => Values::Float(pick(v, rows)),
        Values::Integer(v) => Values::Integer(pick(v, rows)),
        Values::Unsigned(v) => Values::Unsigned(pick(v, rows)),
        Values::Boolean(v) => Values::Boolean(pick(v, rows)),
        Values::String { offsets, bytes } => {
            let mut out = (vec![0u32], Vec::new());
            for row in rows {
                let row = *row as usize;
                out.1.extend_from_slice(&bytes[offsets[row] as usize..offsets[row + 1] as usize]);
                out.0.push(out.1.len() as u32);
            }
            Values::String { offsets: out.0, bytes: out.1 }
        }
        Values::Missing(_) => Values::Missing(rows.len()),
    }
}

/// The segments of all rows, made those of the ascending choice `rows`.
fn narrowed(segments: &[Segment], rows: &[u32]) -> Vec<Segment> {
    let mut at = 0;
    let mut out = Vec::with_capacity(segments.len());
    for segment in segments {
        let end = at + rows[at..].partition_point(|row| (*row as usize) < segment.end);
        if end > at {
            out.push(Segment { bucket: segment.bucket, start: at, end });
        }
        at = end;
    }
    out
}

/// The other side of a merge, which is of the same type because both come from one plan.
fn same<T: 'static>(other: Box<dyn Any>) -> T {
    *other.downcast::<T>().expect("both sides of a merge come from one plan")
}

/// Rows of buckets that have values.
fn present(counts: &[u64]) -> Option<Bitmap> {
    if counts.iter().all(|count| *count > 0) {
        return None;
    }
    Some(mask::from_values(counts, |count| count > 0))
}

/// An integer sum as a column type, or the refusal.
fn overflow(what: &str) -> Error {
    Error::invalid(format!("{what} does not fit into 64 bits"))
}

#[cfg(test)]
mod tests;
