//! Hooks of plain KV: the skip list as memtable, the engine's own merge of versions, and a merge
//! operator where the keyspace has one.

use std::fmt;
use std::sync::Arc;

use super::{EntryMerge, Hooks, MergeContext};
use crate::key::{Kind, Op};
use crate::memtable::{Memtable, PlainMemtables};
use crate::{Error, Result};

/// Combines operands (oldest first) onto a base; see [`Hooks::merge_operands`] for what it must
/// keep to. It cannot refuse: an operand it does not understand it leaves out.
pub type MergeFn = dyn Fn(&[u8], Option<&[u8]>, &[&[u8]]) -> Vec<u8> + Send + Sync;

/// Hooks of plain KV.
#[derive(Clone, Default)]
pub struct Plain {
    merge: Option<Arc<MergeFn>>,
}

impl Plain {
    /// Plain KV without a merge operator: `Merge` is refused.
    pub fn new() -> Self {
        Plain::default()
    }

    /// Plain KV with a merge operator: key, base, operands oldest first.
    pub fn with_merge(
        merge: impl Fn(&[u8], Option<&[u8]>, &[&[u8]]) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Plain { merge: Some(Arc::new(merge)) }
    }
}

impl Hooks for Plain {
    fn memtable(&self, plain: &PlainMemtables) -> Arc<dyn Memtable> {
        plain.create()
    }

    fn validate(&self, op: &Op<'_>) -> Result<()> {
        let reason = match op.kind {
            Kind::Put | Kind::PutUntil | Kind::Delete => return Ok(()),
            Kind::DeleteRange if op.key < op.value => return Ok(()),
            Kind::DeleteRange => "a range delete whose start is not below its end",
            Kind::Merge if self.merge.is_some() => return Ok(()),
            Kind::Merge => "the keyspace has no merge operator",
            Kind::Append => "a plain keyspace takes no appended payloads",
        };
        Err(Error::Invalid { reason: reason.to_owned() })
    }

    fn entry_merge(&self, _context: &MergeContext) -> Option<Box<dyn EntryMerge>> {
        None
    }

    fn merge_operands(
        &self,
        key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Option<Vec<u8>> {
        self.merge.as_ref().map(|merge| merge(key, base, operands))
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").field("merges", &self.merge.is_some()).finish()
    }
}
