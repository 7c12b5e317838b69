//! The folder that holds backups.
//!
//! ```text
//! <dir>/LOCK                held by whoever writes, prunes or restores
//!       backups/<id>.json   a backup: what it holds and where (record)
//!       objects/<sha256>    a table file, named by its content
//!       objects/new-<n>     a table file on its way; nobody's after a crash
//! ```
//!
//! Order: an object's bytes are synced before it gets its name; the names of all objects are
//! durable before a backup names them; a backup appears whole, by a rename. Pruning goes the other
//! way. So a crash leaves whole backups, and objects that nobody names.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Meter;
use super::checksum::Sha256Hex;
use super::record::{BackupRecord, TableIdentity, TableRecord};
use crate::fs::{Fs, LockGuard, copy, read_all, write_all_at};
use crate::recovery::locked;
use crate::{Error, Result};

const OBJECTS: &str = "objects";
const BACKUPS: &str = "backups";
const LOCK: &str = "LOCK";
/// What the names of objects on their way begin with.
const UNFINISHED: &str = "new-";

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
        let not_found = || Error::NotFound { what: format!("backup {id}") };
        if !is_id(id) {
            return Err(not_found());
        }
        let path = self.record_path(id);
        match read_all(&*self.fs, &path) {
            Ok(text) => BackupRecord::decode(&path, &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(not_found()),
            Err(e) => Err(Error::io(&path, "read", e)),
        }
    }

    /// Where an object lies.
    pub fn object_path(&self, object: &str) -> PathBuf {
        self.dir.join(OBJECTS).join(object)
    }

    pub(super) fn record_path(&self, id: &str) -> PathBuf {
        self.dir.join(BACKUPS).join(format!("{id}.json"))
    }

    /// Names in one of its folders, sorted; none when it is not there.
    pub(super) fn names(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.dir.join(folder);
        if !self.fs.exists(&path).map_err(|e| Error::io(&path, "look for", e))? {
            return Ok(Vec::new());
        }
        let mut names = self.fs.list(&path).map_err(|e| Error::io(&path, "list", e))?;
        names.sort();
        Ok(names)
    }

    /// Names of all objects, unfinished ones included.
    pub(super) fn objects(&self) -> Result<Vec<String>> {
        self.names(OBJECTS)
    }

    /// Keeps others from it. Makes the folders.
    ///
    /// # Errors
    /// `Locked` when another has it, I/O.
    pub fn lock(&self) -> Result<Box<dyn LockGuard>> {
        for folder in [OBJECTS, BACKUPS] {
            let path = self.dir.join(folder);
            self.fs.create_dir_all(&path).map_err(|e| Error::io(&path, "create", e))?;
        }
        let path = self.dir.join(LOCK);
        self.fs.lock(&path).map_err(|e| locked(&*self.fs, path, e))
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

    /// Copies the file `from` in as an object and reads it back; gives its name. The name is not
    /// durable yet.
    pub(super) fn add(&self, from: &Path, number: u64, meter: &Meter<'_>) -> Result<String> {
        let unfinished = self.object_path(&format!("{UNFINISHED}{number}"));
        if self.fs.exists(&unfinished).map_err(|e| Error::io(&unfinished, "look for", e))? {
            self.remove(&unfinished)?; // of a backup that a crash cut off
        }
        let mut hash = Sha256Hex::default();
        copy::copy(&*self.fs, from, &unfinished, &mut |bytes| {
            hash.update(bytes);
            meter.bytes(bytes.len() as u64)
        })?;
        let object = hash.to_string();
        self.read_back(&unfinished, &hash).inspect_err(|_| {
            // The next backup would remove it, too.
            let _ = self.remove(&unfinished);
        })?;
        // In place of one with the same bytes, or of a damaged one.
        let path = self.object_path(&object);
        self.fs.rename(&unfinished, &path).map_err(|e| Error::io(&path, "rename", e))?;
        Ok(object)
    }

    /// Whether the file at `path` holds what was written to it.
    fn read_back(&self, path: &Path, written: &Sha256Hex) -> Result<()> {
        let mut hash = Sha256Hex::default();
        copy::read_through(&*self.fs, path, &mut |bytes| {
            hash.update(bytes);
            Ok(())
        })?;
        let is_same = hash.to_string() == written.to_string();
        let reason = "what was read back is not what was written: the disk is failing";
        if is_same { Ok(()) } else { Err(Error::corrupt(path, 0, reason)) }
    }

    /// Makes the names of objects durable.
    pub(super) fn sync_objects(&self) -> Result<()> {
        self.sync_dir(OBJECTS)
    }

    fn sync_dir(&self, folder: &str) -> Result<()> {
        let path = self.dir.join(folder);
        self.fs.sync_dir(&path).map_err(|e| Error::io(&path, "sync", e))
    }

    /// Writes a backup whose objects are durable.
    pub(super) fn store(&self, record: &BackupRecord) -> Result<()> {
        let path = self.record_path(&record.id);
        let unfinished = path.with_extension("new");
        if self.fs.exists(&unfinished).map_err(|e| Error::io(&unfinished, "look for", e))? {
            self.remove(&unfinished)?;
        }
        let write = || -> std::io::Result<()> {
            let file = self.fs.create(&unfinished)?;
            write_all_at(&*file, &record.encode(), 0)?;
            file.sync()?;
            self.fs.rename(&unfinished, &path)
        };
        write().map_err(|e| Error::io(&path, "write", e))?;
        self.sync_dir(BACKUPS)
    }

    /// An id that no backup has, from its time.
    pub(super) fn free_id(&self, time_ns: i64) -> Result<String> {
        let base = id_of(time_ns);
        for number in 1u32.. {
            let id = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            let path = self.record_path(&id);
            if !self.fs.exists(&path).map_err(|e| Error::io(&path, "look for", e))? {
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
        let file = self.fs.open(&path).map_err(|e| Error::io(&path, "open", e))?;
        let bytes = file.len().map_err(|e| Error::io(&path, "stat", e))?;
        self.remove(&path)?;
        Ok(bytes)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.fs.remove_file(path).map_err(|e| Error::io(path, "remove", e))
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
            Err(Error::Cancelled) => return Err(Error::Cancelled),
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
                let path = self.object_path(&table.object);
                Err(Error::corrupt(&path, 0, format!("{what}; nothing was restored from it")))
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

/// What the id of a backup taken at this moment begins with: the second in UTC, as
/// `20261121T134059Z`.
fn id_of(time_ns: i64) -> String {
    let seconds = time_ns.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Year, month and day of a day since 1970-01-01. Years are counted from March on, so that the
/// day that comes every four years is their last; 400 of them have 146 097 days.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // 0: March
    let day = day - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    let month = if is_next_year { month - 9 } else { month + 3 };
    (era * 400 + year + i64::from(is_next_year), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_the_second() {
        let cases = [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_799, "20000229T235959Z"),
            (1_700_000_000, "20231114T221320Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
            (-1, "19691231T235959Z"),
        ];
        for (seconds, id) in cases {
            assert_eq!(id_of(seconds * 1_000_000_000), id, "{seconds}");
            assert!(is_id(id));
        }
        let mut last = (0, 0, 0);
        for days in -100_000..100_000 {
            let date = date_of(days);
            assert!(date > last || days == -100_000, "{days}: {date:?} after {last:?}");
            last = date;
        }
    }
}
