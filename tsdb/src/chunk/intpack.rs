//! Integers: scaled by their common divisor, turned to what varies least, bit-packed in runs.
//!
//! ```text
//! packed := mode u8 | [offset signed | scale varint]              (where mode has SCALED)
//!         | constant: value signed
//!         | line:     first signed | step signed
//!         | runs:     count varint | len varint | values packed | lengths packed
//!         | frame:    lows short | blocks
//!         | delta:    firsts short | lows short | blocks
//!         | delta2:   firsts short | steps short | lows short | blocks
//! short  := width u8 | first signed | [low signed] | bits         (a number for each run)
//! blocks := block head x runs | block body x runs                 (a run is 256 values)
//! block head := width u8 | [exceptions u8 | exception width u8]   (where width has PATCHED)
//! block body := values of `width` bits | positions u8 x exceptions | exceptions
//! ```
//!
//! A value is `offset + scale * u`. `frame` packs u, `delta` the differences of neighbours,
//! `delta2` the differences of differences, each minus the low of its run; a value far off is an
//! exception, stored in full (zigzag of its distance from the low). Sums wrap at 64 bits, so that
//! every sequence of integers round-trips.
//!
//! Every run tells its own first value (and first step): a range of rows costs its runs only.
//! `runs` alone decodes all its lengths first; there are few of them or it would not be chosen.
//!
//! Signed varints are zigzag. Number of values and the end of the bytes are known from outside.

use std::ops::Range;

use firndb_engine::coding::{DecodeError, Decoder, unzigzag};

use super::ROWS_MAX;
use super::bitpack::{RUN, packed_len, unpack};

mod choose;

const CONSTANT: u8 = 0;
const LINE: u8 = 1;
const RUNS: u8 = 2;
const FRAME: u8 = 3;
const DELTA: u8 = 4;
const DELTA2: u8 = 5;
const SCALED: u8 = 0x80;
const PATCHED: u8 = 0x80;
const SHORT_DELTA: u8 = 0x80;
const RUNS_MAX: usize = ROWS_MAX.div_ceil(RUN);
/// Exceptions of a run: more are slower to put in their places than wider values to unpack.
const EXCEPTIONS_MAX: usize = RUN / 8;

/// Appends `values` packed; at least one, at most [`ROWS_MAX`].
pub fn encode(values: &[i64], out: &mut Vec<u8>) {
    choose::encode(values, true, out);
}

/// Decodes `rows` of the `len` values in `bytes` and hands them on, at most 256 at a time and in
/// order.
///
/// # Errors
/// When `bytes` are not what [`encode`] wrote.
pub fn decode(
    bytes: &[u8],
    len: usize,
    rows: Range<usize>,
    visit: &mut impl FnMut(&[i64]),
) -> Result<(), DecodeError> {
    debug_assert!(rows.start <= rows.end && rows.end <= len, "rows outside the values");
    let mut decoder = Decoder::new(bytes);
    let tag = decoder.u8()?;
    let mode = tag & !SCALED;
    if tag & SCALED == 0 {
        return decode_mode(decoder, mode, len, rows, visit);
    }
    let offset = decoder.signed()?;
    let scale = decoder.varint()? as i64;
    let mut scaled = [0; RUN];
    decode_mode(decoder, mode, len, rows, &mut |values| {
        for (scaled, value) in scaled.iter_mut().zip(values) {
            *scaled = offset.wrapping_add(value.wrapping_mul(scale));
        }
        visit(&scaled[..values.len()]);
    })
}

/// Appends `rows` of the `len` values in `bytes` to `out`.
///
/// # Errors
/// When `bytes` are not what [`encode`] wrote.
pub fn decode_to(
    bytes: &[u8],
    len: usize,
    rows: Range<usize>,
    out: &mut Vec<i64>,
) -> Result<(), DecodeError> {
    out.reserve(rows.len());
    decode(bytes, len, rows, &mut |values| out.extend_from_slice(values))
}

fn decode_mode(
    mut decoder: Decoder<'_>,
    mode: u8,
    len: usize,
    rows: Range<usize>,
    visit: &mut impl FnMut(&[i64]),
) -> Result<(), DecodeError> {
    if len == 0 || len > ROWS_MAX {
        return Err(decoder.error("number of values"));
    }
    match mode {
        CONSTANT => {
            let values = [decoder.signed()?; RUN];
            decoder.finish()?;
            for start in rows.clone().step_by(RUN) {
                visit(&values[..RUN.min(rows.end - start)]);
            }
            Ok(())
        }
        LINE => {
            let (first, step) = (decoder.signed()?, decoder.signed()?);
            decoder.finish()?;
            let mut values = [0i64; RUN];
            for start in rows.clone().step_by(RUN) {
                for (index, value) in values.iter_mut().enumerate() {
                    *value = first.wrapping_add(step.wrapping_mul((start + index) as i64));
                }
                visit(&values[..RUN.min(rows.end - start)]);
            }
            Ok(())
        }
        RUNS => decode_runs(decoder, len, rows, visit),
        FRAME | DELTA | DELTA2 => decode_blocks(decoder, mode, len, rows, visit),
        _ => Err(decoder.error("integer mode")),
    }
}

fn decode_runs(
    mut decoder: Decoder<'_>,
    len: usize,
    rows: Range<usize>,
    visit: &mut impl FnMut(&[i64]),
) -> Result<(), DecodeError> {
    let count = decoder.varint_usize()?;
    let value_bytes = decoder.slice()?;
    let length_bytes = decoder.rest();
    if count == 0 || count > len {
        return Err(decoder.error("number of runs"));
    }
    let (values, lengths) = (decode_inner(value_bytes, count)?, decode_inner(length_bytes, count)?);
    let mut end = 0usize;
    let mut buffer = [0i64; RUN];
    for (value, length) in values.into_iter().zip(lengths) {
        let start = end;
        let length = usize::try_from(length).ok().filter(|&length| length <= len - start);
        end += length.ok_or(decoder.error("length of a run"))?;
        let wanted = start.max(rows.start)..end.min(rows.end);
        if !wanted.is_empty() {
            let buffer = &mut buffer[..RUN.min(wanted.len())];
            buffer.fill(value);
            for start in wanted.clone().step_by(RUN) {
                visit(&buffer[..RUN.min(wanted.end - start)]);
            }
        }
    }
    if end == len { Ok(()) } else { Err(decoder.error("runs do not add up")) }
}

/// Values or lengths of runs: packed without runs of their own, so that decoding cannot recur.
fn decode_inner(bytes: &[u8], count: usize) -> Result<Vec<i64>, DecodeError> {
    match bytes.first() {
        Some(tag) if tag & !SCALED == RUNS => Err(Decoder::new(bytes).error("runs within runs")),
        _ => {
            let mut out = Vec::with_capacity(count);
            decode_to(bytes, count, 0..count, &mut out)?;
            Ok(out)
        }
    }
}

/// What a block's head says.
#[derive(Clone, Copy, Default)]
struct Block {
    width: usize,
    exceptions: usize,
    exception_width: usize,
}

impl Block {
    fn decode(decoder: &mut Decoder<'_>, len: usize) -> Result<Block, DecodeError> {
        let tag = decoder.u8()?;
        let mut block = Block { width: usize::from(tag & !PATCHED), ..Block::default() };
        if tag & PATCHED != 0 {
            block.exceptions = usize::from(decoder.u8()?);
            block.exception_width = usize::from(decoder.u8()?);
        }
        let is_sound = block.width <= 64
            && block.exception_width <= 64
            && block.exceptions <= len.min(EXCEPTIONS_MAX);
        if is_sound { Ok(block) } else { Err(decoder.error("block head")) }
    }

    fn body_len(&self, len: usize) -> usize {
        packed_len(len, self.width)
            + self.exceptions
            + packed_len(self.exceptions, self.exception_width)
    }

    /// `out`: the values of the run; `body`: [`Block::body_len`] bytes.
    fn unpack(&self, body: &[u8], low: i64, out: &mut [i64]) -> Result<(), DecodeError> {
        let (values, rest) = body.split_at(packed_len(out.len(), self.width));
        unpack(values, self.width, low, out);
        if self.exceptions == 0 {
            return Ok(());
        }
        let (positions, rest) = rest.split_at(self.exceptions);
        let mut exceptions = [0; EXCEPTIONS_MAX];
        let exceptions = &mut exceptions[..self.exceptions];
        unpack(rest, self.exception_width, 0, exceptions);
        for (&position, &exception) in positions.iter().zip(&*exceptions) {
            let value = low.wrapping_add(unzigzag(exception as u64));
            *out.get_mut(usize::from(position))
                .ok_or(Decoder::new(positions).error("position of an exception"))? = value;
        }
        Ok(())
    }
}

fn decode_blocks(
    mut decoder: Decoder<'_>,
    mode: u8,
    len: usize,
    rows: Range<usize>,
    visit: &mut impl FnMut(&[i64]),
) -> Result<(), DecodeError> {
    let runs = len.div_ceil(RUN);
    let firsts = if mode == FRAME { [0; RUNS_MAX] } else { decode_short(&mut decoder, runs)? };
    let steps = if mode == DELTA2 { decode_short(&mut decoder, runs)? } else { [0; RUNS_MAX] };
    let lows = decode_short(&mut decoder, runs)?;
    let mut blocks = [Block::default(); RUNS_MAX];
    for (run, block) in blocks[..runs].iter_mut().enumerate() {
        *block = Block::decode(&mut decoder, RUN.min(len - run * RUN))?;
    }
    let mut buffer = [0; RUN];
    for run in 0..runs {
        let start = run * RUN;
        let run_len = RUN.min(len - start);
        let body = decoder.bytes(blocks[run].body_len(run_len))?;
        let wanted = start.max(rows.start)..(start + run_len).min(rows.end);
        if wanted.is_empty() {
            continue;
        }
        let buffer = &mut buffer[..run_len];
        blocks[run].unpack(body, lows[run], buffer)?;
        match mode {
            DELTA => sum(buffer, firsts[run]),
            DELTA2 => sum_twice(buffer, firsts[run], steps[run]),
            _ => {}
        }
        visit(&buffer[wanted.start - start..wanted.end - start]);
    }
    decoder.finish()
}

/// Differences become values; what stands in the first place does not count.
fn sum(run: &mut [i64], first: i64) {
    run[0] = first;
    let mut value = first;
    for slot in &mut run[1..] {
        value = value.wrapping_add(*slot);
        *slot = value;
    }
}

/// Differences of differences become values; what stands in the first two places does not count.
fn sum_twice(run: &mut [i64], first: i64, step: i64) {
    run[0] = first;
    let (mut value, mut step) = (first, step);
    for (index, slot) in run.iter_mut().enumerate().skip(1) {
        if index > 1 {
            step = step.wrapping_add(*slot);
        }
        value = value.wrapping_add(step);
        *slot = value;
    }
}

/// A number for each of `runs` runs.
fn decode_short(decoder: &mut Decoder<'_>, runs: usize) -> Result<[i64; RUNS_MAX], DecodeError> {
    let tag = decoder.u8()?;
    let (width, is_delta) = (usize::from(tag & !SHORT_DELTA), tag & SHORT_DELTA != 0);
    if width > 64 || runs > RUNS_MAX {
        return Err(decoder.error("width"));
    }
    let first = decoder.signed()?;
    let mut values = [0; RUNS_MAX];
    if is_delta {
        let low = decoder.signed()?;
        let body = decoder.bytes(packed_len(runs - 1, width))?;
        unpack(body, width, low, &mut values[1..runs]);
        sum(&mut values[..runs], first);
    } else {
        unpack(decoder.bytes(packed_len(runs, width))?, width, first, &mut values[..runs]);
    }
    Ok(values)
}

#[cfg(test)]
mod tests;
