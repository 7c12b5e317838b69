//! What the engine calls back: memtable, merge and policy of our keyspaces, found by their names.
//!
//! Modules: `copy` (chunks as they are), `merge` (chunks of a series into fewer, larger ones).

mod copy;
pub mod merge;

use std::sync::Arc;

use firndb_engine as engine;
use firndb_engine::hooks::{EntryMerge, Hooks, MergeContext, Plain};
use firndb_engine::key::{Kind, Op};
use firndb_engine::memtable::{Memtable, PlainMemtables};
use firndb_engine::options::HookResolver;
use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::index::postings;
use crate::keys::Keyspace;
use crate::left_out::{LeftOut, PolicyLeftOut};
use crate::memtable::{self, PointsMemtable};
use copy::CopyMerge;
use merge::PointsMerge;

/// Finds the hooks of every keyspace; those that are not ours come from the resolver below.
#[derive(Debug)]
pub struct Resolver {
    below: Arc<dyn HookResolver>,
    left_out: Arc<LeftOutByDatabase>,
}

impl Resolver {
    /// Hooks of points and indexes on top of `below`.
    pub fn new(below: Arc<dyn HookResolver>, left_out: Arc<LeftOutByDatabase>) -> Self {
        Resolver { below, left_out }
    }
}

impl HookResolver for Resolver {
    fn hooks(&self, keyspace_name: &str) -> Arc<dyn Hooks> {
        match Keyspace::parse(keyspace_name) {
            Some(Keyspace::Index { .. }) => Arc::new(Plain::with_merge(postings::merge)),
            Some(Keyspace::Points { database, policy, .. }) => {
                Arc::new(PointsHooks { database, policy, left_out: self.left_out.clone() })
            }
            None => self.below.hooks(keyspace_name),
        }
    }
}

/// What every database leaves out. Hooks ask by name when a merge begins, since keyspaces are
/// opened before databases are.
#[derive(Debug, Default)]
pub struct LeftOutByDatabase(RwLock<HashMap<String, Arc<LeftOut>>>);

impl LeftOutByDatabase {
    /// What a database leaves out that is about to be made or opened; forgets what an earlier
    /// database of the same name had.
    pub fn begin(&self, database: &str) -> Arc<LeftOut> {
        let left_out = Arc::new(LeftOut::default());
        self.0.write().insert(database.to_owned(), left_out.clone());
        left_out
    }

    /// What a merge of a partition leaves out; `None`: not known.
    fn for_merge(&self, database: &str, policy: &str, is_bottom: bool) -> Option<PolicyLeftOut> {
        let left_out = self.0.read().get(database).cloned();
        left_out?.for_merge(policy, is_bottom)
    }

    /// Takes away what a database leaves out: merges of keyspaces of its name copy, until the next
    /// [`LeftOutByDatabase::begin`] or until it is put back.
    pub fn take(&self, database: &str) -> Option<Arc<LeftOut>> {
        self.0.write().remove(database)
    }

    /// Puts back what was taken.
    pub fn put_back(&self, database: &str, left_out: Arc<LeftOut>) {
        self.0.write().insert(database.to_owned(), left_out);
    }
}

/// Hooks of a partition.
#[derive(Debug)]
struct PointsHooks {
    database: String,
    policy: String,
    left_out: Arc<LeftOutByDatabase>,
}

impl Hooks for PointsHooks {
    fn memtable(&self, _plain: &PlainMemtables) -> Arc<dyn Memtable> {
        Arc::new(PointsMemtable::new())
    }

    fn validate(&self, op: &Op<'_>) -> engine::Result<()> {
        if op.kind != Kind::Append {
            let reason = "a partition takes appended rows only".to_owned();
            return Err(engine::Error::Invalid { reason });
        }
        memtable::check(op.value)
            .map_err(|error| engine::Error::Invalid { reason: format!("payload: {error}") })
    }

    fn entry_merge(&self, context: &MergeContext) -> Option<Box<dyn EntryMerge>> {
        if context.is_flush {
            return None; // Chunks of one memtable neither overlap nor share a key.
        }
        let is_bottom = context.is_bottom;
        Some(match self.left_out.for_merge(&self.database, &self.policy, is_bottom) {
            Some(left_out) => Box::new(PointsMerge::new(context.is_final, left_out)),
            None => Box::new(CopyMerge),
        })
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
