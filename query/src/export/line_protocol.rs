//! Line protocol, as the write endpoints take it: `measurement,tag=value field=1i
//! 1700000000000000000`.
//! NaN and infinities, which the protocol cannot say, are left out.

use std::io::Write;

use super::{Shape, Summary};
use crate::error::Result;
use crate::exec::{Cell, Series};
use crate::format::number;

/// Bytes gathered before they are written.
const PIECE_BYTES: usize = 64 * 1024;

/// Writes the rows of `parts`, whose columns are the tags and then the fields of `shape`.
pub fn write(
    measurement: &str,
    shape: &Shape,
    parts: impl Iterator<Item = Result<Series>>,
    mut out: impl Write,
) -> Result<Summary> {
    let fields: Vec<Vec<u8>> = shape.fields.iter().map(|(name, _)| escaped(name, b", =")).collect();
    let mut summary = Summary::default();
    let mut text = Vec::new();
    for part in parts {
        let part = part?;
        let series = series_text(measurement, &part);
        for row in 0..part.times.len() {
            let start = text.len();
            text.extend_from_slice(&series);
            let mut mark = b' ';
            for (name, column) in fields.iter().zip(&part.values[shape.tags.len()..]) {
                let before = text.len();
                text.push(mark);
                text.extend_from_slice(name);
                text.push(b'=');
                if value(column.cell(row), &mut text) {
                    mark = b',';
                } else {
                    text.truncate(before);
                }
            }
            if mark == b' ' {
                text.truncate(start);
                continue;
            }
            text.push(b' ');
            number::integer(part.times[row], &mut text);
            text.push(b'\n');
            summary.rows += 1;
            if text.len() >= PIECE_BYTES {
                out.write_all(&text)?;
                text.clear();
            }
        }
    }
    out.write_all(&text)?;
    Ok(summary)
}

fn series_text(measurement: &str, part: &Series) -> Vec<u8> {
    let mut text = escaped(measurement, b", ");
    for (key, value) in part.head.tags.iter().filter(|(_, value)| !value.is_empty()) {
        text.push(b',');
        text.extend(escaped(key, b", ="));
        text.push(b'=');
        text.extend(escaped(value, b", ="));
    }
    text
}

fn value(cell: Cell<'_>, out: &mut Vec<u8>) -> bool {
    match cell {
        Cell::Missing => return false,
        Cell::Float(v) if !v.is_finite() => return false,
        Cell::Float(v) => number::plain_float(v, out),
        Cell::Integer(v) => {
            number::integer(v, out);
            out.push(b'i');
        }
        Cell::Unsigned(v) => {
            number::integer(v, out);
            out.push(b'u');
        }
        Cell::Boolean(v) => out.extend_from_slice(if v { b"true" } else { b"false" }),
        Cell::String(v) => {
            out.push(b'"');
            out.extend(escaped(v, b"\"\\"));
            out.push(b'"');
        }
    }
    true
}

/// `text` with a backslash before each of `special`.
fn escaped(text: &str, special: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        if special.contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}
