//! A deep compaction does not hold up what relieves level 0.
//!
//! ```text
//! worker   deep job of a ==MiB==MiB==| small job of b |==MiB==MiB== ...
//!                                      level 0 of b is due, and no other worker may take it
//! ```
//!
//! Steps: every MiB a job looks whether compactions are as many as may be, and a keyspace waits
//! that was flushed. If what that needs takes less than what is left of the job, it is done right
//! here, on the job's thread; then the job goes on. So a level 0 waits for a MiB of another
//! keyspace's merge and not for all of it, however few the workers are.
//!
//! Why not a worker set aside for it: with two, one of which is kept free for flushes, none would
//! be left for deep jobs.
//!
//! Invariants: one such job at a time, and none inside it, so that a job is held up by one smaller
//! than what is left of it at each step, and stacks stay flat; claims are taken and given back as
//! of any job.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Kernel;
use super::jobs::Taken;
use crate::compaction::{Plan, PlanReason};
use crate::jobs::{JobState, RunningJob};

/// Keyspaces that are looked at each time: the others get their turn a MiB later.
const LOOKS_MAX: usize = 8;

impl Kernel {
    /// Does a job that relieves a level 0 and would otherwise wait for the end of `job`.
    pub(super) fn yield_to_young(self: &Arc<Self>, job: &RunningJob) {
        if self.is_inline() || self.is_paused() || self.check_writable().is_err() {
            return;
        }
        let Some(taken) = self.take_young(job.left_bytes()) else { return };
        job.set_state(JobState::Yielding);
        let _ = self.run_taken(taken);
        job.set_state(JobState::Running);
        self.schedule.lock().is_yielding = false;
    }

    /// Finds and claims a compaction of a level 0 that reads less than `left_bytes`, where no
    /// worker may begin one.
    fn take_young(&self, left_bytes: u64) -> Option<Taken> {
        let now = self.options.clock.monotonic_ns();
        let mut schedule = self.schedule.lock();
        if now < schedule.not_before_ns {
            return None; // the disk was full
        }
        if schedule.is_yielding || schedule.in_flight.len() < self.compactions_max() {
            return None;
        }
        let mut waiting = Vec::new();
        let mut taken = None;
        while taken.is_none() && waiting.len() < LOOKS_MAX {
            let was_flushed = schedule.is_flushed_next();
            let Some(keyspace) = schedule.take_candidate() else { break };
            if keyspace.is_dropped.load(Ordering::Acquire) {
                continue;
            }
            let picture = keyspace.picture();
            match self.due_plan(&keyspace, &picture, &schedule.in_flight) {
                Some(plan) if is_young(&plan) && plan.input_bytes < left_bytes => {
                    let claim = schedule.in_flight.claim(keyspace.id, &plan);
                    let version = picture.version.clone();
                    taken = Some(Taken { keyspace, version, plan, claim });
                }
                _ => waiting.push((was_flushed, keyspace)),
            }
        }
        for (was_flushed, keyspace) in &waiting {
            match was_flushed {
                true => schedule.compaction_due_after_flush(keyspace),
                false => schedule.compaction_due(keyspace),
            }
        }
        schedule.is_yielding = taken.is_some();
        taken
    }
}

/// Whether readers and writers wait for it, or nothing is read for it.
fn is_young(plan: &Plan) -> bool {
    match plan.reason {
        PlanReason::Runs | PlanReason::Young | PlanReason::Tier => true,
        PlanReason::Drop => true,
        PlanReason::Size | PlanReason::Final | PlanReason::Manual | PlanReason::Deletes => false,
    }
}
