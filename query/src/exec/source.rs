//! The points of a measurement and the rollups that stand for some of them, pinned together.
//!
//! Order of pinning: points, then what rollups cover, then their rows. A point that comes late
//! after the points were pinned may be in a bucket that is read, never the other way round: what
//! was written before is in the points or in a bucket that is said to be complete.
//!
//! Per series the pieces of all stretches follow each other in order of time, whichever source
//! they come from.

use firndb_engine::budget::Reservation;
use firndb_tsdb::chunk::Stats;
use firndb_tsdb::model::{Columns, FieldId, MeasurementId, SeriesId, TimeRange};
use firndb_tsdb::{ChunkPiece, Scan, ScanRequest, SeriesScan};

use super::division::{Division, Target, Use, Warnings};
use super::input::{Chunk, Input, Piece, Pieces};
use super::resolve::Resolved;
use super::rollup::Layout;
use super::spans::{From, Need, Span};
use crate::error::Result;
use crate::plan::Plan;

/// The store as an input.
pub struct StoreInput {
    points: Scan,
    /// Empty: points alone.
    spans: Vec<Span>,
    /// Per level of the division.
    levels: Vec<Option<Scan>>,
    layout: Layout,
    need: Need,
    /// Where the answer is not exact.
    pub warnings: Warnings,
    /// For the tags of its series, while the query runs.
    pub tags_held: Option<Reservation>,
}

impl StoreInput {
    /// Pins what `plan` reads of these series.
    pub fn pin(
        target: Target<'_>,
        (measurement, series): (MeasurementId, &[SeriesId]),
        plan: &Plan,
        resolved: &Resolved,
        range: TimeRange,
        what: Use,
    ) -> Result<StoreInput> {
        let fields: Vec<FieldId> = resolved.fields.iter().map(|field| field.id).collect();
        let request = ScanRequest {
            policy: target.policy,
            measurement,
            series,
            fields: &fields,
            range,
            descending: plan.descending,
            now: plan.now,
        };
        let points = target.database.scan(&request)?;
        let division = match what {
            Use::Rollups => Division::new(target, plan, resolved, range)?,
            Use::Points => Division::points(range),
        };
        let layout = match &division.need {
            Need::Buckets(_) => Layout::of_calls(resolved),
            Need::Rows => Layout::of_points(resolved),
        };
        if division.is_raw() {
            let (spans, levels) = (Vec::new(), Vec::new());
            let (need, warnings) = (division.need, Warnings::default());
            return Ok(StoreInput {
                points,
                spans,
                levels,
                layout,
                need,
                warnings,
                tags_held: None,
            });
        }
        let warnings = division.warnings(plan, resolved);
        let mut levels = Vec::with_capacity(division.covers.len());
        for (level, cover) in division.covers.iter().enumerate() {
            let is_used =
                |span: &Span| matches!(span.from, From::Level { level: l, .. } if l == level);
            levels.push(match division.spans.iter().any(is_used) {
                false => None,
                true => {
                    let (policy, fields) = (Some(cover.class.as_str()), &layout.ids);
                    Some(target.database.scan(&ScanRequest { policy, fields, ..request })?)
                }
            });
        }
        let Division { spans, need, .. } = division;
        Ok(StoreInput { points, spans, levels, layout, need, warnings, tags_held: None })
    }
}

impl Input for StoreInput {
    fn pieces(
        &self,
        series: usize,
        range: TimeRange,
        descending: bool,
    ) -> Result<Box<dyn Pieces + '_>> {
        if self.spans.is_empty() {
            return Ok(Box::new(PointPieces {
                scan: self.points.series_in(series, range, descending)?,
                within: None,
            }));
        }
        let first = self.spans.partition_point(|span| span.range.end < range.start);
        let end = self.spans.partition_point(|span| span.range.start <= range.end);
        let rest = &self.spans[first.min(end)..end];
        Ok(Box::new(SpanPieces { input: self, series, range, descending, rest, current: None }))
    }
}

/// Pieces of points, cut to `within` if there is more than points.
struct PointPieces<'a> {
    scan: SeriesScan<'a>,
    within: Option<TimeRange>,
}

impl PointPieces<'_> {
    fn next(&mut self) -> Result<Option<Piece<'static>>> {
        Ok(self.scan.next_piece()?.map(|piece| match piece {
            firndb_tsdb::Piece::Chunk(chunk) => {
                let within = self.within.filter(|within| !within.covers(&chunk.time_range()));
                Piece::Chunk(Box::new(StoreChunk { chunk, within }))
            }
            firndb_tsdb::Piece::Rows(rows) => Piece::Rows(rows),
        }))
    }
}

impl Pieces for PointPieces<'_> {
    fn next_piece(&mut self) -> Result<Option<Piece<'_>>> {
        self.next()
    }
}

/// A stored chunk; `within` when only a part of it is meant, for which its statistics do not stand.
struct StoreChunk {
    chunk: ChunkPiece,
    within: Option<TimeRange>,
}

impl Chunk for StoreChunk {
    fn time_range(&self) -> TimeRange {
        let all = self.chunk.time_range();
        self.within.map_or(all, |within| within.intersect(&all))
    }
    fn rows(&self) -> usize {
        self.chunk.rows()
    }
    fn count(&self, field: usize) -> usize {
        self.chunk.count(field)
    }
    fn stats(&self, field: usize) -> Option<&Stats> {
        self.chunk.stats(field).filter(|_| self.within.is_none())
    }
    fn load(&self, fields: &[usize], range: TimeRange) -> Result<Columns> {
        Ok(self.chunk.load(fields, range)?)
    }
}

/// Pieces of one stretch after another.
struct SpanPieces<'a> {
    input: &'a StoreInput,
    series: usize,
    range: TimeRange,
    descending: bool,
    /// Stretches to come.
    rest: &'a [Span],
    current: Option<Stretch<'a>>,
}

enum Stretch<'a> {
    Points(PointPieces<'a>),
    Level(SeriesScan<'a>, TimeRange),
}

impl SpanPieces<'_> {
    /// Goes to the next stretch; `false` after the last.
    fn advance(&mut self) -> Result<bool> {
        let next = match self.descending {
            true => self.rest.split_last(),
            false => self.rest.split_first(),
        };
        let Some((span, rest)) = next else { return Ok(false) };
        self.rest = rest;
        let range = span.range.intersect(&self.range);
        self.current = Some(match span.from {
            From::Raw => {
                let scan = self.input.points.series_in(self.series, range, self.descending)?;
                Stretch::Points(PointPieces { scan, within: Some(range) })
            }
            From::Level { level, exact } => {
                if !exact {
                    self.input.warnings.raise(level);
                }
                let scan = self.input.levels[level].as_ref().expect("levels in use are pinned");
                Stretch::Level(scan.series_in(self.series, range, self.descending)?, range)
            }
        });
        Ok(true)
    }

    /// The next rows of a level.
    fn rows(&self, scan: &mut SeriesScan<'_>, range: TimeRange) -> Result<Option<Columns>> {
        Ok(match scan.next_piece()? {
            None => None,
            Some(firndb_tsdb::Piece::Chunk(chunk)) => {
                let all: Vec<usize> = (0..self.input.layout.ids.len()).collect();
                Some(chunk.load(&all, range)?)
            }
            Some(firndb_tsdb::Piece::Rows(rows)) => Some(rows),
        })
    }
}

impl Pieces for SpanPieces<'_> {
    fn next_piece(&mut self) -> Result<Option<Piece<'_>>> {
        let StoreInput { layout, need, .. } = self.input;
        loop {
            let piece = match self.current.take() {
                None => None,
                Some(Stretch::Points(mut points)) => {
                    let piece = points.next()?;
                    self.current = piece.is_some().then_some(Stretch::Points(points));
                    piece
                }
                Some(Stretch::Level(mut scan, range)) => match self.rows(&mut scan, range)? {
                    None => None,
                    Some(rows) => {
                        self.current = Some(Stretch::Level(scan, range));
                        Some(match need {
                            Need::Buckets(_) => Piece::Buckets(layout.buckets(rows)?),
                            Need::Rows => Piece::Rows(layout.points(rows)?),
                        })
                    }
                },
            };
            if piece.is_some() {
                return Ok(piece);
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }
}
