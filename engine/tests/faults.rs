//! Every call to the file system fails once, and from some call on all of them or all of one kind.
//! Allowed: an error, or the right answer.
//!
//! A step that fails may have happened or not, unless the store was already read-only; so the
//! oracle is a set of states. A step that succeeds has happened in all of them. After the faults
//! are gone, the store must open and hold one of the set.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use firndb_engine::fs::sim::{CrashMode, Fault, OpKind, SimFs};
use firndb_engine::options::Durability;
use firndb_engine::{Error, Result};

use crate::proof;
use crate::script::{self, Run, Script, State, Step, Tracker};

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

/// What fails: calls from `at` on, of one kind or of all.
#[derive(Debug, Clone, Copy)]
struct Failing {
    at: u64,
    forever: bool,
    only: Option<OpKind>,
    fault: Fault,
}

fn with_fault(script: &Script, failing: Failing) -> Result<(), String> {
    let Failing { at, forever, only, fault } = failing;
    let fs = script::new_fs(1);
    fs.inject(at..if forever { u64::MAX } else { at + 1 }, only, fault);
    let candidates = run_through(&fs, script)?;
    fs.heal();
    for mode in [CrashMode::ALL[0], CrashMode::ALL[1], CrashMode::ALL[3]] {
        look_healed(fs.crash(mode, at), &candidates).map_err(|e| format!("{mode:?}: {e}"))?;
    }
    Ok(())
}

/// Runs scripts once for every fault that `all` makes of the number of their calls.
fn assert_stands(
    proof: &str,
    first: u64,
    count: u64,
    gate_min: u64,
    all: &dyn Fn(u64) -> Vec<Failing>,
) {
    let (mut tried, mut failures) = (0, Vec::new());
    for seed in proof::seeds(proof, first, count) {
        let script = Script::random(seed, 48, Durability::Always);
        for failing in all(calls_of(&script)) {
            let result = catch_unwind(AssertUnwindSafe(|| with_fault(&script, failing)));
            tried += 1;
            if let Err(what) = result.unwrap_or_else(|_| Err("a panic".into())) {
                failures.push(format!("seed {seed}, {failing:?}: {what}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures; first: {}", failures.len(), failures[0]);
    proof::looked(proof, tried, gate_min);
}

fn once(fault: Fault) -> impl Fn(u64) -> Vec<Failing> {
    move |calls| (1..calls).map(|at| Failing { at, forever: false, only: None, fault }).collect()
}

fn from_then_on(fault: Fault) -> impl Fn(u64) -> Vec<Failing> {
    move |calls| (1..calls).map(|at| Failing { at, forever: true, only: None, fault }).collect()
}

#[test]
fn a_device_error_at_any_call() {
    assert_stands("faults, EIO once", 9, 14, 3_000, &once(Fault::Eio));
}

#[test]
fn a_device_error_from_any_call_on() {
    assert_stands("faults, EIO for ever", 20_009, 13, 3_000, &from_then_on(Fault::Eio));
}

#[test]
fn a_full_disk_at_any_call() {
    assert_stands("faults, ENOSPC once", 40_009, 12, 3_000, &once(Fault::NoSpace));
}

#[test]
fn a_full_disk_from_any_call_on() {
    assert_stands("faults, ENOSPC for ever", 60_009, 14, 3_000, &from_then_on(Fault::NoSpace));
}

/// One kind of call fails from some call on, and all others go on: reads without writes, files
/// without names, bytes without syncs.
#[test]
fn one_kind_of_call_fails_from_any_call_on() {
    use OpKind::*;
    let kinds = [
        Create, Open, Rename, Link, Remove, CreateDir, List, Exists, SyncDir, Lock, Space, Read,
        Write, Sync, Len, SetLen,
    ];
    let all = |calls: u64| {
        let mut all = Vec::new();
        for (index, only) in kinds.into_iter().enumerate() {
            for fault in [Fault::Eio, Fault::NoSpace] {
                if fault == Fault::NoSpace && !only.takes_space() {
                    continue;
                }
                let at = (1 + index as u64..calls).step_by(24);
                all.extend(at.map(|at| Failing { at, forever: true, only: Some(only), fault }));
            }
        }
        all
    };
    assert_stands("faults, one kind for ever", 80_009, 11, 2_500, &all);
}

#[test]
fn short_and_interrupted_transfers_do_not_matter() {
    let mut tried = 0;
    for seed in proof::seeds("faults, short and interrupted", 7, 6) {
        let script = Script::random(seed, 48, Durability::Always);
        for fault in [Fault::Short, Fault::Interrupted] {
            for at in 1..calls_of(&script) {
                let fs = script::new_fs(1);
                fs.inject(at..at + 1, None, fault);
                let done = script::run(Arc::new(fs.clone()), &script, &Tracker::default());
                done.unwrap_or_else(|e| panic!("seed {seed}, {fault:?} at call {at}: {e}"));
                if at % 16 == 1 {
                    look_healed(fs, std::slice::from_ref(script.last_state())).unwrap();
                }
                tried += 1;
            }
        }
    }
    proof::looked("faults, short and interrupted", tried, 2_500);
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

/// Found by the chains of crashes: a flush in the background had failed, the store no longer
/// wrote, and its close said that all was well with what had not been waited for.
#[test]
fn a_store_that_no_longer_writes_says_so_when_it_is_closed() {
    let fs = script::new_fs(1);
    let mut run = Run::open(Arc::new(fs.clone()), Durability::Os).unwrap();
    run.step(&Step::Create("a")).unwrap();
    run.step(&Step::Create("b")).unwrap();
    fs.inject(fs.op_count()..u64::MAX, Some(OpKind::Sync), Fault::Eio);
    // The flush of one syncs the log for what is in the memtable of the other.
    let put = |keyspace, bytes| {
        let (key, value) = (b"key-00".to_vec(), vec![7; bytes]);
        script::Operation { keyspace, change: script::Change::Put, key, value }
    };
    let batch = Step::Write(vec![put("a", 5 << 10), put("b", 10)]);
    run.step(&batch).expect("it is in the log, and the flush comes after");
    assert!(run.store().read_only_cause().is_some(), "the flush failed");
    assert!(matches!(run.store().close(), Err(Error::ReadOnly { .. })));
}
