//! Random interleavings of transactions against the serial order that they promise.
//!
//! Each transaction is a program: reads, scans and writes whose values depend on all that was read
//! before. Several run interleaved, with plain writes, flushes and compactions in between. Those
//! that commit are then run again, one after the other in the order of their sequence numbers,
//! against a map: every read must give what it gave, and the map must be the store.

use std::collections::BTreeMap;

use super::*;
use crate::batch::WriteBatch;
use crate::fs::sim::Rng;
use crate::key::Seq;
use crate::store::CompactOptions;

const KEYS: u64 = 9;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    Get(Vec<u8>),
    Lock(Vec<u8>),
    Scan { bounds: Bounds, reverse: bool, count: usize },
    Put(Vec<u8>),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
    Merge(Vec<u8>),
}

fn named(at: u64) -> Vec<u8> {
    format!("key{at:02}").into_bytes()
}

fn key(rng: &mut Rng) -> Vec<u8> {
    named(rng.below(KEYS))
}

fn step(rng: &mut Rng) -> Step {
    match rng.below(10) {
        0..=2 => Step::Get(key(rng)),
        3 => Step::Lock(key(rng)),
        4 | 5 => {
            let mut bound = || if rng.one_in(4) { None } else { Some(key(rng)) };
            let bounds = Bounds { lower: bound(), upper: bound() };
            let count = if rng.one_in(2) { usize::MAX } else { rng.below(4) as usize };
            Step::Scan { bounds, reverse: rng.one_in(2), count }
        }
        6 | 7 => Step::Put(key(rng)),
        8 if rng.one_in(2) => Step::Delete(key(rng)),
        8 => {
            let start = rng.below(KEYS);
            let end = start + 1 + rng.below(3);
            Step::DeleteRange(named(start), named(end))
        }
        _ => Step::Merge(key(rng)),
    }
}

/// What a program runs against.
trait Ground {
    fn get(&mut self, key: &[u8], locks: bool) -> Option<Vec<u8>>;
    fn scan(&mut self, bounds: &Bounds, reverse: bool, count: usize) -> Vec<(Vec<u8>, Vec<u8>)>;
    fn put(&mut self, key: &[u8], value: &[u8]);
    fn delete(&mut self, key: &[u8]);
    fn delete_range(&mut self, start: &[u8], end: &[u8]);
    fn merge(&mut self, key: &[u8], operand: &[u8]);
}

impl Ground for (&mut Transaction, KeyspaceId) {
    fn get(&mut self, key: &[u8], locks: bool) -> Option<Vec<u8>> {
        let value =
            if locks { self.0.get_for_update(self.1, key) } else { self.0.get(self.1, key) };
        value.unwrap().map(Value::into_vec)
    }

    fn scan(&mut self, bounds: &Bounds, reverse: bool, count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let options = ScanOptions { bounds: bounds.clone(), reverse, ..ScanOptions::default() };
        let pairs = self.0.scan(self.1, options).unwrap().take(count);
        pairs.map(|pair| pair.map(|(key, value)| (key, value.into_vec())).unwrap()).collect()
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.put(self.1, key, value).unwrap();
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.delete(self.1, key).unwrap();
    }

    fn delete_range(&mut self, start: &[u8], end: &[u8]) {
        self.0.delete_range(self.1, start, end).unwrap();
    }

    fn merge(&mut self, key: &[u8], operand: &[u8]) {
        self.0.merge(self.1, key, operand).unwrap();
    }
}

impl Ground for &mut Model {
    fn get(&mut self, key: &[u8], _: bool) -> Option<Vec<u8>> {
        Model::get(self, key).cloned()
    }

    fn scan(&mut self, bounds: &Bounds, reverse: bool, count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let inside = self.iter().filter(|(key, _)| bounds.contains(key));
        let mut pairs: Vec<_> = inside.map(|(key, value)| (key.clone(), value.clone())).collect();
        if reverse {
            pairs.reverse();
        }
        pairs.truncate(count);
        pairs
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.insert(key.to_vec(), value.to_vec());
    }

    fn delete(&mut self, key: &[u8]) {
        self.remove(key);
    }

    fn delete_range(&mut self, start: &[u8], end: &[u8]) {
        self.retain(|key, _| &**key < start || &**key >= end);
    }

    fn merge(&mut self, key: &[u8], operand: &[u8]) {
        self.entry(key.to_vec()).or_default().extend_from_slice(operand);
    }
}

/// Runs a step; what it reads goes into `seen`, what it writes comes from it.
fn run(step: &Step, mut ground: impl Ground, seen: &mut Vec<u8>) {
    let number = xxhash_rust::xxh3::xxh3_64(seen);
    match step {
        Step::Get(key) => seen.extend(format!("{:?}", ground.get(key, false)).bytes()),
        Step::Lock(key) => seen.extend(format!("{:?}", ground.get(key, true)).bytes()),
        Step::Scan { bounds, reverse, count } => {
            seen.extend(format!("{:?}", ground.scan(bounds, *reverse, *count)).bytes());
        }
        Step::Put(key) => ground.put(key, format!("{number:x}").as_bytes()),
        Step::Delete(key) => ground.delete(key),
        Step::DeleteRange(start, end) => ground.delete_range(start, end),
        Step::Merge(key) => ground.merge(key, format!("+{:x}", number & 0xff).as_bytes()),
    }
}

/// A transaction that runs, and one that ran.
struct Program {
    steps: Vec<Step>,
    next: usize,
    seen: Vec<u8>,
    began: Seq,
    transaction: Option<Transaction>,
}

struct Committed {
    seq: Seq,
    /// After a batch of the same number: it wrote nothing.
    is_reader: bool,
    steps: Vec<Step>,
    seen: Vec<u8>,
}

/// What plain writes wrote, and transactions, in the order of numbers.
#[derive(Default)]
struct History {
    committed: Vec<Committed>,
    refused: usize,
    /// Keys by number of batch, for the reasons of refusals.
    written: Vec<(Seq, Vec<u8>)>,
}

impl History {
    fn end(&mut self, program: Program) {
        let Program { steps, seen, began, transaction, .. } = program;
        let transaction = transaction.unwrap();
        let is_reader = transaction.is_read_only();
        let outcome = transaction.commit(WriteOptions::default());
        let writes = |step: &Step| match step {
            Step::Put(key) | Step::Delete(key) | Step::Merge(key) => vec![key.clone()],
            Step::DeleteRange(start, end) => {
                let all = (0..KEYS).map(named);
                all.filter(|key| (start..end).contains(&key)).collect()
            }
            _ => Vec::new(),
        };
        match outcome {
            Ok(commit) => {
                let seq = commit.seq();
                self.written.extend(steps.iter().flat_map(writes).map(|key| (seq, key)));
                self.committed.push(Committed { seq, is_reader, steps, seen });
            }
            Err(Error::Conflict { reason }) => {
                let reads = |step: &Step, key: &[u8]| match step {
                    Step::Get(read) | Step::Lock(read) => read == key,
                    Step::Scan { bounds, .. } => bounds.contains(key),
                    _ => false,
                };
                let is_justified = self
                    .written
                    .iter()
                    .any(|(seq, key)| *seq > began && steps.iter().any(|step| reads(step, key)));
                assert!(is_justified, "refused for nothing: {reason}; {steps:?}");
                self.refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Everything again, one after the other.
    fn replay(&mut self) -> Model {
        let mut model = Model::new();
        self.committed.sort_by_key(|committed| (committed.seq, committed.is_reader));
        for committed in &self.committed {
            let mut seen = Vec::new();
            committed.steps.iter().for_each(|step| run(step, &mut model, &mut seen));
            assert_eq!(
                String::from_utf8_lossy(&seen),
                String::from_utf8_lossy(&committed.seen),
                "at {}: {:?}",
                committed.seq,
                committed.steps
            );
        }
        model
    }
}

fn begin(store: &Store, rng: &mut Rng) -> Program {
    let transaction = store.transaction().unwrap();
    let steps = (0..1 + rng.below(7)).map(|_| step(rng)).collect();
    let began = transaction.snapshot().seq();
    Program { steps, next: 0, seen: Vec::new(), began, transaction: Some(transaction) }
}

/// A write without a transaction is one that reads nothing.
fn write_plainly(store: &Store, keyspace: KeyspaceId, rng: &mut Rng, history: &mut History) {
    let (key, seen) = (key(rng), Vec::new());
    let step = if rng.one_in(3) { Step::Delete(key.clone()) } else { Step::Put(key.clone()) };
    let mut batch = WriteBatch::new();
    match &step {
        Step::Delete(key) => batch.delete(keyspace, key),
        _ => {
            let number = xxhash_rust::xxh3::xxh3_64(&seen);
            batch.put(keyspace, &key, format!("{number:x}").as_bytes());
        }
    }
    let seq = store.write(&batch, WriteOptions::default()).unwrap().seq();
    history.written.push((seq, key));
    history.committed.push(Committed { seq, is_reader: false, steps: vec![step], seen });
}

fn run_history(seed: u64) -> (usize, usize) {
    let (store, keyspace) = open();
    let (mut rng, mut history) = (Rng::new(seed), History::default());
    let mut running: Vec<Program> = Vec::new();
    for _ in 0..300 {
        match rng.below(12) {
            0 => write_plainly(&store, keyspace, &mut rng, &mut history),
            1 if rng.one_in(4) => store.flush(None).unwrap(),
            2 if rng.one_in(8) => {
                store.compact(None, CompactOptions::default(), &|| false).unwrap();
            }
            _ if running.len() < 3 + (seed % 4) as usize => running.push(begin(&store, &mut rng)),
            _ => {
                let at = rng.below(running.len() as u64) as usize;
                let program = &mut running[at];
                match program.steps.get(program.next) {
                    Some(step) => {
                        let transaction = program.transaction.as_mut().unwrap();
                        run(step, (transaction, keyspace), &mut program.seen);
                        program.next += 1;
                    }
                    None => {
                        let program = running.swap_remove(at);
                        // Some are given up: they must leave nothing behind.
                        if !rng.one_in(8) {
                            history.end(program);
                        }
                    }
                }
            }
        }
    }
    let model = history.replay();
    let pairs = store.scan(keyspace, ScanOptions::default()).unwrap();
    let found: Model = pairs.map(|pair| pair.map(|(k, v)| (k, v.into_vec())).unwrap()).collect();
    assert_eq!(found, model, "seed {seed}");
    (history.committed.len(), history.refused)
}

#[test]
fn interleaved_transactions_are_as_if_one_after_the_other() {
    let (mut committed, mut refused) = (0, 0);
    for seed in 0..100 {
        let counts = std::panic::catch_unwind(|| run_history(seed));
        let counts = counts.unwrap_or_else(|_| panic!("seed {seed}"));
        (committed, refused) = (committed + counts.0, refused + counts.1);
    }
    assert!(committed > 2000 && refused > 300, "{committed} committed, {refused} refused");
}
