//! Buckets of a rollup as accumulators take them: what the values of one field came to, bucket by
//! bucket, instead of the values.

use firndb_tsdb::model::{Timestamp, Values};
use firndb_tsdb::rollup::column::Part;

use super::super::window::Segment;
use super::{Number, Slice};

/// Parts of the buckets of one field, those read; a row per bucket, none missing.
#[derive(Debug)]
pub struct Parts {
    columns: [Values; Part::ALL.len()],
    /// The high halves of integer sums, where some do not fit 64 bits.
    pub high: Option<Vec<i64>>,
}

impl Parts {
    /// No part of `rows` buckets.
    pub fn new(rows: usize) -> Parts {
        Parts { columns: std::array::from_fn(|_| Values::Missing(rows)), high: None }
    }

    /// Adds a part.
    pub fn set(&mut self, part: Part, values: Values) {
        self.columns[part as usize] = values;
    }

    /// A part; of those not read every row is missing.
    pub fn get(&self, part: Part) -> &Values {
        &self.columns[part as usize]
    }

    /// The exact sum of bucket `row` whose low half is `low`.
    pub fn sum<T: Number>(&self, row: usize, low: T) -> i128 {
        let low = low.whole();
        match &self.high {
            None => low,
            Some(high) => (i128::from(high[row]) << 64) | (low & i128::from(u64::MAX)),
        }
    }
}

/// Buckets of one field of one series, each with at least one value, cut at the edges of windows.
pub struct BucketSlice<'a> {
    /// Start of each bucket, ascending.
    pub starts: &'a [Timestamp],
    /// What its values came to.
    pub parts: &'a Parts,
    /// Where windows begin and end among the buckets.
    pub segments: &'a [Segment],
    /// Values that each window had before.
    pub counts: &'a [u64],
    /// Index of the series in the input.
    pub series: u32,
}

impl<'a> BucketSlice<'a> {
    /// The values of one part, as if they were points at the buckets' starts.
    pub fn points(&self, part: Part) -> Slice<'a> {
        Slice {
            timestamps: self.starts,
            values: self.parts.get(part),
            segments: self.segments,
            counts: self.counts,
            series: self.series,
        }
    }

    /// When the first or last value of bucket `row` was.
    pub fn time(&self, at: Part, row: usize) -> Timestamp {
        self.starts[row].saturating_add(i64::slice(self.parts.get(at))[row])
    }
}

/// Which parts a call reads, besides the counts.
pub fn parts(function: &crate::plan::Function) -> Option<&'static [Part]> {
    use crate::plan::Function::*;
    Some(match function {
        Count => &[],
        Sum | Mean => &[Part::Sum, Part::SumHigh],
        Min => &[Part::Min],
        Max => &[Part::Max],
        Spread => &[Part::Min, Part::Max],
        First => &[Part::First, Part::FirstAt],
        Last => &[Part::Last, Part::LastAt],
        CountDistinct
        | Median
        | Stddev
        | Percentile(_)
        | Mode
        | Distinct
        | Top { .. }
        | Bottom { .. }
        | Integral { .. } => return None,
    })
}
