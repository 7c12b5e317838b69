//! Brings tables back from a backup: into a store in use, or into a new one.
//!
//! ```text
//! restore   each object is copied to an empty folder under a new number and verified on the way
//!           names synced, then manifest, then CURRENT: only now the folder is a store
//! ```
//!
//! Invariants: what is damaged is found before anything is changed by it; a folder whose restore
//! was not finished has no CURRENT and does not open; the new store has an identity of its own.

use std::path::Path;

use serde::Serialize;

use super::checksum::Sha256Hex;
use super::record::{BackupRecord, KeyspaceRecord, TableRecord};
use super::repository::Repository;
use super::{Meter, Watch};
use crate::cache::Cache;
use crate::fs::copy::copy;
use crate::key::{FileNumber, KeyspaceId};
use crate::manifest::edit::{Edit, SyncedTable};
use crate::manifest::{Manifest, ManifestState, Place, table_path};
use crate::options::Options;
use crate::outputs::Unnamed;
use crate::range_delete::Settled;
use crate::recovery::new_store_id;
use crate::store::{Import, TableSource, Transfer};
use crate::table::Table;
use crate::{Error, Result};

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RestoreSummary {
    /// The keyspaces, by name.
    pub keyspaces: Vec<String>,
    /// Tables copied and verified.
    pub tables: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Makes the store of the backup `id` in the folder `options.dir`, which is empty or missing, on
/// the file system of the repository. Open it with the same options.
///
/// # Errors
/// `NotFound` when there is no such backup, `Invalid` when the folder is not empty, has no room, or
/// the backup is of something that is more than its keyspaces; `Corrupt` for damage, `Cancelled`.
/// Nothing is left behind then.
pub fn restore(
    repository: &Repository,
    id: &str,
    options: &Options,
    watch: &Watch<'_>,
) -> Result<RestoreSummary> {
    let record = repository.load(id)?;
    if let Some(group) = record.groups.first() {
        let name = &group.name;
        let reason = format!("backup {id} holds {name}, which is more than keyspaces");
        return Err(Error::Invalid { reason: format!("{reason}: restore it as it was taken") });
    }
    let (fs, dir) = (&*repository.fs, &options.dir);
    let _lock = repository.lock()?;
    fs.create_dir_all(dir).map_err(|e| Error::io(dir, "create", e))?;
    let names = fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    if let Some(name) = names.first() {
        let reason = format!("{} is not empty: {name} is there", dir.display());
        return Err(Error::Invalid { reason });
    }
    let bytes = record.tables().map(|table| table.bytes).sum();
    check_space(repository, dir, bytes)?;
    let summary = RestoreSummary {
        keyspaces: record.keyspaces.iter().map(|keyspace| keyspace.name.clone()).collect(),
        tables: record.tables().count() as u64,
        bytes,
    };
    let meter = Meter::new(watch, summary.tables, bytes);
    let mut files = Unnamed::new(repository.fs.clone(), dir);
    let state = bring(repository, &record, options, &meter, &mut files)?;
    files.keep();
    let store_id = new_store_id(&*options.clock, dir);
    Manifest::write_first(repository.fs.clone(), dir, options.clock.clone(), store_id, state)?;
    Ok(summary)
}

/// Copies all tables; gives the picture of the store that holds them.
fn bring(
    repository: &Repository,
    record: &BackupRecord,
    options: &Options,
    meter: &Meter<'_>,
    files: &mut Unnamed,
) -> Result<ManifestState> {
    let mut edit = Edit::new(options.clock.unix_ns(), format!("restore: {}", record.id));
    let mut synced = Vec::new();
    let (mut numbers, mut seq) = (1.., record.seq);
    // A cache for what is read once: footers and properties.
    let cache = Cache::with_files(1 << 20, 1, options.budget.clone());
    for keyspace in &record.keyspaces {
        for table in &keyspace.tables {
            let number = FileNumber(numbers.next().expect("there are numbers"));
            files.push(number);
            let path = table_path(&options.dir, number);
            repository.verified(table, meter, &mut |visit| {
                copy(&*repository.fs, &repository.object_path(&table.object), &path, visit)
            })?;
            let written_as = Table::number_in_footer(&*repository.fs, &path)?;
            let fs = repository.fs.clone();
            let opened = Table::open_written_as(fs, path, number, written_as, &cache)?;
            let properties = opened.properties()?;
            seq = seq.max(properties.max_seq);
            let is_final = table.is_final;
            synced.push(SyncedTable::imported(number, written_as, &properties, is_final));
        }
    }
    let next_file = FileNumber(numbers.next().expect("there are numbers"));
    let durable = SyncedTable::commit(synced, &*repository.fs, &options.dir)?;
    let mut durable = durable.iter();
    for (keyspace, id) in record.keyspaces.iter().zip(1..) {
        let (id, options) = (KeyspaceId(id), keyspace.options());
        edit.add_keyspace(id, keyspace.name.as_str().into(), options.policy, options.compression);
        edit.set_ttl(id, options.ttl_ms);
        for (table, durable) in keyspace.tables.iter().zip(durable.by_ref()) {
            edit.add_table(id, Place { level: table.level, age: table.age }, durable);
        }
        let added = keyspace.range_deletes().collect();
        edit.settle_range_deletes(id, &Settled { added, dropped: Vec::new() });
        edit.flushed(id, seq, FileNumber(0));
    }
    edit.last_seq(seq);
    let mut state = ManifestState::default();
    state.next_file = next_file;
    let place = repository.record_path(&record.id);
    state.apply(&edit).map_err(|reason| Error::corrupt(&place, 0, reason))?;
    Ok(state)
}

fn check_space(repository: &Repository, dir: &Path, bytes: u64) -> Result<()> {
    let space = repository.fs.space(dir).map_err(|e| Error::io(dir, "look at", e))?;
    if space.free_bytes >= bytes {
        return Ok(());
    }
    let (dir, free) = (dir.display(), space.free_bytes);
    let reason = format!("the backup needs {bytes} bytes, {dir} has {free} free: make room");
    Err(Error::Invalid { reason })
}

impl Repository {
    /// Brings the tables of a keyspace into a store in use, verified, as the keyspace `name`. The
    /// caller holds the repository ([`Repository::lock`]).
    ///
    /// # Errors
    /// `Corrupt` for damage, `Cancelled`, I/O.
    pub fn fetch(
        &self,
        import: &mut Import,
        keyspace: &KeyspaceRecord,
        name: &str,
        meter: &Meter<'_>,
    ) -> Result<()> {
        import.keyspace(name, keyspace.options())?;
        for table in &keyspace.tables {
            let source = TableSource {
                path: self.object_path(&table.object),
                place: Place { level: table.level, age: table.age },
                is_final: table.is_final,
            };
            self.verified(table, meter, &mut |visit| {
                import.table(&source, Transfer::Copy, visit).map(|()| table.bytes)
            })?;
        }
        keyspace.range_deletes().try_for_each(|delete| import.range_delete(delete))
    }

    /// Copies an object by `copy`, which hands on what it sees, and verifies that.
    fn verified(
        &self,
        table: &TableRecord,
        meter: &Meter<'_>,
        copy: &mut dyn FnMut(crate::fs::copy::Visit<'_>) -> Result<u64>,
    ) -> Result<()> {
        let (mut hash, mut length) = (Sha256Hex::default(), 0);
        let copied = copy(&mut |bytes| {
            hash.update(bytes);
            length += bytes.len() as u64;
            meter.bytes(bytes.len() as u64)
        });
        match copied {
            // What is no table any more is told as what it is: not what was written.
            Ok(_) => self.check_copy(table, &hash, length)?,
            Err(error) if error.is_corrupt() => {
                self.check_copy(table, &hash, length)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        meter.file();
        Ok(())
    }
}
