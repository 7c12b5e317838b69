//! The look-up of series by the text they were written as: a bounded cache before the index.
//!
//! Texts are not kept. A series is found by the XXH3-128 fingerprint of its text under a seed
//! drawn anew by each process: among a million series two meet with a chance of 10^-27, and
//! nobody outside knows the seed that would let them construct such a pair.
//!
//! Sharded by fingerprint. Each shard has a young and an old generation: what is found in the old
//! one moves to the young one, and when the young one is full, or the budget refuses it to grow,
//! the old one is forgotten and the young one takes its place. So what was not asked for during a
//! whole generation goes.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use firndb_engine::budget::{Budget, Reservation, Share};
use hashbrown::HashMap;
use parking_lot::RwLock;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::model::SeriesRef;

/// Shards: several times the threads that parse.
const SHARDS: usize = 32;

/// Bytes of an entry with its control byte; tables double, so up to twice that is held.
const ENTRY_BYTES: usize = size_of::<(u128, SeriesRef)>() + 1;

/// The look-up of series by their text.
#[derive(Debug)]
pub struct SeriesCache {
    seed: u64,
    shards: Vec<RwLock<Shard>>,
    generation_max: usize,
}

#[derive(Debug)]
struct Shard {
    young: Generation,
    old: Generation,
    held: Reservation,
}

type Generation = HashMap<u128, SeriesRef, BuildHasherDefault<Fingerprint>>;

/// The hash of a fingerprint is its low half.
#[derive(Debug, Default)]
struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only fingerprints are hashed")
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl SeriesCache {
    /// A cache of at most `bytes_max`, taken from `budget` as it grows.
    pub fn new(bytes_max: u64, budget: &Budget) -> Self {
        let shard = || Shard {
            young: Generation::default(),
            old: Generation::default(),
            held: budget.reserve_anyway(Share::Series, 0),
        };
        let entries = bytes_max as usize / (ENTRY_BYTES * 2);
        SeriesCache {
            seed: RandomState::new().build_hasher().finish(),
            shards: (0..SHARDS).map(|_| RwLock::new(shard())).collect(),
            generation_max: (entries / SHARDS / 2).max(8),
        }
    }

    fn place(&self, text: &[u8]) -> (u128, &RwLock<Shard>) {
        let fingerprint = xxh3_128_with_seed(text, self.seed);
        (fingerprint, &self.shards[(fingerprint >> 64) as usize % SHARDS])
    }

    /// The series written as `text`.
    pub fn get(&self, text: &[u8]) -> Option<SeriesRef> {
        let (fingerprint, shard) = self.place(text);
        let found = {
            let shard = shard.read();
            if let Some(found) = shard.young.get(&fingerprint) {
                return Some(*found);
            }
            shard.old.get(&fingerprint).copied()
        };
        if let Some(series) = found {
            self.insert_at(fingerprint, shard, series);
        }
        found
    }

    /// Remembers that `text` is `series`.
    pub fn insert(&self, text: &[u8], series: SeriesRef) {
        let (fingerprint, shard) = self.place(text);
        self.insert_at(fingerprint, shard, series);
    }

    fn insert_at(&self, fingerprint: u128, shard: &RwLock<Shard>, series: SeriesRef) {
        let mut shard = shard.write();
        let is_full = shard.young.len() >= self.generation_max;
        if is_full || shard.young.len() == shard.young.capacity() && !shard.try_double() {
            shard.old = std::mem::take(&mut shard.young);
            let bytes = shard.old.allocation_size() as u64;
            shard.held.resize_anyway(bytes);
            if !shard.try_double() {
                shard.old = Generation::default();
                shard.held.resize_anyway(0);
            }
        }
        shard.young.insert(fingerprint, series);
    }

    /// Forgets everything: series were dropped.
    pub fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.write();
            shard.young = Generation::default();
            shard.old = Generation::default();
            shard.held.resize_anyway(0);
        }
    }
}

impl Shard {
    /// Reserves what the young generation takes when it doubles.
    fn try_double(&mut self) -> bool {
        let grown = self.young.allocation_size().max(16 * ENTRY_BYTES);
        self.held.try_grow(grown as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MeasurementId, SeriesId};

    fn series(id: u32) -> SeriesRef {
        SeriesRef { series: SeriesId(id), measurement: MeasurementId(id / 10) }
    }

    fn text(id: u32) -> Vec<u8> {
        format!("cpu,host=host_{id}").into_bytes()
    }

    #[test]
    fn remembers_until_told_to_forget() {
        let budget = Budget::unlimited();
        let cache = SeriesCache::new(1 << 20, &budget);
        for id in 0..1000 {
            cache.insert(&text(id), series(id));
        }
        for id in 0..1000 {
            assert_eq!(cache.get(&text(id)), Some(series(id)));
        }
        assert_eq!(cache.get(b"cpu"), None);
        assert!(budget.held_bytes(Share::Series) > 1000 * ENTRY_BYTES as u64);
        cache.clear();
        assert_eq!(cache.get(&text(1)), None);
        drop(cache);
        assert_eq!(budget.held_bytes(Share::Series), 0);
    }

    #[test]
    fn is_bounded_and_keeps_what_is_asked_for() {
        let budget = Budget::unlimited();
        let bytes_max = 256 << 10;
        let cache = SeriesCache::new(bytes_max, &budget);
        for id in 0..50_000 {
            cache.insert(&text(id), series(id));
            assert_eq!(cache.get(&text(0)), Some(series(0)), "after {id}");
        }
        assert!(budget.held_bytes(Share::Series) <= 2 * bytes_max, "twice, as tables double");
        assert_eq!(cache.get(&text(49_999)), Some(series(49_999)));
    }

    #[test]
    fn lives_without_a_budget() {
        let budget = Budget::new(10_000);
        let cache = SeriesCache::new(1 << 20, &budget);
        for id in 0..10_000 {
            cache.insert(&text(id), series(id));
        }
        assert!(budget.total_bytes() <= 10_000 + (SHARDS * 64 * ENTRY_BYTES) as u64);
    }
}
