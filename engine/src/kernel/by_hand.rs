//! Compactions that somebody asked for: they run on the calling thread, and their caller waits.
//!
//! Where running jobs hold what is needed the caller waits for them. While compactions are paused
//! it gets `Busy`: it would wait for whoever resumes them, which may be itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Kernel;
use crate::compaction::InFlight;
use crate::compaction::pick::{Plan, pick_all, pick_level, pick_range};
use crate::keyspace::KeyspaceState;
use crate::levels::{LevelsSummary, Version};
use crate::options::Policy;
use crate::scan::bounds::Bounds;
use crate::{Error, Result};

/// How long a waiting call sleeps between two looks, should it miss a signal.
const WAIT: Duration = Duration::from_millis(500);

/// Makes the plan that is asked for, from what is there and what is held.
type Pick<'a> = &'a dyn Fn(&LevelsSummary<'_>, &Policy, &InFlight) -> Option<Plan>;

impl Kernel {
    /// Merges all runs of `keyspace` into one, unless they are one already.
    pub fn compact_all(
        self: &Arc<Self>,
        keyspace: &Arc<KeyspaceState>,
        is_final: bool,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let is_done = |version: &Version| is_done(version, is_final);
        self.by_hand(keyspace, &is_done, is_cancelled, &|levels, policy, in_flight| {
            pick_all(keyspace.id, levels, policy, in_flight, is_final)
        })
    }

    /// Merges all runs of `keyspace` into one, even a lone one.
    pub fn rewrite_all(
        self: &Arc<Self>,
        keyspace: &Arc<KeyspaceState>,
        is_final: bool,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        self.by_hand(keyspace, &Version::is_empty, is_cancelled, &|levels, policy, in_flight| {
            pick_all(keyspace.id, levels, policy, in_flight, is_final)
        })
    }

    /// Merges what shares a key with `bounds` into one run.
    pub fn compact_range(
        self: &Arc<Self>,
        keyspace: &Arc<KeyspaceState>,
        bounds: &Bounds,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        self.by_hand(keyspace, &Version::is_empty, is_cancelled, &|levels, policy, in_flight| {
            pick_range(keyspace.id, levels, policy, in_flight, bounds)
        })
    }

    /// Merges a level into the next one.
    pub fn compact_level(
        self: &Arc<Self>,
        keyspace: &Arc<KeyspaceState>,
        level: u8,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        self.by_hand(keyspace, &Version::is_empty, is_cancelled, &|levels, policy, in_flight| {
            pick_level(keyspace.id, levels, policy, in_flight, level)
        })
    }

    fn by_hand(
        self: &Arc<Self>,
        keyspace: &Arc<KeyspaceState>,
        is_done: &dyn Fn(&Version) -> bool,
        is_cancelled: &dyn Fn() -> bool,
        pick: Pick<'_>,
    ) -> Result<()> {
        let (version, plan, claim) = loop {
            self.check_writable()?;
            if is_cancelled() {
                return Err(Error::Cancelled);
            }
            if self.is_paused() {
                let retry_after_ms = self.runtime.stall_ms_max();
                return Err(Error::Busy { reason: "compactions are paused", retry_after_ms });
            }
            let seen = self.signal.now();
            let mut schedule = self.schedule.lock();
            let version = keyspace.picture().version.clone();
            if is_done(&version) || keyspace.is_dropped.load(Ordering::Acquire) {
                return Ok(());
            }
            let policy = *keyspace.policy.lock();
            let levels = version.summary();
            if let Some(plan) = pick(&levels, &policy, &schedule.in_flight) {
                let claim = schedule.in_flight.claim(keyspace.id, &plan);
                break (version, plan, claim);
            }
            drop(schedule);
            if pick(&levels, &policy, &InFlight::default()).is_none() {
                return Ok(());
            }
            // A running job holds what is needed; nobody but a worker runs one.
            self.signal.wait(seen, WAIT);
        };
        let is_stopped = || is_cancelled() || self.is_closed.load(Ordering::Acquire);
        let outcome = self.compact(keyspace, &version, &plan, true, &is_stopped);
        self.release(keyspace, claim, outcome.is_ok());
        self.signal.raise();
        outcome.map_err(|error| self.fail_if_read_only(error))
    }
}

/// Whether a keyspace needs no compaction that was asked for by hand.
fn is_done(version: &Version, is_final: bool) -> bool {
    let runs = version.runs().count();
    if runs > 0 && !version.range_deletes.is_empty() {
        return false;
    }
    let deletes: u64 = version.tables().map(|(_, table)| table.meta.deletes).sum();
    runs == 0 || version.is_final() || (!is_final && runs == 1 && deletes == 0)
}
