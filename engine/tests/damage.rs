//! Files that are not what was written: bits flipped, ends cut or grown, blocks and files swapped,
//! an older manifest put back. Allowed: the right answer, or an error that says so. Never a wrong
//! answer, never a panic.

#![expect(clippy::unwrap_used, reason = "a test, also outside its #[test]")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firndb_engine::fs::Fs;
use firndb_engine::fs::sim::{CrashMode, Rng, SimFs};
use firndb_engine::options::Durability;
use firndb_engine::{Error, Result};

use crate::proof;
use crate::script::{self, Run, Script, State, Step, Tracker};

const STEPS: usize = 70;
/// Flips in each store, at the most.
const FLIPS_MAX: u64 = 6_000;

/// A store, closed; and what it holds.
fn closed_store(seed: u64) -> (SimFs, State) {
    let script = Script::random(seed, STEPS, Durability::Always);
    let fs = script::new_fs(1);
    script::run(Arc::new(fs.clone()), &script, &Tracker::default()).expect("nothing fails");
    (fs, script.last_state().clone())
}

#[test]
fn the_damaged_stores_have_every_kind_of_file() {
    let (fs, _) = closed_store(11);
    for kind in ["LOCK", "CURRENT", "MANIFEST-", ".log", ".tbl"] {
        let has_it = fs.files().iter().any(|path| path.to_string_lossy().contains(kind));
        assert!(has_it, "the script leaves a file {kind}");
    }
}

/// A store whose process was killed, and what it may hold: without a clean close nothing says that
/// the very last record of the log was synced, so damage there looks like a torn tail.
fn killed_store(seed: u64) -> (SimFs, Vec<State>) {
    let mut script = Script::random(seed, STEPS, Durability::Always);
    // The last step is the last record of the log, so that it is the one that damage may cost. It
    // is of one keyspace: of several one may have been flushed already.
    let is_one = |ops: &[script::Operation]| ops.iter().all(|op| op.keyspace == ops[0].keyspace);
    let is_last = |step: &Step| matches!(step, Step::Write(operations) if is_one(operations));
    while !script.steps.last().is_some_and(is_last) {
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

fn copy(fs: &SimFs) -> SimFs {
    fs.crash(CrashMode::ALL[1], 0)
}

/// What was tried on damaged stores.
#[derive(Default)]
struct Damages {
    tried: u64,
    found: u64,
    failures: Vec<String>,
}

impl Damages {
    /// Opens and reads a damaged store: corrupt, or one of `allowed`.
    fn look(&mut self, what: String, fs: SimFs, allowed: &[State]) {
        self.tried += 1;
        let read = || -> Result<State> {
            let run = Run::open(Arc::new(fs), Durability::Always)?;
            script::read_state(run.store())
        };
        let wrong = match catch_unwind(AssertUnwindSafe(read)) {
            Ok(Ok(state)) if allowed.contains(&state) => return,
            Ok(Ok(state)) => format!("a wrong answer: {state:?}"),
            Ok(Err(error)) if error.is_corrupt() || matches!(error, Error::Version { .. }) => {
                self.found += 1;
                return;
            }
            Ok(Err(error)) => format!("neither corrupt nor right: {error}"),
            Err(_) => "a panic".to_owned(),
        };
        self.failures.push(format!("{what}: {wrong}"));
    }

    fn assert_harmless(&self) {
        let failures = &self.failures;
        assert!(failures.is_empty(), "{} failures; first: {}", failures.len(), failures[0]);
    }
}

/// Flips bits in `file` from a random byte on, `stride` apart.
fn flip(
    file: &Path,
    end: u64,
    stride: u64,
    (fs, allowed): (&SimFs, &[State]),
    rng: &mut Rng,
    seen: &mut Damages,
) {
    for offset in (rng.below(stride)..end).step_by(stride as usize) {
        let (damaged, bit) = (copy(fs), rng.below(8) as u8);
        damaged.flip_bit(file, offset, bit);
        seen.look(format!("{file:?} byte {offset} bit {bit}"), damaged, allowed);
    }
}

fn flip_closed(proof: &str, first: u64, count: u64, gate_min: u64) {
    let mut seen = Damages::default();
    for seed in proof::seeds(proof, first, count) {
        let (fs, state) = closed_store(seed);
        let mut rng = Rng::new(seed);
        let len = |path: &Path| fs.bytes(path).expect("just listed").len() as u64;
        let total: u64 = fs.files().iter().map(|path| len(path)).sum();
        let allowed = std::slice::from_ref(&state);
        for path in fs.files() {
            let stride = if len(&path) < 300 { 1 } else { total / FLIPS_MAX + 1 };
            flip(&path, len(&path), stride, (&fs, allowed), &mut rng, &mut seen);
        }
    }
    seen.assert_harmless();
    assert!(seen.found > seen.tried / 10, "{} of {} flips were found", seen.found, seen.tried);
    proof::looked(proof, seen.tried, gate_min);
}

#[test]
fn flipped_bits_in_every_kind_of_file_are_found_or_harmless() {
    flip_closed("bit flips", 11, 6, 20_000);
}

#[test]
fn flipped_bits_in_other_stores_are_found_or_harmless() {
    flip_closed("bit flips, more", 60_011, 6, 20_000);
}

#[test]
fn flipped_bits_in_a_killed_store_cost_one_step_at_most() {
    let mut seen = Damages::default();
    for seed in proof::seeds("bit flips, killed", 20, 7) {
        let (fs, allowed) = killed_store(seed);
        let mut rng = Rng::new(seed);
        for path in fs.files() {
            if path.extension().is_some_and(|extension| extension == "tbl") {
                continue; // synced before anything named it, so as in a closed store
            }
            let bytes = fs.bytes(&path).unwrap();
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 9);
            let end = written.min(bytes.len()) as u64;
            flip(&path, end, 2, (&fs, &allowed), &mut rng, &mut seen);
        }
    }
    seen.assert_harmless();
    proof::looked("bit flips, killed", seen.tried, 10_000);
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

fn noise(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

/// Versions of `bytes` whose end is gone.
fn cuts(bytes: &[u8], rng: &mut Rng, out: &mut Vec<(String, Vec<u8>)>) {
    out.push(("empty".to_owned(), Vec::new()));
    for _ in 0..20 {
        let at = rng.below(bytes.len() as u64 + 1) as usize;
        out.push((format!("cut at {at}"), bytes[..at].to_vec()));
        let end = (at + rng.below(600) as usize).min(bytes.len());
        let mut zeroed = bytes.to_vec();
        zeroed[at..end].fill(0);
        out.push((format!("zeros in {at}..{end}"), zeroed));
    }
}

/// Versions of `bytes` that grew, or whose parts changed places.
fn mixed(bytes: &[u8], rng: &mut Rng, out: &mut Vec<(String, Vec<u8>)>) {
    for _ in 0..10 {
        let len = 1 + rng.below(700) as usize;
        out.push((format!("noise behind, {len}"), [bytes, &noise(rng, len)].concat()));
        out.push((format!("zeros behind, {len}"), [bytes, &vec![0; len]].concat()));
        let copied = &bytes[bytes.len().saturating_sub(len)..];
        out.push((format!("its own end behind, {len}"), [bytes, copied].concat()));
    }
    for _ in 0..20 {
        let size = [16, 64, 256, 512][rng.below(4) as usize];
        let blocks = bytes.len() / size;
        if blocks < 2 {
            continue;
        }
        let (a, b) = (rng.below(blocks as u64) as usize, rng.below(blocks as u64) as usize);
        let mut swapped = bytes.to_vec();
        swapped[a * size..][..size].copy_from_slice(&bytes[b * size..][..size]);
        let mut misdirected = swapped.clone();
        swapped[b * size..][..size].copy_from_slice(&bytes[a * size..][..size]);
        out.push((format!("blocks {a} and {b} of {size} swapped"), swapped));
        out.push((format!("block {b} of {size} over block {a}"), misdirected.clone()));
        misdirected[a * size..][..size].copy_from_slice(&noise(rng, size));
        out.push((format!("noise over block {a} of {size}"), misdirected));
    }
}

fn damage_closed(proof: &str, first: u64, count: u64, gate_min: u64) {
    let mut seen = Damages::default();
    for seed in proof::seeds(proof, first, count) {
        let (fs, state) = closed_store(seed);
        let (mut rng, allowed) = (Rng::new(seed), std::slice::from_ref(&state));
        let last_log = fs.files().into_iter().rfind(|path| is_log(path));
        for path in fs.files() {
            let bytes = fs.bytes(&path).unwrap();
            let mut versions = Vec::new();
            // The end of the last log cannot be told from one that a crash cut; damage inside it
            // is found, see the flips.
            if Some(&path) != last_log.as_ref() {
                if !path.ends_with("LOCK") {
                    let damaged = copy(&fs);
                    damaged.remove_file(&path).unwrap();
                    seen.look(format!("seed {seed}: {path:?} is missing"), damaged, allowed);
                    cuts(&bytes, &mut rng, &mut versions);
                }
                mixed(&bytes, &mut rng, &mut versions);
            }
            for (what, bytes) in versions {
                let damaged = copy(&fs);
                damaged.set_bytes(&path, bytes);
                seen.look(format!("seed {seed}: {path:?}, {what}"), damaged, allowed);
            }
        }
        swap_files(&fs, allowed, last_log.as_deref(), &mut seen);
    }
    seen.assert_harmless();
    proof::looked(proof, seen.tried, gate_min);
}

/// Every two files of the store exchanged, and one in the place of another.
fn swap_files(fs: &SimFs, allowed: &[State], last_log: Option<&Path>, seen: &mut Damages) {
    let is_meant = |path: &PathBuf| !path.ends_with("LOCK") && Some(&**path) != last_log;
    let files: Vec<_> = fs.files().into_iter().filter(is_meant).collect();
    for (index, left) in files.iter().enumerate() {
        for right in &files[index + 1..] {
            let (a, b) = (fs.bytes(left).unwrap(), fs.bytes(right).unwrap());
            let swapped = copy(fs);
            swapped.set_bytes(left, b);
            swapped.set_bytes(right, a.clone());
            seen.look(format!("{left:?} and {right:?} swapped"), swapped, allowed);
            let twice = copy(fs);
            twice.set_bytes(right, a);
            seen.look(format!("{left:?} also as {right:?}"), twice, allowed);
        }
    }
}

#[test]
fn cut_grown_and_swapped_files_are_found_or_harmless() {
    damage_closed("cuts and swaps", 4, 5, 2_500);
}

#[test]
fn cut_grown_and_swapped_files_of_other_stores_are_found_or_harmless() {
    damage_closed("cuts and swaps, more", 70_004, 5, 2_500);
}

/// Files that name others, as they were after every eighth step, are put back.
#[test]
fn an_older_manifest_is_found_or_harmless() {
    let mut seen = Damages::default();
    for seed in proof::seeds("older manifests", 300, 16) {
        let script = Script::random(seed, STEPS, Durability::Always);
        let fs = script::new_fs(1);
        let mut run = Run::open(Arc::new(fs.clone()), script.durability).unwrap();
        let mut older: Vec<BTreeMap<PathBuf, Vec<u8>>> = Vec::new();
        for (index, step) in script.steps.iter().enumerate() {
            run.step(step).unwrap();
            if index % 8 == 7 {
                let names = |path: &PathBuf| {
                    path.ends_with("CURRENT") || path.to_string_lossy().contains("MANIFEST-")
                };
                let files = fs.files().into_iter().filter(names);
                older.push(files.map(|path| (path.clone(), fs.bytes(&path).unwrap())).collect());
            }
        }
        run.store().close().unwrap();
        drop(run);
        for (age, files) in older.iter().enumerate() {
            let damaged = copy(&fs);
            for (path, bytes) in files {
                damaged.set_bytes(path, bytes.clone());
            }
            let allowed = std::slice::from_ref(script.last_state());
            seen.look(format!("seed {seed}: the manifest of moment {age}"), damaged, allowed);
        }
    }
    seen.assert_harmless();
    proof::looked("older manifests", seen.tried, 100);
}
