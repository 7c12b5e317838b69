//! A whole store in another folder, by second names of its files where the file system can.
//!
//! ```text
//! export of every keyspace   one moment, flushed: no log is needed
//! tables linked or copied    under their own numbers; folder synced
//! manifest, then CURRENT     only now the folder is a store
//! ```
//!
//! Invariants: a checkpoint that was not finished has no CURRENT and does not open; a finished one
//! shares no file that either store changes, tables being written once; it has an identity of its
//! own, because from here on both give the same numbers to different files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::Kernel;
use super::export::Export;
use crate::fs::copy::link_or_copy;
use crate::key::{FileNumber, KeyspaceId};
use crate::manifest::{KeyspaceRecord, Manifest, ManifestState, table_path};
use crate::recovery::new_store_id;
use crate::{Error, Result};

impl Kernel {
    pub fn checkpoint(self: &Arc<Self>, dir: &Path, is_cancelled: &dyn Fn() -> bool) -> Result<()> {
        self.check_writable()?;
        let fs = &*self.options.fs;
        fs.create_dir_all(dir).map_err(|e| Error::io(dir, "create", e))?;
        let names = fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
        if let Some(name) = names.first() {
            let reason = format!("{} is not empty: {name} is there", dir.display());
            return Err(Error::Invalid { reason });
        }
        let export = self.begin_export(&|_| true)?.wait(is_cancelled)?;
        let tables = || export.keyspaces.iter().flat_map(|keyspace| &keyspace.tables);
        for table in tables() {
            if is_cancelled() {
                return Err(Error::Cancelled);
            }
            link_or_copy(fs, table.path(), &table_path(dir, table.meta().number))?;
        }
        fs.sync_dir(dir).map_err(|e| Error::io(dir, "sync", e))?;
        let (fs, clock) = (self.options.fs.clone(), self.options.clock.clone());
        Manifest::write_first(fs, dir, clock.clone(), new_store_id(&*clock, dir), state(&export))
    }
}

/// The picture of a store that holds the export and nothing else.
fn state(export: &Export) -> ManifestState {
    let mut state = ManifestState::default();
    for keyspace in &export.keyspaces {
        let tables: BTreeMap<_, _> = keyspace
            .tables
            .iter()
            .map(|table| (table.meta().number, (table.place, table.meta().clone())))
            .collect();
        let last = tables.keys().next_back().map_or(0, |number| number.0);
        state.next_file = state.next_file.max(FileNumber(last + 1));
        state.next_keyspace = state.next_keyspace.max(KeyspaceId(keyspace.id.0 + 1));
        let record = KeyspaceRecord {
            name: keyspace.name.clone(),
            policy: keyspace.options.policy,
            compression: keyspace.options.compression,
            ttl_ms: keyspace.options.ttl_ms,
            flushed_seq: export.seq,
            tables,
            range_deletes: keyspace.range_deletes.iter().cloned().collect(),
        };
        state.insert(keyspace.id, record);
    }
    state.last_seq = export.seq;
    state
}
