//! Restores under way: what makes the entry of a database and its keyspaces change as one.
//!
//! ```text
//! r/<database> -> {"index":17,"entry":{..}}     index: the keyspace that is to go, if there is one
//! ```
//!
//! Keyspaces change by an edit of the manifest, entries by batches of the log, so a crash may fall
//! between. Steps: the intent is written; the edit drops the old keyspaces and makes the new ones;
//! one batch writes the entry and removes the intent. Whoever finds an intent at open sees by the
//! number of the index keyspace, which is never used again, whether the edit has happened: then the
//! entry is written, else the intent is forgotten.

use firndb_engine::batch::WriteBatch;
use firndb_engine::key::KeyspaceId;
use firndb_engine::scan::bounds::Bounds;
use firndb_engine::snapshot::Snapshot;
use firndb_engine::store::ScanOptions;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Catalog, PREFIX, SYNCED, key};
use crate::{Error, Result};

const PENDING: &str = "r/";

/// A restore under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PendingRestore {
    /// The index keyspace that the name had before.
    pub index: Option<u32>,
    /// What the catalog is to say of the database.
    pub entry: Value,
}

impl Catalog {
    /// All entries as they were at `snapshot`, by name of the database.
    pub fn entries_at(&self, snapshot: &Snapshot) -> Result<Vec<(String, Value)>> {
        self.read(PREFIX, Some(snapshot))
    }

    /// Restores that a crash may have cut off.
    pub fn pending(&self) -> Result<Vec<(String, PendingRestore)>> {
        self.read(PENDING, None)
    }

    fn read<T: for<'a> Deserialize<'a>>(
        &self,
        prefix: &str,
        snapshot: Option<&Snapshot>,
    ) -> Result<Vec<(String, T)>> {
        let bounds = Bounds::prefix(prefix.as_bytes());
        let options = ScanOptions { bounds, snapshot, ..ScanOptions::default() };
        let mut entries = self.store.scan(self.keyspace, options)?;
        let mut found = Vec::new();
        while entries.advance()? {
            let damaged = |reason: String| Error::corrupt("catalog", reason);
            let name = std::str::from_utf8(&entries.key()[prefix.len()..])
                .map_err(|error| damaged(error.to_string()))?;
            let value = serde_json::from_slice(entries.value())
                .map_err(|error| damaged(error.to_string()))?;
            found.push((name.to_owned(), value));
        }
        Ok(found)
    }

    /// The first step of a restore.
    pub fn begin_restore(
        &self,
        name: &str,
        index: Option<KeyspaceId>,
        entry: &Value,
    ) -> Result<()> {
        let pending = PendingRestore { index: index.map(|id| id.0), entry: entry.clone() };
        let value = serde_json::to_vec(&pending).expect("plain structs have a JSON form");
        let mut batch = WriteBatch::new();
        batch.put(self.keyspace, &pending_key(name), &value);
        self.store.write_no_wait(&batch, SYNCED)?.wait()?;
        Ok(())
    }

    /// The last step, once the keyspaces are there.
    pub fn end_restore(&self, name: &str, entry: &Value) -> Result<()> {
        let value = serde_json::to_vec(entry).expect("JSON has a JSON form");
        let mut batch = WriteBatch::new();
        batch.put(self.keyspace, &key(name), &value);
        batch.delete(self.keyspace, &pending_key(name));
        self.store.write_no_wait(&batch, SYNCED)?.wait()?;
        Ok(())
    }

    /// The last step of a restore that did not happen.
    pub fn forget_restore(&self, name: &str) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.delete(self.keyspace, &pending_key(name));
        self.store.write_no_wait(&batch, SYNCED)?.wait()?;
        Ok(())
    }
}

fn pending_key(name: &str) -> Vec<u8> {
    [PENDING.as_bytes(), name.as_bytes()].concat()
}
