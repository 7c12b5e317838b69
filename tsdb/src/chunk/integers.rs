//! Values of integer columns, and timestamps.

use std::ops::Range;

use firndb_engine::coding::{DecodeError, Decoder};

use super::{Class, Encoding, cold, intpack};

/// A slower encoding has to be smaller by a twentieth.
pub(super) fn is_worth_it(slow: &[u8], fast: &[u8]) -> bool {
    slow.len() * 20 < fast.len() * 19
}

/// What takes no more than this packed is left so: what the slower encodings say of themselves
/// takes as much. Most columns of rollups are this short, and constants always are.
const SHORT_BYTES: usize = 32;

/// Appends `values`, at least one, in the encoding it returns.
pub fn encode(values: &[i64], class: Class, out: &mut Vec<u8>) -> Encoding {
    let start = out.len();
    intpack::encode(values, out);
    if class == Class::Hot || out.len() - start <= SHORT_BYTES {
        return Encoding::Packed;
    }
    let mut best = Encoding::Packed;
    // pco first, as its pages decode alone.
    if let Some(pco) = cold::encode_pco(values)
        && is_worth_it(&pco, &out[start..])
    {
        out.truncate(start);
        out.extend_from_slice(&pco);
        best = Encoding::Pco;
    }
    let varints = cold::encode_varints(values);
    if is_worth_it(&varints, &out[start..]) {
        out.truncate(start);
        out.extend_from_slice(&varints);
        best = Encoding::Varints;
    }
    best
}

/// Decodes `rows` of `len` values; hands them on in order, a run or a page at a time.
///
/// # Errors
/// When `bytes` are not what [`encode`] wrote.
pub fn decode(
    encoding: Encoding,
    bytes: &[u8],
    len: usize,
    rows: Range<usize>,
    visit: &mut impl FnMut(&[i64]),
) -> Result<(), DecodeError> {
    match encoding {
        Encoding::Packed => intpack::decode(bytes, len, rows, visit),
        Encoding::Pco => cold::decode_pco(bytes, len, rows, visit),
        Encoding::Varints => {
            let mut values = Vec::with_capacity(rows.len());
            cold::decode_varints(bytes, len, rows, &mut values)?;
            visit(&values);
            Ok(())
        }
        _ => Err(Decoder::new(bytes).error("encoding of integers")),
    }
}
