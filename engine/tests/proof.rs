//! How much is tried, in one place: every proof takes its seeds from here, prints them, and says
//! how often it looked.
//!
//! - `FIRNDB_PROOF`: `gate` (the default), `nightly` (a hundred times the gate), or a number of
//!   times the gate;
//! - `FIRNDB_PROOF_BASE`: added to every first seed, so that no two nights try the same;
//! - `FIRNDB_PROOF_SEED`: this seed alone, as a failure printed it.

#![expect(clippy::print_stdout, reason = "what was tried belongs to a proof")]

use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// A night on two cores.
const NIGHTLY: u64 = 100;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// How many times as much as the gate tries.
pub fn factor() -> u64 {
    match std::env::var("FIRNDB_PROOF").as_deref() {
        Err(_) | Ok("gate" | "") => 1,
        Ok("nightly") => NIGHTLY,
        Ok(_) => number("FIRNDB_PROOF").unwrap_or(1).max(1),
    }
}

/// The seeds of one proof: `count` of them at the gate.
pub fn seeds(proof: &str, first: u64, count: u64) -> Range<u64> {
    let seeds = match number("FIRNDB_PROOF_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = first + number("FIRNDB_PROOF_BASE").unwrap_or(0);
            first..first + count * factor()
        }
    };
    println!("proof: {proof}: seeds {seeds:?}");
    seeds
}

/// Says how often a proof looked, and that it was as often as `docs/testing.md` says.
pub fn looked(proof: &str, times: u64, gate_min: u64) {
    println!("proof: {proof}: {times}");
    if number("FIRNDB_PROOF_SEED").is_none() {
        assert!(times >= gate_min * factor(), "{proof}: {times}, at least {gate_min} at the gate");
    }
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs what is expected to panic: a panic of this thread is caught and not printed, and no
/// backtrace is made of it, which takes longer than most runs.
pub fn quietly<T>(run: impl FnOnce() -> T) -> std::thread::Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_QUIET.get() {
                loud(info);
            }
        }));
    });
    IS_QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    IS_QUIET.set(false);
    result
}
