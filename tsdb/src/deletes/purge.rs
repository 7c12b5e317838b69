//! Giving back the room of deleted rows, a partition a call.
//!
//! 1. The next partition that a delete means and that was not rewritten since: by policy and time.
//! 2. Nothing of the deleted series in it is older than the delete: it is passed over.
//! 3. Else it is rewritten, whose merge leaves out what all deletes so far took; that it was is
//!    noted on disk, so that a restart does not begin anew. A partition that came out empty goes.
//!    A rewrite that is cut off because the store is to be closed leaves the partition as it was.
//! 4. No partition is left for a delete: its record goes, and reads stop asking it.

use std::ops::RangeInclusive;

use firndb_engine as engine;
use firndb_engine::batch::WriteBatch;
use firndb_engine::key::Seq;
use firndb_engine::keyspace::View;
use firndb_engine::scan::Cursor;
use firndb_engine::store::WriteOptions;

use super::entry::OpenDelete;
use crate::Result;
use crate::database::Database;
use crate::erasure::{Erasure, Group};
use crate::index::entries;
use crate::keys;
use crate::left_out::is_meant;
use crate::memtable::PointsMemtable;
use crate::model::{SeriesId, Timestamp};
use crate::partition::Partition;
use crate::reader;

/// Partitions looked at per call.
const PARTITIONS_MAX: usize = 256;

/// Most series that are looked up one by one to find out whether a partition holds deleted rows.
const PROBES_MAX: u64 = 10_000;

/// What one call did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PurgeStep {
    /// Partitions rewritten.
    pub partitions: u64,
    /// Deletes of which nothing is left.
    pub done: u64,
}

impl Database {
    /// Does a step of what deletes left to do.
    pub(crate) fn purge(&self, now: Timestamp) -> Result<PurgeStep> {
        let open = self.deletes.lock().open.clone();
        let mut looked_at = 0;
        for (policy, partition) in self.partitions.all() {
            let due = self.due(&open, &policy, &partition);
            if due.is_empty() {
                continue;
            }
            if looked_at == PARTITIONS_MAX {
                return Ok(PurgeStep::default()); // the next call goes on
            }
            if self.is_stopped() {
                return Ok(PurgeStep::default());
            }
            looked_at += 1;
            let newest = due.iter().map(|delete| delete.seq).max().unwrap_or(0);
            match self.holds_deleted(&policy, &partition, &due) {
                Ok(Some((view, of))) => {
                    return self.rewrite(&policy, &partition, &view, (of, newest));
                }
                Ok(None) => self.note_purged(&policy, &partition, newest),
                Err(error) => pass_over_dropped(Err(error))?,
            }
        }
        self.finish_deletes(&open, now)
    }

    /// For each of `open`: the partitions that may still hold rows of it.
    pub(super) fn partitions_left(&self, open: &[OpenDelete]) -> Vec<u64> {
        let mut left = vec![0; open.len()];
        if open.is_empty() {
            return left;
        }
        for (policy, partition) in self.partitions.all() {
            let key = (policy, partition.window.start_s);
            let purged = self.deletes.lock().purged.get(&key).copied().unwrap_or(0);
            for (left, delete) in left.iter_mut().zip(open) {
                let is_due = delete.seq > purged && delete.may_mean(&key.0, &partition.range);
                *left += u64::from(is_due);
            }
        }
        left
    }

    /// The deletes that mean a partition and that it was not rewritten since.
    fn due<'d>(
        &self,
        open: &'d [OpenDelete],
        policy: &str,
        partition: &Partition,
    ) -> Vec<&'d OpenDelete> {
        if open.is_empty() {
            return Vec::new();
        }
        let key = (policy.to_owned(), partition.window.start_s);
        let purged = self.deletes.lock().purged.get(&key).copied().unwrap_or(0);
        let is_due =
            |delete: &&OpenDelete| delete.seq > purged && delete.may_mean(policy, &partition.range);
        open.iter().filter(is_due).collect()
    }

    fn note_purged(&self, policy: &str, partition: &Partition, seq: Seq) {
        let key = (policy.to_owned(), partition.window.start_s);
        self.deletes.lock().purged.insert(key, seq);
    }

    /// Whether a partition may hold rows that `due` took: the view that shows it, after a flush
    /// where memtables are as old, and the number of the first delete that took some.
    fn holds_deleted(
        &self,
        policy: &str,
        partition: &Partition,
        due: &[&OpenDelete],
    ) -> Result<Option<(View, u64)>> {
        let mut view = self.store.view(partition.keyspace)?;
        let newest = due.iter().map(|delete| delete.seq).max().unwrap_or(0);
        let is_old = |memtable: &PointsMemtable| memtable.seq_max() < newest;
        let has_old = view.memtables.iter().any(|memtable| {
            let memtable: &dyn engine::memtable::Memtable = &**memtable;
            memtable.as_any().downcast_ref::<PointsMemtable>().is_none_or(is_old)
        });
        if has_old {
            self.store.flush(Some(partition.keyspace))?;
            view = self.store.view(partition.keyspace)?;
        }
        let is_here = |group: &&Group| {
            is_meant(group.policy.as_deref(), policy) && group.span().overlaps(&partition.range)
        };
        let mut probe = Probe::new(&view);
        for delete in due {
            for group in delete.groups.iter().filter(is_here) {
                if probe.finds(group, delete.seq)? {
                    drop(probe);
                    return Ok(Some((view, delete.id)));
                }
            }
        }
        Ok(None)
    }

    /// Step 3: for the delete `of`, and all others up to `newest`.
    fn rewrite(
        &self,
        policy: &str,
        partition: &Partition,
        view: &View,
        (of, newest): (u64, Seq),
    ) -> Result<PurgeStep> {
        let before = table_bytes(view);
        if !self.rewrite_partition(partition, view.is_final())? {
            return Ok(PurgeStep::default());
        }
        let after = match self.store.view(partition.keyspace) {
            Ok(view) => table_bytes(&view),
            Err(_) => 0,
        };
        let bytes_freed = before.saturating_sub(after);
        self.note_purged(policy, partition, newest);
        let mut batch = WriteBatch::new();
        let keyspace = self.index.keyspace();
        let mark = entries::purged(policy, partition.window.start_s);
        batch.put(keyspace, &mark, &newest.to_le_bytes());
        {
            // One of them is said to have freed it.
            let mut deletes = self.deletes.lock();
            if let Some(delete) = deletes.open.iter_mut().find(|delete| delete.id == of) {
                delete.entry.bytes_freed += bytes_freed;
                let value = entries::to_json(&delete.entry);
                batch.put(keyspace, &entries::delete(delete.id), &value);
            }
        }
        self.store.write_no_wait(&batch, WriteOptions::default())?.wait()?;
        self.drop_if_empty(policy, partition)?;
        Ok(PurgeStep { partitions: 1, done: 0 })
    }

    /// Drops a partition that holds nothing.
    fn drop_if_empty(&self, policy: &str, partition: &Partition) -> Result<()> {
        let is_empty = || -> Result<bool> {
            let view = self.store.view(partition.keyspace)?;
            Ok(view.tables().is_empty() && view.memtables.is_empty())
        };
        if !matches!(is_empty(), Ok(true)) {
            return Ok(());
        }
        let _gate = self.gate.write();
        // Now no write is on its way into it.
        if !matches!(is_empty(), Ok(true)) {
            return Ok(());
        }
        let Some(taken) = self.partitions.take(policy, partition.window.start_s) else {
            return Ok(());
        };
        let dropped = self.store.drop_keyspaces(&[partition.keyspace], "all of it was deleted");
        if dropped.is_err() {
            self.partitions.put_back(policy, taken);
        }
        Ok(dropped?)
    }

    /// Step 4: `open` has no partition left.
    fn finish_deletes(&self, open: &[OpenDelete], now: Timestamp) -> Result<PurgeStep> {
        if open.is_empty() {
            return Ok(PurgeStep::default());
        }
        let ids: Vec<u64> = open.iter().map(|delete| delete.id).collect();
        let mut batch = WriteBatch::new();
        self.deletes.lock().finish(&ids, now, self.index.keyspace(), &mut batch);
        self.store.write_no_wait(&batch, WriteOptions::default())?.wait()?;
        open.iter().for_each(|delete| self.left_out.remove_delete(delete.seq));
        Ok(PurgeStep { done: ids.len() as u64, ..PurgeStep::default() })
    }
}

/// Looks for chunks that a delete touches.
struct Probe {
    /// Numbers of series from the first to the last of each table.
    spans: Vec<RangeInclusive<u32>>,
    cursor: Box<dyn Cursor>,
    probes: u64,
}

impl Probe {
    fn new(view: &View) -> Probe {
        let series_of = |key: &[u8]| keys::parse_chunk_key(key).map_or(0, |(series, _)| series.0);
        let tables = view.tables();
        let spans = tables.iter().map(|t| series_of(&t.smallest)..=series_of(&t.largest));
        Probe { spans: spans.collect(), cursor: view.cursor(false), probes: 0 }
    }

    /// Whether tables hold chunks older than `seq` of the series and spans of a group. Of very many
    /// series only: whether tables have numbers like theirs.
    fn finds(&mut self, group: &Group, seq: Seq) -> Result<bool> {
        let here = |span: &RangeInclusive<u32>| group.series.range_cardinality(span.clone());
        let count: u64 = self.spans.iter().map(here).sum();
        self.probes += count;
        if count == 0 || self.probes > PROBES_MAX {
            return Ok(count > 0);
        }
        let erasure = group.erasure(seq);
        for id in group.series.iter() {
            if self.spans.iter().any(|span| span.contains(&id))
                && self.finds_series(SeriesId(id), &erasure)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn finds_series(&mut self, series: SeriesId, erasure: &Erasure) -> Result<bool> {
        let cursor = &mut self.cursor;
        cursor.seek(&keys::chunk_key(series, Timestamp::MIN))?;
        while cursor.valid() && keys::parse_chunk_key(cursor.key()).is_some_and(|k| k.0 == series) {
            let head = reader::decode_head(cursor.value(), cursor.body().as_ref())?;
            if cursor.seq() < erasure.seq && erasure.overlaps(&head.time_range()) {
                return Ok(true);
            }
            cursor.next()?;
        }
        Ok(false)
    }
}

fn table_bytes(view: &View) -> u64 {
    view.tables().iter().map(|table| table.bytes).sum()
}

/// A partition that was dropped meanwhile holds nothing any more.
fn pass_over_dropped(result: Result<()>) -> Result<()> {
    match result {
        Err(crate::Error::Engine(engine::Error::NotFound { .. })) => Ok(()),
        result => result,
    }
}
