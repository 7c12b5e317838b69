//! The store: open, write, read, flush, compact, check, close. It coordinates; every decision and
//! every format lives in another file.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::WriteBatch;
use crate::check::{self, CheckReport};
use crate::events::Event;
use crate::expiry::now_ms;
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

mod upkeep;

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
    ///
    /// ```
    /// # use firndb_engine::store::Store;
    /// let mut options = firndb_engine::example::options();
    /// options.memtable_bytes_max = 16 << 20;
    /// let store = Store::open(options)?;
    /// # store.close()?;
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn open(options: Options) -> Result<Self> {
        Store::open_with_progress(options, &|_| {})
    }

    /// As [`Store::open`], saying how far it is.
    ///
    /// ```
    /// # use firndb_engine::store::Store;
    /// let progress = |at| println!("{at:?}");
    /// let store = Store::open_with_progress(firndb_engine::example::options(), &progress)?;
    /// # store.close()?;
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
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
    ///
    /// ```
    /// # use firndb_engine::Error;
    /// # use firndb_engine::batch::WriteBatch;
    /// # use firndb_engine::store::{Store, WriteOptions};
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// // Another process may have it open.
    /// let reader = Store::open_read_only(store.options().clone())?;
    /// assert!(reader.get(notes.id, b"a", None)?.is_some());
    /// let mut batch = WriteBatch::new();
    /// batch.delete(notes.id, b"a");
    /// let refused = reader.write(&batch, WriteOptions::default());
    /// assert!(matches!(refused, Err(Error::ReadOnly { .. })));
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn open_read_only(options: Options) -> Result<Self> {
        let kernel = recovery::read_only::open_read_only(options, &|_| {})?;
        Ok(Store(Arc::new(Owner(kernel))))
    }

    fn kernel(&self) -> &Arc<Kernel> {
        &self.0.0
    }

    /// Changes options while the store is open; `change` is given those of now. Which may change,
    /// and from when on that counts, is told at [`RuntimeOptions`]. Gives all of them as they are
    /// then.
    ///
    /// # Errors
    /// `Invalid` when the outcome would not do; nothing is changed then.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// let now = store.set_options(|options| {
    ///     options.memtable_bytes_max = 8 << 20;
    ///     options.cache_bytes = 64 << 20;
    /// })?;
    /// assert_eq!(now.cache_bytes, 64 << 20);
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn set_options(&self, change: impl FnOnce(&mut RuntimeOptions)) -> Result<RuntimeOptions> {
        let options = self.kernel().set_options(change)?;
        self.kernel().run_due_inline();
        Ok(options)
    }

    /// The options that may change, as they are now.
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// assert_eq!(store.runtime_options().cache_bytes, store.options().cache_bytes);
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn runtime_options(&self) -> RuntimeOptions {
        self.kernel().runtime.all()
    }

    /// The options it was opened with. Some may have changed since: [`Store::runtime_options`].
    ///
    /// ```
    /// # let (store, _) = firndb_engine::example::store()?;
    /// assert_eq!(store.options().dir.to_str(), Some("/store"));
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn options(&self) -> &Options {
        &self.kernel().options
    }

    /// Creates the keyspace `name`, or gives the one of that name.
    ///
    /// ```
    /// # use firndb_engine::options::KeyspaceOptions;
    /// # let (store, _) = firndb_engine::example::store()?;
    /// let users = store.create_keyspace("users", KeyspaceOptions::default())?;
    /// assert_eq!(store.create_keyspace("users", KeyspaceOptions::default())?, users);
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn create_keyspace(&self, name: &str, options: KeyspaceOptions) -> Result<Keyspace> {
        let mut made = self.kernel().create_keyspaces(&[name.to_owned()], &options)?;
        Ok(made.pop().expect("one name, one keyspace"))
    }

    /// Creates those of `names` that do not exist, with one edit of the manifest; gives all of
    /// them, in order.
    ///
    /// ```
    /// # use firndb_engine::options::KeyspaceOptions;
    /// # let (store, _) = firndb_engine::example::store()?;
    /// let names = ["north".to_owned(), "south".to_owned()];
    /// let made = store.create_keyspaces(&names, KeyspaceOptions::default())?;
    /// assert_eq!(&*made[1].name, "south");
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn create_keyspaces(
        &self,
        names: &[String],
        options: KeyspaceOptions,
    ) -> Result<Vec<Keyspace>> {
        self.kernel().create_keyspaces(names, &options)
    }

    /// The keyspace called `name`.
    ///
    /// ```
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// assert_eq!(store.keyspace("notes"), Some(notes));
    /// assert_eq!(store.keyspace("nowhere"), None);
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn keyspace(&self, name: &str) -> Option<Keyspace> {
        let registry = self.kernel().registry.read();
        let id = registry.by_name.get(name)?;
        registry.get(*id).map(|keyspace| keyspace.handle())
    }

    /// All keyspaces, by name.
    ///
    /// ```
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// assert_eq!(store.keyspaces(), [notes]);
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn keyspaces(&self) -> Vec<Keyspace> {
        self.kernel().registry.read().all().map(|keyspace| keyspace.handle()).collect()
    }

    /// Drops keyspaces with one edit; their files go whole, once nobody reads them.
    /// Ids that do not exist are passed over.
    ///
    /// ```
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// store.drop_keyspaces(&[notes.id], "not needed any more")?;
    /// assert!(store.keyspaces().is_empty());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
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
    ///
    /// ```
    /// # use firndb_engine::batch::WriteBatch;
    /// # use firndb_engine::store::WriteOptions;
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// let mut batch = WriteBatch::new();
    /// batch.put(notes.id, b"milk", b"2 litres");
    /// batch.delete(notes.id, b"a");
    /// // All of it or nothing; on disk when this returns, by the default durability.
    /// let commit = store.write(&batch, WriteOptions::default())?;
    /// assert!(commit.is_durable());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn write(&self, batch: &WriteBatch, options: WriteOptions) -> Result<Commit> {
        let commit = self.kernel().commit(batch, options.durability)?;
        commit.wait()?;
        self.kernel().after_commit();
        Ok(commit)
    }

    /// Writes a batch; the caller waits with [`Commit::wait`], or with `.await`.
    ///
    /// ```
    /// # use firndb_engine::batch::WriteBatch;
    /// # use firndb_engine::store::WriteOptions;
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// let mut batch = WriteBatch::new();
    /// batch.put(notes.id, b"milk", b"2 litres");
    /// let commit = store.write_no_wait(&batch, WriteOptions::default())?;
    /// // Readers see it; the disk may not have it yet.
    /// assert!(store.get(notes.id, b"milk", None)?.is_some());
    /// commit.wait()?; // in an async function: `commit.await?`
    /// assert!(commit.is_durable());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn write_no_wait(&self, batch: &WriteBatch, options: WriteOptions) -> Result<Commit> {
        let commit = self.kernel().commit(batch, options.durability)?;
        self.kernel().after_commit();
        Ok(commit)
    }

    /// Removes the keys from `start` up to, not including, `end`: one small write, however many
    /// there are. Within a batch it is [`WriteBatch::delete_range`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use firndb_engine::{clock::ManualClock, fs::sim::SimFs, hooks::Plain};
    /// # use firndb_engine::options::{KeyspaceOptions, Options};
    /// # use firndb_engine::{batch::WriteBatch, store::{Store, WriteOptions}};
    /// # let (fs, clock) = (Arc::new(SimFs::new(1)), Arc::new(ManualClock::at(0)));
    /// # let store = Store::open(Options::new("/db", fs, clock, Arc::new(Plain::new())))?;
    /// let days = store.create_keyspace("days", KeyspaceOptions::default())?.id;
    /// let mut batch = WriteBatch::new();
    /// for day in ["2025-12-30", "2025-12-31", "2026-01-01"] {
    ///     batch.put(days, day.as_bytes(), b"...");
    /// }
    /// store.write(&batch, WriteOptions::default())?;
    /// let before = store.snapshot();
    /// store.delete_range(days, b"2025", b"2026", WriteOptions::default())?;
    /// assert!(store.get(days, b"2025-12-31", None)?.is_none());
    /// assert!(store.get(days, b"2025-12-31", Some(&before))?.is_some());
    /// assert!(store.get(days, b"2026-01-01", None)?.is_some());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` unless `start < end`; those of [`Store::write`].
    pub fn delete_range(
        &self,
        keyspace: KeyspaceId,
        start: &[u8],
        end: &[u8],
        options: WriteOptions,
    ) -> Result<Commit> {
        let mut batch = WriteBatch::new();
        batch.delete_range(keyspace, start, end);
        self.write(&batch, options)
    }

    /// Removes the keys that start with `prefix`; with an empty one every key.
    ///
    /// # Errors
    /// Those of [`Store::write`].
    pub fn delete_prefix(
        &self,
        keyspace: KeyspaceId,
        prefix: &[u8],
        options: WriteOptions,
    ) -> Result<Commit> {
        // Where nothing comes behind the prefix: behind the greatest key there can be.
        let last = || vec![u8::MAX; self.options().key_bytes_max + 1];
        let end = Bounds::prefix(prefix).upper.unwrap_or_else(last);
        self.delete_range(keyspace, prefix, &end, options)
    }

    /// Sets `key` to `value` for as long as `ttl` by the store's clock; from then on it is as if
    /// the key were deleted. Within a batch, with a moment: [`WriteBatch::put_with_ttl`].
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use firndb_engine::{clock::ManualClock, fs::sim::SimFs, hooks::Plain};
    /// # use firndb_engine::options::{KeyspaceOptions, Options};
    /// # use firndb_engine::store::{Store, WriteOptions};
    /// # let (fs, clock) = (Arc::new(SimFs::new(1)), Arc::new(ManualClock::at(0)));
    /// # let hooks = Arc::new(Plain::new());
    /// # let store = Store::open(Options::new("/db", fs, clock.clone(), hooks))?;
    /// let sessions = store.create_keyspace("sessions", KeyspaceOptions::default())?.id;
    /// let hour = Duration::from_secs(3600);
    /// store.put_with_ttl(sessions, b"7f3a", b"ada", hour, WriteOptions::default())?;
    /// assert!(store.get(sessions, b"7f3a", None)?.is_some());
    /// clock.advance_ns(3600 * 1_000_000_000);
    /// assert!(store.get(sessions, b"7f3a", None)?.is_none());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Store::write`].
    pub fn put_with_ttl(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        value: &[u8],
        ttl: Duration,
        options: WriteOptions,
    ) -> Result<Commit> {
        let expires_at_ms = now_ms(&*self.options().clock).saturating_add(millis(ttl));
        let mut batch = WriteBatch::new();
        batch.put_with_ttl(keyspace, key, value, expires_at_ms);
        self.write(&batch, options)
    }

    /// Begins a transaction that sees what is visible now, and is refused at its commit where
    /// another writer came in between.
    ///
    /// ```
    /// # use firndb_engine::Error;
    /// # use firndb_engine::store::WriteOptions;
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// let mut first = store.transaction()?;
    /// let mut second = store.transaction()?;
    /// for transaction in [&mut first, &mut second] {
    ///     let value = transaction.get(notes.id, b"a")?.unwrap_or_default();
    ///     transaction.put(notes.id, b"a", &[&*value, b"+1"].concat())?;
    /// }
    /// first.commit(WriteOptions::default())?.wait()?;
    /// // What it read has changed since.
    /// let refused = second.commit(WriteOptions::default());
    /// assert!(matches!(refused, Err(Error::Conflict { .. })));
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn transaction(&self) -> Result<Transaction> {
        self.transaction_with(TransactionOptions::default())
    }

    /// As [`Store::transaction`], with a say in what counts as in between.
    ///
    /// ```
    /// # use firndb_engine::store::{Isolation, TransactionOptions, WriteOptions};
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// let options = TransactionOptions { isolation: Isolation::Snapshot };
    /// let mut transaction = store.transaction_with(options)?;
    /// if transaction.get_for_update(notes.id, b"a")?.is_some() {
    ///     transaction.delete(notes.id, b"b")?;
    /// }
    /// transaction.commit(WriteOptions::default())?.wait()?;
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn transaction_with(&self, options: TransactionOptions) -> Result<Transaction> {
        Transaction::begin(self.kernel(), options)
    }

    /// Runs `body` in a transaction and commits it; again from the start, at most `attempts` times
    /// in all, where it conflicts.
    ///
    /// # Errors
    /// What `body` gives, after which nothing is stored; `Conflict` of the last attempt; those of
    /// [`Store::write`].
    ///
    /// ```
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// let moved = store.transact(10, |transaction| {
    ///     let Some(value) = transaction.get(notes.id, b"a")? else { return Ok(false) };
    ///     transaction.delete(notes.id, b"a")?;
    ///     transaction.put(notes.id, b"z", &value)?;
    ///     Ok(true)
    /// })?;
    /// assert!(moved && store.get(notes.id, b"a", None)?.is_none());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
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
    ///
    /// ```
    /// # use firndb_engine::batch::WriteBatch;
    /// # use firndb_engine::store::WriteOptions;
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// let before = store.snapshot();
    /// let mut batch = WriteBatch::new();
    /// batch.delete(notes.id, b"a");
    /// store.write(&batch, WriteOptions::default())?.wait()?;
    /// assert!(store.get(notes.id, b"a", None)?.is_none());
    /// assert!(store.get(notes.id, b"a", Some(&before))?.is_some());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        self.kernel().snapshots.take(|| self.kernel().publisher.visible())
    }

    /// The value of `key`. A value that lies in a table is not copied: it keeps its block in memory
    /// while it lives. [`Store::get_with`] spares the copy of one that lies in a memtable.
    ///
    /// ```
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// let value = store.get(notes.id, b"a", None)?;
    /// assert_eq!(value.as_deref(), Some(&b"1"[..]));
    /// assert!(store.get(notes.id, b"nothing", None)?.is_none());
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// let length = store.get_with(notes.id, b"a", None, |value| value.len())?;
    /// assert_eq!(length, Some(1));
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
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
    ///
    /// ```
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// let values = store.multi_get(notes.id, &["e", "nothing", "a"], None)?;
    /// assert_eq!(values.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
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
    ///
    /// ```
    /// # use firndb_engine::scan::bounds::Bounds;
    /// # use firndb_engine::store::ScanOptions;
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// for pair in store.scan(notes.id, ScanOptions::prefix(b"a"))? {
    ///     let (key, value) = pair?;
    ///     assert_eq!((&*key, &*value), (&b"a"[..], &b"1"[..]));
    /// }
    /// // From the last key to the first; and sent about, without a copy.
    /// let bounds = Bounds { lower: Some(b"b".to_vec()), upper: None };
    /// let mut walk = store.scan(notes.id, ScanOptions::within(bounds).reversed())?;
    /// assert!(walk.advance()? && walk.key() == b"e");
    /// assert!(walk.seek(b"c")? && walk.key() == b"c");
    /// assert!(walk.advance()? && walk.key() == b"b");
    /// assert!(!walk.advance()?, "the lower bound");
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn scan(&self, keyspace: KeyspaceId, options: ScanOptions<'_>) -> Result<KvIterator> {
        self.kernel().scan(keyspace, options)
    }

    /// Memtables and tables of a keyspace as they are now, pinned.
    ///
    /// ```
    /// # let (store, notes) = firndb_engine::example::store()?;
    /// store.flush(None)?;
    /// assert_eq!(store.view(notes.id)?.tables().len(), 1);
    /// # Ok::<(), firndb_engine::Error>(())
    /// ```
    pub fn view(&self, keyspace: KeyspaceId) -> Result<View> {
        self.kernel().view(keyspace)
    }
}

/// Whole milliseconds of a duration; what does not fit is for ever.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
