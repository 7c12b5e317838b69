//! The catalog: which databases there are, which policies, rollups and rules they have.
//!
//! ```text
//! d/<database> -> {"version":1,"policies":[{"name":..,"duration_ns":..,...}]}
//!               | {"version":2,"policies":[..],"rollups":[{"name":..,"policy":..,"levels":[..],..}]}
//!               | {"version":3,"policies":[..],"rollups":[..],"rules_made":2,
//!                  "rules":[{"id":2,"measurement":..,"tags":{"equal":["env","dev"]},
//!                            "kind":{"age":604800000000000}}],
//!                  "trims":[{"tags":{"equal":["env","dev"]},"before":1700000000000000000}]}
//! r/<database> -> a restore under way (pending)
//! ```
//!
//! Version 2 is written where there are rollups: a build that knows none would take their rows for
//! keyspaces that belong to nobody. Version 3 is written once there was a retention rule: a build
//! that knows none would show what they hide, and forget them with the next change.
//!
//! Changes are synced whatever the store's durability is: they are rare, and what a database
//! holds must not outlive the entry that names it.

mod pending;

use firndb_engine::batch::WriteBatch;
use firndb_engine::key::KeyspaceId;
use firndb_engine::options::{Durability, KeyspaceOptions};
use firndb_engine::scan::bounds::Bounds;
use firndb_engine::store::{ScanOptions, Store, WriteOptions};
use serde::{Deserialize, Serialize};

use crate::retention::{RetentionPolicy, RetentionRule, Trim};
use crate::rollup::Rollup;
use crate::{Error, Result, keys};

const PREFIX: &str = "d/";
const VERSION: u32 = 1;
const VERSION_ROLLUPS: u32 = 2;
const VERSION_RULES: u32 = 3;

/// How catalog and index changes that are not points are written.
pub const SYNCED: WriteOptions = WriteOptions { durability: Some(Durability::Always) };

/// What a database was told to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Its policies, sorted by name.
    pub policies: Vec<RetentionPolicy>,
    /// Its rollups, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollups: Vec<Rollup>,
    /// Its retention rules in the order of their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RetentionRule>,
    /// Rules ever made: the number of the last.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rules_made: u64,
    /// What rules took that are no more, where rollups still tell of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trims: Vec<Trim>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What the catalog says of a database.
#[derive(Debug, Serialize, Deserialize)]
struct DatabaseEntry {
    version: u32,
    #[serde(flatten)]
    settings: Settings,
}

impl Settings {
    /// The settings in the entry of a database.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Settings> {
        let entry: DatabaseEntry = serde_json::from_slice(bytes)
            .map_err(|error| Error::corrupt("catalog", error.to_string()))?;
        if entry.version > VERSION_RULES {
            let reason = format!("database {name} was written by a newer version");
            return Err(Error::Invalid { reason });
        }
        Ok(entry.settings)
    }
}

/// The catalog.
#[derive(Debug)]
pub struct Catalog {
    store: Store,
    keyspace: KeyspaceId,
}

impl Catalog {
    /// Opens the catalog, or makes it.
    pub fn open(store: &Store) -> Result<Catalog> {
        let keyspace = store.create_keyspace(keys::CATALOG, KeyspaceOptions::default())?.id;
        Ok(Catalog { store: store.clone(), keyspace })
    }

    /// All databases by name.
    pub fn databases(&self) -> Result<Vec<(String, Settings)>> {
        let bounds = Bounds::prefix(PREFIX.as_bytes());
        let options = ScanOptions { bounds, ..ScanOptions::default() };
        let mut entries = self.store.scan(self.keyspace, options)?;
        let mut databases = Vec::new();
        while entries.advance()? {
            let damaged = |reason: String| Error::corrupt("catalog", reason);
            let name = std::str::from_utf8(&entries.key()[PREFIX.len()..])
                .map_err(|error| damaged(error.to_string()))?;
            databases.push((name.to_owned(), Settings::parse(name, entries.value())?));
        }
        Ok(databases)
    }

    /// Adds or replaces a database.
    pub fn put(&self, name: &str, settings: &Settings) -> Result<()> {
        let version = match settings {
            Settings { rules_made: 1.., .. } => VERSION_RULES,
            settings if !settings.rollups.is_empty() => VERSION_ROLLUPS,
            _ => VERSION,
        };
        let entry = DatabaseEntry { version, settings: settings.clone() };
        let value = serde_json::to_vec(&entry).expect("plain structs have a JSON form");
        let mut batch = WriteBatch::new();
        batch.put(self.keyspace, &key(name), &value);
        self.store.write_no_wait(&batch, SYNCED)?.wait()?;
        Ok(())
    }

    /// Removes a database.
    pub fn remove(&self, name: &str) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.delete(self.keyspace, &key(name));
        self.store.write_no_wait(&batch, SYNCED)?.wait()?;
        Ok(())
    }
}

fn key(name: &str) -> Vec<u8> {
    [PREFIX.as_bytes(), name.as_bytes()].concat()
}
