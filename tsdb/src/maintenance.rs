//! What is to be done from time to time: dropping expired partitions, closing windows, sweeping,
//! purging, rewriting without what expired.

use firndb_engine as engine;
use firndb_engine::store::CompactOptions;

use crate::Result;
use crate::database::Database;
use crate::expiry::{Due, Reason};
use crate::model::Timestamp;
use crate::partition::Partition;

/// Batches of a sweep done per call: a call stays short, the next one goes on.
const SWEEP_STEPS: usize = 50;

/// What [`crate::Tsdb::maintain`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Partitions whose last point had expired or for which there was no room, dropped whole.
    pub partitions_expired: u64,
    /// Bytes of their tables.
    pub bytes_expired: u64,
    /// Partitions rewritten without rows that had expired.
    pub partitions_trimmed: u64,
    /// By how many bytes they shrank.
    pub bytes_trimmed: u64,
    /// Partitions whose window is over, asked to be rewritten as one final run.
    pub partitions_closed: u64,
    /// Index entries of dropped series removed.
    pub series_swept: u64,
    /// Partitions rewritten because some of their rows were deleted.
    pub partitions_purged: u64,
    /// Deletes of whose rows nothing is left now.
    pub deletes_done: u64,
    /// Rows of rollups written.
    pub rollup_rows: u64,
    /// Hours with late points or deletes whose buckets were built again.
    pub rollup_slots_repaired: u64,
}

impl Database {
    /// Does what is due at `now`.
    pub(crate) fn maintain(
        &self,
        now: Timestamp,
        close_delay_ns: i64,
        report: &mut MaintenanceReport,
    ) -> Result<()> {
        if self.is_stopped() {
            return Ok(());
        }
        self.note_expired(now);
        // First: what is rolled up may expire.
        self.roll(now, report)?;
        self.expire(now, report)?;
        report.partitions_closed += self.close_windows(now, close_delay_ns)?;
        report.series_swept += self.sweep(SWEEP_STEPS)?;
        let purged = self.purge(now)?;
        report.partitions_purged += purged.partitions;
        report.deletes_done += purged.done;
        let trimmed = self.trim(now)?;
        report.partitions_trimmed += trimmed.partitions;
        report.bytes_trimmed += trimmed.bytes;
        Ok(())
    }

    /// Drops the partitions in which every point has expired, and those for which there is no room,
    /// in one edit.
    fn expire(&self, now: Timestamp, report: &mut MaintenanceReport) -> Result<()> {
        if self.due_partitions(now)?.is_empty() {
            return Ok(()); // without holding writes up
        }
        let _gate = self.gate.write();
        let due = self.due_partitions(now)?;
        for due in &due {
            self.partitions.take(&due.policy, due.partition.window.start_s);
        }
        let result = self.drop_due(&due, now);
        if result.is_err() {
            for due in due {
                self.partitions.put_back(&due.policy, due.partition);
            }
            return result;
        }
        report.partitions_expired += due.len() as u64;
        report.bytes_expired += due.iter().map(|due| due.bytes).sum::<u64>();
        Ok(())
    }

    /// Passes a partition through its merge once more; says whether that came to its end: not
    /// where it was dropped meanwhile or long work is to end, nor where a merge did not know what
    /// to leave out. The next call tries it again.
    pub(crate) fn rewrite_partition(&self, partition: &Partition, is_final: bool) -> Result<bool> {
        let blind = self.left_out.blind_merges();
        let options = CompactOptions { is_final };
        match self.store.rewrite(partition.keyspace, options, &|| self.is_stopped()) {
            Ok(()) => Ok(self.left_out.blind_merges() == blind),
            Err(engine::Error::NotFound { .. } | engine::Error::Cancelled) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn drop_due(&self, due: &[Due], now: Timestamp) -> Result<()> {
        for due in due.iter().filter(|due| due.reason != Reason::Empty) {
            self.note_drop(&due.policy, due.partition.range.end.saturating_add(1), now)?;
        }
        let keyspaces: Vec<_> = due.iter().map(|due| due.partition.keyspace).collect();
        Ok(self.store.drop_keyspaces(&keyspaces, "retention")?)
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
