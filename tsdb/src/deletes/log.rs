//! Making a delete: one batch with its record and its erasures of rows in memory.

use std::sync::Arc;

use firndb_engine as engine;
use firndb_engine::batch::WriteBatch;
use firndb_engine::store::Commit;

use super::entry::{DeleteEntry, OpenDelete};
use super::memory::{self, MAKING_FACTOR};
use super::resolve::Resolved;
use super::{DeleteReport, DeleteRequest};
use crate::catalog::SYNCED;
use crate::database::{Database, Life};
use crate::erasure::{Group, Record};
use crate::index::entries::{self, MeasurementEntry};
use crate::left_out::is_meant;
use crate::memtable::erase;
use crate::model::{FieldId, Timestamp};
use crate::partition::Partition;
use crate::schema::MeasurementInfo;
use crate::{Error, Result};

/// Most deletes whose rows are still on disk: every read asks them all.
const OPEN_MAX: usize = 10_000;

impl Database {
    /// Deletes points. When it returns they are invisible, and the delete is on disk; their room
    /// is given back by maintenance. Points that are written later stay, whatever their time is.
    ///
    /// # Errors
    /// No such policy; a condition on values that holds in too many separate spans; too many
    /// deletes that are not purged yet, or no memory for one more (`Busy`); a part of a rollup's
    /// bucket whose points are gone; the engine's refusal. Then nothing was deleted.
    pub fn delete(&self, request: &DeleteRequest, now: Timestamp) -> Result<DeleteReport> {
        let ahead = self.find_rows(request)?;
        let (report, commit) = {
            let gate = self.gate.write();
            if *gate == Life::Dropped {
                return Err(Error::DatabaseNotFound { name: self.name.clone() });
            }
            let rows = self.catch_up(request, ahead)?;
            let resolved = self.resolve_delete(request, &rows)?;
            if resolved.groups.is_empty() {
                return Ok(DeleteReport::default());
            }
            self.log_delete(request, resolved, now)?
        };
        commit.wait()?;
        Ok(report)
    }

    /// Writes the batch of a delete and has it seen. The caller holds the gate.
    fn log_delete(
        &self,
        request: &DeleteRequest,
        resolved: Resolved,
        now: Timestamp,
    ) -> Result<(DeleteReport, Commit)> {
        let mut deletes = self.deletes.lock();
        if deletes.open.len() >= OPEN_MAX {
            let (got, limit) = (deletes.open.len() as u64 + 1, OPEN_MAX as u64);
            return Err(Error::Limit { what: "deletes still to be purged", got, limit });
        }
        let (id, keyspace) = (deletes.next_id(), self.index.keyspace());
        let mut batch = WriteBatch::new();
        let mut in_rollups = self.erase_in_rollups(&resolved.groups, now)?;
        let groups: Arc<[Group]> =
            resolved.groups.iter().cloned().chain(in_rollups.groups.drain(..)).collect();
        let bytes = memory::of_groups(&groups);
        let memory = memory::reserve(&self.budget, bytes)?;
        let _making = memory::reserve(&self.budget, bytes.saturating_mul(MAKING_FACTOR))?;
        let record = Record { seq: None, groups: groups.to_vec() };
        batch.put(keyspace, &entries::delete_record(id), &record.encode());
        let series = resolved.series.cardinality();
        let entry = DeleteEntry::new(&request.statement, request.policy.as_deref(), now, series);
        // Its number comes with the log.
        let mut delete = OpenDelete::new((id, 0), entry, groups.clone(), memory);
        let means = |policy: &str, partition: &Partition| delete.may_mean(policy, &partition.range);
        let meant = self.partitions.all().iter().filter(|(policy, p)| means(policy, p)).count();
        delete.entry.partitions = meant as u64;
        batch.put(keyspace, &entries::delete(id), &entries::to_json(&delete.entry));
        let changed: Vec<Arc<MeasurementInfo>> = (resolved.retired.iter())
            .map(|(info, fields)| self.retire(info, fields, &mut batch))
            .collect();
        self.put_drop(&resolved.dropped, &resolved.emptied, &mut batch);
        in_rollups.put_marks(keyspace, &mut batch);
        let partitions = self.erase_in_memory(&groups, &mut batch)?;

        let deleting = self.left_out.begin_delete();
        let commit = self.store.write_no_wait(&batch, SYNCED)?;
        self.left_out.add_delete(commit.seq(), groups.clone());
        drop(deleting);
        self.watches.tell_deleted(&groups);
        in_rollups.publish(now);
        self.schema.publish(changed);
        self.publish_drop(&resolved.dropped, &resolved.emptied);
        delete.seq = commit.seq();
        deletes.add(delete);
        Ok((DeleteReport { id: Some(id), series, partitions }, commit))
    }

    /// The measurement without fields that are gone. Their numbers are not given again: chunks may
    /// hold columns of them.
    fn retire(
        &self,
        info: &MeasurementInfo,
        fields: &[FieldId],
        batch: &mut WriteBatch,
    ) -> Arc<MeasurementInfo> {
        let keyspace = self.index.keyspace();
        let next_field = info.next_field().0;
        let entry = MeasurementEntry { name: info.name.clone(), next_field };
        batch.put(keyspace, &entries::measurement(info.id), &entries::to_json(&entry));
        for field in fields {
            batch.delete(keyspace, &entries::field(info.id, *field));
        }
        Arc::new(info.without_fields(fields))
    }

    /// Adds the erasures of rows that memtables hold; returns the number of partitions meant.
    fn erase_in_memory(&self, groups: &[Group], batch: &mut WriteBatch) -> Result<u64> {
        let mut partitions = 0;
        for (policy, partition) in self.partitions.all() {
            let is_here = |group: &&Group| {
                is_meant(group.policy.as_deref(), &policy)
                    && group.span().overlaps(&partition.range)
            };
            if !groups.iter().any(|group| is_here(&group)) {
                continue;
            }
            partitions += 1;
            let view = match self.store.view(partition.keyspace) {
                Ok(view) => view,
                Err(engine::Error::NotFound { .. }) => continue, // dropped meanwhile
                Err(error) => return Err(error.into()),
            };
            if view.memtables.is_empty() {
                continue;
            }
            let here = groups.iter().filter(is_here);
            let here: Vec<Group> =
                here.filter_map(|group| group.within(&partition.range)).collect();
            if !here.is_empty() {
                batch.append(partition.keyspace, &erase::encode(&here));
            }
        }
        Ok(partitions)
    }
}
