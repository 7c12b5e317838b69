//! Reading points: partitions in time order, series by series, piece by piece.
//!
//! A [`Scan`] pins one view per partition. A [`SeriesScan`] walks the pieces of one series lazily,
//! so that a query that needs one row reads one chunk:
//!
//! 1. Partitions come one after another. In one, a seek finds the heads of the series' chunks;
//!    chunks that overlap each other form a group.
//! 2. Time is cut into groups and the gaps between them. In a gap only memtables can have rows.
//! 3. A group of one chunk, in whose span no memtable has a row, is given as it is; any other
//!    group or gap is given as rows, merged, the newest write of each row and field winning.
//! 4. What was erased is taken from each source before they are merged: a chunk that an erasure
//!    covers is passed over unread, one that it touches is given as rows.
//!
//! Only heads are read before a piece is asked for.
//!
//! Modules: `piece` (what is given).

mod piece;

use std::collections::VecDeque;
use std::sync::Arc;

use firndb_engine as engine;
use firndb_engine::key::Seq;
use firndb_engine::keyspace::View;
use firndb_engine::memtable::Memtable;
use firndb_engine::scan::{Body, Cursor};
use parking_lot::Mutex;

use crate::Result;
use crate::chunk::{Head, merge_columns};
use crate::column_cache::ColumnCache;
use crate::database::Database;
use crate::erasure::SeriesErasures;
use crate::keys;
use crate::left_out::PolicyLeftOut;
use crate::memtable::PointsMemtable;
use crate::model::time::TIMESTAMP_MIN;
use crate::model::{Column, Columns, FieldId, MeasurementId, SeriesId, TimeRange, Timestamp};
use crate::reader;

pub use piece::{ChunkPiece, Piece};

/// What to read.
#[derive(Debug, Clone)]
pub struct ScanRequest<'a> {
    /// Retention policy, or class of a rollup's level; `None`: the default policy.
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
pub struct Scan {
    partitions: Vec<PartitionView>,
    series: Vec<SeriesId>,
    fields: Arc<[FieldId]>,
    kept: Arc<ColumnCache>,
    range: TimeRange,
    /// What is older has expired.
    alive_from: Timestamp,
    left_out: PolicyLeftOut,
    descending: bool,
}

/// Unflushed rows that are given at once, about: a query that wants the newest row of every series
/// does not copy whole memtables.
const GAP_ROWS: usize = 1024;

/// A partition as it was when the scan began.
struct PartitionView {
    range: TimeRange,
    view: View,
    has_tables: bool,
    /// Cursors over the tables that no series uses just now.
    cursors: Mutex<Vec<Box<dyn Cursor>>>,
}

impl std::fmt::Debug for PartitionView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionView").field("range", &self.range).finish_non_exhaustive()
    }
}

impl PartitionView {
    /// Memtables, oldest first.
    fn memtables(&self) -> impl Iterator<Item = &PointsMemtable> {
        self.view.memtables.iter().rev().filter_map(|memtable| {
            let memtable: &dyn Memtable = &**memtable;
            memtable.as_any().downcast_ref::<PointsMemtable>()
        })
    }

    /// The chunks of a series that share time with `range`, by first timestamp.
    fn chunks(
        &self,
        series: SeriesId,
        range: TimeRange,
        erasures: &SeriesErasures,
    ) -> Result<Vec<Source>> {
        let mut chunks = Vec::new();
        if !self.has_tables {
            return Ok(chunks);
        }
        let pooled = self.cursors.lock().pop();
        let mut cursor = pooled.unwrap_or_else(|| self.view.cursor(true));
        cursor.seek(&keys::chunk_key(series, Timestamp::MIN))?;
        while cursor.valid() {
            let Some((of, first)) = keys::parse_chunk_key(cursor.key()) else {
                let reason = format!("entry {:02x?} is no chunk", cursor.key());
                return Err(engine::Error::Invalid { reason }.into());
            };
            if of != series || first > range.end {
                break;
            }
            let body = cursor.body();
            let head = reader::decode_head(cursor.value(), body.as_ref())?;
            if head.last_timestamp() >= range.start
                && let Some(body) = body
            {
                let (seq, span) = (cursor.seq(), head.time_range());
                let fields = head.columns().iter().map(|column| column.field);
                if !erasures.cover(seq, &span, fields.clone()) {
                    let is_touched = erasures.touch(seq, &span, fields);
                    chunks.push(Source { seq, head, body, is_touched });
                }
            }
            cursor.next()?;
        }
        self.cursors.lock().push(cursor);
        Ok(chunks)
    }
}

impl Scan {
    /// Spans of time of the partitions, in the order of the scan.
    pub fn partitions(&self) -> Vec<TimeRange> {
        let mut ranges: Vec<TimeRange> = self.partitions.iter().map(|p| p.range).collect();
        if self.descending {
            ranges.reverse();
        }
        ranges
    }

    /// The request's range without what has expired.
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// The pieces of series `index` of the request.
    pub fn series(&self, index: usize) -> Result<SeriesScan<'_>> {
        self.series_in(index, self.range, self.descending)
    }

    /// The pieces of series `index` within `range` (cut to the request's), in the given order
    /// whatever the request's is: a query goes through time in steps without pinning anew.
    pub fn series_in(
        &self,
        index: usize,
        range: TimeRange,
        descending: bool,
    ) -> Result<SeriesScan<'_>> {
        let range = range.intersect(&self.range);
        let first = self.partitions.partition_point(|p| p.range.end < range.start);
        let end = self.partitions.partition_point(|p| p.range.start <= range.end);
        let series = self.series[index];
        Ok(SeriesScan {
            scan: self,
            series,
            erasures: self.left_out.of(series),
            range,
            descending,
            partitions: &self.partitions[first.min(end)..end],
            current: None,
            spans: VecDeque::new(),
        })
    }
}

/// Walks the pieces of one series: they do not overlap and come in the order of the scan.
#[derive(Debug)]
pub struct SeriesScan<'a> {
    scan: &'a Scan,
    series: SeriesId,
    erasures: SeriesErasures,
    range: TimeRange,
    descending: bool,
    /// Partitions to come.
    partitions: &'a [PartitionView],
    current: Option<&'a PartitionView>,
    /// Spans of the current partition to come.
    spans: VecDeque<Span>,
}

/// A stored chunk of the series.
#[derive(Debug)]
struct Source {
    seq: Seq,
    head: Head,
    body: Body,
    /// Whether some of it was erased.
    is_touched: bool,
}

/// A stretch of time: a group of overlapping chunks, or a gap without any.
#[derive(Debug)]
struct Span {
    range: TimeRange,
    chunks: Vec<Source>,
}

impl<'a> SeriesScan<'a> {
    /// The next piece, or `None` after the last.
    pub fn next_piece(&mut self) -> Result<Option<Piece>> {
        loop {
            while let Some(span) = self.next_span() {
                if let Some(piece) = self.piece(span)? {
                    return Ok(Some(piece));
                }
            }
            let next = match self.descending {
                true => self.partitions.split_last(),
                false => self.partitions.split_first(),
            };
            let Some((partition, rest)) = next else { return Ok(None) };
            self.partitions = rest;
            self.enter(partition)?;
        }
    }

    fn next_span(&mut self) -> Option<Span> {
        let span = if self.descending { self.spans.pop_back() } else { self.spans.pop_front() }?;
        Some(if span.chunks.is_empty() { self.cut_gap(span) } else { span })
    }

    /// The nearer part of a gap with many unflushed rows, about [`GAP_ROWS`] of them if they lie
    /// evenly; the rest waits. Only where memtables read a part at the cost of that part.
    fn cut_gap(&mut self, mut span: Span) -> Span {
        let Some(partition) = self.current else { return span };
        let (mut rows, mut hull) = (0, None);
        for memtable in partition.memtables() {
            let Some(sorted) = memtable.sorted_rows(self.series, span.range) else { return span };
            if sorted > 0
                && let Some(of) = memtable.span(self.series).map(|of| of.intersect(&span.range))
            {
                rows += sorted;
                hull = Some(hull.map_or(of, |h: TimeRange| {
                    TimeRange::new(h.start.min(of.start), h.end.max(of.end))
                }));
            }
        }
        let Some(hull) = hull.filter(|_| rows > 2 * GAP_ROWS) else { return span };
        let width = (hull.end as i128 - hull.start as i128) * GAP_ROWS as i128 / rows as i128;
        let width = width as Timestamp;
        let mut rest = Span { range: span.range, chunks: Vec::new() };
        if self.descending {
            let cut = hull.end - width;
            (rest.range.end, span.range.start) = (cut.saturating_sub(1), cut);
            self.spans.push_back(rest);
        } else {
            let cut = hull.start + width;
            (span.range.end, rest.range.start) = (cut, cut.saturating_add(1));
            self.spans.push_front(rest);
        }
        span
    }

    /// Cuts the partition's time into groups and gaps.
    fn enter(&mut self, partition: &'a PartitionView) -> Result<()> {
        self.current = Some(partition);
        let range = self.range.intersect(&partition.range);
        let chunks = partition.chunks(self.series, range, &self.erasures)?;
        let unflushed = (partition.memtables())
            .filter_map(|memtable| memtable.span(self.series))
            .reduce(|a, b| TimeRange::new(a.start.min(b.start), a.end.max(b.end)));
        let mut at = range.start;
        let add_gap = |spans: &mut VecDeque<Span>, gap: TimeRange| {
            if !gap.is_empty() && unflushed.is_some_and(|span| span.overlaps(&gap)) {
                spans.push_back(Span { range: gap, chunks: Vec::new() });
            }
        };
        for group in groups(chunks) {
            // The group is cut where the range is; a lone chunk is given whole all the same.
            let span = group.range.intersect(&range);
            add_gap(&mut self.spans, TimeRange::new(at, span.start.saturating_sub(1)));
            at = span.end.saturating_add(1);
            self.spans.push_back(Span { range: span, chunks: group.chunks });
        }
        add_gap(&mut self.spans, TimeRange::new(at, range.end));
        Ok(())
    }

    fn piece(&self, mut span: Span) -> Result<Option<Piece>> {
        let partition = self.current.expect("spans come from a partition");
        let is_whole = |source: &Source| {
            source.head.first_timestamp() >= self.scan.alive_from && !source.is_touched
        };
        let is_overwritten =
            || partition.memtables().any(|memtable| memtable.has_rows(self.series, span.range));
        if span.chunks.len() == 1 && is_whole(&span.chunks[0]) && !is_overwritten() {
            let Source { head, body, .. } = span.chunks.remove(0);
            let (fields, range) = (self.scan.fields.clone(), span.range);
            return Ok(Some(Piece::Chunk(ChunkPiece::new(
                head,
                body,
                fields,
                range,
                self.scan.kept.clone(),
            ))));
        }
        let fields = &self.scan.fields;
        span.chunks.sort_by_key(|source| source.seq);
        let mut parts = Vec::with_capacity(span.chunks.len() + 1);
        for source in &span.chunks {
            let kept = Some(&*self.scan.kept);
            let mut rows = reader::load(&source.head, &source.body, fields, span.range, kept)?;
            if source.is_touched {
                self.erasures.apply(source.seq, &mut rows);
            }
            parts.push(rows);
        }
        let in_memory = |memtable: &PointsMemtable| {
            // Asked before the rows are read: rows only become newer.
            let seq = memtable.seq_max();
            let mut rows = memtable.read(self.series, fields, span.range)?;
            self.erasures.apply(seq, &mut rows);
            Some(rows)
        };
        parts.extend(partition.memtables().filter_map(in_memory));
        parts.retain(|part| part.rows() > 0);
        Ok(match parts.len() {
            0 => None,
            1 => parts.pop().map(Piece::Rows),
            _ => Some(Piece::Rows(arrange(merge_columns(&parts), fields))),
        })
    }
}

/// Groups of chunks that overlap, in the order of time, with the span of each.
fn groups(chunks: Vec<Source>) -> Vec<Span> {
    let mut groups: Vec<Span> = Vec::new();
    for source in chunks {
        let range = source.head.time_range();
        match groups.last_mut() {
            Some(group) if range.start <= group.range.end => {
                group.range.end = group.range.end.max(range.end);
                group.chunks.push(source);
            }
            _ => groups.push(Span { range, chunks: vec![source] }),
        }
    }
    groups
}

/// Brings merged columns into the order asked for.
fn arrange(merged: Columns, fields: &[FieldId]) -> Columns {
    let rows = merged.rows();
    let mut columns = merged.columns;
    let is_arranged = columns.len() == fields.len()
        && columns.iter().zip(fields).all(|(column, field)| column.field == *field);
    if !is_arranged {
        let find = |field: &FieldId| {
            let found = columns.iter().find(|column| column.field == *field);
            found.cloned().unwrap_or_else(|| Column::missing(*field, rows))
        };
        columns = fields.iter().map(find).collect();
    }
    Columns { timestamps: merged.timestamps, columns }
}

impl Database {
    /// Pins what `request` reads.
    pub fn scan(&self, request: &ScanRequest<'_>) -> Result<Scan> {
        let policy = self.class(request.policy)?;
        let mut left_out = self.left_out.for_scan(&policy.name);
        self.leave_out_expired(&policy.name, request.now, &mut left_out);
        let alive_from = self.alive_from(&policy, request.measurement, request.now);
        self.scan_alive(&policy.name, request, alive_from, left_out)
    }

    /// As [`Database::scan`], whatever the age of points is; deletes count.
    pub(crate) fn scan_any_age(
        &self,
        policy: &str,
        request: &ScanRequest<'_>,
        left_out: PolicyLeftOut,
    ) -> Result<Scan> {
        self.scan_alive(policy, request, TIMESTAMP_MIN, left_out)
    }

    fn scan_alive(
        &self,
        policy: &str,
        request: &ScanRequest<'_>,
        alive_from: Timestamp,
        left_out: PolicyLeftOut,
    ) -> Result<Scan> {
        let range = TimeRange::new(request.range.start.max(alive_from), request.range.end);
        let mut partitions = Vec::new();
        for partition in self.partitions.overlapping(policy, range) {
            let view = match self.store.view(partition.keyspace) {
                Ok(view) => view,
                Err(engine::Error::NotFound { .. }) => continue, // dropped meanwhile
                Err(error) => return Err(error.into()),
            };
            partitions.push(PartitionView {
                range: partition.range,
                has_tables: !view.tables().is_empty(),
                view,
                cursors: Mutex::default(),
            });
        }
        Ok(Scan {
            partitions,
            series: request.series.to_vec(),
            fields: request.fields.into(),
            kept: self.columns.clone(),
            range,
            alive_from,
            left_out,
            descending: request.descending,
        })
    }
}
