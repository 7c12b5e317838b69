//! Chains of crashes: a store runs a while and stops anywhere, in a recovery too, again and again
//! on one disk. What an earlier crash left behind is what the next life starts from.
//!
//! Each life may be durable at every write or only at syncs; each crash keeps what one of the four
//! modes keeps. Behind each crash the state must be one that the life allows, and the next life
//! goes on from it.

use std::sync::Arc;

use firndb_engine::fs::sim::{CrashMode, Rng, SimFs};
use firndb_engine::options::Durability;

use crate::proof;
use crate::script::{self, Allowed, Run, Script, State, Tracker};

/// Crashes of one chain, at the least.
const CRASHES: u64 = 5;
/// Calls of a life after which the machine stops: from inside the open to several flushes later.
const CALLS_MAX: u64 = 160;
/// Calls of a recovery that is stopped too.
const RECOVERY_CALLS_MAX: u64 = 50;

/// The disk after a crash in a random mode.
fn crash(fs: &SimFs, rng: &mut Rng) -> SimFs {
    let mode = CrashMode::ALL[rng.below(4) as usize];
    fs.crash(mode, rng.next_u64())
}

/// One life: a script until the machine stops, and recoveries that are stopped too. Answers how
/// many crashes there were; `fs` and `state` become what is left.
fn live(fs: &mut SimFs, state: &mut State, rng: &mut Rng) -> Result<u64, String> {
    let durability = if rng.one_in(4) { Durability::Os } else { Durability::Always };
    let steps = 4 + rng.below(30) as usize;
    let script = Script::continued(rng.next_u64(), steps, durability, state.clone());
    let tracker = Tracker::default();
    fs.crash_at(fs.op_count() + rng.below(CALLS_MAX));
    let ended = script::run(Arc::new(fs.clone()), &script, &tracker);
    let allowed = match ended {
        Ok(()) => Allowed { first: script.steps.len(), last: script.steps.len() },
        Err(_) => tracker.allowed(),
    };
    *fs = crash(fs, rng);
    let mut crashes = 1;
    while rng.one_in(2) {
        fs.crash_at(rng.below(RECOVERY_CALLS_MAX));
        drop(Run::open(Arc::new(fs.clone()), durability));
        *fs = crash(fs, rng);
        crashes += 1;
    }
    let run = Run::open(Arc::new(fs.clone()), durability).map_err(|e| format!("open: {e}"))?;
    let found = script::read_state(run.store()).map_err(|e| format!("read: {e}"))?;
    script::judge(&script, &allowed, &found)?;
    *state = found;
    // The next life starts behind a clean end or behind none: what was found is durable.
    if rng.one_in(2) {
        run.store().close().map_err(|e| format!("close: {e}"))?;
    }
    *fs = crash(fs, rng);
    Ok(crashes)
}

fn run_chains(proof: &str, first: u64, count: u64) {
    let mut crashes = 0;
    for seed in proof::seeds(proof, first, count) {
        let mut rng = Rng::new(seed);
        let (mut fs, mut state) = (script::new_fs(seed), State::new());
        let mut of_chain = 0;
        while of_chain < CRASHES {
            let lived = live(&mut fs, &mut state, &mut rng);
            of_chain += lived.unwrap_or_else(|e| panic!("seed {seed}, crash {of_chain}: {e}"));
        }
        crashes += of_chain;
    }
    proof::looked(proof, crashes, count * CRASHES);
}

#[test]
fn stores_outlive_chains_of_crashes() {
    run_chains("crash chains", 0, 2_500);
}

#[test]
fn stores_outlive_other_chains_of_crashes() {
    run_chains("crash chains, more", 10_000_000, 2_500);
}
