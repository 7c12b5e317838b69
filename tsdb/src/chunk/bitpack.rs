//! Bit packing: runs of 256 values of one width, and short strings of bits.
//!
//! ```text
//! run of 256, width w: w rows of 4 x u64 (32 w bytes)
//!   value i lies in lane i % 4; within a lane, values i / 4 = 0, 1, 2 ... follow one another,
//!   lowest bits first, across the words of that lane
//! short run: ceil(len * w / 8) bytes, values one after another, lowest bits first
//! ```
//!
//! Why lanes: four neighbouring values are moved by the same shift, so that the compiler uses
//! vector registers without a target feature, and values stay in their natural order, so that
//! sums of deltas need no transposition.

/// Values of a full run.
pub const RUN: usize = 256;
const LANES: usize = 4;
const ROWS: usize = RUN / LANES;

/// Bytes that `len` values of `width` bits take.
pub fn packed_len(len: usize, width: usize) -> usize {
    (len * width).div_ceil(8)
}

/// Number of bits of `value`; 0 for 0.
pub fn bits(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()) as usize
}

fn mask(width: usize) -> u64 {
    if width == 64 { !0 } else { (1 << width) - 1 }
}

/// Packs the low `width` bits of each value; the others are dropped.
pub fn pack(values: &[u64], width: usize, out: &mut Vec<u8>) {
    match values.try_into() {
        Ok(run) => pack_run(run, width, out),
        Err(_) => pack_short(values, width, out),
    }
}

/// Unpacks `out.len()` values and adds `base` to each, wrapping.
///
/// # Panics
/// When `bytes` is not [`packed_len`] long or `width` is above 64: callers check both.
pub fn unpack(bytes: &[u8], width: usize, base: i64, out: &mut [i64]) {
    assert_eq!(bytes.len(), packed_len(out.len(), width), "packed bytes have the wrong length");
    match out.try_into() {
        Ok(run) => unpack_run(bytes, width, base, run),
        Err(_) => unpack_short(bytes, width, base, out),
    }
}

fn pack_run(values: &[u64; RUN], width: usize, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mask = mask(width);
    let (mut word, mut filled) = ([0u64; LANES], 0);
    for row in values.as_chunks::<LANES>().0 {
        let row = row.map(|value| value & mask);
        for lane in 0..LANES {
            word[lane] |= row[lane] << filled;
        }
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(word.map(u64::to_le_bytes).as_flattened());
            filled -= 64;
            // Two steps, as a shift by 64 is none.
            let kept = width - filled;
            word = row.map(|value| value >> (kept - 1) >> 1);
        }
    }
    debug_assert_eq!(filled, 0, "256 values of any width fill whole words");
}

/// Dispatches on the width, so that every width has its own loop with constant shifts.
fn unpack_run(bytes: &[u8], width: usize, base: i64, out: &mut [i64; RUN]) {
    macro_rules! dispatch {
        ($($narrow:literal)*; $($wide:literal)*) => {
            match width {
                0 => out.fill(base),
                $($narrow => unpack_narrow::<$narrow>(bytes, base, out),)*
                $($wide => unpack_wide::<$wide>(bytes, base, out),)*
                _ => panic!("width above 64"),
            }
        };
    }
    dispatch!(
        1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16;
        17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46
        47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64
    );
}

type Row<T> = [T; LANES];

/// Rows unrolled: twice the speed of the loop for the widths that are common, but much code.
fn unpack_narrow<const W: usize>(bytes: &[u8], base: i64, out: &mut [i64; RUN]) {
    let (words, rows) = (words::<W>(bytes), rows(out));
    macro_rules! unroll {
        ($($row:literal)*) => { $(rows[$row] = row(words, $row, base);)* };
    }
    unroll!(
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
        32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61
        62 63
    );
}

fn unpack_wide<const W: usize>(bytes: &[u8], base: i64, out: &mut [i64; RUN]) {
    let (words, rows) = (words::<W>(bytes), rows(out));
    for (index, out) in rows.iter_mut().enumerate() {
        *out = row(words, index, base);
    }
}

fn words<const W: usize>(bytes: &[u8]) -> &[[u8; 8 * LANES]; W] {
    bytes.as_chunks().0.try_into().expect("the caller has checked the length")
}

fn rows(out: &mut [i64; RUN]) -> &mut [Row<i64>; ROWS] {
    out.as_chunks_mut().0.try_into().expect("256 values are 64 rows of 4")
}

#[inline(always)] // so that shifts are constants
fn row<const W: usize>(words: &[[u8; 8 * LANES]; W], row: usize, base: i64) -> Row<i64> {
    let (word, shift) = (row * W / 64, row * W % 64);
    let (low, mask) = (load(&words[word]), mask(W));
    let mut values = [0; LANES];
    for lane in 0..LANES {
        values[lane] = low[lane] >> shift;
    }
    if shift + W > 64 {
        let high = load(&words[word + 1]);
        for lane in 0..LANES {
            values[lane] |= high[lane] << (64 - shift);
        }
    }
    values.map(|value| ((value & mask) as i64).wrapping_add(base))
}

#[inline(always)]
fn load(bytes: &[u8; 8 * LANES]) -> Row<u64> {
    let mut words = [0; LANES];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

fn pack_short(values: &[u64], width: usize, out: &mut Vec<u8>) {
    let mask = mask(width);
    let (mut pending, mut filled) = (0u128, 0);
    for value in values {
        pending |= u128::from(value & mask) << filled;
        filled += width;
        while filled >= 8 {
            out.push(pending as u8);
            pending >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(pending as u8);
    }
}

fn unpack_short(bytes: &[u8], width: usize, base: i64, out: &mut [i64]) {
    let mask = mask(width);
    for (index, out) in out.iter_mut().enumerate() {
        let (byte, shift) = (index * width / 8, index * width % 8);
        let value = match bytes[byte..].first_chunk::<8>() {
            Some(word) if shift + width <= 64 => u64::from_le_bytes(*word) >> shift,
            _ => {
                let mut word = [0; 16];
                let bytes = &bytes[byte..bytes.len().min(byte + 9)];
                word[..bytes.len()].copy_from_slice(bytes);
                (u128::from_le_bytes(word) >> shift) as u64
            }
        };
        *out = ((value & mask) as i64).wrapping_add(base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::testing::Random;

    #[test]
    fn every_width_and_length_round_trips() {
        let mut random = Random::new(1);
        for width in 0..=64 {
            for len in [0, 1, 2, 7, 8, 63, 255, 256] {
                let values: Vec<u64> = (0..len).map(|_| random.next() & mask(width)).collect();
                let mut bytes = Vec::new();
                pack(&values, width, &mut bytes);
                assert_eq!(bytes.len(), packed_len(len, width));
                let mut out = vec![0; len];
                unpack(&bytes, width, 7, &mut out);
                let expected: Vec<i64> =
                    values.iter().map(|&v| (v as i64).wrapping_add(7)).collect();
                assert_eq!(out, expected, "{len} values of {width} bits");
            }
        }
    }
}
