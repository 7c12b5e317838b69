//! The jobs of the background: flush, compaction, the next log segment, unlinking.
//!
//! Order: a sync that a future waits for, which is short; then flushes (they free memory and log),
//! then memory for the next memtables, which is short, then the log segment that writers will need,
//! then unlinking, then compactions, which leave one worker free for the others and let small ones
//! go first ([`super::yielding`]).
//!
//! A job that fails leaves no output. On a full disk jobs wait and are tried again; any other
//! failure is retried once, then the store becomes read-only with the cause. A failure of the log
//! or the manifest makes it read-only at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Kernel;
use super::compacting::Written;
use crate::background::Step;
use crate::budget::Share;
use crate::compaction::drop::{pick_expired, pick_hidden};
use crate::compaction::hollow::hollow_tables;
use crate::compaction::pick::{self, Plan, PlanReason, pick_all};
use crate::compaction::{Claim, InFlight};
use crate::compress::Compression;
use crate::events::EventKind;
use crate::expiry::now_ms;
use crate::hooks::MergeContext;
use crate::jobs::JobInfo;
use crate::keyspace::{KeyspaceState, MemtableSlot, Picture};
use crate::levels::Version;
use crate::options::Background;
use crate::outputs::OutputOptions;
use crate::range_delete::RangeDeletes;
use crate::table::{FilterKind, TableOptions};
use crate::{Error, Result, flush};

/// A compaction that was picked and claimed.
pub(super) struct Taken {
    pub keyspace: Arc<KeyspaceState>,
    pub version: Arc<Version>,
    pub plan: Plan,
    pub claim: Claim,
}

/// How long jobs wait when the disk is full.
const NO_SPACE_WAIT_NS: u64 = 1_000_000_000;

/// Failures in a row after which the store gives up writing.
const FAILURES_MAX: u32 = 2;

impl Kernel {
    /// Runs one job, if one is due. What a worker does.
    pub fn step(self: &Arc<Self>) -> Step {
        if self.is_closed.load(Ordering::Acquire) {
            return Step::Stop;
        }
        if self.sync_step() {
            return Step::Done;
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
        self.spares.trim(now);
        if self.spares.make() || self.prepare_step() || self.clear_step() {
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
            schedule.compaction_due_after_flush(&keyspace);
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
        // the merge drops; and, where other keyspaces have a part in it, only what is safe in the
        // log, so that no table survives a crash that takes other parts of its batches.
        self.publisher.wait(slot.last_seq());
        let start = self.options.clock.monotonic_ns();
        let (reason, bytes) = (slot.reason().name(), slot.counted_bytes() as u64);
        let info = JobInfo::flush(keyspace.name.clone(), reason, bytes);
        let job = self.jobs.start(info, false, start);
        let outcome = self.flush_slot(keyspace, &picture, slot);
        self.jobs.end(&job);
        let waited = self.options.clock.monotonic_ns().saturating_sub(start);
        let job = job.id();
        let kind = match &outcome {
            Ok(Written { tables, bytes }) => {
                EventKind::Flush { job, reason, tables: *tables, bytes: *bytes }
            }
            Err(error) => EventKind::JobFailed { job, error: error.to_string() },
        };
        self.note(&keyspace.name, waited, kind);
        outcome.map(drop)
    }

    fn flush_slot(
        &self,
        keyspace: &Arc<KeyspaceState>,
        picture: &Picture,
        slot: &Arc<MemtableSlot>,
    ) -> Result<Written> {
        self.make_log_durable(keyspace, slot)?;
        let snapshots = self.snapshots.list();
        let is_bottom = picture.version.is_empty();
        let deletes = RangeDeletes::new(slot.range_deletes.list(), &snapshots);
        let context = MergeContext {
            is_flush: true,
            is_bottom,
            is_final: false,
            snapshots,
            range_deletes: Arc::new(deletes),
            now_ms: now_ms(&*self.options.clock),
        };
        let mut options = self.output_options(keyspace, false, is_bottom);
        options.table.filter_kind = FilterKind::Bloom;
        options.clean_seq = context.range_deletes.clean_seq(&context.snapshots);
        let memtable = slot.memtable.clone();
        let memory = self.options.budget.reserve_anyway(Share::Compaction, 0);
        let outputs = flush::run(memtable, &keyspace.hooks, &context, options, memory)?;
        self.install_flush(keyspace, slot, outputs)
    }

    /// How a job writes its tables.
    pub fn output_options(
        &self,
        keyspace: &KeyspaceState,
        is_final: bool,
        is_bottom: bool,
    ) -> OutputOptions {
        let options = self.runtime.all();
        let default: Compression =
            if is_bottom { options.compression_last } else { options.compression_upper };
        OutputOptions {
            fs: self.options.fs.clone(),
            dir: self.options.dir.clone(),
            numbers: self.numbers.clone(),
            table: TableOptions {
                block_bytes: options.block_bytes,
                restart_interval: options.restart_interval,
                compression: keyspace.compression.unwrap_or(default),
                filter_bits_per_key: options.filter_bits_per_key,
                filter_kind: if is_bottom { options.filter_last } else { FilterKind::Bloom },
            },
            table_bytes_max: options.table_bytes_max,
            window_bytes: keyspace.policy.lock().window_bytes().unwrap_or(0),
            is_final,
            clean_seq: 0,
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
        let Some(taken) = self.take_plan() else { return Step::Idle };
        self.run_taken(taken)
    }

    /// Runs what was claimed.
    pub(super) fn run_taken(self: &Arc<Self>, taken: Taken) -> Step {
        let Taken { keyspace, version, plan, claim } = taken;
        // The keyspace may allow another job beside this one.
        self.schedule.lock().compaction_due(&keyspace);
        let is_cancelled = || {
            self.is_closed.load(Ordering::Acquire) || keyspace.is_dropped.load(Ordering::Acquire)
        };
        let outcome = self.compact(&keyspace, &version, &plan, false, &is_cancelled);
        self.release(&keyspace, claim, outcome.is_ok());
        self.ended(&keyspace, outcome)
    }

    /// Finds and claims the next compaction: what is due by the shape of the levels, and where
    /// nothing is, tables that range deletes have emptied.
    fn take_plan(&self) -> Option<Taken> {
        if self.is_paused() {
            return None;
        }
        let mut with_deletes = Vec::new();
        let mut taken = self.take_due(&mut with_deletes);
        let mut waiting = with_deletes.iter();
        if taken.is_none() {
            taken = waiting.find_map(|keyspace| self.take_hollow(keyspace));
        }
        // The others have to wait for what was taken.
        let mut schedule = self.schedule.lock();
        waiting.for_each(|keyspace| schedule.compaction_due(keyspace));
        taken
    }

    /// Finds and claims what is due; `with_deletes` gets the keyspaces where nothing is, but range
    /// deletes are.
    fn take_due(&self, with_deletes: &mut Vec<Arc<KeyspaceState>>) -> Option<Taken> {
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
            if let Some(plan) = self.due_plan(&keyspace, &picture, &schedule.in_flight) {
                let claim = schedule.in_flight.claim(keyspace.id, &plan);
                return Some(Taken { keyspace, version: picture.version.clone(), plan, claim });
            }
            if !picture.version.range_deletes.is_empty() {
                with_deletes.push(keyspace);
            }
        }
        None
    }

    /// What is due of a keyspace by the shape of its levels, by time or by somebody's wish.
    pub(super) fn due_plan(
        &self,
        keyspace: &KeyspaceState,
        picture: &Picture,
        in_flight: &InFlight,
    ) -> Option<Plan> {
        let policy = *keyspace.policy.lock();
        let levels = picture.version.summary();
        self.drop_plan(keyspace, picture, in_flight)
            .or_else(|| self.final_plan(keyspace, picture, in_flight))
            .or_else(|| pick::pick(keyspace.id, &levels, &policy, in_flight))
    }

    /// Claims a table of `keyspace` that is to be written anew without what is hidden of it.
    fn take_hollow(&self, keyspace: &Arc<KeyspaceState>) -> Option<Taken> {
        // Looks into indexes, so under no lock.
        let hollow = hollow_tables(&keyspace.picture().version, &self.snapshots.list());
        let mut schedule = self.schedule.lock();
        if hollow.is_empty() || schedule.in_flight.len() >= self.compactions_max() {
            return None;
        }
        let version = keyspace.picture().version.clone();
        let (levels, in_flight) = (version.summary(), &schedule.in_flight);
        let reason = PlanReason::Deletes;
        let plan = hollow.iter().find_map(|(number, _)| {
            pick::pick_in_place(keyspace.id, &levels, in_flight, *number, reason)
        })?;
        let claim = schedule.in_flight.claim(keyspace.id, &plan);
        Some(Taken { keyspace: keyspace.clone(), version: version.clone(), plan, claim })
    }

    /// Tables that go unread, if there are any.
    fn drop_plan(
        &self,
        keyspace: &KeyspaceState,
        picture: &Picture,
        in_flight: &InFlight,
    ) -> Option<Plan> {
        let version = &picture.version;
        let expires = version.expires_first_ms < u64::MAX;
        if version.range_deletes.is_empty() && !expires {
            return None;
        }
        let now_ms = now_ms(&*self.options.clock);
        pick_hidden(keyspace.id, version, &self.snapshots.list(), in_flight)
            .or_else(|| pick_expired(keyspace.id, version, now_ms, in_flight))
    }

    fn final_plan(
        &self,
        keyspace: &KeyspaceState,
        picture: &Picture,
        in_flight: &InFlight,
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

    pub(super) fn compactions_max(&self) -> usize {
        let threads = match self.options.background {
            Background::Inline => 1,
            // One stays free for flushes, unless there is but one.
            Background::Threads(count) => count.saturating_sub(1).max(1),
        };
        self.runtime.all().compactions_max.min(threads)
    }
}
