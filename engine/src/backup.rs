//! Backups of a store into a folder, and the way back.
//!
//! A backup is one moment of all keyspaces, with their policies, compression, time to live and
//! range deletes. It is taken while the store is written to, which waits for nothing but the
//! sealing of memtables. Tables are files that never change, so the next backup copies only those
//! that are new; many backups, of several stores, share one folder.
//!
//! ```
//! use std::sync::Arc;
//!
//! use firndb_engine::backup::{self, BackupOptions, Repository, Watch};
//! use firndb_engine::options::Options;
//! use firndb_engine::store::Store;
//!
//! # let (store, notes) = firndb_engine::example::store()?;
//! # let fs = store.options().fs.clone();
//! let repository = Repository::new(fs, "/backups".as_ref());
//! let first = store.backup(&repository, BackupOptions::default(), &Watch::NOBODY)?;
//! let next = store.backup(&repository, BackupOptions::default(), &Watch::NOBODY)?;
//! assert_eq!(next.tables_copied, 0, "nothing was written since");
//!
//! // Reads every byte of every backup.
//! assert!(backup::verify(&repository, None, &Watch::NOBODY)?.damaged.is_empty());
//!
//! let there = Options { dir: "/restored".into(), ..store.options().clone() };
//! backup::restore(&repository, &first.id, &there, &Watch::NOBODY)?;
//! let restored = Store::open(there)?;
//! let notes = restored.keyspace("notes").expect("it was there");
//! assert_eq!(restored.get(notes.id, b"a", None)?.as_deref(), Some(&b"1"[..]));
//! # Ok::<(), firndb_engine::Error>(())
//! ```
//!
//! Whoever keeps things of its own in a store may take backups of parts ([`Repository::begin`]) and
//! restore them into a store in use ([`Repository::fetch`]), in the same folder and format.
//!
//! Modules: `repository` (the folder, drawn there), `record` (what a backup says of itself),
//! `take`, `restore`, `upkeep` (verify and prune).

pub mod record;
pub mod repository;

mod checksum;
mod restore;
mod take;
mod upkeep;

use std::cell::Cell;

use crate::{Error, Result};

pub use record::BackupRecord;
pub use repository::{Listed, Repository};
pub use restore::{RestoreSummary, restore};
pub use take::{BackupOptions, BackupSummary, Taken, Taking};
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
    /// Asked as often. The call ends with `Cancelled`.
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
pub struct Meter<'a> {
    watch: &'a Watch<'a>,
    progress: Cell<Progress>,
}

impl<'a> Meter<'a> {
    /// For so many files and bytes.
    pub fn new(watch: &'a Watch<'a>, files_total: u64, bytes_total: u64) -> Self {
        let progress = Progress { files_total, bytes_total, ..Progress::default() };
        (watch.progress)(progress);
        Meter { watch, progress: Cell::new(progress) }
    }

    /// Some bytes are done; an error when that was enough.
    fn bytes(&self, count: u64) -> Result<()> {
        self.add(0, count);
        if (self.watch.is_cancelled)() { Err(Error::Cancelled) } else { Ok(()) }
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

impl std::fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("progress", &self.progress).finish_non_exhaustive()
    }
}
