//! Brings databases back from a backup, into a store that is in use.
//!
//! Steps for each database: its objects are copied into the store's folder and verified on the way;
//! then it appears by one step (`instance::adopt`). Keys and values follow in the same way.
//!
//! Invariants: what is damaged is found before anything is changed by it; a database is as it was
//! at the backup or not touched; what is written after a restore is newer than all that came with
//! it.

use firndb_engine as engine;
use firndb_engine::backup::record::{BackupRecord, GroupRecord, KeyspaceRecord};
use firndb_engine::backup::{Meter, Repository, Watch};
use serde::Serialize;

use crate::catalog::Settings;
use crate::database::check_name;
use crate::instance::Tsdb;
use crate::keys::{self, Keyspace};
use crate::{Error, Result};

/// What to restore.
#[derive(Debug, Clone, Default)]
pub struct RestoreRequest {
    /// The backup.
    pub id: String,
    /// One database of it; `None`: all it holds.
    pub database: Option<String>,
    /// Another name for the one database.
    pub rename: Option<String>,
    /// Take the place of what there is; else that is an error.
    pub may_replace: bool,
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RestoreSummary {
    /// Names of the databases as they are now.
    pub databases: Vec<String>,
    /// Keyspaces of keys and values.
    pub keyspaces: Vec<String>,
    /// Tables copied.
    pub tables: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Tsdb {
    /// Restores databases, and with everything also keys and values.
    ///
    /// # Errors
    /// No such backup or database in it; a database that exists, unless it may be replaced; damage;
    /// a full disk; `Cancelled`. Databases restored before the error stay.
    pub fn restore(
        &self,
        repository: &Repository,
        request: &RestoreRequest,
        watch: &Watch<'_>,
    ) -> Result<RestoreSummary> {
        let record = repository.load(&request.id)?;
        let chosen = choose(&record, request)?;
        let others: &[KeyspaceRecord] =
            if request.database.is_none() { &record.keyspaces } else { &[] };
        self.check_conflicts(&chosen, others, request)?;
        let _lock = repository.lock()?;
        let keyspaces = || chosen.iter().flat_map(|(_, d)| &d.keyspaces).chain(others);
        let tables = || keyspaces().flat_map(|keyspace| &keyspace.tables);
        let bytes = tables().map(|table| table.bytes).sum();
        self.check_space(bytes)?;
        let mut summary =
            RestoreSummary { tables: tables().count() as u64, bytes, ..RestoreSummary::default() };
        let meter = Meter::new(watch, summary.tables, bytes);
        for (name, database) in chosen {
            let mut import = self.store().begin_import()?;
            for keyspace in &database.keyspaces {
                let parsed = Keyspace::parse(&keyspace.name).ok_or_else(|| {
                    let reason = format!("{} is not a keyspace of a database", keyspace.name);
                    Error::corrupt(&record.id, reason)
                })?;
                repository.fetch(&mut import, keyspace, &parsed.name_in(&name), &meter)?;
            }
            self.adopt(&name, &database.note, import, record.seq, request.may_replace)?;
            summary.databases.push(name);
        }
        if !others.is_empty() {
            let mut import = self.store().begin_import()?;
            for keyspace in others {
                repository.fetch(&mut import, keyspace, &keyspace.name, &meter)?;
            }
            let old = others.iter().filter_map(|keyspace| self.store().keyspace(&keyspace.name));
            let old: Vec<_> = old.map(|keyspace| keyspace.id).collect();
            let going = if request.may_replace { &old[..] } else { &[] };
            import.commit(going, record.seq, "restore")?;
            summary.keyspaces = others.iter().map(|keyspace| keyspace.name.clone()).collect();
        }
        Ok(summary)
    }

    /// Refuses before anything is copied what would be refused at the end.
    fn check_conflicts(
        &self,
        chosen: &[(String, &GroupRecord)],
        others: &[KeyspaceRecord],
        request: &RestoreRequest,
    ) -> Result<()> {
        for (name, database) in chosen {
            check_name(name)?;
            let entry = serde_json::to_vec(&database.note).expect("JSON has a JSON form");
            Settings::parse(name, &entry)?;
            if !request.may_replace && self.database(name).is_some() {
                return Err(Error::DatabaseExists { name: name.clone() });
            }
        }
        let is_ours = |name: &str| name == keys::CATALOG || Keyspace::parse(name).is_some();
        if let Some(keyspace) = others.iter().find(|keyspace| is_ours(&keyspace.name)) {
            let name = &keyspace.name;
            let reason = format!("{name} without its database: the backup is of a bare store");
            return Err(Error::Invalid { reason });
        }
        let is_taken = |keyspace: &&KeyspaceRecord| self.store().keyspace(&keyspace.name).is_some();
        match others.iter().find(is_taken) {
            Some(keyspace) if !request.may_replace => {
                let reason = format!(
                    "keyspace {} exists: restore single databases, or say that what there is is \
                     to be replaced",
                    keyspace.name
                );
                Err(Error::Invalid { reason })
            }
            _ => Ok(()),
        }
    }

    fn check_space(&self, bytes: u64) -> Result<()> {
        let options = self.store().options();
        let space = options.fs.space(&options.dir);
        let space = space.map_err(|e| engine::Error::io(&options.dir, "look at", e))?;
        if space.free_bytes >= bytes {
            return Ok(());
        }
        let (dir, free) = (options.dir.display(), space.free_bytes);
        let reason = format!(
            "the backup needs {bytes} bytes, {dir} has {free} free: make room, or restore single \
             databases"
        );
        Err(Error::Invalid { reason })
    }
}

/// The databases to restore, with the names they get.
fn choose<'a>(
    record: &'a BackupRecord,
    request: &RestoreRequest,
) -> Result<Vec<(String, &'a GroupRecord)>> {
    let is_meant = |database: &&GroupRecord| {
        request.database.as_ref().is_none_or(|name| *name == database.name)
    };
    let chosen: Vec<_> = record.groups.iter().filter(is_meant).collect();
    if let (true, Some(name)) = (chosen.is_empty(), &request.database) {
        let names: Vec<_> = record.groups.iter().map(|d| d.name.as_str()).collect();
        let names = names.join(", ");
        let reason = format!("backup {} has no database {name}; it has: {names}", record.id);
        return Err(Error::Invalid { reason });
    }
    match (&request.rename, &chosen[..]) {
        (Some(rename), [database]) => Ok(vec![(rename.clone(), *database)]),
        (Some(_), _) => {
            let reason = "another name is for one database: say which".to_owned();
            Err(Error::Invalid { reason })
        }
        (None, _) => Ok(chosen.into_iter().map(|d| (d.name.clone(), d)).collect()),
    }
}
