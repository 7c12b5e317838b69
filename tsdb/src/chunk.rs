//! A chunk: a run of rows of one series, encoded; the unit in which points are stored.
//!
//! Pure functions between [`Columns`] and bytes. The head is small and lies in the engine's
//! blocks; the body lies apart and is read a column at a time. The head alone answers count,
//! minimum, maximum, sum, first and last of every column.
//!
//! ```text
//! head := version u8 | rows varint | first timestamp u64 | last - first varint
//!       | timestamp encoding u8 | [timestamps len varint | timestamps crc32 u32]
//!       | columns varint | entry x columns | crc32 u32
//! entry := field varint | kind u8 | encoding u8 | len varint
//!        | [count varint | mask len varint] | crc32 u32 | [stats]
//! kind  := bits 0-2 type, 3-4 mask, 5 has nulls (count and mask follow), 6 has stats
//! body  := timestamps | column 0 | column 1 ...        (nothing between them)
//! column := null mask | values                         (values of the rows that have one)
//! ```
//!
//! Integers are little-endian; varints are LEB128; stats are drawn in `chunk/stats.rs`, encodings
//! in the file of their name. The last four bytes of a head of any version are the CRC32 of all
//! bytes before them.
//!
//! Invariants:
//! - timestamps strictly ascend; a regular series has no timestamp bytes at all;
//! - fields are distinct, entries are in the order of field numbers;
//! - no decoder sees bytes whose checksum was not verified, and every decoder refuses, without
//!   a panic and in memory bounded by [`ROWS_MAX`] and [`TEXT_BYTES_MAX`], whatever it is given.

use std::borrow::Cow;
use std::mem;
use std::ops::Range;

use firndb_engine::coding::{DecodeError, Decoder, crc};

use crate::model::{Bitmap, Column, Columns, Timestamp, Values};

mod bitpack;
mod booleans;
mod cold;
mod decimal;
mod floats;
mod gorilla;
mod head;
mod integers;
mod intpack;
mod merge;
mod nulls;
mod stats;
mod strings;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use head::{ColumnHead, Encoding, Head};
pub use merge::merge_columns;
pub use stats::{STATS_STRING_BYTES_MAX, Stats, StatsValues};

use nulls::Mask;
use strings::Texts;

/// Most rows of a chunk written by a flush or a merge of hot data.
pub const ROWS_MAX_HOT: usize = 4096;
/// Most rows of a chunk of the cold class.
pub const ROWS_MAX_COLD: usize = 8192;
/// Most rows that any chunk may have.
pub const ROWS_MAX: usize = 8192;
/// Most bytes of text of one column of a chunk: 64 KiB a row, 512 MiB in all. Whoever cuts rows
/// to chunks keeps below it.
pub const TEXT_BYTES_MAX: usize = ROWS_MAX << 16;

/// How much time encoding may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Fast to encode and decode: flushes and merges of data still being written.
    Hot,
    /// Smallest: the last compaction of a closed partition.
    Cold,
}

/// A chunk as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedChunk {
    /// Header, directory of columns, statistics; what [`Head::decode`] reads.
    pub head: Vec<u8>,
    /// Timestamps and columns, at the ranges that the head tells.
    pub body: Vec<u8>,
}

/// Stored bytes are not a chunk that this build reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Written by a newer build.
    #[error("chunk has format version {found}, this build reads up to {supported}")]
    Version {
        /// Version found.
        found: u8,
        /// Newest version this build reads.
        supported: u8,
    },
    /// Not what was written.
    #[error("corrupt chunk, {part}: {reason}")]
    Corrupt {
        /// Which part: `head`, `timestamps` or `column`.
        part: &'static str,
        /// What did not hold.
        reason: &'static str,
    },
}

/// Encodes rows of one series. Columns that are [`Values::Missing`] are left out; a typed column
/// without a value is kept.
///
/// # Panics
/// When there is no row or more than [`ROWS_MAX`], timestamps do not ascend, a column's length is
/// not the number of rows, two columns are of one field, or a column has more text than
/// [`TEXT_BYTES_MAX`]: bugs of the caller.
pub fn encode(columns: &Columns, class: Class) -> EncodedChunk {
    let timestamps = &columns.timestamps;
    let rows = timestamps.len();
    assert!((1..=ROWS_MAX).contains(&rows), "a chunk of {rows} rows");
    assert!(timestamps.is_sorted_by(|a, b| a < b), "timestamps do not ascend");
    let mut body = Vec::new();
    let mut head = Head::new(timestamps);
    if head.step().is_none() && rows > 1 {
        head.timestamp_encoding = integers::encode(timestamps, class, &mut body);
        head.timestamps_len = body.len();
        head.timestamps_crc = crc(&body);
    }
    let mut sorted: Vec<&Column> = columns.columns.iter().collect();
    sorted.sort_by_key(|column| column.field);
    assert!(sorted.is_sorted_by(|a, b| a.field < b.field), "two columns of one field");
    for column in sorted {
        head.columns.extend(encode_column(column, timestamps, class, &mut body));
    }
    EncodedChunk { head: head.encode(), body }
}

/// Appends a column; its directory entry, unless it is missing.
fn encode_column(
    column: &Column,
    timestamps: &[Timestamp],
    class: Class,
    body: &mut Vec<u8>,
) -> Option<ColumnHead> {
    let field_type = column.values.field_type()?;
    assert_eq!(column.values.len(), timestamps.len(), "rows of a column");
    let validity = column.validity.as_ref().filter(|bitmap| bitmap.count() < bitmap.len());
    let offset = body.len();
    let count = column.count();
    let mask = match validity {
        Some(validity) if count > 0 => nulls::encode(validity, body),
        _ => Mask::None,
    };
    let mask_len = body.len() - offset;
    let (encoding, values) = match count {
        0 => (Encoding::Empty, None),
        _ => encode_values(&column.values, validity, class, body),
    };
    let stats = values.map(|values| {
        let is_valid = |row: &usize| validity.is_none_or(|bitmap| bitmap.get(*row));
        let first = (0..timestamps.len()).find(is_valid);
        let last = (0..timestamps.len()).rev().find(is_valid);
        Stats {
            first_timestamp: timestamps[first.expect("there is a value")],
            last_timestamp: timestamps[last.expect("there is a value")],
            values,
        }
    });
    Some(ColumnHead {
        field: column.field,
        field_type,
        encoding,
        offset,
        len: body.len() - offset,
        count,
        stats,
        rows: timestamps.len(),
        mask,
        mask_len,
        crc: crc(&body[offset..]),
    })
}

/// Appends the values of the rows that have one, and says what they come to.
fn encode_values(
    values: &Values,
    validity: Option<&Bitmap>,
    class: Class,
    out: &mut Vec<u8>,
) -> (Encoding, Option<StatsValues>) {
    match values {
        Values::Float(values) => {
            let values = dense(values, validity);
            (floats::encode(&values, class, out), stats::of_floats(&values))
        }
        Values::Integer(values) => {
            let values = dense(values, validity);
            (integers::encode(&values, class, out), stats::of_integers(&values))
        }
        Values::Unsigned(values) => {
            let values = dense(values, validity);
            let signed: Vec<i64> = values.iter().map(|&value| value as i64).collect();
            (integers::encode(&signed, class, out), stats::of_unsigned(&values))
        }
        Values::Boolean(values) => {
            let values = dense(values, validity);
            (booleans::encode(&values, class, out), stats::of_booleans(&values))
        }
        Values::String { offsets, bytes } => {
            let mut texts = Texts { offsets, bytes };
            let (mut kept_offsets, mut kept) = (vec![0], Vec::new());
            if let Some(validity) = validity {
                for row in (0..validity.len()).filter(|&row| validity.get(row)) {
                    kept.extend_from_slice(texts.get(row));
                    kept_offsets.push(kept.len() as u32);
                }
                texts = Texts { offsets: &kept_offsets, bytes: &kept };
            }
            (strings::encode(texts, class, out), stats::of_strings(texts))
        }
        Values::Missing(_) => unreachable!("a missing column has no type"),
    }
}

/// The values of the rows that have one.
fn dense<'a, T: Copy>(values: &'a [T], validity: Option<&Bitmap>) -> Cow<'a, [T]> {
    let Some(validity) = validity else { return Cow::Borrowed(values) };
    assert_eq!(values.len(), validity.len(), "bits of a validity");
    let valid = values.iter().enumerate().filter(|(row, _)| validity.get(*row));
    Cow::Owned(valid.map(|(_, value)| *value).collect())
}

/// Decodes the timestamps of `rows` to `out`, which is cleared first.
///
/// - `bytes`: what the body holds at [`Head::timestamps_range`]; nothing for a regular series.
///
/// # Errors
/// When `bytes` are not what was written.
///
/// # Panics
/// When `rows` is outside the chunk.
pub fn decode_timestamps(
    head: &Head,
    bytes: &[u8],
    rows: Range<usize>,
    out: &mut Vec<Timestamp>,
) -> Result<(), ChunkError> {
    assert!(rows.start <= rows.end && rows.end <= head.rows(), "rows outside the chunk");
    out.clear();
    if head.timestamp_encoding == Encoding::Empty {
        let (first, step) = (head.first_timestamp(), head.step().unwrap_or(0));
        out.extend(rows.map(|row| first.wrapping_add(step.wrapping_mul(row as i64))));
        return Ok(());
    }
    let corrupt = |reason| ChunkError::Corrupt { part: "timestamps", reason };
    if bytes.len() != head.timestamps_len || crc(bytes) != head.timestamps_crc {
        return Err(corrupt("checksum"));
    }
    out.reserve(rows.len());
    let encoding = head.timestamp_encoding;
    integers::decode(encoding, bytes, head.rows(), rows, &mut |run| out.extend_from_slice(run))
        .map_err(|error| corrupt(error.reason))
}

/// Verifies a column's bytes and decodes `rows` of it to `out`, whose content is replaced and
/// whose memory is used again where the type is the same. Only the runs and pages that cover
/// `rows` are decoded. Where all of `rows` have a value, `out` has no validity.
///
/// - `bytes`: what the body holds at [`ColumnHead::range`].
///
/// # Errors
/// When `bytes` are not what was written.
///
/// # Panics
/// When `rows` is outside the chunk.
pub fn decode_column(
    head: &ColumnHead,
    bytes: &[u8],
    rows: Range<usize>,
    out: &mut Column,
) -> Result<(), ChunkError> {
    let corrupt = |reason| ChunkError::Corrupt { part: "column", reason };
    if bytes.len() != head.len || crc(bytes) != head.crc {
        return Err(corrupt("checksum"));
    }
    decode_unverified(head, bytes, rows, out).map_err(|error| corrupt(error.reason))
}

/// [`decode_column`] beneath the checksum, for fuzzing only.
#[doc(hidden)]
pub fn decode_unverified(
    head: &ColumnHead,
    bytes: &[u8],
    rows: Range<usize>,
    out: &mut Column,
) -> Result<(), DecodeError> {
    assert!(rows.start <= rows.end && rows.end <= head.rows, "rows outside the chunk");
    let decoder = Decoder::new(bytes);
    let (mask, bytes) =
        bytes.split_at_checked(head.mask_len).ok_or(decoder.error("length of the null mask"))?;
    out.field = head.field;
    if head.count == 0 {
        out.values = Values::defaults(head.field_type, rows.len());
        out.validity = Some(Bitmap::filled(rows.len(), false));
        return Ok(());
    }
    let mut validity = None;
    let mut range = rows.clone();
    if head.has_nulls() {
        let bitmap = nulls::decode(head.mask, mask, head.rows)?;
        if bitmap.count() != head.count {
            return Err(decoder.error("number of values"));
        }
        range = bitmap.count_before(rows.start)..bitmap.count_before(rows.end);
        validity = Some(bitmap.slice(rows)).filter(|bitmap| bitmap.count() < bitmap.len());
    }
    let expected = range.len();
    decode_values(head, bytes, range, &mut out.values)?;
    if out.values.len() != expected {
        return Err(decoder.error("number of values"));
    }
    if let Some(validity) = &validity {
        spread(&mut out.values, validity);
    }
    out.validity = validity;
    Ok(())
}

/// Decodes values of the rows that have one: those that `range` counts.
fn decode_values(
    head: &ColumnHead,
    bytes: &[u8],
    range: Range<usize>,
    out: &mut Values,
) -> Result<(), DecodeError> {
    let (encoding, count) = (head.encoding, head.count);
    if out.field_type() != Some(head.field_type) {
        *out = Values::defaults(head.field_type, 0);
    }
    match out {
        Values::Float(values) => {
            values.clear();
            floats::decode(encoding, bytes, count, range, values)
        }
        Values::Integer(values) => {
            values.clear();
            values.reserve(range.len());
            let mut visit = |run: &[i64]| values.extend_from_slice(run);
            integers::decode(encoding, bytes, count, range, &mut visit)
        }
        Values::Unsigned(values) => {
            values.clear();
            values.reserve(range.len());
            let mut visit = |run: &[i64]| values.extend(run.iter().map(|&value| value as u64));
            integers::decode(encoding, bytes, count, range, &mut visit)
        }
        Values::Boolean(values) => {
            values.clear();
            booleans::decode(encoding, bytes, count, range, values)
        }
        Values::String { offsets, bytes: text } => {
            offsets.clear();
            offsets.push(0);
            text.clear();
            strings::decode(encoding, bytes, count, range, offsets, text)
        }
        Values::Missing(_) => unreachable!("no stored column is missing"),
    }
}

/// Moves values to the rows that have one; the others get the default.
fn spread(values: &mut Values, validity: &Bitmap) {
    match values {
        Values::Float(values) => spread_fixed(values, validity),
        Values::Integer(values) => spread_fixed(values, validity),
        Values::Unsigned(values) => spread_fixed(values, validity),
        Values::Boolean(values) => spread_fixed(values, validity),
        Values::String { offsets, .. } => {
            let dense = mem::take(offsets);
            let mut value = 0;
            offsets.push(0);
            offsets.extend((0..validity.len()).map(|row| {
                value += usize::from(validity.get(row));
                dense[value]
            }));
        }
        Values::Missing(_) => {}
    }
}

fn spread_fixed<T: Copy + Default>(values: &mut Vec<T>, validity: &Bitmap) {
    let mut from = values.len();
    values.resize(validity.len(), T::default());
    for row in (0..validity.len()).rev() {
        // From the back, so that no value is overwritten before it has moved.
        values[row] = if validity.get(row) {
            from -= 1;
            values[from]
        } else {
            T::default()
        };
    }
}
