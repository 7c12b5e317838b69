//! Reading points: partitions in time order, series by series, piece by piece.
//!
//! A [`Scan`] pins one view per partition. A [`SeriesScan`] walks the pieces of one series lazily,
//! so that a query that needs one row reads one chunk.

use crate::Result;
use crate::chunk::Stats;
use crate::database::Database;
use crate::model::{Columns, FieldId, MeasurementId, SeriesId, TimeRange, Timestamp};

/// What to read.
#[derive(Debug, Clone)]
pub struct ScanRequest<'a> {
    /// Retention policy; `None`: the default one.
    pub policy: Option<&'a str>,
    /// The measurement that the series and fields belong to.
    pub measurement: MeasurementId,
    /// Series, in the order in which they will be asked for by index.
    pub series: &'a [SeriesId],
    /// Fields, in the order of the columns given.
    pub fields: &'a [FieldId],
    /// Span of time.
    pub range: TimeRange,
    /// Newest first: the order of pieces; rows within a piece always ascend.
    pub descending: bool,
    /// The present: what has expired by then is not given.
    pub now: Timestamp,
}

/// A pinned state of the partitions that a request touches.
#[derive(Debug)]
pub struct Scan {}

impl Scan {
    /// Spans of time of the partitions, in the order of the scan.
    pub fn partitions(&self) -> Vec<TimeRange> {
        todo!()
    }

    /// The request's range without what has expired.
    pub fn range(&self) -> TimeRange {
        todo!()
    }

    /// The pieces of series `index` of the request.
    pub fn series(&self, index: usize) -> Result<SeriesScan<'_>> {
        let _ = index;
        todo!()
    }

    /// The pieces of series `index` within `range` (cut to the request's), in the given order
    /// whatever the request's is: a query goes through time in steps without pinning anew.
    pub fn series_in(
        &self,
        index: usize,
        range: TimeRange,
        descending: bool,
    ) -> Result<SeriesScan<'_>> {
        let _ = (index, range, descending);
        todo!()
    }
}

/// Walks the pieces of one series: they do not overlap and come in the order of the scan.
#[derive(Debug)]
pub struct SeriesScan<'a> {
    scan: &'a Scan,
}

impl SeriesScan<'_> {
    /// The next piece, or `None` after the last.
    pub fn next_piece(&mut self) -> Result<Option<Piece>> {
        let _ = self.scan;
        todo!()
    }
}

/// Some rows of one series.
#[derive(Debug)]
pub enum Piece {
    /// A stored chunk that overlaps nothing; reaches out of the scan's range at its ends.
    Chunk(ChunkPiece),
    /// Rows merged from several sources, cut to the range; a column per field asked for. A row
    /// may have a value in none of them.
    Rows(Columns),
}

/// A chunk that lies alone in its span of time: its statistics may stand for its rows.
#[derive(Debug)]
pub struct ChunkPiece {}

impl ChunkPiece {
    /// From the first to the last row of the chunk, whatever the scan's range is.
    pub fn time_range(&self) -> TimeRange {
        todo!()
    }

    /// Number of rows of the chunk.
    pub fn rows(&self) -> usize {
        todo!()
    }

    /// Rows that have a value of field `field_index` of the request.
    pub fn count(&self, field_index: usize) -> usize {
        let _ = field_index;
        todo!()
    }

    /// Statistics of field `field_index` of the request over all rows of the chunk; `None` when
    /// there are none (see [`crate::chunk::ColumnHead`]) or the chunk has no such field. They
    /// stand for the answer only when the whole chunk lies in the range that is asked about.
    pub fn stats(&self, field_index: usize) -> Option<&Stats> {
        let _ = field_index;
        todo!()
    }

    /// Reads and decodes the rows within `range`, with a column per element of `field_indexes`
    /// (each an index into the request's fields).
    pub fn load(&self, field_indexes: &[usize], range: TimeRange) -> Result<Columns> {
        let _ = (field_indexes, range);
        todo!()
    }
}

impl Database {
    /// Pins what `request` reads.
    pub fn scan(&self, request: &ScanRequest<'_>) -> Result<Scan> {
        let _ = request;
        todo!()
    }
}
