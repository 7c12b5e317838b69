//! What the executor reads: series whose rows come in pieces. The store is one input
//! ([`super::scan`]), the output of a subquery another, rows made by hand a third.

use firndb_tsdb::chunk::Stats;
use firndb_tsdb::model::{Column, Columns, TimeRange, Values};

use super::rollup::Buckets;
use crate::error::Result;

/// Rows of numbered series. Which fields columns are is agreed with the input beforehand; they
/// are asked for by index.
pub trait Input: Send + Sync {
    /// The pieces of `series` within `range`, oldest first or newest first.
    fn pieces(
        &self,
        series: usize,
        range: TimeRange,
        descending: bool,
    ) -> Result<Box<dyn Pieces + '_>>;
}

/// The pieces of one series: they do not overlap in time; rows within a piece ascend.
pub trait Pieces {
    /// The next piece, `None` after the last.
    fn next_piece(&mut self) -> Result<Option<Piece<'_>>>;
}

/// Some rows of one series.
pub enum Piece<'a> {
    /// Stored rows, not yet read; may reach out of the asked range at its ends.
    Chunk(Box<dyn Chunk + 'a>),
    /// Rows at hand, within the asked range, with all fields of the input.
    Rows(Columns),
    /// Buckets of a rollup in place of the points in them: only for accumulators, when the
    /// functions asked for are told by buckets.
    Buckets(Buckets),
}

/// Stored rows that can be read in part, or answered for by their statistics.
pub trait Chunk {
    /// From the first to the last row.
    fn time_range(&self) -> TimeRange;
    /// Number of rows.
    fn rows(&self) -> usize;
    /// Rows that have a value of `field`.
    fn count(&self, field: usize) -> usize;
    /// What the values of `field` come to over the whole chunk, where known.
    fn stats(&self, field: usize) -> Option<&Stats>;
    /// Rows within `range` with these fields, in this order.
    fn load(&self, fields: &[usize], range: TimeRange) -> Result<Columns>;
}

impl Piece<'_> {
    /// From the first to the last row, `None` when there is no row.
    pub fn time_range(&self) -> Option<TimeRange> {
        match self {
            Piece::Chunk(chunk) => Some(chunk.time_range()),
            Piece::Rows(rows) => {
                Some(TimeRange::new(*rows.timestamps.first()?, *rows.timestamps.last()?))
            }
            Piece::Buckets(buckets) => {
                Some(TimeRange::new(*buckets.starts.first()?, *buckets.starts.last()?))
            }
        }
    }

    /// Number of rows, those out of the asked range included.
    pub fn rows(&self) -> usize {
        match self {
            Piece::Chunk(chunk) => chunk.rows(),
            Piece::Rows(rows) => rows.timestamps.len(),
            Piece::Buckets(buckets) => buckets.starts.len(),
        }
    }

    /// Rows within `range` with these fields, in this order.
    ///
    /// # Panics
    /// On buckets: whoever needs rows is given rows.
    pub fn load(&self, fields: &[usize], range: TimeRange) -> Result<Columns> {
        match self {
            Piece::Chunk(chunk) => chunk.load(fields, range),
            Piece::Rows(rows) => Ok(cut(rows, fields, range)),
            Piece::Buckets(_) => unreachable!("rows are asked for where none are given"),
        }
    }
}

/// The rows of `rows` within `range`, with these of its columns.
fn cut(rows: &Columns, fields: &[usize], range: TimeRange) -> Columns {
    let start = rows.timestamps.partition_point(|t| *t < range.start);
    let end = rows.timestamps.partition_point(|t| *t <= range.end).max(start);
    let columns = fields.iter().map(|field| cut_column(&rows.columns[*field], start, end));
    Columns { timestamps: rows.timestamps[start..end].to_vec(), columns: columns.collect() }
}

fn cut_column(column: &Column, start: usize, end: usize) -> Column {
    let values = match &column.values {
        Values::Float(v) => Values::Float(v[start..end].to_vec()),
        Values::Integer(v) => Values::Integer(v[start..end].to_vec()),
        Values::Unsigned(v) => Values::Unsigned(v[start..end].to_vec()),
        Values::Boolean(v) => Values::Boolean(v[start..end].to_vec()),
        Values::String { offsets, bytes } => {
            let base = offsets[start];
            Values::String {
                offsets: offsets[start..=end].iter().map(|o| o - base).collect(),
                bytes: bytes[base as usize..offsets[end] as usize].to_vec(),
            }
        }
        Values::Missing(_) => Values::Missing(end - start),
    };
    let validity = column.validity.as_ref().map(|bits| super::mask::slice(bits, start, end));
    Column { field: column.field, values, validity }
}

/// Expected number of rows of a span of `rows` rows that lie evenly, within `part` of it.
pub fn rows_within(rows: usize, span: TimeRange, part: TimeRange) -> usize {
    let part = part.intersect(&span);
    if part.is_empty() {
        return 0;
    }
    let width = |r: TimeRange| (i128::from(r.end) - i128::from(r.start) + 1) as f64;
    (rows as f64 * width(part) / width(span)).ceil() as usize
}
