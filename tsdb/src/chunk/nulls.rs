//! Which rows of a column have a value: the null mask.
//!
//! ```text
//! bitmap:  bits, lowest first, 8 to a byte                  (set: the row has a value)
//! present: portable roaring bitmap of the rows with a value
//! absent:  portable roaring bitmap of the rows without one
//! ```
//!
//! Roaring where it is smaller, which it is where few rows have a value, or few have none. A
//! column in which all rows have a value, or none has, needs no mask.

use croaring::{Bitmap as Roaring, Portable};
use firndb_engine::coding::{DecodeError, Decoder};

use crate::model::Bitmap;

/// How a mask is stored; the numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mask {
    /// Not at all: all rows have a value, or none has.
    None = 0,
    /// A bit a row.
    Bitmap = 1,
    /// Rows with a value.
    Present = 2,
    /// Rows without a value.
    Absent = 3,
}

impl Mask {
    /// The way stored as `byte`.
    pub fn from_byte(byte: u8) -> Option<Mask> {
        [Mask::None, Mask::Bitmap, Mask::Present, Mask::Absent]
            .into_iter()
            .find(|m| *m as u8 == byte)
    }
}

/// Appends `validity`, in which some bits are set and some are not.
pub fn encode(validity: &Bitmap, out: &mut Vec<u8>) -> Mask {
    let mut best = Vec::with_capacity(validity.len().div_ceil(8));
    best.extend(validity.words().iter().flat_map(|word| word.to_le_bytes()));
    best.truncate(validity.len().div_ceil(8));
    let mut mask = Mask::Bitmap;
    let is_present = validity.count() * 2 < validity.len();
    let mut rows: Roaring = (0..validity.len())
        .filter(|&row| validity.get(row) == is_present)
        .map(|row| row as u32)
        .collect();
    rows.run_optimize();
    if rows.get_serialized_size_in_bytes::<Portable>() < best.len() {
        best = rows.serialize::<Portable>();
        mask = if is_present { Mask::Present } else { Mask::Absent };
    }
    out.extend_from_slice(&best);
    mask
}

/// Decodes the mask of `rows` rows.
///
/// # Errors
/// When `bytes` are not what [`encode`] wrote.
pub fn decode(mask: Mask, bytes: &[u8], rows: usize) -> Result<Bitmap, DecodeError> {
    let broken = Decoder::new(bytes).error("null mask");
    if mask == Mask::Bitmap {
        if bytes.len() != rows.div_ceil(8) {
            return Err(broken);
        }
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        return Ok(Bitmap::from_words(words.collect(), rows));
    }
    let listed = Roaring::try_deserialize::<Portable>(bytes).ok_or(broken)?;
    // Deserialising only keeps within the bytes; this makes sure of the inside.
    listed.internal_validate().map_err(|_| broken)?;
    if listed.maximum().is_some_and(|last| last as usize >= rows) {
        return Err(broken);
    }
    let is_present = mask == Mask::Present;
    let mut validity = Bitmap::filled(rows, !is_present);
    for row in listed.iter() {
        validity.set(row as usize, is_present);
    }
    Ok(validity)
}
