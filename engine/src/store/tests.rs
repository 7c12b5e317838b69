//! The store on a simulated disk: histories, jobs, limits, failures, threads.

mod background;
mod parts;

mod durable;
mod history;
mod log_end;
mod on_corruption;
mod read_only;
mod reads;
mod set_options;

use std::path::Path;
use std::sync::atomic::Ordering;

use super::*;

use crate::clock::ManualClock;
use crate::fs::Fs;
use crate::fs::sim::{Rng, SimFs};
use crate::hooks::{Hooks, Plain};
use crate::options::{Background, HookResolver};

mod range_deletes;
mod ttl;

#[derive(Debug)]
struct PlainHooks;

impl HookResolver for PlainHooks {
    fn hooks(&self, _: &str) -> Arc<dyn Hooks> {
        fn append(_: &[u8], base: Option<&[u8]>, operands: &[&[u8]]) -> Vec<u8> {
            let mut out = base.unwrap_or_default().to_vec();
            operands.iter().for_each(|operand| out.extend_from_slice(operand));
            out
        }
        Arc::new(Plain::with_merge(append))
    }
}

fn options(fs: &Arc<dyn Fs>) -> Options {
    let mut options =
        Options::new("/db", fs.clone(), Arc::new(ManualClock::at(1)), Arc::new(PlainHooks));
    options.background = Background::Inline;
    options.memtable_bytes_max = 64 << 10;
    options.memtable_bytes_hard = 256 << 10;
    options.wal_segment_bytes = 128 << 10;
    options.wal_bytes_max = 256 << 10;
    options.table_bytes_max = 32 << 10;
    options.policy =
        Policy::Leveled(crate::options::Leveled { base_bytes: 64 << 10, ..Default::default() });
    options
}

fn sim() -> Arc<dyn Fs> {
    Arc::new(SimFs::new(1))
}

fn put(store: &Store, keyspace: &Keyspace, key: &str, value: &str) {
    let mut batch = WriteBatch::new();
    batch.put(keyspace.id, key.as_bytes(), value.as_bytes());
    let _ = store.write(&batch, WriteOptions::default()).unwrap();
}

fn get(store: &Store, keyspace: &Keyspace, key: &str) -> Option<String> {
    let value = store.get(keyspace.id, key.as_bytes(), None).unwrap();
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn scan(store: &Store, keyspace: &Keyspace, options: ScanOptions<'_>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let pairs = store.scan(keyspace.id, options).unwrap();
    pairs.map(|pair| pair.map(|(k, v)| (text(&k), text(&v))).unwrap()).collect()
}

#[test]
fn what_is_written_is_read_before_and_after_flush_and_reopen() {
    let fs = sim();
    let store = Store::open(options(&fs)).unwrap();
    let a = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    let b = store.create_keyspace("kv/b", KeyspaceOptions::default()).unwrap();
    assert_eq!(store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap(), a);
    put(&store, &a, "1", "one");
    put(&store, &b, "1", "other");
    assert_eq!(get(&store, &a, "1").as_deref(), Some("one"));
    store.flush(Some(a.id)).unwrap();
    assert_eq!(get(&store, &a, "1").as_deref(), Some("one"));
    put(&store, &a, "2", "two");
    store.close().unwrap();
    assert!(matches!(store.get(a.id, b"1", None), Err(Error::Closed)));
    drop(store);
    let store = Store::open(options(&fs)).unwrap();
    assert_eq!(store.keyspaces(), [a.clone(), b.clone()]);
    assert_eq!(get(&store, &a, "1").as_deref(), Some("one"));
    assert_eq!(get(&store, &a, "2").as_deref(), Some("two"));
    assert_eq!(get(&store, &b, "1").as_deref(), Some("other"));
    let pairs = scan(&store, &a, ScanOptions::default());
    assert_eq!(pairs, [("1".into(), "one".into()), ("2".into(), "two".into())]);
    let report = store.check(true, &|_, _| {}).unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}

#[test]
fn a_store_that_flushed_everything_holds_no_log() {
    let fs = sim();
    let store = Store::open(options(&fs)).unwrap();
    let a = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    for i in 0..2000 {
        put(&store, &a, &format!("{i:06}"), &"x".repeat(100));
    }
    store.flush(None).unwrap();
    let logs = || {
        let names = fs.list(std::path::Path::new("/db")).unwrap();
        names.iter().filter(|name| name.ends_with(".log")).count()
    };
    assert_eq!(logs(), 1, "the segment in use; none sealed, none prepared");
    put(&store, &a, "later", "1");
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    assert_eq!(logs(), 1);
    put(&store, &a, "last", "2");
    drop(store);
    let store = Store::open(options(&fs)).unwrap();
    assert_eq!(get(&store, &a, "later").as_deref(), Some("1"));
    assert_eq!(get(&store, &a, "last").as_deref(), Some("2"));
}

type Model = std::collections::BTreeMap<String, String>;

fn fill(store: &Store, keyspace: &Keyspace, keys: std::ops::Range<u32>, value_bytes: usize) {
    let value = "v".repeat(value_bytes);
    keys.for_each(|key| put(store, keyspace, &format!("{key:06}"), &value));
}

fn table_files(fs: &SimFs) -> usize {
    let names = fs.list(std::path::Path::new("/db")).unwrap();
    names.iter().filter(|name| name.ends_with(".tbl")).count()
}

fn tables_of(store: &Store) -> u64 {
    let classes = store.metrics().classes;
    classes.values().flat_map(|class| &class.levels).map(|level| level.tables).sum()
}

#[test]
fn jobs_run_by_themselves_and_leave_no_file_behind() {
    let fs = SimFs::new(1);
    let store = Store::open(options(&(Arc::new(fs.clone()) as Arc<dyn Fs>))).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    for round in 0..4 {
        fill(&store, &keyspace, 0..2000, 100 + round);
    }
    let metrics = store.metrics();
    assert!(metrics.flush_bytes > 500_000, "{metrics:?}");
    assert!(metrics.compactions.iter().any(|(kind, _)| kind.status == "ok"), "{metrics:?}");
    assert!(metrics.compactions_running.is_empty());
    assert!(metrics.wal_bytes < 600 << 10, "the log is cut: {} bytes", metrics.wal_bytes);
    assert!(metrics.memtable_active_bytes <= 64 << 10);
    assert_eq!(table_files(&fs) as u64, tables_of(&store));
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    let class = &store.metrics().classes["kv"];
    assert_eq!((class.entries, class.read_amplification), (2000, 1));
    store.drop_keyspaces(&[keyspace.id, KeyspaceId(77)], "test").unwrap();
    assert_eq!((table_files(&fs), tables_of(&store)), (0, 0));
    assert_eq!(store.metrics().memtable_active_bytes, 0);
    let batch = {
        let mut batch = WriteBatch::new();
        batch.put(keyspace.id, b"k", b"v");
        batch
    };
    let refused = store.write(&batch, WriteOptions::default());
    assert!(matches!(refused, Err(Error::NotFound { .. })));
}

#[test]
fn views_keep_their_files_until_they_go() {
    let fs = SimFs::new(1);
    let store = Store::open(options(&(Arc::new(fs.clone()) as Arc<dyn Fs>))).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    fill(&store, &keyspace, 0..500, 50);
    store.flush(None).unwrap();
    fill(&store, &keyspace, 500..510, 50);
    let view = store.view(keyspace.id).unwrap();
    let entries: u64 = view.tables().iter().map(|table| table.entries).sum();
    assert_eq!((entries, view.memtables.len()), (500, 1));
    let mut cursor = view.cursor(false);
    cursor.seek_first().unwrap();
    let mut iterator = store.scan(keyspace.id, ScanOptions::default()).unwrap();
    store.drop_keyspaces(&[keyspace.id], "test").unwrap();
    drop(view);
    assert!(table_files(&fs) > 0, "two readers are left");
    let mut count = 0;
    while cursor.valid() {
        count += 1;
        cursor.next().unwrap();
    }
    assert_eq!(count, 500);
    drop(cursor);
    assert_eq!(iterator.by_ref().map(Result::unwrap).count(), 510);
    drop(iterator);
    store.maintain().unwrap();
    assert_eq!(table_files(&fs), 0);
}

#[test]
fn final_is_asked_for_once() {
    let fs = sim();
    let store = Store::open(options(&fs)).unwrap();
    let tiered = KeyspaceOptions {
        policy: Some(Policy::Tiered(Default::default())),
        ..KeyspaceOptions::default()
    };
    let keyspace = store.create_keyspace("points/1", tiered).unwrap();
    for round in 0..3 {
        fill(&store, &keyspace, 0..100 + round, 50);
        store.flush(None).unwrap();
    }
    let is_final = || store.view(keyspace.id).unwrap().is_final();
    assert!(!is_final());
    fill(&store, &keyspace, 0..1, 50);
    store.mark_final(keyspace.id).unwrap();
    assert!(is_final());
    let count = |store: &Store| store.metrics().compactions_recent.len();
    let before = count(&store);
    store.mark_final(keyspace.id).unwrap();
    assert_eq!(count(&store), before, "it already is final");
    fill(&store, &keyspace, 0..1, 50);
    store.flush(None).unwrap();
    assert!(!is_final(), "late data opens it again");
    store.mark_final(keyspace.id).unwrap();
    assert!(is_final());
    store.close().unwrap();
    let store = Store::open(options(&fs)).unwrap();
    assert!(store.view(keyspace.id).unwrap().is_final(), "the manifest keeps it");
}

#[test]
fn ten_thousand_keyspaces_are_cheap() {
    let fs = SimFs::new(1);
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let store = Store::open(options(&shared)).unwrap();
    let names = (0..10_000).map(|n| format!("points/{n}"));
    let create = |name: String| store.create_keyspace(&name, KeyspaceOptions::default()).unwrap();
    let keyspaces: Vec<_> = names.map(create).collect();
    fill(&store, &keyspaces[5000], 0..10, 10);
    store.flush(Some(keyspaces[5000].id)).unwrap();
    let metrics = store.metrics();
    assert_eq!((metrics.memtables_active, metrics.memtables_sealed), (0, 0));
    assert_eq!((metrics.classes["points"].keyspaces, table_files(&fs)), (10_000, 1));
    store.close().unwrap();
    let before = fs.op_count();
    let store = Store::open(options(&shared)).unwrap();
    assert!(fs.op_count() - before < 100, "open reads the manifest, not every keyspace");
    assert_eq!(get(&store, &keyspaces[5000], "000003").as_deref(), Some("vvvvvvvvvv"));
    let ids: Vec<_> = keyspaces.iter().map(|keyspace| keyspace.id).collect();
    let before = fs.op_count();
    store.drop_keyspaces(&ids, "retention").unwrap();
    assert!(fs.op_count() - before < 20, "one edit for all");
    assert_eq!((table_files(&fs), store.keyspaces().len()), (0, 0));
}

#[test]
fn a_long_log_is_replayed_in_bounded_memory() {
    let fs = sim();
    let mut wide = options(&fs);
    wide.memtable_bytes_max = 16 << 20;
    wide.memtable_bytes_hard = 32 << 20;
    wide.wal_bytes_max = 64 << 20;
    let store = Store::open(wide).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    fill(&store, &keyspace, 0..5000, 100);
    assert_eq!(store.metrics().flush_bytes, 0);
    store.close().unwrap();
    let calls = std::cell::RefCell::new(Vec::new());
    let store =
        Store::open_with_progress(options(&fs), &|progress| calls.borrow_mut().push(progress));
    let store = store.unwrap();
    assert_eq!(calls.borrow().first(), Some(&OpenProgress::Manifest));
    let is_done = |progress: &OpenProgress| match progress {
        OpenProgress::Replay { done_bytes, total_bytes } => done_bytes == total_bytes,
        _ => false,
    };
    assert!(calls.borrow().last().is_some_and(is_done), "{:?}", calls.borrow().last());
    let metrics = store.metrics();
    let replays = metrics.flushes.iter().find(|(reason, _)| *reason == "replay").unwrap().1;
    assert!(replays > 5, "{replays} flushes");
    assert!(metrics.memtable_active_bytes <= 64 << 10);
    assert_eq!(metrics.wal_recovered_records, 5000);
    assert_eq!(scan(&store, &keyspace, ScanOptions::default()).len(), 5000);
}

#[test]
fn opening_twice_repairs_nothing() {
    let fs = SimFs::new(1);
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let store = Store::open(options(&shared)).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    fill(&store, &keyspace, 0..3000, 100);
    let crashed = fs.crash(crate::fs::sim::CrashMode::ALL[2], 5);
    drop(store);
    let shared: Arc<dyn Fs> = Arc::new(crashed.clone());
    drop(Store::open(options(&shared)).unwrap());
    let tables = table_files(&crashed);
    let store = Store::open(options(&shared)).unwrap();
    assert_eq!((table_files(&crashed), store.metrics().wal_torn_bytes), (tables, 0));
    assert_eq!(tables as u64, tables_of(&store), "no orphan was left to the second open");
    assert_eq!(scan(&store, &keyspace, ScanOptions::default()).len(), 3000);
}

#[test]
fn a_second_store_is_refused_while_the_first_lives() {
    let fs = sim();
    let store = Store::open(options(&fs)).unwrap();
    assert!(matches!(Store::open(options(&fs)), Err(Error::Locked { .. })));
    drop(store);
    drop(Store::open(options(&fs)).unwrap());
}

#[test]
fn what_a_batch_may_not_say() {
    let store = Store::open(options(&sim())).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap().id;
    let try_write = |fill: &dyn Fn(&mut WriteBatch)| {
        let mut batch = WriteBatch::new();
        batch.put(keyspace, b"good", b"v");
        fill(&mut batch);
        store.write(&batch, WriteOptions::default()).unwrap_err()
    };
    let error = try_write(&|batch| batch.append(keyspace, b"payload"));
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    let error = try_write(&|batch| batch.put(keyspace, b"", b"v"));
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    let error = try_write(&|batch| batch.put(KeyspaceId(9), b"k", b"v"));
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let error = try_write(&|batch| batch.put(keyspace, &[1; 70_000], b"v"));
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    assert_eq!(store.get(keyspace, b"good", None).unwrap(), None, "nothing of them was stored");
    assert_eq!(store.write(&WriteBatch::new(), WriteOptions::default()).unwrap().seq(), 0);
}

#[test]
fn a_full_disk_is_waited_out() {
    use crate::fs::sim::Fault;
    let fs = SimFs::new(1);
    let store = Store::open(options(&(Arc::new(fs.clone()) as Arc<dyn Fs>))).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    fill(&store, &keyspace, 0..100, 50);
    let count = fs.op_count();
    fs.inject(count..count + 40, Some(crate::fs::sim::OpKind::Create), Fault::NoSpace);
    let error = store.flush(None).unwrap_err();
    assert!(error.is_no_space(), "{error}");
    assert_eq!(table_files(&fs), 0);
    fill(&store, &keyspace, 100..110, 50);
    fs.heal();
    store.flush(None).unwrap();
    assert_eq!(scan(&store, &keyspace, ScanOptions::default()).len(), 110);
    assert!(store.read_only_cause().is_none());
}

#[test]
fn a_failed_sync_of_the_log_ends_writing_not_reading() {
    use crate::fs::sim::{Fault, OpKind};
    let fs = SimFs::new(1);
    let store = Store::open(options(&(Arc::new(fs.clone()) as Arc<dyn Fs>))).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    fill(&store, &keyspace, 0..10, 50);
    let count = fs.op_count();
    fs.inject(count..count + 1000, Some(OpKind::Sync), Fault::Eio);
    let mut batch = WriteBatch::new();
    batch.put(keyspace.id, b"lost", b"v");
    let write = |batch: &WriteBatch| store.write(batch, WriteOptions::default());
    assert!(matches!(write(&batch), Err(Error::ReadOnly { .. })));
    fs.heal();
    assert!(matches!(write(&batch), Err(Error::ReadOnly { .. })), "it is never retried");
    assert!(matches!(store.flush(None), Err(Error::ReadOnly { .. })));
    assert!(store.read_only_cause().is_some());
    assert_eq!(get(&store, &keyspace, "000003").map(|value| value.len()), Some(50));
    drop(store);
    let store = Store::open(options(&(Arc::new(fs.clone()) as Arc<dyn Fs>))).unwrap();
    fill(&store, &keyspace, 0..10, 50);
}

/// Writers, readers and workers at once: every batch is whole at every moment.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test needs writers at the same time")]
fn threads_see_whole_batches() {
    let fs = sim();
    let mut options = options(&fs);
    options.background = Background::Threads(2);
    let store = Store::open(options).unwrap();
    let create = |name: &str| store.create_keyspace(name, KeyspaceOptions::default()).unwrap();
    let keyspace = create("kv/a");
    let writers: Vec<_> = (0..4u32)
        .map(|writer| {
            let (store, id) = (store.clone(), keyspace.id);
            std::thread::spawn(move || {
                let mut batch = WriteBatch::new();
                for round in 0..400u32 {
                    batch.clear();
                    let value = round.to_be_bytes().repeat(25);
                    for part in 0..3 {
                        batch.put(id, format!("{writer}/{part}").as_bytes(), &value);
                    }
                    loop {
                        match store.write(&batch, WriteOptions::default()) {
                            Err(Error::Busy { .. }) => {}
                            done => break drop(done.unwrap()),
                        }
                    }
                }
            })
        })
        .collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        let snapshot = store.snapshot();
        for writer in 0..4 {
            let part = |part: u32| {
                let key = format!("{writer}/{part}");
                store.get(keyspace.id, key.as_bytes(), Some(&snapshot)).unwrap()
            };
            let first = part(0).map(|value| value.to_vec());
            assert!((1..3).all(|n| part(n).map(|value| value.to_vec()) == first));
        }
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    store.flush(None).unwrap();
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    assert_eq!(store.metrics().classes["kv"].entries, 12);
    let last = 399u32.to_be_bytes().repeat(25);
    assert_eq!(store.get(keyspace.id, b"3/2", None).unwrap().map(|v| v.to_vec()), Some(last));
    store.close().unwrap();
}

#[test]
fn a_cancelled_compaction_leaves_things_as_they_were() {
    let fs = SimFs::new(1);
    let mut options = options(&(Arc::new(fs.clone()) as Arc<dyn Fs>));
    options.memtable_bytes_max = 8 << 20;
    options.memtable_bytes_hard = 16 << 20;
    options.wal_bytes_max = 64 << 20;
    let store = Store::open(options).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    for _ in 0..2 {
        fill(&store, &keyspace, 0..2000, 1000);
        store.flush(None).unwrap();
    }
    let tables = table_files(&fs);
    let asked = std::cell::Cell::new(0);
    let is_cancelled = || asked.replace(asked.get() + 1) > 1;
    let outcome = store.compact(None, CompactOptions::default(), &is_cancelled);
    assert!(matches!(outcome, Err(Error::Cancelled)));
    assert!(asked.get() > 2, "asked while it ran");
    assert_eq!(table_files(&fs), tables);
    assert_eq!(scan(&store, &keyspace, ScanOptions::default()).len(), 2000);
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    assert_eq!(store.metrics().classes["kv"].entries, 2000);
}

#[test]
fn writers_are_refused_when_flushes_are_behind_and_taken_again_later() {
    use crate::fs::sim::{Fault, OpKind};
    let (fs, clock) = (SimFs::new(1), Arc::new(ManualClock::at(1)));
    let mut options = options(&(Arc::new(fs.clone()) as Arc<dyn Fs>));
    options.background = Background::Threads(1);
    options.clock = clock.clone();
    // No new segment is needed while the disk takes no new file.
    options.wal_segment_bytes = 64 << 20;
    options.stall_ms_max = 20;
    let store = Store::open(options).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    fs.inject(0..u64::MAX, Some(OpKind::Create), Fault::NoSpace);
    let mut batch = WriteBatch::new();
    batch.put(keyspace.id, b"key", &[7; 1000]);
    let mut written = 0;
    let refused = loop {
        match store.write(&batch, WriteOptions::default()) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1000, "memory is bounded");
    };
    assert!(matches!(refused, Error::Busy { retry_after_ms: 20, .. }), "{refused}");
    let metrics = store.metrics();
    assert!(metrics.memtable_active_bytes + metrics.memtable_sealed_bytes <= 256 << 10);
    assert!(metrics.stalls > 0 && metrics.refused_busy == 1);
    assert!(store.read_only_cause().is_none());
    // The worker may be slower than the writer: each refusal gives it some time.
    while store.metrics().job_failures == 0 {
        assert!(store.write(&batch, WriteOptions::default()).is_err(), "there is no room");
    }
    fs.heal();
    clock.advance_ns(2_000_000_000);
    store.maintain().unwrap();
    store.flush(None).unwrap();
    let _ = store.write(&batch, WriteOptions::default()).unwrap();
}

#[test]
fn old_memtables_are_flushed_when_asked_for() {
    let fs = sim();
    let clock = Arc::new(ManualClock::at(1));
    let mut options = options(&fs);
    options.clock = clock.clone();
    let store = Store::open(options).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    fill(&store, &keyspace, 0..10, 10);
    store.maintain().unwrap();
    assert_eq!(store.metrics().memtables_active, 1);
    clock.advance_ns(3_600_000_000_000);
    store.maintain().unwrap();
    let metrics = store.metrics();
    assert_eq!((metrics.memtables_active, metrics.memtables_sealed), (0, 0));
    assert!(metrics.flushes.contains(&("age", 1)), "{:?}", metrics.flushes);
}

/// A keyspace that seldom writes does not hold the log of those that often do.
#[test]
fn the_log_is_not_held_by_a_quiet_keyspace() {
    let fs = sim();
    let store = Store::open(options(&fs)).unwrap();
    let create = |name: &str| store.create_keyspace(name, KeyspaceOptions::default()).unwrap();
    let (quiet, busy) = (create("kv/quiet"), create("kv/busy"));
    put(&store, &quiet, "k", "v");
    fill(&store, &busy, 0..20_000, 100);
    let metrics = store.metrics();
    assert!(metrics.flushes.contains(&("wal", 1)), "{:?}", metrics.flushes);
    // What may be pinned, what is between two looks, and a segment.
    assert!(metrics.wal_bytes < (256 + 1024 + 128) << 10, "{} bytes", metrics.wal_bytes);
    assert_eq!(get(&store, &quiet, "k").as_deref(), Some("v"));
}

#[test]
fn a_policy_stays_chosen() {
    let fs = sim();
    let store = Store::open(options(&fs)).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    let never =
        crate::options::Tiered { merge_runs_min: 99, merge_runs_max: 99, ratio: 1.0, runs_max: 99 };
    store.set_policy(keyspace.id, Policy::Tiered(never)).unwrap();
    for round in 0..8 {
        fill(&store, &keyspace, round..round + 2, 10);
        store.flush(None).unwrap();
    }
    let runs = |store: &Store| store.metrics().classes["kv"].read_amplification;
    assert_eq!(runs(&store), 8);
    store.close().unwrap();
    let store = Store::open(options(&fs)).unwrap();
    assert_eq!(runs(&store), 8, "not compacted as the store's default says");
    store.set_policy(keyspace.id, Policy::default()).unwrap();
    assert_eq!(runs(&store), 1, "the new policy finds the debt at once");
    assert_eq!(scan(&store, &keyspace, ScanOptions::default()).len(), 9);
}
