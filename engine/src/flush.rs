//! A sealed memtable becomes a run of level 0.

use std::sync::Arc;

use crate::Result;
use crate::budget::Reservation;
use crate::hooks::{EntryMerge, Hooks, InputEntry, KeepMerge, MergeContext};
use crate::memtable::Memtable;
use crate::outputs::{DurableOutputs, OutputOptions, Outputs};

/// Writes the entries of `memtable`, which nobody writes to any more, to tables. No table when
/// there is nothing to write. `memory` is told what the flush holds.
pub fn run(
    memtable: Arc<dyn Memtable>,
    hooks: &Arc<dyn Hooks>,
    context: &MergeContext,
    options: OutputOptions,
    mut memory: Reservation,
) -> Result<DurableOutputs> {
    let mut merge = merge_of(hooks, context);
    let mut outputs = Outputs::new(options);
    let mut cursor = memtable.cursor();
    cursor.seek_first()?;
    while cursor.valid() {
        let (key, seq, kind, value) = (cursor.key(), cursor.seq(), cursor.kind(), cursor.value());
        let entry = InputEntry { key, seq, kind, value, body: cursor.body() };
        let body_bytes = entry.body.as_ref().map_or(0, |body| body.len() as u64);
        merge.entry(entry, &mut outputs)?;
        memory.resize_anyway(merge.held_bytes() + outputs.memory_bytes() + body_bytes);
        cursor.next()?;
    }
    merge.finish(&mut outputs)?;
    outputs.finish()
}

/// The merge of a job: the keyspace's own, or the engine's.
fn merge_of(hooks: &Arc<dyn Hooks>, context: &MergeContext) -> Box<dyn EntryMerge> {
    match hooks.entry_merge(context) {
        Some(merge) => merge,
        None => Box::new(KeepMerge::new(hooks.clone(), context)),
    }
}
