//! Reading chunks where they lie: which bytes of a body to fetch, and what to make of them.
//!
//! 1. From the head: the byte ranges of the timestamps and of the columns asked for.
//! 2. One read of everything between the first and the last when most of it is wanted or it is
//!    small; else one read per run of neighbouring ranges.
//! 3. Timestamps say which rows lie in the range asked for; only those are decoded.

use std::ops::Range;
use std::path::Path;

use firndb_engine as engine;
use firndb_engine::scan::Body;

use crate::chunk::{self, ChunkError, ColumnHead, Head};
use crate::column_cache::{ColumnCache, ColumnPlace};
use crate::model::{Column, Columns, FieldId, TimeRange};

/// Bytes between two wanted ranges that are rather read than skipped: a second read costs as much
/// as some pages.
const GAP_BYTES_MAX: usize = 16 << 10;

/// A slow column is decoded whole, and kept, when at least this part of its rows has been asked for
/// before. A fourth: who reads a chunk in slices has it decoded by the second third, and a lone
/// hour, which is cheaper decoded by itself, must be wanted several times.
const KEEP_PART: usize = 4;

/// Decodes a head that came from an entry with `body`.
pub fn decode_head(head: &[u8], body: Option<&Body>) -> engine::Result<Head> {
    let decoded = Head::decode(head).map_err(|error| damaged(body, &error))?;
    match body {
        Some(body) if body.len() >= decoded.body_len() => Ok(decoded),
        None if decoded.body_len() == 0 => Ok(decoded),
        _ => Err(corrupt(body, "chunk without its body".to_owned())),
    }
}

/// Reads the rows within `range`: a column per field asked for. With `kept`, slow columns are taken
/// from there, and put there when a good part of the chunk is read anyway.
pub fn load(
    head: &Head,
    body: &Body,
    fields: &[FieldId],
    range: TimeRange,
    kept: Option<&ColumnCache>,
) -> engine::Result<Columns> {
    let wanted: Vec<Option<&ColumnHead>> = fields.iter().map(|f| head.column(*f)).collect();
    let place = |column: &ColumnHead| match (kept, body.place()) {
        (Some(_), Some((file, at))) if column.encoding.is_slow() => {
            Some((file, at + column.offset as u64))
        }
        _ => None,
    };
    let is_kept =
        |column: &ColumnHead| kept.zip(place(column)).is_some_and(|(kept, place)| kept.has(place));
    let mut ranges = vec![head.timestamps_range()];
    ranges.extend(wanted.iter().flatten().filter(|c| !is_kept(c)).map(|c| c.range()));
    let bytes = Fetched::read(body, ranges)?;
    let failed = |error| damaged(Some(body), &error);

    let mut columns = Columns::default();
    let times = bytes.find(head.timestamps_range()).expect("it was asked for");
    let rows = if range.covers(&head.time_range()) {
        0..head.rows()
    } else if head.step().is_some() {
        head.rows_in(range, &[])
    } else {
        let all = 0..head.rows();
        chunk::decode_timestamps(head, times, all, &mut columns.timestamps).map_err(failed)?;
        head.rows_in(range, &columns.timestamps)
    };
    if columns.timestamps.is_empty() {
        chunk::decode_timestamps(head, times, rows.clone(), &mut columns.timestamps)
            .map_err(failed)?;
    } else {
        columns.timestamps.truncate(rows.end);
        columns.timestamps.drain(..rows.start);
    }
    for (field, column) in fields.iter().zip(wanted) {
        columns.columns.push(match column {
            None => Column::missing(*field, rows.len()),
            Some(column) => {
                let kept = kept.zip(place(column));
                load_column(column, &bytes, body, rows.clone(), head.rows(), kept)?
            }
        });
    }
    Ok(columns)
}

/// The rows `rows` of one column.
fn load_column(
    column: &ColumnHead,
    bytes: &Fetched,
    body: &Body,
    rows: Range<usize>,
    rows_all: usize,
    kept: Option<(&ColumnCache, ColumnPlace)>,
) -> engine::Result<Column> {
    if let Some((kept, place)) = kept
        && let Some(found) = kept.get(place, rows.clone())
    {
        return Ok(found);
    }
    let mut evicted = Vec::new();
    let bytes = match bytes.find(column.range()) {
        Some(bytes) => bytes,
        None => {
            // It was there a moment ago, so it was not fetched.
            body.read_range(column.range(), &mut evicted)?;
            &evicted
        }
    };
    let decode = |rows: Range<usize>| {
        let mut out = Column::missing(column.field, rows.len());
        chunk::decode_column(column, bytes, rows, &mut out)
            .map_err(|error| damaged(Some(body), &error))?;
        Ok(out)
    };
    match kept {
        Some((kept, place)) if kept.ask(place, rows.len()) >= rows_all / KEEP_PART => {
            let all = decode(0..rows_all)?;
            let out = all.slice(rows);
            kept.keep(place, all);
            Ok(out)
        }
        _ => decode(rows),
    }
}

/// Reads all rows and columns.
pub fn load_all(head: &Head, body: &Body) -> engine::Result<Columns> {
    let fields: Vec<FieldId> = head.columns().iter().map(|column| column.field).collect();
    load(head, body, &fields, TimeRange::ALL, None)
}

/// Parts of a body.
struct Fetched {
    /// Ranges of the body, ascending, with their bytes.
    parts: Vec<(usize, Vec<u8>)>,
}

impl Fetched {
    fn read(body: &Body, mut ranges: Vec<Range<usize>>) -> engine::Result<Fetched> {
        ranges.retain(|range| !range.is_empty());
        ranges.sort_unstable_by_key(|range| range.start);
        let wanted: usize = ranges.iter().map(Range::len).sum();
        let hull = ranges.first().map_or(0, |r| r.start)..ranges.last().map_or(0, |r| r.end);
        let gap_max = if wanted * 2 >= hull.len() { usize::MAX } else { GAP_BYTES_MAX };
        let mut runs: Vec<Range<usize>> = Vec::new();
        for range in ranges {
            match runs.last_mut() {
                Some(run) if range.start <= run.end.saturating_add(gap_max) => {
                    run.end = run.end.max(range.end);
                }
                _ => runs.push(range),
            }
        }
        let mut parts = Vec::with_capacity(runs.len());
        for run in runs {
            let mut bytes = Vec::with_capacity(run.len());
            body.read_range(run.clone(), &mut bytes)?;
            parts.push((run.start, bytes));
        }
        Ok(Fetched { parts })
    }

    /// The bytes of a range; `None` when it was not fetched.
    fn find(&self, range: Range<usize>) -> Option<&[u8]> {
        if range.is_empty() {
            return Some(&[]);
        }
        let at = self.parts.partition_point(|(start, _)| *start <= range.start);
        let (start, bytes) = self.parts.get(at.checked_sub(1)?)?;
        bytes.get(range.start - start..range.end - start)
    }
}

fn damaged(body: Option<&Body>, error: &ChunkError) -> engine::Error {
    corrupt(body, error.to_string())
}

fn corrupt(body: Option<&Body>, reason: String) -> engine::Error {
    match body {
        Some(Body::File(file, handle)) => {
            engine::Error::corrupt(file.path(), handle.offset, reason)
        }
        _ => engine::Error::corrupt(Path::new("memtable"), 0, reason),
    }
}
