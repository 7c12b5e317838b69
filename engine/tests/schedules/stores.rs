//! A whole store: writers, readers, transactions, flushes, compactions, drops and the close at
//! once.

#![expect(clippy::unwrap_used, reason = "a test, also outside its #[test]")]

use std::path::Path;
use std::sync::Arc;

use firndb_engine::Error;
use firndb_engine::batch::WriteBatch;
use firndb_engine::clock::ManualClock;
use firndb_engine::fs::sim::{CrashMode, DirOrder, Keep, SimFs};
use firndb_engine::hooks::Plain;
use firndb_engine::key::KeyspaceId;
use firndb_engine::options::{Background, KeyspaceOptions, Leveled, Options, Policy};
use firndb_engine::snapshot::Snapshot;
use firndb_engine::store::{CompactOptions, ScanOptions, Store, WriteOptions};
use shuttle::thread;

use crate::explore;
use crate::yielding::YieldingFs;

/// Two workers, and memtables and tables of a few entries.
fn options(fs: &SimFs, background: Background) -> Options {
    let clock = Arc::new(ManualClock::at(1));
    let plain = Arc::new(Plain::new());
    Options {
        background,
        memtable_bytes_max: 300,
        memtable_bytes_hard: 1 << 30,
        wal_segment_bytes: 1 << 10,
        cache_bytes: 0,
        files_open_max: 1,
        policy: Policy::Leveled(Leveled { runs0_trigger: 2, ratio: 2, base_bytes: 4 << 10 }),
        ..Options::new(Path::new("/db"), Arc::new(YieldingFs(fs.clone())), clock, plain)
    }
}

fn open(fs: &SimFs) -> (Store, [KeyspaceId; 2]) {
    let store = Store::open(options(fs, Background::Threads(2))).unwrap();
    let id = |name| store.create_keyspace(name, KeyspaceOptions::default()).unwrap().id;
    let ids = [id("a"), id("b")];
    (store, ids)
}

/// Writes the count to both keyspaces, in one batch.
fn write(store: &Store, ids: [KeyspaceId; 2], writer: u8, count: u8) -> Result<(), Error> {
    let mut batch = WriteBatch::new();
    for id in ids {
        batch.put(id, &[writer], &[count; 60]);
        batch.put(id, &[writer, count], &[count]);
    }
    store.write(&batch, WriteOptions::default()).map(drop)
}

/// The count of a writer, when all of it fits together.
fn read(store: &Store, ids: [KeyspaceId; 2], writer: u8, snapshot: &Snapshot) -> u8 {
    let last = |id| {
        let value = store.get(id, &[writer], Some(snapshot)).unwrap();
        value.map_or(0, |value| value[0])
    };
    let count = last(ids[0]);
    assert_eq!(count, last(ids[1]), "batches are whole");
    let options = ScanOptions { snapshot: Some(snapshot), ..ScanOptions::default() };
    let keys = store.scan(ids[0], options).unwrap().map(|pair| pair.unwrap().0);
    let of_writer = keys.filter(|key| key.len() == 2 && key[0] == writer).count();
    assert_eq!(of_writer, count as usize, "each write up to the last is there");
    count
}

fn examine(fs: &SimFs, least: [u8; 2]) {
    let store = Store::open(options(fs, Background::Inline)).unwrap();
    let id = |name| store.keyspace(name).unwrap().id;
    let (ids, snapshot) = ([id("a"), id("b")], store.snapshot());
    for writer in 0..2 {
        let found = read(&store, ids, writer, &snapshot);
        assert!(found >= least[writer as usize], "{found} found, {least:?} acknowledged");
    }
    let report = store.check(true, &|_, _| {}).unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    store.close().unwrap();
}

#[test]
fn writers_readers_and_jobs() {
    explore("schedules of a store", 2_000, || {
        let fs = SimFs::new(1);
        let (store, ids) = open(&fs);
        let writers = [0, 1].map(|writer| {
            let store = store.clone();
            thread::spawn(move || {
                (1..=4).for_each(|count| write(&store, ids, writer, count).unwrap());
            })
        });
        let reader = {
            let store = store.clone();
            thread::spawn(move || {
                let mut before = [0; 2];
                for _ in 0..3 {
                    let snapshot = store.snapshot();
                    for writer in 0..2 {
                        let found = read(&store, ids, writer, &snapshot);
                        assert!(found >= before[writer as usize], "a count never goes back");
                        before[writer as usize] = found;
                    }
                }
            })
        };
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        // Acknowledged, so on disk, whatever the jobs are about.
        examine(&fs.crash(CrashMode { keep: Keep::None, dirs: DirOrder::Any }, 1), [4; 2]);
        store.compact(None, CompactOptions::default(), &|| false).unwrap();
        reader.join().unwrap();
        store.close().unwrap();
        examine(&fs, [4; 2]);
    });
}

/// An iterator goes on over tables that compactions replace and remove beside it.
#[test]
fn iterators_keep_their_tables() {
    explore("schedules of iterators", 4_000, || {
        let fs = SimFs::new(1);
        let (store, ids) = open(&fs);
        (1..=4).for_each(|count| write(&store, ids, 0, count).unwrap());
        let compacting = {
            let store = store.clone();
            thread::spawn(move || {
                write(&store, ids, 0, 5).unwrap();
                store.compact(None, CompactOptions::default(), &|| false).unwrap();
            })
        };
        let mut walk = store.scan(ids[0], ScanOptions::default()).unwrap();
        let mut keys = 0;
        while walk.advance().unwrap() {
            keys += 1;
            thread::yield_now();
        }
        assert!(keys == 5 || keys == 6, "{keys} keys");
        compacting.join().unwrap();
        drop(walk);
        store.close().unwrap();
    });
}

/// The close comes while others write: each write is done or refused, and nobody waits for ever.
#[test]
fn a_close_beside_writers() {
    explore("schedules of a close", 4_000, || {
        let fs = SimFs::new(1);
        let (store, ids) = open(&fs);
        let writers = [0, 1].map(|writer| {
            let store = store.clone();
            thread::spawn(move || {
                let mut acknowledged = 0;
                for count in 1..=3 {
                    match write(&store, ids, writer, count) {
                        Ok(()) => acknowledged = count,
                        Err(Error::Closed) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                acknowledged
            })
        });
        thread::yield_now();
        store.close().unwrap();
        examine(&fs, writers.map(|writer| writer.join().unwrap()));
    });
}

/// A keyspace is dropped while others write to it and to another in one batch.
#[test]
fn a_drop_beside_writers() {
    explore("schedules of a drop", 4_000, || {
        let fs = SimFs::new(1);
        let (store, ids) = open(&fs);
        let writer = {
            let store = store.clone();
            thread::spawn(move || {
                for count in 1..=4 {
                    match write(&store, ids, 0, count) {
                        Ok(()) => {}
                        Err(Error::NotFound { .. }) => return count - 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                4
            })
        };
        store.drop_keyspaces(&[ids[1]], "test").unwrap();
        let written = writer.join().unwrap();
        let found = store.get(ids[0], &[0], None).unwrap();
        assert_eq!(found.map_or(0, |value| value[0]), written, "a refused batch leaves nothing");
        store.close().unwrap();
        let again = Store::open(options(&fs, Background::Inline)).unwrap();
        assert!(again.keyspace("b").is_none(), "what was dropped stays dropped");
        let found = again.get(ids[0], &[0], None).unwrap();
        assert_eq!(found.map_or(0, |value| value[0]), written);
        again.close().unwrap();
    });
}

/// Transactions that read and write one counter: one of two at a time is refused, no step is lost.
#[test]
fn transactions_count_every_step() {
    explore("schedules of transactions", 4_000, || {
        let fs = SimFs::new(1);
        let (store, ids) = open(&fs);
        let count = move |store: &Store| {
            for _ in 0..2 {
                loop {
                    let mut transaction = store.transaction().unwrap();
                    let before = transaction.get(ids[0], b"count").unwrap();
                    let next = before.map_or(1, |value| value[0] + 1);
                    transaction.put(ids[0], b"count", &[next; 100]).unwrap();
                    match transaction.commit(WriteOptions::default()) {
                        Ok(_) => break,
                        Err(Error::Conflict { .. }) => thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        };
        let other = {
            let store = store.clone();
            thread::spawn(move || count(&store))
        };
        count(&store);
        other.join().unwrap();
        let found = store.get(ids[0], b"count", None).unwrap().unwrap();
        assert_eq!(found[0], 4, "steps");
        store.close().unwrap();
    });
}
