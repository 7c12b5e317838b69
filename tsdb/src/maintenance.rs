//! What is to be done from time to time: dropping expired partitions, closing
//! windows, sweeping, purging.

use firndb_engine as engine;

use crate::Result;
use crate::database::Database;
use crate::model::Timestamp;

/// Batches of a sweep done per call: a call stays short, the next one goes on.
const SWEEP_STEPS: usize = 50;

/// What [`crate::Tsdb::maintain`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Partitions whose last point had expired, dropped whole.
    pub partitions_expired: u64,
    /// Partitions whose window is over, asked to be rewritten as one final run.
    pub partitions_closed: u64,
    /// Index entries of dropped series removed.
    pub series_swept: u64,
    /// Partitions rewritten because some of their rows were deleted.
    pub partitions_purged: u64,
    /// Deletes of whose rows nothing is left now.
    pub deletes_done: u64,
}

impl Database {
    /// Does what is due at `now`.
    pub(crate) fn maintain(
        &self,
        now: Timestamp,
        close_delay_ns: i64,
        report: &mut MaintenanceReport,
    ) -> Result<()> {
        self.note_expired(now);
        report.partitions_expired += self.expire(now)?;
        report.partitions_closed += self.close_windows(now, close_delay_ns)?;
        report.series_swept += self.sweep(SWEEP_STEPS)?;
        let purged = self.purge(now)?;
        report.partitions_purged += purged.partitions;
        report.deletes_done += purged.done;
        Ok(())
    }

    /// Drops the partitions in which every point has expired, in one edit.
    fn expire(&self, now: Timestamp) -> Result<u64> {
        let policies = self.classes();
        if policies.iter().all(|policy| policy.duration_ns.is_none()) {
            return Ok(0);
        }
        let _gate = self.gate.write();
        let mut expired = Vec::new();
        for policy in &policies {
            let taken = self.partitions.take_before(&policy.name, policy.alive_from(now));
            expired.extend(taken.into_iter().map(|partition| (&policy.name, partition)));
        }
        let keyspaces: Vec<_> = expired.iter().map(|(_, p)| p.keyspace).collect();
        if keyspaces.is_empty() {
            return Ok(0);
        }
        let result = self.store.drop_keyspaces(&keyspaces, "retention");
        if result.is_err() {
            for (policy, partition) in expired {
                self.partitions.put_back(policy, partition);
            }
        }
        result?;
        Ok(keyspaces.len() as u64)
    }

    /// Asks for the final form of partitions whose window is over and that rest.
    fn close_windows(&self, now: Timestamp, close_delay_ns: i64) -> Result<u64> {
        let mut closed = 0;
        for (_, partition) in self.partitions.all() {
            if !partition.is_due_to_close(now, close_delay_ns) {
                continue;
            }
            // Before the call: a write that comes during it opens the partition again.
            partition.set_closed(true);
            match self.store.mark_final(partition.keyspace) {
                Ok(()) => closed += 1,
                Err(engine::Error::NotFound { .. }) => {} // dropped meanwhile
                Err(error) => {
                    partition.set_closed(false);
                    return Err(error.into());
                }
            }
        }
        Ok(closed)
    }
}
