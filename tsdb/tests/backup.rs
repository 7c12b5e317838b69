//! Backups: what comes back is what was there, whatever came after; a crash or a fault anywhere
//! leaves whole backups and whole databases; damage is found and nothing is restored from it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use firndb_engine as engine;
use firndb_engine::batch::WriteBatch;
use firndb_engine::fs::Fs;
use firndb_engine::fs::sim::{CrashMode, Fault, Rng, SimFs};
use firndb_engine::options::{Durability, KeyspaceOptions};
use firndb_engine::store::CompactOptions;
use firndb_tsdb::backup::{
    BackupRequest, BackupSummary, Repository, RestoreRequest, Watch, prune, verify,
};
use firndb_tsdb::model::Timestamp;
use firndb_tsdb::{Error, Options, PolicySpec, Result, TagPredicate, Tsdb};

use crate::history::random_point;
use crate::truth::{Truth, check_all, options, write};

const HOUR_NS: i64 = 3_600_000_000_000;
const START: Timestamp = 1_700_000_000_000_000_000;
const SHORT: &str = "short";

fn repository(fs: &SimFs) -> Repository {
    Repository::new(Arc::new(fs.clone()), Path::new("/backups"))
}

/// A store beside the one in `/db`.
fn other(fs: &SimFs) -> Options {
    let mut options = options(fs, Durability::Always);
    options.engine.dir = "/other".into();
    options
}

fn create(tsdb: &Tsdb, name: &str) -> Result<()> {
    let database = tsdb.create_database(name, None)?;
    let spec = PolicySpec {
        name: Some(SHORT.to_owned()),
        duration_ns: Some(4 * HOUR_NS),
        ..PolicySpec::default()
    };
    database.create_policy(&spec).map(drop)
}

/// Writes some random points, and to the truth.
fn write_some(tsdb: &Tsdb, name: &str, truth: &mut Truth, rng: &mut Rng, now: Timestamp) {
    let policy = if rng.one_in(4) { SHORT } else { "autogen" };
    let points: Vec<_> = (0..1 + rng.below(12)).map(|_| random_point(rng, now)).collect();
    let database = tsdb.database(name).unwrap();
    write(&database, Some(policy), &points, now).unwrap();
    let alive_from = database.policy(Some(policy)).unwrap().alive_from(now);
    truth.write(policy, &points, alive_from);
}

fn drop_host(tsdb: &Tsdb, name: &str, truth: &mut Truth, host: &str) {
    let tags = TagPredicate::Equal("host".to_owned(), host.to_owned());
    tsdb.database(name).unwrap().drop_series(None, Some(&tags)).unwrap();
    truth.drop_series(|(_, tags)| tags.iter().any(|(k, v)| k == "host" && v == host));
}

fn back_up(tsdb: &Tsdb, fs: &SimFs, database: Option<&str>, now: Timestamp) -> BackupSummary {
    let request = BackupRequest { database: database.map(str::to_owned), is_full: false };
    tsdb.backup(&repository(fs), &request, now, &Watch::NOBODY).unwrap()
}

fn restore(id: &str, database: Option<&str>, rename: Option<&str>) -> RestoreRequest {
    let (database, rename) = (database.map(str::to_owned), rename.map(str::to_owned));
    RestoreRequest { id: id.to_owned(), database, rename, may_replace: false }
}

fn assert_sound(fs: &SimFs) {
    let report = verify(&repository(fs), None, &Watch::NOBODY).unwrap();
    assert_eq!(report.damaged, []);
}

/// A backup as it must come back.
struct Taken {
    id: String,
    scope: Option<String>,
    truths: BTreeMap<String, Truth>,
    now: Timestamp,
}

/// A random life of two databases with backups in it, all of which are restored at the end.
fn random_life(seed: u64, steps: u64) {
    println!("seed {seed}");
    let (fs, mut rng, mut now) = (SimFs::new(seed), Rng::new(seed), START);
    let mut tsdb = Tsdb::open(options(&fs, Durability::Always)).unwrap();
    let mut truths: BTreeMap<String, Truth> = BTreeMap::new();
    for name in ["alps", "andes/south"] {
        create(&tsdb, name).unwrap();
        truths.insert(name.to_owned(), Truth::default());
    }
    let mut taken: Vec<Taken> = Vec::new();
    for _ in 0..steps {
        let name = ["alps", "andes/south"][rng.below(2) as usize].to_owned();
        let truth = truths.get_mut(&name).unwrap();
        match rng.below(60) {
            0..=1 => tsdb.store().flush(None).unwrap(),
            2 => {
                let options = CompactOptions { is_final: rng.one_in(2) };
                tsdb.store().compact(None, options, &|| false).unwrap();
            }
            3 => _ = tsdb.maintain(now).unwrap(),
            4 => now += rng.below(1800) as i64 * 1_000_000_000,
            5 => drop_host(&tsdb, &name, truth, &format!("h{}", rng.below(6))),
            6 => {
                tsdb.store().close().unwrap();
                tsdb = Tsdb::open(options(&fs, Durability::Always)).unwrap();
            }
            7..=9 => {
                let scope = rng.one_in(2).then_some(name);
                let id = back_up(&tsdb, &fs, scope.as_deref(), now).id;
                taken.push(Taken { id, scope, truths: truths.clone(), now });
            }
            // Back to an earlier time, and on from there.
            10 => {
                let Some(from) = taken.iter().rfind(|t| t.scope.is_none()) else { continue };
                let request =
                    RestoreRequest { may_replace: true, ..restore(&from.id, Some(&name), None) };
                tsdb.restore(&repository(&fs), &request, &Watch::NOBODY).unwrap();
                *truth = from.truths[&name].clone();
                check_all(&tsdb, &name, truth, now);
            }
            _ => write_some(&tsdb, &name, truth, &mut rng, now),
        }
    }
    assert!(taken.len() > 3, "{} backups", taken.len());
    assert_sound(&fs);
    for (name, truth) in &truths {
        check_all(&tsdb, name, truth, now);
    }
    // Each backup, in a store of its own and under another name in this one.
    for (number, backup) in taken.iter().enumerate() {
        let fresh = SimFs::new(seed);
        for file in fs.files().iter().filter(|path| path.starts_with("/backups")) {
            fresh.set_bytes(file, fs.bytes(file).unwrap());
        }
        let there = Tsdb::open(other(&fresh)).unwrap();
        there
            .restore(&repository(&fresh), &restore(&backup.id, None, None), &Watch::NOBODY)
            .unwrap();
        let held: Vec<_> = match &backup.scope {
            Some(name) => vec![name.clone()],
            None => backup.truths.keys().cloned().collect(),
        };
        assert_eq!(there.databases(), held);
        for name in &held {
            let truth = &backup.truths[name];
            check_all(&there, name, truth, backup.now);
            let copy = format!("copy {number} of {name}");
            let request = restore(&backup.id, Some(name), Some(&copy));
            tsdb.restore(&repository(&fs), &request, &Watch::NOBODY).unwrap();
            check_all(&tsdb, &copy, truth, backup.now);
            // It lives on: what is written now wins over what came.
            let (mut truth, mut rng) = (truth.clone(), Rng::new(seed));
            write_some(&there, name, &mut truth, &mut rng, backup.now);
            let all = CompactOptions { is_final: true };
            there.store().compact(None, all, &|| false).unwrap();
            check_all(&there, name, &truth, backup.now);
        }
        there.store().close().unwrap();
        let again = Tsdb::open(other(&fresh)).unwrap();
        assert_eq!(again.databases(), held);
        assert!(again.store().check(true, &|_, _| {}).unwrap().findings.is_empty());
    }
    let report = tsdb.store().check(true, &|_, _| {}).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn every_backup_of_a_random_life_comes_back() {
    for seed in 0..6 {
        random_life(seed, 400);
    }
}

#[test]
fn an_incremental_backup_copies_what_is_new() {
    let (fs, mut rng, mut truth) = (SimFs::new(1), Rng::new(1), Truth::default());
    let tsdb = Tsdb::open(options(&fs, Durability::Always)).unwrap();
    create(&tsdb, "d").unwrap();
    for _ in 0..40 {
        write_some(&tsdb, "d", &mut truth, &mut rng, START);
    }
    let first = back_up(&tsdb, &fs, None, START);
    assert_eq!(first.id, "20231114T221320Z");
    assert_eq!((first.tables_copied, first.bytes_copied), (first.tables, first.bytes));
    let same = back_up(&tsdb, &fs, None, START);
    assert_eq!(same.id, "20231114T221320Z-2");
    // Nothing was written; but the catalog is not part of a backup's tables.
    assert_eq!((same.tables, same.tables_copied), (first.tables, 0));
    write_some(&tsdb, "d", &mut truth, &mut rng, START);
    let next = back_up(&tsdb, &fs, None, START + HOUR_NS);
    assert!(next.tables_copied > 0 && next.bytes_copied < next.bytes / 2, "{next:?}");
    let full = BackupRequest { database: None, is_full: true };
    let full = tsdb.backup(&repository(&fs), &full, START + HOUR_NS, &Watch::NOBODY).unwrap();
    assert_eq!(full.tables_copied, full.tables);

    // An object that went missing is copied again.
    let record = repository(&fs).load(&next.id).unwrap();
    let object = record.tables().next().unwrap().object.clone();
    fs.remove_file(&repository(&fs).object_path(&object)).unwrap();
    let mended = back_up(&tsdb, &fs, None, START + 2 * HOUR_NS);
    assert_eq!(mended.tables_copied, 1);
    assert_sound(&fs);

    // Pruned, what is left is whole.
    let before = fs.files().len();
    let report = prune(&repository(&fs), 1, &Watch::NOBODY).unwrap();
    assert_eq!(report.backups.len(), 4);
    assert!(fs.files().len() < before);
    let left: Vec<_> = repository(&fs).list().unwrap().into_iter().map(|l| l.id).collect();
    assert_eq!(left, std::slice::from_ref(&mended.id));
    assert_sound(&fs);
    let there = Tsdb::open(other(&fs)).unwrap();
    there.restore(&repository(&fs), &restore(&mended.id, None, None), &Watch::NOBODY).unwrap();
    check_all(&there, "d", &truth, START + HOUR_NS);
    assert_eq!(prune(&repository(&fs), 1, &Watch::NOBODY).unwrap(), Default::default());
}

#[test]
fn what_was_deleted_before_a_backup_does_not_come_back_with_it() {
    let (fs, mut rng, mut truth) = (SimFs::new(2), Rng::new(2), Truth::default());
    let tsdb = Tsdb::open(options(&fs, Durability::Always)).unwrap();
    create(&tsdb, "d").unwrap();
    for _ in 0..40 {
        write_some(&tsdb, "d", &mut truth, &mut rng, START);
    }
    let before = back_up(&tsdb, &fs, Some("d"), START);
    let (full, host) = (truth.clone(), "h1");
    drop_host(&tsdb, "d", &mut truth, host);
    assert!(truth.series.len() < full.series.len());
    let after = back_up(&tsdb, &fs, Some("d"), START);
    let there = Tsdb::open(other(&fs)).unwrap();
    let names = [(&before.id, "before", &full), (&after.id, "after", &truth)];
    for _ in 0..2 {
        for (id, name, truth) in names {
            let request =
                RestoreRequest { may_replace: true, ..restore(id, Some("d"), Some(name)) };
            there.restore(&repository(&fs), &request, &Watch::NOBODY).unwrap();
            there.maintain(START).unwrap();
            let all = CompactOptions { is_final: true };
            there.store().compact(None, all, &|| false).unwrap();
            check_all(&there, name, truth, START);
        }
    }
    // Over a database that has dropped other series: its drops say nothing about what comes.
    for host in ["h0", "h2", "h3", "h4", "h5"] {
        drop_host(&there, "before", &mut full.clone(), host);
    }
    let request = RestoreRequest { may_replace: true, ..restore(&before.id, None, Some("before")) };
    there.restore(&repository(&fs), &request, &Watch::NOBODY).unwrap();
    let all = CompactOptions { is_final: true };
    there.store().compact(None, all, &|| false).unwrap();
    check_all(&there, "before", &full, START);
}

#[test]
fn keys_and_values_are_part_of_a_backup_of_everything() {
    let fs = SimFs::new(3);
    let tsdb = Tsdb::open(options(&fs, Durability::Always)).unwrap();
    create(&tsdb, "d").unwrap();
    let put = |tsdb: &Tsdb, value: &[u8]| {
        let keyspace = tsdb.store().create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(keyspace.id, b"key", value);
        let _ = tsdb.store().write(&batch, Default::default()).unwrap();
    };
    let get = |tsdb: &Tsdb| {
        let id = tsdb.store().keyspace("kv/a").unwrap().id;
        tsdb.store().get(id, b"key", None).unwrap().unwrap().to_vec()
    };
    put(&tsdb, b"old");
    let id = back_up(&tsdb, &fs, None, START).id;
    put(&tsdb, b"new");
    let repository = repository(&fs);
    let request = restore(&id, None, None);
    let error = tsdb.restore(&repository, &request, &Watch::NOBODY).unwrap_err();
    assert!(matches!(&error, Error::DatabaseExists { name } if name == "d"), "{error}");
    tsdb.drop_database("d").unwrap();
    let error = tsdb.restore(&repository, &request, &Watch::NOBODY).unwrap_err();
    assert!(error.to_string().contains("keyspace kv/a exists"), "{error}");
    assert_eq!((tsdb.databases(), get(&tsdb)), (vec![], b"new".to_vec()), "nothing was touched");
    let request = RestoreRequest { may_replace: true, ..request };
    let summary = tsdb.restore(&repository, &request, &Watch::NOBODY).unwrap();
    assert_eq!((summary.databases, summary.keyspaces), (vec!["d".into()], vec!["kv/a".into()]));
    assert_eq!(get(&tsdb), b"old");
    put(&tsdb, b"newer");
    assert_eq!(get(&tsdb), b"newer", "written after the restore");
}

#[test]
fn what_cannot_be_done_is_said() {
    let fs = SimFs::new(4);
    let tsdb = Tsdb::open(options(&fs, Durability::Always)).unwrap();
    create(&tsdb, "d").unwrap();
    create(&tsdb, "e").unwrap();
    let repository = repository(&fs);
    assert!(repository.list().unwrap().is_empty(), "a repository that is not there is empty");
    let request = BackupRequest { database: Some("x".to_owned()), is_full: false };
    let error = tsdb.backup(&repository, &request, START, &Watch::NOBODY).unwrap_err();
    assert_eq!(error.to_string(), "database not found: x");
    let id = back_up(&tsdb, &fs, None, START).id;
    let cases = [
        (restore("20200101T000000Z", None, None), "backup 20200101T000000Z not found"),
        (restore("../../etc/passwd", None, None), "backup ../../etc/passwd not found"),
        (restore(&id, Some("x"), None), "has no database x; it has: d, e"),
        (restore(&id, None, Some("y")), "another name is for one database"),
        (restore(&id, Some("d"), None), "database d exists"),
        (restore(&id, Some("d"), Some("")), "invalid name"),
    ];
    for (request, words) in cases {
        let error = tsdb.restore(&repository, &request, &Watch::NOBODY).unwrap_err();
        assert!(error.to_string().contains(words), "{request:?}: {error}");
    }
    let held = fs.lock(Path::new("/backups/LOCK")).unwrap();
    let error =
        tsdb.backup(&repository, &BackupRequest::default(), START, &Watch::NOBODY).unwrap_err();
    assert!(matches!(error, Error::Engine(engine::Error::Locked { .. })), "{error}");
    drop(held);
    assert!(prune(&repository, 0, &Watch::NOBODY).is_err());
    assert_eq!(tsdb.databases(), ["d", "e"]);
}

#[test]
fn progress_is_told_and_a_call_can_be_ended() {
    let (fs, mut rng, mut truth) = (SimFs::new(5), Rng::new(5), Truth::default());
    let tsdb = Tsdb::open(options(&fs, Durability::Always)).unwrap();
    create(&tsdb, "d").unwrap();
    for _ in 0..20 {
        write_some(&tsdb, "d", &mut truth, &mut rng, START);
    }
    let calls = AtomicU64::new(0);
    let last = parking(Default::default());
    let run = |limit: u64| {
        calls.store(0, Ordering::Relaxed);
        let is_cancelled = || calls.fetch_add(1, Ordering::Relaxed) >= limit;
        let watch = Watch { progress: &|p| *last.lock().unwrap() = p, is_cancelled: &is_cancelled };
        tsdb.backup(&repository(&fs), &BackupRequest::default(), START, &watch)
    };
    let mut cancelled = 0;
    let summary = loop {
        match run(cancelled) {
            Ok(summary) => break summary,
            Err(Error::Engine(engine::Error::Cancelled)) => cancelled += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(repository(&fs).list().unwrap().is_empty(), "a cancelled backup is none");
    };
    assert!(cancelled > 2, "it was cancelled at {cancelled} places");
    let seen = *last.lock().unwrap();
    assert_eq!((seen.files, seen.files_total), (summary.tables, summary.tables));
    assert_eq!((seen.bytes, seen.bytes_total), (summary.bytes, summary.bytes));

    let there = Tsdb::open(other(&fs)).unwrap();
    let files = fs.files();
    let watch = Watch { progress: &|_| {}, is_cancelled: &|| true };
    let error =
        there.restore(&repository(&fs), &restore(&summary.id, None, None), &watch).unwrap_err();
    assert!(matches!(error, Error::Engine(engine::Error::Cancelled)), "{error}");
    assert_eq!(fs.files(), files, "a cancelled restore leaves nothing");
    assert!(there.databases().is_empty());
}

fn parking<T>(value: T) -> std::sync::Mutex<T> {
    std::sync::Mutex::new(value)
}

/// Every file of a repository, damaged in some bits: verify finds it, a restore refuses it and
/// leaves what there is.
#[test]
fn damage_is_found_and_nothing_is_restored_from_it() {
    let (fs, mut rng, mut truth) = (SimFs::new(6), Rng::new(6), Truth::default());
    let tsdb = Tsdb::open(options(&fs, Durability::Always)).unwrap();
    create(&tsdb, "d").unwrap();
    for _ in 0..20 {
        write_some(&tsdb, "d", &mut truth, &mut rng, START);
    }
    let id = back_up(&tsdb, &fs, None, START).id;
    write_some(&tsdb, "d", &mut truth, &mut rng, START);
    let request = RestoreRequest { may_replace: true, ..restore(&id, None, None) };
    let is_part = |path: &&std::path::PathBuf| {
        path.starts_with("/backups/objects") || path.starts_with("/backups/backups")
    };
    let mut flips = 0;
    for path in fs.files().iter().filter(is_part) {
        let bytes = fs.bytes(path).unwrap();
        let stride = bytes.len() / 6 + 1;
        // Not only its line end.
        let cut = bytes[..bytes.len() - 2].to_vec();
        let mut damages: Vec<Vec<u8>> = (rng.below(3) as usize..bytes.len())
            .step_by(stride)
            .map(|at| {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << rng.below(8);
                flipped
            })
            .collect();
        damages.push(cut);
        for damaged in damages {
            fs.set_bytes(path, damaged);
            let report = verify(&repository(&fs), None, &Watch::NOBODY).unwrap();
            let [damage] = &report.damaged[..] else { panic!("{path:?}: {report:?}") };
            assert!(path.ends_with(&damage.file), "{damage:?}");
            assert_eq!(damage.backups, std::slice::from_ref(&id));
            let error = tsdb.restore(&repository(&fs), &request, &Watch::NOBODY).unwrap_err();
            assert!(error.is_corrupt(), "{path:?}: {error}");
            assert!(
                verify(&repository(&fs), Some(&id), &Watch::NOBODY).unwrap().damaged.len() == 1
            );
            flips += 1;
        }
        fs.set_bytes(path, bytes);
    }
    assert!(flips > 20, "{flips}");
    check_all(&tsdb, "d", &truth, START);
    let damaged = "/backups/backups/20990101T000000Z.json";
    fs.set_bytes(Path::new(damaged), b"{}".to_vec());
    assert!(prune(&repository(&fs), 1, &Watch::NOBODY).unwrap_err().is_corrupt());
    assert_eq!(repository(&fs).list().unwrap().len(), 2, "nothing was removed");
}

/// What a script of backups and restores must leave behind.
#[derive(Debug, Clone, Default)]
struct Outcome {
    /// Databases, each in one of these states (`None`: not there).
    databases: BTreeMap<String, Vec<Option<Truth>>>,
    /// Backups that were acknowledged and not pruned, with what is in them.
    backups: Vec<(String, Truth)>,
}

/// Backs up, goes on, backs up, restores beside and in place, prunes. Stops at the first error.
fn script(fs: &SimFs, seed: u64, outcome: &mut Outcome) -> Result<()> {
    let (mut rng, mut truth) = (Rng::new(seed), Truth::default());
    let tsdb = Tsdb::open(options(fs, Durability::Always))?;
    let set = |outcome: &mut Outcome, name: &str, states: Vec<Option<Truth>>| {
        outcome.databases.insert(name.to_owned(), states);
    };
    set(outcome, "d", vec![None, Some(Truth::default())]);
    create(&tsdb, "d")?;
    let repository = repository(fs);
    let mut ids = Vec::new();
    for round in 0..2 {
        for policy in ["autogen", "autogen", if round == 0 { SHORT } else { "autogen" }] {
            let points: Vec<_> = (0..4).map(|_| random_point(&mut rng, START)).collect();
            let before = truth.clone();
            let database = tsdb.database("d").unwrap();
            truth.write(policy, &points, database.policy(Some(policy))?.alive_from(START));
            set(outcome, "d", vec![Some(before), Some(truth.clone())]);
            write(&database, Some(policy), &points, START)?;
        }
        set(outcome, "d", vec![Some(truth.clone())]);
        let (now, request) = (START + round * HOUR_NS, BackupRequest::default());
        let id = tsdb.backup(&repository, &request, now, &Watch::NOBODY)?.id;
        outcome.backups.push((id.clone(), truth.clone()));
        ids.push((id, truth.clone()));
        if round > 0 {
            continue;
        }
        // What the first backup holds needs what its catalog says.
        let before = truth.clone();
        truth.rows.remove(SHORT);
        set(outcome, "d", vec![Some(before), Some(truth.clone())]);
        tsdb.database("d").unwrap().drop_policy(SHORT)?;
        set(outcome, "d", vec![Some(truth.clone())]);
    }
    let (first, old) = ids[0].clone();
    set(outcome, "e", vec![None, Some(old.clone())]);
    tsdb.restore(&repository, &restore(&first, Some("d"), Some("e")), &Watch::NOBODY)?;
    set(outcome, "e", vec![Some(old.clone())]);
    set(outcome, "d", vec![Some(truth), Some(old.clone())]);
    let request = RestoreRequest { may_replace: true, ..restore(&first, Some("d"), None) };
    tsdb.restore(&repository, &request, &Watch::NOBODY)?;
    set(outcome, "d", vec![Some(old.clone())]);
    // Over what a restore made, and compacted.
    tsdb.store().compact(None, CompactOptions { is_final: true }, &|| false)?;
    let (last, new) = ids[1].clone();
    set(outcome, "e", vec![Some(old), Some(new.clone())]);
    let request = RestoreRequest { may_replace: true, ..restore(&last, None, Some("e")) };
    tsdb.restore(&repository, &request, &Watch::NOBODY)?;
    set(outcome, "e", vec![Some(new)]);
    outcome.backups.remove(0);
    prune(&repository, 1, &Watch::NOBODY)?;
    Ok(tsdb.store().close()?)
}

/// Opens what is left and judges it.
fn judge(fs: &SimFs, outcome: &Outcome) -> std::result::Result<(), String> {
    let tsdb = Tsdb::open(options(fs, Durability::Always)).map_err(|e| format!("open: {e}"))?;
    for (name, states) in &outcome.databases {
        let is_in = |state: &Option<Truth>| match (state, tsdb.database(name)) {
            (None, None) => true,
            (Some(truth), Some(database)) => {
                let is_new = truth.series.is_empty() && database.policies().len() == 1;
                let has = |name: &String| database.policy(Some(name)).is_ok();
                if !truth.rows.keys().all(has) {
                    return false;
                }
                let check = || check_all(&tsdb, name, truth, START);
                is_new || catch_unwind(AssertUnwindSafe(check)).is_ok()
            }
            _ => false,
        };
        if !states.iter().any(is_in) {
            return Err(format!("{name} is in none of {} states", states.len()));
        }
    }
    let unknown = |name: &&String| !outcome.databases.contains_key(*name);
    if let Some(name) = tsdb.databases().iter().find(unknown) {
        return Err(format!("database {name} came from nowhere"));
    }
    let report = tsdb.store().check(true, &|_, _| {}).map_err(|e| e.to_string())?;
    if !report.findings.is_empty() {
        return Err(format!("check: {:?}", report.findings));
    }
    let repository = repository(fs);
    let report = verify(&repository, None, &Watch::NOBODY).map_err(|e| e.to_string())?;
    if !report.damaged.is_empty() {
        return Err(format!("repository: {:?}", report.damaged));
    }
    let there = Tsdb::open(other(fs)).map_err(|e| e.to_string())?;
    for (id, truth) in &outcome.backups {
        let request = restore(id, Some("d"), Some(id));
        there.restore(&repository, &request, &Watch::NOBODY).map_err(|e| format!("{id}: {e}"))?;
        check_all(&there, id, truth, START);
    }
    // And it goes on.
    let request = BackupRequest::default();
    let next = tsdb.backup(&repository, &request, START + 9 * HOUR_NS, &Watch::NOBODY);
    next.map(drop).map_err(|e| format!("the next backup: {e}"))
}

#[test]
fn a_crash_at_any_call_leaves_whole_backups_and_whole_databases() {
    let fs = SimFs::new(1);
    script(&fs, 1, &mut Outcome::default()).unwrap();
    let calls = fs.op_count();
    println!("{calls} calls");
    let mut points = 0;
    for at in 0..calls {
        let fs = SimFs::new(1);
        fs.crash_at(at);
        let mut outcome = Outcome::default();
        let stopped = script(&fs, 1, &mut outcome);
        assert!(stopped.is_err() || at + 3 > calls, "call {at}: {stopped:?}");
        for mode in CrashMode::ALL {
            let after = fs.crash(mode, at);
            let judged = catch_unwind(AssertUnwindSafe(|| judge(&after, &outcome)));
            let judged = judged.unwrap_or_else(|_| Err("a panic".to_owned()));
            judged.unwrap_or_else(|what| panic!("call {at} of {calls}, {mode:?}: {what}"));
            points += 1;
        }
    }
    assert!(points >= 1500, "{points} crash points");
}

#[test]
fn a_fault_at_any_call_leaves_whole_backups_and_whole_databases() {
    let fs = SimFs::new(1);
    script(&fs, 1, &mut Outcome::default()).unwrap();
    let calls = fs.op_count();
    let kinds =
        [(Fault::Eio, false), (Fault::Eio, true), (Fault::NoSpace, false), (Fault::NoSpace, true)];
    for (number, (fault, forever)) in kinds.into_iter().enumerate() {
        for at in (number as u64..calls).step_by(3) {
            let fs = SimFs::new(1);
            fs.inject(at..if forever { u64::MAX } else { at + 1 }, None, fault);
            let mut outcome = Outcome::default();
            let _ = script(&fs, 1, &mut outcome);
            fs.heal();
            let after = fs.crash(CrashMode::ALL[number], at);
            let judged = catch_unwind(AssertUnwindSafe(|| judge(&after, &outcome)));
            let judged = judged.unwrap_or_else(|_| Err("a panic".to_owned()));
            judged.unwrap_or_else(|what| panic!("{fault:?} at {at}, forever {forever}: {what}"));
        }
    }
}
