//! What a store is told to do beside reads and writes: flush, compact, keep, watch, check, copy
//! and close.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;

impl Store {
    /// Flushes the memtables of one keyspace or of all, and waits. The log's room is given back
    /// too, where no memtable is left.
    ///
    /// ```
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// store.flush(Some(notes.id))?;
    /// assert_eq!(store.metrics().memtables_active, 0);
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn flush(&self, keyspace: Option<KeyspaceId>) -> Result<()> {
        let keyspaces = self.kernel().keyspaces(keyspace)?;
        self.kernel().flush(&keyspaces)?;
        self.kernel().run_due_inline();
        self.kernel().release_log()
    }

    /// Flushes and compacts one keyspace or all into one run each, and waits. `is_cancelled` is
    /// asked about every MiB.
    ///
    /// ```
    /// # use firndb_engine::store::CompactOptions;
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// store.compact(Some(notes.id), CompactOptions { is_final: true }, &|| false)?;
    /// assert!(store.view(notes.id)?.is_final());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
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
        self.kernel().release_log()
    }

    /// Flushes a keyspace and merges what shares a key with `bounds`, and what hangs together with
    /// it, into one run at the bottom, and waits: deletes and hidden versions in it are gone then.
    /// `is_cancelled` is asked about every MiB.
    ///
    /// ```
    /// # use firndb_engine::scan::bounds::Bounds;
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// store.compact_range(notes.id, &Bounds::prefix(b"a"), &|| false)?;
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// store.flush(None)?;
    /// store.compact_level(notes.id, 0, &|| false)?;
    /// assert_eq!(store.view(notes.id)?.tables().len(), 1);
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
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
    ///
    /// ```
    /// # use firndb_engine::store::CompactOptions;
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// store.rewrite(notes.id, CompactOptions::default(), &|| false)?;
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
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
    ///
    /// ```
    /// # use firndb_engine::batch::WriteBatch;
    /// # use firndb_engine::options::Durability;
    /// # use firndb_engine::store::WriteOptions;
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// let mut batch = WriteBatch::new();
    /// batch.put(notes.id, b"quick", b"1");
    /// let options = WriteOptions { durability: Some(Durability::Interval) };
    /// let commit = store.write(&batch, options)?;
    /// assert!(!commit.is_durable());
    /// store.sync()?; // on a tick
    /// assert!(commit.is_durable());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn sync(&self) -> Result<()> {
        let kernel = self.kernel();
        kernel.check_writable()?;
        let wal = kernel.wal();
        wal.sync_to(wal.end()).map_err(|error| kernel.fail_if_read_only(error))
    }

    /// What is due by time: flushes of old memtables, tables that have expired as a whole, retries
    /// after a full disk.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// store.maintain()?; // on a tick
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn maintain(&self) -> Result<()> {
        let kernel = self.kernel();
        kernel.check_writable()?;
        kernel.seal_old();
        kernel.look_at_hidden();
        kernel.signal.raise();
        kernel.run_due_inline();
        Ok(())
    }

    /// Changes how long puts to a keyspace last that do not say it, from now on; `None`: for ever.
    ///
    /// # Errors
    /// `Invalid` where the time is less than a millisecond.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// store.set_ttl(notes.id, Some(Duration::from_secs(3600)))?;
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn set_ttl(&self, keyspace: KeyspaceId, ttl: Option<Duration>) -> Result<()> {
        self.kernel().set_ttl(keyspace, ttl.map(millis))
    }

    /// Changes the compaction policy of a keyspace.
    ///
    /// # Errors
    /// `Invalid` where a number of it will not do; it says which, and what is allowed.
    ///
    /// ```
    /// # use firndb_engine::options::{Policy, Tiered};
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// store.set_policy(notes.id, Policy::Tiered(Tiered::default()))?;
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn set_policy(&self, keyspace: KeyspaceId, policy: Policy) -> Result<()> {
        self.kernel().set_policy(keyspace, policy)?;
        self.kernel().run_due_inline();
        Ok(())
    }

    /// Asks for one final run of the keyspace, in the background: its window has closed.
    /// Does nothing where it already is one final run.
    ///
    /// ```
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// store.mark_final(notes.id)?;
    /// assert!(store.view(notes.id)?.is_final());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// assert!(store.jobs().is_empty());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn jobs(&self) -> Vec<JobInfo> {
        self.kernel().jobs()
    }

    /// What happened after the event `id`, oldest first; 0: all that is remembered, which is
    /// [`crate::events::EVENTS_MAX`] events.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// store.flush(None)?;
    /// assert!(!store.events(0).is_empty());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn events(&self, id: u64) -> Vec<Event> {
        self.kernel().journal.since(id)
    }

    /// Asks a compaction that somebody asked for, by its number in [`Store::jobs`], to end. Its
    /// caller gets `Cancelled` within about a MiB.
    ///
    /// # Errors
    /// `NotFound` when no such job runs, `Invalid` when it is one of the background: it would be
    /// picked again at once.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// assert!(store.cancel_job(17).is_err(), "no such job");
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn cancel_job(&self, id: u64) -> Result<()> {
        self.kernel().cancel_job(id)
    }

    /// Holds compactions: none begins, and those that run wait at their next MiB, their inputs
    /// claimed. Flushes go on, so level 0 grows meanwhile, and writers feel it in the end.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// store.pause_compactions();
    /// assert!(store.is_paused());
    /// store.resume_compactions();
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn pause_compactions(&self) {
        self.kernel().set_paused(true);
    }

    /// Lets compactions go on.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// # store.pause_compactions();
    /// store.resume_compactions();
    /// assert!(!store.is_paused());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn resume_compactions(&self) {
        self.kernel().set_paused(false);
        self.kernel().run_due_inline();
    }

    /// Whether compactions are paused.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// assert!(!store.is_paused());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn is_paused(&self) -> bool {
        self.kernel().is_paused()
    }

    /// Verifies the directory: manifest, log and tables; `deep` reads every byte. `progress` gets
    /// tables done and tables in all.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// let report = store.check(true, &|done, total| println!("{done} of {total} tables"))?;
    /// assert!(report.findings.is_empty());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn check(&self, deep: bool, progress: &dyn Fn(u64, u64)) -> Result<CheckReport> {
        self.kernel().check_open()?;
        check::run(self.kernel(), deep, progress)
    }

    /// Its identity: no other store has it, unless its folder is a copy.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// let (other, _) = firndb_engine::example::store()?;
    /// println!("{:032x} and {:032x}", store.id(), other.id());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn id(&self) -> u128 {
        self.kernel().manifest.lock().store_id()
    }

    /// Fixes one moment of the keyspaces whose names are meant, to take their tables out. Writers
    /// go on: they wait for nothing but the lock that gives batches their numbers, under which
    /// `is_meant` is asked.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// let pending = store.begin_export(&|name| name.starts_with("notes"))?;
    /// let export = pending.wait(&|| false)?;
    /// assert_eq!(export.keyspaces.len(), 1);
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn begin_export(&self, is_meant: &dyn Fn(&str) -> bool) -> Result<PendingExport> {
        self.kernel().begin_export(is_meant)
    }

    /// Begins to take table files in, as new keyspaces.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// let import = store.begin_import()?;
    /// drop(import); // nothing was taken in
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn begin_import(&self) -> Result<Import> {
        self.kernel().begin_import()
    }

    /// Makes a store in the empty or missing folder `dir` that holds what this one holds now, by
    /// hard links where the file system can, else by copies.
    ///
    /// # Errors
    /// `Invalid` when the folder is not empty. What a failed or cancelled checkpoint leaves does
    /// not open as a store.
    ///
    /// ```
    /// # use firndb_engine::options::Options;
    /// # use firndb_engine::store::Store;
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// store.checkpoint("/copy".as_ref(), &|| false)?;
    /// let copy = Store::open(Options { dir: "/copy".into(), ..store.options().clone() })?;
    /// assert!(copy.get(notes.id, b"a", None)?.is_some());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn checkpoint(&self, dir: &Path, is_cancelled: &dyn Fn() -> bool) -> Result<()> {
        self.kernel().checkpoint(dir, is_cancelled)
    }

    /// Numbers of the store as they are now.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// assert_eq!(store.metrics().visible_seq, 1);
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn metrics(&self) -> StoreMetrics {
        self.kernel().metrics()
    }

    /// Why the store is read-only, if it is.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// assert!(store.read_only_cause().is_none());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn read_only_cause(&self) -> Option<Error> {
        self.kernel().failure.get().map(|cause| Error::clone(cause))
    }

    /// Syncs the log, stops the background and lets go of the directory. Every later call fails
    /// with `Closed`.
    ///
    /// # Errors
    /// `ReadOnly` when writing had stopped: what was acknowledged before it was durable may be
    /// lost.
    ///
    /// ```
    /// # use firndb_engine::Error;
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// store.close()?;
    /// assert!(matches!(store.get(notes.id, b"a", None), Err(Error::Closed)));
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn close(&self) -> Result<()> {
        self.kernel().close()
    }
}
