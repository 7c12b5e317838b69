//! Takes a backup: a cut of databases, copied by the engine, its keyspaces put where they belong.

use firndb_engine::backup::record::{BackupRecord, GroupRecord, KeyspaceRecord};
use firndb_engine::backup::{BackupOptions, Repository, Watch};
use serde::Serialize;

use crate::Result;
use crate::instance::{Cut, Tsdb};
use crate::keys::Keyspace;
use crate::model::Timestamp;

/// What to back up.
#[derive(Debug, Clone, Default)]
pub struct BackupRequest {
    /// One database; `None`: everything.
    pub database: Option<String>,
    /// Copy every table, also those that earlier backups have: after damage was found.
    pub is_full: bool,
}

/// What a backup did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupSummary {
    /// Its id.
    pub id: String,
    /// Databases in it.
    pub databases: Vec<String>,
    /// Tables in it.
    pub tables: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tables that were copied.
    pub tables_copied: u64,
    /// Their bytes.
    pub bytes_copied: u64,
    /// How long writers were held up, in nanoseconds.
    pub held_ns: u64,
}

impl Tsdb {
    /// Backs up one database or everything, as it is at one moment of this call.
    ///
    /// # Errors
    /// No such database, a repository in use, a damaged table, I/O, `Cancelled`. What was copied by
    /// then stays for the next backup.
    pub fn backup(
        &self,
        repository: &Repository,
        request: &BackupRequest,
        now: Timestamp,
        watch: &Watch<'_>,
    ) -> Result<BackupSummary> {
        let options = BackupOptions { is_full: request.is_full };
        let taking = repository.begin(self.store(), options)?;
        let Cut { export, entries, held_ns } =
            self.cut(request.database.as_deref(), watch.is_cancelled)?;
        let taken = taking.copy(&export, now, watch)?;
        let (copied, mut record) = (taken.summary, taken.record);
        record.scope = request.database.clone();
        let group = |(name, note)| GroupRecord { name, note, keyspaces: Vec::new() };
        record.groups = entries.into_iter().map(group).collect();
        let keyspaces = std::mem::take(&mut record.keyspaces);
        keyspaces.into_iter().for_each(|keyspace| file(&mut record, keyspace));
        taking.finish(&record)?;
        Ok(BackupSummary {
            id: record.id,
            databases: record.groups.into_iter().map(|group| group.name).collect(),
            tables: copied.tables,
            bytes: copied.bytes,
            tables_copied: copied.tables_copied,
            bytes_copied: copied.bytes_copied,
            held_ns,
        })
    }
}

/// Puts a keyspace where it belongs. One of a database that the catalog does not name belongs
/// nowhere: it was half made or half dropped.
fn file(record: &mut BackupRecord, keyspace: KeyspaceRecord) {
    match Keyspace::parse(&keyspace.name) {
        None => record.keyspaces.push(keyspace),
        Some(parsed) => {
            let of = |group: &&mut GroupRecord| group.name == parsed.database();
            if let Some(group) = record.groups.iter_mut().find(of) {
                group.keyspaces.push(keyspace);
            }
        }
    }
}
