//! Writers, readers and background jobs at once; the machine stops at random calls.
//!
//! Each writer counts up and writes its count to two keyspaces in one batch. Whenever the machine
//! stops, and whenever a reader looks, both keyspaces must show the same count, and under it
//! exactly the writes up to that count: at least all that were acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use firndb_engine::Error;
use firndb_engine::batch::WriteBatch;
use firndb_engine::fs::sim::{CrashMode, Fault, Rng, SimFs};
use firndb_engine::key::KeyspaceId;
use firndb_engine::options::{Background, KeyspaceOptions, Options};
use firndb_engine::snapshot::Snapshot;
use firndb_engine::store::{CompactOptions, Store, WriteOptions};
use parking_lot::Mutex;

use crate::script;

const WRITERS: usize = 4;
const WRITES: u64 = 150;
/// Keys that a writer writes in turn.
const KEYS: u64 = 16;

type Counts = Arc<[AtomicU64; WRITERS]>;

fn options(fs: &SimFs) -> Options {
    Options { background: Background::Threads(2), ..script::options(Arc::new(fs.clone())) }
}

fn counts(of: &Counts) -> [u64; WRITERS] {
    std::array::from_fn(|writer| of[writer].load(Ordering::SeqCst))
}

pub fn ids(store: &Store) -> [KeyspaceId; 2] {
    ["a", "b"]
        .map(|name| store.create_keyspace(name, KeyspaceOptions::default()).expect("it exists").id)
}

fn write(store: &Store, ids: [KeyspaceId; 2], writer: usize, count: u64) -> Result<(), Error> {
    write_as(store, ids, writer, count, WriteOptions::default())
}

/// One batch of a writer: its count, to both keyspaces.
pub fn write_as(
    store: &Store,
    ids: [KeyspaceId; 2],
    writer: usize,
    count: u64,
    options: WriteOptions,
) -> Result<(), Error> {
    let mut batch = WriteBatch::new();
    for id in ids {
        let mut value = count.to_le_bytes().to_vec();
        value.resize(8 + (count as usize * 37) % 90, 7);
        batch.put(id, format!("{writer}-{:02}", count % KEYS).as_bytes(), &value);
        batch.put(id, format!("{writer}-last").as_bytes(), &count.to_le_bytes());
    }
    loop {
        match store.write(&batch, options) {
            // On a slow machine flushes fall behind: nothing was stored, so try again.
            Err(Error::Busy { .. }) => {}
            outcome => return outcome.map(drop),
        }
    }
}

/// The count that the store shows for `writer`, when all of it fits together.
pub fn read(
    store: &Store,
    ids: [KeyspaceId; 2],
    writer: usize,
    snapshot: &Snapshot,
) -> Result<u64, String> {
    let get = |id, key: String| -> Result<u64, String> {
        let value = store.get(id, key.as_bytes(), Some(snapshot)).map_err(|e| e.to_string())?;
        Ok(value.map_or(0, |v| u64::from_le_bytes(v[..8].try_into().expect("8 bytes"))))
    };
    let last = get(ids[0], format!("{writer}-last"))?;
    for id in ids {
        let found = get(id, format!("{writer}-last"))?;
        if found != last {
            return Err(format!("writer {writer}: {last} in one keyspace, {found} in the other"));
        }
        for slot in 0..KEYS {
            // The newest count up to `last` that falls on this key; counts start at 1.
            let expected = (last.saturating_sub(KEYS - 1)..=last).find(|c| c % KEYS == slot);
            let found = get(id, format!("{writer}-{slot:02}"))?;
            if found != expected.unwrap_or(0) {
                return Err(format!("writer {writer} at {last}: key {slot} holds {found}"));
            }
        }
    }
    Ok(last)
}

fn examine(after: &SimFs, acked: [u64; WRITERS], started: [u64; WRITERS]) -> Result<(), String> {
    let store = Store::open(script::options(Arc::new(after.clone()))).map_err(|e| e.to_string())?;
    let (ids, snapshot) = (ids(&store), store.snapshot());
    for writer in 0..WRITERS {
        let last = read(&store, ids, writer, &snapshot)?;
        let (first, end) = (acked[writer], started[writer]);
        if last < first || last > end {
            return Err(format!("writer {writer}: {last} found, {first} acked, {end} started"));
        }
    }
    Ok(())
}

fn look_on(store: &Store, ids: [KeyspaceId; 2], is_over: &AtomicBool) {
    let mut before = [0; WRITERS];
    while !is_over.load(Ordering::SeqCst) {
        let snapshot = store.snapshot();
        for (writer, before) in before.iter_mut().enumerate() {
            let last = read(store, ids, writer, &snapshot).expect("all fits together");
            assert!(last >= *before, "a count never goes back");
            *before = last;
        }
    }
}

#[test]
fn writers_readers_and_jobs_at_once() {
    for seed in 0..3 {
        let fs = script::new_fs(seed);
        let store = Store::open(options(&fs)).unwrap();
        let ids = ids(&store);
        let (acked, started) = (Counts::default(), Counts::default());
        let found = Arc::new(Mutex::new((0, Vec::new())));
        let (source, seen) = (fs.clone(), found.clone());
        let (acked_then, started_then) = (acked.clone(), started.clone());
        let mut rng = Rng::new(seed);
        fs.observe(Some(Box::new(move |number, op| {
            if !rng.one_in(8) {
                return;
            }
            let mode = CrashMode::ALL[rng.below(4) as usize];
            let acked = counts(&acked_then);
            let after = source.crash(mode, number);
            let result = examine(&after, acked, counts(&started_then));
            let mut seen = seen.lock();
            seen.0 += 1;
            seen.1.extend(
                result.err().map(|what| format!("call {number} ({op:?}), {mode:?}: {what}")),
            );
        })));
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (store, acked, started) = (&store, &acked, &started);
                    scope.spawn(move || {
                        for count in 1..=WRITES {
                            started[writer].store(count, Ordering::SeqCst);
                            write(store, ids, writer, count).unwrap();
                            acked[writer].store(count, Ordering::SeqCst);
                            if count % 50 == 0 && writer == 0 {
                                store.flush(None).unwrap();
                                store.compact(None, CompactOptions::default(), &|| false).unwrap();
                            }
                        }
                    })
                })
                .collect();
            scope.spawn(|| look_on(&store, ids, &is_over));
            for writer in writers {
                writer.join().unwrap();
            }
            is_over.store(true, Ordering::SeqCst);
        });
        fs.observe(None);
        store.close().unwrap();
        let (points, failures) = &*found.lock();
        assert!(
            failures.is_empty(),
            "seed {seed}: {} failures; first: {}",
            failures.len(),
            failures[0]
        );
        assert!(*points > 50, "{points} crash points");
        examine(&fs, [WRITES; WRITERS], [WRITES; WRITERS]).unwrap();
    }
}

/// Each writer writes until the store refuses: nobody hangs, and what was acknowledged is found.
#[test]
fn a_failing_device_under_threads() {
    for seed in 0..16 {
        let fs = script::new_fs(seed);
        let store = Store::open(options(&fs)).unwrap();
        let ids = ids(&store);
        let mut rng = Rng::new(seed);
        let at = fs.op_count() + 20 + rng.below(400);
        fs.inject(at..if seed % 2 == 0 { at + 1 } else { u64::MAX }, None, Fault::Eio);
        let (acked, started) = (Counts::default(), Counts::default());
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (store, acked, started) = (&store, &acked, &started);
                scope.spawn(move || {
                    for count in 1..=WRITES {
                        started[writer].store(count, Ordering::SeqCst);
                        if write(store, ids, writer, count).is_err() {
                            return;
                        }
                        acked[writer].store(count, Ordering::SeqCst);
                    }
                });
            }
        });
        // What cannot be closed is left as a killed process leaves it.
        let closed = store.close();
        drop(store);
        fs.heal();
        for mode in CrashMode::ALL {
            let found = examine(&fs.crash(mode, seed), counts(&acked), counts(&started));
            found.unwrap_or_else(|what| panic!("seed {seed}, {mode:?}, {closed:?}: {what}"));
        }
    }
}
