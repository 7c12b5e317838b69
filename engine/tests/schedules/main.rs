//! The engine under schedules: its threads run one at a time, and a scheduler chooses by seed who
//! goes on after every step. `cargo test -p firndb-engine --features schedules --test schedules`.
//!
//! Half of the schedules are drawn at random, half by PCT, which finds every bug of a few ordered
//! steps with a known probability. A wake-up that is missed is a deadlock, and found. What the
//! scheduler does not see: orders in which processors show writes to each other (it is sequentially
//! consistent; the lock-free list of the memtable has a model of its own), and what happens inside
//! the block cache, the budget and the counters, which are one step each.

mod pieces;
#[path = "../proof.rs"]
#[expect(dead_code, reason = "shared with the tests that run threads of the operating system")]
mod proof;
mod stores;
mod yielding;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, Runner};

/// Bugs of this many ordered steps are looked for.
const DEPTH: usize = 3;
/// The engine's own frames are larger than what the scheduler reckons with.
const STACK_BYTES: usize = 512 << 10;

/// Runs `case` under so many schedules at the gate.
fn explore(proof: &str, schedules: u64, case: impl Fn() + Send + Sync + Clone + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.failure_persistence = FailurePersistence::Print;
    let mut all = 0;
    for seed in proof::seeds(proof, 1, 1) {
        let (random, by_depth) = (schedules as usize / 2, schedules as usize / 2);
        let scheduler = RandomScheduler::new_from_seed(seed, random);
        let tried = Runner::new(scheduler, config.clone()).run(case.clone());
        assert_eq!(tried, random, "seed {seed}");
        let scheduler = PctScheduler::new_from_seed(seed, DEPTH, by_depth);
        let tried = Runner::new(scheduler, config.clone()).run(case.clone());
        assert_eq!(tried, by_depth, "seed {seed}");
        all += schedules;
    }
    proof::looked(proof, all, schedules);
}
