//! The folder that holds backups.
//!
//! ```text
//! <dir>/LOCK                held by whoever writes, prunes or restores
//!       backups/<id>.json   a backup: what it holds and where (record)
//!       objects/<sha256>    a table file, named by its content
//!       objects/new-<n>     a table file on its way; nobody's after a crash
//! ```
//!
//! Why SHA-256: equal names must mean equal bytes also where somebody chose the bytes, processors
//! have instructions for it, and `sha256sum` checks a repository without us.
//!
//! Order: an object's bytes are synced before it gets its name; the names of all objects are
//! durable before a backup names them; a backup appears whole, by a rename. Pruning goes the other
//! way. So a crash leaves whole backups, and objects that nobody names.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firndb_engine as engine;
use firndb_engine::fs::{Fs, LockGuard, copy, read_all, write_all_at};
use sha2::{Digest, Sha256};

use super::Meter;
use super::record::{BackupRecord, TableIdentity, TableRecord};
use crate::{Error, Result};

const OBJECTS: &str = "objects";
const BACKUPS: &str = "backups";
const LOCK: &str = "LOCK";
/// What the names of objects on their way begin with.
const UNFINISHED: &str = "new-";

/// A SHA-256 in the making or made, shown in hexadecimal.
#[derive(Debug, Clone, Default)]
pub(super) struct Sha256Hex(Sha256);

impl Sha256Hex {
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = Sha256Hex::default();
        hash.update(bytes);
        hash
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

impl Display for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.clone().finalize().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A folder of backups.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(super) fs: Arc<dyn Fs>,
    dir: PathBuf,
}

/// A backup in a repository, or why it cannot be read.
#[derive(Debug)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// What it says of itself.
    pub record: Result<BackupRecord>,
}

/// Objects that need not be copied again.
#[derive(Debug, Default)]
pub(super) struct Known {
    by_identity: HashMap<TableIdentity, (String, u64)>,
    names: HashSet<String>,
}

impl Repository {
    /// The repository in `dir`. Nothing is touched before the first call.
    pub fn new(fs: Arc<dyn Fs>, dir: &Path) -> Self {
        Repository { fs, dir: dir.to_owned() }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All backups, oldest first.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for name in self.names(BACKUPS)? {
            if let Some(id) = name.strip_suffix(".json") {
                listed.push(Listed { id: id.to_owned(), record: self.load(id) });
            }
        }
        // One that cannot be read has no time; its id says it too.
        let time = |listed: &Listed| listed.record.as_ref().map_or(i64::MAX, |r| r.time_ns);
        listed.sort_by(|a, b| (time(a), &a.id).cmp(&(time(b), &b.id)));
        Ok(listed)
    }

    /// The backup of this id.
    pub fn load(&self, id: &str) -> Result<BackupRecord> {
        let not_found = || Error::BackupNotFound { id: id.to_owned() };
        if !is_id(id) {
            return Err(not_found());
        }
        let path = self.record_path(id);
        match read_all(&*self.fs, &path) {
            Ok(text) => BackupRecord::decode(&path.display().to_string(), &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(not_found()),
            Err(e) => Err(engine::Error::io(&path, "read", e).into()),
        }
    }

    /// Where an object lies.
    pub fn object_path(&self, object: &str) -> PathBuf {
        self.dir.join(OBJECTS).join(object)
    }

    fn record_path(&self, id: &str) -> PathBuf {
        self.dir.join(BACKUPS).join(format!("{id}.json"))
    }

    /// Names in one of its folders, sorted; none when it is not there.
    pub(super) fn names(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.dir.join(folder);
        if !self.fs.exists(&path).map_err(|e| engine::Error::io(&path, "look for", e))? {
            return Ok(Vec::new());
        }
        let names = self.fs.list(&path).map_err(|e| engine::Error::io(&path, "list", e));
        let mut names = names?;
        names.sort();
        Ok(names)
    }

    /// Names of all objects, unfinished ones included.
    pub(super) fn objects(&self) -> Result<Vec<String>> {
        self.names(OBJECTS)
    }

    /// Keeps others from it. Makes the folders.
    pub(super) fn lock(&self) -> Result<Box<dyn LockGuard>> {
        for folder in [OBJECTS, BACKUPS] {
            let path = self.dir.join(folder);
            self.fs.create_dir_all(&path).map_err(|e| engine::Error::io(&path, "create", e))?;
        }
        let path = self.dir.join(LOCK);
        self.fs.lock(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::WouldBlock => {
                Error::RepositoryBusy { path: path.display().to_string() }
            }
            _ => engine::Error::io(&path, "lock", e).into(),
        })
    }

    /// What earlier backups of the store brought here.
    pub(super) fn known(&self, store: &str) -> Result<Known> {
        let mut known = Known { names: self.objects()?.into_iter().collect(), ..Known::default() };
        for listed in self.list()? {
            let Ok(record) = listed.record else { continue };
            if record.store != store {
                continue;
            }
            for table in record.tables() {
                let object = (table.object.clone(), table.bytes);
                known.by_identity.insert(table.identity, object);
            }
        }
        Ok(known)
    }

    /// The object of a table that was copied before and is there with its length.
    pub(super) fn find(
        &self,
        known: &Known,
        identity: &TableIdentity,
        bytes: u64,
    ) -> Option<String> {
        let (object, length) = known.by_identity.get(identity)?;
        if *length != bytes || !known.names.contains(object) {
            return None;
        }
        let file = self.fs.open(&self.object_path(object)).ok()?;
        (file.len().ok()? == bytes).then(|| object.clone())
    }

    /// Copies the file `from` in as an object; gives its name. The name is not durable yet.
    pub(super) fn add(&self, from: &Path, number: u64, meter: &Meter<'_>) -> Result<String> {
        let unfinished = self.object_path(&format!("{UNFINISHED}{number}"));
        if self.fs.exists(&unfinished).map_err(|e| engine::Error::io(&unfinished, "look for", e))? {
            self.remove(&unfinished)?; // of a backup that a crash cut off
        }
        let mut hash = Sha256Hex::default();
        copy::copy(&*self.fs, from, &unfinished, &mut |bytes| {
            hash.update(bytes);
            meter.bytes(bytes.len() as u64)
        })?;
        let object = hash.to_string();
        // In place of one with the same bytes, or of a damaged one.
        let path = self.object_path(&object);
        self.fs.rename(&unfinished, &path).map_err(|e| engine::Error::io(&path, "rename", e))?;
        Ok(object)
    }

    /// Makes the names of objects durable.
    pub(super) fn sync_objects(&self) -> Result<()> {
        self.sync_dir(OBJECTS)
    }

    fn sync_dir(&self, folder: &str) -> Result<()> {
        let path = self.dir.join(folder);
        Ok(self.fs.sync_dir(&path).map_err(|e| engine::Error::io(&path, "sync", e))?)
    }

    /// Writes a backup whose objects are durable.
    pub(super) fn store(&self, record: &BackupRecord) -> Result<()> {
        let path = self.record_path(&record.id);
        let unfinished = path.with_extension("new");
        if self.fs.exists(&unfinished).map_err(|e| engine::Error::io(&unfinished, "look for", e))? {
            self.remove(&unfinished)?;
        }
        let write = || -> std::io::Result<()> {
            let file = self.fs.create(&unfinished)?;
            write_all_at(&*file, &record.encode(), 0)?;
            file.sync()?;
            self.fs.rename(&unfinished, &path)
        };
        write().map_err(|e| engine::Error::io(&path, "write", e))?;
        self.sync_dir(BACKUPS)
    }

    /// An id that no backup has, from its time.
    pub(super) fn free_id(&self, time_ns: i64) -> Result<String> {
        let time = chrono::DateTime::from_timestamp_nanos(time_ns);
        let base = time.format("%Y%m%dT%H%M%SZ").to_string();
        for number in 1u32.. {
            let id = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            let path = self.record_path(&id);
            if !self.fs.exists(&path).map_err(|e| engine::Error::io(&path, "look for", e))? {
                return Ok(id);
            }
        }
        Err(Error::Invalid { reason: format!("too many backups at {base}") })
    }

    /// Removes backups, durably; their objects stay.
    pub(super) fn remove_backups(&self, ids: &[String]) -> Result<()> {
        for id in ids {
            self.remove(&self.record_path(id))?;
        }
        self.sync_dir(BACKUPS)
    }

    /// Removes an object that nothing names; gives its length.
    pub(super) fn remove_object(&self, object: &str) -> Result<u64> {
        let path = self.object_path(object);
        let file = self.fs.open(&path).map_err(|e| engine::Error::io(&path, "open", e))?;
        let bytes = file.len().map_err(|e| engine::Error::io(&path, "stat", e))?;
        self.remove(&path)?;
        Ok(bytes)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        Ok(self.fs.remove_file(path).map_err(|e| engine::Error::io(path, "remove", e))?)
    }

    /// What is wrong with an object, if anything; reads all of it.
    pub(super) fn damage_of(
        &self,
        object: &str,
        bytes: u64,
        meter: &Meter<'_>,
    ) -> Result<Option<String>> {
        let mut hash = Sha256Hex::default();
        let path = self.object_path(object);
        let read = copy::read_through(&*self.fs, &path, &mut |bytes| {
            hash.update(bytes);
            meter.bytes(bytes.len() as u64)
        });
        Ok(match read {
            Ok(length) => damage(&hash, length, object, bytes),
            Err(engine::Error::Cancelled) => return Err(engine::Error::Cancelled.into()),
            Err(error) => Some(error.to_string()),
        })
    }

    /// What is wrong with a table of which `length` bytes were read, if anything.
    pub(super) fn check_copy(
        &self,
        table: &TableRecord,
        hash: &Sha256Hex,
        length: u64,
    ) -> Result<()> {
        match damage(hash, length, &table.object, table.bytes) {
            None => Ok(()),
            Some(what) => {
                let path = self.object_path(&table.object).display().to_string();
                Err(Error::corrupt(path, format!("{what}; nothing was restored from it")))
            }
        }
    }
}

fn damage(hash: &Sha256Hex, length: u64, object: &str, bytes: u64) -> Option<String> {
    let sha256 = hash.to_string();
    if length != bytes {
        Some(format!("{length} bytes, {bytes} were written"))
    } else if sha256 != object {
        Some(format!("its SHA-256 is {sha256}"))
    } else {
        None
    }
}

/// Whether `id` can be one: it becomes a file name.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
