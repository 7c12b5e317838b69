//! The same writes into this store and into redb, an engine of other hands and another kind (a
//! copy-on-write B-tree): keys and ranges read from both must be equal, now and at snapshots.
//!
//! Only what both can do is compared: puts, deletes, atomic batches, gets, ranges both ways with
//! bounds and limits, snapshots. What redb cannot do is compared with maps, see `history`.

#![expect(clippy::unwrap_used, reason = "a test, also outside its #[test]")]

use std::ops::Bound;

use firndb_engine::batch::WriteBatch;
use firndb_engine::fs::sim::Rng;
use firndb_engine::key::KeyspaceId;
use firndb_engine::options::{Durability, KeyspaceOptions, Options};
use firndb_engine::scan::bounds::Bounds;
use firndb_engine::snapshot::Snapshot;
use firndb_engine::store::{CompactOptions, ScanOptions, Store, WriteOptions};
use redb::backends::InMemoryBackend;
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use crate::history::{self, pick, random_policy};
use crate::proof;

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("kv");
const STEPS: u64 = 2_000;
const SNAPSHOTS_MAX: usize = 4;
/// Pairs taken from a range at the most.
const LIMIT_MAX: u64 = 60;

type Theirs = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Guard<'a> = redb::AccessGuard<'a, &'static [u8]>;
type TheirPair<'a> = Result<(Guard<'a>, Guard<'a>), redb::StorageError>;

struct Both {
    seed: u64,
    rng: Rng,
    keys: u64,
    options: Options,
    store: Store,
    keyspace: KeyspaceId,
    redb: Database,
    snapshots: Vec<(Snapshot, Theirs)>,
    operations: u64,
}

/// Options of their own for every seed.
fn options(rng: &mut Rng, seed: u64) -> Options {
    let mut options = history::options(seed);
    options.background = firndb_engine::options::Background::Inline;
    options.durability = Durability::Os;
    options.memtable_bytes_max = pick(rng, &[8 << 10, 64 << 10, 512 << 10]);
    options.wal_segment_bytes = 256 << 10;
    options.block_bytes = pick(rng, &[128, 1024, 4096]);
    options.restart_interval = pick(rng, &[1, 8, 16]);
    options.filter_bits_per_key = pick(rng, &[0, 10]);
    options.cache_bytes = pick(rng, &[0, 64 << 10, 8 << 20]);
    options.table_bytes_max = pick(rng, &[8 << 10, 128 << 10]);
    options.policy = random_policy(rng);
    options
}

impl Both {
    fn new(seed: u64) -> Both {
        let mut rng = Rng::new(seed);
        let options = options(&mut rng, seed);
        let keys = pick(&mut rng, &[50, 1_000, 20_000]);
        let store = Store::open(options.clone()).unwrap();
        let keyspace = store.create_keyspace("kv/both", KeyspaceOptions::default()).unwrap().id;
        let redb = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let first = redb.begin_write().unwrap();
        drop(first.open_table(TABLE).unwrap());
        first.commit().unwrap();
        let (snapshots, operations) = (Vec::new(), 0);
        Both { seed, rng, keys, options, store, keyspace, redb, snapshots, operations }
    }

    fn key(&mut self) -> Vec<u8> {
        let number = self.rng.below(self.keys);
        match number % 3 {
            0 => format!("user/{:05}/name", number / 3).into_bytes(),
            1 => number.to_be_bytes()[5..].to_vec(),
            _ => [&b"user/"[..], &number.to_le_bytes()[..3]].concat(),
        }
    }

    fn write(&mut self) {
        let count_max = if self.rng.one_in(4) { 200 } else { 12 };
        let count = 1 + self.rng.below(count_max);
        let mut batch = WriteBatch::new();
        let transaction = self.redb.begin_write().unwrap();
        let mut table = transaction.open_table(TABLE).unwrap();
        for _ in 0..count {
            let key = self.key();
            if self.rng.one_in(4) {
                batch.delete(self.keyspace, &key);
                table.remove(&*key).unwrap();
            } else {
                let value = vec![self.rng.next_u64() as u8; self.rng.below(100) as usize];
                batch.put(self.keyspace, &key, &value);
                table.insert(&*key, &*value).unwrap();
            }
        }
        drop(table);
        transaction.commit().unwrap();
        let _ = self.store.write(&batch, WriteOptions::default()).unwrap();
        self.operations += count;
    }

    /// What to read: of a snapshot or of now.
    fn some_moment(&mut self) -> Option<usize> {
        let moment = self.rng.below(2 * self.snapshots.len() as u64 + 1) as usize;
        (moment < self.snapshots.len()).then_some(moment)
    }

    /// Reads both at one moment.
    fn read<T>(
        &self,
        moment: Option<usize>,
        read: impl FnOnce(&Both, Option<&Snapshot>, &Theirs) -> T,
    ) -> T {
        match moment {
            Some(at) => read(self, Some(&self.snapshots[at].0), &self.snapshots[at].1),
            None => read(self, None, &self.now()),
        }
    }

    fn now(&self) -> Theirs {
        self.redb.begin_read().unwrap().open_table(TABLE).unwrap()
    }

    fn get(&mut self) {
        let moment = self.some_moment();
        let keys: Vec<_> = (0..20).map(|_| self.key()).collect();
        self.read(moment, |both, snapshot, theirs| {
            for key in &keys {
                let ours = both.store.get(both.keyspace, key, snapshot).unwrap();
                let other = theirs.get(&**key).unwrap();
                let other = other.as_ref().map(|value| value.value());
                assert_eq!(ours.as_deref(), other, "seed {}: {key:?} at {snapshot:?}", both.seed);
            }
        });
        self.operations += keys.len() as u64;
    }

    fn range(&mut self) {
        let moment = self.some_moment();
        let (mut lower, mut upper) = (self.key(), self.key());
        if lower > upper {
            std::mem::swap(&mut lower, &mut upper);
        }
        let bounds = match self.rng.below(4) {
            0 => (Bound::Included(&*lower), Bound::Unbounded),
            1 => (Bound::Unbounded, Bound::Excluded(&*upper)),
            2 => (Bound::Included(&*lower), Bound::Excluded(&*upper)),
            _ => (Bound::Included(&*lower), Bound::Included(&*upper)),
        };
        let limit = 1 + self.rng.below(LIMIT_MAX) as usize;
        let reverse = self.rng.one_in(2);
        let count = self.read(moment, |both, snapshot, theirs| {
            let wanted = Bounds::new(bounds.0, bounds.1);
            let options = ScanOptions { bounds: wanted, reverse, snapshot, ..Default::default() };
            let ours = both.store.scan(both.keyspace, options).unwrap().take(limit);
            let ours: Vec<_> = ours
                .map(|pair| pair.map(|(key, value)| (key, value.into_vec())).unwrap())
                .collect();
            let range = theirs.range::<&[u8]>(bounds).unwrap();
            let owned = |pair: TheirPair<'_>| {
                let (key, value) = pair.unwrap();
                (key.value().to_vec(), value.value().to_vec())
            };
            let other: Vec<(Vec<u8>, Vec<u8>)> = if reverse {
                range.rev().take(limit).map(owned).collect()
            } else {
                range.take(limit).map(owned).collect()
            };
            assert!(ours == other, "seed {}: {bounds:?} reverse {reverse} of {limit}", both.seed);
            ours.len() as u64
        });
        self.operations += count;
    }

    fn step(&mut self) {
        match self.rng.below(200) {
            0 => self.reopen(),
            1 | 2 => self.store.flush(None).unwrap(),
            3 => self.store.compact(None, CompactOptions::default(), &|| false).unwrap(),
            4 => {
                let policy = random_policy(&mut self.rng);
                self.store.set_policy(self.keyspace, policy).unwrap();
            }
            5..10 => {
                let pair = (self.store.snapshot(), self.now());
                self.snapshots.push(pair);
                if self.snapshots.len() > SNAPSHOTS_MAX {
                    let which = self.rng.below(SNAPSHOTS_MAX as u64) as usize;
                    self.snapshots.swap_remove(which);
                }
            }
            10..60 => self.write(),
            60..110 => self.range(),
            _ => self.get(),
        }
    }

    fn reopen(&mut self) {
        self.snapshots.clear();
        self.store.close().unwrap();
        self.store = Store::open(self.options.clone()).unwrap();
    }

    /// All pairs of both.
    fn compare_everything(&self) {
        let ours = self.store.scan(self.keyspace, ScanOptions::default()).unwrap();
        let ours = ours.map(|pair| pair.map(|(key, value)| (key, value.into_vec())).unwrap());
        let theirs = self.now();
        let theirs = theirs.iter().unwrap().map(|pair| {
            let (key, value) = pair.unwrap();
            (key.value().to_vec(), value.value().to_vec())
        });
        assert!(ours.eq(theirs), "seed {}: at the end", self.seed);
    }
}

fn agree(proof: &str, first: u64, count: u64, gate_min: u64) {
    let mut operations = 0;
    for seed in proof::seeds(proof, first, count) {
        let mut both = Both::new(seed);
        for _ in 0..STEPS {
            both.step();
        }
        both.compare_everything();
        operations += both.operations;
    }
    proof::looked(proof, operations, gate_min);
}

#[test]
fn answers_are_those_of_redb() {
    agree("operations against redb", 0, 14, 500_000);
}

#[test]
fn answers_to_other_histories_are_those_of_redb() {
    agree("operations against redb, more", 90_000, 14, 500_000);
}
