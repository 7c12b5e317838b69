//! Stores on the simulated file system that do what the bytes say, beside a map that does the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use firndb_engine::Error;
use firndb_engine::batch::WriteBatch;
use firndb_engine::clock::ManualClock;
use firndb_engine::fs::sim::SimFs;
use firndb_engine::hooks::Plain;
use firndb_engine::key::KeyspaceId;
use firndb_engine::options::{Background, KeyspaceOptions, Options};
use firndb_engine::scan::bounds::Bounds;
use firndb_engine::store::{CompactOptions, ScanOptions, Store, WriteOptions};
use firndb_engine::transaction::Transaction;

use super::super::input::Input;

/// What the keyspace holds.
type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Steps of an input that count.
const STEPS_MAX: usize = 60;

/// The clock stands here; values expire at 1 and at the end of time.
const NOW_NS: i64 = 1_700_000_000_000_000_000;

fn open(fs: &SimFs) -> (Store, KeyspaceId) {
    let clock = Arc::new(ManualClock::at(NOW_NS));
    let options = Options {
        background: Background::Inline,
        memtable_bytes_max: 4 << 10,
        memtable_bytes_hard: 16 << 10,
        wal_segment_bytes: 4 << 10,
        wal_bytes_max: 16 << 10,
        block_bytes: 128,
        restart_interval: 4,
        cache_bytes: 16 << 10,
        table_bytes_max: 4 << 10,
        ..Options::new("/data", Arc::new(fs.clone()), clock, Arc::new(Plain::new()))
    };
    let store = Store::open(options).expect("nothing fails");
    let keyspace = store.create_keyspace("k", KeyspaceOptions::default()).expect("nothing fails");
    (store, keyspace.id)
}

/// One of few keys, so that steps meet.
fn key(input: &mut Input) -> Vec<u8> {
    let byte = input.byte();
    let mut key = vec![b'k'];
    key.extend(std::iter::repeat_n(b'0' + byte % 8, usize::from(byte / 8 % 4)));
    key
}

/// A value that tells which step wrote it.
fn value(input: &mut Input, step: usize) -> Vec<u8> {
    let mut value = step.to_le_bytes().to_vec();
    value.resize(8 + usize::from(input.byte()), step as u8);
    value
}

/// A change of the map.
enum Change {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
}

impl Change {
    /// The `which`th kind; and the same in a batch.
    fn of(which: u8, input: &mut Input, step: usize, id: KeyspaceId, out: &mut WriteBatch) -> Self {
        let key_ = key(input);
        match which % 8 {
            0 => {
                out.delete(id, &key_);
                Change::Delete(key_)
            }
            1 | 2 => {
                let end = key(input);
                let end = if end > key_ { end } else { [&key_[..], b"1"].concat() };
                out.delete_range(id, &key_, &end);
                Change::DeleteRange(key_, end)
            }
            3 => {
                out.put_with_ttl(id, &key_, b"gone", 1);
                Change::Delete(key_)
            }
            4 => {
                let value = value(input, step);
                out.put_with_ttl(id, &key_, &value, u64::MAX);
                Change::Put(key_, value)
            }
            _ => {
                let value = value(input, step);
                out.put(id, &key_, &value);
                Change::Put(key_, value)
            }
        }
    }

    fn apply(&self, map: &mut Map) {
        match self {
            Change::Put(key, value) => drop(map.insert(key.clone(), value.clone())),
            Change::Delete(key) => drop(map.remove(key)),
            Change::DeleteRange(start, end) => map.retain(|key, _| key < start || key >= end),
        }
    }

    /// Whether it concerns a key.
    fn touches(&self, other: &[u8]) -> bool {
        match self {
            Change::Put(key, _) | Change::Delete(key) => key == other,
            Change::DeleteRange(start, end) => (start.as_slice()..end).contains(&other),
        }
    }
}

/// Batches of every kind of operation, flushes, compactions, snapshots and reopening: the store
/// holds what the map holds.
pub fn store(bytes: &[u8]) {
    let mut input = Input(bytes);
    let fs = SimFs::new(1);
    let (mut store, mut id) = open(&fs);
    let (mut map, mut snapshot) = (Map::new(), None);
    for step in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        match input.byte() {
            0 => store.flush(None).expect("nothing fails"),
            1 => {
                let options = CompactOptions::default();
                store.compact(None, options, &|| false).expect("nothing fails");
            }
            2 => {
                snapshot = None;
                store.close().expect("nothing fails");
                drop(store);
                (store, id) = open(&fs);
            }
            3 => snapshot = Some((store.snapshot(), map.clone())),
            4 => {
                if let Some((snapshot, then)) = &snapshot {
                    let options = ScanOptions { snapshot: Some(snapshot), ..Default::default() };
                    assert_eq!(all(store.scan(id, options).expect("nothing fails")), *then);
                }
            }
            5 => {
                let key = key(&mut input);
                let got = store.get(id, &key, None).expect("nothing fails");
                assert_eq!(got.as_deref(), map.get(&key).map(Vec::as_slice));
            }
            count => {
                let mut batch = WriteBatch::new();
                for _ in 0..count % 8 + 1 {
                    let which = input.byte();
                    Change::of(which, &mut input, step, id, &mut batch).apply(&mut map);
                }
                let again = WriteBatch::from_bytes(batch.bytes().to_vec());
                assert_eq!(again.ok().as_ref(), Some(&batch));
                let commit = store.write(&batch, WriteOptions::default()).expect("nothing fails");
                assert!(commit.seq() > 0);
            }
        }
    }
    for reverse in [false, true] {
        let options = ScanOptions { reverse, ..Default::default() };
        assert_eq!(all(store.scan(id, options).expect("nothing fails")), map);
    }
}

fn all<V: AsRef<[u8]>>(
    pairs: impl Iterator<Item = Result<(Vec<u8>, V), Error>>,
) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let pairs = pairs.map(|pair| pair.expect("nothing fails"));
    pairs.map(|(key, value)| (key, value.as_ref().to_vec())).collect()
}

/// One transaction beside plain writes.
struct Open {
    transaction: Transaction,
    /// What it sees.
    map: Map,
    /// Keys that it wrote, and keys that it read before.
    written: BTreeSet<Vec<u8>>,
    read: BTreeSet<Vec<u8>>,
    /// What others wrote since it began.
    others: Vec<Change>,
}

/// Transactions between plain writes: each reads what it wrote over what was there when it began;
/// it commits when nobody else wrote, and is refused when somebody wrote what it read.
pub fn transaction(bytes: &[u8]) {
    let mut input = Input(bytes);
    let fs = SimFs::new(1);
    let (store, id) = open(&fs);
    let mut map = Map::new();
    let mut open: Option<Open> = None;
    for step in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let what = input.byte();
        match (what % 8, &mut open) {
            (0, None) => {
                open = Some(Open {
                    transaction: store.transaction().expect("nothing fails"),
                    map: map.clone(),
                    written: BTreeSet::new(),
                    read: BTreeSet::new(),
                    others: Vec::new(),
                });
            }
            (0, _) => commit(open.take().expect("just seen"), &mut map),
            (1, Some(open)) => open.get(id, &key(&mut input)),
            (2, Some(open)) => open.scan(id, &key(&mut input), what > 127),
            (3..=5, Some(open)) => open.write(id, what / 8, &mut input, step),
            (6, _) => store.flush(None).expect("nothing fails"),
            _ => {
                let mut batch = WriteBatch::new();
                let change = Change::of(what / 8, &mut input, step, id, &mut batch);
                let commit = store.write(&batch, WriteOptions::default()).expect("nothing fails");
                assert!(commit.seq() > 0);
                change.apply(&mut map);
                open.iter_mut().for_each(|open| open.others.extend(again(&change)));
            }
        }
    }
    open.into_iter().for_each(|open| commit(open, &mut map));
    assert_eq!(all(store.scan(id, ScanOptions::default()).expect("nothing fails")), map);
}

/// The change once more.
fn again(change: &Change) -> Option<Change> {
    Some(match change {
        Change::Put(key, value) => Change::Put(key.clone(), value.clone()),
        Change::Delete(key) => Change::Delete(key.clone()),
        Change::DeleteRange(start, end) => Change::DeleteRange(start.clone(), end.clone()),
    })
}

impl Open {
    fn get(&mut self, id: KeyspaceId, key: &[u8]) {
        let got = self.transaction.get(id, key).expect("nothing fails");
        assert_eq!(got.as_deref(), self.map.get(key).map(Vec::as_slice));
        if !self.written.contains(key) {
            self.read.insert(key.to_vec());
        }
    }

    fn scan(&mut self, id: KeyspaceId, from: &[u8], reverse: bool) {
        let bounds = Bounds { lower: Some(from.to_vec()), upper: None };
        let options = ScanOptions { bounds, reverse, ..Default::default() };
        let got = all(self.transaction.scan(id, options).expect("nothing fails"));
        let expected = self.map.range(from.to_vec()..).map(|(k, v)| (k.clone(), v.clone()));
        assert_eq!(got, expected.collect());
        let keys = every_key().filter(|key| key.as_slice() >= from && !self.written.contains(key));
        self.read.extend(keys);
    }

    fn write(&mut self, id: KeyspaceId, which: u8, input: &mut Input, step: usize) {
        let change = Change::of(which, input, step, id, &mut WriteBatch::new());
        let done = match &change {
            Change::Put(key, value) => self.transaction.put(id, key, value),
            Change::Delete(key) => self.transaction.delete(id, key),
            Change::DeleteRange(start, end) => self.transaction.delete_range(id, start, end),
        };
        done.expect("nothing fails");
        change.apply(&mut self.map);
        self.written.extend(every_key().filter(|key| change.touches(key)));
    }
}

/// Every key that [`key`] makes.
fn every_key() -> impl Iterator<Item = Vec<u8>> {
    (0..32).map(|byte| key(&mut Input(&[byte])))
}

fn commit(open: Open, map: &mut Map) {
    let is_read_only = open.transaction.is_read_only();
    let is_met = open.read.iter().any(|key| open.others.iter().any(|other| other.touches(key)));
    let before = open.transaction.snapshot().seq();
    match open.transaction.commit(WriteOptions::default()) {
        Ok(commit) => {
            assert!(is_read_only || !is_met, "it read what others wrote, and was let through");
            assert!(is_read_only || commit.seq() > before);
            if !is_read_only {
                // Where others wrote, what it wrote lies over it.
                let own = |key: &Vec<u8>| open.written.contains(key);
                map.retain(|key, _| !own(key));
                map.extend(open.map.into_iter().filter(|(key, _)| own(key)));
            }
        }
        Err(Error::Conflict { .. }) => assert!(!open.others.is_empty() && !is_read_only),
        Err(other) => panic!("nothing fails: {other}"),
    }
}
