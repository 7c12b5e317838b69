//! What the accumulators need of a value's type.

use std::hash::Hash;

use firndb_tsdb::chunk::{Stats, StatsValues};
use firndb_tsdb::model::Values;

use super::super::kernels;
use super::super::vector::{Data, TextBuilder};

/// Values of fixed width: the four types other than text.
pub trait Number: Copy + PartialOrd + Send + Sync + 'static {
    /// Beaten by all others when the smallest is sought.
    const HIGHEST: Self;
    /// Beaten by all others when the greatest is sought.
    const LOWEST: Self;
    /// A type that tells different values apart.
    type Key: Key;

    /// The values of a column of this type.
    ///
    /// # Panics
    /// When it is of another type: a field has one type.
    fn slice(values: &Values) -> &[Self];
    /// A column of these values.
    fn data(values: Vec<Self>) -> Data;
    /// Smallest, greatest, first, last; `None` when the statistics are of another type.
    fn stats(stats: &Stats) -> Option<[Self; 4]>;
    /// The exact sum in the statistics, where the type has one.
    fn exact_sum(stats: &Stats) -> Option<i128>;
    /// The exact sum, where the type has one.
    fn sum(values: &[Self]) -> Option<i128>;
    /// As an integer of any width; 0 where the type has no exact sums.
    fn whole(self) -> i128 {
        0
    }
    /// The sum as this type, when it fits.
    fn from_sum(sum: i128) -> Option<Self>;
    /// `a - b`, when it fits.
    fn difference(a: Self, b: Self) -> Option<Self>;
    /// As a float, rounded.
    fn to_f64(self) -> f64;
    /// Equal values as one value: no negative zero.
    fn tidy(self) -> Self {
        self
    }
    /// Neither less nor equal nor greater than anything.
    fn is_nan(self) -> bool {
        false
    }
}

/// A value that can be looked up.
pub trait Key: Eq + Hash + Ord + Clone + Send + Sync + 'static {
    /// Calls `visit` with the key of each row.
    fn each(values: &Values, visit: impl FnMut(usize, &Self));
    /// A column of these keys' values.
    fn data(keys: Vec<Self>) -> Data;
    /// Bytes held beyond the key itself.
    fn heap_bytes(&self) -> usize {
        0
    }
}

impl Number for f64 {
    const HIGHEST: f64 = f64::INFINITY;
    const LOWEST: f64 = f64::NEG_INFINITY;
    type Key = FloatKey;

    fn slice(values: &Values) -> &[f64] {
        let Values::Float(v) = values else { panic!("a field has one type") };
        v
    }
    fn data(values: Vec<f64>) -> Data {
        Data::Float(values)
    }
    fn stats(stats: &Stats) -> Option<[f64; 4]> {
        let StatsValues::Float { min, max, first, last, .. } = &stats.values else { return None };
        Some([*min, *max, *first, *last])
    }
    fn exact_sum(_: &Stats) -> Option<i128> {
        None
    }
    fn sum(_: &[f64]) -> Option<i128> {
        None
    }
    fn from_sum(_: i128) -> Option<f64> {
        None
    }
    fn difference(a: f64, b: f64) -> Option<f64> {
        Some(a - b)
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn tidy(self) -> f64 {
        self + 0.0
    }
    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }
}

impl Number for i64 {
    const HIGHEST: i64 = i64::MAX;
    const LOWEST: i64 = i64::MIN;
    type Key = i64;

    fn slice(values: &Values) -> &[i64] {
        let Values::Integer(v) = values else { panic!("a field has one type") };
        v
    }
    fn data(values: Vec<i64>) -> Data {
        Data::Integer(values)
    }
    fn stats(stats: &Stats) -> Option<[i64; 4]> {
        let StatsValues::Integer { min, max, first, last, .. } = &stats.values else { return None };
        Some([*min, *max, *first, *last])
    }
    fn exact_sum(stats: &Stats) -> Option<i128> {
        let StatsValues::Integer { sum, .. } = &stats.values else { return None };
        Some(*sum)
    }
    fn sum(values: &[i64]) -> Option<i128> {
        Some(kernels::sum_integers(values))
    }
    fn whole(self) -> i128 {
        i128::from(self)
    }
    fn from_sum(sum: i128) -> Option<i64> {
        i64::try_from(sum).ok()
    }
    fn difference(a: i64, b: i64) -> Option<i64> {
        a.checked_sub(b)
    }
    fn to_f64(self) -> f64 {
        self as f64
    }
}

impl Number for u64 {
    const HIGHEST: u64 = u64::MAX;
    const LOWEST: u64 = 0;
    type Key = u64;

    fn slice(values: &Values) -> &[u64] {
        let Values::Unsigned(v) = values else { panic!("a field has one type") };
        v
    }
    fn data(values: Vec<u64>) -> Data {
        Data::Unsigned(values)
    }
    fn stats(stats: &Stats) -> Option<[u64; 4]> {
        let StatsValues::Unsigned { min, max, first, last, .. } = &stats.values else {
            return None;
        };
        Some([*min, *max, *first, *last])
    }
    fn exact_sum(stats: &Stats) -> Option<i128> {
        let StatsValues::Unsigned { sum, .. } = &stats.values else { return None };
        i128::try_from(*sum).ok()
    }
    fn sum(values: &[u64]) -> Option<i128> {
        Some(kernels::sum_unsigned(values))
    }
    fn whole(self) -> i128 {
        i128::from(self)
    }
    fn from_sum(sum: i128) -> Option<u64> {
        u64::try_from(sum).ok()
    }
    fn difference(a: u64, b: u64) -> Option<u64> {
        a.checked_sub(b)
    }
    fn to_f64(self) -> f64 {
        self as f64
    }
}

impl Number for bool {
    const HIGHEST: bool = true;
    const LOWEST: bool = false;
    type Key = bool;

    fn slice(values: &Values) -> &[bool] {
        let Values::Boolean(v) = values else { panic!("a field has one type") };
        v
    }
    fn data(values: Vec<bool>) -> Data {
        Data::Boolean(values)
    }
    fn stats(_: &Stats) -> Option<[bool; 4]> {
        None
    }
    fn exact_sum(_: &Stats) -> Option<i128> {
        None
    }
    fn sum(_: &[bool]) -> Option<i128> {
        None
    }
    fn from_sum(_: i128) -> Option<bool> {
        None
    }
    fn difference(_: bool, _: bool) -> Option<bool> {
        None
    }
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
}

macro_rules! plain_key {
    ($type:ty) => {
        impl Key for $type {
            fn each(values: &Values, mut visit: impl FnMut(usize, &Self)) {
                let values = <$type as Number>::slice(values);
                values.iter().enumerate().for_each(|(row, value)| visit(row, value));
            }
            fn data(keys: Vec<Self>) -> Data {
                <$type as Number>::data(keys)
            }
        }
    };
}
plain_key!(i64);
plain_key!(u64);
plain_key!(bool);

/// The bits of a float, mapped so that keys sort as the numbers do; one zero, one NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FloatKey(u64);

const SIGN: u64 = 1 << 63;

impl FloatKey {
    fn new(value: f64) -> FloatKey {
        let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.tidy().to_bits() };
        FloatKey(if bits & SIGN == 0 { bits | SIGN } else { !bits })
    }

    fn value(self) -> f64 {
        f64::from_bits(if self.0 & SIGN == 0 { !self.0 } else { self.0 & !SIGN })
    }
}

impl Key for FloatKey {
    fn each(values: &Values, mut visit: impl FnMut(usize, &Self)) {
        let values = f64::slice(values);
        values.iter().enumerate().for_each(|(row, value)| visit(row, &FloatKey::new(*value)));
    }
    fn data(keys: Vec<Self>) -> Data {
        Data::Float(keys.into_iter().map(FloatKey::value).collect())
    }
}

impl Key for Box<[u8]> {
    fn each(values: &Values, mut visit: impl FnMut(usize, &Self)) {
        let Values::String { offsets, bytes } = values else { panic!("a field has one type") };
        for (row, cut) in offsets.windows(2).enumerate() {
            visit(row, &Box::from(&bytes[cut[0] as usize..cut[1] as usize]));
        }
    }
    fn data(keys: Vec<Self>) -> Data {
        let mut text = TextBuilder::default();
        keys.iter().for_each(|key| text.push(key));
        text.finish()
    }
    fn heap_bytes(&self) -> usize {
        self.len() + 16
    }
}
