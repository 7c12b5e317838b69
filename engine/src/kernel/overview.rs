//! What others ask about the background: jobs that run or wait, what happened lately.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Kernel;
use crate::compaction::{InFlight, pick};
use crate::jobs::JobInfo;
use crate::keyspace::KeyspaceState;
use crate::{Error, Result};

/// Compactions of one keyspace that are listed as waiting.
const QUEUED_MAX: usize = 64;

impl Kernel {
    /// Jobs that run, by number, then those that wait: flushes in their order, then the compactions
    /// that the picker would begin now.
    pub fn jobs(&self) -> Vec<JobInfo> {
        let mut jobs = self.jobs.list();
        let (flushes, mut in_flight) = {
            let schedule = self.schedule.lock();
            (schedule.flushes_queued(), schedule.in_flight.clone())
        };
        for keyspace in flushes {
            let picture = keyspace.picture();
            let bytes = picture.sealed.iter().map(|slot| slot.counted_bytes() as u64).sum();
            let reason = picture.sealed.last().map_or("", |slot| slot.reason().name());
            jobs.push(JobInfo::flush(keyspace.name.clone(), reason, bytes));
        }
        let keyspaces: Vec<_> = self.registry.read().all().cloned().collect();
        for keyspace in keyspaces {
            self.queued_compactions(&keyspace, &mut in_flight, &mut jobs);
        }
        jobs
    }

    fn queued_compactions(
        &self,
        keyspace: &Arc<KeyspaceState>,
        in_flight: &mut InFlight,
        jobs: &mut Vec<JobInfo>,
    ) {
        if keyspace.is_dropped.load(Ordering::Acquire) {
            return;
        }
        let version = keyspace.picture().version.clone();
        let policy = *keyspace.policy.lock();
        let levels = version.summary();
        for _ in 0..QUEUED_MAX {
            let Some(plan) = pick::pick(keyspace.id, &levels, &policy, in_flight) else { return };
            jobs.push(JobInfo::compaction(keyspace.name.clone(), &plan));
            // What one takes the next cannot have. The copy is thrown away with its claims.
            let _claim = in_flight.claim(keyspace.id, &plan);
        }
    }

    /// Asks a job that somebody asked for to end.
    pub fn cancel_job(&self, id: u64) -> Result<()> {
        match self.jobs.cancel(id) {
            None => Err(Error::NotFound { what: format!("job {id}") }),
            Some(false) => Err(Error::Invalid {
                reason: format!("job {id} is not one that was asked for by hand: pause instead"),
            }),
            Some(true) => {
                self.signal.raise();
                Ok(())
            }
        }
    }
}
