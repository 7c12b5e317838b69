//! Crash at every call to the file system, four ways, and look at what is left.
//!
//! The script runs once. Before each call the simulated disk is asked what a crash there would
//! leave; a store is opened on each of these and must hold one of the allowed states:
//! - the state behind the last acknowledged step, or behind the running one: batches whole,
//!   dropped keyspaces gone, nothing that was acknowledged missing;
//! - the same at the second open, after a crash that keeps only what recovery synced;
//! - and it must take a write that survives in turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use firndb_engine::fs::Fs;
use firndb_engine::fs::sim::{CrashMode, DirOrder, Keep, SimFs};
use firndb_engine::options::Durability;
use firndb_engine::store::Store;
use parking_lot::Mutex;

use crate::proof;
use crate::script::{self, Allowed, Change, Operation, Run, Script, State, Step, Tracker};

/// Log files of a store that keeps 16 KiB of log, in segments of 4 KiB, for its memtables.
const LOGS_MAX: usize = 8;

/// Crash points that each script has at the least.
const POINTS_MIN: u64 = 1_000;

/// What was found at all crash points of a script.
#[derive(Debug, Default)]
pub struct Findings {
    pub points: u64,
    pub failures: Vec<String>,
}

/// Which crash points are examined.
#[derive(Debug, Clone, Copy)]
pub struct Sampling {
    /// Every how manyth call.
    pub stride: u64,
    /// Whether one failure is enough.
    pub is_one_enough: bool,
}

/// Runs `script` on `fs`, which must end up in `disk`, and examines what crashes leave.
pub fn crash_everywhere(
    disk: &SimFs,
    fs: Arc<dyn Fs>,
    script: &Script,
    seed: u64,
    sampling: Sampling,
) -> Findings {
    let tracker = Tracker::default();
    let findings = Arc::new(Mutex::new(Findings::default()));
    let (source, looked_at, seen) = (disk.clone(), tracker.clone(), findings.clone());
    let durability = script.durability;
    let states = script.clone();
    disk.observe(Some(Box::new(move |number, op| {
        let is_enough = sampling.is_one_enough && !seen.lock().failures.is_empty();
        if number % sampling.stride != 0 || is_enough {
            return;
        }
        for mode in CrashMode::ALL {
            let after = source.crash(mode, number ^ seed << 32);
            let examined = || examine(&after, &states, &looked_at.allowed(), durability);
            let result = catch_unwind(AssertUnwindSafe(examined));
            let result = result.unwrap_or_else(|_| Err("a panic".into()));
            let mut findings = seen.lock();
            findings.points += 1;
            if let Err(what) = result {
                let context = format!("seed {seed}, call {number} ({op:?}), {mode:?}");
                findings.failures.push(format!("{context}: {what}"));
            }
        }
    })));
    let result = script::run(fs, script, &tracker);
    disk.observe(None);
    let mut findings = std::mem::take(&mut *findings.lock());
    if let Err(error) = result {
        findings.failures.push(format!("seed {seed}: the script failed: {error}"));
    }
    findings.failures.extend(left_behind(disk).map(|what| format!("seed {seed}: {what}")));
    findings
}

/// What is wrong with the files of a store that was closed: none may be there that nothing needs.
fn left_behind(disk: &SimFs) -> Option<String> {
    let names = |kind: &str| -> Vec<_> {
        let files = disk.files().into_iter().map(|path| path.to_string_lossy().into_owned());
        files.filter(|name| name.contains(kind)).collect()
    };
    let (manifests, logs, tables) = (names("MANIFEST-"), names(".log"), names(".tbl"));
    let copy = disk.crash(CrashMode { keep: Keep::All, dirs: DirOrder::Any }, 1);
    let run = match Run::open(Arc::new(copy), Durability::Always) {
        Ok(run) => run,
        Err(error) => return Some(format!("the store that was closed does not open: {error}")),
    };
    let keyspaces = run.store().keyspaces();
    let views = keyspaces.iter().filter_map(|keyspace| run.store().view(keyspace.id).ok());
    let in_use: usize = views.map(|view| view.tables().len()).sum();
    // Another flush at the open makes more tables, never fewer.
    let is_tidy = manifests.len() == 1 && tables.len() <= in_use && logs.len() <= LOGS_MAX;
    (!is_tidy).then(|| format!("files left: {manifests:?}, {logs:?}, {tables:?} for {in_use}"))
}

/// Opens what a crash left, twice, and judges it.
pub fn examine(
    after: &SimFs,
    script: &Script,
    allowed: &Allowed,
    durability: Durability,
) -> Result<(), String> {
    let run = Run::open(Arc::new(after.clone()), durability).map_err(|e| format!("open: {e}"))?;
    let state = script::read_state(run.store()).map_err(|e| format!("read: {e}"))?;
    script::judge(script, allowed, &state)?;
    check(run.store())?;
    let state = write_one_more(run, state)?;

    // The machine stops again, without having been asked to.
    let again = after.crash(CrashMode { keep: Keep::None, dirs: DirOrder::Any }, 1);
    let run = Run::open(Arc::new(again), durability).map_err(|e| format!("second open: {e}"))?;
    let second = script::read_state(run.store()).map_err(|e| format!("second read: {e}"))?;
    if second != state {
        return Err(format!("the second open found {second:?} where the first had left {state:?}"));
    }
    check(run.store()).map_err(|e| format!("second {e}"))
}

fn check(store: &Store) -> Result<(), String> {
    let report = store.check(true, &|_, _| {}).map_err(|e| format!("check: {e}"))?;
    if report.findings.is_empty() { Ok(()) } else { Err(format!("check: {:?}", report.findings)) }
}

/// Writes to the recovered store, durably; gives the state it has then.
fn write_one_more(mut run: Run, mut state: State) -> Result<State, String> {
    let Some(keyspace) = ["a", "b", "c"].into_iter().find(|name| state.contains_key(*name)) else {
        return Ok(state);
    };
    let (key, value) = (b"key-00".to_vec(), b"after the crash".to_vec());
    state.get_mut(keyspace).expect("just found").insert(key.clone(), value.clone());
    let operation = Operation { keyspace, change: Change::Put, key, value };
    run.step(&Step::Write(vec![operation])).map_err(|e| format!("write: {e}"))?;
    run.step(&Step::Sync).map_err(|e| format!("sync: {e}"))?;
    Ok(state)
}

/// Crashes again at every call of the recovery from `after`.
fn crash_in_recovery(
    after: &SimFs,
    script: &Script,
    allowed: &Allowed,
    seed: u64,
) -> (u64, Option<String>) {
    let found = Arc::new(Mutex::new((0, None)));
    let (source, seen, script, allowed) =
        (after.clone(), found.clone(), script.clone(), allowed.clone());
    let durability = script.durability;
    after.observe(Some(Box::new(move |number, op| {
        for mode in CrashMode::ALL {
            let again = source.crash(mode, number ^ seed << 32);
            let result = examine(&again, &script, &allowed, durability);
            let mut seen = seen.lock();
            seen.0 += 1;
            if let Err(what) = result {
                seen.1.get_or_insert(format!("recovery call {number} ({op:?}), {mode:?}: {what}"));
            }
        }
    })));
    let opened = Run::open(Arc::new(after.clone()), durability);
    after.observe(None);
    let (points, failure) = found.lock().clone();
    (points, failure.or(opened.err().map(|e| e.to_string())))
}

/// Crashes at every call of scripts with seeds from `first` on; answers how many crashes that were.
fn assert_survives(proof: &str, first: u64, count: u64, steps: usize, durability: Durability) {
    let mut points = 0;
    for seed in proof::seeds(proof, first, count) {
        let script = Script::random(seed, steps, durability);
        let disk = script::new_fs(seed);
        let sampling = Sampling { stride: 1, is_one_enough: false };
        let findings = crash_everywhere(&disk, Arc::new(disk.clone()), &script, seed, sampling);
        let failures = &findings.failures;
        assert!(failures.is_empty(), "{} failures; first: {}", failures.len(), failures[0]);
        points += findings.points;
    }
    proof::looked(proof, points, count * POINTS_MIN);
}

#[test]
fn everything_acknowledged_survives_a_crash_at_every_call() {
    assert_survives("crash points", 0, 4, 150, Durability::Always);
}

#[test]
fn everything_acknowledged_survives_a_crash_at_every_call_of_other_scripts() {
    assert_survives("crash points, more", 100_000, 4, 150, Durability::Always);
}

#[test]
fn without_waiting_a_crash_leaves_a_prefix() {
    assert_survives("crash points, not waiting", 1_000_000, 3, 120, Durability::Os);
}

#[test]
fn a_crash_during_recovery_changes_nothing() {
    let mut points = 0;
    for seed in proof::seeds("second crashes", 42, 2) {
        let durability = if seed % 2 == 0 { Durability::Always } else { Durability::Os };
        let script = Script::random(seed, 60, durability);
        let (disk, tracker) = (script::new_fs(seed), Tracker::default());
        let found = Arc::new(Mutex::new((0, Vec::new())));
        let (source, looked_at, seen, states) =
            (disk.clone(), tracker.clone(), found.clone(), script.clone());
        disk.observe(Some(Box::new(move |number, op| {
            if number % 61 != 0 {
                return;
            }
            for mode in [CrashMode::ALL[1], CrashMode::ALL[3]] {
                let after = source.crash(mode, number);
                let (points, failure) =
                    crash_in_recovery(&after, &states, &looked_at.allowed(), number);
                let mut seen = seen.lock();
                seen.0 += points;
                seen.1.extend(
                    failure.map(|what| format!("call {number} ({op:?}), {mode:?}: {what}")),
                );
            }
        })));
        script::run(Arc::new(disk.clone()), &script, &tracker).unwrap();
        disk.observe(None);
        let (found, failures) = &*found.lock();
        assert!(failures.is_empty(), "{} failures; first: {}", failures.len(), failures[0]);
        points += found;
    }
    proof::looked("second crashes", points, 2_000);
}
