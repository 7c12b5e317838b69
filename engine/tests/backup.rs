//! Backups of a store: each comes back as it was, whatever came after; a crash or a fault at any
//! call leaves whole backups, and the next one goes on; damage is found, and nothing is restored
//! from it.

#![expect(clippy::unwrap_used, reason = "a test, also outside its #[test]")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firndb_engine::backup::{
    self, BackupOptions, BackupSummary, Progress, Repository, Watch, prune, verify,
};
use firndb_engine::clock::ManualClock;
use firndb_engine::fs::sim::{CrashMode, Fault, Rng, SimFs};
use firndb_engine::fs::{Fs, read_all};
use firndb_engine::options::{Durability, KeyspaceOptions, Options};
use firndb_engine::store::{CompactOptions, Store, WriteOptions};
use firndb_engine::{Error, Result};
use parking_lot::Mutex;

use crate::script::{self, Change, Operation, Run, Script, State, Step};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/backup-v1");

type Call<'a> = dyn Fn(&Watch<'_>) -> Result<()> + 'a;

fn repository(fs: &SimFs) -> Repository {
    Repository::new(Arc::new(fs.clone()), Path::new("/backups"))
}

fn options_at(fs: &SimFs, dir: &str) -> Options {
    Options { dir: dir.into(), ..script::options(Arc::new(fs.clone())) }
}

fn back_up(store: &Store, fs: &SimFs) -> Result<BackupSummary> {
    store.backup(&repository(fs), BackupOptions::default(), &Watch::NOBODY)
}

/// Restores into a new folder and reads what came.
fn restored(fs: &SimFs, id: &str, dir: &str) -> Result<State> {
    let options = options_at(fs, dir);
    backup::restore(&repository(fs), id, &options, &Watch::NOBODY)?;
    let store = Store::open(options)?;
    let report = store.check(true, &|_, _| {})?;
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let state = script::read_state(&store)?;
    store.close()?;
    Ok(state)
}

fn assert_sound(fs: &SimFs) {
    assert_eq!(verify(&repository(fs), None, &Watch::NOBODY).unwrap().damaged, []);
}

fn change(change: Change, key: &str, value: &str) -> Step {
    let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    Step::Write(vec![Operation { keyspace: "a", change, key, value }])
}

#[test]
fn every_backup_of_a_random_life_comes_back() {
    for seed in 0..6 {
        println!("seed {seed}");
        let fs = script::new_fs(seed);
        let script = Script::random(300 + seed, 200, Durability::Always);
        let mut run = Run::open(Arc::new(fs.clone()), Durability::Always).unwrap();
        let (mut rng, mut taken) = (Rng::new(seed), Vec::new());
        for (index, step) in script.steps.iter().enumerate() {
            run.step(step).unwrap();
            if rng.one_in(12) {
                let options = BackupOptions { is_full: rng.one_in(5) };
                let store = run.store();
                let summary = store.backup(&repository(&fs), options, &Watch::NOBODY).unwrap();
                taken.push((summary.id, index + 1));
            }
        }
        assert!(taken.len() > 8, "{}", taken.len());
        assert_sound(&fs);
        assert_eq!(script::read_state(run.store()).unwrap(), *script.last_state());
        for (number, (id, state)) in taken.iter().enumerate() {
            let dir = format!("/restored-{number}");
            assert_eq!(restored(&fs, id, &dir).unwrap(), script.states[*state], "{id}");
            // It lives on as any store.
            let store = Store::open(options_at(&fs, &dir)).unwrap();
            assert_ne!(store.id(), run.store().id());
            store.compact(None, CompactOptions::default(), &|| false).unwrap();
            assert_eq!(script::read_state(&store).unwrap(), script.states[*state], "{id}");
        }
    }
}

#[test]
fn what_is_chosen_for_keyspaces_comes_back_and_expires_as_it_did() {
    let fs = SimFs::new(1);
    let store = Store::open(options_at(&fs, "/data")).unwrap();
    let options = KeyspaceOptions { ttl_ms: Some(60_000), ..KeyspaceOptions::default() };
    let keyspace = store.create_keyspace("short", options).unwrap();
    let mut batch = firndb_engine::batch::WriteBatch::new();
    batch.put(keyspace.id, b"key", b"goes");
    batch.put_with_ttl(keyspace.id, b"other", b"stays", u64::MAX);
    drop(store.write(&batch, WriteOptions::default()).unwrap());
    let id = back_up(&store, &fs).unwrap().id;
    let clock = Arc::new(ManualClock::at(1_700_000_000_000_000_000));
    let there = Options { clock: clock.clone(), ..options_at(&fs, "/restored") };
    backup::restore(&repository(&fs), &id, &there, &Watch::NOBODY).unwrap();
    let there = Store::open(there).unwrap();
    let keyspace = there.keyspace("short").unwrap();
    let holds = |key: &[u8]| there.get(keyspace.id, key, None).unwrap().is_some();
    assert!(holds(b"key") && holds(b"other"));
    let mut batch = firndb_engine::batch::WriteBatch::new();
    batch.put(keyspace.id, b"new", b"goes, too");
    drop(there.write(&batch, WriteOptions::default()).unwrap());
    clock.advance_ns(61_000_000_000);
    assert!(!holds(b"key") && holds(b"other") && !holds(b"new"));
}

#[test]
fn a_backup_copies_what_is_new() {
    let fs = script::new_fs(1);
    let mut run = Run::open(Arc::new(fs.clone()), Durability::Always).unwrap();
    run.step(&Step::Create("a")).unwrap();
    for index in 0..20 {
        run.step(&change(Change::Put, &format!("key-{index:02}"), &"x".repeat(900))).unwrap();
    }
    let first = back_up(run.store(), &fs).unwrap();
    assert_eq!(first.id, "20231114T221320Z");
    assert_eq!((first.tables_copied, first.bytes_copied), (first.tables, first.bytes));
    let same = back_up(run.store(), &fs).unwrap();
    assert_eq!((same.id.as_str(), same.tables_copied), ("20231114T221320Z-2", 0));
    run.step(&change(Change::Put, "key-05", "new")).unwrap();
    let next = back_up(run.store(), &fs).unwrap();
    assert!(next.tables_copied > 0 && next.bytes_copied < next.bytes / 2, "{next:?}");
    let full = BackupOptions { is_full: true };
    let full = run.store().backup(&repository(&fs), full, &Watch::NOBODY).unwrap();
    assert_eq!(full.tables_copied, full.tables);

    // What went missing is copied again.
    let record = repository(&fs).load(&full.id).unwrap();
    let object = record.tables().next().unwrap().object.clone();
    fs.remove_file(&repository(&fs).object_path(&object)).unwrap();
    assert_eq!(back_up(run.store(), &fs).unwrap().tables_copied, 1);
    assert_sound(&fs);

    // Another store beside it in the same folder; then what is pruned goes, and no more.
    let other = Store::open(options_at(&fs, "/other")).unwrap();
    other.create_keyspace("b", KeyspaceOptions::default()).unwrap();
    let last = back_up(&other, &fs).unwrap();
    let pruned = prune(&repository(&fs), 2, &Watch::NOBODY).unwrap();
    assert_eq!(pruned.backups.len(), 4);
    let left: Vec<_> = repository(&fs).list().unwrap().into_iter().map(|l| l.id).collect();
    assert_eq!(left.len(), 2);
    assert_sound(&fs);
    assert_eq!(restored(&fs, &left[0], "/r0").unwrap(), script::read_state(run.store()).unwrap());
    assert_eq!(restored(&fs, &last.id, "/r1").unwrap(), script::read_state(&other).unwrap());
}

#[test]
fn what_cannot_be_done_is_said() {
    let fs = script::new_fs(2);
    let mut run = Run::open(Arc::new(fs.clone()), Durability::Always).unwrap();
    run.step(&Step::Create("a")).unwrap();
    run.step(&change(Change::Put, "key-00", "x")).unwrap();
    assert!(repository(&fs).list().unwrap().is_empty(), "a folder that is not there is empty");
    let id = back_up(run.store(), &fs).unwrap().id;
    let held = fs.lock(Path::new("/backups/LOCK")).unwrap();
    let error = back_up(run.store(), &fs).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    drop(held);
    for unknown in ["20200101T000000Z", "../../etc/passwd", ""] {
        let error = restored(&fs, unknown, "/restored").unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
    let error = restored(&fs, &id, "/data").unwrap_err();
    assert!(error.to_string().contains("/data is not empty"), "{error}");
    let later = read_all(&fs, &PathBuf::from(format!("/backups/backups/{id}.json"))).unwrap();
    let later = String::from_utf8(later).unwrap().replace("\"format\":1", "\"format\":2");
    fs.set_bytes(Path::new("/backups/backups/later.json"), later.into_bytes());
    let error = restored(&fs, "later", "/restored").unwrap_err();
    assert!(matches!(error, Error::Version { found: 2, supported: 1, .. }), "{error}");
    assert!(prune(&repository(&fs), 1, &Watch::NOBODY).is_err(), "nobody knows what it needs");
    assert!(prune(&repository(&fs), 0, &Watch::NOBODY).is_err());
    // What somebody took in groups is theirs to restore.
    let mut record = repository(&fs).load(&id).unwrap();
    let (name, note) = ("d".to_owned(), serde_json::Value::Null);
    let keyspaces = std::mem::take(&mut record.keyspaces);
    record.groups = vec![backup::record::GroupRecord { name, note, keyspaces }];
    fs.set_bytes(Path::new("/backups/backups/of-d.json"), record.encode());
    let error = restored(&fs, "of-d", "/restored").unwrap_err();
    assert!(error.to_string().contains("more than keyspaces"), "{error}");
    assert!(!fs.exists(Path::new("/restored")).unwrap());
}

#[test]
fn progress_is_told_and_a_call_can_be_ended() {
    let (fs, last) = (script::new_fs(3), Mutex::new(Progress::default()));
    let mut run = Run::open(Arc::new(fs.clone()), Durability::Always).unwrap();
    for step in &Script::random(3, 60, Durability::Always).steps {
        run.step(step).unwrap();
    }
    let ended_after = |limit: u64, call: &Call<'_>| {
        let asked = Mutex::new(0);
        let is_cancelled = || {
            *asked.lock() += 1;
            *asked.lock() > limit
        };
        call(&Watch { progress: &|p| *last.lock() = p, is_cancelled: &is_cancelled })
    };
    let taken = Mutex::new(BackupSummary::default());
    let take = |watch: &Watch<'_>| {
        *taken.lock() = run.store().backup(&repository(&fs), BackupOptions::default(), watch)?;
        Ok(())
    };
    let bring = |watch: &Watch<'_>| {
        let options = options_at(&fs, "/restored");
        backup::restore(&repository(&fs), &taken.lock().id, &options, watch).map(drop)
    };
    for call in [&take as &Call<'_>, &bring] {
        let mut cancelled = 0;
        while let Err(error) = ended_after(cancelled, call) {
            assert!(matches!(error, Error::Cancelled), "{error}");
            assert!(!fs.exists(Path::new("/restored/CURRENT")).unwrap());
            cancelled += 1;
        }
        assert!(cancelled > 2, "it was cancelled at {cancelled} places");
        let (seen, taken) = (*last.lock(), taken.lock());
        assert_eq!((seen.files, seen.files_total), (taken.tables, taken.tables));
        assert_eq!((seen.bytes, seen.bytes_total), (taken.bytes, taken.bytes));
    }
}

/// Every file of a repository, damaged in some bits or cut: verify finds it, a restore refuses it
/// and leaves nothing, and the backup before stays good.
#[test]
fn damage_is_found_and_nothing_is_restored_from_it() {
    let (fs, mut rng) = (script::new_fs(4), Rng::new(4));
    let mut run = Run::open(Arc::new(fs.clone()), Durability::Always).unwrap();
    run.step(&Step::Create("a")).unwrap();
    let empty = back_up(run.store(), &fs).unwrap().id;
    for step in &Script::random(4, 60, Durability::Always).steps {
        run.step(step).unwrap();
    }
    let id = back_up(run.store(), &fs).unwrap().id;
    let is_part = |path: &&PathBuf| {
        path.starts_with("/backups/objects") || path.ends_with(format!("{id}.json"))
    };
    let mut damages = 0;
    for path in fs.files().iter().filter(is_part) {
        let bytes = fs.bytes(path).unwrap();
        let mut tries: Vec<Vec<u8>> = vec![bytes[..bytes.len() - 2].to_vec(), Vec::new()];
        for at in (rng.below(3) as usize..bytes.len()).step_by(bytes.len() / 12 + 1) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << rng.below(8);
            tries.push(flipped);
        }
        for damaged in tries {
            fs.set_bytes(path, damaged);
            let report = verify(&repository(&fs), None, &Watch::NOBODY).unwrap();
            let [damage] = &report.damaged[..] else { panic!("{path:?}: {report:?}") };
            assert!(path.ends_with(&damage.file), "{damage:?}");
            assert_eq!(damage.backups, std::slice::from_ref(&id));
            let options = options_at(&fs, "/restored");
            let outcome = backup::restore(&repository(&fs), &id, &options, &Watch::NOBODY);
            let error = outcome.unwrap_err();
            assert!(error.is_corrupt() || matches!(error, Error::Version { .. }), "{error}");
            let left = fs.files().into_iter().filter(|path| path.starts_with("/restored"));
            assert_eq!(left.collect::<Vec<_>>(), Vec::<PathBuf>::new());
            damages += 1;
        }
        fs.set_bytes(path, bytes);
    }
    assert!(damages > 60, "{damages}");
    let bare = State::from([("a".to_owned(), BTreeMap::new())]);
    assert_eq!(restored(&fs, &empty, "/empty").unwrap(), bare);
}

#[test]
fn a_damaged_table_is_not_backed_up_and_pushes_nothing_out() {
    let fs = script::new_fs(5);
    let mut run = Run::open(Arc::new(fs.clone()), Durability::Always).unwrap();
    run.step(&Step::Create("a")).unwrap();
    run.step(&change(Change::Put, "key-00", "good")).unwrap();
    let good = back_up(run.store(), &fs).unwrap().id;
    run.step(&change(Change::Put, "key-01", "bad")).unwrap();
    run.step(&Step::Flush(None)).unwrap();
    let is_table = |path: &&PathBuf| path.extension().is_some_and(|e| e == "tbl");
    let files = fs.files();
    let table = files.iter().rfind(is_table).unwrap();
    let mut bytes = fs.bytes(table).unwrap();
    bytes[3] ^= 1;
    fs.set_bytes(table, bytes);
    let error = back_up(run.store(), &fs).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { path, .. } if path == table), "{error}");
    let listed = repository(&fs).list().unwrap();
    assert_eq!(listed.iter().map(|one| &one.id).collect::<Vec<_>>(), [&good]);
    assert_sound(&fs);
}

/// What must hold at the moment a crash comes.
#[derive(Debug, Clone, Default)]
struct Expected {
    /// What the store holds.
    state: State,
    /// Backups that were acknowledged and not pruned.
    backups: BTreeMap<String, State>,
}

fn backed_up(run: &Run, fs: &SimFs, expected: &Mutex<Expected>) -> Result<()> {
    let id = back_up(run.store(), fs)?.id;
    let mut expected = expected.lock();
    let state = expected.state.clone();
    expected.backups.insert(id, state);
    Ok(())
}

/// Backs up, goes on, backs up, prunes, restores. Stops at the first error.
fn live(run: &mut Run, fs: &SimFs, expected: &Mutex<Expected>) -> Result<()> {
    backed_up(run, fs, expected)?;
    for steps in [
        [change(Change::Put, "key-00", "1"), change(Change::DeleteRange, "key-03", "key-09")],
        [Step::Compact(None), change(Change::Merge, "key-00", "2")],
    ] {
        for step in steps {
            // Whether it came through is for the crash tests of the store.
            expected.lock().state.clear();
            run.step(&step)?;
            expected.lock().state = script::read_state(run.store())?;
        }
        backed_up(run, fs, expected)?;
    }
    let first = expected.lock().backups.pop_first().unwrap().0;
    assert_eq!(prune(&repository(fs), 2, &Watch::NOBODY)?.backups, [first]);
    let last = expected.lock().backups.keys().next_back().unwrap().clone();
    let options = options_at(fs, "/live");
    backup::restore(&repository(fs), &last, &options, &Watch::NOBODY).map(drop)
}

/// Judges what a crash left; `number` says which of the backups is restored, and whether another
/// one is taken.
fn examine(after: &SimFs, expected: &Expected, number: u64) -> Result<(), String> {
    let say = |what: &str, error: Error| format!("{what}: {error}");
    let report = verify(&repository(after), None, &Watch::NOBODY);
    let report = report.map_err(|e| say("verify", e))?;
    if !report.damaged.is_empty() {
        return Err(format!("damaged: {:?}", report.damaged));
    }
    let listed = repository(after).list().map_err(|e| say("list", e))?;
    if let Some(id) = expected.backups.keys().find(|id| !listed.iter().any(|l| l.id == **id)) {
        return Err(format!("{id} is gone"));
    }
    let nth = number as usize % expected.backups.len().max(1);
    if let Some((id, state)) = expected.backups.iter().nth(nth)
        && restored(after, id, "/judged").map_err(|e| say(id, e))? != *state
    {
        return Err(format!("{id} holds something else"));
    }
    if after.exists(Path::new("/live/CURRENT")).unwrap() {
        let store = Store::open(options_at(after, "/live")).map_err(|e| say("restored", e))?;
        let last = expected.backups.values().next_back();
        if Some(&script::read_state(&store).map_err(|e| say("restored", e))?) != last {
            return Err("a restore in part".to_owned());
        }
    }
    if number.is_multiple_of(3) && !expected.state.is_empty() {
        let store = Store::open(options_at(after, "/data")).map_err(|e| say("open", e))?;
        let next = back_up(&store, after).map_err(|e| say("the next backup", e))?;
        let state = restored(after, &next.id, "/next").map_err(|e| say("the next", e))?;
        if state != expected.state {
            return Err("the next backup holds something else".to_owned());
        }
    }
    Ok(())
}

fn prepared(seed: u64) -> (SimFs, Run, Arc<Mutex<Expected>>) {
    let fs = script::new_fs(seed);
    let mut run = Run::open(Arc::new(fs.clone()), Durability::Always).unwrap();
    for step in &Script::random(100 + seed, 30, Durability::Always).steps {
        run.step(step).unwrap();
    }
    run.step(&Step::Create("a")).unwrap();
    let state = script::read_state(run.store()).unwrap();
    let backups = BTreeMap::new();
    (fs, run, Arc::new(Mutex::new(Expected { state, backups })))
}

#[test]
fn a_crash_at_any_call_leaves_whole_backups() {
    let mut points = 0;
    for seed in 0..2 {
        let (fs, mut run, expected) = prepared(seed);
        let found = Arc::new(Mutex::new((0, Vec::new())));
        let (source, seen, known) = (fs.clone(), found.clone(), expected.clone());
        fs.observe(Some(Box::new(move |number, op| {
            let expected = known.lock().clone();
            for (mode, which) in CrashMode::ALL.into_iter().zip(0..) {
                let after = source.crash(mode, number);
                let mut seen = seen.lock();
                seen.0 += 1;
                if let Err(what) = examine(&after, &expected, number + which) {
                    seen.1.push(format!("call {number} ({op:?}), {mode:?}: {what}"));
                }
            }
        })));
        live(&mut run, &fs, &expected).unwrap();
        fs.observe(None);
        let (count, failures) = &*found.lock();
        assert!(failures.is_empty(), "seed {seed}: {} failures: {}", failures.len(), failures[0]);
        points += count;
        examine(&fs.crash(CrashMode::ALL[0], 1), &expected.lock(), 0).unwrap();
    }
    println!("{points} crash points");
    assert!(points >= 1000, "{points} crash points");
}

#[test]
fn a_fault_at_any_call_leaves_whole_backups() {
    let calls = {
        let (fs, mut run, expected) = prepared(7);
        let before = fs.op_count();
        live(&mut run, &fs, &expected).unwrap();
        fs.op_count() - before
    };
    let kinds = [(Fault::Eio, false), (Fault::Eio, true), (Fault::NoSpace, false)];
    for ((fault, forever), first) in kinds.into_iter().zip(0..) {
        for at in (first..calls).step_by(2) {
            let (fs, mut run, expected) = prepared(7);
            let at = fs.op_count() + at;
            fs.inject(at..if forever { u64::MAX } else { at + 1 }, None, fault);
            let _ = live(&mut run, &fs, &expected);
            fs.heal();
            drop(run);
            let after = fs.crash(CrashMode::ALL[0], at);
            let judged = examine(&after, &expected.lock(), at);
            judged.unwrap_or_else(|what| panic!("{fault:?} at {at}, {forever}: {what}"));
        }
    }
}

/// What the first version of the format wrote is read for ever.
#[test]
#[expect(clippy::disallowed_methods, reason = "golden files lie in the real file system")]
fn a_backup_of_version_1_comes_back() {
    let fs = SimFs::new(1);
    for folder in ["backups", "objects"] {
        let folder = Path::new(folder);
        fs.create_dir_all(&Path::new("/backups").join(folder)).unwrap();
        for entry in std::fs::read_dir(Path::new(GOLDEN).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let to = Path::new("/backups").join(folder).join(path.file_name().unwrap());
            fs.set_bytes(&to, std::fs::read(&path).unwrap());
        }
    }
    let listed = repository(&fs).list().unwrap();
    let ids: Vec<_> = listed.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["20231114T221320Z", "20231114T221320Z-2"]);
    assert_sound(&fs);
    let (first, next) = golden_states();
    assert_eq!(restored(&fs, ids[0], "/first").unwrap(), first);
    assert_eq!(restored(&fs, ids[1], "/next").unwrap(), next);
    let record = listed[1].record.as_ref().unwrap();
    assert_eq!(record.keyspaces[0].range_deletes().count(), 1);
    assert_eq!(record.keyspaces[0].options().ttl_ms, Some(u64::MAX / 2_000_000));
}

fn golden_states() -> (State, State) {
    let map: BTreeMap<_, _> = (0..8u32).map(|n| (key(n), vec![n as u8; 20])).collect();
    let mut next = map.clone();
    next.retain(|k, _| *k < key(2) || *k >= key(5));
    next.insert(key(9), b"new".to_vec());
    let state = |map| State::from([("golden".to_owned(), map)]);
    (state(map), state(next))
}

fn key(number: u32) -> Vec<u8> {
    format!("key-{number:02}").into_bytes()
}

/// Writes the golden files: run once, by hand, when a format version is born.
#[test]
#[ignore = "writes the golden files"]
#[expect(clippy::disallowed_methods, reason = "golden files lie in the real file system")]
fn write_golden() {
    let fs = SimFs::new(1);
    let store = Store::open(options_at(&fs, "/data")).unwrap();
    let ttl_ms = Some(u64::MAX / 2_000_000);
    let options = KeyspaceOptions { ttl_ms, ..KeyspaceOptions::default() };
    let id = store.create_keyspace("golden", options).unwrap().id;
    let mut batch = firndb_engine::batch::WriteBatch::new();
    (0..8).for_each(|n| batch.put(id, &key(n), &[n as u8; 20]));
    drop(store.write(&batch, WriteOptions::default()).unwrap());
    back_up(&store, &fs).unwrap();
    let mut batch = firndb_engine::batch::WriteBatch::new();
    batch.delete_range(id, &key(2), &key(5));
    batch.put(id, &key(9), b"new");
    drop(store.write(&batch, WriteOptions::default()).unwrap());
    back_up(&store, &fs).unwrap();
    for path in fs.files().iter().filter(|path| path.starts_with("/backups")) {
        let Ok(inside) = path.strip_prefix("/backups") else { continue };
        let to = Path::new(GOLDEN).join(inside);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        if inside != Path::new("LOCK") {
            std::fs::write(to, fs.bytes(path).unwrap()).unwrap();
        }
    }
}

/// Neither a flip nor a cut of a backup's own file passes.
#[test]
#[expect(clippy::disallowed_methods, reason = "golden files lie in the real file system")]
fn no_damage_of_a_record_passes() {
    let path = Path::new(GOLDEN).join("backups/20231114T221320Z-2.json");
    let text = std::fs::read(&path).unwrap();
    let refused = |text: &[u8], what: String| {
        let error = backup::BackupRecord::decode(&path, text).expect_err(&what);
        assert!(error.is_corrupt() || matches!(error, Error::Version { .. }), "{what}: {error}");
    };
    assert!(backup::BackupRecord::decode(&path, &text).is_ok());
    for bit in 0..text.len() * 8 {
        let mut flipped = text.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        refused(&flipped, format!("bit {bit}"));
    }
    // Without its line end it is whole.
    for len in 0..text.len() - 1 {
        refused(&text[..len], format!("{len} bytes"));
    }
}
