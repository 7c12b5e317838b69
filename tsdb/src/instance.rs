//! The whole: a store with databases in it.

use std::sync::Arc;

use crate::Result;
use crate::database::Database;
use crate::limits::Limits;
use crate::maintenance::MaintenanceReport;
use crate::model::Timestamp;
use crate::retention::PolicySpec;

/// How to open.
#[derive(Debug, Clone)]
pub struct Options {
    /// Limits of every database.
    pub limits: Limits,
    /// Most memory of a database's look-up cache of series, in bytes.
    pub series_cache_bytes: u64,
    /// How long no point must have come before a partition whose window is over is closed.
    pub close_delay_ns: i64,
}

/// A store with databases in it; clones are the same one.
#[derive(Debug, Clone)]
pub struct Tsdb(Arc<()>);

impl Tsdb {
    /// Opens or makes a store.
    pub fn open(options: Options) -> Result<Tsdb> {
        let _ = options;
        todo!()
    }

    /// The database of this name.
    pub fn database(&self, name: &str) -> Option<Arc<Database>> {
        let _ = (name, &self.0);
        todo!()
    }

    /// Names of databases, sorted.
    pub fn databases(&self) -> Vec<String> {
        todo!()
    }

    /// Makes a database with a first policy (`None`: one that keeps points for ever), or returns
    /// the one there is.
    pub fn create_database(&self, name: &str, policy: Option<PolicySpec>) -> Result<Arc<Database>> {
        let _ = (name, policy);
        todo!()
    }

    /// Removes a database with all it has; no error when there is none.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        let _ = name;
        todo!()
    }

    /// Expires, closes, sweeps: what is due at `now`. Called on a tick.
    pub fn maintain(&self, now: Timestamp) -> Result<MaintenanceReport> {
        let _ = now;
        todo!()
    }
}
