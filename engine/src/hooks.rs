//! What a crate above may add to a keyspace: its memtable, its merge, its policy.
//!
//! The engine defines these traits and `tsdb` implements them: the arrow points down.

pub mod keep;
pub mod plain;

pub use keep::KeepMerge;
pub use plain::Plain;

use std::sync::Arc;

use crate::Result;
use crate::key::{Kind, Op, Seq};
use crate::memtable::{Memtable, PlainMemtables};
use crate::range_delete::RangeDeletes;
use crate::scan::Body;

/// What is special about a keyspace. Found again at open by the keyspace's name.
pub trait Hooks: Send + Sync + std::fmt::Debug {
    /// A new, empty memtable; `plain` makes those of plain keyspaces.
    fn memtable(&self, plain: &PlainMemtables) -> Arc<dyn Memtable>;

    /// Refuses an operation that the memtable could not apply, before it is logged. A keyspace
    /// with a merge of its own ([`Hooks::entry_merge`]) refuses `DeleteRange`: only the engine's
    /// leaves out what range deletes hide.
    fn validate(&self, op: &Op<'_>) -> Result<()>;

    /// The merge of one flush or compaction; sees every input entry in internal order and says
    /// what is written. `None`: the engine's own (newest version wins, operands are merged).
    fn entry_merge(&self, context: &MergeContext) -> Option<Box<dyn EntryMerge>>;

    /// Combines merge operands of one key, oldest first, onto `base` (the value below them, if
    /// any). Must be associative: `merge(b, [x, y]) == merge(merge(b, [x]), [y])`, and must also
    /// accept `base = None` to fold operands into one operand.
    /// `None` refuses (no merge operator): a `Merge` operation is then invalid.
    fn merge_operands(
        &self,
        key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Option<Vec<u8>>;
}

/// What a merge may know of the job it serves.
#[derive(Debug, Clone)]
pub struct MergeContext {
    /// The flush of a memtable, as opposed to a compaction of tables.
    pub is_flush: bool,
    /// Nothing older than the inputs exists in the keyspace: deletes may go.
    pub is_bottom: bool,
    /// The job was asked to leave the keyspace in its final, smallest form (a closed window).
    pub is_final: bool,
    /// Sequence numbers of live snapshots, ascending.
    pub snapshots: Vec<Seq>,
    /// Range deletes that hide some of the input.
    pub range_deletes: Arc<RangeDeletes>,
    /// What the clock showed when the job began, in milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// Turns the sorted input of a job into its sorted output.
///
/// The engine calls `entry` for each input entry in internal order, then `finish`. Outputs must
/// ascend in internal order. Entries with equal keys come newest first.
pub trait EntryMerge: Send {
    /// Takes one input entry.
    fn entry(&mut self, entry: InputEntry<'_>, out: &mut dyn EntrySink) -> Result<()>;
    /// Takes the end of the input.
    fn finish(&mut self, out: &mut dyn EntrySink) -> Result<()>;
    /// About how many bytes it holds now, for the memory budget.
    fn held_bytes(&self) -> u64 {
        0
    }
}

/// One entry of a job's input.
#[derive(Debug)]
pub struct InputEntry<'a> {
    /// User key.
    pub key: &'a [u8],
    /// Sequence number.
    pub seq: Seq,
    /// Kind.
    pub kind: Kind,
    /// Value, or head of a split value.
    pub value: &'a [u8],
    /// Body of a split value.
    pub body: Option<Body>,
}

/// Takes the output of a merge.
pub trait EntrySink {
    /// Writes one entry; `body` makes it a split value.
    fn put(
        &mut self,
        key: &[u8],
        seq: Seq,
        kind: Kind,
        value: &[u8],
        body: Option<&[u8]>,
    ) -> Result<()>;
}
