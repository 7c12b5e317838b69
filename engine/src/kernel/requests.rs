//! What callers ask for beside reads and writes: keyspaces made and dropped, policies, flushes and
//! compactions that are waited for, the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Kernel;
use crate::events::EventKind;
use crate::expiry::now_ms;
use crate::key::KeyspaceId;
use crate::keyspace::{FlushReason, Keyspace, KeyspaceState, MemtableSlot};
use crate::levels::Version;
use crate::manifest::edit::{CommittedEdit, Edit};
use crate::options::{KeyspaceOptions, Policy, RuntimeOptions};
use crate::wal::Wal;
use crate::{Error, Result};

/// How long a waiting call sleeps between two looks, should it miss a signal.
const WAIT: Duration = Duration::from_millis(500);

impl Kernel {
    pub fn run_due_inline(self: &Arc<Self>) {
        if self.is_inline() {
            self.run_due();
        }
    }

    /// Makes those of `names` that do not exist, with one edit; gives all of them, in order.
    pub fn create_keyspaces(
        &self,
        names: &[String],
        options: &KeyspaceOptions,
    ) -> Result<Vec<Keyspace>> {
        self.check_writable()?;
        names.iter().try_for_each(|name| self.check_name(name))?;
        check_ttl(options.ttl_ms)?;
        options.policy.map_or(Ok(()), |policy| policy.check())?;
        let mut manifest = self.manifest.lock();
        let mut missing: Vec<&String> = {
            let registry = self.registry.read();
            names.iter().filter(|name| !registry.by_name.contains_key(name.as_str())).collect()
        };
        missing.sort_unstable();
        missing.dedup();
        if let [first, ..] = missing[..] {
            let (limit, got) = (self.options.keyspaces_max, self.registry.read().by_name.len());
            if got + missing.len() > limit {
                let (limit, got) = (limit as u64, (got + missing.len()) as u64);
                return Err(Error::Limit { what: "keyspaces", limit, got });
            }
            let reason = match missing.len() {
                1 => format!("create {first}"),
                count => format!("create {first} and {} more", count - 1),
            };
            let mut edit = Edit::new(self.options.clock.unix_ns(), reason);
            let next = manifest.state().next_keyspace;
            let made: Vec<Keyspace> = (next.0..)
                .zip(&missing)
                .map(|(id, name)| Keyspace { id: KeyspaceId(id), name: name.as_str().into() })
                .collect();
            for Keyspace { id, name } in &made {
                edit.add_keyspace(*id, name.clone(), options.policy, options.compression);
                if options.ttl_ms.is_some() {
                    edit.set_ttl(*id, options.ttl_ms);
                }
            }
            manifest.commit(edit).map_err(|error| self.fail(error))?;
            let policy = options.policy.unwrap_or(self.options.policy);
            let mut registry = self.registry.write();
            for keyspace in made {
                let hooks = self.options.hooks.hooks(&keyspace.name);
                let version = Version::default();
                let compression = options.compression;
                let state = KeyspaceState::new(keyspace, hooks, compression, policy, version);
                state.set_ttl_ms(options.ttl_ms);
                registry.insert(state);
            }
        }
        let registry = self.registry.read();
        let found = names.iter().filter_map(|name| registry.get(*registry.by_name.get(&**name)?));
        Ok(found.map(|keyspace| keyspace.handle()).collect())
    }

    pub fn check_name(&self, name: &str) -> Result<()> {
        if name.is_empty() || name.len() > self.options.key_bytes_max {
            return Err(Error::Invalid { reason: "a keyspace needs a name".to_owned() });
        }
        Ok(())
    }

    pub fn drop_keyspaces(&self, ids: &[KeyspaceId], reason: &str) -> Result<()> {
        self.check_writable()?;
        let mut manifest = self.manifest.lock();
        let dropped = self.existing(ids);
        if dropped.is_empty() {
            return Ok(());
        }
        self.mark_dropped(&dropped, true);
        let mut edit = Edit::new(self.options.clock.unix_ns(), format!("drop: {reason}"));
        dropped.iter().for_each(|keyspace| edit.drop_keyspace(keyspace.id));
        let committed = manifest.commit(edit).map_err(|error| {
            self.mark_dropped(&dropped, false);
            self.fail(error)
        })?;
        for keyspace in &dropped {
            self.registry.write().remove(keyspace.id);
        }
        self.forget(&dropped, &committed);
        drop(manifest);
        self.signal.raise();
        Ok(())
    }

    /// Lets go of what dropped keyspaces hold, in memory and on disk.
    pub(super) fn forget(&self, dropped: &[Arc<KeyspaceState>], committed: &CommittedEdit) {
        for keyspace in dropped {
            let old = {
                let mut commits = self.commits.lock();
                commits.dirty.remove(&keyspace.id);
                keyspace.change_picture(|picture| *picture = Default::default())
            };
            old.version.tables().for_each(|(_, table)| table.set_obsolete(committed));
            old.sealed.iter().for_each(|slot| self.memory.forget_sealed(slot));
            old.active.iter().for_each(|slot| self.memory.forget_active(slot));
        }
    }

    pub fn set_policy(&self, id: KeyspaceId, policy: Policy) -> Result<()> {
        self.check_writable()?;
        policy.check()?;
        let mut manifest = self.manifest.lock();
        let keyspace = self.keyspace(id)?;
        if *keyspace.policy.lock() == policy {
            return Ok(());
        }
        let mut edit = Edit::new(self.options.clock.unix_ns(), "policy");
        edit.set_policy(id, policy);
        manifest.commit(edit).map_err(|error| self.fail(error))?;
        *keyspace.policy.lock() = policy;
        self.press(&keyspace);
        self.note(&keyspace.name, 0, EventKind::Policy { name: policy.name() });
        self.schedule.lock().compaction_due(&keyspace);
        self.signal.raise();
        Ok(())
    }

    /// Changes what the store goes by, and does at once what follows from it.
    pub fn set_options(
        self: &Arc<Self>,
        change: impl FnOnce(&mut RuntimeOptions),
    ) -> Result<RuntimeOptions> {
        self.check_open()?;
        let (before, after) = self.runtime.change(change)?;
        if after.cache_bytes != before.cache_bytes {
            self.cache.set_bytes_max(after.cache_bytes);
        }
        self.rate.set(after.compaction_bytes_per_s);
        let keyspaces: Vec<_> = self.registry.read().all().cloned().collect();
        keyspaces.iter().for_each(|keyspace| self.press(keyspace));
        if self.check_writable().is_ok() {
            self.seal_largest(FlushReason::Size);
            self.seal_log_pins();
        }
        self.signal.raise();
        Ok(after)
    }

    /// Changes how long puts last that do not say it; what is written keeps its moment.
    pub fn set_ttl(&self, id: KeyspaceId, ttl_ms: Option<u64>) -> Result<()> {
        self.check_writable()?;
        check_ttl(ttl_ms)?;
        let mut manifest = self.manifest.lock();
        let keyspace = self.keyspace(id)?;
        let mut edit = Edit::new(self.options.clock.unix_ns(), "ttl");
        edit.set_ttl(id, ttl_ms);
        manifest.commit(edit).map_err(|error| self.fail(error))?;
        keyspace.set_ttl_ms(ttl_ms);
        Ok(())
    }

    /// Has a look at keyspaces with tables that have expired as a whole.
    pub fn look_at_hidden(&self) {
        let now_ms = now_ms(&*self.options.clock);
        let registry = self.registry.read();
        let is_due = |version: &Version| {
            version.expires_first_ms <= now_ms || !version.range_deletes.is_empty()
        };
        let due = registry.all().filter(|keyspace| is_due(&keyspace.picture().version));
        let mut schedule = self.schedule.lock();
        due.for_each(|keyspace| schedule.compaction_due(keyspace));
    }

    /// Flushes what the keyspaces hold in memory now, and waits.
    pub fn flush(self: &Arc<Self>, keyspaces: &[Arc<KeyspaceState>]) -> Result<()> {
        self.check_writable()?;
        let failures = self.counters.job_failures.load(Ordering::Relaxed);
        let mut waiting = Vec::new();
        for keyspace in keyspaces {
            self.seal(keyspace, FlushReason::Manual);
            waiting.extend(keyspace.picture().sealed.iter().map(|s| (keyspace.clone(), s.clone())));
        }
        self.wait_for_jobs(failures, &mut || {
            let is_sealed = |(keyspace, slot): &(Arc<KeyspaceState>, Arc<MemtableSlot>)| {
                keyspace.picture().sealed.iter().any(|other| Arc::ptr_eq(other, slot))
            };
            while waiting.last().is_some_and(|last| !is_sealed(last)) {
                waiting.pop();
            }
            Ok(waiting.is_empty())
        })
    }

    /// Runs jobs, or waits for them, until `is_done`. `failures` is the number of jobs that had
    /// failed when the caller began: one more ends the wait.
    pub fn wait_for_jobs(
        self: &Arc<Self>,
        failures: u64,
        is_done: &mut dyn FnMut() -> Result<bool>,
    ) -> Result<()> {
        loop {
            let seen = self.signal.now();
            if is_done()? {
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

    /// Seals memtables that are older than the options allow.
    pub fn seal_old(&self) {
        let now = self.options.clock.monotonic_ns();
        let age_max = self.runtime.all().memtable_age_ms_max.saturating_mul(1_000_000);
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
    pub fn close_workers(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.signal.raise();
        self.workers.join();
    }

    /// Says with what the log, now closed, has ended: from here on damage of its last record is
    /// told from one that was never finished.
    fn end_manifest(&self) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let mut edit = Edit::new(self.options.clock.unix_ns(), "close");
        edit.log_end(self.wal().last_segment());
        let _committed = manifest.commit(edit)?;
        manifest.close()
    }

    pub fn close(&self) -> Result<()> {
        let Some(lock) = self.lock.lock().take() else { return Ok(()) };
        self.close_workers();
        let outcome = match self.failure.get() {
            Some(cause) if matches!(**cause, Error::OpenedReadOnly) => Ok(()),
            // What was not waited for may be lost, so this is no clean end.
            Some(cause) => Err(Error::ReadOnly { cause: Arc::clone(cause) }),
            None => {
                self.graveyard.clear();
                self.wal().close().and_then(|()| self.end_manifest())
            }
        };
        self.graveyard.close();
        // Futures that nobody syncs for any more do it themselves.
        self.wal.get().into_iter().for_each(Wal::wake_all);
        drop(lock);
        outcome
    }
}

/// A time to live is some time.
pub(super) fn check_ttl(ttl_ms: Option<u64>) -> Result<()> {
    if ttl_ms == Some(0) {
        return Err(Error::Invalid { reason: "a time to live of nothing".to_owned() });
    }
    Ok(())
}
