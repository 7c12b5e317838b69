//! Values of boolean columns.
//!
//! ```text
//! runs:   first value u8 | count varint | lengths packed       (values alternate)
//! bitmap: bits, lowest first, 8 to a byte
//! zstd:   zstd frame of a bitmap                                (cold class)
//! ```

use std::ops::Range;

use firndb_engine::coding::{DecodeError, Decoder, put_varint};

use super::integers::is_worth_it;
use super::{Class, Encoding, cold, intpack};

const ZSTD_LEVEL: i32 = 3;

/// Appends `values`, at least one, in the encoding it returns.
pub fn encode(values: &[bool], class: Class, out: &mut Vec<u8>) -> Encoding {
    let bitmap = to_bitmap(values);
    let mut runs = Vec::new();
    let changes = values.windows(2).filter(|pair| pair[0] != pair[1]).count();
    if changes / 8 < bitmap.len() {
        runs = encode_runs(values);
    }
    let (mut best, mut bytes) = (Encoding::Bitmap, bitmap);
    if class == Class::Cold {
        let frame = cold::compress(&bytes, ZSTD_LEVEL);
        if is_worth_it(&frame, &bytes) {
            (best, bytes) = (Encoding::BitmapZstd, frame);
        }
    }
    if !runs.is_empty() && runs.len() <= bytes.len() {
        (best, bytes) = (Encoding::Runs, runs);
    }
    out.extend_from_slice(&bytes);
    best
}

fn to_bitmap(values: &[bool]) -> Vec<u8> {
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
    values.chunks(8).map(byte).collect()
}

fn encode_runs(values: &[bool]) -> Vec<u8> {
    let lengths: Vec<i64> = values.chunk_by(|a, b| a == b).map(|run| run.len() as i64).collect();
    let mut out = vec![u8::from(values[0])];
    put_varint(&mut out, lengths.len() as u64);
    intpack::encode(&lengths, &mut out);
    out
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
    out: &mut Vec<bool>,
) -> Result<(), DecodeError> {
    match encoding {
        Encoding::Runs => decode_runs(bytes, len, rows, out),
        Encoding::Bitmap => decode_bitmap(bytes, len, rows, out),
        Encoding::BitmapZstd => {
            decode_bitmap(&cold::decompress(bytes, len.div_ceil(8))?, len, rows, out)
        }
        _ => Err(Decoder::new(bytes).error("encoding of booleans")),
    }
}

fn decode_bitmap(
    bytes: &[u8],
    len: usize,
    rows: Range<usize>,
    out: &mut Vec<bool>,
) -> Result<(), DecodeError> {
    if bytes.len() != len.div_ceil(8) {
        return Err(Decoder::new(bytes).error("length of a bitmap"));
    }
    out.extend(rows.map(|row| bytes[row / 8] >> (row % 8) & 1 == 1));
    Ok(())
}

fn decode_runs(
    bytes: &[u8],
    len: usize,
    rows: Range<usize>,
    out: &mut Vec<bool>,
) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let mut value = match decoder.u8()? {
        0 => false,
        1 => true,
        _ => return Err(decoder.error("first value")),
    };
    let count = decoder.varint_usize()?;
    if count > len {
        return Err(decoder.error("number of runs"));
    }
    let mut lengths = Vec::new();
    intpack::decode_to(decoder.rest(), count, 0..count, &mut lengths)?;
    let mut end = 0;
    for length in lengths {
        let start = end;
        let length = usize::try_from(length).ok().filter(|&length| length <= len - start);
        end += length.ok_or(decoder.error("length of a run"))?;
        let wanted = start.max(rows.start)..end.min(rows.end);
        out.extend(wanted.map(|_| value));
        value = !value;
    }
    if end == len { Ok(()) } else { Err(decoder.error("runs do not add up")) }
}
