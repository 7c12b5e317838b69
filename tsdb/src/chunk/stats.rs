//! Statistics of a column: what its values come to.
//!
//! ```text
//! stats    := [first time - chunk's first varint | chunk's last - last time varint] | values
//!             (times where the column has nulls)
//! integer  := min signed | max - min varint | first - min varint | last - min varint | sum
//! unsigned := min varint | max - min varint | first - min varint | last - min varint | sum
//! sum      := low half varint | high half varint            (128 bits; signed: zigzag)
//! float    := min | max | sum | first | last                (varints of the swapped bytes)
//! boolean  := trues varint | flags u8                       (bit 0: first, bit 1: last)
//! string   := first slice | last slice
//! ```
//!
//! Invariant: they equal evaluating the values one by one in time order, bit for bit. So a float
//! sum is the left-to-right sum from 0.0, the minimum is the first of equals, and a column with a
//! NaN has no statistics, as comparisons with NaN have no order.
//!
//! Why swapped bytes: floats that are small integers have zeros at the end, a varint at the front.

use firndb_engine::coding::{DecodeError, Decoder, put_slice, put_varint, unzigzag, zigzag};

use super::strings::Texts;
use crate::model::{FieldType, Timestamp};

/// Longest first or last string that is repeated in the head.
pub const STATS_STRING_BYTES_MAX: usize = 64;

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
        /// Added one by one in time order, starting from 0.0.
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

/// Statistics of floats, at least one.
pub fn of_floats(values: &[f64]) -> Option<StatsValues> {
    let (first, last) = (*values.first()?, *values.last()?);
    let (mut min, mut max, mut sum) = (first, first, 0.0);
    let mut has_nan = false;
    for &value in values {
        has_nan |= value.is_nan();
        min = if value < min { value } else { min };
        max = if value > max { value } else { max };
        sum += value;
    }
    (!has_nan).then_some(StatsValues::Float { min, max, sum, first, last })
}

/// Statistics of signed integers, at least one.
pub fn of_integers(values: &[i64]) -> Option<StatsValues> {
    Some(StatsValues::Integer {
        min: *values.iter().min()?,
        max: *values.iter().max()?,
        sum: values.iter().map(|&value| i128::from(value)).sum(),
        first: *values.first()?,
        last: *values.last()?,
    })
}

/// Statistics of unsigned integers, at least one.
pub fn of_unsigned(values: &[u64]) -> Option<StatsValues> {
    Some(StatsValues::Unsigned {
        min: *values.iter().min()?,
        max: *values.iter().max()?,
        sum: values.iter().map(|&value| u128::from(value)).sum(),
        first: *values.first()?,
        last: *values.last()?,
    })
}

/// Statistics of truth values, at least one.
pub fn of_booleans(values: &[bool]) -> Option<StatsValues> {
    Some(StatsValues::Boolean {
        trues: values.iter().filter(|value| **value).count(),
        first: *values.first()?,
        last: *values.last()?,
    })
}

/// Statistics of strings, at least one, unless the first or the last is long.
pub fn of_strings(texts: Texts<'_>) -> Option<StatsValues> {
    let last = texts.offsets.len().checked_sub(2)?;
    let text = |row| {
        let text = texts.get(row);
        let text = std::str::from_utf8(text).ok()?;
        (text.len() <= STATS_STRING_BYTES_MAX).then(|| Box::from(text))
    };
    Some(StatsValues::String { first: text(0)?, last: text(last)? })
}

/// Appends `values`.
pub fn encode(values: &StatsValues, out: &mut Vec<u8>) {
    let put_sum = |out: &mut Vec<u8>, sum: u128| {
        put_varint(out, sum as u64);
        put_varint(out, (sum >> 64) as u64);
    };
    match values {
        StatsValues::Integer { min, max, sum, first, last } => {
            put_varint(out, zigzag(*min));
            for value in [max, first, last] {
                put_varint(out, value.wrapping_sub(*min) as u64);
            }
            put_sum(out, (sum << 1 ^ sum >> 127) as u128);
        }
        StatsValues::Unsigned { min, max, sum, first, last } => {
            put_varint(out, *min);
            for value in [max, first, last] {
                put_varint(out, value - min);
            }
            put_sum(out, *sum);
        }
        StatsValues::Float { min, max, sum, first, last } => {
            for value in [min, max, sum, first, last] {
                put_varint(out, value.to_bits().swap_bytes());
            }
        }
        StatsValues::Boolean { trues, first, last } => {
            put_varint(out, *trues as u64);
            out.push(u8::from(*first) | u8::from(*last) << 1);
        }
        StatsValues::String { first, last } => {
            put_slice(out, first.as_bytes());
            put_slice(out, last.as_bytes());
        }
    }
}

/// Takes the statistics of a column of `field_type`.
///
/// # Errors
/// When there are none.
pub fn decode(
    decoder: &mut Decoder<'_>,
    field_type: FieldType,
) -> Result<StatsValues, DecodeError> {
    let take_sum = |decoder: &mut Decoder<'_>| -> Result<u128, DecodeError> {
        Ok(u128::from(decoder.varint()?) | u128::from(decoder.varint()?) << 64)
    };
    Ok(match field_type {
        FieldType::Integer => {
            let min = unzigzag(decoder.varint()?);
            let mut value = || Ok(min.wrapping_add(decoder.varint()? as i64));
            let (max, first, last) = (value()?, value()?, value()?);
            let sum = take_sum(decoder)?;
            StatsValues::Integer {
                min,
                max,
                sum: (sum >> 1) as i128 ^ -((sum & 1) as i128),
                first,
                last,
            }
        }
        FieldType::Unsigned => {
            let min = decoder.varint()?;
            let mut value = || Ok(min.wrapping_add(decoder.varint()?));
            let (max, first, last) = (value()?, value()?, value()?);
            StatsValues::Unsigned { min, max, sum: take_sum(decoder)?, first, last }
        }
        FieldType::Float => {
            let mut value = || Ok(f64::from_bits(decoder.varint()?.swap_bytes()));
            let (min, max, sum) = (value()?, value()?, value()?);
            StatsValues::Float { min, max, sum, first: value()?, last: value()? }
        }
        FieldType::Boolean => {
            let trues = decoder.varint_usize()?;
            let flags = decoder.u8()?;
            StatsValues::Boolean { trues, first: flags & 1 == 1, last: flags & 2 == 2 }
        }
        FieldType::String => {
            let (first, last) = (Box::from(decoder.str()?), Box::from(decoder.str()?));
            StatsValues::String { first, last }
        }
    })
}
