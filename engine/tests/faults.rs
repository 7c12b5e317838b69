//! Every call to the file system fails once, and from some call on all of them; every kind of file
//! is damaged. Allowed: an error, or the right answer.
//!
//! A step that fails may have happened or not, unless the store was already read-only; so the
//! oracle is a set of states. A step that succeeds has happened in all of them. After the faults
//! are gone, the store must open and hold one of the set.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use firndb_engine::fs::sim::{CrashMode, Fault, OpKind, Rng, SimFs};
use firndb_engine::options::Durability;
use firndb_engine::{Error, Result};

use crate::script::{self, Run, Script, State, Step, Tracker, seeds_factor};

/// Runs a script through its failures; gives the states that may be there at the end.
fn run_through(fs: &SimFs, script: &Script) -> Result<Vec<State>, String> {
    let mut candidates = vec![State::new()];
    let mut run = Run::closed(Arc::new(fs.clone()), script.durability);
    for (index, step) in script.steps.iter().enumerate() {
        if run.reopen().is_err() {
            continue;
        }
        let was_read_only = run.store().read_only_cause().is_some();
        let result = run.step(step);
        take_account(step, &result, was_read_only, &mut candidates);
        if candidates.is_empty() {
            return Err(format!("step {index} {step:?} succeeded, which it cannot: {result:?}"));
        }
        if index % 8 == 7 && run.reopen().is_ok() {
            look(&run, &candidates).map_err(|e| format!("after step {index}: {e}"))?;
        }
    }
    Ok(candidates)
}

/// Narrows and widens the set of possible states by what a step answered.
fn take_account(
    step: &Step,
    result: &Result<bool>,
    was_read_only: bool,
    candidates: &mut Vec<State>,
) {
    let after = |states: &[State]| -> Vec<State> {
        let mut after = states.to_vec();
        after.retain_mut(|state| script::apply(step, state));
        after
    };
    match result {
        Ok(_) => *candidates = after(candidates),
        Err(
            Error::NotFound { .. }
            | Error::Invalid { .. }
            | Error::Busy { .. }
            | Error::Limit { .. }
            | Error::Closed,
        ) => {}
        Err(_) if was_read_only => {}
        Err(_) => {
            let more = after(candidates);
            candidates.extend(more);
        }
    }
    candidates.sort();
    candidates.dedup();
}

/// Reads everything: an error, or one of the possible states.
fn look(run: &Run, candidates: &[State]) -> Result<(), String> {
    match script::read_state(run.store()) {
        Ok(state) if !candidates.contains(&state) => {
            Err(format!("a wrong answer: {state:?}, possible are {candidates:?}"))
        }
        _ => Ok(()),
    }
}

/// Opens what is left, with nothing failing any more.
fn look_healed(fs: SimFs, candidates: &[State]) -> Result<(), String> {
    let run = Run::open(Arc::new(fs), Durability::Always).map_err(|e| format!("open: {e}"))?;
    let state = script::read_state(run.store()).map_err(|e| format!("read: {e}"))?;
    if candidates.contains(&state) {
        return Ok(());
    }
    Err(format!("found {state:?}, possible are {candidates:?}"))
}

fn calls_of(script: &Script) -> u64 {
    let fs = script::new_fs(1);
    script::run(Arc::new(fs.clone()), script, &Tracker::default()).expect("nothing fails");
    fs.op_count()
}

fn with_fault(script: &Script, at: u64, forever: bool, fault: Fault) -> Result<(), String> {
    let fs = script::new_fs(1);
    fs.inject(at..if forever { u64::MAX } else { at + 1 }, None, fault);
    let candidates = run_through(&fs, script)?;
    fs.heal();
    for mode in [CrashMode::ALL[0], CrashMode::ALL[1], CrashMode::ALL[3]] {
        look_healed(fs.crash(mode, at), &candidates).map_err(|e| format!("{mode:?}: {e}"))?;
    }
    Ok(())
}

fn assert_stands(fault: Fault, forever: bool, stride: usize) {
    let mut failures = Vec::new();
    for seed in 9..9 + 2 * seeds_factor() {
        let script = Script::random(seed, 48, Durability::Always);
        for at in (1..calls_of(&script)).step_by(stride) {
            let tried = || with_fault(&script, at, forever, fault);
            let result = catch_unwind(AssertUnwindSafe(tried));
            if let Err(what) = result.unwrap_or_else(|_| Err("a panic".into())) {
                let context = format!("seed {seed}, {fault:?} at call {at}, forever {forever}");
                failures.push(format!("{context}: {what}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures; first: {}", failures.len(), failures[0]);
}

#[test]
fn a_device_error_at_any_call() {
    assert_stands(Fault::Eio, false, 1);
}

#[test]
fn a_device_error_from_any_call_on() {
    assert_stands(Fault::Eio, true, 3);
}

#[test]
fn a_full_disk_at_any_call() {
    assert_stands(Fault::NoSpace, false, 2);
}

#[test]
fn a_full_disk_from_any_call_on() {
    assert_stands(Fault::NoSpace, true, 3);
}

#[test]
fn short_and_interrupted_transfers_do_not_matter() {
    let script = Script::random(7, 48, Durability::Always);
    for fault in [Fault::Short, Fault::Interrupted] {
        let calls = calls_of(&script);
        let stride = if fault == Fault::Short { 1 } else { 7 };
        for at in (1..calls).step_by(stride) {
            let fs = script::new_fs(1);
            fs.inject(at..at + 1, None, fault);
            let done = script::run(Arc::new(fs.clone()), &script, &Tracker::default());
            done.unwrap_or_else(|e| panic!("{fault:?} at call {at}: {e}"));
            if at % 16 == 1 {
                look_healed(fs, std::slice::from_ref(script.last_state())).unwrap();
            }
        }
    }
}

/// A store with every kind of file, closed; and what it holds.
fn closed_store() -> (SimFs, State) {
    let script = Script::random(11, 70, Durability::Always);
    let fs = script::new_fs(1);
    script::run(Arc::new(fs.clone()), &script, &Tracker::default()).expect("nothing fails");
    for kind in ["CURRENT", "MANIFEST-", ".log", ".tbl"] {
        let has_it = fs.files().iter().any(|path| path.to_string_lossy().contains(kind));
        assert!(has_it, "the script leaves a file {kind}");
    }
    (fs, script.last_state().clone())
}

/// Opens and reads a damaged store: corrupt, or one of `allowed`.
fn look_damaged(fs: SimFs, allowed: &[State]) -> Result<bool, String> {
    let read = || -> Result<State> {
        let run = Run::open(Arc::new(fs), Durability::Always)?;
        script::read_state(run.store())
    };
    match catch_unwind(AssertUnwindSafe(read)).map_err(|_| "a panic")? {
        Ok(state) if allowed.contains(&state) => Ok(false),
        Ok(state) => Err(format!("a wrong answer: {state:?}")),
        Err(Error::Version { .. }) => Ok(true),
        Err(error) if error.is_corrupt() => Ok(true),
        Err(error) => Err(format!("neither corrupt nor right: {error}")),
    }
}

/// A store whose process was killed, and what it may hold: without a clean close nothing says that
/// the very last record of log and manifest was synced, so damage there looks like a torn tail.
fn killed_store(seed: u64) -> (SimFs, Vec<State>) {
    let mut script = Script::random(seed, 70, Durability::Always);
    // The last step is the last record of the log, so that it is the one that damage may cost.
    while !matches!(script.steps.last(), Some(Step::Write(_))) {
        script.steps.pop();
        script.states.pop();
    }
    let fs = script::new_fs(1);
    let mut run = Run::open(Arc::new(fs.clone()), script.durability).expect("nothing fails");
    for step in &script.steps {
        run.step(step).expect("nothing fails");
    }
    let mut allowed = script.states;
    allowed.dedup();
    (copy(&fs), allowed.split_off(allowed.len() - 2))
}

#[test]
fn flipped_bits_in_a_killed_store_cost_one_step_at_most() {
    let mut failures = Vec::new();
    for seed in 20..24 {
        let (fs, allowed) = killed_store(seed);
        let mut rng = Rng::new(seed);
        for path in fs.files() {
            if path.extension().is_some_and(|extension| extension == "tbl") {
                continue; // synced before anything named it, so as in a closed store
            }
            let bytes = fs.bytes(&path).unwrap();
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 9);
            for offset in (rng.below(3)..end.min(bytes.len()) as u64).step_by(3) {
                let (damaged, bit) = (copy(&fs), rng.below(8) as u8);
                damaged.flip_bit(&path, offset, bit);
                if let Err(what) = look_damaged(damaged, &allowed) {
                    failures.push(format!("seed {seed}, {path:?} byte {offset} bit {bit}: {what}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures; first: {}", failures.len(), failures[0]);
}

fn copy(fs: &SimFs) -> SimFs {
    fs.crash(CrashMode::ALL[1], 0)
}

#[test]
fn flipped_bits_in_every_kind_of_file_are_found_or_harmless() {
    let (fs, state) = closed_store();
    let (mut rng, mut failures, mut found) = (Rng::new(3), Vec::new(), 0);
    let total: u64 = fs.files().iter().map(|p| fs.bytes(p).unwrap().len() as u64).sum();
    let stride = total / 6000 + 1;
    for path in fs.files() {
        let len = fs.bytes(&path).unwrap().len() as u64;
        for offset in (rng.below(stride)..len).step_by(stride as usize) {
            let (damaged, bit) = (copy(&fs), rng.below(8) as u8);
            damaged.flip_bit(&path, offset, bit);
            match look_damaged(damaged, std::slice::from_ref(&state)) {
                Ok(is_found) => found += u64::from(is_found),
                Err(what) => failures.push(format!("{path:?} byte {offset} bit {bit}: {what}")),
            }
        }
    }
    assert!(failures.is_empty(), "{} failures; first: {}", failures.len(), failures[0]);
    assert!(found > 1000, "{found} of the flips were found");
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

#[test]
fn cut_emptied_and_missing_files_are_found_or_harmless() {
    let (fs, state) = closed_store();
    let (mut rng, mut failures) = (Rng::new(4), Vec::new());
    let last_log = fs.files().into_iter().rfind(|path| is_log(path));
    for path in fs.files() {
        // The end of the last log cannot be told from one that a crash cut; damage inside it is
        // found, see above.
        if Some(&path) == last_log.as_ref() || path.ends_with("LOCK") {
            continue;
        }
        let bytes = fs.bytes(&path).unwrap();
        let mut cases = vec![("missing".to_string(), None), ("empty".into(), Some(Vec::new()))];
        for _ in 0..20 {
            let at = rng.below(bytes.len() as u64 + 1) as usize;
            cases.push((format!("cut at {at}"), Some(bytes[..at].to_vec())));
            let mut zeroed = bytes.clone();
            let end = (at + rng.below(600) as usize).min(bytes.len());
            zeroed[at..end].fill(0);
            cases.push((format!("zeros in {at}..{end}"), Some(zeroed)));
        }
        for (what, bytes) in cases {
            let damaged = copy(&fs);
            match bytes {
                Some(bytes) => damaged.set_bytes(&path, bytes),
                None => firndb_engine::fs::Fs::remove_file(&damaged, &path).unwrap(),
            }
            if let Err(error) = look_damaged(damaged, std::slice::from_ref(&state)) {
                failures.push(format!("{path:?} {what}: {error}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures; first: {}", failures.len(), failures[0]);
}

#[test]
fn a_failed_log_sync_makes_the_store_read_only_and_is_not_retried() {
    let fs = script::new_fs(1);
    let mut run = Run::open(Arc::new(fs.clone()), Durability::Always).unwrap();
    run.step(&Step::Create("a")).unwrap();
    let write = |value: &[u8]| {
        let (keyspace, key, value) = ("a", b"key-00".to_vec(), value.to_vec());
        Step::Write(vec![script::Operation { keyspace, change: script::Change::Put, key, value }])
    };
    run.step(&write(b"first")).unwrap();
    fs.inject(fs.op_count()..u64::MAX, Some(OpKind::Sync), Fault::Eio);
    assert!(matches!(run.step(&write(b"second")), Err(Error::ReadOnly { .. })));
    fs.heal();
    fs.start_trace();
    assert!(matches!(run.step(&write(b"third")), Err(Error::ReadOnly { .. })));
    assert!(run.store().read_only_cause().is_some());
    assert!(script::read_state(run.store()).is_ok(), "reads go on");
    assert!(fs.trace().iter().all(|op| op.kind != OpKind::Sync), "no retried sync");
}
