//! What newly written operations live in until they are flushed to a table.

pub mod arena;
mod key_filter;
pub mod skiplist;

use std::any::Any;
use std::sync::Arc;

use self::arena::Spares;
use crate::Result;
use crate::key::{Op, Seq};
use crate::scan::Cursor;

/// What the memtables of plain keyspaces are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemtableKind {
    /// Our own skip list in an arena: a third less memory for small values, freed at once.
    #[default]
    Arena,
    /// The skip list of crossbeam, with an allocation for each version: the independent second
    /// opinion that tests compare with, and the way out should the first have a fault.
    Crossbeam,
}

/// Makes the memtables of plain keyspaces of one store.
#[derive(Debug, Clone)]
pub struct PlainMemtables {
    kind: MemtableKind,
    spares: Option<Arc<Spares>>,
}

impl PlainMemtables {
    /// Of this kind; those in an arena hand their memory on over `spares`.
    pub fn new(kind: MemtableKind, spares: Option<Arc<Spares>>) -> Self {
        PlainMemtables { kind, spares }
    }

    /// An empty memtable.
    pub fn create(&self) -> Arc<dyn Memtable> {
        match self.kind {
            MemtableKind::Arena => Arc::new(arena::ArenaMemtable::new(self.spares.clone())),
            MemtableKind::Crossbeam => Arc::new(skiplist::SkipListMemtable::new()),
        }
    }
}

/// A memtable: takes operations from several threads at once, gives sorted entries.
///
/// The store calls `apply` for every operation of a batch, then publishes the batch. After the
/// store has sealed a memtable (no `apply` runs or follows) it is read-only.
pub trait Memtable: Send + Sync + Any {
    /// Applies one operation. `op` was validated by [`crate::hooks::Hooks::validate`] before it
    /// was logged, so this cannot fail; damaged payloads met at replay are refused there too.
    fn apply(&self, seq: Seq, op: &Op<'_>);
    /// Memory held, in bytes; may lag a little.
    fn bytes(&self) -> usize;
    /// Entries in internal order, for reads (`sealed` or not) and for the flush. What a flush
    /// writes is what this cursor yields; a points memtable encodes its chunks here.
    fn cursor(self: Arc<Self>) -> Box<dyn Cursor>;
    /// Visits the versions of `key` at or below `snapshot`, newest first, until `visit` says
    /// `false`. Memtables without keyed reads visit nothing.
    fn versions(
        &self,
        key: &[u8],
        snapshot: Seq,
        visit: &mut dyn FnMut(Seq, crate::key::Kind, &[u8]) -> bool,
    ) -> Result<()>;
    /// For crates above: their own memtable back.
    fn as_any(&self) -> &dyn Any;
}

#[cfg(test)]
mod tests;
