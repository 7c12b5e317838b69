//! One moment of databases: their tables and what the catalog said of them.
//!
//! Under the lock of databases made and dropped, and with the gates held for reading (so that no
//! drop or expiry is half way, while points go on being written), the engine is asked for a cut
//! through the order of batches; the catalog is read at the snapshot of the same moment. So the cut
//! is a state that a crash could have left, and every such state opens. Flushing what was in memory
//! comes after, with nothing held.

use firndb_engine as engine;
use firndb_engine::store::Export;
use serde_json::Value;

use super::Tsdb;
use crate::keys::{self, index_name, points_prefix};
use crate::{Error, Result};

/// How often a cut is tried again because a keyspace of it was dropped before it was in tables.
const TRIES: usize = 10;

/// One moment of databases.
#[derive(Debug)]
pub(crate) struct Cut {
    /// Their keyspaces; of a cut of everything also those of keys and values.
    pub export: Export,
    /// What the catalog says, by name.
    pub entries: Vec<(String, Value)>,
    /// How long batches waited for it, in nanoseconds.
    pub held_ns: u64,
}

impl Tsdb {
    /// A cut of one database, or of everything.
    pub(crate) fn cut(
        &self,
        database: Option<&str>,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Cut> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_cut(database, is_cancelled) {
                // Expired or dropped meanwhile: the next cut is without it.
                Err(Error::Engine(engine::Error::NotFound { .. })) if tries < TRIES => {}
                outcome => return outcome,
            }
        }
    }

    fn try_cut(&self, name: Option<&str>, is_cancelled: &dyn Fn() -> bool) -> Result<Cut> {
        let (store, clock) = (&self.0.store, &self.0.options.engine.clock);
        let names = name.map(|name| (index_name(name), points_prefix(name)));
        let is_meant = |keyspace: &str| match &names {
            Some((index, points)) => keyspace == index || keyspace.starts_with(points),
            None => keyspace != keys::CATALOG,
        };
        let (pending, entries, held_ns) = {
            let _changing = self.0.changing.lock();
            let databases: Vec<_> = match name {
                Some(name) => vec![self.database(name).ok_or_else(|| not_found(name))?],
                None => self.0.databases.read().values().cloned().collect(),
            };
            let _gates: Vec<_> = databases.iter().map(|database| database.gate.read()).collect();
            let start = clock.monotonic_ns();
            let pending = store.begin_export(&is_meant)?;
            let held_ns = clock.monotonic_ns().saturating_sub(start);
            let mut entries = self.0.catalog.entries_at(pending.snapshot())?;
            entries.retain(|(entry, _)| name.is_none_or(|name| entry == name));
            (pending, entries, held_ns)
        };
        Ok(Cut { export: pending.wait(is_cancelled)?, entries, held_ns })
    }
}

fn not_found(name: &str) -> Error {
    Error::DatabaseNotFound { name: name.to_owned() }
}
