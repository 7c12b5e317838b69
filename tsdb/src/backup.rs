//! Backups of databases into a folder, and the way back.
//!
//! A backup is one moment: of one database, or of everything, keys and values included. It is taken
//! while points are written, which wait for nothing but the sealing of memtables. Tables are files
//! that never change, so the next backup copies only those that are new.
//!
//! Modules: `repository` (the folder, drawn there), `record` (what a backup says of itself),
//! `take`, `restore`, `upkeep` (verify and prune).

pub mod record;
pub mod repository;

mod restore;
mod take;
mod upkeep;

use std::cell::Cell;

use firndb_engine as engine;

pub use record::BackupRecord;
pub use repository::{Listed, Repository};
pub use restore::{RestoreRequest, RestoreSummary};
pub use take::{BackupRequest, BackupSummary};
pub use upkeep::{Damage, PruneReport, VerifyReport, prune, verify};

/// How far a long call is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files done.
    pub files: u64,
    /// Files in all.
    pub files_total: u64,
    /// Bytes done.
    pub bytes: u64,
    /// Bytes in all.
    pub bytes_total: u64,
}

/// Who watches a long call, and may end it.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Told about every 256 KiB.
    pub progress: &'a dyn Fn(Progress),
    /// Asked as often.
    pub is_cancelled: &'a dyn Fn() -> bool,
}

impl Watch<'_> {
    /// Nobody.
    pub const NOBODY: Watch<'static> = Watch { progress: &|_| {}, is_cancelled: &|| false };
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// Counts for a watcher.
struct Meter<'a> {
    watch: &'a Watch<'a>,
    progress: Cell<Progress>,
}

impl<'a> Meter<'a> {
    fn new(watch: &'a Watch<'a>, files_total: u64, bytes_total: u64) -> Self {
        let progress = Progress { files_total, bytes_total, ..Progress::default() };
        (watch.progress)(progress);
        Meter { watch, progress: Cell::new(progress) }
    }

    /// Some bytes are done; an error when that was enough.
    fn bytes(&self, count: u64) -> engine::Result<()> {
        self.add(0, count);
        if (self.watch.is_cancelled)() { Err(engine::Error::Cancelled) } else { Ok(()) }
    }

    /// A file is done.
    fn file(&self) {
        self.add(1, 0);
    }

    fn add(&self, files: u64, bytes: u64) {
        let mut progress = self.progress.get();
        progress.files += files;
        progress.bytes += bytes;
        self.progress.set(progress);
        (self.watch.progress)(progress);
    }
}
