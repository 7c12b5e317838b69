//! Taking keyspaces out: their tables at one moment, pinned.
//!
//! ```text
//! begin   commit lock   keyspaces are chosen by name and their memtables sealed: one cut through
//!                       the order of batches
//! wait    no lock       the sealed memtables are flushed; each keyspace's tables just after that
//! ```
//!
//! Why a cut can be had without stopping writers: memtables of a keyspace are flushed in order, so
//! the tables just after the flush of the one that the cut sealed hold what was written before the
//! cut and nothing after it, whatever is written or compacted meanwhile. Across keyspaces it is the
//! commit lock that makes it one moment: batches get their numbers under it, and a batch of before
//! the cut touches only keyspaces that are there to be chosen.
//!
//! Invariant: the files of an [`Export`] stay as long as it lives, also when they are compacted
//! away or their keyspace is dropped.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Kernel;
use crate::key::{KeyspaceId, Seq};
use crate::keyspace::{FlushReason, KeyspaceState, MemtableSlot};
use crate::levels::{TableFile, Version};
use crate::manifest::{Place, TableMeta};
use crate::options::KeyspaceOptions;
use crate::range_delete::RangeDelete;
use crate::snapshot::Snapshot;
use crate::{Error, Result};

/// A cut whose memtables are on their way into tables.
#[must_use = "the tables are there after `wait`"]
pub struct PendingExport {
    kernel: Arc<Kernel>,
    snapshot: Snapshot,
    keyspaces: Vec<Pending>,
    /// Failed jobs when it began.
    failures: u64,
}

struct Pending {
    keyspace: Arc<KeyspaceState>,
    tables: Tables,
}

/// Where the tables of the cut are.
enum Tables {
    /// Here: nothing was in memory.
    There(Arc<Version>),
    /// Behind the flush of this memtable.
    Behind(Arc<MemtableSlot>),
}

impl Tables {
    fn get(&self) -> Option<&Arc<Version>> {
        match self {
            Tables::There(version) => Some(version),
            Tables::Behind(slot) => slot.flushed(),
        }
    }
}

/// The tables of keyspaces at one moment. They stay on disk while it lives.
#[derive(Debug)]
pub struct Export {
    /// Every batch up to this one is in it, and none after it.
    pub seq: Seq,
    /// The keyspaces, by name.
    pub keyspaces: Vec<ExportedKeyspace>,
}

/// A keyspace of an export.
#[derive(Debug)]
pub struct ExportedKeyspace {
    /// Its number in this store.
    pub id: KeyspaceId,
    /// Its name.
    pub name: Arc<str>,
    /// What was chosen for it.
    pub options: KeyspaceOptions,
    /// Its tables, newest run first.
    pub tables: Vec<ExportedTable>,
    /// What is gone of them by the range: without these, deleted keys come back.
    pub range_deletes: Vec<RangeDelete>,
}

/// A table of an export.
#[derive(Debug)]
pub struct ExportedTable {
    /// Its run and level.
    pub place: Place,
    file: Arc<TableFile>,
}

impl ExportedTable {
    /// What the manifest says of it.
    pub fn meta(&self) -> &TableMeta {
        &self.file.meta
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.file.table.path()
    }

    /// Reads all of it and verifies every block and body.
    ///
    /// # Errors
    /// `Corrupt` with file and offset, I/O.
    pub fn check(&self) -> Result<()> {
        self.file.table.check(true).map(drop)
    }
}

impl Kernel {
    pub fn begin_export(
        self: &Arc<Self>,
        is_meant: &dyn Fn(&str) -> bool,
    ) -> Result<PendingExport> {
        self.check_writable()?;
        let failures = self.counters.job_failures.load(Ordering::Relaxed);
        let (mut sealed, mut pending) = (Vec::new(), Vec::new());
        let commits = self.commits.lock();
        let registry = self.registry.read();
        let meant = registry.all().filter(|keyspace| is_meant(&keyspace.name));
        for keyspace in meant.cloned() {
            if let Some(slot) = super::seal_active(&commits, &keyspace, FlushReason::Manual) {
                sealed.push((keyspace.clone(), slot));
            }
            let picture = keyspace.picture();
            let tables = match picture.sealed.first() {
                Some(slot) => Tables::Behind(slot.clone()),
                None => Tables::There(picture.version.clone()),
            };
            pending.push(Pending { keyspace, tables });
        }
        drop(registry);
        let seq = commits.last_seq;
        let snapshot = self.snapshots.take(|| seq);
        drop(commits);
        // Batches of before the cut may still be on their way into memtables.
        self.publisher.wait(seq);
        for (keyspace, slot) in &sealed {
            self.queue_flush(keyspace, slot);
        }
        self.signal.raise();
        Ok(PendingExport { kernel: self.clone(), snapshot, keyspaces: pending, failures })
    }

    /// What was chosen for a keyspace.
    fn options_of(&self, keyspace: &KeyspaceState) -> Result<KeyspaceOptions> {
        let manifest = self.manifest.lock();
        let record = manifest.state().keyspaces.get(&keyspace.id);
        let record = record.ok_or_else(|| gone(keyspace))?;
        let (policy, compression) = (record.policy, record.compression);
        Ok(KeyspaceOptions { policy, compression, ttl_ms: record.ttl_ms })
    }
}

fn gone(keyspace: &KeyspaceState) -> Error {
    Error::NotFound { what: format!("keyspace {}", keyspace.name) }
}

impl PendingExport {
    /// Every batch up to this one is in it, and none after it.
    pub fn seq(&self) -> Seq {
        self.snapshot.seq()
    }

    /// The moment of the cut, for reads of other keyspaces.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Waits until what was in memory at the cut is in tables.
    ///
    /// # Errors
    /// `NotFound` when a keyspace was dropped meanwhile: begin again. `Cancelled`, and whatever a
    /// flush failed with.
    pub fn wait(self, is_cancelled: &dyn Fn() -> bool) -> Result<Export> {
        let PendingExport { kernel, snapshot, keyspaces, failures } = self;
        let seq = snapshot.seq();
        kernel.wait_for_jobs(failures, &mut || {
            let mut is_done = true;
            for pending in keyspaces.iter().filter(|pending| pending.tables.get().is_none()) {
                if pending.keyspace.is_dropped.load(Ordering::Acquire) {
                    return Err(gone(&pending.keyspace));
                }
                is_done = false;
            }
            if !is_done && is_cancelled() { Err(Error::Cancelled) } else { Ok(is_done) }
        })?;
        let export = |pending: Pending| -> Result<ExportedKeyspace> {
            let version = pending.tables.get().expect("waited for");
            let table = |(place, file): (Place, &Arc<TableFile>)| ExportedTable {
                place,
                file: file.clone(),
            };
            Ok(ExportedKeyspace {
                id: pending.keyspace.id,
                name: pending.keyspace.name.clone(),
                options: kernel.options_of(&pending.keyspace)?,
                tables: version.tables().map(table).collect(),
                range_deletes: version.range_deletes.list().to_vec(),
            })
        };
        Ok(Export { seq, keyspaces: keyspaces.into_iter().map(export).collect::<Result<_>>()? })
    }
}

impl std::fmt::Debug for PendingExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingExport").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}
