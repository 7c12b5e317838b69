//! What a scan gives: a stored chunk as it is, or merged rows.

use std::sync::Arc;

use firndb_engine::scan::Body;

use crate::Result;
use crate::chunk::{Head, Stats};
use crate::column_cache::ColumnCache;
use crate::model::{Columns, FieldId, TimeRange};
use crate::reader;

/// Some rows of one series.
#[derive(Debug)]
pub enum Piece {
    /// A stored chunk that overlaps nothing; may reach out of the scan's range at its ends.
    Chunk(ChunkPiece),
    /// Rows merged from several sources, cut to the range; a column per field asked for. A row
    /// may have a value in none of them.
    Rows(Columns),
}

/// A chunk that lies alone in its span of time: its statistics may stand for its rows.
#[derive(Debug)]
pub struct ChunkPiece {
    head: Head,
    body: Body,
    fields: Arc<[FieldId]>,
    /// The part of the chunk that lies in the scan's range.
    range: TimeRange,
    kept: Arc<ColumnCache>,
}

impl ChunkPiece {
    pub(super) fn new(
        head: Head,
        body: Body,
        fields: Arc<[FieldId]>,
        range: TimeRange,
        kept: Arc<ColumnCache>,
    ) -> Self {
        ChunkPiece { head, body, fields, range, kept }
    }

    /// From the first to the last row of the chunk, whatever the scan's range is.
    pub fn time_range(&self) -> TimeRange {
        self.head.time_range()
    }

    /// Number of rows of the chunk.
    pub fn rows(&self) -> usize {
        self.head.rows()
    }

    /// Rows that have a value of field `field_index` of the request.
    pub fn count(&self, field_index: usize) -> usize {
        self.head.column(self.fields[field_index]).map_or(0, |column| column.count)
    }

    /// Statistics of field `field_index` of the request over all rows of the chunk; `None` when
    /// there are none (see [`crate::chunk::ColumnHead`]) or the chunk has no such field. They
    /// stand for the answer only when the whole chunk lies in the range that is asked about.
    pub fn stats(&self, field_index: usize) -> Option<&Stats> {
        self.head.column(self.fields[field_index])?.stats.as_ref()
    }

    /// Reads and decodes the rows within `range` (and the scan's), with a column per element of
    /// `field_indexes` (each an index into the request's fields).
    pub fn load(&self, field_indexes: &[usize], range: TimeRange) -> Result<Columns> {
        let fields: Vec<FieldId> = field_indexes.iter().map(|at| self.fields[*at]).collect();
        let range = range.intersect(&self.range);
        Ok(reader::load(&self.head, &self.body, &fields, range, Some(&self.kept))?)
    }
}
