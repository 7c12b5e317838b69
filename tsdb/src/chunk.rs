//! A chunk: a run of rows of one series, encoded; the unit in which points are stored.
//!
//! Pure functions between [`Columns`] and bytes. The head is small and lies in the engine's
//! blocks; the body lies apart and is read a column at a time. The head alone answers count,
//! minimum, maximum, sum, first and last of every column.
//!
//! ```text
//! head := version u8 | rows varint | first timestamp i64 | last - first varint
//!       | timestamp encoding u8 | [timestamps len varint | timestamps crc32 u32]
//!       | columns varint | entry x columns | crc32 u32
//! body := timestamps | column 0 | column 1 ...        (nothing between them)
//! column := null mask | values                        (values of the rows that have one)
//! ```
//!
//! Integers are little-endian; varints are LEB128. The last four bytes of a head of any version
//! are the CRC32 of all bytes before them.
//!
//! Invariants:
//! - timestamps strictly ascend; a regular series has no timestamp bytes at all;
//! - fields are distinct, entries are in the order of field numbers;
//! - no decoder sees bytes whose checksum was not verified, and every decoder refuses, without
//!   a panic and in memory bounded by [`ROWS_MAX`], whatever bytes it is given.

use std::ops::Range;

use crate::model::{Column, Columns, FieldId, FieldType, TimeRange, Timestamp};

/// Most rows of a chunk written by a flush or a merge of hot data.
pub const ROWS_MAX_HOT: usize = 4096;
/// Most rows of a chunk of the cold class.
pub const ROWS_MAX_COLD: usize = 8192;
/// Most rows that any chunk may have.
pub const ROWS_MAX: usize = 8192;

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
        /// Which part: `head`, `timestamps`, `column`, ...
        part: &'static str,
        /// What did not hold.
        reason: &'static str,
    },
}

/// Header and directory of a chunk, decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    rows: usize,
    first: Timestamp,
    last: Timestamp,
    columns: Vec<ColumnHead>,
}

/// Directory entry of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnHead {
    /// The field.
    pub field: FieldId,
    /// Its type.
    pub field_type: FieldType,
    /// How its values are encoded.
    pub encoding: Encoding,
    /// Where its bytes begin in the body.
    pub offset: usize,
    /// How many bytes it has.
    pub len: usize,
    /// Rows that have a value.
    pub count: usize,
    /// Statistics of its values; `None` when there is no value, a float is NaN or a string is
    /// longer than [`STATS_STRING_BYTES_MAX`].
    pub stats: Option<Stats>,
    rows: usize,
}

/// Longest first or last string that is repeated in the head.
pub const STATS_STRING_BYTES_MAX: usize = 64;

/// How the values of a column are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// No row has a value.
    Empty = 0,
}

/// What a column's values come to; equal to evaluating them one by one in time order.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Time of the first value.
    pub first_timestamp: Timestamp,
    /// Time of the last value.
    pub last_timestamp: Timestamp,
    /// By type.
    pub values: StatsValues,
}

/// Statistics by type. The first of equal values is the minimum and the maximum (which tells
/// `0.0` from `-0.0`).
#[derive(Debug, Clone, PartialEq)]
pub enum StatsValues {
    /// Floats, none of them NaN.
    Float {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
        /// Added one by one in time order, starting from the first value.
        sum: f64,
        /// Earliest.
        first: f64,
        /// Latest.
        last: f64,
    },
    /// Signed integers.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
        /// Exact.
        sum: i128,
        /// Earliest.
        first: i64,
        /// Latest.
        last: i64,
    },
    /// Unsigned integers.
    Unsigned {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
        /// Exact.
        sum: u128,
        /// Earliest.
        first: u64,
        /// Latest.
        last: u64,
    },
    /// Truth values.
    Boolean {
        /// How many are true.
        trues: usize,
        /// Earliest.
        first: bool,
        /// Latest.
        last: bool,
    },
    /// Text.
    String {
        /// Earliest.
        first: Box<str>,
        /// Latest.
        last: Box<str>,
    },
}

impl Head {
    /// Verifies and decodes a head.
    pub fn decode(bytes: &[u8]) -> Result<Head, ChunkError> {
        let _ = bytes;
        todo!()
    }

    /// Number of rows; at least one.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Time of the first row.
    pub fn first_timestamp(&self) -> Timestamp {
        self.first
    }

    /// Time of the last row.
    pub fn last_timestamp(&self) -> Timestamp {
        self.last
    }

    /// From the first to the last row.
    pub fn time_range(&self) -> TimeRange {
        TimeRange::new(self.first, self.last)
    }

    /// Columns in the order of field numbers.
    pub fn columns(&self) -> &[ColumnHead] {
        &self.columns
    }

    /// The column of `field`.
    pub fn column(&self, field: FieldId) -> Option<&ColumnHead> {
        let at = self.columns.binary_search_by_key(&field, |c| c.field).ok()?;
        Some(&self.columns[at])
    }

    /// Where the timestamps lie in the body; empty for a regular series.
    pub fn timestamps_range(&self) -> Range<usize> {
        todo!()
    }

    /// Length of the body.
    pub fn body_len(&self) -> usize {
        todo!()
    }

    /// Distance of neighbouring rows, where it is the same for all: then timestamps take no
    /// bytes. `None` for one row.
    pub fn step(&self) -> Option<i64> {
        todo!()
    }

    /// Rows within `range`. `timestamps` are all of the chunk's; a regular series needs none
    /// (an empty slice will do).
    pub fn rows_in(&self, range: TimeRange, timestamps: &[Timestamp]) -> Range<usize> {
        let _ = (range, timestamps);
        todo!()
    }
}

impl ColumnHead {
    /// Where the column lies in the body.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len
    }

    /// Whether some row has no value.
    pub fn has_nulls(&self) -> bool {
        self.count < self.rows
    }
}

/// Encodes rows of one series. Columns that are [`Values::Missing`](crate::model::Values) are
/// left out; a typed column without a value is kept.
///
/// # Panics
/// When there is no row or more than [`ROWS_MAX`], timestamps do not ascend, a column's length is
/// not the number of rows, or two columns are of one field: bugs of the caller.
pub fn encode(columns: &Columns, class: Class) -> EncodedChunk {
    let _ = (columns, class);
    todo!()
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
    let _ = (head, bytes, rows, out);
    todo!()
}

/// Verifies a column's bytes and decodes `rows` of it to `out`, whose content is replaced and
/// whose memory is used again where the type is the same. Only the runs and pages that cover
/// `rows` are decoded.
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
    let _ = (head, bytes, rows, out);
    todo!()
}

pub mod merge;

pub use merge::merge_columns;
