//! Hooks of plain KV, with an optional merge operator.

use std::sync::Arc;

use super::{EntryMerge, Hooks, MergeContext};
use crate::key::{Kind, Op};
use crate::memtable::Memtable;
use crate::memtable::skiplist::SkipListMemtable;
use crate::{Error, Result};

/// Combines operands (oldest first) onto a base; see [`Hooks::merge_operands`].
pub type MergeFn = fn(key: &[u8], base: Option<&[u8]>, operands: &[&[u8]]) -> Vec<u8>;

/// Hooks of plain KV.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain {
    merge: Option<MergeFn>,
}

impl Plain {
    /// Plain KV with a merge operator.
    pub fn with_merge(merge: MergeFn) -> Self {
        Plain { merge: Some(merge) }
    }
}

impl Hooks for Plain {
    fn memtable(&self) -> Arc<dyn Memtable> {
        Arc::new(SkipListMemtable::new())
    }

    fn validate(&self, op: &Op<'_>) -> Result<()> {
        let reason = match op.kind {
            Kind::Put | Kind::Delete => return Ok(()),
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
        self.merge.map(|merge| merge(key, base, operands))
    }
}
