//! When partitions go: decided from what is in memory, without reading a table.
//!
//! A partition goes whole when every point in it has expired:
//!
//! - by age: the policy's, that of a rollup of all its measurements, or that of rules which
//!   together mean every series that it may hold. Which these are is told by the first and last
//!   keys of its tables, so that a rule on a measurement or on tags that shares a partition with
//!   others frees it by rewriting instead ([`trim`](self));
//! - by size: the oldest partitions of a database or policy go until its tables fit, never the
//!   newest of a policy. Levels of rollups count, and go by their own age alone;
//! - or because nothing is left in it.
//!
//! What rollups still need stays, whatever its age (`Database::points_needed`).
//!
//! Modules in order; each may use those above it: `facts` (what is known of a partition), `due`
//! (when it goes), `trim` (rewriting partitions without what expired), `plan` (what goes when, for
//! people).

mod due;
mod facts;
mod plan;
mod trim;

use crate::database::Database;
use crate::model::Timestamp;
use crate::retention::RetentionPolicy;
use crate::rollup::Rollup;

pub(crate) use due::Due;
pub use due::Reason;
pub use plan::{PlannedPartition, PlannedRule, RetentionPlan};

impl Database {
    /// From when on points of a policy may not leave the disk, given that those of `alive_from` and
    /// later are alive: a rollup may have to build from them.
    pub(crate) fn points_needed(&self, policy: &str, alive_from: Timestamp) -> Timestamp {
        let running = self.running.read();
        let of_it = running.iter().filter(|running| running.rollup.policy == policy);
        of_it.map(|running| running.needed_from(alive_from)).fold(alive_from, Timestamp::min)
    }

    /// When a partition that ends at `end` would go if points lived for no time: later than its end
    /// where a bucket of a rollup goes on beyond.
    fn needs_end(&self, policy: &str, end: Timestamp) -> Timestamp {
        let end = end.saturating_add(1);
        let running = self.running.read();
        let of_it = running.iter().filter(|running| running.rollup.policy == policy);
        of_it.map(|running| running.floor_after(end)).fold(end, Timestamp::max)
    }

    /// The policy with the duration that its points have: a rollup of all measurements may give
    /// them a shorter one.
    fn aged(&self, mut policy: RetentionPolicy) -> RetentionPolicy {
        for running in self.running.read().iter() {
            let Rollup { policy: own, measurements, raw_ns, .. } = &running.rollup;
            if *own == policy.name && measurements.is_empty() && raw_ns.is_some() {
                policy.duration_ns = policy.duration_ns.into_iter().chain(*raw_ns).min();
            }
        }
        policy
    }
}
