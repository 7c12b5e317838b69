//! Values of float columns.
//!
//! ```text
//! packed:  the 64 bits of each value as an integer, packed
//! decimal: scaled values, see `decimal.rs`
//! gorilla: see `gorilla.rs`
//! raw:     8 bytes a value, little-endian
//! ```
//!
//! Steps: decimals first, as they are both small and fast; where values have too many digits,
//! the smallest of packed bits (they repeat, or were 32 bits wide once), Gorilla and raw, and raw
//! unless a tenth is saved. The cold class tries all of them and their slower variants.

use std::ops::Range;

use firndb_engine::coding::{DecodeError, Decoder};

use super::integers::is_worth_it;
use super::{Class, Encoding, cold, decimal, gorilla, intpack};

/// Appends `values`, at least one, in the encoding it returns.
pub fn encode(values: &[f64], class: Class, out: &mut Vec<u8>) -> Encoding {
    let mut best = Best { encoding: Encoding::Raw, bytes: Vec::new() };
    if let Some(scaled) = decimal::scale(values) {
        best = Best { encoding: Encoding::Decimal, bytes: decimal::encode_packed(&scaled) };
        if class == Class::Cold {
            best.challenge(Encoding::DecimalPco, decimal::encode_pco(&scaled));
            best.challenge(Encoding::DecimalVarints, decimal::encode_varints(&scaled));
        }
    } else {
        best.bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    }
    // Decimals above this are close to noise; below it nothing else comes near.
    const GOOD_BITS: usize = 32;
    if class == Class::Cold || best.bytes.len() * 8 > values.len() * GOOD_BITS {
        let bits: Vec<i64> = values.iter().map(|value| value.to_bits() as i64).collect();
        let mut packed = Vec::new();
        intpack::encode(&bits, &mut packed);
        best.challenge(Encoding::Packed, Some(packed));
        best.challenge_by_a_tenth(Encoding::Gorilla, gorilla::encode(values));
    }
    if class == Class::Cold {
        best.challenge(Encoding::Pco, cold::encode_pco(values));
    }
    out.extend_from_slice(&best.bytes);
    best.encoding
}

struct Best {
    encoding: Encoding,
    bytes: Vec<u8>,
}

impl Best {
    fn challenge(&mut self, encoding: Encoding, bytes: Option<Vec<u8>>) {
        if let Some(bytes) = bytes
            && is_worth_it(&bytes, &self.bytes)
        {
            *self = Best { encoding, bytes };
        }
    }

    /// Gorilla decodes a bit at a time: a fifth of the speed of anything packed.
    fn challenge_by_a_tenth(&mut self, encoding: Encoding, bytes: Vec<u8>) {
        if bytes.len() * 10 < self.bytes.len() * 9 {
            *self = Best { encoding, bytes };
        }
    }
}

/// Appends `rows` of `len` values to `out`.
///
/// # Errors
/// When `bytes` are not what [`encode`] wrote.
pub fn decode(
    encoding: Encoding,
    bytes: &[u8],
    len: usize,
    rows: Range<usize>,
    out: &mut Vec<f64>,
) -> Result<(), DecodeError> {
    out.reserve(rows.len());
    match encoding {
        Encoding::Packed => intpack::decode(bytes, len, rows, &mut |bits| {
            out.extend(bits.iter().map(|&bits| f64::from_bits(bits as u64)));
        }),
        Encoding::Decimal | Encoding::DecimalVarints | Encoding::DecimalPco => {
            decimal::decode(encoding, bytes, len, rows, out)
        }
        Encoding::Gorilla => gorilla::decode(bytes, len, rows, out),
        Encoding::Pco => {
            cold::decode_pco(bytes, len, rows, &mut |values| out.extend_from_slice(values))
        }
        Encoding::Raw => {
            let (values, rest) = bytes.as_chunks::<8>();
            if values.len() != len || !rest.is_empty() {
                return Err(Decoder::new(bytes).error("length of raw floats"));
            }
            out.extend(values[rows].iter().map(|bytes| f64::from_le_bytes(*bytes)));
            Ok(())
        }
        _ => Err(Decoder::new(bytes).error("encoding of floats")),
    }
}
