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

use crate::chunk::{self, ChunkError, Head};
use crate::model::{Column, Columns, FieldId, TimeRange};

/// Bytes between two wanted ranges that are rather read than skipped: a second read costs as much
/// as some pages.
const GAP_BYTES_MAX: usize = 16 << 10;

/// Decodes a head that came from an entry with `body`.
pub fn decode_head(head: &[u8], body: Option<&Body>) -> engine::Result<Head> {
    let decoded = Head::decode(head).map_err(|error| damaged(body, &error))?;
    match body {
        Some(body) if body.len() >= decoded.body_len() => Ok(decoded),
        None if decoded.body_len() == 0 => Ok(decoded),
        _ => Err(corrupt(body, "chunk without its body".to_owned())),
    }
}

/// Reads the rows within `range`: a column per field asked for.
pub fn load(
    head: &Head,
    body: &Body,
    fields: &[FieldId],
    range: TimeRange,
) -> engine::Result<Columns> {
    let wanted: Vec<Option<&chunk::ColumnHead>> =
        fields.iter().map(|field| head.column(*field)).collect();
    let mut ranges = vec![head.timestamps_range()];
    ranges.extend(wanted.iter().flatten().map(|column| column.range()));
    let bytes = Fetched::read(body, ranges)?;
    let failed = |error| damaged(Some(body), &error);

    let mut columns = Columns::default();
    let times = bytes.get(head.timestamps_range());
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
        let mut out = Column::missing(*field, rows.len());
        if let Some(column) = column {
            chunk::decode_column(column, bytes.get(column.range()), rows.clone(), &mut out)
                .map_err(failed)?;
        }
        columns.columns.push(out);
    }
    Ok(columns)
}

/// Reads all rows and columns.
pub fn load_all(head: &Head, body: &Body) -> engine::Result<Columns> {
    let fields: Vec<FieldId> = head.columns().iter().map(|column| column.field).collect();
    load(head, body, &fields, TimeRange::ALL)
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

    /// The bytes of a range that was asked for.
    fn get(&self, range: Range<usize>) -> &[u8] {
        if range.is_empty() {
            return &[];
        }
        let at = self.parts.partition_point(|(start, _)| *start <= range.start) - 1;
        let (start, bytes) = &self.parts[at];
        &bytes[range.start - start..range.end - start]
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
