//! How often each value occurs, and where first: `mode`, `distinct`, `count(distinct)`.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::HashMap;

use super::super::vector::{Data, Vector};
use super::number::Key;
use super::{Accumulator, Finished, Slice, Spot, present, same};
use crate::error::Result;
use crate::plan::Function;

/// Different values per bucket.
pub struct Tally<K> {
    answer: Answer,
    buckets: Vec<HashMap<K, Seen>>,
    heap_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Mode,
    Distinct,
    Count,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    times: u64,
    first: Spot,
}

impl<K: Key> Tally<K> {
    pub fn new(buckets: usize, function: &Function) -> Self {
        let answer = match function {
            Function::Mode => Answer::Mode,
            Function::Distinct => Answer::Distinct,
            Function::CountDistinct => Answer::Count,
            other => panic!("{other:?} is not a tally"),
        };
        Tally { answer, buckets: (0..buckets).map(|_| HashMap::new()).collect(), heap_bytes: 0 }
    }

    fn offer(&mut self, bucket: usize, key: &K, times: u64, first: Spot) {
        match self.buckets[bucket].get_mut(key) {
            Some(seen) => {
                seen.times += times;
                if first.time < seen.first.time {
                    seen.first = first;
                }
            }
            None => {
                self.heap_bytes += size_of::<(K, Seen)>() * 2 + key.heap_bytes();
                self.buckets[bucket].insert(key.clone(), Seen { times, first });
            }
        }
    }
}

impl<K: Key> Accumulator for Tally<K> {
    fn fold(&mut self, slice: &Slice<'_>) {
        let mut segments = slice.segments.iter().peekable();
        K::each(slice.values, |row, key| {
            while segments.peek().is_some_and(|segment| segment.end <= row) {
                segments.next();
            }
            if let Some(segment) = segments.peek() {
                let spot = Spot { time: slice.timestamps[row], series: slice.series };
                self.offer(segment.bucket, key, 1, spot);
            }
        });
    }

    fn merge(&mut self, other: Box<dyn Any>, _: &[u64], _: &[u64]) {
        for (bucket, seen) in same::<Self>(other).buckets.into_iter().enumerate() {
            for (key, seen) in seen {
                self.offer(bucket, &key, seen.times, seen.first);
            }
        }
    }

    fn finish(self: Box<Self>, counts: &[u64]) -> Result<Finished> {
        match self.answer {
            Answer::Count => {
                let values = self.buckets.iter().map(|seen| seen.len() as i64).collect();
                let values = Vector { data: Data::Integer(values), validity: present(counts) };
                Ok(Finished::Buckets { values, spots: None })
            }
            Answer::Mode => {
                let best = self.buckets.iter().map(|seen| {
                    let rank = |(key, seen): &(&K, &Seen)| {
                        (seen.times, Reverse(seen.first.time), Reverse((*key).clone()))
                    };
                    seen.iter().max_by_key(rank).map(|(key, _)| key.clone())
                });
                let keys: Vec<Option<K>> = best.collect();
                let some = keys.iter().flatten().next().cloned();
                let filled = |key: Option<K>| key.or_else(|| some.clone());
                let data = match keys.iter().cloned().map(filled).collect::<Option<Vec<K>>>() {
                    Some(keys) => K::data(keys),
                    None => K::data(Vec::new()).defaults(counts.len()),
                };
                let values = Vector { data, validity: present(counts) };
                Ok(Finished::Buckets { values, spots: None })
            }
            Answer::Distinct => {
                let (mut buckets, mut keys, mut spots) = (Vec::new(), Vec::new(), Vec::new());
                for (bucket, seen) in self.buckets.into_iter().enumerate() {
                    let mut seen: Vec<(K, Seen)> = seen.into_iter().collect();
                    seen.sort_unstable_by(|(a, x), (b, y)| {
                        (x.first.time, a).cmp(&(y.first.time, b))
                    });
                    for (key, seen) in seen {
                        buckets.push(bucket);
                        keys.push(key);
                        spots.push(seen.first);
                    }
                }
                Ok(Finished::Rows { buckets, values: Vector::full(K::data(keys)), spots })
            }
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn memory_bytes(&self) -> usize {
        self.heap_bytes
    }
}
