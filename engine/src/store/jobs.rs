//! The jobs of the background: flush, compaction, the next log segment, unlinking.
//!
//! Order: flushes first (they free memory and log), then the log segment that writers will need,
//! then unlinking, then compactions, which leave one worker free for the others.
//!
//! A job that fails leaves no output. On a full disk jobs wait and are tried again; any other
//! failure is retried once, then the store becomes read-only with the cause. A failure of the log
//! or the manifest makes it read-only at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::Core;
use crate::background::Step;
use crate::compaction::pick::{self, Plan, pick_all};
use crate::compaction::run::{self as compaction_run, Job, Progress};
use crate::compaction::{Claim, PlanReason};
use crate::compress::Compression;
use crate::key::FileNumber;
use crate::keyspace::{KeyspaceState, MemtableSlot, Picture};
use crate::levels::{Place, TableFile, Version};
use crate::manifest::edit::{DurableTable, Edit};
use crate::metrics::RunningCompaction;
use crate::options::Background;
use crate::outputs::OutputOptions;
use crate::table::TableOptions;
use crate::{Error, Result, flush};

/// How long jobs wait when the disk is full.
const NO_SPACE_WAIT_NS: u64 = 1_000_000_000;

/// Failures in a row after which the store gives up writing.
const FAILURES_MAX: u32 = 2;

impl Core {
    /// Runs one job, if one is due. What a worker does.
    pub fn step(self: &Arc<Self>) -> Step {
        if self.is_closed.load(Ordering::Acquire) {
            return Step::Stop;
        }
        if self.failure.get().is_some() {
            return Step::Idle;
        }
        let now = self.options.clock.monotonic_ns();
        if !self.is_inline() && now < self.schedule.lock().not_before_ns {
            return Step::Idle;
        }
        let step = self.flush_step();
        if step != Step::Idle {
            return step;
        }
        if self.prepare_step() || self.clear_step() {
            return Step::Done;
        }
        self.compaction_step()
    }

    /// Runs jobs on the calling thread until none is due; says `Done` if any was run.
    pub fn run_due(self: &Arc<Self>) -> Step {
        let mut step = Step::Idle;
        loop {
            match self.step() {
                Step::Done => step = Step::Done,
                Step::Failed => return Step::Failed,
                Step::Idle | Step::Stop => return step,
            }
        }
    }

    pub(crate) fn flush_step(self: &Arc<Self>) -> Step {
        let Some(keyspace) = self.schedule.lock().take_flush() else { return Step::Idle };
        let start = self.options.clock.monotonic_ns();
        let outcome = self.flush_oldest(&keyspace);
        let mut schedule = self.schedule.lock();
        schedule.flush_ended(&keyspace);
        if keyspace.picture().sealed.last().is_some_and(|slot| slot.is_ready()) {
            schedule.flush_due(&keyspace);
        }
        if outcome.is_ok() {
            schedule.succeeded(keyspace.id);
            schedule.compaction_due(&keyspace);
        }
        drop(schedule);
        let waited = self.options.clock.monotonic_ns().saturating_sub(start);
        self.counters.flush_ns.record(waited);
        self.ended(&keyspace, outcome)
    }

    /// What the end of a job means for the store.
    fn ended(&self, keyspace: &KeyspaceState, outcome: Result<()>) -> Step {
        let step = match outcome {
            Ok(()) => Step::Done,
            Err(Error::Cancelled) => Step::Done,
            Err(error) => {
                self.counters.job_failures.fetch_add(1, Ordering::Relaxed);
                *self.counters.last_job_error.lock() = Some(error.clone());
                if error.is_no_space() && !matches!(error, Error::ReadOnly { .. }) {
                    let now = self.options.clock.monotonic_ns();
                    self.schedule.lock().not_before_ns = now + NO_SPACE_WAIT_NS;
                } else {
                    let failures = self.schedule.lock().failed(keyspace.id);
                    let is_over = matches!(error, Error::ReadOnly { .. });
                    if is_over || failures >= FAILURES_MAX {
                        let _ = self.fail(error);
                    }
                }
                Step::Failed
            }
        };
        self.signal.raise();
        step
    }

    /// Flushes the oldest sealed memtable of `keyspace`.
    fn flush_oldest(&self, keyspace: &Arc<KeyspaceState>) -> Result<()> {
        let picture = keyspace.picture();
        let Some(slot) = picture.sealed.last().filter(|slot| slot.is_ready()) else {
            return Ok(());
        };
        // Only what every reader may see is flushed, so that a later snapshot misses nothing that
        // the merge drops; and only what is safe in the log, so that no table survives a crash
        // that takes other parts of its batches.
        self.publisher.wait(slot.last_seq());
        self.make_log_durable(slot)?;
        let snapshots = self.snapshots.list();
        let is_bottom = picture.version.is_empty();
        let options = self.output_options(keyspace, false, is_bottom);
        let memtable = slot.memtable.clone();
        let outputs = flush::run(memtable, &keyspace.hooks, snapshots, is_bottom, options)?;
        self.install_flush(keyspace, slot, outputs)
    }

    /// Makes the log up to the memtable's newest record durable. While the log is replayed there
    /// is no writer, and what is read is durable.
    fn make_log_durable(&self, slot: &MemtableSlot) -> Result<()> {
        match self.wal.get() {
            Some(wal) => wal.sync_to(slot.last_position()),
            None => Ok(()),
        }
    }

    fn install_flush(
        &self,
        keyspace: &Arc<KeyspaceState>,
        slot: &Arc<MemtableSlot>,
        outputs: crate::outputs::DurableOutputs,
    ) -> Result<()> {
        let mut manifest = self.manifest.lock();
        if keyspace.is_dropped.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut edit =
            Edit::new(self.options.clock.unix_ns(), format!("flush {}", slot.reason().name()));
        let log_from = {
            let commits = self.commits.lock();
            let current = self.log_end(slot);
            self.log_from(&commits, Some(slot), current)
        };
        edit.flushed(keyspace.id, slot.last_seq(), log_from);
        // Flushes of a keyspace are made one after the other, so the age is the greatest so far.
        let age = keyspace.picture().version.runs0.first().map_or(0, |run| run.age) + 1;
        let place = Place { level: 0, age };
        let tables = outputs.keep();
        tables.iter().for_each(|table| edit.add_table(keyspace.id, place, table));
        let version = self.next_version(keyspace, &[], &self.open_tables(place, &tables)?)?;
        let _committed = manifest.commit(edit)?;
        {
            let mut commits = self.commits.lock();
            let old = keyspace.change_picture(|picture| {
                picture.version = version;
                picture.sealed.pop();
            });
            if old.active.is_none() && old.sealed.len() == 1 {
                commits.dirty.remove(&keyspace.id);
            }
        }
        drop(manifest);
        let bytes = tables.iter().map(|table| table.meta().bytes).sum();
        self.counters.flushed(slot.reason(), bytes);
        self.memory.forget_sealed(slot);
        if let Some(wal) = self.wal.get() {
            // What stays is removed by the next call.
            let _ = wal.remove_before(log_from);
        }
        Ok(())
    }

    /// Gives back the log's room when no memtable needs it: after everything was flushed.
    pub(crate) fn release_log(&self) -> Result<()> {
        let mut manifest = self.manifest.lock();
        if !self.commits.lock().dirty.is_empty() {
            return Ok(());
        }
        let wal = self.wal();
        wal.shrink().map_err(|error| self.fail_if_read_only(error))?;
        let log_from = {
            let commits = self.commits.lock();
            self.log_from(&commits, None, wal.segment())
        };
        if log_from > manifest.state().log_from {
            let mut edit = Edit::new(self.options.clock.unix_ns(), "log");
            edit.set_log_from(log_from);
            let _committed = manifest.commit(edit).map_err(|error| self.fail(error))?;
        }
        drop(manifest);
        // What stays is removed by the next call.
        let _ = wal.remove_before(log_from);
        Ok(())
    }

    /// The segment that the next record goes to, or, while the log is replayed, the one being read.
    fn log_end(&self, slot: &MemtableSlot) -> FileNumber {
        match self.wal.get() {
            Some(wal) => wal.segment(),
            None => self.counters.replayed_segment().max(slot.first_segment),
        }
    }

    fn open_tables(
        &self,
        place: Place,
        tables: &[DurableTable],
    ) -> Result<Vec<(Place, Arc<TableFile>)>> {
        let open = |table: &DurableTable| {
            let file = TableFile::open(table.meta().clone(), &self.cache, &self.graveyard)?;
            Ok((place, file))
        };
        tables.iter().map(open).collect()
    }

    /// The version after an edit, checked before the edit is written.
    fn next_version(
        &self,
        keyspace: &KeyspaceState,
        removed: &[FileNumber],
        added: &[(Place, Arc<TableFile>)],
    ) -> Result<Arc<Version>> {
        let edited = keyspace.picture().version.edited(removed, added);
        edited.map(Arc::new).map_err(|reason| Error::Invalid {
            reason: format!("an edit of keyspace {} does not fit: {reason}", keyspace.name),
        })
    }

    /// How a job writes its tables.
    pub fn output_options(
        &self,
        keyspace: &KeyspaceState,
        is_final: bool,
        is_bottom: bool,
    ) -> OutputOptions {
        let options = &self.options;
        let default: Compression =
            if is_bottom { options.compression_last } else { options.compression_upper };
        OutputOptions {
            fs: options.fs.clone(),
            dir: options.dir.clone(),
            numbers: self.numbers.clone(),
            table: TableOptions {
                block_bytes: options.block_bytes,
                restart_interval: options.restart_interval,
                compression: keyspace.compression.unwrap_or(default),
                filter_bits_per_key: options.filter_bits_per_key,
            },
            table_bytes_max: options.table_bytes_max,
            is_final,
        }
    }

    fn prepare_step(&self) -> bool {
        let Some(wal) = self.wal.get().filter(|wal| wal.needs_prepare()) else { return false };
        if std::mem::replace(&mut self.schedule.lock().is_preparing, true) {
            return false;
        }
        // Without a prepared segment the log makes one when it needs it.
        let _ = wal.prepare_next();
        self.schedule.lock().is_preparing = false;
        true
    }

    fn clear_step(&self) -> bool {
        if !self.graveyard.is_due() {
            return false;
        }
        if std::mem::replace(&mut self.schedule.lock().is_clearing, true) {
            return false;
        }
        let count = self.graveyard.clear();
        self.schedule.lock().is_clearing = false;
        count > 0
    }

    fn compaction_step(self: &Arc<Self>) -> Step {
        let Some((keyspace, version, plan, claim)) = self.take_plan() else { return Step::Idle };
        // The keyspace may allow another job beside this one.
        self.schedule.lock().compaction_due(&keyspace);
        let is_cancelled = || {
            self.is_closed.load(Ordering::Acquire) || keyspace.is_dropped.load(Ordering::Acquire)
        };
        let outcome = self.compact(&keyspace, &version, &plan, &is_cancelled);
        self.release(&keyspace, claim, outcome.is_ok());
        self.ended(&keyspace, outcome)
    }

    /// The end of a compaction; what it changed is in the picture.
    pub fn release(&self, keyspace: &Arc<KeyspaceState>, claim: Claim, is_ok: bool) {
        let mut schedule = self.schedule.lock();
        schedule.in_flight.release(claim);
        if is_ok {
            schedule.succeeded(keyspace.id);
        }
        schedule.compaction_due(keyspace);
    }

    /// Finds and claims the next compaction.
    fn take_plan(&self) -> Option<(Arc<KeyspaceState>, Arc<Version>, Plan, Claim)> {
        let mut schedule = self.schedule.lock();
        if schedule.in_flight.len() >= self.compactions_max() {
            return None;
        }
        while let Some(keyspace) = schedule.take_candidate() {
            if keyspace.is_dropped.load(Ordering::Acquire) {
                continue;
            }
            // Taken under the schedule's lock: jobs release their claims after they changed it.
            let picture = keyspace.picture();
            let policy = *keyspace.policy.lock();
            let levels = picture.version.summary();
            let plan = self
                .final_plan(&keyspace, &picture, &schedule.in_flight)
                .or_else(|| pick::pick(keyspace.id, &levels, &policy, &schedule.in_flight));
            if let Some(plan) = plan {
                let claim = schedule.in_flight.claim(keyspace.id, &plan);
                return Some((keyspace, picture.version.clone(), plan, claim));
            }
        }
        None
    }

    fn final_plan(
        &self,
        keyspace: &KeyspaceState,
        picture: &Picture,
        in_flight: &crate::compaction::InFlight,
    ) -> Option<Plan> {
        if !keyspace.wants_final.load(Ordering::Acquire) || picture.slots().next().is_some() {
            return None;
        }
        if picture.version.is_empty() || picture.version.is_final() {
            keyspace.wants_final.store(false, Ordering::Release);
            return None;
        }
        let policy = *keyspace.policy.lock();
        pick_all(keyspace.id, &picture.version.summary(), &policy, in_flight, true)
    }

    fn compactions_max(&self) -> usize {
        let threads = match self.options.background {
            Background::Inline => 1,
            // One stays free for flushes, unless there is but one.
            Background::Threads(count) => count.saturating_sub(1).max(1),
        };
        self.options.compactions_max.min(threads)
    }

    /// Runs a claimed plan and installs what came out.
    pub fn compact(
        &self,
        keyspace: &Arc<KeyspaceState>,
        version: &Version,
        plan: &Plan,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let start = self.options.clock.monotonic_ns();
        let running = RunningCompaction::new(keyspace.name.clone(), plan, start);
        let progress: Arc<Progress> = self.counters.compaction_started(running);
        let outcome = if plan.is_move {
            self.install_move(keyspace, version, plan).map(|()| 0)
        } else {
            let job = Job {
                plan,
                version,
                hooks: &keyspace.hooks,
                snapshots: self.snapshots.list(),
                outputs: self.output_options(keyspace, plan.is_final, plan.is_bottom),
                progress: &progress,
                is_cancelled,
            };
            compaction_run::run(job)
                .and_then(|out| self.install_merge(keyspace, version, plan, out))
        };
        let waited = self.options.clock.monotonic_ns().saturating_sub(start);
        self.counters.compaction_ended(&progress, plan, &outcome, waited);
        outcome.map(drop)
    }

    fn install_move(
        &self,
        keyspace: &Arc<KeyspaceState>,
        version: &Version,
        plan: &Plan,
    ) -> Result<()> {
        let tables = compaction_run::input_tables(plan, version).into_iter().flatten();
        let added: Vec<_> = tables.map(|table| (plan.output, table)).collect();
        let removed: Vec<_> = plan.tables().collect();
        let mut manifest = self.manifest.lock();
        if keyspace.is_dropped.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut edit = Edit::new(self.options.clock.unix_ns(), reason(plan, "move"));
        added.iter().for_each(|(place, table)| edit.move_table(keyspace.id, *place, table));
        let version = self.next_version(keyspace, &removed, &added)?;
        let _committed = manifest.commit(edit)?;
        keyspace.change_picture(|picture| picture.version = version);
        Ok(())
    }

    fn install_merge(
        &self,
        keyspace: &Arc<KeyspaceState>,
        version: &Version,
        plan: &Plan,
        outputs: crate::outputs::DurableOutputs,
    ) -> Result<u64> {
        let removed: Vec<_> = plan.tables().collect();
        let mut manifest = self.manifest.lock();
        if keyspace.is_dropped.load(Ordering::Acquire) {
            return Ok(0);
        }
        let mut edit = Edit::new(self.options.clock.unix_ns(), reason(plan, "compaction"));
        removed.iter().for_each(|number| edit.remove_table(keyspace.id, *number));
        let tables = outputs.keep();
        tables.iter().for_each(|table| edit.add_table(keyspace.id, plan.output, table));
        let added = self.open_tables(plan.output, &tables)?;
        let next = self.next_version(keyspace, &removed, &added)?;
        let committed = manifest.commit(edit)?;
        keyspace.change_picture(|picture| picture.version = next);
        drop(manifest);
        for table in compaction_run::input_tables(plan, version).into_iter().flatten() {
            table.set_obsolete(&committed);
        }
        Ok(tables.iter().map(|table| table.meta().bytes).sum())
    }
}

fn reason(plan: &Plan, what: &str) -> String {
    let from = plan.inputs.first().map_or(0, |input| input.place.level);
    let reason: PlanReason = plan.reason;
    format!("{what} {} L{from} to L{}", reason.name(), plan.output.level)
}
