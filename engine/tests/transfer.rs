//! Tables out of a store, into a store, and a whole store in another folder. Crashes and faults of
//! exports and imports are part of the scripts of `crash` and `faults`.

#![expect(clippy::unwrap_used, reason = "a test, also outside its #[test]")]

use std::path::Path;
use std::sync::Arc;

use firndb_engine::fs::Fs;
use firndb_engine::fs::real::RealFs;
use firndb_engine::fs::sim::{CrashMode, Fault, OpKind, SimFs};
use firndb_engine::options::{Background, Durability, KeyspaceOptions, Options};
use firndb_engine::store::{CompactOptions, Store, TableSource, Transfer};
use firndb_engine::{Error, Result};
use parking_lot::Mutex;

use crate::script::{self, Change, Operation, Run, Script, State, Step, Tracker, copy_keyspace};

fn copy_dir() -> &'static Path {
    Path::new("/copies/one")
}

fn open_at(fs: &SimFs, dir: &Path) -> Result<Store> {
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    Store::open(Options { dir: dir.to_owned(), ..script::options(fs) })
}

/// A store in the middle of its life, and what it holds.
fn grown(fs: &SimFs, seed: u64) -> (Run, State) {
    let script = Script::random(seed, 60, Durability::Always);
    let mut run = Run::open(Arc::new(fs.clone()), Durability::Always).unwrap();
    for step in &script.steps {
        run.step(step).unwrap();
    }
    (run, script.last_state().clone())
}

fn put(keyspace: &'static str, key: &str, value: &str) -> Step {
    let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    Step::Write(vec![Operation { keyspace, change: Change::Put, key, value }])
}

fn check(store: &Store) {
    let report = store.check(true, &|_, _| {}).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn an_export_is_one_moment_whatever_comes_after() {
    let fs = script::new_fs(1);
    let mut run = Run::open(Arc::new(fs), Durability::Always).unwrap();
    for step in [Step::Create("a"), Step::Create("b"), put("a", "key-01", "1"), Step::Flush(None)] {
        run.step(&step).unwrap();
    }
    run.step(&put("a", "key-02", "2")).unwrap();
    run.step(&put("b", "key-03", "3")).unwrap();
    let store = run.store().clone();
    let pending = store.begin_export(&|_| true).unwrap();
    let seq = pending.seq();
    let snapshot = pending.snapshot().clone();
    // Written, flushed and compacted after the cut, and only then waited for.
    run.step(&put("a", "key-01", "later")).unwrap();
    run.step(&put("b", "key-04", "later")).unwrap();
    run.step(&Step::Compact(None)).unwrap();
    let export = pending.wait(&|| false).unwrap();
    assert_eq!((export.seq, snapshot.seq()), (seq, seq));
    let a = store.keyspace("a").unwrap().id;
    let at_cut = store.get(a, b"key-01", Some(&snapshot)).unwrap().unwrap();
    assert_eq!(&*at_cut, b"1", "the snapshot is of the same moment");
    drop(snapshot);
    let compacted = CompactOptions::default();
    store.compact(None, compacted, &|| false).unwrap();

    let mut import = store.begin_import().unwrap();
    for (keyspace, name) in export.keyspaces.iter().zip(["x", "y"]) {
        import.keyspace(name, keyspace.options.clone()).unwrap();
        for table in &keyspace.tables {
            assert!(table.meta().max_seq <= seq);
            let (path, place) = (table.path().to_owned(), table.place);
            let source = TableSource { path, place, is_final: false };
            import.table(&source, Transfer::Copy, &mut |_| Ok(())).unwrap();
        }
    }
    import.commit(&[], export.seq, "test").unwrap();
    drop(export);
    let state = script::read_state(&store).unwrap();
    let pairs = |name: &str| -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        state[name].iter().map(|(key, value)| (text(key), text(value))).collect()
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(pairs("x"), [pair("key-01", "1"), pair("key-02", "2")]);
    assert_eq!(pairs("y"), [pair("key-03", "3")]);
    assert_eq!(pairs("a")[0], pair("key-01", "later"));
    check(&store);
}

#[test]
fn an_import_into_another_store_lifts_its_numbers() {
    let fs = script::new_fs(2);
    let (run, state) = grown(&fs, 2);
    let other = open_at(&fs, Path::new("/other")).unwrap();
    let export = run.store().begin_export(&|_| true).unwrap().wait(&|| false).unwrap();
    let mut import = other.begin_import().unwrap();
    for keyspace in &export.keyspaces {
        import.keyspace(&keyspace.name, keyspace.options.clone()).unwrap();
        for table in &keyspace.tables {
            let (path, is_final) = (table.path().to_owned(), table.meta().is_final);
            let source = TableSource { path, place: table.place, is_final };
            import.table(&source, Transfer::Link, &mut |_| Ok(())).unwrap();
        }
        let mut deletes = keyspace.range_deletes.iter().cloned();
        deletes.try_for_each(|delete| import.range_delete(delete)).unwrap();
    }
    import.commit(&[], export.seq, "test").unwrap();
    assert_eq!(script::read_state(&other).unwrap(), state);
    assert!(other.snapshot().seq() >= export.seq);
    assert_ne!(other.id(), run.store().id());
    // What is written now is newer than what came.
    let keyspace = other.keyspaces()[0].clone();
    let mut batch = firndb_engine::batch::WriteBatch::new();
    batch.put(keyspace.id, b"key-00", b"new");
    let commit = other.write(&batch, Default::default()).unwrap();
    assert!(commit.seq() > export.seq);
    drop(export);
    other.compact(None, CompactOptions::default(), &|| false).unwrap();
    check(&other);
    other.close().unwrap();
    drop(other);
    let again = open_at(&fs, Path::new("/other")).unwrap();
    let value = again.get(keyspace.id, b"key-00", None).unwrap().unwrap();
    assert_eq!(&*value, b"new");
    check(&again);
}

#[test]
fn what_cannot_be_imported_leaves_nothing() {
    let fs = script::new_fs(3);
    let (run, state) = grown(&fs, 3);
    let store = run.store();
    let names: Vec<_> = state.keys().map(String::as_str).collect();
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    let files = fs.files();

    let mut import = store.begin_import().unwrap();
    import.keyspace(names[0], KeyspaceOptions::default()).unwrap();
    let error = import.commit(&[], 0, "test").unwrap_err();
    assert!(error.to_string().contains("exists"), "{error}");

    let export = store.begin_export(&|name| name == names[0]).unwrap().wait(&|| false).unwrap();
    let table = &export.keyspaces[0].tables[0];
    let source = TableSource { path: table.path().to_owned(), place: table.place, is_final: false };
    // Twice the same table in one run: they overlap.
    let mut import = store.begin_import().unwrap();
    import.keyspace("twice", KeyspaceOptions::default()).unwrap();
    for _ in 0..2 {
        import.table(&source, Transfer::Copy, &mut |_| Ok(())).unwrap();
    }
    let error = import.commit(&[], 0, "test").unwrap_err();
    assert!(error.to_string().contains("do not fit together"), "{error}");
    // Refused by the caller, and no table at all.
    let mut import = store.begin_import().unwrap();
    import.keyspace("refused", KeyspaceOptions::default()).unwrap();
    let refused = import.table(&source, Transfer::Copy, &mut |_| Err(Error::Cancelled));
    assert!(matches!(refused, Err(Error::Cancelled)));
    fs.set_bytes(Path::new("/data/noise"), vec![7; 300]);
    let noise = TableSource { path: "/data/noise".into(), ..source };
    let refused = import.table(&noise, Transfer::Copy, &mut |_| Ok(())).unwrap_err();
    assert!(refused.is_corrupt(), "{refused}");
    drop(import);
    fs.remove_file(Path::new("/data/noise")).unwrap();
    assert_eq!(fs.files(), files, "nothing is left behind");
    assert_eq!(script::read_state(store).unwrap(), state);
}

#[test]
fn a_checkpoint_is_a_store_of_its_own() {
    let fs = script::new_fs(4);
    let (mut run, state) = grown(&fs, 4);
    run.store().checkpoint(copy_dir(), &|| false).unwrap();
    let error = run.store().checkpoint(copy_dir(), &|| false).unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
    run.step(&Step::Create("a")).unwrap();
    run.step(&put("a", "key-00", "only here")).unwrap();
    run.step(&Step::Compact(None)).unwrap();
    let copy = open_at(&fs, copy_dir()).unwrap();
    assert_eq!(script::read_state(&copy).unwrap(), state);
    assert_ne!(copy.id(), run.store().id());
    check(&copy);
    // Both go their own ways on shared files.
    let names: Vec<_> = state.keys().cloned().collect();
    let id = copy.keyspace(&names[0]).unwrap().id;
    copy_keyspace(&copy, &names[0], "twin", Transfer::Link).unwrap();
    copy.drop_keyspaces(&[id], "test").unwrap();
    copy.compact(None, CompactOptions::default(), &|| false).unwrap();
    check(&copy);
    check(run.store());
    assert_eq!(script::read_state(&copy).unwrap()["twin"], state[&names[0]]);
}

/// Crashes at every call of a checkpoint: the source is as it was, and what is in the folder is the
/// whole or no store.
#[test]
fn a_crash_in_a_checkpoint_leaves_the_whole_or_no_store() {
    let mut points = 0;
    for seed in 0..4 {
        let fs = script::new_fs(seed);
        let (mut run, _) = grown(&fs, 100 + seed);
        run.step(&Step::Create("a")).unwrap();
        run.step(&put("a", "key-00", "in memory")).unwrap();
        let state = script::read_state(run.store()).unwrap();
        let found = Arc::new(Mutex::new((0, Vec::new(), 0)));
        let (source, seen, expected) = (fs.clone(), found.clone(), state.clone());
        fs.observe(Some(Box::new(move |number, op| {
            for mode in CrashMode::ALL {
                let after = source.crash(mode, number);
                let mut seen = seen.lock();
                seen.0 += 1;
                match examine_copy(&after, &expected) {
                    Ok(is_there) => seen.2 += u64::from(is_there),
                    Err(what) => seen.1.push(format!("call {number} ({op:?}), {mode:?}: {what}")),
                }
            }
        })));
        run.store().checkpoint(copy_dir(), &|| false).unwrap();
        fs.observe(None);
        let (count, failures, whole) = &*found.lock();
        assert!(failures.is_empty(), "seed {seed}: {} failures: {}", failures.len(), failures[0]);
        assert!(*whole > 0 && whole < count, "both outcomes were seen");
        points += count;
        let copy = open_at(&fs.crash(CrashMode::ALL[0], 1), copy_dir()).unwrap();
        assert_eq!(script::read_state(&copy).unwrap(), state, "acknowledged, so durable");
    }
    assert!(points >= 300, "{points} crash points");
}

/// Says whether the checkpoint is there; an error when it is there in part, or the source is not.
fn examine_copy(after: &SimFs, expected: &State) -> Result<bool, String> {
    let run = Run::open(Arc::new(after.clone()), Durability::Always).map_err(|e| e.to_string())?;
    let state = script::read_state(run.store()).map_err(|e| e.to_string())?;
    if state != *expected {
        return Err(format!("the source holds {state:?}"));
    }
    let current = copy_dir().join("CURRENT");
    if !after.exists(&current).map_err(|e| e.to_string())? {
        return Ok(false);
    }
    let copy = open_at(after, copy_dir()).map_err(|e| format!("the copy: {e}"))?;
    let state = script::read_state(&copy).map_err(|e| format!("the copy: {e}"))?;
    if state != *expected { Err(format!("the copy holds {state:?}")) } else { Ok(true) }
}

/// Every call of a checkpoint fails, once and for ever: an error and no store, or the whole.
#[test]
fn a_fault_in_a_checkpoint_leaves_the_whole_or_no_store() {
    let prepare = || {
        let fs = script::new_fs(9);
        let (run, state) = grown(&fs, 9);
        (fs, run, state)
    };
    let calls = {
        let (fs, run, _) = prepare();
        let before = fs.op_count();
        run.store().checkpoint(copy_dir(), &|| false).unwrap();
        fs.op_count() - before
    };
    for (fault, forever) in
        [(Fault::Eio, false), (Fault::Eio, true), (Fault::NoSpace, false), (Fault::Short, false)]
    {
        for at in 0..calls {
            let (fs, run, state) = prepare();
            let at = fs.op_count() + at;
            fs.inject(at..if forever { u64::MAX } else { at + 1 }, None, fault);
            let done = run.store().checkpoint(copy_dir(), &|| false);
            fs.heal();
            drop(run);
            let after = fs.crash(CrashMode::ALL[0], at);
            let found = examine_copy(&after, &state);
            let found = found.unwrap_or_else(|e| panic!("{fault:?} at {at}, {forever}: {e}"));
            assert!(done.is_err() || found, "{fault:?} at {at}: acknowledged and not there");
        }
    }
}

#[test]
fn without_links_a_checkpoint_is_a_copy() {
    let fs = script::new_fs(5);
    let (run, state) = grown(&fs, 5);
    fs.inject(0..u64::MAX, Some(OpKind::Link), Fault::Eio);
    run.store().checkpoint(copy_dir(), &|| false).unwrap();
    let copy = open_at(&fs, copy_dir()).unwrap();
    assert_eq!(script::read_state(&copy).unwrap(), state);
}

#[test]
fn a_cancelled_checkpoint_is_no_store() {
    let fs = script::new_fs(6);
    let (run, _) = grown(&fs, 6);
    let stopped = run.store().checkpoint(copy_dir(), &|| true);
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    assert!(!fs.exists(&copy_dir().join("CURRENT")).unwrap());
}

/// Threads, the real file system, writers that go on: what an export holds is a prefix.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test needs a writer beside the export")]
fn exports_beside_a_writer_hold_a_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        dir: dir.path().join("data"),
        background: Background::Threads(2),
        ..script::options(Arc::new(RealFs))
    };
    let store = Store::open(options).unwrap();
    let a = store.create_keyspace("a", KeyspaceOptions::default()).unwrap().id;
    let b = store.create_keyspace("b", KeyspaceOptions::default()).unwrap().id;
    let writing = store.clone();
    let writer = std::thread::spawn(move || {
        for number in 0..400u32 {
            let mut batch = firndb_engine::batch::WriteBatch::new();
            batch.put(a, &number.to_be_bytes(), &[7; 100]);
            batch.put(b, &number.to_be_bytes(), &[8; 100]);
            while let Err(error) = writing.write(&batch, Default::default()) {
                assert!(matches!(error, Error::Busy { .. }), "{error}");
            }
        }
    });
    let mut seen = 0;
    for round in 0.. {
        let is_last = writer.is_finished();
        let export = store
            .begin_export(&|name| ["a", "b"].contains(&name))
            .unwrap()
            .wait(&|| false)
            .unwrap();
        let mut import = store.begin_import().unwrap();
        for keyspace in &export.keyspaces {
            import
                .keyspace(&format!("{}{round}", keyspace.name), keyspace.options.clone())
                .unwrap();
            for table in &keyspace.tables {
                let path = table.path().to_owned();
                let source = TableSource { path, place: table.place, is_final: false };
                import.table(&source, Transfer::Link, &mut |_| Ok(())).unwrap();
            }
        }
        let made = import.commit(&[], export.seq, "test").unwrap();
        let keys = |id| {
            let pairs = store.scan(id, Default::default()).unwrap();
            pairs.map(|pair| pair.unwrap().0).collect::<Vec<_>>()
        };
        let (left, right) = (keys(made[0].id), keys(made[1].id));
        assert_eq!(left, right, "batches are whole across keyspaces");
        let expected: Vec<_> = (0..left.len() as u32).map(|n| n.to_be_bytes().to_vec()).collect();
        assert_eq!(left, expected, "a prefix");
        assert!(left.len() >= seen, "exports go on from each other");
        seen = left.len();
        let ids: Vec<_> = made.iter().map(|keyspace| keyspace.id).collect();
        store.drop_keyspaces(&ids, "test").unwrap();
        if is_last {
            break;
        }
    }
    writer.join().unwrap();
    assert_eq!(seen, 400);
    store.close().unwrap();
}

#[test]
fn scripts_hold_copies() {
    // The crash and fault tests cover export and import as far as their scripts do.
    let has = |seed, durability| {
        let script = Script::random(seed, 150, durability);
        script.steps.iter().filter(|step| matches!(step, Step::Copy(..))).count()
    };
    assert!((0..5).map(|seed| has(seed, Durability::Always)).sum::<usize>() >= 10);
    assert!((1_000_000..1_000_003).map(|seed| has(seed, Durability::Os)).sum::<usize>() >= 4);
    script::run(
        Arc::new(script::new_fs(0)),
        &Script::random(0, 150, Durability::Always),
        &Tracker::default(),
    )
    .unwrap();
}
