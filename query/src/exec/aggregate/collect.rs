//! Functions that need all values of a bucket: `median`, `percentile`, `top`, `bottom`,
//! `integral`. Memory grows with the values and is charged as it does.

use std::any::Any;
use std::cmp::Ordering;

use super::super::vector::{Data, Vector};
use super::{Accumulator, Finished, Number, Slice, Spot, present, same};
use crate::error::Result;
use crate::plan::Function;

/// All values per bucket.
pub struct Collect<T> {
    function: Function,
    /// Whether `spots` are kept beside the values.
    with_spots: bool,
    buckets: Vec<Kept<T>>,
    held: usize,
}

#[derive(Debug, Clone)]
struct Kept<T> {
    values: Vec<T>,
    spots: Vec<Spot>,
    /// Values of series that are finished (for `top` and `bottom`).
    settled: usize,
}

/// Orders two values that compete, each with where it was found.
type Rank<T> = fn(&(T, Spot), &(T, Spot)) -> Ordering;

impl<T: Number> Collect<T> {
    pub fn new(buckets: usize, function: Function, spots: bool) -> Self {
        let with_spots = spots || !matches!(function, Function::Median | Function::Percentile(_));
        let kept = Kept { values: Vec::new(), spots: Vec::new(), settled: 0 };
        Collect { function, with_spots, buckets: vec![kept; buckets], held: 0 }
    }

    /// For `top` and `bottom`: which of two comes first in the answer.
    fn rank(&self) -> Option<(u64, Rank<T>)> {
        fn top<T: Number>(a: &(T, Spot), b: &(T, Spot)) -> Ordering {
            let nan = a.0.is_nan().cmp(&b.0.is_nan());
            nan.then(order(b.0, a.0)).then(a.1.time.cmp(&b.1.time))
        }
        fn bottom<T: Number>(a: &(T, Spot), b: &(T, Spot)) -> Ordering {
            order(a.0, b.0).then(a.1.time.cmp(&b.1.time))
        }
        match self.function {
            Function::Top { count, .. } => Some((count, top::<T>)),
            Function::Bottom { count, .. } => Some((count, bottom::<T>)),
            _ => None,
        }
    }

    fn has_tags(&self) -> bool {
        match &self.function {
            Function::Top { tags, .. } | Function::Bottom { tags, .. } => !tags.is_empty(),
            _ => false,
        }
    }
}

/// Ascending; NaN after everything.
fn order<T: Number>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

impl<T: Number> Kept<T> {
    /// Keeps the best `count` values from `from` on.
    fn prune(&mut self, from: usize, count: usize, rank: Rank<T>) {
        let tail = self.values.drain(from..).zip(self.spots.drain(from..));
        let mut tail: Vec<(T, Spot)> = tail.collect();
        tail.sort_by(rank);
        tail.truncate(count);
        let (values, spots): (Vec<T>, Vec<Spot>) = tail.into_iter().unzip();
        self.values.extend(values);
        self.spots.extend(spots);
    }
}

impl<T: Number> Accumulator for Collect<T> {
    fn fold(&mut self, slice: &Slice<'_>) {
        let values = T::slice(slice.values);
        let rank = self.rank();
        let has_tags = self.has_tags();
        for segment in slice.segments {
            let kept = &mut self.buckets[segment.bucket];
            let before = kept.values.len();
            kept.values.extend_from_slice(&values[segment.start..segment.end]);
            if self.with_spots {
                let times = slice.timestamps[segment.start..segment.end].iter();
                kept.spots.extend(times.map(|time| Spot { time: *time, series: slice.series }));
            }
            if let Some((count, rank)) = rank {
                let (from, count) = if has_tags { (kept.settled, 1) } else { (0, count as usize) };
                if kept.values.len() - from > count.saturating_mul(2).max(1024) {
                    kept.prune(from, count, rank);
                }
            }
            let each = size_of::<T>() + if self.with_spots { size_of::<Spot>() } else { 0 };
            self.held = (self.held + kept.values.len() * each).saturating_sub(before * each);
        }
    }

    fn end_series(&mut self) {
        let Some((_, rank)) = self.rank().filter(|_| self.has_tags()) else { return };
        for kept in &mut self.buckets {
            kept.prune(kept.settled, 1, rank);
            kept.settled = kept.values.len();
        }
    }

    fn merge(&mut self, other: Box<dyn Any>, _: &[u64], _: &[u64]) {
        let other = same::<Self>(other);
        self.held += other.held;
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            mine.values.extend(theirs.values);
            mine.spots.extend(theirs.spots);
            mine.settled = mine.values.len();
        }
    }

    fn finish(mut self: Box<Self>, counts: &[u64]) -> Result<Finished> {
        match self.function {
            Function::Median => Ok(medians(self.buckets, counts)),
            Function::Percentile(percent) => {
                Ok(percentiles(self.buckets, percent, self.with_spots))
            }
            Function::Integral { unit_ns } => Ok(integrals(self.buckets, unit_ns, counts)),
            _ => {
                // With tags the choice among their combinations is made by who knows the tags.
                if let Some((count, rank)) = self.rank().filter(|_| !self.has_tags()) {
                    self.buckets.iter_mut().for_each(|kept| kept.prune(0, count as usize, rank));
                }
                Ok(rows(self.buckets))
            }
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn memory_bytes(&self) -> usize {
        self.held
    }
}

/// Middle value, or the mean of both middle ones.
fn medians<T: Number>(buckets: Vec<Kept<T>>, counts: &[u64]) -> Finished {
    let middle = |mut kept: Kept<T>| {
        let (len, values) = (kept.values.len(), &mut kept.values);
        if len == 0 {
            return 0.0;
        }
        let (below, upper, _) = values.select_nth_unstable_by(len / 2, |a, b| order(*a, *b));
        let upper = upper.to_f64();
        if len % 2 == 1 {
            return upper;
        }
        let lower = below.iter().copied().max_by(|a, b| order(*a, *b)).map_or(upper, T::to_f64);
        lower + (upper - lower) / 2.0
    };
    let data = Data::Float(buckets.into_iter().map(middle).collect());
    Finished::Buckets { values: Vector { data, validity: present(counts) }, spots: None }
}

/// The value whose rank is nearest to `percent` of their number, halves up; below the first rank
/// there is none.
fn percentiles<T: Number>(buckets: Vec<Kept<T>>, percent: f64, with_spots: bool) -> Finished {
    let (mut values, mut spots, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for kept in buckets {
        let rank = (kept.values.len() as f64 * percent / 100.0 + 0.5).floor() - 1.0;
        let chosen = if rank >= 0.0 && (rank as usize) < kept.values.len() {
            let mut order_of: Vec<u32> = (0..kept.values.len() as u32).collect();
            let compare = |a: &u32, b: &u32| {
                let (a, b) = (*a as usize, *b as usize);
                let times =
                    kept.spots.get(a).map(|s| s.time).cmp(&kept.spots.get(b).map(|s| s.time));
                order(kept.values[a], kept.values[b]).then(times).then(a.cmp(&b))
            };
            let (_, row, _) = order_of.select_nth_unstable_by(rank as usize, compare);
            Some(*row as usize)
        } else {
            None
        };
        values.push(chosen.map_or(T::LOWEST, |row| kept.values[row]));
        found.push(u64::from(chosen.is_some()));
        let spot = chosen.and_then(|row| kept.spots.get(row));
        spots.push(spot.copied().unwrap_or_default());
    }
    let values = Vector { data: T::data(values), validity: present(&found) };
    Finished::Buckets { values, spots: with_spots.then_some(spots) }
}

/// Trapezoids between neighbouring points of a bucket, in units of `unit_ns`.
fn integrals<T: Number>(buckets: Vec<Kept<T>>, unit_ns: i64, counts: &[u64]) -> Finished {
    let area = |kept: Kept<T>| {
        let mut points: Vec<(i64, f64)> =
            kept.spots.iter().zip(&kept.values).map(|(s, v)| (s.time, v.to_f64())).collect();
        points.sort_by_key(|(time, _)| *time);
        let trapezoid = |w: &[(i64, f64)]| {
            (w[0].1 + w[1].1) / 2.0 * (w[1].0 as f64 - w[0].0 as f64) / unit_ns as f64
        };
        points.windows(2).map(trapezoid).fold(0.0, |sum, area| sum + area)
    };
    let data = Data::Float(buckets.into_iter().map(area).collect());
    Finished::Buckets { values: Vector { data, validity: present(counts) }, spots: None }
}

/// What was kept, in order of time.
fn rows<T: Number>(kept: Vec<Kept<T>>) -> Finished {
    let (mut buckets, mut values, mut spots) = (Vec::new(), Vec::new(), Vec::new());
    for (bucket, kept) in kept.into_iter().enumerate() {
        let mut rows: Vec<(T, Spot)> = kept.values.into_iter().zip(kept.spots).collect();
        rows.sort_by_key(|(_, spot)| spot.time);
        for (value, spot) in rows {
            buckets.push(bucket);
            values.push(value);
            spots.push(spot);
        }
    }
    Finished::Rows { buckets, values: Vector::full(T::data(values)), spots }
}
