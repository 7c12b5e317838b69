//! Compactions cut into parts, by range and by level: what they leave is what one thread would.

use super::background::never;
use super::*;

use crate::compaction::InFlight;
use crate::compaction::pick::pick_all;
use crate::compaction::split::split;
use crate::key::Kind;
use crate::levels::{Run, RunCursor, Version};
use crate::options::Leveled;
use crate::scan::Cursor;

/// What tables hold, in order: key, sequence number, kind, value.
type Entries = Vec<(Vec<u8>, u64, Kind, Vec<u8>)>;

/// What a scan gives.
type Pairs = Vec<(String, String)>;

fn version(store: &Store, keyspace: &Keyspace) -> Arc<Version> {
    store.kernel().keyspace(keyspace.id).unwrap().picture().version.clone()
}

fn entries_of_run(tables: Vec<Arc<crate::levels::TableFile>>) -> Entries {
    let mut entries = Entries::new();
    let mut cursor = RunCursor::new(Arc::new(Run { age: 0, tables }), false);
    cursor.seek_first().unwrap();
    while cursor.valid() {
        let (key, value) = (cursor.key().to_vec(), cursor.value().to_vec());
        entries.push((key, cursor.seq(), cursor.kind(), value));
        cursor.next().unwrap();
    }
    entries
}

/// A store with random versions in five runs, two snapshots into their midst, and the keyspace.
fn store_of(seed: u64, parts: usize, background: Background) -> (Store, Keyspace, Vec<Snapshot>) {
    let mut options = options(&sim());
    options.background = background;
    options.subcompactions_max = parts;
    options.table_bytes_max = 8 << 10;
    options.block_bytes = 512;
    (options.memtable_bytes_max, options.memtable_bytes_hard) = (1 << 20, 4 << 20);
    let store = Store::open(options).unwrap();
    let chosen = KeyspaceOptions { policy: Some(never()), ..KeyspaceOptions::default() };
    let keyspace = store.create_keyspace("kv/a", chosen).unwrap();
    let (mut rng, mut snapshots) = (Rng::new(seed), Vec::new());
    for round in 0..5 {
        for _ in 0..400 {
            let mut batch = WriteBatch::new();
            // A few keys have many versions, so that cuts fall among them.
            let key = if rng.one_in(3) { rng.below(5) * 60 } else { rng.below(300) };
            let key = format!("key{key:04}").into_bytes();
            match rng.below(5) {
                0 => batch.delete(keyspace.id, &key),
                1 => batch.merge(keyspace.id, &key, b"+operand"),
                _ => batch.put(keyspace.id, &key, &vec![b'v'; rng.below(80) as usize]),
            }
            let _ = store.write(&batch, WriteOptions::default()).unwrap();
        }
        if round == 1 || round == 3 {
            snapshots.push(store.snapshot());
        }
        store.flush(None).unwrap();
    }
    (store, keyspace, snapshots)
}

#[test]
fn parts_leave_what_one_thread_leaves() {
    for seed in 1..=6 {
        println!("seed {seed}"); // shown when the test fails
        let mut expected: Option<(Entries, Vec<Pairs>)> = None;
        for (parts, background) in
            [(1, Background::Inline), (4, Background::Inline), (4, Background::Threads(2))]
        {
            let (store, keyspace, snapshots) = store_of(seed, parts, background);
            let before = version(&store, &keyspace);
            let (levels, in_flight) = (before.summary(), InFlight::default());
            let plan =
                pick_all(keyspace.id, &levels, &Policy::default(), &in_flight, false).unwrap();
            let cut = split(&plan, &before, parts, 8 << 10).unwrap();
            assert_eq!(cut.len(), parts, "{cut:?}");
            store.compact(None, CompactOptions::default(), &|| false).unwrap();
            let after = version(&store, &keyspace);
            let runs: Vec<_> = after.runs().collect();
            assert_eq!(runs.len(), 1);
            let tables = runs[0].tables.clone();
            assert!(tables.windows(2).all(|t| t[0].meta.largest < t[1].meta.smallest));
            let entries = entries_of_run(tables);
            let read = |snapshot| {
                scan(&store, &keyspace, ScanOptions { snapshot, ..ScanOptions::default() })
            };
            let mut reads: Vec<_> = snapshots.iter().map(|snapshot| read(Some(snapshot))).collect();
            reads.push(read(None));
            match &expected {
                None => expected = Some((entries, reads)),
                Some(expected) => assert!(*expected == (entries, reads), "{parts} {background:?}"),
            }
            assert!(store.check(true, &|_, _| {}).unwrap().findings.is_empty());
        }
    }
}

#[test]
fn cancelled_parts_leave_nothing() {
    for background in [Background::Inline, Background::Threads(2)] {
        let (store, keyspace, _snapshots) = store_of(3, 4, background);
        let before = version(&store, &keyspace);
        let asked = std::sync::atomic::AtomicU64::new(0);
        // Once before there is a job; then while it runs.
        let is_cancelled = || asked.fetch_add(1, Ordering::SeqCst) > 0;
        let outcome = store.compact(None, CompactOptions::default(), &is_cancelled);
        if background == Background::Inline {
            // Parts of less than a MiB never ask.
            assert!(outcome.is_ok());
            continue;
        }
        // The job may have been faster than the question.
        if outcome.is_err() {
            assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
            assert_eq!(version(&store, &keyspace).tables().count(), before.tables().count());
        }
        assert!(store.check(true, &|_, _| {}).unwrap().findings.is_empty());
    }
}

#[test]
fn a_range_is_compacted_and_the_rest_stays() {
    let (store, keyspace, snapshots) = store_of(2, 2, Background::Inline);
    drop(snapshots);
    let leveled = Leveled { runs0_trigger: 99, ..Leveled::default() };
    store.set_policy(keyspace.id, Policy::Leveled(leveled)).unwrap();
    let all = scan(&store, &keyspace, ScanOptions::default());
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    let run = |store: &Store| {
        version(store, &keyspace).tables().map(|(_, t)| t.meta.number).collect::<Vec<_>>()
    };
    let tables = run(&store);
    assert!(tables.len() >= 2, "{tables:?}");
    // Deletes in one corner.
    let mut batch = WriteBatch::new();
    (290..300).for_each(|key| batch.delete(keyspace.id, format!("key{key:04}").as_bytes()));
    let _ = store.write(&batch, WriteOptions::default()).unwrap();
    let range = Bounds { lower: Some(b"key0290".to_vec()), upper: None };
    store.compact_range(keyspace.id, &range, &|| false).unwrap();
    let after = version(&store, &keyspace);
    assert_eq!(after.runs().count(), 1, "nothing is left above");
    assert_eq!(after.tables().map(|(_, table)| table.meta.deletes).sum::<u64>(), 0);
    assert_eq!(run(&store)[0], tables[0], "what is far from the range is left alone");
    let expected: Vec<_> = all.into_iter().filter(|(key, _)| key.as_str() < "key0290").collect();
    assert_eq!(scan(&store, &keyspace, ScanOptions::default()), expected);
    let nothing = Bounds { lower: Some(b"x".to_vec()), upper: Some(b"y".to_vec()) };
    store.compact_range(keyspace.id, &nothing, &|| false).unwrap();
}

#[test]
fn levels_are_compacted_one_by_one() {
    let (store, keyspace, _snapshots) = store_of(4, 2, Background::Inline);
    let all = scan(&store, &keyspace, ScanOptions::default());
    let levels = |store: &Store| {
        let mut levels: Vec<_> = version(store, &keyspace).tables().map(|(p, _)| p.level).collect();
        levels.dedup();
        levels
    };
    store.compact_level(keyspace.id, 0, &|| false).unwrap();
    assert_eq!((levels(&store), version(&store, &keyspace).runs().count()), (vec![0], 1));
    let leveled = Leveled { runs0_trigger: 99, ..Leveled::default() };
    store.set_policy(keyspace.id, Policy::Leveled(leveled)).unwrap();
    store.compact_level(keyspace.id, 0, &|| false).unwrap();
    assert_eq!(levels(&store), [6]);
    let before: Vec<_> = version(&store, &keyspace).tables().map(|(_, t)| t.meta.number).collect();
    store.compact_level(keyspace.id, 6, &|| false).unwrap();
    let after: Vec<_> = version(&store, &keyspace).tables().map(|(_, t)| t.meta.number).collect();
    assert!(before.iter().all(|number| !after.contains(number)), "the last level is rewritten");
    store.compact_level(keyspace.id, 3, &|| false).unwrap();
    assert!(matches!(store.compact_level(keyspace.id, 7, &|| false), Err(Error::Invalid { .. })));
    assert_eq!(scan(&store, &keyspace, ScanOptions::default()), all);
}
