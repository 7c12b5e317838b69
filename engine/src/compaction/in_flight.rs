//! Which tables and ranges running compactions hold.

use std::collections::HashSet;

use super::Plan;
use super::pick::is_older;
use crate::key::{FileNumber, KeyspaceId};
use crate::manifest::Place;

/// What running compactions hold.
#[derive(Debug, Clone, Default)]
pub struct InFlight {
    tables: HashSet<FileNumber>,
    jobs: Vec<Job>,
    next_id: u64,
}

#[derive(Debug, Clone)]
struct Job {
    id: u64,
    keyspace: KeyspaceId,
    output: Place,
    smallest: Vec<u8>,
    largest: Vec<u8>,
    tables: Vec<FileNumber>,
}

/// The hold of one job; given back with [`InFlight::release`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is claimed stays claimed until it is released"]
pub struct Claim(u64);

impl InFlight {
    /// Whether a job holds the table.
    pub fn holds(&self, table: FileNumber) -> bool {
        self.tables.contains(&table)
    }

    /// Whether a job of the keyspace is running.
    pub fn is_busy(&self, keyspace: KeyspaceId) -> bool {
        self.jobs.iter().any(|job| job.keyspace == keyspace)
    }

    /// Jobs running.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether no job is running.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether a job writes to this range of this level.
    pub fn writes(&self, keyspace: KeyspaceId, level: u8, smallest: &[u8], largest: &[u8]) -> bool {
        self.jobs.iter().any(|job| {
            // Runs of level 0 may overlap: their order is that of their ages.
            job.keyspace == keyspace
                && level > 0
                && job.output.level == level
                && *job.smallest <= *largest
                && *smallest <= *job.largest
        })
    }

    /// Whether a job writes something into the range of `plan` that will be older than its output.
    pub fn writes_older(&self, keyspace: KeyspaceId, plan: &Plan) -> bool {
        self.jobs.iter().any(|job| {
            job.keyspace == keyspace
                && is_older(job.output, plan.output)
                && *job.smallest <= *plan.largest
                && *plan.smallest <= *job.largest
        })
    }

    /// Whether nothing that `plan` needs is held.
    pub fn allows(&self, keyspace: KeyspaceId, plan: &Plan) -> bool {
        plan.tables().all(|table| !self.holds(table))
            && !self.writes(keyspace, plan.output.level, &plan.smallest, &plan.largest)
    }

    /// Claims what `plan` needs.
    ///
    /// # Panics
    /// When it is not allowed: the picker asks before it plans, under the same lock.
    pub fn claim(&mut self, keyspace: KeyspaceId, plan: &Plan) -> Claim {
        assert!(self.allows(keyspace, plan), "a plan takes only what is free");
        self.next_id += 1;
        let tables: Vec<_> = plan.tables().collect();
        self.tables.extend(&tables);
        self.jobs.push(Job {
            id: self.next_id,
            keyspace,
            output: plan.output,
            smallest: plan.smallest.clone(),
            largest: plan.largest.clone(),
            tables,
        });
        Claim(self.next_id)
    }

    /// The job has ended, and what it changed is in the picture.
    pub fn release(&mut self, claim: Claim) {
        let at = self.jobs.iter().position(|job| job.id == claim.0);
        let job = self.jobs.swap_remove(at.expect("a claim is released once"));
        for table in &job.tables {
            self.tables.remove(table);
        }
    }
}
