//! The condition on rows, made special for one series and then for one piece of it: tags become
//! constants, statistics rule out whole chunks, and only columns of the condition are read before
//! it is known which rows are kept.

use firndb_tsdb::chunk::{Stats, StatsValues};
use firndb_tsdb::model::{Bitmap, TimeRange, Timestamp};

use super::expr::{self, Bound, Bounds};
use super::input::Piece;
use super::resolve::{FilterSlot, Ref};
use super::shared::Shared;
use super::vector::Vector;
use crate::error::Result;
use crate::plan::Literal;

/// What the condition means for one series.
pub enum SeriesFilter<'a> {
    /// All rows are kept.
    All,
    /// No row is kept.
    Nothing,
    /// It depends on fields.
    Rows(RowFilter<'a>),
}

/// A condition on the fields of one series.
pub struct RowFilter<'a> {
    slot: &'a FilterSlot,
    condition: Bound,
    /// Fields that the condition reads, as numbers of the input.
    fields: Vec<usize>,
}

/// The rows of a piece within a range, and which of them are kept.
pub struct Kept {
    /// Times of all rows in the range.
    pub timestamps: Vec<Timestamp>,
    /// The kept ones.
    pub rows: Bitmap,
}

impl<'a> SeriesFilter<'a> {
    /// The query's condition for series `series` of the input.
    pub fn new(shared: &'a Shared, series: u32) -> SeriesFilter<'a> {
        let Some(slot) = &shared.resolved.filter else { return SeriesFilter::All };
        let tag = |at: usize| match &slot.refs[at] {
            Ref::Tag(key) => {
                let value = shared.tags[series as usize].get(key).unwrap_or_default();
                Some(Literal::String(value.to_owned()))
            }
            _ => None,
        };
        match expr::specialise(&slot.condition, &tag) {
            Bound::Constant(Literal::Boolean(true)) => SeriesFilter::All,
            Bound::Constant(_) | Bound::Missing => SeriesFilter::Nothing,
            condition => {
                let field = |r: &Ref| if let Ref::Field(field) = r { Some(*field) } else { None };
                let fields = slot.refs.iter().filter_map(field).collect();
                SeriesFilter::Rows(RowFilter { slot, condition, fields })
            }
        }
    }
}

impl RowFilter<'_> {
    /// Reads the condition's columns of `piece` within `range`; `None` when no row is kept.
    pub fn keep(&self, piece: &Piece<'_>, range: TimeRange) -> Result<Option<Kept>> {
        if let Piece::Chunk(chunk) = piece {
            let bounds = |at: usize| match self.slot.refs[at] {
                Ref::Field(field) if chunk.count(field) == 0 => Bounds::Empty,
                Ref::Field(field) => chunk.stats(field).map_or(Bounds::Unknown, bounds_of),
                _ => Bounds::Unknown,
            };
            if !expr::may_hold(&self.condition, &bounds) {
                return Ok(None);
            }
        }
        let loaded = piece.load(&self.fields, range)?;
        let rows = loaded.timestamps.len();
        let mut fields = loaded.columns.into_iter();
        let column = |r: &Ref| match r {
            Ref::Field(_) => fields.next().map_or_else(|| Vector::missing(rows), Vector::from),
            _ => Vector::missing(rows),
        };
        let columns: Vec<Vector> = self.slot.refs.iter().map(column).collect();
        let kept = expr::holds(&self.condition, &columns, rows);
        let some = kept.words().iter().any(|word| *word != 0);
        Ok(some.then_some(Kept { timestamps: loaded.timestamps, rows: kept }))
    }

    /// Number of columns that the condition reads.
    pub fn width(&self) -> usize {
        self.fields.len()
    }
}

fn bounds_of(stats: &Stats) -> Bounds {
    // Beyond 2^53 integers lose their last bits as floats.
    const EXACT: u64 = 1 << 53;
    match stats.values {
        StatsValues::Float { min, max, .. } => Bounds::Between(min, max),
        StatsValues::Integer { min, max, .. }
            if min.unsigned_abs() < EXACT && max.unsigned_abs() < EXACT =>
        {
            Bounds::Between(min as f64, max as f64)
        }
        StatsValues::Unsigned { max, min, .. } if max < EXACT => {
            Bounds::Between(min as f64, max as f64)
        }
        _ => Bounds::Unknown,
    }
}
