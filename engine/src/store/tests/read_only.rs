//! Stores opened to be read: they see what the writer acknowledged, and leave no trace.

use std::collections::BTreeMap;
use std::path::PathBuf;

use parking_lot::Mutex;

use super::*;
use crate::fs::sim::{CrashMode, OpKind, Rng};
use crate::snapshot::Snapshot;
use crate::transaction::TransactionOptions;

fn all_bytes(fs: &SimFs) -> BTreeMap<PathBuf, Vec<u8>> {
    fs.files().into_iter().map(|path| (path.clone(), fs.bytes(&path).unwrap())).collect()
}

fn shared(fs: &SimFs) -> Arc<dyn Fs> {
    Arc::new(fs.clone())
}

/// Everything in every keyspace; all of it is read from tables and memtables.
fn content(store: &Store) -> BTreeMap<String, Vec<(String, String)>> {
    let content = |keyspace: Keyspace| {
        let pairs = scan(store, &keyspace, ScanOptions::default());
        (keyspace.name.to_string(), pairs)
    };
    store.keyspaces().into_iter().map(content).collect()
}

/// Some history over two keyspaces, with several tables and something in the log only.
fn write(fs: &SimFs, seed: u64) -> Store {
    let store = Store::open(options(&shared(fs))).unwrap();
    let keyspaces = ["kv/a", "kv/b"]
        .map(|name| store.create_keyspace(name, KeyspaceOptions::default()).unwrap());
    let mut rng = Rng::new(seed);
    for step in 0..120 {
        let mut batch = WriteBatch::new();
        for keyspace in &keyspaces {
            batch.put(keyspace.id, format!("{:02}", rng.below(40)).as_bytes(), &[b'x'; 300]);
            batch.put(keyspace.id, b"step", step.to_string().as_bytes());
        }
        let _ = store.write(&batch, WriteOptions::default()).unwrap();
        match rng.below(40) {
            0 => store.flush(None).unwrap(),
            1 => store.compact(None, CompactOptions::default(), &|| false).unwrap(),
            _ => {}
        }
    }
    store
}

#[test]
fn a_store_that_is_read_only_changes_not_a_byte_and_refuses_every_write() {
    let fs = SimFs::new(1);
    // The writer lives: it holds the lock, and part of its data is in the log alone.
    let writer = write(&fs, 1);
    let (before, expected) = (all_bytes(&fs), content(&writer));
    fs.start_trace();
    let store = Store::open_read_only(options(&shared(&fs))).unwrap();
    assert_eq!(content(&store), expected);
    let a = store.keyspace("kv/a").unwrap();
    assert_eq!(get(&store, &a, "step").as_deref(), Some("119"));
    assert!(store.metrics().visible_seq == 120 && store.view(a.id).is_ok());
    let findings = store.check(true, &|_, _| {}).unwrap().findings;
    assert!(findings.is_empty(), "{findings:?}");
    let snapshot: Snapshot = store.snapshot();
    let mut batch = WriteBatch::new();
    batch.put(a.id, b"k", b"v");
    let write = || store.write(&batch, WriteOptions::default()).map(drop);
    let transact = || {
        let mut transaction = store.transaction_with(TransactionOptions::default())?;
        assert!(transaction.get(a.id, b"step")?.is_some());
        transaction.put(a.id, b"k", b"v")?;
        transaction.commit(WriteOptions::default()).map(drop)
    };
    let create = || store.create_keyspace("kv/c", KeyspaceOptions::default()).map(drop);
    let compact = || store.compact(None, CompactOptions::default(), &|| false);
    let checkpoint = || store.checkpoint(std::path::Path::new("/other"), &|| false);
    let refused: [(&str, &dyn Fn() -> Result<()>); 13] = [
        ("write", &write),
        ("transact", &transact),
        ("create", &create),
        ("drop", &|| store.drop_keyspaces(&[a.id], "test")),
        ("flush", &|| store.flush(None)),
        ("compact", &compact),
        ("rewrite", &|| store.rewrite(a.id, CompactOptions::default(), &|| false)),
        ("policy", &|| store.set_policy(a.id, Policy::Tiered(Default::default()))),
        ("final", &|| store.mark_final(a.id)),
        ("sync", &|| store.sync()),
        ("maintain", &|| store.maintain()),
        ("import", &|| store.begin_import().map(drop)),
        ("checkpoint", &checkpoint),
    ];
    for (what, call) in refused {
        let error = call().expect_err(what);
        let is_meant = matches!(&error, Error::ReadOnly { cause }
            if matches!(**cause, Error::OpenedReadOnly));
        assert!(is_meant, "{what}: {error}");
    }
    drop(snapshot);
    store.close().unwrap();
    assert!(matches!(store.get(a.id, b"k", None), Err(Error::Closed)));
    drop(store);
    let allowed = [OpKind::Open, OpKind::Read, OpKind::Len, OpKind::List, OpKind::Exists];
    let made = fs.trace();
    let wrote: Vec<_> = made.iter().filter(|op| !allowed.contains(&op.kind)).collect();
    assert!(wrote.is_empty(), "{wrote:?}");
    assert!(all_bytes(&fs) == before);
    put(&writer, &a, "goes on", "1");
    writer.close().unwrap();
}

#[test]
fn a_folder_without_a_store_stays_as_it_is() {
    let fs = SimFs::new(1);
    let outcome = Store::open_read_only(options(&shared(&fs)));
    assert!(matches!(outcome, Err(Error::NotFound { .. } | Error::Io { .. })), "{outcome:?}");
    assert!(!fs.exists(std::path::Path::new("/db")).unwrap());
}

/// At many moments of a history, in every way a crash may leave them: what is seen is what the
/// next full open sees, and nothing is repaired.
#[test]
fn what_a_crash_leaves_is_seen_as_a_recovery_sees_it() {
    for seed in 0..3 {
        let fs = SimFs::new(seed);
        let (source, found) = (fs.clone(), Arc::new(Mutex::new((0, Vec::new()))));
        let (seen, mut rng) = (found.clone(), Rng::new(seed));
        fs.observe(Some(Box::new(move |number, _| {
            if !rng.one_in(8) {
                return;
            }
            let mode = CrashMode::ALL[rng.below(CrashMode::ALL.len() as u64) as usize];
            let after = source.crash(mode, number);
            let before = all_bytes(&after);
            let read_only = Store::open_read_only(options(&shared(&after))).map(|s| content(&s));
            let is_untouched = all_bytes(&after) == before;
            let is_new = matches!(read_only, Err(Error::NotFound { .. } | Error::Io { .. }));
            let full = content(&Store::open(options(&shared(&after))).unwrap());
            let is_same =
                if is_new { full.is_empty() } else { read_only.as_ref().unwrap() == &full };
            let mut seen = seen.lock();
            seen.0 += 1;
            if !is_untouched || !is_same {
                seen.1.push(format!("call {number}, {mode:?}: {is_untouched} {is_same}"));
            }
        })));
        let store = write(&fs, seed);
        fs.observe(None);
        drop(store);
        let (points, failures) = &*found.lock();
        assert!(failures.is_empty(), "seed {seed}: {failures:?}");
        assert!(*points > 50, "{points} crash points");
    }
}

/// Opened again and again beside a writer that flushes and compacts all the time: each time all
/// keyspaces show one step, no older than the last acknowledged before.
#[test]
fn beside_a_writer_each_open_sees_one_moment() {
    let fs = SimFs::new(1);
    let mut threads = options(&shared(&fs));
    threads.background = Background::Threads(2);
    let store = Store::open(threads).unwrap();
    let [a, b] = ["kv/a", "kv/b"]
        .map(|name| store.create_keyspace(name, KeyspaceOptions::default()).unwrap());
    let (acked, is_over) = (std::sync::atomic::AtomicU64::new(0), Mutex::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in 1..=400u64 {
                let mut batch = WriteBatch::new();
                for keyspace in [&a, &b] {
                    batch.put(keyspace.id, format!("{:02}", step % 50).as_bytes(), &[b'x'; 500]);
                    batch.put(keyspace.id, b"step", step.to_string().as_bytes());
                }
                let _ = store.write(&batch, WriteOptions::default()).unwrap();
                acked.store(step, Ordering::SeqCst);
                if step % 20 == 0 {
                    store.flush(None).unwrap();
                    store.compact(None, CompactOptions::default(), &|| false).unwrap();
                }
            }
            *is_over.lock() = true;
        });
        let mut opened = 0;
        while !*is_over.lock() || opened == 0 {
            let least = acked.load(Ordering::SeqCst);
            let reader = Store::open_read_only(options(&shared(&fs))).unwrap();
            let step = |keyspace| get(&reader, keyspace, "step").map_or(0, |s| s.parse().unwrap());
            let (in_a, in_b): (u64, u64) = (step(&a), step(&b));
            assert!(in_a == in_b && in_a >= least, "{in_a} and {in_b}, {least} acknowledged");
            opened += 1;
        }
    });
}
