//! The store: open, write, read, flush, compact, check, close. It coordinates; every decision and
//! every format lives in another file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::batch::WriteBatch;
use crate::check::{self, CheckReport};
use crate::events::Event;
use crate::jobs::JobInfo;
use crate::kernel::Kernel;
use crate::key::KeyspaceId;
use crate::keyspace::{FlushReason, Keyspace, KvIterator, View};
use crate::manifest::LEVEL_LAST;
use crate::metrics::StoreMetrics;
use crate::options::{KeyspaceOptions, Options, Policy};
use crate::recovery;
use crate::scan::Value;
use crate::scan::bounds::Bounds;
use crate::snapshot::Snapshot;
use crate::{Error, Result};

pub use crate::kernel::{
    Commit, CommitFuture, Export, ExportedKeyspace, ExportedTable, Import, PendingExport,
    ScanOptions, TableSource, Transfer,
};
pub use crate::options::{RuntimeOptions, WriteOptions};
pub use crate::recovery::OpenProgress;
pub use crate::transaction::{Isolation, Transaction, TransactionIterator, TransactionOptions};

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
struct Owner(Arc<Kernel>);

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
        if store.kernel().is_inline() {
            store.kernel().run_due();
        }
        Ok(store)
    }

    /// Opens the store in `options.dir` to read it, without a change to a byte of the folder: it
    /// may lie on media that cannot be written, and another process may have it open. What it
    /// shows is one moment, with everything acknowledged by then, kept in memory as far as it is
    /// in the log only. Whatever writes fails with `ReadOnly`.
    ///
    /// Beside a process that goes on writing, a read may fail with `Io` once that process has
    /// removed a table file that was not held open ([`Options::files_open_max`]): open again.
    ///
    /// # Errors
    /// `NotFound` when there is no store; else as [`Store::open`], but never `Locked`.
    pub fn open_read_only(options: Options) -> Result<Self> {
        let kernel = recovery::read_only::open_read_only(options, &|_| {})?;
        Ok(Store(Arc::new(Owner(kernel))))
    }

    fn kernel(&self) -> &Arc<Kernel> {
        &self.0.0
    }

    /// Changes options while the store is open; `change` is given those of now. Which may change, and
    /// from when on that counts, is told at [`RuntimeOptions`]. Gives all of them as they are then.
    ///
    /// # Errors
    /// `Invalid` when the outcome would not do; nothing is changed then.
    pub fn set_options(&self, change: impl FnOnce(&mut RuntimeOptions)) -> Result<RuntimeOptions> {
        let options = self.kernel().set_options(change)?;
        self.kernel().run_due_inline();
        Ok(options)
    }

    /// The options that may change, as they are now.
    pub fn runtime_options(&self) -> RuntimeOptions {
        let compaction_bytes_per_s = self.kernel().rate.bytes_per_s();
        RuntimeOptions { compaction_bytes_per_s, ..self.kernel().runtime.all() }
    }

    /// The options it was opened with. Some may have changed since: [`Store::runtime_options`].
    pub fn options(&self) -> &Options {
        &self.kernel().options
    }

    /// Creates the keyspace `name`, or gives the one of that name.
    pub fn create_keyspace(&self, name: &str, options: KeyspaceOptions) -> Result<Keyspace> {
        let mut made = self.kernel().create_keyspaces(&[name.to_owned()], &options)?;
        Ok(made.pop().expect("one name, one keyspace"))
    }

    /// Creates those of `names` that do not exist, with one edit of the manifest; gives all of
    /// them, in order.
    pub fn create_keyspaces(
        &self,
        names: &[String],
        options: KeyspaceOptions,
    ) -> Result<Vec<Keyspace>> {
        self.kernel().create_keyspaces(names, &options)
    }

    /// The keyspace called `name`.
    pub fn keyspace(&self, name: &str) -> Option<Keyspace> {
        let registry = self.kernel().registry.read();
        let id = registry.by_name.get(name)?;
        registry.get(*id).map(|keyspace| keyspace.handle())
    }

    /// All keyspaces, by name.
    pub fn keyspaces(&self) -> Vec<Keyspace> {
        self.kernel().registry.read().all().map(|keyspace| keyspace.handle()).collect()
    }

    /// Drops keyspaces with one edit; their files go whole, once nobody reads them.
    /// Ids that do not exist are passed over.
    pub fn drop_keyspaces(&self, keyspaces: &[KeyspaceId], reason: &str) -> Result<()> {
        self.kernel().drop_keyspaces(keyspaces, reason)?;
        self.kernel().run_due_inline();
        Ok(())
    }

    /// Writes a batch and waits as its durability says.
    ///
    /// # Errors
    /// `Invalid` when a keyspace refuses an operation, `NotFound` when there is no such keyspace,
    /// `Busy` when flushes are behind, `ReadOnly` after a failure. Only after `ReadOnly` may the
    /// batch have been stored.
    pub fn write(&self, batch: &WriteBatch, options: WriteOptions) -> Result<Commit> {
        let commit = self.kernel().commit(batch, options.durability)?;
        commit.wait()?;
        self.kernel().after_commit();
        Ok(commit)
    }

    /// Writes a batch; the caller waits with [`Commit::wait`], or with `.await`.
    pub fn write_no_wait(&self, batch: &WriteBatch, options: WriteOptions) -> Result<Commit> {
        let commit = self.kernel().commit(batch, options.durability)?;
        self.kernel().after_commit();
        Ok(commit)
    }

    /// Begins a transaction that sees what is visible now, and is refused at its commit where
    /// another writer came in between.
    pub fn transaction(&self) -> Result<Transaction> {
        self.transaction_with(TransactionOptions::default())
    }

    /// As [`Store::transaction`], with a say in what counts as in between.
    pub fn transaction_with(&self, options: TransactionOptions) -> Result<Transaction> {
        Transaction::begin(self.kernel(), options)
    }

    /// Runs `body` in a transaction and commits it; again from the start, at most `attempts` times
    /// in all, where it conflicts.
    ///
    /// # Errors
    /// What `body` gives, after which nothing is stored; `Conflict` of the last attempt; those of
    /// [`Store::write`].
    pub fn transact<T>(
        &self,
        attempts: usize,
        mut body: impl FnMut(&mut Transaction) -> Result<T>,
    ) -> Result<T> {
        let mut left = attempts;
        loop {
            left = left.saturating_sub(1);
            let mut transaction = self.transaction()?;
            let outcome = body(&mut transaction).and_then(|value| {
                let _commit = transaction.commit(WriteOptions::default())?;
                Ok(value)
            });
            match outcome {
                Err(Error::Conflict { .. }) if left > 0 => {}
                outcome => return outcome,
            }
        }
    }

    /// Pins what is visible now.
    pub fn snapshot(&self) -> Snapshot {
        self.kernel().snapshots.take(|| self.kernel().publisher.visible())
    }

    /// The value of `key`. A value that lies in a table is not copied: it keeps its block in memory
    /// while it lives. [`Store::get_with`] spares the copy of one that lies in a memtable.
    pub fn get(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        snapshot: Option<&Snapshot>,
    ) -> Result<Option<Value>> {
        self.kernel().get(keyspace, key, snapshot)
    }

    /// As [`Store::get`], but the value is handed to `read` where it lies, in a memtable or in a
    /// block: nothing is copied but where operands are merged.
    pub fn get_with<T>(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        snapshot: Option<&Snapshot>,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        self.kernel().get_with(keyspace, key, snapshot, read)
    }

    /// The values of `keys`, in their order, all as of one moment: as many single reads would give
    /// them, but each memtable and run is asked for all keys in ascending order, so that
    /// neighbours share blocks.
    pub fn multi_get<K: AsRef<[u8]>>(
        &self,
        keyspace: KeyspaceId,
        keys: &[K],
        snapshot: Option<&Snapshot>,
    ) -> Result<Vec<Option<Value>>> {
        let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        self.kernel().multi_get(keyspace, &keys, snapshot)
    }

    /// Walks keys and values in order.
    pub fn scan(&self, keyspace: KeyspaceId, options: ScanOptions<'_>) -> Result<KvIterator> {
        self.kernel().scan(keyspace, options)
    }

    /// Memtables and tables of a keyspace as they are now, pinned.
    pub fn view(&self, keyspace: KeyspaceId) -> Result<View> {
        self.kernel().view(keyspace)
    }

    /// Flushes the memtables of one keyspace or of all, and waits. After all, the log's room is
    /// given
    /// back too.
    pub fn flush(&self, keyspace: Option<KeyspaceId>) -> Result<()> {
        let keyspaces = self.kernel().keyspaces(keyspace)?;
        self.kernel().flush(&keyspaces)?;
        self.kernel().run_due_inline();
        if keyspace.is_none() { self.kernel().release_log() } else { Ok(()) }
    }

    /// Flushes and compacts one keyspace or all into one run each, and waits. `is_cancelled` is
    /// asked about every MiB.
    pub fn compact(
        &self,
        keyspace: Option<KeyspaceId>,
        options: CompactOptions,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let keyspaces = self.kernel().keyspaces(keyspace)?;
        self.kernel().flush(&keyspaces)?;
        for keyspace in &keyspaces {
            self.kernel().compact_all(keyspace, options.is_final, is_cancelled)?;
        }
        self.kernel().run_due_inline();
        if keyspace.is_none() { self.kernel().release_log() } else { Ok(()) }
    }

    /// Flushes a keyspace and merges what shares a key with `bounds`, and what hangs together with
    /// it, into one run at the bottom, and waits: deletes and hidden versions in it are gone then.
    /// `is_cancelled` is asked about every MiB.
    pub fn compact_range(
        &self,
        keyspace: KeyspaceId,
        bounds: &Bounds,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let keyspaces = self.kernel().keyspaces(Some(keyspace))?;
        self.kernel().flush(&keyspaces)?;
        for keyspace in &keyspaces {
            self.kernel().compact_range(keyspace, bounds, is_cancelled)?;
        }
        self.kernel().run_due_inline();
        Ok(())
    }

    /// Merges a level of a keyspace into the next one, and waits: level 0 into the base level (or,
    /// under a policy without levels, into one run), the last level into itself. Flushes nothing.
    pub fn compact_level(
        &self,
        keyspace: KeyspaceId,
        level: u8,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        if level > LEVEL_LAST {
            return Err(Error::Invalid { reason: format!("there is no level {level}") });
        }
        for keyspace in &self.kernel().keyspaces(Some(keyspace))? {
            self.kernel().compact_level(keyspace, level, is_cancelled)?;
        }
        self.kernel().run_due_inline();
        Ok(())
    }

    /// Flushes a keyspace and passes all it holds through its merge once more, whatever its form
    /// is, and waits: what the merge has learnt to leave out is gone then.
    pub fn rewrite(
        &self,
        keyspace: KeyspaceId,
        options: CompactOptions,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let keyspaces = self.kernel().keyspaces(Some(keyspace))?;
        self.kernel().flush(&keyspaces)?;
        for keyspace in &keyspaces {
            self.kernel().rewrite_all(keyspace, options.is_final, is_cancelled)?;
        }
        self.kernel().run_due_inline();
        Ok(())
    }

    /// Makes everything written so far durable.
    pub fn sync(&self) -> Result<()> {
        let kernel = self.kernel();
        kernel.check_writable()?;
        let wal = kernel.wal();
        wal.sync_to(wal.end()).map_err(|error| kernel.fail_if_read_only(error))
    }

    /// What is due by time: flushes of old memtables, tables that have expired as a whole, retries
    /// after a full disk.
    pub fn maintain(&self) -> Result<()> {
        let kernel = self.kernel();
        kernel.check_writable()?;
        kernel.seal_old();
        kernel.look_at_expired();
        kernel.signal.raise();
        kernel.run_due_inline();
        Ok(())
    }

    /// Changes how long puts to a keyspace last that do not say it, from now on; `None`: for ever.
    ///
    /// # Errors
    /// `Invalid` where the time is less than a millisecond.
    pub fn set_ttl(&self, keyspace: KeyspaceId, ttl: Option<Duration>) -> Result<()> {
        self.kernel().set_ttl(keyspace, ttl.map(millis))
    }

    /// Changes the compaction policy of a keyspace.
    pub fn set_policy(&self, keyspace: KeyspaceId, policy: Policy) -> Result<()> {
        self.kernel().set_policy(keyspace, policy)?;
        self.kernel().run_due_inline();
        Ok(())
    }

    /// Asks for one final run of the keyspace, in the background: its window has closed.
    /// Does nothing where it already is one final run.
    pub fn mark_final(&self, keyspace: KeyspaceId) -> Result<()> {
        let kernel = self.kernel();
        kernel.check_writable()?;
        let keyspace = kernel.keyspace(keyspace)?;
        kernel.seal(&keyspace, FlushReason::Manual);
        keyspace.wants_final.store(true, Ordering::Release);
        kernel.schedule.lock().compaction_due(&keyspace);
        kernel.signal.raise();
        kernel.run_due_inline();
        Ok(())
    }

    /// Jobs that run, by number, then those that wait: flushes, then the compactions that would
    /// begin now.
    pub fn jobs(&self) -> Vec<JobInfo> {
        self.kernel().jobs()
    }

    /// What happened after the event `id`, oldest first; 0: all that is remembered, which is
    /// [`crate::events::EVENTS_MAX`] events.
    pub fn events(&self, id: u64) -> Vec<Event> {
        self.kernel().journal.since(id)
    }

    /// Asks a compaction that somebody asked for, by its number in [`Store::jobs`], to end. Its
    /// caller gets `Cancelled` within about a MiB.
    ///
    /// # Errors
    /// `NotFound` when no such job runs, `Invalid` when it is one of the background: it would be
    /// picked again at once.
    pub fn cancel_job(&self, id: u64) -> Result<()> {
        self.kernel().cancel_job(id)
    }

    /// Holds compactions: none begins, and those that run wait at their next MiB, their inputs
    /// claimed. Flushes go on, so level 0 grows meanwhile, and writers feel it in the end.
    pub fn pause_compactions(&self) {
        self.kernel().set_paused(true);
    }

    /// Lets compactions go on.
    pub fn resume_compactions(&self) {
        self.kernel().set_paused(false);
        self.kernel().run_due_inline();
    }

    /// Whether compactions are paused.
    pub fn is_paused(&self) -> bool {
        self.kernel().is_paused()
    }

    /// Bytes a second that all compactions together may read; 0: no limit.
    pub fn set_compaction_rate(&self, bytes_per_s: u64) {
        self.kernel().rate.set(bytes_per_s);
        self.kernel().signal.raise();
    }

    /// Verifies the directory: manifest, log and tables; `deep` reads every byte. `progress` gets
    /// tables done and tables in all.
    pub fn check(&self, deep: bool, progress: &dyn Fn(u64, u64)) -> Result<CheckReport> {
        self.kernel().check_open()?;
        check::run(self.kernel(), deep, progress)
    }

    /// Its identity: no other store has it, unless its folder is a copy.
    pub fn id(&self) -> u128 {
        self.kernel().manifest.lock().store_id()
    }

    /// Fixes one moment of the keyspaces whose names are meant, to take their tables out. Writers
    /// go on: they wait for nothing but the lock that gives batches their numbers, under which
    /// `is_meant` is asked.
    pub fn begin_export(&self, is_meant: &dyn Fn(&str) -> bool) -> Result<PendingExport> {
        self.kernel().begin_export(is_meant)
    }

    /// Begins to take table files in, as new keyspaces.
    pub fn begin_import(&self) -> Result<Import> {
        self.kernel().begin_import()
    }

    /// Makes a store in the empty or missing folder `dir` that holds what this one holds now, by
    /// hard links where the file system can, else by copies.
    ///
    /// # Errors
    /// `Invalid` when the folder is not empty. What a failed or cancelled checkpoint leaves does
    /// not open as a store.
    pub fn checkpoint(&self, dir: &Path, is_cancelled: &dyn Fn() -> bool) -> Result<()> {
        self.kernel().checkpoint(dir, is_cancelled)
    }

    /// Numbers of the store as they are now.
    pub fn metrics(&self) -> StoreMetrics {
        self.kernel().metrics()
    }

    /// Why the store is read-only, if it is.
    pub fn read_only_cause(&self) -> Option<Error> {
        self.kernel().failure.get().map(|cause| Error::clone(cause))
    }

    /// Syncs the log, stops the background and lets go of the directory. Every later call fails
    /// with `Closed`.
    ///
    /// # Errors
    /// `ReadOnly` when writing had stopped: what was acknowledged before it was durable may be
    /// lost.
    pub fn close(&self) -> Result<()> {
        self.kernel().close()
    }
}

/// Whole milliseconds of a duration; what does not fit is for ever.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
