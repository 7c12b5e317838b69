//! Takes a backup: a cut, then copies of the tables that the repository does not have.
//!
//! ```text
//! begin    the repository is locked, its backups of this store are read
//! export   one moment of the store, its memtables flushed (kernel::export)
//! copy     each table that no backup of the store has: every block of it is verified, it is
//!          copied, synced and read back
//! finish   names synced, then the backup appears
//! ```
//!
//! What stops in between leaves no backup; what was copied by then stays for the next one, which
//! finds it by its content, or for `prune`.

use serde::Serialize;

use super::record::{BackupRecord, KeyspaceRecord, TableIdentity, TableRecord};
use super::repository::{Known, Repository};
use super::{Meter, Watch};
use crate::fs::LockGuard;
use crate::store::{Export, ExportedKeyspace, ExportedTable, Store};
use crate::{Error, Result};

/// Moments that are tried until no keyspace is dropped meanwhile.
const TRIES: u32 = 8;

/// How to back up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupOptions {
    /// Copy every table, also those that earlier backups have: after damage was found.
    pub is_full: bool,
}

/// What a backup did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BackupSummary {
    /// Its id.
    pub id: String,
    /// Every batch up to this one is in it, and none after it.
    pub seq: u64,
    /// Tables in it.
    pub tables: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tables that were copied.
    pub tables_copied: u64,
    /// Their bytes.
    pub bytes_copied: u64,
}

/// A backup being taken. The repository is its own meanwhile.
#[derive(Debug)]
pub struct Taking<'a> {
    repository: &'a Repository,
    known: Known,
    store: String,
    _lock: Box<dyn LockGuard>,
}

/// What is copied, and not a backup yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// What was done.
    pub summary: BackupSummary,
    /// What will be said of it: all keyspaces, in no group.
    pub record: BackupRecord,
}

impl Store {
    /// Backs up all keyspaces as they are at one moment of this call.
    ///
    /// # Errors
    /// `Locked` when somebody else works on the repository, `Corrupt` when a table to copy is
    /// damaged, I/O, `Cancelled`. Earlier backups stay as they are.
    ///
    /// ```
    /// # use firndb_engine::backup::{BackupOptions, Repository, Watch};
    /// # let (store, _) = firndb_engine::example::store()?;
    /// let repository = Repository::new(store.options().fs.clone(), "/backups".as_ref());
    /// let watch = Watch {
    ///     progress: &|p| println!("{} of {} bytes", p.bytes, p.bytes_total),
    ///     is_cancelled: &|| false,
    /// };
    /// let summary = store.backup(&repository, BackupOptions::default(), &watch)?;
    /// assert_eq!(repository.list()?[0].id, summary.id);
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn backup(
        &self,
        repository: &Repository,
        options: BackupOptions,
        watch: &Watch<'_>,
    ) -> Result<BackupSummary> {
        let taking = repository.begin(self, options)?;
        let export = moment(self, watch.is_cancelled)?;
        let taken = taking.copy(&export, self.options().clock.unix_ns(), watch)?;
        taking.finish(&taken.record)?;
        Ok(taken.summary)
    }
}

/// All keyspaces at one moment. Where one is dropped while its memtable is on its way into tables,
/// the next moment is without it.
fn moment(store: &Store, is_cancelled: &dyn Fn() -> bool) -> Result<Export> {
    let mut tries = 0;
    loop {
        tries += 1;
        match store.begin_export(&|_| true)?.wait(is_cancelled) {
            Err(Error::NotFound { .. }) if tries < TRIES => {}
            outcome => return outcome,
        }
    }
}

impl Repository {
    /// Begins a backup of what [`Store::begin_export`] is told to take out.
    ///
    /// # Errors
    /// `Locked` when somebody else works on the repository, I/O.
    pub fn begin(&self, store: &Store, options: BackupOptions) -> Result<Taking<'_>> {
        let lock = self.lock()?;
        let store = format!("{:032x}", store.id());
        let known = if options.is_full { Known::default() } else { self.known(&store)? };
        Ok(Taking { repository: self, known, store, _lock: lock })
    }
}

impl Taking<'_> {
    /// Copies what is new and makes it durable.
    ///
    /// # Errors
    /// As [`Store::backup`].
    pub fn copy(&self, export: &Export, time_ns: i64, watch: &Watch<'_>) -> Result<Taken> {
        let tables = || export.keyspaces.iter().flat_map(|keyspace| &keyspace.tables);
        let mut summary = BackupSummary {
            id: self.repository.free_id(time_ns)?,
            seq: export.seq,
            tables: tables().count() as u64,
            bytes: tables().map(|table| table.meta().bytes).sum(),
            ..BackupSummary::default()
        };
        let meter = Meter::new(watch, summary.tables, summary.bytes);
        let mut copier = Copier { taking: self, meter: &meter, summary: &mut summary };
        let keyspaces = export.keyspaces.iter().map(|keyspace| copier.keyspace(keyspace));
        let keyspaces = keyspaces.collect::<Result<_>>()?;
        if summary.tables_copied > 0 {
            self.repository.sync_objects()?;
        }
        let record = BackupRecord {
            id: summary.id.clone(),
            time_ns,
            scope: None,
            store: self.store.clone(),
            seq: export.seq,
            groups: Vec::new(),
            keyspaces,
        };
        Ok(Taken { summary, record })
    }

    /// Makes it a backup. `record` is that of what was copied, perhaps in groups.
    ///
    /// # Errors
    /// I/O.
    pub fn finish(self, record: &BackupRecord) -> Result<()> {
        self.repository.store(record)
    }
}

struct Copier<'a> {
    taking: &'a Taking<'a>,
    meter: &'a Meter<'a>,
    summary: &'a mut BackupSummary,
}

impl Copier<'_> {
    fn keyspace(&mut self, keyspace: &ExportedKeyspace) -> Result<KeyspaceRecord> {
        let tables: Result<_> = keyspace.tables.iter().map(|table| self.table(table)).collect();
        Ok(KeyspaceRecord::new(keyspace, tables?))
    }

    fn table(&mut self, table: &ExportedTable) -> Result<TableRecord> {
        let (meta, identity) = (table.meta(), TableIdentity::of(table));
        let Taking { repository, known, .. } = self.taking;
        let object = match repository.find(known, &identity, meta.bytes) {
            Some(object) => {
                self.meter.bytes(meta.bytes)?;
                object
            }
            None => {
                // A backup of damaged bytes is none, and would push out the good ones.
                table.check()?;
                self.summary.tables_copied += 1;
                self.summary.bytes_copied += meta.bytes;
                repository.add(table.path(), meta.number.0, self.meter)?
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
