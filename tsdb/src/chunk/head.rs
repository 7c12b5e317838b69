//! The head of a chunk: header, directory of columns, statistics. Drawn in `chunk.rs`.

use std::ops::Range;

use firndb_engine::coding::{DecodeError, Decoder, crc, put_u32, put_u64, put_varint};

use super::nulls::Mask;
use super::stats::{self, Stats};
use super::{ChunkError, ROWS_MAX, StatsValues};
use crate::model::{FieldId, FieldType, TimeRange, Timestamp};

/// Version written; older ones are read for ever.
const VERSION: u8 = 1;
const HAS_NULLS: u8 = 1 << 5;
const HAS_STATS: u8 = 1 << 6;

/// Header and directory of a chunk, decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    rows: usize,
    first: Timestamp,
    last: Timestamp,
    /// `Empty` for a regular series.
    pub(super) timestamp_encoding: Encoding,
    pub(super) timestamps_len: usize,
    pub(super) timestamps_crc: u32,
    pub(super) columns: Vec<ColumnHead>,
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
    /// Statistics of its values; `None` when there is no value, a float is NaN or the first or
    /// last string is longer than [`STATS_STRING_BYTES_MAX`](super::STATS_STRING_BYTES_MAX).
    pub stats: Option<Stats>,
    pub(super) rows: usize,
    pub(super) mask: Mask,
    pub(super) mask_len: usize,
    pub(super) crc: u32,
}

/// How the values of a column are encoded; the numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// There are no bytes: no row has a value, or the timestamps are regular.
    Empty = 0,
    /// Integers, or the bits of floats: scaled, then constant, runs, frame of reference, delta or
    /// delta of delta, bit-packed.
    Packed = 1,
    /// Integers: varints of differences under zstd.
    Varints = 2,
    /// Integers or floats: pco.
    Pco = 3,
    /// Floats as decimals, integers packed.
    Decimal = 4,
    /// Floats as decimals, integers as varints under zstd.
    DecimalVarints = 5,
    /// Floats as decimals, integers by pco.
    DecimalPco = 6,
    /// Floats: exclusive or with the value before.
    Gorilla = 7,
    /// Floats as they are.
    Raw = 8,
    /// Booleans: lengths of runs.
    Runs = 9,
    /// Booleans: a bit each.
    Bitmap = 10,
    /// Booleans: a bit each, under zstd.
    BitmapZstd = 11,
    /// Strings: a dictionary and packed numbers.
    Dictionary = 12,
    /// Strings: packed lengths and the text, under zstd where that helps.
    Text = 13,
}

impl Encoding {
    /// All, in the order of their numbers.
    pub const ALL: [Encoding; 14] = [
        Encoding::Empty,
        Encoding::Packed,
        Encoding::Varints,
        Encoding::Pco,
        Encoding::Decimal,
        Encoding::DecimalVarints,
        Encoding::DecimalPco,
        Encoding::Gorilla,
        Encoding::Raw,
        Encoding::Runs,
        Encoding::Bitmap,
        Encoding::BitmapZstd,
        Encoding::Dictionary,
        Encoding::Text,
    ];

    /// Whether decoding costs several times a copy: worth keeping what was decoded.
    pub fn is_slow(self) -> bool {
        use Encoding::*;
        matches!(self, Varints | Pco | DecimalVarints | DecimalPco | Gorilla | Text)
    }

    fn from_byte(byte: u8) -> Option<Encoding> {
        Encoding::ALL.get(usize::from(byte)).copied()
    }
}

impl Head {
    /// Of a chunk without columns yet; the timestamps taken for regular.
    pub(super) fn new(timestamps: &[Timestamp]) -> Head {
        let (first, last) = (timestamps[0], timestamps[timestamps.len() - 1]);
        let mut head = Head {
            rows: timestamps.len(),
            first,
            last,
            timestamp_encoding: Encoding::Empty,
            timestamps_len: 0,
            timestamps_crc: 0,
            columns: Vec::new(),
        };
        let is_regular = head.step().is_some_and(|step| {
            timestamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step)
        });
        if !is_regular && timestamps.len() > 1 {
            head.timestamp_encoding = Encoding::Packed; // the encoder chooses anew
        }
        head
    }

    /// Verifies and decodes a head.
    ///
    /// # Errors
    /// When `bytes` are not what [`encode`](super::encode) wrote, or a newer build wrote them.
    pub fn decode(bytes: &[u8]) -> Result<Head, ChunkError> {
        let corrupt = |reason| ChunkError::Corrupt { part: "head", reason };
        let (bytes, stored) = bytes.split_last_chunk::<4>().ok_or(corrupt("ends early"))?;
        if crc(bytes) != u32::from_le_bytes(*stored) {
            return Err(corrupt("checksum"));
        }
        match bytes.first() {
            Some(&VERSION) => {}
            None | Some(0) => return Err(corrupt("version")),
            Some(&found) => return Err(ChunkError::Version { found, supported: VERSION }),
        }
        Head::decode_unverified(bytes).map_err(|error| corrupt(error.reason))
    }

    /// [`Head::decode`] beneath the checksum, for fuzzing only.
    #[doc(hidden)]
    pub fn decode_unverified(bytes: &[u8]) -> Result<Head, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let _version = decoder.u8()?;
        let rows = decoder.varint_usize()?;
        let first = decoder.u64()? as i64;
        let span = decoder.varint()?;
        let last = first.wrapping_add(span as i64);
        let encoding = Encoding::from_byte(decoder.u8()?);
        let is_sound = (1..=ROWS_MAX).contains(&rows)
            && last >= first
            && (span == 0) == (rows == 1)
            && span >= rows as u64 - 1;
        let timestamp_encoding =
            encoding.filter(|_| is_sound).ok_or(decoder.error("rows and times"))?;
        let mut head = Head {
            rows,
            first,
            last,
            timestamp_encoding,
            timestamps_len: 0,
            timestamps_crc: 0,
            columns: Vec::new(),
        };
        if timestamp_encoding != Encoding::Empty {
            head.timestamps_len = decoder.varint_u32()? as usize;
            head.timestamps_crc = decoder.u32()?;
        } else if rows > 1 && (!span.is_multiple_of(rows as u64 - 1) || head.step().is_none()) {
            return Err(decoder.error("step of a regular series"));
        }
        let mut offset = head.timestamps_len;
        for _ in 0..decoder.varint()? {
            let column = head.decode_entry(&mut decoder, offset)?;
            if head.columns.last().is_some_and(|last| last.field >= column.field) {
                return Err(decoder.error("order of fields"));
            }
            offset += column.len;
            head.columns.push(column);
        }
        decoder.finish()?;
        Ok(head)
    }

    fn decode_entry(
        &self,
        decoder: &mut Decoder<'_>,
        offset: usize,
    ) -> Result<ColumnHead, DecodeError> {
        let broken = decoder.error("directory entry");
        let field = u32::try_from(decoder.varint()?).map_err(|_| broken)?;
        let kind = decoder.u8()?;
        let field_type = FieldType::from_byte(kind & 7).ok_or(broken)?;
        let mask = Mask::from_byte(kind >> 3 & 3).ok_or(broken)?;
        let encoding = Encoding::from_byte(decoder.u8()?).ok_or(broken)?;
        let len = decoder.varint_u32()? as usize;
        let (mut count, mut mask_len) = (self.rows, 0);
        if kind & HAS_NULLS != 0 {
            count = decoder.varint_usize()?;
            mask_len = decoder.varint_usize()?;
            if count >= self.rows || mask_len > len || (mask == Mask::None) != (count == 0) {
                return Err(broken);
            }
        } else if mask != Mask::None {
            return Err(broken);
        }
        if (encoding == Encoding::Empty) != (count == 0) {
            return Err(broken);
        }
        let crc = decoder.u32()?;
        let stats = if kind & HAS_STATS == 0 {
            None
        } else {
            Some(self.decode_stats(decoder, field_type, kind & HAS_NULLS != 0)?)
        };
        Ok(ColumnHead {
            field: FieldId(field),
            field_type,
            encoding,
            offset,
            len,
            count,
            stats,
            rows: self.rows,
            mask,
            mask_len,
            crc,
        })
    }

    fn decode_stats(
        &self,
        decoder: &mut Decoder<'_>,
        field_type: FieldType,
        has_nulls: bool,
    ) -> Result<Stats, DecodeError> {
        let (mut first, mut last) = (self.first, self.last);
        if has_nulls {
            let span = last.wrapping_sub(first) as u64;
            let (after, before) = (decoder.varint()?, decoder.varint()?);
            if after.checked_add(before).is_none_or(|sum| sum > span) {
                return Err(decoder.error("times of first and last value"));
            }
            first = first.wrapping_add(after as i64);
            last = last.wrapping_sub(before as i64);
        }
        let values = stats::decode(decoder, field_type)?;
        if matches!(values, StatsValues::Boolean { trues, .. } if trues > self.rows) {
            return Err(decoder.error("number of true values"));
        }
        Ok(Stats { first_timestamp: first, last_timestamp: last, values })
    }

    /// The bytes that [`Head::decode`] reads.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.rows as u64);
        put_u64(&mut out, self.first as u64);
        put_varint(&mut out, self.last.wrapping_sub(self.first) as u64);
        out.push(self.timestamp_encoding as u8);
        if self.timestamp_encoding != Encoding::Empty {
            put_varint(&mut out, self.timestamps_len as u64);
            put_u32(&mut out, self.timestamps_crc);
        }
        put_varint(&mut out, self.columns.len() as u64);
        for column in &self.columns {
            self.encode_entry(column, &mut out);
        }
        let checksum = crc(&out);
        put_u32(&mut out, checksum);
        out
    }

    fn encode_entry(&self, column: &ColumnHead, out: &mut Vec<u8>) {
        put_varint(out, u64::from(column.field.0));
        let mut kind = column.field_type as u8 | (column.mask as u8) << 3;
        kind |= if column.has_nulls() { HAS_NULLS } else { 0 };
        kind |= if column.stats.is_some() { HAS_STATS } else { 0 };
        out.extend_from_slice(&[kind, column.encoding as u8]);
        assert!(u32::try_from(column.len).is_ok(), "a column above 4 GiB");
        put_varint(out, column.len as u64);
        if column.has_nulls() {
            put_varint(out, column.count as u64);
            put_varint(out, column.mask_len as u64);
        }
        put_u32(out, column.crc);
        if let Some(stats) = &column.stats {
            if column.has_nulls() {
                put_varint(out, stats.first_timestamp.wrapping_sub(self.first) as u64);
                put_varint(out, self.last.wrapping_sub(stats.last_timestamp) as u64);
            }
            stats::encode(&stats.values, out);
        }
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
        0..self.timestamps_len
    }

    /// Length of the body.
    pub fn body_len(&self) -> usize {
        self.columns.last().map_or(self.timestamps_len, |column| column.range().end)
    }

    /// Distance of neighbouring rows, where it is the same for all: then timestamps take no
    /// bytes. `None` for one row.
    pub fn step(&self) -> Option<i64> {
        if self.timestamp_encoding != Encoding::Empty {
            return None;
        }
        let span = self.last.wrapping_sub(self.first) as u64;
        let step = span.checked_div(self.rows as u64 - 1)?;
        i64::try_from(step).ok()
    }

    /// Rows within `range`. `timestamps` are all of the chunk's; a regular series needs none
    /// (an empty slice will do).
    pub fn rows_in(&self, range: TimeRange, timestamps: &[Timestamp]) -> Range<usize> {
        // How many rows lie before a time.
        let before = |time: i128| -> usize {
            if self.timestamp_encoding != Encoding::Empty {
                debug_assert_eq!(timestamps.len(), self.rows, "timestamps of the whole chunk");
                return timestamps.partition_point(|&timestamp| i128::from(timestamp) < time);
            }
            let distance = time - i128::from(self.first);
            let step = i128::from(self.step().unwrap_or(1));
            let rows = distance.max(0) / step + i128::from(distance.max(0) % step != 0);
            rows.min(self.rows as i128) as usize
        };
        let start = before(i128::from(range.start));
        start..before(i128::from(range.end) + 1).max(start)
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

    /// Of a column with `count` values and a null mask of `mask_len` bytes where that is less than
    /// `rows`; for fuzzing only.
    #[doc(hidden)]
    pub fn assembled(
        field_type: FieldType,
        encoding: Encoding,
        mask: u8,
        mask_len: usize,
        count: usize,
        rows: usize,
    ) -> Option<ColumnHead> {
        let mask = Mask::from_byte(mask)?;
        let is_sound = rows <= ROWS_MAX && count <= rows;
        is_sound.then_some(ColumnHead {
            field: FieldId(0),
            field_type,
            encoding,
            offset: 0,
            len: 0,
            count,
            stats: None,
            rows,
            mask,
            mask_len,
            crc: 0,
        })
    }
}
