//! The store: open, write, read, flush, compact, check, close. It coordinates; every decision and
//! every format lives in another file.

mod commit;
pub(crate) mod core;
mod install;
mod jobs;
mod reading;
mod schedule;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use self::core::Core;
use crate::batch::WriteBatch;
use crate::check::{self, CheckReport};
use crate::compaction::pick::pick_all;
use crate::key::KeyspaceId;
use crate::keyspace::{FlushReason, Keyspace, KeyspaceState, KvIterator, MemtableSlot, View};
use crate::levels::Version;
use crate::manifest::KeyspaceRecord;
use crate::manifest::edit::Edit;
use crate::metrics::StoreMetrics;
use crate::options::{Durability, KeyspaceOptions, Options, Policy};
use crate::recovery;
use crate::scan::Value;
use crate::scan::bounds::Bounds;
use crate::snapshot::Snapshot;
use crate::{Error, Result};

pub use crate::recovery::OpenProgress;
pub use commit::Commit;

/// How long a waiting call sleeps between two looks, should it miss a signal.
const WAIT: Duration = Duration::from_millis(500);

/// How one write is done.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions {
    /// When it is acknowledged; `None`: as the store's options say.
    pub durability: Option<Durability>,
}

/// What a scan walks.
#[derive(Debug, Clone, Default)]
pub struct ScanOptions<'a> {
    /// The keys.
    pub bounds: Bounds,
    /// From the last key to the first.
    pub reverse: bool,
    /// What it sees; `None`: everything published now.
    pub snapshot: Option<&'a Snapshot>,
    /// Leave the block cache as it is: for scans that will not be repeated.
    pub skip_cache: bool,
}

/// What a compaction asked for by hand does.
#[derive(Debug, Clone, Copy, Default)]
pub struct CompactOptions {
    /// Leave each keyspace in its final, smallest form: one run, see
    /// [`crate::hooks::MergeContext::is_final`].
    pub is_final: bool,
}

/// A durable, ordered key-value store. Clones are the same store; the last one dropped closes it.
#[derive(Debug, Clone)]
pub struct Store(Arc<Owner>);

/// Closes the store when the last [`Store`] goes; views and snapshots may live on.
#[derive(Debug)]
struct Owner(Arc<Core>);

impl Drop for Owner {
    fn drop(&mut self) {
        // Who cares for the error calls `close`.
        let _ = self.0.close();
    }
}

impl Store {
    /// Opens the store in `options.dir`, or creates it.
    pub fn open(options: Options) -> Result<Self> {
        Store::open_with_progress(options, &|_| {})
    }

    /// As [`Store::open`], saying how far it is.
    pub fn open_with_progress(options: Options, progress: &dyn Fn(OpenProgress)) -> Result<Self> {
        let store = Store(Arc::new(Owner(recovery::open(options, progress)?)));
        if store.core().is_inline() {
            store.core().run_due();
        }
        Ok(store)
    }

    fn core(&self) -> &Arc<Core> {
        &self.0.0
    }

    /// The options it was opened with.
    pub fn options(&self) -> &Options {
        &self.core().options
    }

    /// Creates the keyspace `name`, or gives the one of that name.
    pub fn create_keyspace(&self, name: &str, options: KeyspaceOptions) -> Result<Keyspace> {
        self.core().create_keyspace(name, &options)
    }

    /// The keyspace called `name`.
    pub fn keyspace(&self, name: &str) -> Option<Keyspace> {
        let registry = self.core().registry.read();
        let id = registry.by_name.get(name)?;
        registry.get(*id).map(|keyspace| keyspace.handle())
    }

    /// All keyspaces, by name.
    pub fn keyspaces(&self) -> Vec<Keyspace> {
        self.core().registry.read().all().map(|keyspace| keyspace.handle()).collect()
    }

    /// Drops keyspaces with one edit; their files go whole, once nobody reads them.
    /// Ids that do not exist are passed over.
    pub fn drop_keyspaces(&self, keyspaces: &[KeyspaceId], reason: &str) -> Result<()> {
        self.core().drop_keyspaces(keyspaces, reason)?;
        self.core().run_due_inline();
        Ok(())
    }

    /// Writes a batch and waits as its durability says.
    ///
    /// # Errors
    /// `Invalid` when a keyspace refuses an operation, `NotFound` when there is no such keyspace,
    /// `Busy` when flushes are behind, `ReadOnly` after a failure. Only after `ReadOnly` may the
    /// batch have been stored.
    pub fn write(&self, batch: &WriteBatch, options: WriteOptions) -> Result<Commit> {
        let commit = self.core().commit(batch, options.durability)?;
        commit.wait()?;
        self.core().after_commit();
        Ok(commit)
    }

    /// Writes a batch; the caller waits with [`Commit::wait`].
    pub fn write_no_wait(&self, batch: &WriteBatch, options: WriteOptions) -> Result<Commit> {
        let commit = self.core().commit(batch, options.durability)?;
        self.core().after_commit();
        Ok(commit)
    }

    /// Pins what is visible now.
    pub fn snapshot(&self) -> Snapshot {
        self.core().snapshots.take(|| self.core().publisher.visible())
    }

    /// The value of `key`.
    pub fn get(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        snapshot: Option<&Snapshot>,
    ) -> Result<Option<Value>> {
        self.core().get(keyspace, key, snapshot)
    }

    /// Walks keys and values in order.
    pub fn scan(&self, keyspace: KeyspaceId, options: ScanOptions<'_>) -> Result<KvIterator> {
        self.core().scan(keyspace, options)
    }

    /// Memtables and tables of a keyspace as they are now, pinned.
    pub fn view(&self, keyspace: KeyspaceId) -> Result<View> {
        self.core().view(keyspace)
    }

    /// Flushes the memtables of one keyspace or of all, and waits. After all, the log's room is given
    /// back too.
    pub fn flush(&self, keyspace: Option<KeyspaceId>) -> Result<()> {
        let keyspaces = self.core().keyspaces(keyspace)?;
        self.core().flush(&keyspaces)?;
        self.core().run_due_inline();
        if keyspace.is_none() { self.core().release_log() } else { Ok(()) }
    }

    /// Flushes and compacts one keyspace or all into one run each, and waits. `is_cancelled` is
    /// asked about every MiB.
    pub fn compact(
        &self,
        keyspace: Option<KeyspaceId>,
        options: CompactOptions,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let keyspaces = self.core().keyspaces(keyspace)?;
        self.core().flush(&keyspaces)?;
        for keyspace in &keyspaces {
            self.core().compact_all(keyspace, options.is_final, is_cancelled)?;
        }
        self.core().run_due_inline();
        if keyspace.is_none() { self.core().release_log() } else { Ok(()) }
    }

    /// Makes everything written so far durable.
    pub fn sync(&self) -> Result<()> {
        let core = self.core();
        core.check_writable()?;
        let wal = core.wal();
        wal.sync_to(wal.end()).map_err(|error| core.fail_if_read_only(error))
    }

    /// What is due by time: flushes of old memtables, retries after a full disk.
    pub fn maintain(&self) -> Result<()> {
        let core = self.core();
        core.check_writable()?;
        core.seal_old();
        core.signal.raise();
        core.run_due_inline();
        Ok(())
    }

    /// Changes the compaction policy of a keyspace.
    pub fn set_policy(&self, keyspace: KeyspaceId, policy: Policy) -> Result<()> {
        self.core().set_policy(keyspace, policy)?;
        self.core().run_due_inline();
        Ok(())
    }

    /// Asks for one final run of the keyspace, in the background: its window has closed.
    /// Does nothing where it already is one final run.
    pub fn mark_final(&self, keyspace: KeyspaceId) -> Result<()> {
        let core = self.core();
        core.check_writable()?;
        let keyspace = core.keyspace(keyspace)?;
        core.seal(&keyspace, FlushReason::Manual);
        keyspace.wants_final.store(true, Ordering::Release);
        core.schedule.lock().compaction_due(&keyspace);
        core.signal.raise();
        core.run_due_inline();
        Ok(())
    }

    /// Verifies the directory: manifest, log and tables; `deep` reads every byte. `progress` gets
    /// tables done and tables in all.
    pub fn check(&self, deep: bool, progress: &dyn Fn(u64, u64)) -> Result<CheckReport> {
        self.core().check_open()?;
        check::run(self.core(), deep, progress)
    }

    /// Numbers of the store as they are now.
    pub fn metrics(&self) -> StoreMetrics {
        self.core().metrics()
    }

    /// Why the store is read-only, if it is.
    pub fn read_only_cause(&self) -> Option<Error> {
        self.core().failure.get().map(|cause| Error::clone(cause))
    }

    /// Syncs the log, stops the background and lets go of the directory. Every later call fails
    /// with `Closed`.
    pub fn close(&self) -> Result<()> {
        self.core().close()
    }
}

impl Core {
    fn run_due_inline(self: &Arc<Self>) {
        if self.is_inline() {
            self.run_due();
        }
    }

    fn create_keyspace(&self, name: &str, options: &KeyspaceOptions) -> Result<Keyspace> {
        self.check_writable()?;
        if name.is_empty() || name.len() > self.options.key_bytes_max {
            return Err(Error::Invalid { reason: "a keyspace needs a name".to_owned() });
        }
        let mut manifest = self.manifest.lock();
        {
            let registry = self.registry.read();
            if let Some(keyspace) = registry.by_name.get(name).and_then(|id| registry.get(*id)) {
                return Ok(keyspace.handle());
            }
            let (limit, got) = (self.options.keyspaces_max as u64, registry.by_name.len() as u64);
            if got >= limit {
                return Err(Error::Limit { what: "keyspaces", limit, got: got + 1 });
            }
        }
        let id = manifest.state().next_keyspace;
        let record = KeyspaceRecord {
            name: name.into(),
            policy: options.policy,
            compression: options.compression,
            flushed_seq: 0,
            tables: Default::default(),
        };
        let edit = recovery::keyspace_edit(self.options.clock.unix_ns(), id, &record);
        manifest.commit(edit).map_err(|error| self.fail(error))?;
        let hooks = self.options.hooks.hooks(name);
        let policy = record.policy.unwrap_or(self.options.policy);
        let keyspace = Keyspace { id, name: record.name };
        let state =
            KeyspaceState::new(keyspace, hooks, record.compression, policy, Version::default());
        self.registry.write().insert(state.clone());
        Ok(state.handle())
    }

    fn drop_keyspaces(&self, ids: &[KeyspaceId], reason: &str) -> Result<()> {
        self.check_writable()?;
        let mut manifest = self.manifest.lock();
        let mut dropped: Vec<Arc<KeyspaceState>> = {
            let registry = self.registry.read();
            ids.iter().filter_map(|id| registry.get(*id).cloned()).collect()
        };
        dropped.sort_by_key(|keyspace| keyspace.id);
        dropped.dedup_by_key(|keyspace| keyspace.id);
        if dropped.is_empty() {
            return Ok(());
        }
        let mark = |is_dropped: bool| {
            let _commits = self.commits.lock();
            let mark = |k: &Arc<KeyspaceState>| k.is_dropped.store(is_dropped, Ordering::Release);
            dropped.iter().for_each(mark);
        };
        mark(true);
        let mut edit = Edit::new(self.options.clock.unix_ns(), format!("drop: {reason}"));
        dropped.iter().for_each(|keyspace| edit.drop_keyspace(keyspace.id));
        let committed = manifest.commit(edit).map_err(|error| {
            mark(false);
            self.fail(error)
        })?;
        for keyspace in &dropped {
            self.registry.write().remove(keyspace.id);
            let old = {
                let mut commits = self.commits.lock();
                commits.dirty.remove(&keyspace.id);
                keyspace.change_picture(|picture| *picture = Default::default())
            };
            old.version.tables().for_each(|(_, table)| table.set_obsolete(&committed));
            old.sealed.iter().for_each(|slot| self.memory.forget_sealed(slot));
            old.active.iter().for_each(|slot| self.memory.forget_active(slot));
        }
        drop(manifest);
        self.signal.raise();
        Ok(())
    }

    fn set_policy(&self, id: KeyspaceId, policy: Policy) -> Result<()> {
        self.check_writable()?;
        let mut manifest = self.manifest.lock();
        let keyspace = self.keyspace(id)?;
        if *keyspace.policy.lock() == policy {
            return Ok(());
        }
        let mut edit = Edit::new(self.options.clock.unix_ns(), "policy");
        edit.set_policy(id, policy);
        manifest.commit(edit).map_err(|error| self.fail(error))?;
        *keyspace.policy.lock() = policy;
        self.schedule.lock().compaction_due(&keyspace);
        self.signal.raise();
        Ok(())
    }

    /// Flushes what the keyspaces hold in memory now, and waits.
    fn flush(self: &Arc<Self>, keyspaces: &[Arc<KeyspaceState>]) -> Result<()> {
        self.check_writable()?;
        let failures = self.counters.job_failures.load(Ordering::Relaxed);
        let mut waiting = Vec::new();
        for keyspace in keyspaces {
            self.seal(keyspace, FlushReason::Manual);
            waiting.extend(keyspace.picture().sealed.iter().map(|s| (keyspace.clone(), s.clone())));
        }
        loop {
            let seen = self.signal.now();
            let is_sealed = |(keyspace, slot): &(Arc<KeyspaceState>, Arc<MemtableSlot>)| {
                keyspace.picture().sealed.iter().any(|other| Arc::ptr_eq(other, slot))
            };
            while waiting.last().is_some_and(|last| !is_sealed(last)) {
                waiting.pop();
            }
            if waiting.is_empty() {
                return Ok(());
            }
            self.check_writable()?;
            if self.counters.job_failures.load(Ordering::Relaxed) != failures
                && let Some(error) = self.counters.last_job_error.lock().clone()
            {
                return Err(error);
            }
            if self.is_inline() {
                self.run_due();
            } else {
                self.signal.wait(seen, WAIT);
            }
        }
    }

    /// Merges all runs of `keyspace` into one, on the calling thread.
    fn compact_all(
        self: &Arc<Self>,
        keyspace: &Arc<KeyspaceState>,
        is_final: bool,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let (version, plan, claim) = loop {
            self.check_writable()?;
            if is_cancelled() {
                return Err(Error::Cancelled);
            }
            let seen = self.signal.now();
            let mut schedule = self.schedule.lock();
            let version = keyspace.picture().version.clone();
            if is_done(&version, is_final) || keyspace.is_dropped.load(Ordering::Acquire) {
                return Ok(());
            }
            let policy = *keyspace.policy.lock();
            let levels = version.summary();
            let plan = pick_all(keyspace.id, &levels, &policy, &schedule.in_flight, is_final);
            if let Some(plan) = plan {
                let claim = schedule.in_flight.claim(keyspace.id, &plan);
                break (version, plan, claim);
            }
            drop(schedule);
            // A job of the keyspace is running; nobody but a worker runs one.
            self.signal.wait(seen, WAIT);
        };
        let is_stopped = || is_cancelled() || self.is_closed.load(Ordering::Acquire);
        let outcome = self.compact(keyspace, &version, &plan, &is_stopped);
        self.release(keyspace, claim, outcome.is_ok());
        self.signal.raise();
        outcome.map_err(|error| self.fail_if_read_only(error))
    }

    /// Seals memtables that are older than the options allow.
    fn seal_old(&self) {
        let now = self.options.clock.monotonic_ns();
        let age_max = self.options.memtable_age_ms_max.saturating_mul(1_000_000);
        let old: Vec<_> = {
            let commits = self.commits.lock();
            let is_old = |keyspace: &&Arc<KeyspaceState>| {
                keyspace.active().is_some_and(|s| now.saturating_sub(s.created_ns) >= age_max)
            };
            commits.dirty.values().filter(is_old).cloned().collect()
        };
        old.iter().for_each(|keyspace| self.seal(keyspace, FlushReason::Age));
    }

    /// Ends the worker threads.
    pub(crate) fn close_workers(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.signal.raise();
        self.workers.join();
    }

    fn close(&self) -> Result<()> {
        let Some(lock) = self.lock.lock().take() else { return Ok(()) };
        self.close_workers();
        let mut outcome = Ok(());
        if self.failure.get().is_none() {
            self.graveyard.clear();
            outcome = self.wal().close().and(self.manifest.lock().close());
        }
        self.graveyard.close();
        drop(lock);
        outcome
    }
}

/// Whether a keyspace needs no compaction that was asked for by hand.
fn is_done(version: &Version, is_final: bool) -> bool {
    let runs = version.runs().count();
    let deletes: u64 = version.tables().map(|(_, table)| table.meta.deletes).sum();
    runs == 0 || version.is_final() || (!is_final && runs == 1 && deletes == 0)
}

#[cfg(test)]
mod tests;
