//! The end of a flush or compaction: its edit is written, then its outcome becomes the picture.
//!
//! ```text
//! manifest lock   version after the edit, checked   edit, synced   picture swapped
//! no lock         inputs marked obsolete against the committed edit; the log cut
//! ```
//!
//! Invariants: the picture never shows what is not durable; a memtable leaves the picture in the
//! swap that shows its tables; a dropped keyspace gets no edit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Kernel;
use super::compacting::Written;
use crate::compaction::Plan;
use crate::compaction::run::input_tables;
use crate::key::FileNumber;
use crate::keyspace::{KeyspaceState, MemtableSlot};
use crate::levels::{TableFile, Version};
use crate::manifest::Place;
use crate::manifest::edit::{DurableTable, Edit};
use crate::outputs::DurableOutputs;
use crate::range_delete::RangeDelete;
use crate::{Error, Result};

impl Kernel {
    /// Makes the log up to the memtable's newest record durable, if the table must not survive a
    /// crash without it: if memtables of other keyspaces hold what was written before. What follows
    /// in the log lies behind the table in any case, and so does what is written from now on. While
    /// the log is replayed there is no writer, and what is read is durable.
    pub(super) fn make_log_durable(
        &self,
        keyspace: &KeyspaceState,
        slot: &MemtableSlot,
    ) -> Result<()> {
        let Some(wal) = self.wal.get() else { return Ok(()) };
        let end = slot.last_position();
        let is_alone = {
            let commits = self.commits.lock();
            let others = commits.dirty.values().filter(|other| other.id != keyspace.id);
            let firsts = others
                .filter_map(|other| other.picture().slots().map(|slot| slot.first_position).min());
            firsts.min().is_none_or(|first| first >= end)
        };
        if is_alone { Ok(()) } else { wal.sync_to(end) }
    }

    pub(super) fn install_flush(
        &self,
        keyspace: &Arc<KeyspaceState>,
        slot: &Arc<MemtableSlot>,
        outputs: DurableOutputs,
    ) -> Result<Written> {
        let mut manifest = self.manifest.lock();
        if keyspace.is_dropped.load(Ordering::Acquire) {
            return Ok(Written::default());
        }
        let mut edit =
            Edit::new(self.options.clock.unix_ns(), format!("flush {}", slot.reason().name()));
        let log_from = {
            let commits = self.commits.lock();
            let current = self.log_end(slot);
            self.log_from(&commits, Some(slot), current)
        };
        edit.flushed(keyspace.id, slot.last_seq(), log_from);
        // Flushes of a keyspace are made one after the other, so the age is the greatest so far.
        let age = keyspace.picture().version.runs0.first().map_or(0, |run| run.age) + 1;
        let place = Place { level: 0, age };
        let tables = outputs.keep();
        tables.iter().for_each(|table| edit.add_table(keyspace.id, place, table));
        let added = self.open_tables(place, &tables)?;
        let deletes = slot.range_deletes.list();
        let version = self.next_version(keyspace, &mut edit, (&[], &added), deletes)?;
        let _committed = manifest.commit(edit)?;
        {
            let mut commits = self.commits.lock();
            slot.set_flushed(version.clone());
            let old = keyspace.change_picture(|picture| {
                picture.version = version;
                picture.sealed.pop();
            });
            if old.active.is_none() && old.sealed.len() == 1 {
                commits.dirty.remove(&keyspace.id);
            }
        }
        drop(manifest);
        self.press(keyspace);
        let written = written(&tables);
        keyspace.traffic.flushed_bytes.fetch_add(written.bytes, Ordering::Relaxed);
        self.counters.flushed(slot.reason(), written.bytes);
        self.memory.forget_sealed(slot);
        if let Some(wal) = self.wal.get() {
            // What stays is removed by the next call.
            let _ = wal.remove_before(log_from);
        }
        Ok(written)
    }

    /// Gives back the log's room if no memtable needs it: after everything was flushed.
    pub(crate) fn release_log(&self) -> Result<()> {
        let mut manifest = self.manifest.lock();
        if !self.commits.lock().dirty.is_empty() {
            return Ok(());
        }
        let wal = self.wal();
        wal.shrink().map_err(|error| self.fail_if_read_only(error))?;
        let log_from = {
            let commits = self.commits.lock();
            self.log_from(&commits, None, wal.segment())
        };
        if log_from > manifest.state().log_from {
            let mut edit = Edit::new(self.options.clock.unix_ns(), "log");
            edit.set_log_from(log_from);
            let _committed = manifest.commit(edit).map_err(|error| self.fail(error))?;
        }
        drop(manifest);
        // What stays is removed by the next call.
        let _ = wal.remove_before(log_from);
        Ok(())
    }

    /// The segment that the next record goes to, or, while the log is replayed, the one being read.
    fn log_end(&self, slot: &MemtableSlot) -> FileNumber {
        match self.wal.get() {
            Some(wal) => wal.segment(),
            None => self.counters.replayed_segment().max(slot.first_segment),
        }
    }

    fn open_tables(
        &self,
        place: Place,
        tables: &[DurableTable],
    ) -> Result<Vec<(Place, Arc<TableFile>)>> {
        let open = |table: &DurableTable| {
            let file = TableFile::open(table.meta().clone(), &self.cache, &self.graveyard)?;
            Ok((place, file))
        };
        tables.iter().map(open).collect()
    }

    /// The version after `edit`, which removes and adds these tables, checked before the edit is
    /// written. Range deletes that come in, and those that are no longer needed, go into the edit.
    fn next_version(
        &self,
        keyspace: &KeyspaceState,
        edit: &mut Edit,
        (removed, added): (&[FileNumber], &[(Place, Arc<TableFile>)]),
        range_deletes: Vec<RangeDelete>,
    ) -> Result<Arc<Version>> {
        let edited = keyspace.picture().version.edited(removed, added);
        let mut version = edited.map_err(|reason| Error::Invalid {
            reason: format!("an edit of keyspace {} does not fit: {reason}", keyspace.name),
        })?;
        if !range_deletes.is_empty() || !version.range_deletes.is_empty() {
            let (snapshots, budget) = (self.snapshots.list(), &self.options.budget);
            let settled = version.settle_range_deletes(range_deletes, &snapshots, budget);
            edit.settle_range_deletes(keyspace.id, &settled);
        }
        Ok(Arc::new(version))
    }

    pub(super) fn install_move(
        &self,
        keyspace: &Arc<KeyspaceState>,
        version: &Version,
        plan: &Plan,
    ) -> Result<()> {
        let tables = input_tables(plan, version).into_iter().flatten();
        let added: Vec<_> = tables.map(|table| (plan.output, table)).collect();
        let removed: Vec<_> = plan.tables().collect();
        let mut manifest = self.manifest.lock();
        if keyspace.is_dropped.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut edit = Edit::new(self.options.clock.unix_ns(), reason(plan, "move"));
        added.iter().for_each(|(place, table)| edit.move_table(keyspace.id, *place, &table.meta));
        let tables = (&*removed, &*added);
        let version = self.next_version(keyspace, &mut edit, tables, Vec::new())?;
        let _committed = manifest.commit(edit)?;
        keyspace.change_picture(|picture| picture.version = version);
        drop(manifest);
        self.press(keyspace);
        Ok(())
    }

    pub(super) fn install_merge(
        &self,
        keyspace: &Arc<KeyspaceState>,
        version: &Version,
        plan: &Plan,
        outputs: DurableOutputs,
    ) -> Result<Written> {
        let removed: Vec<_> = plan.tables().collect();
        let mut manifest = self.manifest.lock();
        if keyspace.is_dropped.load(Ordering::Acquire) {
            return Ok(Written::default());
        }
        let mut edit = Edit::new(self.options.clock.unix_ns(), reason(plan, "compaction"));
        removed.iter().for_each(|number| edit.remove_table(keyspace.id, *number));
        let tables = outputs.keep();
        tables.iter().for_each(|table| edit.add_table(keyspace.id, plan.output, table));
        let added = self.open_tables(plan.output, &tables)?;
        let next = self.next_version(keyspace, &mut edit, (&removed, &added), Vec::new())?;
        let committed = manifest.commit(edit)?;
        keyspace.change_picture(|picture| picture.version = next);
        drop(manifest);
        self.press(keyspace);
        for table in input_tables(plan, version).into_iter().flatten() {
            table.set_obsolete(&committed);
        }
        let written = written(&tables);
        keyspace.traffic.compacted_bytes.fetch_add(written.bytes, Ordering::Relaxed);
        Ok(written)
    }
}

fn written(tables: &[DurableTable]) -> Written {
    let bytes = tables.iter().map(|table| table.meta().bytes).sum();
    Written { tables: tables.len() as u64, bytes }
}

fn reason(plan: &Plan, what: &str) -> String {
    let from = plan.inputs.first().map_or(0, |input| input.place.level);
    format!("{what} {} L{from} to L{}", plan.reason.name(), plan.output.level)
}
