//! Numbers for tests: the same for the same seed.

use crate::model::{Column, Columns, FieldId, Values};

/// SplitMix64 (Steele et al., 2014): every seed is good, 64 bits of state.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// In `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Close enough to a normal distribution of mean 0 and deviation 1.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// A walk of normal steps within 0..=100.
    pub fn walk(&mut self, len: usize) -> Vec<f64> {
        let mut at = self.unit() * 100.0;
        let mut step = || {
            at = (at + self.normal()).clamp(0.0, 100.0);
            at
        };
        (0..len).map(|_| step()).collect()
    }
}

/// Rows every ten seconds.
pub fn columns(rows: usize, values: Vec<Values>) -> Columns {
    Columns {
        timestamps: (0..rows as i64)
            .map(|i| 1_700_000_000_000_000_000 + i * 10_000_000_000)
            .collect(),
        columns: values
            .into_iter()
            .enumerate()
            .map(|(field, values)| Column { field: FieldId(field as u32), values, validity: None })
            .collect(),
    }
}
