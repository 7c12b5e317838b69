//! Floats as the exclusive or with their predecessor.
//!
//! ```text
//! gorilla := page len varint x pages | page x pages          (a page is 1024 values)
//! page    := first value 64 bits | value ...                 (bits, highest first; padded)
//! value   := 0                                               same as the one before
//!          | 10 bits                                         within the last window
//!          | 11 leading 5 bits | length - 1 6 bits | bits    a new window
//! ```
//!
//! The window is the part of the exclusive or between its leading and trailing zeros. Of leading
//! zeros at most 31 are counted.
//!
//! Source: Pelkonen et al., "Gorilla", VLDB 2015, section 4.1.2; pages and the length less one
//! (so that 64 fits) are ours.

use std::ops::Range;

use firndb_engine::coding::{DecodeError, Decoder, put_varint};

use super::ROWS_MAX;

const PAGE: usize = 1024;

/// Packs `values`.
pub fn encode(values: &[f64]) -> Vec<u8> {
    let (mut lens, mut pages) = (Vec::new(), Vec::with_capacity(values.len() * 8));
    for page in values.chunks(PAGE) {
        let start = pages.len();
        encode_page(page, &mut pages);
        put_varint(&mut lens, (pages.len() - start) as u64);
    }
    lens.extend_from_slice(&pages);
    lens
}

fn encode_page(values: &[f64], out: &mut Vec<u8>) {
    let mut bits = BitWriter { out, pending: 0, filled: 0 };
    let mut last = values[0].to_bits();
    bits.put(last, 64);
    let (mut leading, mut length) = (0, 0);
    for value in &values[1..] {
        let value = value.to_bits();
        let xor = value ^ last;
        last = value;
        if xor == 0 {
            bits.put(0, 1);
            continue;
        }
        let (zeros, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        // A window much wider than needed is left for a new one.
        let fits = length > 0
            && zeros >= leading
            && trailing >= 64 - leading - length
            && length <= 64 - zeros - trailing + 11;
        if fits {
            bits.put(0b10, 2);
        } else {
            (leading, length) = (zeros, 64 - zeros - trailing);
            bits.put(0b11 << 11 | u64::from(leading) << 6 | u64::from(length - 1), 13);
        }
        bits.put(xor >> (64 - leading - length), length);
    }
    bits.finish();
}

/// Decodes `rows` of the `len` values that [`encode`] packed.
///
/// # Errors
/// When `bytes` are something else.
pub fn decode(
    bytes: &[u8],
    len: usize,
    rows: Range<usize>,
    out: &mut Vec<f64>,
) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(bytes);
    if len > ROWS_MAX {
        return Err(decoder.error("number of values"));
    }
    let mut lens = [0; ROWS_MAX / PAGE];
    let lens = &mut lens[..len.div_ceil(PAGE)];
    for len in &mut *lens {
        *len = decoder.varint_usize()?;
    }
    out.reserve(rows.len());
    for (page, &page_len) in lens.iter().enumerate() {
        let start = page * PAGE;
        let end = (start + PAGE).min(len).min(rows.end);
        let bytes = decoder.bytes(page_len)?;
        if start < end && rows.start < end {
            decode_page(bytes, end - start, rows.start.saturating_sub(start), out)
                .ok_or(decoder.error("gorilla page"))?;
        }
    }
    decoder.finish()
}

/// Decodes `len` values of a page, all but the first `skipped` to `out`.
fn decode_page(bytes: &[u8], len: usize, skipped: usize, out: &mut Vec<f64>) -> Option<()> {
    let mut bits = BitReader { bytes, pending: 0, filled: 0 };
    let mut value = bits.take(64)?;
    let (mut leading, mut length) = (0, 0);
    for index in 0..len {
        if index > 0 && bits.take(1)? == 1 {
            if bits.take(1)? == 1 {
                let window = bits.take(11)?;
                (leading, length) = ((window >> 6) as u32, (window & 63) as u32 + 1);
            }
            if length == 0 || leading + length > 64 {
                return None;
            }
            value ^= bits.take(length)? << (64 - leading - length);
        }
        if index >= skipped {
            out.push(f64::from_bits(value));
        }
    }
    Some(())
}

struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    filled: u32,
}

impl BitWriter<'_> {
    /// Appends the low `count` bits of `value`, which has no others; 1 to 64.
    fn put(&mut self, value: u64, count: u32) {
        let free = 64 - self.filled;
        if count < free {
            self.pending |= value << (free - count);
            self.filled += count;
            return;
        }
        let kept = count - free;
        self.out.extend_from_slice(&(self.pending | value >> kept).to_be_bytes());
        self.pending = if kept == 0 { 0 } else { value << (64 - kept) };
        self.filled = kept;
    }

    fn finish(self) {
        let bytes = self.filled.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.pending.to_be_bytes()[..bytes]);
    }
}

/// The next `filled` bits stand highest in `pending`, zeros behind them.
struct BitReader<'a> {
    bytes: &'a [u8],
    pending: u64,
    filled: u32,
}

impl BitReader<'_> {
    /// The next `count` bits, 1 to 64; `None` past the end.
    fn take(&mut self, count: u32) -> Option<u64> {
        if count > 56 {
            let high = self.take(count - 32)?;
            return Some(high << 32 | self.take(32)?);
        }
        if self.filled < count {
            self.fill();
            if self.filled < count {
                return None;
            }
        }
        let value = self.pending >> (64 - count);
        self.pending <<= count;
        self.filled -= count;
        Some(value)
    }

    /// Fills up to at least 56 bits while bytes last.
    fn fill(&mut self) {
        if let Some(bytes) = self.bytes.first_chunk::<8>() {
            let taken = (64 - self.filled) / 8;
            let kept = u64::from_be_bytes(*bytes) & !(!0u64 >> 1 >> (taken * 8 - 1));
            self.pending |= kept >> self.filled;
            self.filled += taken * 8;
            self.bytes = &self.bytes[taken as usize..];
            return;
        }
        while self.filled <= 56
            && let Some((&byte, rest)) = self.bytes.split_first()
        {
            self.pending |= u64::from(byte) << (56 - self.filled);
            self.filled += 8;
            self.bytes = rest;
        }
    }
}
