//! What the engine calls back: memtable, merge and policy of our keyspaces, found by their names.
//!
//! Modules: `merge` (chunks of a series into fewer, larger ones).

pub mod merge;

use std::sync::Arc;

use firndb_engine as engine;
use firndb_engine::hooks::{EntryMerge, Hooks, MergeContext, Plain};
use firndb_engine::key::{Kind, Op};
use firndb_engine::memtable::Memtable;
use firndb_engine::options::HookResolver;
use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::index::{Dropped, postings};
use crate::keys::Keyspace;
use crate::memtable::{PointsMemtable, payload};
use merge::PointsMerge;

/// Finds the hooks of every keyspace; those that are not ours come from the resolver below.
#[derive(Debug)]
pub struct Resolver {
    below: Arc<dyn HookResolver>,
    dropped: Arc<DroppedByDatabase>,
}

impl Resolver {
    /// Hooks of points and indexes on top of `below`.
    pub fn new(below: Arc<dyn HookResolver>, dropped: Arc<DroppedByDatabase>) -> Self {
        Resolver { below, dropped }
    }
}

impl HookResolver for Resolver {
    fn hooks(&self, keyspace_name: &str) -> Arc<dyn Hooks> {
        match Keyspace::parse(keyspace_name) {
            Some(Keyspace::Index { .. }) => Arc::new(Plain::with_merge(postings::merge)),
            Some(Keyspace::Points { database, .. }) => {
                Arc::new(PointsHooks { database, dropped: self.dropped.clone() })
            }
            None => self.below.hooks(keyspace_name),
        }
    }
}

/// The dropped series of every database. Hooks ask by name when a merge begins, since keyspaces
/// are opened before databases are.
#[derive(Debug, Default)]
pub struct DroppedByDatabase(RwLock<HashMap<String, Arc<Dropped>>>);

impl DroppedByDatabase {
    /// A set for a database that is about to be made or opened; forgets what an earlier database
    /// of the same name had.
    pub fn begin(&self, database: &str) -> Arc<Dropped> {
        let dropped = Arc::new(Dropped::default());
        self.0.write().insert(database.to_owned(), dropped.clone());
        dropped
    }

    fn get(&self, database: &str) -> Arc<Dropped> {
        self.0.read().get(database).cloned().unwrap_or_default()
    }
}

/// Hooks of a partition.
#[derive(Debug)]
struct PointsHooks {
    database: String,
    dropped: Arc<DroppedByDatabase>,
}

impl Hooks for PointsHooks {
    fn memtable(&self) -> Arc<dyn Memtable> {
        Arc::new(PointsMemtable::new())
    }

    fn validate(&self, op: &Op<'_>) -> engine::Result<()> {
        if op.kind != Kind::Append {
            let reason = "a partition takes appended rows only".to_owned();
            return Err(engine::Error::Invalid { reason });
        }
        payload::decode::<true>(op.value, &mut payload::NoSink)
            .map_err(|error| engine::Error::Invalid { reason: format!("payload: {error}") })
    }

    fn entry_merge(&self, context: &MergeContext) -> Option<Box<dyn EntryMerge>> {
        if context.is_flush {
            return None; // Chunks of one memtable neither overlap nor share a key.
        }
        Some(Box::new(PointsMerge::new(context.is_final, self.dropped.get(&self.database).get())))
    }

    fn merge_operands(
        &self,
        _key: &[u8],
        _base: Option<&[u8]>,
        _operands: &[&[u8]],
    ) -> Option<Vec<u8>> {
        None
    }
}
