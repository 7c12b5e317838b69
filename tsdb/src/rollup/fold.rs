//! What values come to: rows of one series, in the order of time, into buckets of several levels.
//!
//! 1. Rows are cut where buckets of the finest level end; each part of a column is added to what
//!    is open of that bucket.
//! 2. When the next bucket begins, the open one is given out and added to the bucket of the next
//!    coarser level around it, and so on upwards.
//!
//! So rows are looked at once, whatever the number of levels is, and a coarse bucket is what its
//! finer ones come to: exactly so for all but sums of floats, which are equal up to rounding.
//!
//! Minimum and maximum compare as the statistics of chunks do: the first of equals stays.

use std::ops::Range;

use super::span;
use crate::model::{Column, Columns, Timestamp, Values};

/// What some values of a field come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    pub count: u64,
    /// Time of the first value.
    pub first_at: Timestamp,
    /// Time of the last value.
    pub last_at: Timestamp,
    pub values: FoldedValues,
}

/// By type.
#[derive(Debug, Clone, PartialEq)]
pub enum FoldedValues {
    Float(Numbers<f64, f64>),
    Integer(Numbers<i64, i128>),
    Unsigned(Numbers<u64, u128>),
    Boolean { trues: u64, first: bool, last: bool },
    String { first: Box<str>, last: Box<str> },
}

/// What numbers come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Numbers<T, S> {
    pub sum: S,
    pub min: T,
    pub max: T,
    pub first: T,
    pub last: T,
}

/// A number, and how it is added up.
pub trait Number: Copy + PartialOrd {
    /// What many of them come to, exactly where that is possible.
    type Sum: Copy + std::ops::Add<Output = Self::Sum> + Default;
    /// As a sum of one.
    fn widen(self) -> Self::Sum;
}

impl Number for f64 {
    type Sum = f64;
    fn widen(self) -> f64 {
        self
    }
}

impl Number for i64 {
    type Sum = i128;
    fn widen(self) -> i128 {
        i128::from(self)
    }
}

impl Number for u64 {
    type Sum = u128;
    fn widen(self) -> u128 {
        u128::from(self)
    }
}

impl<T: Number<Sum = S>, S: Copy + std::ops::Add<Output = S> + Default> Numbers<T, S> {
    /// Adds `values`, at least one, to what was there.
    fn add(before: Option<Self>, values: impl Iterator<Item = T>) -> Option<Self> {
        let mut values = values.peekable();
        let first = *values.peek()?;
        let start = Numbers { sum: S::default(), min: first, max: first, first, last: first };
        let mut all = before.unwrap_or(start);
        for value in values {
            all.min = if value < all.min { value } else { all.min };
            all.max = if value > all.max { value } else { all.max };
            all.sum = all.sum + value.widen();
            all.last = value;
        }
        Some(all)
    }

    fn merge(&mut self, later: &Self) {
        self.min = if later.min < self.min { later.min } else { self.min };
        self.max = if later.max > self.max { later.max } else { self.max };
        self.sum = self.sum + later.sum;
        self.last = later.last;
    }
}

impl FoldedValues {
    fn merge(&mut self, later: &FoldedValues) {
        use FoldedValues::*;
        match (self, later) {
            (Float(all), Float(later)) => all.merge(later),
            (Integer(all), Integer(later)) => all.merge(later),
            (Unsigned(all), Unsigned(later)) => all.merge(later),
            (Boolean { trues, last, .. }, Boolean { trues: more, last: later, .. }) => {
                *trues += more;
                *last = *later;
            }
            (String { last, .. }, String { last: later, .. }) => last.clone_from(later),
            _ => unreachable!("a field has one type"),
        }
    }
}

/// Adds the values in `rows` of a column to what its bucket holds so far.
fn add(open: &mut Option<Folded>, column: &Column, timestamps: &[Timestamp], rows: Range<usize>) {
    let is_valid = |row: &usize| column.is_valid(*row);
    let (Some(first), Some(last)) =
        (rows.clone().find(is_valid), rows.clone().rev().find(is_valid))
    else {
        return;
    };
    let count = match &column.validity {
        None => rows.len(),
        Some(bitmap) => bitmap.count_before(rows.end) - bitmap.count_before(rows.start),
    };
    let before = open.take();
    let (count_before, first_at) =
        before.as_ref().map_or((0, timestamps[first]), |f| (f.count, f.first_at));
    let before = before.map(|folded| folded.values);
    let values = match (&column.values, &column.validity) {
        (Values::Float(all), None) => float(before, all[rows].iter().copied()),
        (Values::Float(all), _) => float(before, rows.filter(is_valid).map(|row| all[row])),
        (Values::Integer(all), None) => integer(before, all[rows].iter().copied()),
        (Values::Integer(all), _) => integer(before, rows.filter(is_valid).map(|row| all[row])),
        (Values::Unsigned(all), _) => unsigned(before, rows.filter(is_valid).map(|row| all[row])),
        (Values::Boolean(all), _) => {
            let trues = rows.filter(|row| is_valid(row) && all[*row]).count() as u64;
            let (trues_before, first) = match before {
                Some(FoldedValues::Boolean { trues, first, .. }) => (trues, first),
                _ => (0, all[first]),
            };
            Some(FoldedValues::Boolean { trues: trues + trues_before, first, last: all[last] })
        }
        (Values::String { offsets, bytes }, _) => {
            let text = |row: usize| {
                let bytes = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
                Box::from(std::str::from_utf8(bytes).expect("strings are checked when written"))
            };
            let first = match before {
                Some(FoldedValues::String { first, .. }) => first,
                _ => text(first),
            };
            Some(FoldedValues::String { first, last: text(last) })
        }
        (Values::Missing(_), _) => None,
    };
    let count = count_before + count as u64;
    *open = values.map(|values| Folded { count, first_at, last_at: timestamps[last], values });
}

fn float(before: Option<FoldedValues>, values: impl Iterator<Item = f64>) -> Option<FoldedValues> {
    let before = match before {
        Some(FoldedValues::Float(numbers)) => Some(numbers),
        _ => None,
    };
    Numbers::add(before, values).map(FoldedValues::Float)
}

fn integer(
    before: Option<FoldedValues>,
    values: impl Iterator<Item = i64>,
) -> Option<FoldedValues> {
    let before = match before {
        Some(FoldedValues::Integer(numbers)) => Some(numbers),
        _ => None,
    };
    Numbers::add(before, values).map(FoldedValues::Integer)
}

fn unsigned(
    before: Option<FoldedValues>,
    values: impl Iterator<Item = u64>,
) -> Option<FoldedValues> {
    let before = match before {
        Some(FoldedValues::Unsigned(numbers)) => Some(numbers),
        _ => None,
    };
    Numbers::add(before, values).map(FoldedValues::Unsigned)
}

/// Takes finished buckets: number of the level, start, a value per field.
pub trait BucketSink {
    /// A bucket with at least one value.
    fn bucket(&mut self, level: usize, start: Timestamp, fields: &[Option<Folded>]);
}

/// The buckets of one series that are open, one per level.
#[derive(Debug)]
pub struct SeriesFold<'l> {
    /// Lengths of the buckets, finest first, each a multiple of the one before.
    every_ns: &'l [i64],
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    start: Timestamp,
    fields: Vec<Option<Folded>>,
    is_used: bool,
}

impl<'l> SeriesFold<'l> {
    /// Nothing yet of `fields` fields.
    pub fn new(every_ns: &'l [i64], fields: usize) -> Self {
        let open = |_: &i64| Open { start: 0, fields: vec![None; fields], is_used: false };
        SeriesFold { every_ns, open: every_ns.iter().map(open).collect() }
    }

    /// Adds rows that come after those before.
    pub fn push(&mut self, columns: &Columns, sink: &mut impl BucketSink) {
        let timestamps = &columns.timestamps[..];
        let mut at = 0;
        while let Some(first) = timestamps.get(at) {
            let start = span::floor(*first, self.every_ns[0]);
            let last = start.saturating_add(self.every_ns[0] - 1);
            let end = at + timestamps[at..].partition_point(|timestamp| *timestamp <= last);
            self.enter(0, start, sink);
            for (open, column) in self.open[0].fields.iter_mut().zip(&columns.columns) {
                add(open, column, timestamps, at..end);
            }
            at = end;
        }
    }

    /// Gives out what is open.
    pub fn finish(&mut self, sink: &mut impl BucketSink) {
        for level in 0..self.open.len() {
            self.close(level, sink);
        }
    }

    /// Makes the bucket at `start` the open one of a level.
    fn enter(&mut self, level: usize, start: Timestamp, sink: &mut impl BucketSink) {
        if self.open[level].is_used && self.open[level].start != start {
            self.close(level, sink);
        }
        self.open[level].start = start;
        self.open[level].is_used = true;
    }

    fn close(&mut self, level: usize, sink: &mut impl BucketSink) {
        if !self.open[level].is_used {
            return;
        }
        let start = self.open[level].start;
        if self.open[level].fields.iter().any(Option::is_some) {
            sink.bucket(level, start, &self.open[level].fields);
        }
        if let Some(every_ns) = self.every_ns.get(level + 1) {
            self.enter(level + 1, span::floor(start, *every_ns), sink);
            let (finer, coarser) = self.open.split_at_mut(level + 1);
            for (from, into) in finer[level].fields.iter_mut().zip(&mut coarser[0].fields) {
                match (from.take(), into) {
                    (None, _) => {}
                    (Some(later), Some(all)) => {
                        all.count += later.count;
                        all.last_at = later.last_at;
                        all.values.merge(&later.values);
                    }
                    (later, into) => *into = later,
                }
            }
        }
        self.open[level].fields.fill(None);
        self.open[level].is_used = false;
    }
}

#[cfg(test)]
mod tests;
