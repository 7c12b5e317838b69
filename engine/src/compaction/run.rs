//! Runs a plan: merges its inputs into new tables, all of them or those of a range of keys.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Plan;
use crate::Result;
use crate::budget::{Budget, Share};
use crate::hooks::{EntryMerge, Hooks, InputEntry, KeepMerge, MergeContext};
use crate::key::Seq;
use crate::levels::{Run, RunCursor, TableFile, Version};
use crate::outputs::{DurableOutputs, OutputOptions, Outputs};
use crate::scan::Cursor;
use crate::scan::bounds::Bounds;
use crate::scan::merging::MergingCursor;
use crate::table::WINDOW_BYTES;

/// Input bytes between two looks at whether the job may go on.
const CHECK_BYTES: u64 = 1 << 20;

/// What a cursor holds: its window, a block, a block of the index.
const CURSOR_BYTES: u64 = WINDOW_BYTES as u64 + (64 << 10);

/// Entries between two looks at what the job holds, unless one has a body.
const MEMORY_CHECK_ENTRIES: u64 = 256;

/// How far a job is; read by others while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of keys and values read.
    pub read_bytes: AtomicU64,
    /// Entries read.
    pub read_entries: AtomicU64,
}

/// What a job works with.
pub struct Job<'a> {
    /// What it does.
    pub plan: &'a Plan,
    /// Where the plan's tables are.
    pub version: &'a Version,
    /// The keyspace's hooks.
    pub hooks: &'a Arc<dyn Hooks>,
    /// Live snapshots, ascending.
    pub snapshots: Vec<Seq>,
    /// See [`MergeContext::now_ms`].
    pub now_ms: u64,
    /// How its output is written.
    pub outputs: OutputOptions,
    /// Where it says how far it is.
    pub progress: &'a Progress,
    /// Told what its parts hold. They go on whatever it says: they make room, and what they hold
    /// has a bound.
    pub budget: &'a Budget,
}

impl Job<'_> {
    /// What its merge may know.
    pub fn context(&self) -> MergeContext {
        MergeContext {
            is_flush: false,
            is_bottom: self.plan.is_bottom,
            is_final: self.plan.is_final,
            snapshots: self.snapshots.clone(),
            range_deletes: self.version.range_deletes.clone(),
            now_ms: self.now_ms,
        }
    }

    /// The engine's own merge, for keyspaces whose hooks bring none. It looks at one key at a time,
    /// so that parts of a job may each have one.
    pub fn own_merge(&self) -> Box<dyn EntryMerge> {
        Box::new(KeepMerge::new(self.hooks.clone(), &self.context()))
    }
}

/// The tables of `plan` in `version`, by run, newest run first.
pub fn input_tables(plan: &Plan, version: &Version) -> Vec<Vec<Arc<TableFile>>> {
    let tables = |input: &super::pick::PlanInput| -> Vec<Arc<TableFile>> {
        let numbers: HashSet<_> = input.tables.iter().collect();
        let of_run = version.tables().filter(|(place, _)| *place == input.place);
        let taken = of_run.filter(|(_, table)| numbers.contains(&table.meta.number));
        taken.map(|(_, table)| table.clone()).collect()
    };
    let inputs: Vec<_> = plan.inputs.iter().map(tables).collect();
    let count: usize = inputs.iter().map(Vec::len).sum();
    assert_eq!(count, plan.tables().count(), "claimed tables stay in the version");
    inputs
}

/// Merges what the inputs of a plan have inside `bounds` into new, durable tables. Beside it other
/// threads may merge other bounds of the same job. `go_on` is asked every MiB, with the bytes read
/// since, and returns once the job may go on. `merge` is one of the job's, for these bounds.
///
/// # Errors
/// `Cancelled` when asked to stop; otherwise what reading, merging or writing says. No output is
/// left behind.
pub fn run(
    job: &Job<'_>,
    bounds: &Bounds,
    mut merge: Box<dyn EntryMerge>,
    go_on: &dyn Fn(u64) -> Result<()>,
) -> Result<DurableOutputs> {
    let mut outputs = Outputs::new(job.outputs.clone());
    let mut memory = job.budget.reserve_anyway(Share::Compaction, 0);
    let inputs = input_tables(job.plan, job.version).into_iter();
    let cursors = inputs.map(|tables| RunCursor::new(Arc::new(Run { age: 0, tables }), false));
    let mut cursor = MergingCursor::new(cursors.collect());
    match &bounds.lower {
        Some(lower) => cursor.seek(lower)?,
        None => cursor.seek_first()?,
    }
    let cursors_bytes = job.plan.inputs.len() as u64 * CURSOR_BYTES;
    let (mut bytes, mut entries) = (0, 0);
    while cursor.valid() {
        let (key, seq, kind, value) = (cursor.key(), cursor.seq(), cursor.kind(), cursor.value());
        if bounds.is_above(key) {
            break;
        }
        let body = cursor.body();
        bytes += (key.len() + value.len() + body.as_ref().map_or(0, |body| body.len())) as u64;
        entries += 1;
        let is_large = body.is_some();
        merge.entry(InputEntry { key, seq, kind, value, body }, &mut outputs)?;
        if is_large || entries % MEMORY_CHECK_ENTRIES == 0 {
            let held = merge.held_bytes() + outputs.memory_bytes();
            memory.resize_anyway(cursors_bytes + held);
        }
        if bytes >= CHECK_BYTES {
            job.progress.read_bytes.fetch_add(bytes, Ordering::Relaxed);
            job.progress.read_entries.fetch_add(std::mem::take(&mut entries), Ordering::Relaxed);
            go_on(std::mem::take(&mut bytes))?;
        }
        cursor.next()?;
    }
    merge.finish(&mut outputs)?;
    job.progress.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    job.progress.read_entries.fetch_add(entries, Ordering::Relaxed);
    outputs.finish()
}
