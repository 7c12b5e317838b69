//! The store: open, write, read, flush, compact, check, close. It coordinates; every decision and
//! every format lives in another file.

use std::sync::Arc;

use crate::batch::WriteBatch;
use crate::check::CheckReport;
use crate::key::{KeyspaceId, Seq};
use crate::keyspace::{Keyspace, KvIterator, View};
use crate::metrics::StoreMetrics;
use crate::options::{Durability, KeyspaceOptions, Options, Policy};
use crate::scan::Value;
use crate::scan::bounds::Bounds;
use crate::snapshot::Snapshot;
use crate::{Error, Result};

/// How one write is done.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions {
    /// When it is acknowledged; `None`: as the store's options say.
    pub durability: Option<Durability>,
}

/// A write that is in the log buffer and visible; [`Commit::wait`] makes it durable.
#[derive(Debug)]
#[must_use = "the write may not be durable before `wait`"]
pub struct Commit {
    seq: Seq,
}

impl Commit {
    /// Its place in the order of all writes.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Until the write is as durable as was asked for.
    pub fn wait(&self) -> Result<()> {
        todo!()
    }
}

/// What a scan walks.
#[derive(Debug, Clone, Default)]
pub struct ScanOptions<'a> {
    /// The keys.
    pub bounds: Bounds,
    /// From the last key to the first.
    pub reverse: bool,
    /// What it sees; `None`: everything published now.
    pub snapshot: Option<&'a Snapshot>,
    /// Leave the block cache as it is: for scans that will not be repeated.
    pub skip_cache: bool,
}

/// What a compaction asked for by hand does.
#[derive(Debug, Clone, Copy, Default)]
pub struct CompactOptions {
    /// Leave each keyspace in its final, smallest form: one run, see
    /// [`crate::hooks::MergeContext::is_final`].
    pub is_final: bool,
}

/// How far opening is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenProgress {
    /// The manifest is read.
    Manifest,
    /// The log is replayed.
    Replay {
        /// Bytes done.
        done_bytes: u64,
        /// Bytes of all segments.
        total_bytes: u64,
    },
}

/// A durable, ordered key-value store. Clones are the same store; the last one dropped closes it.
#[derive(Debug, Clone)]
pub struct Store(Arc<()>);

impl Store {
    /// Opens the store in `options.dir`, or creates it.
    pub fn open(options: Options) -> Result<Self> {
        Store::open_with_progress(options, &|_| {})
    }

    /// As [`Store::open`], saying how far it is.
    pub fn open_with_progress(_options: Options, _progress: &dyn Fn(OpenProgress)) -> Result<Self> {
        todo!()
    }

    /// Creates the keyspace `name`, or gives the one of that name.
    pub fn create_keyspace(&self, _name: &str, _options: KeyspaceOptions) -> Result<Keyspace> {
        todo!()
    }

    /// The keyspace called `name`.
    pub fn keyspace(&self, _name: &str) -> Option<Keyspace> {
        todo!()
    }

    /// All keyspaces, by name.
    pub fn keyspaces(&self) -> Vec<Keyspace> {
        todo!()
    }

    /// Drops keyspaces with one edit; their files go whole, once nobody reads them.
    /// Ids that do not exist are passed over.
    pub fn drop_keyspaces(&self, _keyspaces: &[KeyspaceId], _reason: &str) -> Result<()> {
        todo!()
    }

    /// Writes a batch and waits as its durability says.
    ///
    /// # Errors
    /// `Invalid` when a keyspace refuses an operation, `NotFound` when there is no such keyspace,
    /// `Busy` when flushes are behind, `ReadOnly` after a failure. Only after `ReadOnly` may the
    /// batch have been stored.
    pub fn write(&self, _batch: &WriteBatch, _options: WriteOptions) -> Result<Commit> {
        todo!()
    }

    /// Writes a batch; the caller waits with [`Commit::wait`].
    pub fn write_no_wait(&self, _batch: &WriteBatch, _options: WriteOptions) -> Result<Commit> {
        todo!()
    }

    /// Pins what is visible now.
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }

    /// The value of `key`.
    pub fn get(
        &self,
        _keyspace: KeyspaceId,
        _key: &[u8],
        _snapshot: Option<&Snapshot>,
    ) -> Result<Option<Value>> {
        todo!()
    }

    /// Walks keys and values in order.
    pub fn scan(&self, _keyspace: KeyspaceId, _options: ScanOptions<'_>) -> Result<KvIterator> {
        todo!()
    }

    /// Memtables and tables of a keyspace as they are now, pinned.
    pub fn view(&self, _keyspace: KeyspaceId) -> Result<View> {
        todo!()
    }

    /// Flushes the memtables of one keyspace or of all, and waits.
    pub fn flush(&self, _keyspace: Option<KeyspaceId>) -> Result<()> {
        todo!()
    }

    /// Flushes and compacts one keyspace or all into one run each, and waits. `cancelled` is
    /// asked about every MiB.
    pub fn compact(
        &self,
        _keyspace: Option<KeyspaceId>,
        _options: CompactOptions,
        _cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<()> {
        todo!()
    }

    /// Makes everything written so far durable.
    pub fn sync(&self) -> Result<()> {
        todo!()
    }

    /// What is due by time: flushes of old memtables, retries after a full disk.
    pub fn maintain(&self) -> Result<()> {
        todo!()
    }

    /// Changes the compaction policy of a keyspace.
    pub fn set_policy(&self, _keyspace: KeyspaceId, _policy: Policy) -> Result<()> {
        todo!()
    }

    /// Asks for one final run of the keyspace, in the background: its window has closed.
    /// Does nothing where it already is one final run.
    pub fn mark_final(&self, _keyspace: KeyspaceId) -> Result<()> {
        todo!()
    }

    /// Verifies the directory: manifest, log and tables; `deep` reads every byte.
    pub fn check(&self, _deep: bool, _progress: &dyn Fn(u64, u64)) -> Result<CheckReport> {
        todo!()
    }

    /// Numbers of the store as they are now.
    pub fn metrics(&self) -> StoreMetrics {
        todo!()
    }

    /// Why the store is read-only, if it is.
    pub fn read_only_cause(&self) -> Option<Error> {
        todo!()
    }

    /// Syncs the log, stops the background and lets go of the directory. Every later call fails
    /// with `Closed`.
    pub fn close(&self) -> Result<()> {
        todo!()
    }
}
