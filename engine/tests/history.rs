//! A random history on a store, with a `BTreeMap` of each keyspace and each snapshot beside it:
//! what the store answers is what the maps answer.
//!
//! A history writes batches (several operations on one key included), reads keys and ranges both
//! ways, now and at snapshots, keeps iterators open across writes, flushes, compacts, changes
//! policies, drops and creates keyspaces, and reopens the store. What it asks depends on its seed
//! alone, never on the options, so that its answers under other options can be compared.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test, also outside its #[test]")]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use firndb_engine::batch::WriteBatch;
use firndb_engine::budget::{Budget, Share};
use firndb_engine::clock::ManualClock;
use firndb_engine::fs::Fs;
use firndb_engine::fs::sim::{Rng, SimFs};
use firndb_engine::hooks::{Hooks, Plain};
use firndb_engine::keyspace::{Keyspace, KvIterator};
use firndb_engine::options::{
    Durability, HookResolver, KeyspaceOptions, LazyLeveled, Leveled, Options, Policy, Tiered,
    TimeWindow,
};
use firndb_engine::scan::bounds::Bounds;
use firndb_engine::snapshot::Snapshot;
use firndb_engine::store::{CompactOptions, ScanOptions, Store, WriteOptions};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;
type Pair = (Vec<u8>, Vec<u8>);

const NAMES: [&str; 3] = ["kv/a", "kv/b", "kv/c"];

#[derive(Debug)]
struct Appending;

impl HookResolver for Appending {
    fn hooks(&self, _: &str) -> Arc<dyn Hooks> {
        Arc::new(Plain::with_merge(|_, base, operands| {
            [base.unwrap_or_default(), &operands.concat()].concat()
        }))
    }
}

/// A keyspace and what it must hold.
struct Space {
    keyspace: Keyspace,
    map: Map,
}

/// An iterator left open, and what it has yet to give.
struct Walk {
    iterator: KvIterator,
    left: std::vec::IntoIter<Pair>,
}

struct History {
    seed: u64,
    /// Draws what is asked: the same under all options.
    rng: Rng,
    /// Draws what is done to the store meanwhile.
    churn: Option<Rng>,
    options: Options,
    clock: Arc<ManualClock>,
    now_ms: u64,
    store: Store,
    spaces: Vec<Space>,
    snapshots: Vec<(Snapshot, Vec<(Keyspace, Map)>)>,
    walks: Vec<Walk>,
    operations: u64,
    answers: DefaultHasher,
}

/// What came of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub operations: u64,
    /// Of everything that was answered, in order.
    pub answers: u64,
}

/// A store in memory, with nothing but its defaults.
pub fn options(seed: u64) -> Options {
    let fs: Arc<dyn Fs> = Arc::new(SimFs::new(seed));
    let clock = Arc::new(ManualClock::at(1));
    let mut options = Options::new(Path::new("/db"), fs, clock, Arc::new(Appending));
    options.budget = Budget::new(1 << 30);
    // No stalls: they end with time, which stands still here.
    options.memtable_bytes_hard = 1 << 30;
    options.wal_segment_bytes = 16 << 10;
    options.wal_bytes_max = 1 << 20;
    options
}

/// Runs the history of `rng`. With `churn` it also flushes, compacts and changes policies at
/// moments of that generator's choice.
pub fn run(seed: u64, rng: Rng, options: Options, steps: u64, churn: Option<Rng>) -> Outcome {
    println!("seed {seed}"); // shown when the test fails
    let budget = options.budget.clone();
    let clock = Arc::new(ManualClock::at(1));
    let options = Options { clock: clock.clone(), ..options };
    let store = Store::open(options.clone()).unwrap();
    let create = |name: &&str| Space {
        keyspace: store.create_keyspace(name, KeyspaceOptions::default()).unwrap(),
        map: Map::new(),
    };
    let spaces = NAMES.iter().map(create).collect();
    let mut history = History {
        seed,
        rng,
        churn,
        options,
        clock,
        now_ms: 0,
        store,
        spaces,
        snapshots: Vec::new(),
        walks: Vec::new(),
        operations: 0,
        answers: DefaultHasher::new(),
    };
    for step in 1..=steps {
        history.step();
        history.churn();
        if step % 300 == 0 {
            history.read_everything();
        }
    }
    history.end();
    let outcome = Outcome { operations: history.operations, answers: history.answers.finish() };
    drop(history);
    for share in [Share::Caches, Share::Memtables, Share::Compaction] {
        assert_eq!(budget.held_bytes(share), 0, "seed {seed}: {} not given back", share.name());
    }
    outcome
}

pub fn pick<T: Clone>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.below(choices.len() as u64) as usize].clone()
}

pub fn random_policy(rng: &mut Rng) -> Policy {
    if rng.one_in(2) {
        return Policy::Leveled(Leveled {
            runs0_trigger: pick(rng, &[1, 2, 4]),
            ratio: pick(rng, &[2, 10]),
            base_bytes: pick(rng, &[8 << 10, 64 << 10]),
        });
    }
    let tiers = Tiered {
        merge_runs_min: pick(rng, &[2, 4]),
        merge_runs_max: pick(rng, &[4, 16]),
        ratio: 2.0,
        runs_max: pick(rng, &[4, 12]),
    };
    match rng.below(4) {
        0 => Policy::LazyLeveled(LazyLeveled { tiers, ratio: pick(rng, &[2, 4]) }),
        1 => Policy::TimeWindow(TimeWindow { tiers, prefix_bytes: pick(rng, &[1, 21]) }),
        _ => Policy::Tiered(tiers),
    }
}

/// Keys whose values begin with the moment at which they expire.
const EXPIRING: &[u8] = b"t/expires/";

/// When a value expires, if ever.
fn moment(key: &[u8], value: &[u8]) -> u64 {
    if key.starts_with(EXPIRING) {
        u64::from_le_bytes(*value.first_chunk().unwrap())
    } else {
        u64::MAX
    }
}

fn expiring_key(rng: &mut Rng) -> Vec<u8> {
    [EXPIRING, &[rng.below(40) as u8]].concat()
}

/// A few hundred keys: some share long prefixes, some are prefixes of each other.
fn random_key(rng: &mut Rng) -> Vec<u8> {
    let number = rng.below(300);
    match number % 4 {
        0 => format!("sensor/temperature/{number:04}").into_bytes(),
        1 => vec![b'p'; 1 + number as usize / 4],
        2 => [&[0xff; 3][..], &number.to_le_bytes()[..2]].concat(),
        _ => number.to_be_bytes()[6..].to_vec(),
    }
}

fn random_value(rng: &mut Rng) -> Vec<u8> {
    let len = if rng.one_in(30) { rng.below(4_000) } else { rng.below(40) };
    let byte = rng.next_u64() as u8;
    (0..len).map(|index| byte.wrapping_add((index / 7) as u8)).collect()
}

fn random_bound<'a>(rng: &mut Rng, key: &'a [u8]) -> Bound<&'a [u8]> {
    match rng.below(3) {
        0 => Bound::Included(key),
        1 => Bound::Excluded(key),
        _ => Bound::Unbounded,
    }
}

fn random_bounds(rng: &mut Rng) -> Bounds {
    let (lower, upper) = (random_key(rng), random_key(rng));
    let bounds = Bounds::new(random_bound(rng, &lower), random_bound(rng, &upper));
    match rng.below(6) {
        0 => Bounds::all(),
        1 => {
            let len = rng.below(lower.len() as u64 + 1) as usize;
            Bounds::prefix(&lower[..len])
        }
        _ => bounds,
    }
}

fn inside(map: &Map, bounds: &Bounds, reverse: bool) -> Vec<Pair> {
    let inside = map.iter().filter(|(key, _)| bounds.contains(key));
    let mut pairs: Vec<Pair> = inside.map(|(key, value)| (key.clone(), value.clone())).collect();
    if reverse {
        pairs.reverse();
    }
    pairs
}

impl History {
    /// Moves the clock on: what expires is gone, at snapshots too.
    fn pass_time(&mut self) {
        let ms = self.rng.below(40);
        self.clock.advance_ns(ms * 1_000_000);
        self.now_ms += ms;
        let now_ms = self.now_ms;
        let current = self.spaces.iter_mut().map(|space| &mut space.map);
        let pinned = self.snapshots.iter_mut().flat_map(|(_, maps)| maps).map(|(_, map)| map);
        current.chain(pinned).for_each(|map| map.retain(|key, value| moment(key, value) > now_ms));
    }

    fn step(&mut self) {
        if self.rng.one_in(20) {
            self.pass_time();
        }
        match self.rng.below(1000) {
            0..3 => self.reopen(),
            3..13 => {
                let keyspace = self.some_keyspace();
                self.store.flush(keyspace).unwrap();
            }
            13..18 => {
                let is_final = self.rng.one_in(2);
                let keyspace = self.some_keyspace();
                self.store.compact(keyspace, CompactOptions { is_final }, &|| false).unwrap();
            }
            18..26 => {
                let policy = self.random_policy();
                let space = self.rng.below(self.spaces.len() as u64) as usize;
                self.store.set_policy(self.spaces[space].keyspace.id, policy).unwrap();
            }
            26..40 => {
                let maps = self.spaces.iter().map(|s| (s.keyspace.clone(), s.map.clone()));
                self.snapshots.push((self.store.snapshot(), maps.collect()));
            }
            40..54 if !self.snapshots.is_empty() => {
                let which = self.rng.below(self.snapshots.len() as u64) as usize;
                self.snapshots.swap_remove(which);
            }
            54..56 => self.replace_keyspace(),
            56..58 => {
                let space = self.rng.below(self.spaces.len() as u64) as usize;
                self.store.mark_final(self.spaces[space].keyspace.id).unwrap();
            }
            58..60 => self.store.maintain().unwrap(),
            60..100 => self.open_walk(),
            100..200 => self.go_on_walking(),
            200..300 => self.scan(),
            300..600 => self.get(),
            _ => self.write(),
        }
    }

    fn random_policy(&mut self) -> Policy {
        random_policy(self.churn.as_mut().unwrap_or(&mut self.rng))
    }

    /// Moves the data about, and looks whether the store still holds together.
    fn churn(&mut self) {
        let Some(rng) = &mut self.churn else { return };
        if !rng.one_in(12) {
            return;
        }
        let keyspace = self.spaces[rng.below(self.spaces.len() as u64) as usize].keyspace.id;
        let store = &self.store;
        match rng.below(11) {
            0 => store.maintain().unwrap(),
            8 => store.compact_range(keyspace, &random_bounds(rng), &|| false).unwrap(),
            9 => store.compact_level(keyspace, rng.below(7) as u8, &|| false).unwrap(),
            10 => {
                store.pause_compactions();
                store.flush(None).unwrap();
                store.resume_compactions();
            }
            1 => store.compact(Some(keyspace), CompactOptions::default(), &|| false).unwrap(),
            2 => store.mark_final(keyspace).unwrap(),
            3..6 => store.set_policy(keyspace, random_policy(rng)).unwrap(),
            _ => store.flush(Some(keyspace)).unwrap(),
        }
        if rng.one_in(4) {
            let report = self.store.check(true, &|_, _| {}).unwrap();
            assert!(report.findings.is_empty(), "seed {}: {report:?}", self.seed);
        }
    }

    /// One keyspace, or all.
    fn some_keyspace(&mut self) -> Option<firndb_engine::key::KeyspaceId> {
        let which = self.rng.below(self.spaces.len() as u64 + 1) as usize;
        self.spaces.get(which).map(|space| space.keyspace.id)
    }

    fn write(&mut self) {
        let rng = &mut self.rng;
        let mut batch = WriteBatch::new();
        let count = rng.below(8);
        let mut last_key = random_key(rng);
        for _ in 0..count {
            let which = rng.below(self.spaces.len() as u64) as usize;
            let Space { keyspace, map } = &mut self.spaces[which];
            let key = if rng.one_in(4) { last_key } else { random_key(rng) };
            match rng.below(9 * 8) {
                0 => {
                    let near = [&*key, &[u8::MAX]].concat();
                    let other = if rng.one_in(8) { random_key(rng) } else { near };
                    let (start, end) =
                        if key < other { (key.clone(), other) } else { (other, key.clone()) };
                    if start < end {
                        batch.delete_range(keyspace.id, &start, &end);
                        map.retain(|key, _| *key < start || *key >= end);
                    }
                }
                1..18 => {
                    batch.delete(keyspace.id, &key);
                    map.remove(&key);
                }
                18..24 => {
                    let key = expiring_key(rng);
                    let moment = self.now_ms + 1 + rng.below(200);
                    let value = [&moment.to_le_bytes()[..], &random_value(rng)].concat();
                    batch.put_with_ttl(keyspace.id, &key, &value, moment);
                    map.insert(key, value);
                }
                24..36 => {
                    let operand = (rng.next_u64() as u32).to_le_bytes();
                    let operand = &operand[..1 + rng.below(4) as usize];
                    batch.merge(keyspace.id, &key, operand);
                    map.entry(key.clone()).or_default().extend_from_slice(operand);
                }
                _ => {
                    let value = random_value(rng);
                    batch.put(keyspace.id, &key, &value);
                    map.insert(key.clone(), value);
                }
            }
            last_key = key;
        }
        self.operations += count;
        let durability = pick(rng, &[None, Some(Durability::Os), Some(Durability::Always)]);
        let _ = self.store.write(&batch, WriteOptions { durability }).unwrap();
    }

    /// A snapshot or now, and a keyspace with what it held then.
    fn some_moment(&mut self) -> (Option<usize>, usize) {
        let moment = self.rng.below(2 * self.snapshots.len() as u64 + 1) as usize;
        let moment = (moment < self.snapshots.len()).then_some(moment);
        let spaces = moment.map_or(self.spaces.len(), |at| self.snapshots[at].1.len());
        (moment, self.rng.below(spaces as u64) as usize)
    }

    fn at(&self, moment: Option<usize>, space: usize) -> (Option<&Snapshot>, &Keyspace, &Map) {
        match moment {
            Some(at) => {
                let (snapshot, maps) = &self.snapshots[at];
                (Some(snapshot), &maps[space].0, &maps[space].1)
            }
            None => (None, &self.spaces[space].keyspace, &self.spaces[space].map),
        }
    }

    fn get(&mut self) {
        let (moment, space) = self.some_moment();
        let rng = &mut self.rng;
        let key = if rng.one_in(8) { expiring_key(rng) } else { random_key(rng) };
        let (snapshot, keyspace, map) = self.at(moment, space);
        let found = self.store.get(keyspace.id, &key, snapshot).unwrap();
        assert_eq!(
            found.as_deref(),
            map.get(&key).map(|value| &**value),
            "seed {}: {key:?} of {} at {snapshot:?}",
            self.seed,
            keyspace.name
        );
        self.operations += 1;
        found.as_deref().hash(&mut self.answers);
    }

    fn scan(&mut self) {
        let (moment, space) = self.some_moment();
        let bounds = random_bounds(&mut self.rng);
        let (reverse, skip_cache) = (self.rng.one_in(2), self.rng.one_in(4));
        let (snapshot, keyspace, map) = self.at(moment, space);
        let options = ScanOptions { bounds: bounds.clone(), reverse, snapshot, skip_cache };
        let found: Vec<Pair> = self
            .store
            .scan(keyspace.id, options)
            .unwrap()
            .map(|pair| pair.map(|(key, value)| (key, value.into_vec())).unwrap())
            .collect();
        let expected = inside(map, &bounds, reverse);
        assert!(
            found == expected,
            "seed {}: {bounds:?} of {} at {snapshot:?}, reverse {reverse}: {:?}",
            self.seed,
            keyspace.name,
            first_difference(&found, &expected)
        );
        self.operations += found.len() as u64;
        found.hash(&mut self.answers);
    }

    fn open_walk(&mut self) {
        if self.walks.len() == 8 {
            self.walks.remove(0);
        }
        let (moment, space) = self.some_moment();
        let bounds = random_bounds(&mut self.rng);
        let reverse = self.rng.one_in(2);
        let (snapshot, keyspace, map) = self.at(moment, space);
        let options = ScanOptions { bounds: bounds.clone(), reverse, snapshot, skip_cache: false };
        let iterator = self.store.scan(keyspace.id, options).unwrap();
        let left = inside(map, &bounds, reverse).into_iter();
        self.walks.push(Walk { iterator, left });
    }

    fn go_on_walking(&mut self) {
        let Some(last) = self.walks.len().checked_sub(1) else { return };
        let which = self.rng.below(last as u64 + 1) as usize;
        for _ in 0..1 + self.rng.below(20) {
            let Walk { iterator, left } = &mut self.walks[which];
            let found = iterator.advance().unwrap();
            let found = found.then(|| (iterator.key().to_vec(), iterator.value().to_vec()));
            assert_eq!(found, left.next(), "seed {}: an open iterator", self.seed);
            self.operations += 1;
            found.hash(&mut self.answers);
            if found.is_none() {
                self.walks.swap_remove(which);
                return;
            }
        }
    }

    /// Drops a keyspace and creates one of the same name. Open iterators go on over the old one.
    fn replace_keyspace(&mut self) {
        let which = self.rng.below(self.spaces.len() as u64) as usize;
        let old = self.spaces[which].keyspace.clone();
        self.store.drop_keyspaces(&[old.id], "model test").unwrap();
        assert!(self.store.get(old.id, b"key", None).is_err());
        for (_, maps) in &mut self.snapshots {
            maps.retain(|(keyspace, _)| *keyspace != old);
        }
        self.snapshots.retain(|(_, maps)| !maps.is_empty());
        let options =
            KeyspaceOptions { policy: Some(self.random_policy()), ..KeyspaceOptions::default() };
        let keyspace = self.store.create_keyspace(&old.name, options).unwrap();
        assert_ne!(keyspace.id, old.id, "numbers of keyspaces are never reused");
        self.spaces[which] = Space { keyspace, map: Map::new() };
    }

    fn reopen(&mut self) {
        self.walks.clear();
        self.snapshots.clear();
        self.store.close().unwrap();
        self.store = Store::open(self.options.clone()).unwrap();
        for space in &mut self.spaces {
            let found = self.store.keyspace(&space.keyspace.name);
            assert_eq!(found.as_ref(), Some(&space.keyspace), "seed {}", self.seed);
        }
    }

    fn read_everything(&mut self) {
        for moment in (0..self.snapshots.len()).map(Some).chain([None]) {
            let count = moment.map_or(self.spaces.len(), |at| self.snapshots[at].1.len());
            for space in 0..count {
                let (snapshot, keyspace, map) = self.at(moment, space);
                for reverse in [false, true] {
                    let options = ScanOptions { reverse, snapshot, ..ScanOptions::default() };
                    let found: Vec<Pair> = self
                        .store
                        .scan(keyspace.id, options)
                        .unwrap()
                        .map(|pair| pair.map(|(key, value)| (key, value.into_vec())).unwrap())
                        .collect();
                    let expected = inside(map, &Bounds::all(), reverse);
                    assert!(
                        found == expected,
                        "seed {}: {} at {snapshot:?}, reverse {reverse}: {:?}",
                        self.seed,
                        keyspace.name,
                        first_difference(&found, &expected)
                    );
                }
            }
        }
    }

    fn end(&mut self) {
        self.read_everything();
        let report = self.store.check(true, &|_, _| {}).unwrap();
        assert!(report.findings.is_empty(), "seed {}: {report:?}", self.seed);
        self.walks.clear();
        self.snapshots.clear();
        // Something new in each keyspace, so that none is in its final form: all of it is
        // rewritten.
        let mut batch = WriteBatch::new();
        for Space { keyspace, map } in &mut self.spaces {
            batch.put(keyspace.id, b"last", b"put");
            map.insert(b"last".to_vec(), b"put".to_vec());
        }
        let _ = self.store.write(&batch, WriteOptions::default()).unwrap();
        self.store.compact(None, CompactOptions { is_final: true }, &|| false).unwrap();
        self.read_everything();
        self.reopen();
        self.read_everything();
        let report = self.store.check(true, &|_, _| {}).unwrap();
        assert!(report.findings.is_empty(), "seed {}: {report:?}", self.seed);
        // No snapshot lives and nothing lies below: every delete and every operand is gone.
        let mut live = 0;
        for space in &self.spaces {
            let tables = self.store.view(space.keyspace.id).unwrap().tables();
            live += tables.iter().map(|table| table.entries).sum::<u64>();
        }
        let expected: usize = self.spaces.iter().map(|space| space.map.len()).sum();
        assert_eq!(live, expected as u64, "seed {}: entries after a compaction", self.seed);
        self.store.close().unwrap();
    }
}

/// What was found and what was expected, either of which may have ended.
type Difference<'a> = (Option<&'a Pair>, Option<&'a Pair>);

fn first_difference<'a>(found: &'a [Pair], expected: &'a [Pair]) -> Option<Difference<'a>> {
    let count = found.len().max(expected.len());
    let pairs = (0..count).map(|index| (found.get(index), expected.get(index)));
    pairs.into_iter().find(|(found, expected)| found != expected)
}
