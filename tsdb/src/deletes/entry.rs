//! The deletes of a database: those whose rows are still on disk, and the last that are done.

use std::sync::Arc;

use firndb_engine::batch::WriteBatch;
use firndb_engine::budget::{Reservation, Share};
use firndb_engine::key::{KeyspaceId, Seq};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::memory;
use crate::database::Database;
use crate::erasure::{Group, Record};
use crate::index::entries;
use crate::left_out::is_meant;
use crate::model::{TimeRange, Timestamp};
use crate::{Error, Result};

/// Entries of deletes that are done that are kept.
const DONE_MAX: usize = 100;

const VERSION: u32 = 1;

/// How far a delete is. Its rows are invisible in either state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeleteState {
    /// Some of its rows may be on disk.
    Purging,
    /// Nothing is left of them.
    Done,
}

impl DeleteState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            DeleteState::Purging => "purging",
            DeleteState::Done => "done",
        }
    }
}

/// A delete, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteInfo {
    /// Its number.
    pub id: u64,
    /// The words it was asked for with.
    pub statement: String,
    /// The retention policy it holds for; `None`: all.
    pub policy: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When nothing was left of its rows.
    pub done: Option<Timestamp>,
    /// Series that it means.
    pub series: u64,
    /// Partitions in whose time it was when it was made.
    pub partitions: u64,
    /// Those that may still hold rows of it; new ones of its time are among them until looked at.
    pub partitions_left: u64,
    /// How far it is.
    pub state: DeleteState,
    /// By how much tables shrank when they were purged.
    pub bytes_freed: u64,
}

/// Value of a delete's entry in the list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DeleteEntry {
    version: u32,
    pub statement: String,
    pub policy: Option<String>,
    pub created_ns: Timestamp,
    pub series: u64,
    /// Missing in entries of older stores.
    #[serde(default)]
    pub partitions: u64,
    pub state: DeleteState,
    pub done_ns: Option<Timestamp>,
    pub bytes_freed: u64,
}

impl DeleteEntry {
    pub fn new(statement: &str, policy: Option<&str>, created_ns: Timestamp, series: u64) -> Self {
        DeleteEntry {
            version: VERSION,
            statement: statement.to_owned(),
            policy: policy.map(str::to_owned),
            created_ns,
            series,
            partitions: 0,
            state: DeleteState::Purging,
            done_ns: None,
            bytes_freed: 0,
        }
    }

    fn info(&self, id: u64, partitions_left: u64) -> DeleteInfo {
        DeleteInfo {
            id,
            statement: self.statement.clone(),
            policy: self.policy.clone(),
            created: self.created_ns,
            done: self.done_ns,
            series: self.series,
            partitions: self.partitions,
            partitions_left,
            state: self.state,
            bytes_freed: self.bytes_freed,
        }
    }
}

/// A delete whose record is in force.
#[derive(Debug, Clone)]
pub(super) struct OpenDelete {
    pub id: u64,
    pub seq: Seq,
    pub entry: DeleteEntry,
    pub groups: Arc<[Group]>,
    /// For the groups, given back with the last clone.
    _memory: Arc<Reservation>,
    /// From the first to the last nanosecond of the groups, by the policy they hold for.
    hulls: Vec<(Option<Arc<str>>, TimeRange)>,
}

impl OpenDelete {
    pub fn new(
        (id, seq): (u64, Seq),
        entry: DeleteEntry,
        groups: Arc<[Group]>,
        memory: Reservation,
    ) -> Self {
        let mut hulls: Vec<(Option<Arc<str>>, TimeRange)> = Vec::new();
        for group in groups.iter() {
            let span = group.span();
            match hulls.iter_mut().find(|(policy, _)| *policy == group.policy) {
                Some((_, hull)) => {
                    *hull = TimeRange::new(hull.start.min(span.start), hull.end.max(span.end));
                }
                None => hulls.push((group.policy.clone(), span)),
            }
        }
        OpenDelete { id, seq, entry, groups, _memory: Arc::new(memory), hulls }
    }

    /// Whether it may mean rows of `policy` in `range`.
    pub fn may_mean(&self, policy: &str, range: &TimeRange) -> bool {
        let is_here = |(own, hull): &(Option<Arc<str>>, TimeRange)| {
            is_meant(own.as_deref(), policy) && hull.overlaps(range)
        };
        self.hulls.iter().any(is_here)
    }
}

/// A partition by policy and start.
pub(super) type PartitionKey = (String, i64);

/// The deletes of a database.
#[derive(Debug, Default)]
pub(crate) struct DeleteList {
    /// In the order of their numbers.
    pub(super) open: Vec<OpenDelete>,
    /// In the order of their numbers.
    done: Vec<(u64, DeleteEntry)>,
    /// Partitions of which nothing is left of deletes up to this one.
    pub(super) purged: HashMap<PartitionKey, Seq>,
    next_id: u64,
}

impl DeleteList {
    /// The number of the next delete.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.max(1)
    }

    pub(super) fn add(&mut self, delete: OpenDelete) {
        self.next_id = delete.id + 1;
        self.open.push(delete);
    }

    /// Moves deletes to those that are done, and puts into `batch` what that changes on disk.
    pub(super) fn finish(
        &mut self,
        ids: &[u64],
        now: Timestamp,
        keyspace: KeyspaceId,
        batch: &mut WriteBatch,
    ) {
        let (done, open) = std::mem::take(&mut self.open).into_iter().partition(|delete| {
            let delete: &OpenDelete = delete;
            ids.contains(&delete.id)
        });
        self.open = open;
        let done: Vec<OpenDelete> = done;
        for mut delete in done {
            (delete.entry.state, delete.entry.done_ns) = (DeleteState::Done, Some(now));
            batch.delete(keyspace, &entries::delete_record(delete.id));
            let value = entries::to_json(&delete.entry);
            batch.put(keyspace, &entries::delete(delete.id), &value);
            self.done.push((delete.id, delete.entry));
        }
        self.done.sort_by_key(|(id, _)| *id);
        let surplus = self.done.len().saturating_sub(DONE_MAX);
        for (id, _) in self.done.drain(..surplus) {
            batch.delete(keyspace, &entries::delete(id));
        }
        if self.open.is_empty() {
            for ((policy, start), _) in self.purged.drain() {
                batch.delete(keyspace, &entries::purged(&policy, start));
            }
        }
    }
}

impl Database {
    /// Deletes in the order in which they were made: those in force, and the last that are done.
    pub fn deletes(&self) -> Vec<DeleteInfo> {
        let (open, mut all) = {
            let deletes = self.deletes.lock();
            let done = deletes.done.iter().map(|(id, entry)| entry.info(*id, 0));
            (deletes.open.clone(), done.collect::<Vec<DeleteInfo>>())
        };
        let left = self.partitions_left(&open).into_iter();
        all.extend(open.iter().zip(left).map(|(open, left)| open.entry.info(open.id, left)));
        all.sort_by_key(|info| info.id);
        all
    }

    /// Reads the list, and has reads and merges leave out what it says.
    pub(crate) fn load_deletes(&self) -> Result<()> {
        let mut deletes = self.deletes.lock();
        let mut found: HashMap<u64, DeleteEntry> = HashMap::new();
        self.index.visit(b'e', None, |key, value| {
            let entry: DeleteEntry = entries::json(value)?;
            if entry.version > VERSION {
                let reason = "a delete was made by a newer version".to_owned();
                return Err(Error::Invalid { reason });
            }
            found.insert(entries::split_delete(key)?, entry);
            Ok(true)
        })?;
        deletes.next_id = found.keys().max().map_or(1, |id| id + 1);
        self.index.visit_put(b'E', |key, value, seq| {
            let id = entries::split_delete(key)?;
            let record = Record::decode(value).map_err(|error| entries::damaged(error.reason))?;
            let entry = found.remove(&id).ok_or_else(|| entries::damaged("a delete unlisted"))?;
            let seq = record.seq.unwrap_or(seq);
            let groups: Arc<[Group]> = record.groups.into();
            self.left_out.add_delete(seq, groups.clone());
            // It is in force, whether there is room for it or not.
            let memory = self.budget.reserve_anyway(Share::Deletes, memory::of_groups(&groups));
            deletes.open.push(OpenDelete::new((id, seq), entry, groups, memory));
            Ok(())
        })?;
        deletes.done = found.into_iter().collect();
        deletes.done.sort_by_key(|(id, _)| *id);
        self.index.visit(b'p', None, |key, value| {
            let seq = value.try_into().map_err(|_| entries::damaged("mark of a purge"))?;
            deletes.purged.insert(entries::split_purged(key)?, u64::from_le_bytes(seq));
            Ok(true)
        })
    }
}
