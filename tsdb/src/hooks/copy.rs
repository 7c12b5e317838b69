//! Chunks as they are: the merge of a partition while it is not known what to leave out.
//!
//! Rows that a delete took must not come to lie in a chunk that is newer than the delete; who does
//! not know the deletes cannot merge chunks of different age. The next merge does.

use firndb_engine as engine;
use firndb_engine::hooks::{EntryMerge, EntrySink, InputEntry};

/// Copies every entry.
#[derive(Debug)]
pub struct CopyMerge;

impl EntryMerge for CopyMerge {
    fn entry(&mut self, entry: InputEntry<'_>, out: &mut dyn EntrySink) -> engine::Result<()> {
        let body = entry.body.as_ref().map(|body| body.read_all()).transpose()?;
        out.put(entry.key, entry.seq, entry.kind, entry.value, body.as_deref())
    }

    fn finish(&mut self, _out: &mut dyn EntrySink) -> engine::Result<()> {
        Ok(())
    }
}
