//! Taking table files in: new keyspaces, made of files that were written elsewhere.
//!
//! ```text
//! table    no lock         the file is copied or linked to a new number and synced; its footer and
//!                          properties are read
//! commit   no lock         names synced, log synced
//!          manifest lock   sequence numbers raised, one edit: keyspaces dropped, made and filled
//! ```
//!
//! A table's checksums are bound to the number it was written under, so the manifest keeps that
//! number beside the new one; nothing is rewritten.
//!
//! Invariants:
//! - files that no edit names are removed when the import is dropped;
//! - every later batch gets a sequence number above all of what was imported, and above the `seq`
//!   of the caller: what it writes is newer, and what its keys refer to by number keeps its order;
//! - what was written before the import is durable before it;
//! - a snapshot taken before the import sees of its keyspaces only what its number covers.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Kernel;
use super::requests::check_ttl;
use crate::events::EventKind;
use crate::fs::copy::{Visit, copy, link_or_copy};
use crate::key::{KeyspaceId, Seq};
use crate::keyspace::{Keyspace, KeyspaceState};
use crate::levels::{TableFile, Version};
use crate::manifest::edit::{DurableTable, Edit, SyncedTable};
use crate::manifest::{Place, table_path};
use crate::options::KeyspaceOptions;
use crate::outputs::Unnamed;
use crate::range_delete::RangeDelete;
use crate::table::Table;
use crate::{Error, Result};

/// Sequence numbers share a word with four flags on disk.
const SEQ_MAX: Seq = 1 << 60;

/// A table file to take in.
#[derive(Debug, Clone)]
pub struct TableSource {
    /// Where it lies, on the store's file system.
    pub path: PathBuf,
    /// Its run and level.
    pub place: Place,
    /// Written by a final compaction.
    pub is_final: bool,
}

/// How a table file comes into the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// As a copy of its own: damage of the one is not damage of the other.
    Copy,
    /// As a second name of the same file where that can be had, else as a copy.
    Link,
}

/// Keyspaces on their way into a store. Dropped before [`Import::commit`], it leaves nothing.
pub struct Import {
    kernel: Arc<Kernel>,
    keyspaces: Vec<Incoming>,
    files: Unnamed,
}

struct Incoming {
    name: Arc<str>,
    options: KeyspaceOptions,
    tables: Vec<(Place, SyncedTable)>,
    range_deletes: Vec<RangeDelete>,
}

impl Kernel {
    pub fn begin_import(self: &Arc<Self>) -> Result<Import> {
        self.check_writable()?;
        let files = Unnamed::new(self.options.fs.clone(), &self.options.dir);
        Ok(Import { kernel: self.clone(), keyspaces: Vec::new(), files })
    }

    /// Gives out no sequence number up to `seq` any more.
    fn raise_seq(&self, seq: Seq) {
        let mut commits = self.commits.lock();
        if commits.last_seq >= seq {
            return;
        }
        // Batches under way are published without the commit lock; none begins.
        self.publisher.wait(commits.last_seq);
        commits.last_seq = seq;
        self.publisher.restart(seq);
    }
}

impl Import {
    /// Begins a keyspace; the tables that follow are its own.
    pub fn keyspace(&mut self, name: &str, options: KeyspaceOptions) -> Result<()> {
        self.kernel.check_name(name)?;
        check_ttl(options.ttl_ms)?;
        if self.keyspaces.iter().any(|other| *other.name == *name) {
            return Err(Error::Invalid { reason: format!("keyspace {name} comes twice") });
        }
        let (tables, range_deletes) = (Vec::new(), Vec::new());
        self.keyspaces.push(Incoming { name: name.into(), options, tables, range_deletes });
        Ok(())
    }

    /// Says what is gone by the range of the tables of the last keyspace; see
    /// [`super::ExportedKeyspace::range_deletes`].
    ///
    /// # Errors
    /// `Invalid` where the start of the range is not below its end, or before any keyspace.
    pub fn range_delete(&mut self, delete: RangeDelete) -> Result<()> {
        let is_range = delete.start < delete.end && (1..=SEQ_MAX).contains(&delete.seq);
        let keyspace = self.keyspaces.last_mut().filter(|_| is_range);
        let reason = || "a range delete without a range or before its keyspace".to_owned();
        let keyspace = keyspace.ok_or_else(|| Error::Invalid { reason: reason() })?;
        keyspace.range_deletes.push(delete);
        Ok(())
    }

    /// Brings a table of the last keyspace into the folder. `visit` sees its bytes when it is
    /// copied; an error of it ends the import of the table.
    ///
    /// # Errors
    /// `Corrupt` when it is no table, I/O, or what `visit` says.
    pub fn table(
        &mut self,
        source: &TableSource,
        transfer: Transfer,
        visit: Visit<'_>,
    ) -> Result<()> {
        self.kernel.check_writable()?;
        let options = &self.kernel.options;
        let (fs, number) = (&options.fs, self.kernel.numbers.take());
        let path = table_path(&options.dir, number);
        self.files.push(number);
        match transfer {
            Transfer::Copy => drop(copy(&**fs, &source.path, &path, visit)?),
            Transfer::Link => {
                // Whoever wrote it may not have synced it.
                let file = fs.open(&source.path).map_err(|e| Error::io(&source.path, "open", e))?;
                file.sync().map_err(|e| Error::io(&source.path, "sync", e))?;
                link_or_copy(&**fs, &source.path, &path)?;
            }
        }
        let written_as = Table::number_in_footer(&**fs, &path)?;
        let table =
            Table::open_written_as(fs.clone(), path, number, written_as, &self.kernel.cache)?;
        let properties = table.properties()?;
        if properties.max_seq > SEQ_MAX {
            let what = "the sequence number of an imported table";
            return Err(Error::Limit { what, limit: SEQ_MAX, got: properties.max_seq });
        }
        let table = SyncedTable::imported(number, written_as, &properties, source.is_final);
        let Some(keyspace) = self.keyspaces.last_mut() else {
            return Err(Error::Invalid { reason: "a table before its keyspace".to_owned() });
        };
        keyspace.tables.push((source.place, table));
        Ok(())
    }

    /// Makes the keyspaces, and drops those of `dropping`, by one edit: after a crash either all of
    /// it has happened or nothing.
    ///
    /// # Errors
    /// `Invalid` when a name is taken by a keyspace that is not dropped, or tables do not fit
    /// together.
    pub fn commit(self, dropping: &[KeyspaceId], seq: Seq, reason: &str) -> Result<Vec<Keyspace>> {
        let Import { kernel, keyspaces, mut files } = self;
        let tables = keyspaces.iter().flat_map(|keyspace| &keyspace.tables);
        let deletes = keyspaces.iter().flat_map(|keyspace| &keyspace.range_deletes);
        let seqs = tables.map(|(_, table)| table.meta().max_seq).chain(deletes.map(|d| d.seq));
        let seq = seqs.fold(seq.min(SEQ_MAX), Seq::max);
        let keyspaces = durable(&kernel, keyspaces)?;
        kernel.check_writable()?;
        let wal = kernel.wal();
        wal.sync_to(wal.end()).map_err(|error| kernel.fail_if_read_only(error))?;

        let mut manifest = kernel.manifest.lock();
        let dropped = kernel.existing(dropping);
        kernel.check_free(&keyspaces, &dropped)?;
        kernel.raise_seq(seq);
        let mut edit = Edit::new(kernel.options.clock.unix_ns(), format!("import: {reason}"));
        edit.last_seq(seq);
        dropped.iter().for_each(|keyspace| edit.drop_keyspace(keyspace.id));
        let mut made = Vec::with_capacity(keyspaces.len());
        let first = manifest.state().next_keyspace.0;
        for (keyspace, id) in keyspaces.iter().zip(first..) {
            made.push(kernel.make(keyspace, KeyspaceId(id), &mut edit)?);
        }
        kernel.mark_dropped(&dropped, true);
        files.keep();
        let committed = manifest.commit(edit).map_err(|error| {
            kernel.mark_dropped(&dropped, false);
            kernel.fail(error)
        })?;
        {
            let mut registry = kernel.registry.write();
            dropped.iter().for_each(|keyspace| registry.remove(keyspace.id));
            made.iter().for_each(|keyspace| registry.insert(keyspace.clone()));
        }
        kernel.forget(&dropped, &committed);
        drop(manifest);
        note_tables(&kernel, &keyspaces);
        let mut schedule = kernel.schedule.lock();
        made.iter().for_each(|keyspace| schedule.compaction_due(keyspace));
        drop(schedule);
        kernel.signal.raise();
        Ok(made.iter().map(|keyspace| keyspace.handle()).collect())
    }
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import").field("files", &self.files).finish_non_exhaustive()
    }
}

/// A keyspace whose files are durable, names included.
struct Ready {
    name: Arc<str>,
    options: KeyspaceOptions,
    tables: Vec<(Place, DurableTable)>,
    range_deletes: Vec<RangeDelete>,
}

fn note_tables(kernel: &Kernel, keyspaces: &[Ready]) {
    for Ready { name, tables, .. } in keyspaces {
        let bytes = tables.iter().map(|(_, table)| table.meta().bytes).sum();
        kernel.note(name, 0, EventKind::Ingest { tables: tables.len() as u64, bytes });
    }
}

fn durable(kernel: &Kernel, keyspaces: Vec<Incoming>) -> Result<Vec<Ready>> {
    let (fs, dir): (_, &Path) = (&*kernel.options.fs, &kernel.options.dir);
    let mut frames = Vec::with_capacity(keyspaces.len());
    let mut tables = Vec::new();
    for keyspace in keyspaces {
        let (places, synced): (Vec<_>, Vec<_>) = keyspace.tables.into_iter().unzip();
        tables.extend(synced);
        frames.push((keyspace.name, keyspace.options, places, keyspace.range_deletes));
    }
    let mut tables = SyncedTable::commit(tables, fs, dir)?.into_iter();
    let ready = |(name, options, places, range_deletes): (_, _, Vec<Place>, _)| {
        let tables = places.into_iter().zip(tables.by_ref()).collect();
        Ready { name, options, tables, range_deletes }
    };
    Ok(frames.into_iter().map(ready).collect())
}

impl Kernel {
    /// No keyspace that stays has a name of those that come, and there is room for them.
    fn check_free(&self, coming: &[Ready], dropped: &[Arc<KeyspaceState>]) -> Result<()> {
        let going: HashSet<_> = dropped.iter().map(|keyspace| keyspace.id).collect();
        let registry = self.registry.read();
        for keyspace in coming {
            let taken = registry.by_name.get(&keyspace.name);
            if taken.is_some_and(|id| !going.contains(id)) {
                return Err(Error::Invalid {
                    reason: format!("keyspace {} exists", keyspace.name),
                });
            }
        }
        let (limit, got) = (self.options.keyspaces_max, registry.by_name.len() - dropped.len());
        if got + coming.len() > limit {
            let got = (got + coming.len()) as u64;
            return Err(Error::Limit { what: "keyspaces", limit: limit as u64, got });
        }
        Ok(())
    }

    /// The state of a keyspace that `edit` is to make.
    fn make(
        &self,
        keyspace: &Ready,
        id: KeyspaceId,
        edit: &mut Edit,
    ) -> Result<Arc<KeyspaceState>> {
        let Ready { name, options, tables, range_deletes } = keyspace;
        edit.add_keyspace(id, name.clone(), options.policy, options.compression);
        if options.ttl_ms.is_some() {
            edit.set_ttl(id, options.ttl_ms);
        }
        let mut added = Vec::with_capacity(tables.len());
        for (place, table) in tables {
            edit.add_table(id, *place, table);
            let file = TableFile::open(table.meta().clone(), &self.cache, &self.graveyard)?;
            added.push((*place, file));
        }
        let version = Version::default().edited(&[], &added).map_err(|reason| Error::Invalid {
            reason: format!("tables of {name} do not fit together: {reason}"),
        });
        let mut version = version?;
        let (snapshots, budget) = (self.snapshots.list(), &self.options.budget);
        let settled = version.settle_range_deletes(range_deletes.clone(), &snapshots, budget);
        edit.settle_range_deletes(id, &settled);
        let hooks = self.options.hooks.hooks(name);
        let policy = options.policy.unwrap_or(self.options.policy);
        let handle = Keyspace { id, name: name.clone() };
        let keyspace = KeyspaceState::new(handle, hooks, options.compression, policy, version);
        keyspace.set_ttl_ms(options.ttl_ms);
        Ok(keyspace)
    }

    /// Keyspaces of these numbers, each once.
    pub(super) fn existing(&self, ids: &[KeyspaceId]) -> Vec<Arc<KeyspaceState>> {
        let registry = self.registry.read();
        let mut found: Vec<_> = ids.iter().filter_map(|id| registry.get(*id).cloned()).collect();
        found.sort_by_key(|keyspace: &Arc<KeyspaceState>| keyspace.id);
        found.dedup_by_key(|keyspace| keyspace.id);
        found
    }

    /// From now on no batch enters the log for them, or it may again.
    pub(super) fn mark_dropped(&self, keyspaces: &[Arc<KeyspaceState>], is_dropped: bool) {
        let _commits = self.commits.lock();
        keyspaces.iter().for_each(|k| k.is_dropped.store(is_dropped, Ordering::Release));
    }
}
