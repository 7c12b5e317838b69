//! CSV: a header, then a line per row. Times are RFC 3339 in UTC, missing values are empty, text
//! is quoted where RFC 4180 asks for it.

use std::io::Write;

use super::{Shape, Summary, rows};
use crate::error::Result;
use crate::exec::{Cell, Series};

/// Bytes gathered before they are written.
const PIECE_BYTES: usize = 64 * 1024;

/// Writes the rows of `parts`, whose columns are those of `shape`.
pub fn write(
    shape: &Shape,
    parts: impl Iterator<Item = Result<Series>>,
    mut out: impl Write,
) -> Result<Summary> {
    let mut summary = Summary::default();
    let mut text = Vec::new();
    header(&shape.names, &mut text);
    for part in parts {
        let part = part?;
        for row in 0..part.times.len() {
            time(part.times[row], &mut text);
            for column in &part.values {
                text.push(b',');
                cell(column.cell(row), &mut text);
            }
            text.push(b'\n');
            if text.len() >= PIECE_BYTES {
                out.write_all(&text)?;
                text.clear();
            }
        }
        summary.rows += rows(&part);
    }
    out.write_all(&text)?;
    Ok(summary)
}

/// The first line: `time` and these names.
pub fn header(names: &[String], out: &mut Vec<u8>) {
    out.extend_from_slice(b"time");
    for name in names {
        out.push(b',');
        quoted(name, out);
    }
    out.push(b'\n');
}

/// A moment.
pub fn time(time: i64, out: &mut Vec<u8>) {
    let time = chrono::DateTime::from_timestamp_nanos(time);
    out.extend_from_slice(time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true).as_bytes());
}

/// A value.
pub fn cell(cell: Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Missing => {}
        Cell::Float(v) => crate::format::number::plain_float(v, out),
        Cell::Integer(v) => crate::format::number::integer(v, out),
        Cell::Unsigned(v) => crate::format::number::integer(v, out),
        Cell::Boolean(v) => out.extend_from_slice(if v { b"true" } else { b"false" }),
        Cell::String(v) => quoted(v, out),
    }
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    if !text.bytes().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r')) {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}
