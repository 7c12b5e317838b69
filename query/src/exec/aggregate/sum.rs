//! Counts, sums, means, standard deviations.

use std::any::Any;
use std::marker::PhantomData;

use firndb_tsdb::chunk::Stats;
use firndb_tsdb::rollup::column::Part;

use super::super::kernels::FloatSum;
use super::super::vector::{Data, Vector};
use super::{Accumulator, BucketSlice, Finished, Number, Slice, overflow, present, same};
use crate::error::Result;

/// `count`: the field's counts are the answer.
pub struct Count;

impl Accumulator for Count {
    fn fold(&mut self, _: &Slice<'_>) {}
    fn fold_buckets(&mut self, _: &BucketSlice<'_>) {}
    fn takes_stats(&self, _: usize, _: &Stats, _: &[u64]) -> bool {
        true
    }
    fn merge(&mut self, _: Box<dyn Any>, _: &[u64], _: &[u64]) {}
    fn finish(self: Box<Self>, counts: &[u64]) -> Result<Finished> {
        let values = counts.iter().map(|count| *count as i64).collect();
        let values = Vector { data: Data::Integer(values), validity: present(counts) };
        Ok(Finished::Buckets { values, spots: None })
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// `sum` and `mean`. Integers are summed exactly. Floats are summed per series as [`FloatSum`]
/// says, series of a block in order, blocks in order.
pub struct Sum<T> {
    mean: bool,
    sums: Sums,
    /// Bucket that `running` belongs to.
    open: usize,
    running: FloatSum,
    values: PhantomData<T>,
}

enum Sums {
    Exact(Vec<i128>),
    Float(Vec<f64>),
}

impl<T: Number> Sum<T> {
    pub fn new(buckets: usize, mean: bool) -> Self {
        let sums = match T::sum(&[]) {
            Some(_) => Sums::Exact(vec![0; buckets]),
            None => Sums::Float(vec![0.0; buckets]),
        };
        Sum { mean, sums, open: 0, running: FloatSum::default(), values: PhantomData }
    }

    fn fold_floats(&mut self, slice: &Slice<'_>) {
        let Sums::Float(sums) = &mut self.sums else { return };
        let values = f64::slice(slice.values);
        for segment in slice.segments {
            if segment.bucket != self.open {
                sums[self.open] += self.running.take();
                self.open = segment.bucket;
            }
            self.running.add(&values[segment.start..segment.end]);
        }
    }
}

impl<T: Number> Accumulator for Sum<T> {
    fn fold(&mut self, slice: &Slice<'_>) {
        let Sums::Exact(sums) = &mut self.sums else { return self.fold_floats(slice) };
        let values = T::slice(slice.values);
        for segment in slice.segments {
            let sum = T::sum(&values[segment.start..segment.end]);
            sums[segment.bucket] += sum.expect("exact sums are made for types that have one");
        }
    }

    /// Sums of buckets one by one in the order of time, whatever the pieces they came in.
    fn fold_buckets(&mut self, slice: &BucketSlice<'_>) {
        match &mut self.sums {
            Sums::Float(sums) => {
                let values = f64::slice(slice.parts.get(Part::Sum));
                for segment in slice.segments {
                    let sum = &mut sums[segment.bucket];
                    values[segment.start..segment.end].iter().for_each(|value| *sum += value);
                }
            }
            Sums::Exact(sums) => {
                let values = T::slice(slice.parts.get(Part::Sum));
                for segment in slice.segments {
                    let rows = segment.start..segment.end;
                    let sum = rows.map(|row| slice.parts.sum(row, values[row])).sum::<i128>();
                    sums[segment.bucket] += sum;
                }
            }
        }
    }

    fn takes_stats(&self, _: usize, stats: &Stats, _: &[u64]) -> bool {
        matches!(self.sums, Sums::Exact(_)) && T::exact_sum(stats).is_some()
    }

    fn fold_stats(&mut self, bucket: usize, stats: &Stats, _: &[u64], _: u32) {
        if let (Sums::Exact(sums), Some(sum)) = (&mut self.sums, T::exact_sum(stats)) {
            sums[bucket] += sum;
        }
    }

    fn end_series(&mut self) {
        if let Sums::Float(sums) = &mut self.sums
            && let Some(sum) = sums.get_mut(self.open)
        {
            *sum += self.running.take();
        }
    }

    fn merge(&mut self, other: Box<dyn Any>, _: &[u64], _: &[u64]) {
        match (&mut self.sums, same::<Self>(other).sums) {
            (Sums::Exact(a), Sums::Exact(b)) => a.iter_mut().zip(b).for_each(|(a, b)| *a += b),
            (Sums::Float(a), Sums::Float(b)) => a.iter_mut().zip(b).for_each(|(a, b)| *a += b),
            _ => unreachable!("both sides are of one type"),
        }
    }

    fn finish(self: Box<Self>, counts: &[u64]) -> Result<Finished> {
        let mean = |sum: f64, count: u64| sum / count.max(1) as f64;
        let data = match (self.sums, self.mean) {
            (Sums::Float(sums), false) => Data::Float(sums),
            (Sums::Float(sums), true) => {
                Data::Float(sums.into_iter().zip(counts).map(|(s, n)| mean(s, *n)).collect())
            }
            (Sums::Exact(sums), true) => {
                Data::Float(sums.into_iter().zip(counts).map(|(s, n)| mean(s as f64, *n)).collect())
            }
            (Sums::Exact(sums), false) => {
                let fit: Option<Vec<T>> = sums.into_iter().map(T::from_sum).collect();
                T::data(fit.ok_or_else(|| overflow("the sum"))?)
            }
        };
        let values = Vector { data, validity: present(counts) };
        Ok(Finished::Buckets { values, spots: None })
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// `stddev`: count, mean and sum of squared distances, updated value by value (Welford) and
/// merged block by block (Chan), neither of which cancels as a sum of squares does.
pub struct Moments<T> {
    buckets: Vec<Moment>,
    values: PhantomData<T>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    count: f64,
    mean: f64,
    squares: f64,
}

impl<T: Number> Moments<T> {
    pub fn new(buckets: usize) -> Self {
        Moments { buckets: vec![Moment::default(); buckets], values: PhantomData }
    }
}

impl<T: Number> Accumulator for Moments<T> {
    fn fold(&mut self, slice: &Slice<'_>) {
        let values = T::slice(slice.values);
        for segment in slice.segments {
            let moment = &mut self.buckets[segment.bucket];
            for value in &values[segment.start..segment.end] {
                let value = value.to_f64();
                moment.count += 1.0;
                let before = value - moment.mean;
                moment.mean += before / moment.count;
                moment.squares += before * (value - moment.mean);
            }
        }
    }

    fn merge(&mut self, other: Box<dyn Any>, _: &[u64], _: &[u64]) {
        for (a, b) in self.buckets.iter_mut().zip(same::<Self>(other).buckets) {
            if b.count == 0.0 {
                continue;
            }
            let (count, apart) = (a.count + b.count, b.mean - a.mean);
            a.mean += apart * b.count / count;
            a.squares += b.squares + apart * apart * a.count * b.count / count;
            a.count = count;
        }
    }

    fn finish(self: Box<Self>, counts: &[u64]) -> Result<Finished> {
        let deviation = |m: &Moment| (m.squares / (m.count - 1.0)).sqrt();
        let at_least_two: Vec<u64> = counts.iter().map(|count| count.saturating_sub(1)).collect();
        let values = Vector {
            data: Data::Float(self.buckets.iter().map(deviation).collect()),
            validity: present(&at_least_two),
        };
        Ok(Finished::Buckets { values, spots: None })
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
