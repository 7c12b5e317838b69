//! Smallest and greatest values. NaN loses against every number.

use std::any::Any;

use firndb_tsdb::chunk::Stats;
use firndb_tsdb::rollup::column::Part;

use super::super::kernels;
use super::super::vector::Vector;
use super::{Accumulator, BucketSlice, Finished, Number, Slice, Spot, overflow, present, same};
use crate::error::Result;

/// `max` (`MAX`) and `min`.
pub struct Extreme<T, const MAX: bool> {
    best: Vec<T>,
    /// Where the best were found: the earliest of equal ones.
    spots: Option<Vec<Spot>>,
}

impl<T: Number, const MAX: bool> Extreme<T, MAX> {
    const WEAKEST: T = if MAX { T::LOWEST } else { T::HIGHEST };

    pub fn new(buckets: usize, spots: bool) -> Self {
        let spots = spots.then(|| vec![Spot::default(); buckets]);
        Extreme { best: vec![Self::WEAKEST; buckets], spots }
    }

    /// Whether `a` is strictly better than `b`; branch-free, for the kernel.
    fn beats(a: T, b: T) -> bool {
        if MAX { a > b } else { a < b }
    }

    fn best_of(values: &[T]) -> T {
        let best = kernels::extreme(values, Self::WEAKEST, Self::beats);
        // NaN never beats the weakest, which is then the answer without being a value.
        if best == Self::WEAKEST && values.iter().all(|v| v.is_nan()) { values[0] } else { best }
    }

    fn offer(&mut self, bucket: usize, value: T, spot: Spot, is_first: bool) {
        let best = self.best[bucket];
        let better = is_first || Self::beats(value, best) || (best.is_nan() && !value.is_nan());
        let equal = value == best || (value.is_nan() && best.is_nan());
        let Some(spots) = &mut self.spots else {
            if better {
                self.best[bucket] = value;
            }
            return;
        };
        if better || (equal && spot.time < spots[bucket].time) {
            self.best[bucket] = value;
            spots[bucket] = spot;
        }
    }
}

impl<T: Number, const MAX: bool> Accumulator for Extreme<T, MAX> {
    fn fold(&mut self, slice: &Slice<'_>) {
        let values = T::slice(slice.values);
        for segment in slice.segments {
            let part = &values[segment.start..segment.end];
            let value = Self::best_of(part);
            let mut spot = Spot::default();
            if self.spots.is_some() {
                let is_it = |v: &T| *v == value || (value.is_nan() && v.is_nan());
                let at = part.iter().position(is_it).expect("the best is one of the values");
                spot = Spot { time: slice.timestamps[segment.start + at], series: slice.series };
            }
            let is_first = slice.counts[segment.bucket] == 0;
            self.offer(segment.bucket, value, spot, is_first);
        }
    }

    /// The extremes of buckets as if they were points; when they were is not known.
    fn fold_buckets(&mut self, slice: &BucketSlice<'_>) {
        self.fold(&slice.points(if MAX { Part::Max } else { Part::Min }));
    }

    fn takes_stats(&self, bucket: usize, stats: &Stats, counts: &[u64]) -> bool {
        let Some([min, max, ..]) = T::stats(stats) else { return false };
        let Some(spots) = &self.spots else { return true };
        // The time is not in the statistics: they suffice to rule the chunk out, no more.
        let (value, best) = (if MAX { max } else { min }, self.best[bucket]);
        let earlier = stats.first_timestamp < spots[bucket].time;
        counts[bucket] > 0 && (Self::beats(best, value) || (best == value && !earlier))
    }

    fn fold_stats(&mut self, bucket: usize, stats: &Stats, counts: &[u64], _: u32) {
        if let (Some([min, max, ..]), None) = (T::stats(stats), &self.spots) {
            let value = if MAX { max } else { min };
            self.offer(bucket, value, Spot::default(), counts[bucket] == 0);
        }
    }

    fn merge(&mut self, other: Box<dyn Any>, counts: &[u64], other_counts: &[u64]) {
        let other = same::<Self>(other);
        for (bucket, value) in other.best.into_iter().enumerate() {
            if other_counts[bucket] > 0 {
                let spot = other.spots.as_ref().map_or(Spot::default(), |spots| spots[bucket]);
                self.offer(bucket, value, spot, counts[bucket] == 0);
            }
        }
    }

    fn finish(self: Box<Self>, counts: &[u64]) -> Result<Finished> {
        let data = T::data(self.best.into_iter().map(T::tidy).collect());
        let values = Vector { data, validity: present(counts) };
        Ok(Finished::Buckets { values, spots: self.spots })
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// `spread`: both extremes.
pub struct Spread<T> {
    min: Extreme<T, false>,
    max: Extreme<T, true>,
}

impl<T: Number> Spread<T> {
    pub fn new(buckets: usize) -> Self {
        Spread { min: Extreme::new(buckets, false), max: Extreme::new(buckets, false) }
    }
}

impl<T: Number> Accumulator for Spread<T> {
    fn fold(&mut self, slice: &Slice<'_>) {
        self.min.fold(slice);
        self.max.fold(slice);
    }

    fn fold_buckets(&mut self, slice: &BucketSlice<'_>) {
        self.min.fold_buckets(slice);
        self.max.fold_buckets(slice);
    }

    fn takes_stats(&self, bucket: usize, stats: &Stats, counts: &[u64]) -> bool {
        self.min.takes_stats(bucket, stats, counts)
    }

    fn fold_stats(&mut self, bucket: usize, stats: &Stats, counts: &[u64], series: u32) {
        self.min.fold_stats(bucket, stats, counts, series);
        self.max.fold_stats(bucket, stats, counts, series);
    }

    fn merge(&mut self, other: Box<dyn Any>, counts: &[u64], other_counts: &[u64]) {
        let Spread { min, max } = same::<Self>(other);
        self.min.merge(Box::new(min), counts, other_counts);
        self.max.merge(Box::new(max), counts, other_counts);
    }

    fn finish(self: Box<Self>, counts: &[u64]) -> Result<Finished> {
        let both = self.max.best.into_iter().zip(self.min.best).zip(counts);
        let spread: Option<Vec<T>> = both
            .map(
                |((max, min), count)| {
                    if *count > 0 { T::difference(max, min) } else { Some(T::LOWEST) }
                },
            )
            .collect();
        let data = T::data(spread.ok_or_else(|| overflow("the spread"))?);
        let values = Vector { data, validity: present(counts) };
        Ok(Finished::Buckets { values, spots: None })
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
