//! Encoding of packed integers: finds the mode that takes the fewest bytes, and writes it.
//!
//! 1. all equal, or all the same step apart: done;
//! 2. divide by the greatest common divisor of the distances from the first value;
//! 3. estimate the bytes of frame, delta and delta2 on up to [`SAMPLE_RUNS`] runs;
//! 4. plan every run of the best one: its low, its width, which values are exceptions;
//! 5. where values repeat, try runs, and keep the shorter.

use firndb_engine::coding::{put_signed, put_varint, varint_len, zigzag};

use super::super::bitpack::{RUN, bits, pack, packed_len};
use super::{
    CONSTANT, DELTA, DELTA2, EXCEPTIONS_MAX, FRAME, LINE, PATCHED, ROWS_MAX, RUNS, RUNS_MAX,
    SCALED, SHORT_DELTA,
};

/// Runs on which the modes are compared: a quarter of a chunk of 4096. The modes' sizes differ
/// little where that misjudges.
const SAMPLE_RUNS: usize = 4;

/// Appends `values`; `may_have_runs` is false for values and lengths of runs themselves.
pub fn encode(values: &[i64], may_have_runs: bool, out: &mut Vec<u8>) {
    assert!(!values.is_empty() && values.len() <= ROWS_MAX, "number of values");
    let first = values[0];
    let step = values.get(1).map_or(0, |second| second.wrapping_sub(first));
    if is_line(values, step) {
        out.push(if step == 0 { CONSTANT } else { LINE });
        put_signed(out, first);
        if step != 0 {
            put_signed(out, step);
        }
        return;
    }
    let scale = common_divisor(values);
    let tag = out.len();
    out.push(0);
    if scale == 1 {
        out[tag] = encode_unscaled(values, may_have_runs, out);
    } else {
        put_signed(out, first);
        put_varint(out, scale);
        let distances = values.iter().map(|value| value.wrapping_sub(first));
        let scaled: Vec<i64> = distances.map(|distance| distance / scale as i64).collect();
        out[tag] = SCALED | encode_unscaled(&scaled, may_have_runs, out);
    }
}

fn is_line(values: &[i64], step: i64) -> bool {
    values.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step)
}

/// The greatest number that divides all distances from the first value. They are not all zero.
fn common_divisor(values: &[i64]) -> u64 {
    let first = values[0];
    let mut divisor = 0;
    for value in values {
        // Distances wrap at 64 bits like everything here; the division below is exact either way.
        let mut distance = value.wrapping_sub(first).unsigned_abs();
        while distance != 0 {
            (divisor, distance) = (distance, if divisor == 0 { 0 } else { divisor % distance });
        }
        if divisor == 1 {
            break;
        }
    }
    divisor
}

/// Appends all but the tag, which is returned.
fn encode_unscaled(values: &[i64], may_have_runs: bool, out: &mut Vec<u8>) -> u8 {
    let start = out.len();
    let mode = estimate_mode(values);
    encode_blocks(values, mode, out);
    let changes = values.windows(2).filter(|pair| pair[0] != pair[1]).count();
    // A run takes a byte at the least, mostly two; runs of one or two values gain nothing.
    if may_have_runs && changes < (out.len() - start).min(values.len() / 2) {
        let mut runs = Vec::new();
        encode_runs(values, changes + 1, &mut runs);
        if runs.len() < out.len() - start {
            out.truncate(start);
            out.extend_from_slice(&runs);
            return RUNS;
        }
    }
    mode
}

fn encode_runs(values: &[i64], count: usize, out: &mut Vec<u8>) {
    let (mut heads, mut lengths) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for run in values.chunk_by(|a, b| a == b) {
        heads.push(run[0]);
        lengths.push(run.len() as i64);
    }
    put_varint(out, count as u64);
    let mut packed = Vec::new();
    encode(&heads, false, &mut packed);
    put_varint(out, packed.len() as u64);
    out.extend_from_slice(&packed);
    encode(&lengths, false, out);
}

/// What is packed of one run: the values or their differences. The first `ignored` places are
/// known from elsewhere.
struct Stream {
    values: [i64; RUN],
    len: usize,
    ignored: usize,
}

impl Stream {
    fn new(values: &[i64], mode: u8) -> Stream {
        let mut stream = Stream { values: [0; RUN], len: values.len(), ignored: 0 };
        let out = &mut stream.values[..values.len()];
        match mode {
            DELTA => {
                for (out, pair) in out[1..].iter_mut().zip(values.windows(2)) {
                    *out = pair[1].wrapping_sub(pair[0]);
                }
            }
            DELTA2 => {
                for (out, three) in out.iter_mut().skip(2).zip(values.windows(3)) {
                    let (step, last) =
                        (three[2].wrapping_sub(three[1]), three[1].wrapping_sub(three[0]));
                    *out = step.wrapping_sub(last);
                }
            }
            _ => out.copy_from_slice(values),
        }
        stream.ignored = stream.len.min(usize::from(mode - FRAME));
        stream
    }

    fn counting(&self) -> &[i64] {
        &self.values[self.ignored..self.len]
    }
}

/// How one run is packed.
#[derive(Debug, Clone, Copy, Default)]
struct Plan {
    low: i64,
    width: usize,
    cost_bits: usize,
}

impl Plan {
    fn new(stream: &Stream) -> Plan {
        let values = stream.counting();
        let Some(&min) = values.iter().min() else { return Plan::default() };
        let (plan, crowd) = Plan::with_low(values, min);
        if crowd * 4 < values.len() * 3 || plan.width < 2 {
            return plan;
        }
        // Nearly all values are as wide as the widest: a few far below the others would do that.
        let mut sample: Vec<i64> =
            values.iter().step_by(values.len().div_ceil(32)).copied().collect();
        sample.sort_unstable();
        let low = sample[sample.len() / 16];
        let (other, _) = Plan::with_low(values, low);
        if other.cost_bits < plan.cost_bits { other } else { plan }
    }

    /// The best width for a low, and how many values are as wide as the widest.
    fn with_low(values: &[i64], low: i64) -> (Plan, usize) {
        let mut histogram = [0u16; 65];
        let mut widest_exception = 0;
        for value in values {
            let distance = value.wrapping_sub(low);
            histogram[bits(distance as u64)] += 1;
            widest_exception |= zigzag(distance);
        }
        let exception_bits = 8 + bits(widest_exception);
        let mut best = Plan { low, width: 64, cost_bits: usize::MAX };
        let (mut exceptions, mut crowd) = (0, 0);
        for width in (0..=64).rev() {
            let patched = if exceptions == 0 { 0 } else { 16 + exceptions * exception_bits };
            let cost_bits = width * values.len() + patched;
            if exceptions <= EXCEPTIONS_MAX && cost_bits < best.cost_bits {
                best = Plan { low, width, cost_bits };
            }
            let here = usize::from(histogram[width]);
            if crowd == 0 {
                crowd = here;
            }
            exceptions += here;
        }
        (best, crowd)
    }
}

/// The mode that takes the fewest bytes, judged on a sample of runs.
fn estimate_mode(values: &[i64]) -> u8 {
    let runs = values.len().div_ceil(RUN);
    let sampled = runs.min(SAMPLE_RUNS);
    let cost = |mode: u8| {
        let blocks: usize = (0..sampled)
            .map(|sample| {
                let run = values.chunks(RUN).nth(sample * runs / sampled).unwrap_or_default();
                Plan::new(&Stream::new(run, mode)).cost_bits
            })
            .sum();
        let mut shorts = Vec::new();
        if mode >= DELTA {
            encode_short(&firsts(values), &mut shorts);
        }
        if mode >= DELTA2 {
            encode_short(&steps(values), &mut shorts);
        }
        blocks * runs / sampled + shorts.len() * 8
    };
    // Frame is decoded without sums: the others have to be smaller by a twentieth.
    let costs = [(FRAME, cost(FRAME) * 19 / 20), (DELTA, cost(DELTA)), (DELTA2, cost(DELTA2))];
    costs.iter().min_by_key(|(_, cost)| *cost).map_or(FRAME, |(mode, _)| *mode)
}

fn firsts(values: &[i64]) -> Vec<i64> {
    values.chunks(RUN).map(|run| run[0]).collect()
}

fn steps(values: &[i64]) -> Vec<i64> {
    let step = |run: &[i64]| run.get(1).map_or(0, |second| second.wrapping_sub(run[0]));
    values.chunks(RUN).map(step).collect()
}

fn encode_blocks(values: &[i64], mode: u8, out: &mut Vec<u8>) {
    let mut plans = [Plan::default(); RUNS_MAX];
    let runs = values.len().div_ceil(RUN);
    let mut bodies = Vec::with_capacity(values.len());
    let mut heads = Vec::with_capacity(runs * 3);
    for (run, plan) in values.chunks(RUN).zip(&mut plans) {
        let stream = Stream::new(run, mode);
        *plan = Plan::new(&stream);
        encode_block(stream, plan, &mut heads, &mut bodies);
    }
    if mode >= DELTA {
        encode_short(&firsts(values), out);
    }
    if mode >= DELTA2 {
        encode_short(&steps(values), out);
    }
    let mut lows = [0; RUNS_MAX];
    for (low, plan) in lows.iter_mut().zip(plans) {
        *low = plan.low;
    }
    encode_short(&lows[..runs], out);
    out.extend_from_slice(&heads);
    out.extend_from_slice(&bodies);
}

fn encode_block(mut stream: Stream, plan: &Plan, heads: &mut Vec<u8>, bodies: &mut Vec<u8>) {
    let ignored = stream.ignored;
    stream.values[..ignored].fill(plan.low);
    let distances = stream.values.map(|value| value.wrapping_sub(plan.low) as u64);
    let distances = &distances[..stream.len];
    pack(distances, plan.width, bodies);
    let limit = u64::MAX.checked_shr(64 - plan.width as u32).unwrap_or(0);
    let widest = distances.iter().fold(0, |widest, distance| widest | distance);
    if widest <= limit {
        heads.push(plan.width as u8);
        return;
    }
    let mut exceptions = [0; EXCEPTIONS_MAX];
    let (mut count, mut widest) = (0, 0);
    for (position, &distance) in distances.iter().enumerate() {
        if distance > limit {
            bodies.push(position as u8);
            exceptions[count] = zigzag(distance as i64);
            widest |= exceptions[count];
            count += 1;
        }
    }
    heads.extend_from_slice(&[plan.width as u8 | PATCHED, count as u8, bits(widest) as u8]);
    pack(&exceptions[..count], bits(widest), bodies);
}

/// Appends a number for each run: their distances from the least, or from one to the next.
fn encode_short(values: &[i64], out: &mut Vec<u8>) {
    let mut deltas = [0; RUNS_MAX];
    for (delta, pair) in deltas.iter_mut().zip(values.windows(2)) {
        *delta = pair[1].wrapping_sub(pair[0]);
    }
    let deltas = &deltas[..values.len() - 1];
    let ((low, width), (delta_low, delta_width)) = (low_and_width(values), low_and_width(deltas));
    let first = values[0];
    let size = varint_len(zigzag(low)) + packed_len(values.len(), width);
    let delta_size = varint_len(zigzag(first))
        + varint_len(zigzag(delta_low))
        + packed_len(deltas.len(), delta_width);
    let mut distances = [0; RUNS_MAX];
    let mut pack_distances = |values: &[i64], low: i64, width, out: &mut Vec<u8>| {
        for (distance, value) in distances.iter_mut().zip(values) {
            *distance = value.wrapping_sub(low) as u64;
        }
        pack(&distances[..values.len()], width, out);
    };
    if size <= delta_size {
        out.push(width as u8);
        put_signed(out, low);
        pack_distances(values, low, width, out);
    } else {
        out.push(delta_width as u8 | SHORT_DELTA);
        put_signed(out, first);
        put_signed(out, delta_low);
        pack_distances(deltas, delta_low, delta_width, out);
    }
}

fn low_and_width(values: &[i64]) -> (i64, usize) {
    let low = values.iter().copied().min().unwrap_or(0);
    let high = values.iter().copied().max().unwrap_or(0);
    (low, bits(high.wrapping_sub(low) as u64))
}
