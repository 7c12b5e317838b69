//! Known bugs of merging and reading, planted one by one through the hooks of a keyspace: the
//! random histories must find each.
//!
//! The bugs are those on record in other stores: snapshots that a compaction does not know of,
//! deletes that go too early, operands in the wrong order, filters that change answers.

use std::any::Any;
use std::sync::Arc;

use firndb_engine::Result;
use firndb_engine::fs::sim::Rng;
use firndb_engine::hooks::{EntryMerge, EntrySink, Hooks, InputEntry, KeepMerge, MergeContext};
use firndb_engine::key::{Kind, Op, Seq};
use firndb_engine::memtable::{Memtable, PlainMemtables};
use firndb_engine::options::HookResolver;
use firndb_engine::scan::Cursor;

use crate::history;
use crate::proof;

const STEPS: u64 = 400;
/// Histories that are tried on one bug.
const TRIES: u64 = 20;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    /// None: the control.
    None,
    /// A job knows of no snapshot.
    NoSnapshots,
    /// A job does not know of the newest snapshot: it was taken just before the job began.
    NewestSnapshotMissed,
    /// A job does not know of the oldest snapshot: it was taken off its list too early.
    OldestSnapshotMissed,
    /// A snapshot is thought to see one write less than it does.
    SnapshotsOffByOne,
    /// Every job believes that nothing lies below.
    BottomClaimed,
    /// Deletes go in a flush, whatever lies below.
    DeletesDroppedInFlush,
    /// The newest version of a key is taken for the one to leave out.
    NewestLost,
    /// Operands are merged newest first.
    OperandsReversed,
    /// A value is merged as if it were not there.
    BaseForgotten,
    /// The filter of a memtable says no to keys that are there.
    FilterDenies,
    /// A read of a key sees what is newer than its snapshot.
    SnapshotIgnored,
}

const BUGS: [Bug; 11] = [
    Bug::NoSnapshots,
    Bug::NewestSnapshotMissed,
    Bug::OldestSnapshotMissed,
    Bug::SnapshotsOffByOne,
    Bug::BottomClaimed,
    Bug::DeletesDroppedInFlush,
    Bug::NewestLost,
    Bug::OperandsReversed,
    Bug::BaseForgotten,
    Bug::FilterDenies,
    Bug::SnapshotIgnored,
];

#[derive(Debug, Clone)]
struct Doctored {
    sound: Arc<dyn Hooks>,
    bug: Bug,
}

#[derive(Debug)]
struct Resolver {
    sound: Arc<dyn HookResolver>,
    bug: Bug,
}

impl HookResolver for Resolver {
    fn hooks(&self, name: &str) -> Arc<dyn Hooks> {
        Arc::new(Doctored { sound: self.sound.hooks(name), bug: self.bug })
    }
}

impl Hooks for Doctored {
    fn memtable(&self, plain: &PlainMemtables) -> Arc<dyn Memtable> {
        Arc::new(DoctoredMemtable { sound: self.sound.memtable(plain), bug: self.bug })
    }

    fn validate(&self, op: &Op<'_>) -> Result<()> {
        self.sound.validate(op)
    }

    fn entry_merge(&self, context: &MergeContext) -> Option<Box<dyn EntryMerge>> {
        let mut context = context.clone();
        match self.bug {
            Bug::NoSnapshots => context.snapshots.clear(),
            Bug::NewestSnapshotMissed => drop(context.snapshots.pop()),
            Bug::OldestSnapshotMissed if !context.snapshots.is_empty() => {
                context.snapshots.remove(0);
            }
            Bug::SnapshotsOffByOne => context.snapshots.iter_mut().for_each(|seq| *seq -= 1),
            Bug::BottomClaimed => context.is_bottom = true,
            _ => {}
        }
        let sound = KeepMerge::new(Arc::new(self.clone()), &context);
        Some(Box::new(DoctoredMerge { sound, bug: self.bug, context, last: Vec::new() }))
    }

    fn merge_operands(
        &self,
        key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Option<Vec<u8>> {
        let mut operands = operands.to_vec();
        if self.bug == Bug::OperandsReversed {
            operands.reverse();
        }
        let base = base.filter(|_| self.bug != Bug::BaseForgotten);
        self.sound.merge_operands(key, base, &operands)
    }
}

struct DoctoredMerge {
    sound: KeepMerge,
    bug: Bug,
    context: MergeContext,
    last: Vec<u8>,
}

impl EntryMerge for DoctoredMerge {
    fn entry(&mut self, entry: InputEntry<'_>, out: &mut dyn EntrySink) -> Result<()> {
        let is_first = self.last != entry.key;
        self.last = entry.key.to_vec();
        let is_lost = match self.bug {
            Bug::DeletesDroppedInFlush => self.context.is_flush && entry.kind == Kind::Delete,
            Bug::NewestLost => is_first && entry.seq.is_multiple_of(64),
            _ => false,
        };
        if is_lost { Ok(()) } else { self.sound.entry(entry, out) }
    }

    fn finish(&mut self, out: &mut dyn EntrySink) -> Result<()> {
        self.sound.finish(out)
    }
}

struct DoctoredMemtable {
    sound: Arc<dyn Memtable>,
    bug: Bug,
}

impl Memtable for DoctoredMemtable {
    fn apply(&self, seq: Seq, op: &Op<'_>) {
        self.sound.apply(seq, op);
    }

    fn bytes(&self) -> usize {
        self.sound.bytes()
    }

    fn cursor(self: Arc<Self>) -> Box<dyn Cursor> {
        self.sound.clone().cursor()
    }

    fn versions(
        &self,
        key: &[u8],
        snapshot: Seq,
        visit: &mut dyn FnMut(Seq, Kind, &[u8]) -> bool,
    ) -> Result<()> {
        match self.bug {
            Bug::FilterDenies if key.last().is_some_and(|byte| byte % 16 == 3) => Ok(()),
            Bug::SnapshotIgnored => self.sound.versions(key, Seq::MAX >> 8, visit),
            _ => self.sound.versions(key, snapshot, visit),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self.sound.as_any()
    }
}

/// The seed of the first history that does not go well with `bug` planted.
fn find(bug: Bug) -> Option<u64> {
    let fails = |seed: &u64| {
        let mut options = history::options(*seed);
        options.background = firndb_engine::options::Background::Inline;
        options.memtable_bytes_max = 8 << 10;
        options.hooks = Arc::new(Resolver { sound: options.hooks, bug });
        let churn = Some(Rng::new(!*seed));
        proof::quietly(|| history::run(*seed, Rng::new(*seed), options, STEPS, churn)).is_err()
    };
    (0..TRIES).find(fails)
}

#[test]
fn every_doctored_merge_and_memtable_is_found() {
    assert_eq!(find(Bug::None), None, "the control");
    let missed: Vec<_> = BUGS.into_iter().filter(|bug| find(*bug).is_none()).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
