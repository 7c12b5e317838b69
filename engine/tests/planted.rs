//! Known bugs around files, planted one by one: the crash test must find each.
//!
//! The bugs are those on record in other stores: syncs left out, acknowledged early, or done in the
//! wrong order; files removed early or never; writes lost; names and handles mixed up. A file
//! system that sits between store and disk makes them. Bugs of merging are in `doctored`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use firndb_engine::fs::sim::SimFs;
use firndb_engine::fs::{File, Fs, LockGuard, Space};
use firndb_engine::options::Durability;
use parking_lot::Mutex;

use crate::crash::{Sampling, crash_everywhere};
use crate::script::{self, Script};

/// Kinds of file, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Log,
    Table,
    Manifest,
    Current,
    Other,
}

fn kind(path: &Path) -> Kind {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match name {
        _ if name.ends_with(".log") => Kind::Log,
        _ if name.ends_with(".tbl") => Kind::Table,
        _ if name.starts_with("MANIFEST-") => Kind::Manifest,
        _ if name.starts_with("CURRENT") => Kind::Current,
        _ => Kind::Other,
    }
}

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    /// None: the control.
    None,
    /// Files of a kind are never synced.
    NoSync(Kind),
    /// A sync is acknowledged, and done at the next write or sync of the file.
    LateSync(Kind),
    /// Folders are never synced.
    NoDirSync,
    /// A folder is not synced when this kind of file is the newest in it.
    NoDirSyncAfter(Kind),
    /// A folder is not synced after a rename.
    NoDirSyncAfterRename,
    /// The oldest log goes when a table is begun, not when it is in the manifest.
    EarlyLogRemoval,
    /// The target of a rename is removed first.
    RenameInTwoSteps,
    /// What a rename replaces stays: a recovery that never gets further.
    NoRename,
    /// The oldest table goes when another is begun, not when an edit says so.
    EarlyTableRemoval,
    /// Files of a kind are never removed: they pile up.
    NoRemoval(Kind),
    /// One write in sixteen to files of a kind is acknowledged and lost.
    LostWrites(Kind),
    /// The edit that drops a keyspace is acknowledged and lost: the keyspace comes back.
    LostDrop,
    /// One table in eight that is opened is another one: a mixed up handle.
    WrongTable,
}

const BUGS: [Bug; 21] = [
    Bug::NoSync(Kind::Log),
    Bug::NoSync(Kind::Table),
    Bug::NoSync(Kind::Manifest),
    Bug::NoSync(Kind::Current),
    Bug::LateSync(Kind::Log),
    Bug::LateSync(Kind::Table),
    Bug::LateSync(Kind::Manifest),
    Bug::NoDirSync,
    Bug::NoDirSyncAfter(Kind::Log),
    Bug::NoDirSyncAfter(Kind::Table),
    Bug::NoDirSyncAfterRename,
    Bug::EarlyLogRemoval,
    Bug::RenameInTwoSteps,
    Bug::NoRename,
    Bug::EarlyTableRemoval,
    Bug::NoRemoval(Kind::Log),
    Bug::NoRemoval(Kind::Table),
    Bug::NoRemoval(Kind::Manifest),
    Bug::LostWrites(Kind::Log),
    Bug::LostDrop,
    Bug::WrongTable,
];

/// What the folder saw last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Created(Kind),
    Renamed,
    Synced,
}

#[derive(Debug, Clone)]
struct PlantedFs {
    disk: SimFs,
    bug: Bug,
    last: Arc<Mutex<Last>>,
    /// Calls that a bug may change, so far.
    calls: Arc<AtomicU64>,
}

impl PlantedFs {
    fn file(&self, path: &Path, file: Box<dyn File>) -> Box<dyn File> {
        let (kind, bug, calls) = (kind(path), self.bug, self.calls.clone());
        Box::new(PlantedFile { file, kind, bug, owed: Mutex::new(false), calls })
    }

    fn of_kind(&self, wanted: Kind) -> Vec<PathBuf> {
        self.disk.files().into_iter().filter(|path| kind(path) == wanted).collect()
    }

    fn remove_oldest(&self, wanted: Kind) -> io::Result<()> {
        let files = self.of_kind(wanted);
        if files.len() > 1 { self.disk.remove_file(&files[0]) } else { Ok(()) }
    }
}

fn one_in(count: u64, calls: &AtomicU64) -> bool {
    calls.fetch_add(1, Ordering::SeqCst) % count == count - 1
}

impl Fs for PlantedFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        match self.bug {
            Bug::EarlyLogRemoval if kind(path) == Kind::Table => self.remove_oldest(Kind::Log)?,
            Bug::EarlyTableRemoval if kind(path) == Kind::Table => {
                self.remove_oldest(Kind::Table)?;
            }
            _ => {}
        }
        *self.last.lock() = Last::Created(kind(path));
        Ok(self.file(path, self.disk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let is_table = kind(path) == Kind::Table;
        if self.bug == Bug::WrongTable && is_table && one_in(8, &self.calls) {
            let tables = self.of_kind(Kind::Table);
            let other = tables.iter().find(|table| *table != path);
            return self.disk.open(other.map_or(path, |other| other));
        }
        Ok(self.file(path, self.disk.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        *self.last.lock() = Last::Renamed;
        if self.bug == Bug::RenameInTwoSteps && self.disk.exists(to)? {
            self.disk.remove_file(to)?;
        }
        if self.bug == Bug::NoRename && self.disk.exists(to)? {
            return Ok(());
        }
        self.disk.rename(from, to)
    }

    fn link(&self, existing: &Path, new: &Path) -> io::Result<()> {
        self.disk.link(existing, new)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if self.bug == Bug::NoRemoval(kind(path)) {
            return Ok(());
        }
        match self.disk.remove_file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()), // removed early, see above
            other => other,
        }
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let last = std::mem::replace(&mut *self.last.lock(), Last::Synced);
        let is_left_out = match self.bug {
            Bug::NoDirSync => true,
            Bug::NoDirSyncAfter(kind) => last == Last::Created(kind),
            Bug::NoDirSyncAfterRename => last == Last::Renamed,
            _ => false,
        };
        if is_left_out { Ok(()) } else { self.disk.sync_dir(dir) }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.disk.lock(path)
    }

    fn lock_unmarked(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.disk.lock_unmarked(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }
}

#[derive(Debug)]
struct PlantedFile {
    file: Box<dyn File>,
    kind: Kind,
    bug: Bug,
    /// A sync was acknowledged and not done.
    owed: Mutex<bool>,
    calls: Arc<AtomicU64>,
}

impl PlantedFile {
    fn pay(&self) -> io::Result<()> {
        if std::mem::take(&mut *self.owed.lock()) { self.file.sync() } else { Ok(()) }
    }
}

impl File for PlantedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.pay()?;
        let is_lost = match self.bug {
            Bug::LostWrites(kind) => kind == self.kind && one_in(16, &self.calls),
            Bug::LostDrop => self.kind == Kind::Manifest && is_drop(buf),
            _ => false,
        };
        if is_lost { Ok(buf.len()) } else { self.file.write_at(buf, offset) }
    }

    fn sync(&self) -> io::Result<()> {
        match self.bug {
            Bug::NoSync(kind) if kind == self.kind => Ok(()),
            Bug::LateSync(kind) if kind == self.kind => {
                self.pay()?;
                *self.owed.lock() = true;
                Ok(())
            }
            _ => self.file.sync(),
        }
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.pay()?;
        self.file.set_len(len)
    }

    fn will_read(&self, offset: u64, len: u64) {
        self.file.will_read(offset, len);
    }
}

/// Whether an edit of the manifest gives the reason that scripts give for dropping a keyspace.
fn is_drop(edit: &[u8]) -> bool {
    edit.windows(script::DROP_REASON.len()).any(|part| part == script::DROP_REASON.as_bytes())
}

/// The first failure that the crash test finds with `bug` planted.
fn find(bug: Bug) -> Option<String> {
    for seed in 0..4 {
        let script = Script::random(seed, 120, Durability::Always);
        let disk = script::new_fs(seed);
        let last = Arc::new(Mutex::new(Last::Synced));
        let fs = PlantedFs { disk: disk.clone(), bug, last, calls: Arc::default() };
        // Strides that share no factor, so that every kind of place is seen.
        let sampling = Sampling { stride: [7, 5, 3, 1][seed as usize], is_one_enough: true };
        let findings = crash_everywhere(&disk, Arc::new(fs), &script, seed, sampling);
        if let Some(failure) = findings.failures.into_iter().next() {
            return Some(failure);
        }
        if bug == Bug::None {
            return None;
        }
    }
    None
}

#[test]
fn every_planted_bug_is_found() {
    assert_eq!(find(Bug::None), None, "the control");
    let missed: Vec<_> = BUGS.into_iter().filter(|bug| find(*bug).is_none()).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
