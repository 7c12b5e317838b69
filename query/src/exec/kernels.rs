//! Loops over dense slices: sums, extremes. Eight accumulators each, because one is bound by the
//! latency of an addition (measured: 2 G values/s with one, 13 with eight), and no intrinsics:
//! the compiler vectorises them.

use std::mem::take;

/// Lanes of a long float sum, and of every other kernel.
const LANES: usize = 8;
/// Values of a float sum that are added one after another before the lanes begin: an hour's
/// dashboard bucket then has, bit for bit, the sum that plain addition in time order gives.
const SEQUENTIAL_MAX: usize = 64;

/// A sum of floats in time order that depends on the values alone, not on how they are cut into
/// calls: the first 64 one by one, then value `i` in lane `i % 8`, the lanes added as a tree.
#[derive(Debug, Clone, Default)]
pub struct FloatSum {
    count: usize,
    head: f64,
    lanes: [f64; LANES],
}

impl FloatSum {
    /// Adds the next values.
    pub fn add(&mut self, mut values: &[f64]) {
        if self.count < SEQUENTIAL_MAX {
            let head = values.len().min(SEQUENTIAL_MAX - self.count);
            values[..head].iter().for_each(|v| self.head += v);
            self.count += head;
            values = &values[head..];
        }
        if values.is_empty() {
            return;
        }
        let lane = (self.count - SEQUENTIAL_MAX) % LANES;
        self.count += values.len();
        let ragged = if lane == 0 { 0 } else { values.len().min(LANES - lane) };
        for (sum, v) in self.lanes[lane..].iter_mut().zip(&values[..ragged]) {
            *sum += v;
        }
        let mut chunks = values[ragged..].chunks_exact(LANES);
        let mut lanes = self.lanes;
        for chunk in &mut chunks {
            for (sum, v) in lanes.iter_mut().zip(chunk) {
                *sum += v;
            }
        }
        for (sum, v) in lanes.iter_mut().zip(chunks.remainder()) {
            *sum += v;
        }
        self.lanes = lanes;
    }

    /// The sum so far; starts anew.
    pub fn take(&mut self) -> f64 {
        let FloatSum { count, head, lanes: l } = take(self);
        if count <= SEQUENTIAL_MAX {
            return head;
        }
        head + (((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7])))
    }
}

/// The exact sum of integers.
pub fn sum_integers(values: &[i64]) -> i128 {
    // Biased to unsigned, the halves of 2^31 values each sum up within 64 bits, and both are
    // operations that every x86-64 vectorises; a signed shift is not.
    const BIAS: u64 = 1 << 63;
    let biased: u128 = values.chunks(1 << 30).map(|v| sum_halves(v, |v| v as u64 ^ BIAS)).sum();
    biased as i128 - (values.len() as i128) * i128::from(BIAS)
}

/// The exact sum of unsigned integers.
pub fn sum_unsigned(values: &[u64]) -> i128 {
    values.chunks(1 << 30).map(|v| sum_halves(v, |v| v)).sum::<u128>() as i128
}

fn sum_halves<T: Copy>(values: &[T], unsigned: impl Fn(T) -> u64) -> u128 {
    let (mut high, mut low) = ([0u64; LANES], [0u64; LANES]);
    let mut chunks = values.chunks_exact(LANES);
    for chunk in &mut chunks {
        for lane in 0..LANES {
            let v = unsigned(chunk[lane]);
            high[lane] += v >> 32;
            low[lane] += v & 0xffff_ffff;
        }
    }
    let rest: u128 = chunks.remainder().iter().map(|v| u128::from(unsigned(*v))).sum();
    let total = |lanes: [u64; LANES]| lanes.iter().map(|l| u128::from(*l)).sum::<u128>();
    (total(high) << 32) + total(low) + rest
}

/// The value that no other one beats, where `beats(a, b)` is a strict order; `weakest` is beaten
/// by all others and the answer when there are none.
pub fn extreme<T: Copy>(values: &[T], weakest: T, beats: impl Fn(T, T) -> bool) -> T {
    let better = |best: T, v: T| if beats(v, best) { v } else { best };
    if values.len() < LANES {
        return values.iter().fold(weakest, |best, v| better(best, *v));
    }
    let mut lanes = [weakest; LANES];
    let mut chunks = values.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (best, v) in lanes.iter_mut().zip(chunk) {
            *best = better(*best, *v);
        }
    }
    let best = lanes.into_iter().fold(weakest, better);
    chunks.remainder().iter().fold(best, |best, v| better(best, *v))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_float_sums_are_plain_sums() {
        let values: Vec<f64> = (1..=64).map(|i| f64::from(i) * 0.1).collect();
        let mut sum = FloatSum::default();
        sum.add(&values);
        assert_eq!(sum.take(), values.iter().fold(0.0, |a, b| a + b));
        assert_eq!(sum.take(), 0.0, "take starts anew");
    }

    proptest! {
        #[test]
        fn float_sums_do_not_depend_on_cuts(
            values in prop::collection::vec(-1e6..1e6f64, 0..400),
            cuts in prop::collection::vec(0usize..400, 0..6),
        ) {
            let mut whole = FloatSum::default();
            whole.add(&values);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(values.len())).collect();
            cuts.extend([0, values.len()]);
            cuts.sort_unstable();
            let mut pieces = FloatSum::default();
            cuts.windows(2).for_each(|w| pieces.add(&values[w[0]..w[1]]));
            let (whole, pieces) = (whole.take(), pieces.take());
            prop_assert_eq!(whole.to_bits(), pieces.to_bits());
            let plain: f64 = values.iter().sum();
            prop_assert!((whole - plain).abs() <= 1e-6);
        }

        #[test]
        fn integer_sums_are_exact(values in prop::collection::vec(any::<i64>(), 0..100)) {
            let exact: i128 = values.iter().map(|v| i128::from(*v)).sum();
            prop_assert_eq!(sum_integers(&values), exact);
            let unsigned: Vec<u64> = values.iter().map(|v| *v as u64).collect();
            let exact: i128 = unsigned.iter().map(|v| i128::from(*v)).sum();
            prop_assert_eq!(sum_unsigned(&unsigned), exact);
        }

        #[test]
        fn extremes_agree_with_the_standard_library(
            values in prop::collection::vec(any::<i64>(), 1..50),
        ) {
            let max = extreme(&values, i64::MIN, |a, b| a > b);
            let min = extreme(&values, i64::MAX, |a, b| a < b);
            prop_assert_eq!(Some(&max), values.iter().max());
            prop_assert_eq!(Some(&min), values.iter().min());
        }
    }
}
