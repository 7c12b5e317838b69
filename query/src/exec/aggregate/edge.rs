//! Earliest and latest values; of several at one time the greatest.

use std::any::Any;
use std::cmp::Ordering;

use firndb_tsdb::chunk::{Stats, StatsValues};
use firndb_tsdb::model::{Timestamp, Values};
use firndb_tsdb::rollup::column::Part;

use super::super::vector::{TextBuilder, Vector};
use super::{Accumulator, BucketSlice, Finished, Number, Slice, Spot, present, same};
use crate::error::Result;

/// Whether a value at `time` takes the place of one at `held`, given how the two compare.
fn replaces(last: bool, time: Timestamp, held: Timestamp, order: impl Fn() -> Ordering) -> bool {
    match time.cmp(&held) {
        Ordering::Equal => order() == Ordering::Greater,
        Ordering::Less => !last,
        Ordering::Greater => last,
    }
}

/// The parts of a bucket that `first`, or `last`, reads: value and time.
fn parts(last: bool) -> (Part, Part) {
    if last { (Part::Last, Part::LastAt) } else { (Part::First, Part::FirstAt) }
}

/// `first`, or `last`.
pub struct Edge<T> {
    last: bool,
    values: Vec<T>,
    spots: Vec<Spot>,
}

impl<T: Number> Edge<T> {
    pub fn new(buckets: usize, last: bool) -> Self {
        Edge { last, values: vec![T::LOWEST; buckets], spots: vec![Spot::default(); buckets] }
    }

    fn offer(&mut self, bucket: usize, value: T, spot: Spot, is_first: bool) {
        let (held, at) = (self.values[bucket], self.spots[bucket].time);
        let order = || value.partial_cmp(&held).unwrap_or(Ordering::Equal);
        if is_first || replaces(self.last, spot.time, at, order) {
            self.values[bucket] = value;
            self.spots[bucket] = spot;
        }
    }
}

impl<T: Number> Accumulator for Edge<T> {
    fn fold(&mut self, slice: &Slice<'_>) {
        let values = T::slice(slice.values);
        for segment in slice.segments {
            let row = if self.last { segment.end - 1 } else { segment.start };
            let spot = Spot { time: slice.timestamps[row], series: slice.series };
            let is_first = slice.counts[segment.bucket] == 0;
            self.offer(segment.bucket, values[row], spot, is_first);
        }
    }

    fn fold_buckets(&mut self, slice: &BucketSlice<'_>) {
        let (value, at) = parts(self.last);
        let values = T::slice(slice.parts.get(value));
        for segment in slice.segments {
            let row = if self.last { segment.end - 1 } else { segment.start };
            let spot = Spot { time: slice.time(at, row), series: slice.series };
            let is_first = slice.counts[segment.bucket] == 0;
            self.offer(segment.bucket, values[row], spot, is_first);
        }
    }

    fn takes_stats(&self, _: usize, stats: &Stats, _: &[u64]) -> bool {
        T::stats(stats).is_some()
    }

    fn fold_stats(&mut self, bucket: usize, stats: &Stats, counts: &[u64], series: u32) {
        let Some([_, _, first, last]) = T::stats(stats) else { return };
        let (value, time) = match self.last {
            true => (last, stats.last_timestamp),
            false => (first, stats.first_timestamp),
        };
        self.offer(bucket, value, Spot { time, series }, counts[bucket] == 0);
    }

    fn merge(&mut self, other: Box<dyn Any>, counts: &[u64], other_counts: &[u64]) {
        let other = same::<Self>(other);
        for (bucket, value) in other.values.into_iter().enumerate() {
            if other_counts[bucket] > 0 {
                self.offer(bucket, value, other.spots[bucket], counts[bucket] == 0);
            }
        }
    }

    fn finish(self: Box<Self>, counts: &[u64]) -> Result<Finished> {
        let values = Vector { data: T::data(self.values), validity: present(counts) };
        Ok(Finished::Buckets { values, spots: Some(self.spots) })
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// [`Edge`] for text.
pub struct TextEdge {
    last: bool,
    held: usize,
    values: Vec<Box<[u8]>>,
    spots: Vec<Spot>,
}

impl TextEdge {
    pub fn new(buckets: usize, last: bool) -> Self {
        TextEdge {
            last,
            held: 0,
            values: vec![Box::default(); buckets],
            spots: vec![Spot::default(); buckets],
        }
    }

    fn offer(&mut self, bucket: usize, value: &[u8], spot: Spot, is_first: bool) {
        let order = || value.cmp(&self.values[bucket]);
        if is_first || replaces(self.last, spot.time, self.spots[bucket].time, order) {
            self.held = self.held + value.len() - self.values[bucket].len();
            self.values[bucket] = value.into();
            self.spots[bucket] = spot;
        }
    }
}

impl Accumulator for TextEdge {
    fn fold(&mut self, slice: &Slice<'_>) {
        let Values::String { offsets, bytes } = slice.values else { return };
        for segment in slice.segments {
            let row = if self.last { segment.end - 1 } else { segment.start };
            let value = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
            let spot = Spot { time: slice.timestamps[row], series: slice.series };
            self.offer(segment.bucket, value, spot, slice.counts[segment.bucket] == 0);
        }
    }

    fn fold_buckets(&mut self, slice: &BucketSlice<'_>) {
        let (value, at) = parts(self.last);
        let Values::String { offsets, bytes } = slice.parts.get(value) else { return };
        for segment in slice.segments {
            let row = if self.last { segment.end - 1 } else { segment.start };
            let value = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
            let spot = Spot { time: slice.time(at, row), series: slice.series };
            self.offer(segment.bucket, value, spot, slice.counts[segment.bucket] == 0);
        }
    }

    fn takes_stats(&self, _: usize, stats: &Stats, _: &[u64]) -> bool {
        matches!(stats.values, StatsValues::String { .. })
    }

    fn fold_stats(&mut self, bucket: usize, stats: &Stats, counts: &[u64], series: u32) {
        let StatsValues::String { first, last } = &stats.values else { return };
        let (value, time) = match self.last {
            true => (last, stats.last_timestamp),
            false => (first, stats.first_timestamp),
        };
        self.offer(bucket, value.as_bytes(), Spot { time, series }, counts[bucket] == 0);
    }

    fn merge(&mut self, other: Box<dyn Any>, counts: &[u64], other_counts: &[u64]) {
        let other = same::<Self>(other);
        for (bucket, value) in other.values.iter().enumerate() {
            if other_counts[bucket] > 0 {
                self.offer(bucket, value, other.spots[bucket], counts[bucket] == 0);
            }
        }
    }

    fn finish(self: Box<Self>, counts: &[u64]) -> Result<Finished> {
        let mut text = TextBuilder::default();
        self.values.iter().for_each(|value| text.push(value));
        let values = Vector { data: text.finish(), validity: present(counts) };
        Ok(Finished::Buckets { values, spots: Some(self.spots) })
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn memory_bytes(&self) -> usize {
        self.held
    }
}
