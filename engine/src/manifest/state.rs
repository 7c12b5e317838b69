//! The picture that the edits so far add up to, as plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::edit::{Change, Edit};
use super::place::{Place, TableMeta};
use crate::compress::Compression;
use crate::key::{FileNumber, KeyspaceId, Seq};
use crate::options::Policy;
use crate::range_delete::RangeDelete;
use crate::wal::LogBounds;
use crate::wal::inspect::SegmentLink;

/// The picture that the edits so far add up to.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestState {
    /// File numbers below this one are taken.
    pub next_file: FileNumber,
    /// No sequence number above this one is in a table.
    pub last_seq: Seq,
    /// Log segments below this one are obsolete.
    pub log_from: FileNumber,
    /// The last segment of the log when the store was last closed, while it is needed.
    pub log_end: Option<SegmentLink>,
    /// Keyspace ids below this one are taken.
    pub next_keyspace: KeyspaceId,
    /// The keyspaces.
    pub keyspaces: BTreeMap<KeyspaceId, KeyspaceRecord>,
    names: BTreeSet<Arc<str>>,
}

/// A keyspace in the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyspaceRecord {
    /// Its name.
    pub name: Arc<str>,
    /// Its policy, where it chose one.
    pub policy: Option<Policy>,
    /// Its compression, where it chose one.
    pub compression: Option<Compression>,
    /// How long its puts last that do not say it, in milliseconds; `None`: for ever.
    pub ttl_ms: Option<u64>,
    /// Operations up to this sequence number are in tables.
    pub flushed_seq: Seq,
    /// Its tables and their places.
    pub tables: BTreeMap<FileNumber, (Place, TableMeta)>,
    /// What range deletes hide of them.
    pub range_deletes: BTreeSet<RangeDelete>,
}

impl Default for ManifestState {
    fn default() -> Self {
        ManifestState {
            next_file: FileNumber(1),
            last_seq: 0,
            log_from: FileNumber(0),
            log_end: None,
            next_keyspace: KeyspaceId(1),
            keyspaces: BTreeMap::new(),
            names: BTreeSet::new(),
        }
    }
}

impl ManifestState {
    /// Applies an edit.
    ///
    /// # Errors
    /// What does not fit the picture; it is then half changed and of no more use.
    pub fn apply(&mut self, edit: &Edit) -> Result<(), String> {
        edit.changes.iter().try_for_each(|change| self.change(change))
    }

    /// Applies one change.
    pub(super) fn change(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::NextFile(number) => self.next_file = self.next_file.max(*number),
            Change::LastSeq(seq) => self.last_seq = self.last_seq.max(*seq),
            Change::LogFrom(number) => {
                self.log_from = self.log_from.max(*number);
                self.log_end = self.log_end.filter(|end| end.number >= self.log_from);
            }
            Change::LogEnd(end) => self.log_end = Some(*end),
            Change::NextKeyspace(id) => self.next_keyspace = self.next_keyspace.max(*id),
            Change::AddKeyspace { id, name, policy, compression } => {
                let (name, policy, compression) = (name.clone(), *policy, *compression);
                let record = KeyspaceRecord {
                    name: name.clone(),
                    policy,
                    compression,
                    ttl_ms: None,
                    flushed_seq: 0,
                    tables: BTreeMap::new(),
                    range_deletes: BTreeSet::new(),
                };
                if self.keyspaces.insert(*id, record).is_some() || !self.names.insert(name) {
                    return Err(format!("keyspace {} exists", id.0));
                }
            }
            Change::DropKeyspace(id) => {
                let record = self.keyspaces.remove(id);
                let record = record.ok_or_else(|| format!("no keyspace {}", id.0))?;
                self.names.remove(&record.name);
            }
            Change::SetPolicy(id, policy) => self.keyspace(*id)?.policy = Some(*policy),
            Change::Flushed(id, seq) => {
                let keyspace = self.keyspace(*id)?;
                keyspace.flushed_seq = keyspace.flushed_seq.max(*seq);
            }
            Change::AddTable(id, place, table) => {
                let number = table.number;
                let tables = &mut self.keyspace(*id)?.tables;
                if tables.insert(number, (*place, table.clone())).is_some() {
                    return Err(format!("table {} exists", number.0));
                }
            }
            Change::RemoveTable(id, number) => {
                if self.keyspace(*id)?.tables.remove(number).is_none() {
                    return Err(format!("no table {}", number.0));
                }
            }
            Change::SetTtl(id, ttl_ms) => self.keyspace(*id)?.ttl_ms = *ttl_ms,
            Change::AddRangeDelete(id, delete) => {
                if !self.keyspace(*id)?.range_deletes.insert(delete.clone()) {
                    return Err(format!("range delete {} exists", delete.seq));
                }
            }
            Change::DropRangeDelete(id, delete) => {
                if !self.keyspace(*id)?.range_deletes.remove(delete) {
                    return Err(format!("no range delete {}", delete.seq));
                }
            }
        }
        Ok(())
    }

    /// Puts a keyspace with its tables into the picture.
    pub fn insert(&mut self, id: KeyspaceId, record: KeyspaceRecord) {
        self.names.insert(record.name.clone());
        self.keyspaces.insert(id, record);
    }

    /// Which part of the log is needed.
    pub fn log_bounds(&self) -> LogBounds {
        LogBounds { from: self.log_from, end: self.log_end }
    }

    fn keyspace(&mut self, id: KeyspaceId) -> Result<&mut KeyspaceRecord, String> {
        self.keyspaces.get_mut(&id).ok_or_else(|| format!("no keyspace {}", id.0))
    }

    /// The one edit that makes this picture out of nothing.
    pub fn snapshot(&self, unix_ns: i64) -> Edit {
        let mut edit = Edit::new(unix_ns, "snapshot");
        edit.changes = vec![
            Change::NextFile(self.next_file),
            Change::LastSeq(self.last_seq),
            Change::LogFrom(self.log_from),
            Change::NextKeyspace(self.next_keyspace),
        ];
        edit.changes.extend(self.log_end.map(Change::LogEnd));
        for (id, keyspace) in &self.keyspaces {
            edit.changes.push(Change::AddKeyspace {
                id: *id,
                name: keyspace.name.clone(),
                policy: keyspace.policy,
                compression: keyspace.compression,
            });
            if keyspace.ttl_ms.is_some() {
                edit.changes.push(Change::SetTtl(*id, keyspace.ttl_ms));
            }
            edit.changes.push(Change::Flushed(*id, keyspace.flushed_seq));
            let tables = keyspace.tables.values();
            let add = tables.map(|(place, table)| Change::AddTable(*id, *place, table.clone()));
            edit.changes.extend(add);
            let deletes = keyspace.range_deletes.iter().cloned();
            edit.changes.extend(deletes.map(|delete| Change::AddRangeDelete(*id, delete)));
        }
        edit
    }
}
