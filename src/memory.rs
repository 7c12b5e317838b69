//! Keeps the process within its memory limit: what is set aside, and what is measured.
//!
//! The budget counts what is reserved. The operating system counts pages: code, stacks, what the
//! allocator keeps in each thread, what was freed a moment ago. So a part of the limit is set aside
//! from the start ([`reserve_bytes`]), and on a tick the budget is told what the process really
//! holds; when that comes near the limit, the allocator gives back what it keeps.
//!
//! What stays outside of the limit is what can be allocated between two ticks without having been
//! reserved. Under the bombs of `src/tests/bombs.rs` it stays below 32 MiB and a sixteenth of the
//! limit: a container should have that much more. Pages of the program file are not counted, since
//! the system takes them back when it needs them.

use std::time::Duration;

use firndb::engine::budget::Budget;
use firndb::engine::fs::Fs;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::{allocator, machine};

/// Time between two measures.
const TICK: Duration = Duration::from_millis(50);

/// Set aside whatever the limit: threads, buffers of the runtime, small things.
const RESERVE_BYTES: u64 = 16 << 20;

/// Set aside as well: this part of the limit, for what grows with the load and nobody counts.
const RESERVE_PART: u64 = 16;

/// The allocator gives back what it keeps when the process holds more than the limit less this
/// part of it: where caches stop growing.
const RELIEF_PART: u64 = 4;

/// How long a thread that has nothing to do lives on: as long as it does it keeps some memory.
pub const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// The budget of a process of this limit.
pub fn budget(limit_bytes: u64) -> Budget {
    Budget::with_other(limit_bytes, reserve_bytes(limit_bytes))
}

/// What nobody may reserve.
pub fn reserve_bytes(limit_bytes: u64) -> u64 {
    (RESERVE_BYTES + limit_bytes / RESERVE_PART).min(limit_bytes / 4)
}

/// Threads for work that waits for the disk: each costs some hundred KiB of stack and of memory
/// that the allocator keeps for it.
pub fn blocking_threads(limit_bytes: u64) -> usize {
    usize::try_from(limit_bytes >> 22).unwrap_or(usize::MAX).clamp(64, 512)
}

/// Measures until the server stops.
pub async fn watch(budget: Budget, fs: &dyn Fs, mut stopped: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        let Some(held_bytes) = machine::anonymous_bytes(fs) else { return };
        budget.measure(held_bytes);
        if held_bytes > budget.limit_bytes() - budget.limit_bytes() / RELIEF_PART {
            allocator::give_back();
        }
    }
}
