//! Takes a backup: a cut, then copies of the tables that the repository does not have.

use firndb_engine::store::{ExportedKeyspace, ExportedTable};
use serde::Serialize;

use super::record::{BackupRecord, DatabaseRecord, KeyspaceRecord, TableIdentity, TableRecord};
use super::repository::{Known, Repository};
use super::{Meter, Watch};
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
    /// No such database, a repository in use, I/O, `Cancelled`. What was copied by then stays for
    /// the next backup.
    pub fn backup(
        &self,
        repository: &Repository,
        request: &BackupRequest,
        now: Timestamp,
        watch: &Watch<'_>,
    ) -> Result<BackupSummary> {
        let _lock = repository.lock()?;
        let store = format!("{:032x}", self.store().id());
        let known = if request.is_full { Known::default() } else { repository.known(&store)? };
        let Cut { export, entries, held_ns } =
            self.cut(request.database.as_deref(), watch.is_cancelled)?;
        let tables = || export.keyspaces.iter().flat_map(|keyspace| &keyspace.tables);
        let bytes = tables().map(|table| table.meta().bytes).sum();
        let mut summary = BackupSummary {
            id: repository.free_id(now)?,
            databases: entries.iter().map(|(name, _)| name.clone()).collect(),
            tables: tables().count() as u64,
            bytes,
            tables_copied: 0,
            bytes_copied: 0,
            held_ns,
        };
        let meter = Meter::new(watch, summary.tables, bytes);
        let mut keyspaces = Vec::with_capacity(export.keyspaces.len());
        for keyspace in &export.keyspaces {
            let mut copier = Copier { repository, known: &known, meter: &meter, summary };
            keyspaces.push(copier.keyspace(keyspace)?);
            summary = copier.summary;
        }
        if summary.tables_copied > 0 {
            repository.sync_objects()?;
        }
        let mut record = BackupRecord {
            id: summary.id.clone(),
            time_ns: now,
            scope: request.database.clone(),
            store,
            seq: export.seq,
            databases: Vec::new(),
            keyspaces: Vec::new(),
        };
        record.databases = (entries.into_iter())
            .map(|(name, catalog)| DatabaseRecord { name, catalog, keyspaces: Vec::new() })
            .collect();
        keyspaces.into_iter().for_each(|keyspace| file(&mut record, keyspace));
        repository.store(&record)?;
        Ok(summary)
    }
}

/// Puts a keyspace where it belongs. One of a database that the catalog does not name belongs
/// nowhere: it was half made or half dropped.
fn file(record: &mut BackupRecord, keyspace: KeyspaceRecord) {
    match Keyspace::parse(&keyspace.name) {
        None => record.keyspaces.push(keyspace),
        Some(parsed) => {
            let of = |database: &&mut DatabaseRecord| database.name == parsed.database();
            if let Some(database) = record.databases.iter_mut().find(of) {
                database.keyspaces.push(keyspace);
            }
        }
    }
}

struct Copier<'a> {
    repository: &'a Repository,
    known: &'a Known,
    meter: &'a Meter<'a>,
    summary: BackupSummary,
}

impl Copier<'_> {
    fn keyspace(&mut self, keyspace: &ExportedKeyspace) -> Result<KeyspaceRecord> {
        let tables: Result<_> = keyspace.tables.iter().map(|table| self.table(table)).collect();
        Ok(KeyspaceRecord::new(keyspace, tables?))
    }

    fn table(&mut self, table: &ExportedTable) -> Result<TableRecord> {
        let (meta, identity) = (table.meta(), TableIdentity::of(table));
        let object = match self.repository.find(self.known, &identity, meta.bytes) {
            Some(object) => {
                self.meter.bytes(meta.bytes)?;
                object
            }
            None => {
                self.summary.tables_copied += 1;
                self.summary.bytes_copied += meta.bytes;
                self.repository.add(table.path(), meta.number.0, self.meter)?
            }
        };
        self.meter.file();
        Ok(TableRecord {
            object,
            bytes: meta.bytes,
            level: table.place.level,
            age: table.place.age,
            is_final: meta.is_final,
            identity,
        })
    }
}
