//! Erasures: cells that are gone although sources still hold them.
//!
//! A delete is resolved when it is made, into series, spans of time and fields; a rule of expiry
//! comes as the same. What applies one needs to know nothing else, so that a scan, a merge and a
//! memtable do the same thing row by row, in any order:
//!
//! 1. a source (chunk or memtable) is as new as its newest operation; an erasure takes from
//!    sources that are older than itself, and leaves newer ones alone;
//! 2. cells of the erasure's fields and spans go; a row that has no cell left goes;
//! 3. a source that lies whole in an erasure need not be read.
//!
//! Modules: `set` (the erasures of one series, found fast), `group` (erasures as bytes).
//!
//! Invariant: a source holds no row that is older than an erasure of the same age or older and is
//! meant by it. Memtables keep it by applying an erasure when it is logged, merges by asking for
//! the erasures when they begin.

mod group;
mod set;

use std::ops::Range;
use std::sync::Arc;

use croaring::Bitmap;
use firndb_engine::key::Seq;

use crate::model::{Columns, FieldId, SeriesId, TimeRange, Timestamp};

pub use group::{Group, Record, decode_groups, encode_groups};
pub use set::{ErasureSet, SeriesErasures};

/// Cells that are gone: of these series, in these spans, of these fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Erasure {
    /// What was written before is gone; `u64::MAX`: whatever was written when.
    pub seq: Seq,
    /// The series.
    pub series: Arc<Bitmap>,
    /// The spans, ascending and disjoint.
    pub ranges: Arc<[TimeRange]>,
    /// The fields, ascending; `None`: all.
    pub fields: Option<Arc<[FieldId]>>,
}

impl Erasure {
    /// Whether it means `series`.
    pub fn is_of(&self, series: SeriesId) -> bool {
        self.series.contains(series.0)
    }

    /// The first of its spans that ends at `timestamp` or later.
    fn span_from(&self, timestamp: Timestamp) -> Option<&TimeRange> {
        self.ranges.get(self.ranges.partition_point(|range| range.end < timestamp))
    }

    /// Whether `timestamp` lies in a span of it.
    pub fn holds(&self, timestamp: Timestamp) -> bool {
        self.span_from(timestamp).is_some_and(|span| span.start <= timestamp)
    }

    /// Whether a span of it shares time with `range`.
    pub fn overlaps(&self, range: &TimeRange) -> bool {
        self.span_from(range.start).is_some_and(|span| span.start <= range.end)
    }

    /// Whether one span of it holds all of `range`.
    pub fn covers(&self, range: &TimeRange) -> bool {
        self.span_from(range.start).is_some_and(|span| span.covers(range))
    }

    /// Whether it takes cells of `field`.
    pub fn is_of_field(&self, field: FieldId) -> bool {
        self.fields.as_ref().is_none_or(|fields| fields.binary_search(&field).is_ok())
    }

    /// Which of ascending `timestamps` lie in its spans.
    fn rows_of(&self, timestamps: &[Timestamp]) -> Vec<Range<usize>> {
        let (Some(first), Some(last)) = (timestamps.first(), timestamps.last()) else {
            return Vec::new();
        };
        let from = self.ranges.partition_point(|range| range.end < *first);
        let spans = self.ranges[from..].iter().take_while(|range| range.start <= *last);
        let rows = spans.map(|span| {
            let start = timestamps.partition_point(|timestamp| *timestamp < span.start);
            let len = timestamps[start..].partition_point(|timestamp| *timestamp <= span.end);
            start..start + len
        });
        rows.filter(|rows| !rows.is_empty()).collect()
    }
}

/// Takes the cells that `erasures` mean out of `columns`, whatever their age.
fn apply<'e>(erasures: impl Iterator<Item = &'e Erasure>, columns: &mut Columns) {
    let mut gone = vec![false; columns.rows()];
    for erasure in erasures {
        let rows = erasure.rows_of(&columns.timestamps);
        if erasure.fields.is_none() {
            rows.into_iter().for_each(|rows| gone[rows].fill(true));
            continue;
        }
        for column in &mut columns.columns {
            if erasure.is_of_field(column.field) {
                column.clear(&rows);
            }
        }
        // Where no column was asked for, nothing says whether a row has a cell left.
        if !columns.columns.is_empty() {
            for row in rows.into_iter().flatten() {
                gone[row] |= !columns.columns.iter().any(|column| column.is_valid(row));
            }
        }
    }
    if gone.contains(&true) {
        let mut kept: Vec<Range<usize>> = Vec::new();
        for row in (0..gone.len()).filter(|row| !gone[*row]) {
            match kept.last_mut() {
                Some(run) if run.end == row => run.end += 1,
                _ => kept.push(row..row + 1),
            }
        }
        *columns = columns.keep(&kept);
    }
}

#[cfg(test)]
mod tests;
