//! The kernel of an open store: what its parts share, and the ways of data through it.
//!
//! - [`commit`]: the way of a batch in, and [`transactions`]: what it may be refused for there;
//! - [`durable`]: waiting for a commit without a thread;
//! - [`reading`] and [`multi_get`]: the ways out;
//! - [`jobs`], [`compacting`] and [`install`]: flush and compaction, and what their end changes;
//! - [`yielding`]: deep compactions let small ones of a level 0 go first;
//! - [`by_hand`]: compactions that somebody asked for;
//! - [`pacing`]: writers slowed down while compactions are behind;
//! - [`overview`]: what others ask about jobs;
//! - [`export`], [`import`] and [`checkpoint`]: tables out, in, and to another folder;
//! - [`requests`]: what callers ask for beside reads and writes.
//!
//! Lock order: `manifest` before `commit` before a picture; `schedule` is taken alone or under
//! none of them. No file operation runs under `commit`.

mod by_hand;
mod checkpoint;
mod commit;
mod compacting;
mod durable;
mod export;
mod import;
mod install;
mod jobs;
mod multi_get;
mod overview;
mod pacing;
mod reading;
mod requests;
mod schedule;
mod transactions;
mod yielding;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::OnceLock;

use self::schedule::Schedule;
use crate::background::{Signal, Workers};
use crate::budget::{Reservation, Share};
use crate::cache::Cache;
use crate::compaction::rate::Rate;
use crate::conflicts::History;
use crate::events::Journal;
use crate::fs::LockGuard;
use crate::jobs::Jobs;
use crate::key::{FileNumber, KeyspaceId, Seq};
use crate::keyspace::{FlushReason, KeyspaceState, MemtableSlot};
use crate::levels::Graveyard;
use crate::manifest::Manifest;
use crate::manifest::log::FileNumbers;
use crate::memtable::PlainMemtables;
use crate::memtable::arena::Spares;
use crate::metrics::Counters;
use crate::options::runtime::Runtime;
use crate::options::{Background, Options, RuntimeOptions};
use crate::publish::Publisher;
use crate::snapshot::Snapshots;
use crate::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock};
use crate::wal::{LogPosition, Wal, WalMetrics};
use crate::{Error, Result};

pub use commit::Commit;
pub use durable::CommitFuture;
pub use export::{Export, ExportedKeyspace, ExportedTable, PendingExport};
pub use import::{Import, TableSource, Transfer};
pub use reading::ScanOptions;
use transactions::TransactionCounters;
pub(crate) use transactions::{Guard, OpenTransaction};

/// Bytes by which the memtables grow before the budget is told.
const BUDGET_STEP_BYTES: u64 = 1 << 20;

/// What the commit lock guards.
pub(crate) struct Commits {
    /// Sequence number of the last batch.
    pub last_seq: Seq,
    /// Keyspaces with memtables: those that need the log.
    pub dirty: HashMap<KeyspaceId, Arc<KeyspaceState>>,
    /// Where the log ended when its length was last compared with the limit.
    pub wal_checked: LogPosition,
    /// What was written while transactions are open.
    pub history: History,
}

/// Keyspaces by number and by name.
#[derive(Default)]
pub(crate) struct Registry {
    pub by_id: Vec<Option<Arc<KeyspaceState>>>,
    pub by_name: BTreeMap<Arc<str>, KeyspaceId>,
}

impl Registry {
    pub fn get(&self, id: KeyspaceId) -> Option<&Arc<KeyspaceState>> {
        self.by_id.get(id.0 as usize)?.as_ref()
    }

    pub fn insert(&mut self, keyspace: Arc<KeyspaceState>) {
        let index = keyspace.id.0 as usize;
        if self.by_id.len() <= index {
            self.by_id.resize(index + 1, None);
        }
        self.by_name.insert(keyspace.name.clone(), keyspace.id);
        self.by_id[index] = Some(keyspace);
    }

    pub fn remove(&mut self, id: KeyspaceId) {
        if let Some(keyspace) = self.by_id.get_mut(id.0 as usize).and_then(Option::take) {
            self.by_name.remove(&keyspace.name);
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<KeyspaceState>> {
        self.by_name.values().filter_map(|id| self.get(*id))
    }
}

/// Bytes of memtables, and what the budget was told of them.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Of all memtables.
    total_bytes: AtomicI64,
    /// Of the sealed ones.
    sealed_bytes: AtomicI64,
    /// What batches that were admitted and not applied yet may add.
    entering_bytes: AtomicU64,
    reserved: Mutex<Reservation>,
}

/// Room in the memtables for a batch that is on its way into them.
#[derive(Debug)]
pub(crate) struct Entering<'a> {
    memory: &'a Memory,
    bytes: u64,
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        self.memory.entering_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Memory {
    /// Notes that a batch may add `bytes`; gives what all others that are under way may add.
    pub fn enter(&self, bytes: u64) -> (u64, Entering<'_>) {
        let others = self.entering_bytes.fetch_add(bytes, Ordering::Relaxed);
        (others, Entering { memory: self, bytes })
    }

    pub fn total(&self) -> u64 {
        self.total_bytes.load(Ordering::Relaxed).max(0) as u64
    }

    pub fn sealed(&self) -> u64 {
        self.sealed_bytes.load(Ordering::Relaxed).max(0) as u64
    }

    pub fn active(&self) -> u64 {
        self.total().saturating_sub(self.sealed())
    }

    /// Takes note of a slot's growth and gives the bytes of all active memtables.
    pub fn count(&self, slot: &MemtableSlot) -> u64 {
        let delta = slot.count();
        if delta != 0 {
            self.total_bytes.fetch_add(delta, Ordering::Relaxed);
            self.tell_budget();
        }
        self.active()
    }

    pub fn seal(&self, slot: &MemtableSlot) {
        slot.wait_for_writers();
        self.count(slot);
        self.sealed_bytes.fetch_add(slot.counted_bytes() as i64, Ordering::Relaxed);
        slot.set_ready();
    }

    /// A sealed slot was flushed or dropped. Whoever seals it may not have counted it yet.
    pub fn forget_sealed(&self, slot: &MemtableSlot) {
        while !slot.is_ready() {
            crate::sync::thread::yield_now();
        }
        let bytes = slot.uncount() as i64;
        self.sealed_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.total_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.tell_budget();
    }

    /// The slot of a dropped keyspace, sealed or active: nobody enters it any more.
    pub fn forget_active(&self, slot: &MemtableSlot) {
        slot.wait_for_writers();
        self.total_bytes.fetch_sub(slot.uncount() as i64, Ordering::Relaxed);
        self.tell_budget();
    }

    fn tell_budget(&self) {
        let total = self.total();
        // Whoever holds the lock tells what everybody sees; the step makes it rare.
        if let Some(mut reserved) = self.reserved.try_lock()
            && reserved.bytes().abs_diff(total) >= BUDGET_STEP_BYTES
        {
            reserved.resize_anyway(total);
        }
    }
}

/// What all parts of an open store share.
pub(crate) struct Kernel {
    /// As they were at the open.
    pub options: Options,
    /// Of these, what may have changed since.
    pub runtime: Runtime,
    pub numbers: Arc<FileNumbers>,
    pub cache: Cache,
    pub graveyard: Arc<Graveyard>,
    pub manifest: Mutex<Manifest>,
    /// Set before `open` returns; while the log is replayed there is none.
    pub wal: OnceLock<Wal>,
    pub wal_metrics: Arc<WalMetrics>,
    pub commits: Mutex<Commits>,
    pub publisher: Publisher,
    pub registry: RwLock<Registry>,
    pub snapshots: Arc<Snapshots>,
    pub memtables: PlainMemtables,
    /// Memory for memtables to come.
    pub spares: Arc<Spares>,
    pub memory: Memory,
    /// Held by whoever seals because memtables hold too much.
    pub sealing: Mutex<()>,
    pub schedule: Mutex<Schedule>,
    pub signal: Arc<Signal>,
    pub workers: Workers,
    pub counters: Counters,
    pub transactions: TransactionCounters,
    pub jobs: Jobs,
    pub journal: Journal,
    /// Bytes a second of all compactions.
    pub rate: Rate,
    /// Turns of writers that are slowed down.
    pub turns: Rate,
    pub is_paused: AtomicBool,
    pub is_closed: AtomicBool,
    /// What made the store read-only.
    pub failure: OnceLock<Arc<Error>>,
    pub lock: Mutex<Option<Box<dyn LockGuard>>>,
}

impl Kernel {
    /// The shared part of a store that is being opened.
    pub fn new(
        options: Options,
        lock: Box<dyn LockGuard>,
        manifest: Manifest,
        numbers: Arc<FileNumbers>,
    ) -> Arc<Self> {
        let signal = Arc::new(Signal::default());
        let raised = signal.clone();
        let wake = Box::new(move || raised.raise());
        let cache =
            Cache::with_files(options.cache_bytes, options.files_open_max, options.budget.clone());
        let reserved = options.budget.reserve_anyway(Share::Memtables, 0);
        let raised = signal.clone();
        let spares = Spares::new(&options.budget, Box::new(move || raised.raise()));
        // Without workers nobody makes them ahead of time, or gives them back in time.
        let has_workers = options.background != Background::Inline;
        let handed_on = has_workers.then(|| spares.clone());
        let commits = Commits {
            last_seq: 0,
            dirty: HashMap::new(),
            wal_checked: LogPosition::default(),
            history: History::new(&options.budget),
        };
        let runtime = Runtime::new(RuntimeOptions::of(&options));
        Arc::new(Kernel {
            runtime,
            graveyard: Graveyard::new(options.fs.clone(), &options.dir, wake),
            numbers,
            cache,
            manifest: Mutex::new(manifest),
            wal: OnceLock::new(),
            wal_metrics: Arc::default(),
            commits: Mutex::new(commits),
            publisher: Publisher::new(0),
            registry: RwLock::default(),
            snapshots: Arc::default(),
            memtables: PlainMemtables::new(options.memtable, handed_on),
            spares,
            memory: Memory {
                total_bytes: AtomicI64::new(0),
                sealed_bytes: AtomicI64::new(0),
                entering_bytes: AtomicU64::new(0),
                reserved: Mutex::new(reserved),
            },
            sealing: Mutex::default(),
            schedule: Mutex::default(),
            signal,
            workers: Workers::default(),
            counters: Counters::default(),
            transactions: TransactionCounters::default(),
            jobs: Jobs::default(),
            journal: Journal::default(),
            rate: Rate::new(options.compaction_bytes_per_s),
            turns: Rate::new(0),
            is_paused: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            failure: OnceLock::new(),
            lock: Mutex::new(Some(lock)),
            options,
        })
    }

    pub fn wal(&self) -> &Wal {
        self.wal.get().expect("the log is there once the store is open")
    }

    pub fn is_inline(&self) -> bool {
        self.options.background == Background::Inline
    }

    pub fn check_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    pub fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        match self.failure.get() {
            Some(cause) => Err(Error::ReadOnly { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Makes the store read-only, unless it already is, and gives the error to answer with.
    pub fn fail(&self, error: Error) -> Error {
        let cause = match error {
            Error::ReadOnly { cause } => cause,
            other => Arc::new(other),
        };
        // What a failed edit named may be in use at the next open.
        self.graveyard.close();
        let cause = self.failure.get_or_init(|| cause).clone();
        self.signal.raise();
        Error::ReadOnly { cause }
    }

    /// As `fail`, for errors of the log and the manifest, which say `ReadOnly` when it is over.
    pub fn fail_if_read_only(&self, error: Error) -> Error {
        if matches!(error, Error::ReadOnly { .. }) { self.fail(error) } else { error }
    }

    pub fn keyspace(&self, id: KeyspaceId) -> Result<Arc<KeyspaceState>> {
        let registry = self.registry.read();
        let keyspace = registry.get(id).cloned();
        keyspace.ok_or_else(|| Error::NotFound { what: format!("keyspace {}", id.0) })
    }

    /// One keyspace, or all of them.
    pub fn keyspaces(&self, id: Option<KeyspaceId>) -> Result<Vec<Arc<KeyspaceState>>> {
        match id {
            Some(id) => Ok(vec![self.keyspace(id)?]),
            None => Ok(self.registry.read().all().cloned().collect()),
        }
    }

    /// A worker's step; a panic in it is a failure of the store.
    pub fn guarded_step(self: &Arc<Self>) -> crate::background::Step {
        let step = std::panic::AssertUnwindSafe(|| self.step());
        std::panic::catch_unwind(step).unwrap_or_else(|_| {
            let reason = "a background job panicked".to_owned();
            let _ = self.fail(Error::Invalid { reason });
            crate::background::Step::Failed
        })
    }

    /// Seals the active memtable of `keyspace`, if it has one, and queues its flush.
    pub fn seal(&self, keyspace: &Arc<KeyspaceState>, reason: FlushReason) {
        let sealed = seal_active(&self.commits.lock(), keyspace, reason);
        if let Some(slot) = sealed {
            self.queue_flush(keyspace, &slot);
            self.signal.raise();
        }
    }

    /// Queues the flush of a memtable that was just sealed.
    fn queue_flush(&self, keyspace: &Arc<KeyspaceState>, slot: &MemtableSlot) {
        self.memory.seal(slot);
        self.schedule.lock().flush_due(keyspace);
    }

    /// Seals the largest active memtables until the active ones together are within the limit.
    pub fn seal_largest(&self, reason: FlushReason) {
        // One is enough: what a second sealed would be small.
        let Some(_sealing) = self.sealing.try_lock() else { return };
        while self.memory.active() > self.runtime.memtable_bytes_max() {
            let Some(keyspace) = self.largest() else { return };
            self.seal(&keyspace, reason);
        }
    }

    /// The keyspace with the largest active memtable.
    pub fn largest(&self) -> Option<Arc<KeyspaceState>> {
        let commits = self.commits.lock();
        let active = commits.dirty.values().filter_map(|k| Some((k, k.active()?)));
        // By number where they are alike: the same history takes the same way.
        let largest = active.max_by_key(|(k, slot)| (slot.counted_bytes(), k.id));
        largest.map(|(keyspace, _)| keyspace.clone())
    }

    /// Seals the memtables that pin the oldest log, until what is pinned is within the limit.
    pub fn seal_log_pins(&self) {
        let due: Vec<_> = {
            let commits = self.commits.lock();
            let end = self.wal().end().0;
            let bytes_max = self.runtime.all().wal_bytes_max;
            let is_due = |keyspace: &&Arc<KeyspaceState>| {
                keyspace
                    .active()
                    .is_some_and(|slot| end.saturating_sub(slot.first_position.0) > bytes_max)
            };
            let mut due: Vec<_> = commits.dirty.values().filter(is_due).cloned().collect();
            due.sort_by_key(|keyspace| keyspace.id);
            due
        };
        due.iter().for_each(|keyspace| self.seal(keyspace, FlushReason::Wal));
    }

    /// The oldest log segment that memtables need, `without` left aside: what the log may be cut
    /// to once that slot is in tables. Under the commit lock, so that no record is on its way.
    pub fn log_from(
        &self,
        commits: &Commits,
        without: Option<&MemtableSlot>,
        current: FileNumber,
    ) -> FileNumber {
        let pictures = commits.dirty.values().map(|keyspace| keyspace.picture());
        let oldest = pictures.filter_map(|picture| {
            let is_other = |slot: &&Arc<MemtableSlot>| {
                without.is_none_or(|without| !std::ptr::eq(&***slot, without))
            };
            let others = picture.slots().filter(is_other);
            others.map(|slot| slot.first_segment).min()
        });
        oldest.min().unwrap_or(current).min(current)
    }
}

/// Seals the active memtable of `keyspace`, if it has one. Under the commit lock.
fn seal_active(
    _commits: &Commits,
    keyspace: &KeyspaceState,
    reason: FlushReason,
) -> Option<Arc<MemtableSlot>> {
    let slot = keyspace.active()?;
    slot.set_reason(reason);
    keyspace.change_picture(|picture| {
        picture.sealed.insert(0, slot.clone());
        picture.active = None;
    });
    Some(slot)
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("dir", &self.options.dir).finish_non_exhaustive()
    }
}
