//! Which versions of a key a flush or compaction keeps: the engine's own [`EntryMerge`].

use std::sync::Arc;

use super::{EntryMerge, EntrySink, Hooks, InputEntry, MergeContext};
use crate::Result;

/// The engine's own merge, for keyspaces whose hooks bring none.
#[derive(Debug)]
pub struct KeepMerge {}

impl KeepMerge {
    /// A merge for one job; `hooks` folds operands.
    pub fn new(_hooks: Arc<dyn Hooks>, _context: &MergeContext) -> Self {
        todo!()
    }
}

impl EntryMerge for KeepMerge {
    fn entry(&mut self, _entry: InputEntry<'_>, _out: &mut dyn EntrySink) -> Result<()> {
        todo!()
    }

    fn finish(&mut self, _out: &mut dyn EntrySink) -> Result<()> {
        todo!()
    }
}
