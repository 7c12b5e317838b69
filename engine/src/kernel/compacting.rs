//! A compaction from its claim to its end: run, held, cancelled, installed, written down.
//!
//! Every MiB a job asks whether it may go on ([`Kernel::go_on`]): it ends when it was cancelled,
//! waits while compactions are paused or over their bytes per second, where it runs on the only
//! worker, lets a flush that is due go first, and yields to small jobs of a level 0
//! ([`super::yielding`]). While it waits its inputs stay claimed and readable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Kernel;
use crate::background::{Step, side_by_side};
use crate::compaction::Claim;
use crate::compaction::pick::{Plan, PlanReason};
use crate::compaction::run::{self as compaction_run, Job};
use crate::compaction::split::split;
use crate::events::EventKind;
use crate::expiry::now_ms;
use crate::jobs::{JobInfo, JobState, RunningJob};
use crate::keyspace::KeyspaceState;
use crate::levels::Version;
use crate::metrics::RunningCompaction;
use crate::options::Background;
use crate::outputs::{DurableOutputs, Outputs};
use crate::scan::bounds::Bounds;
use crate::{Error, Result};

/// How long a job that is held sleeps between two looks, should it miss a signal.
const HOLD_WAIT: Duration = Duration::from_millis(100);

/// Sizes of what a job wrote.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    pub tables: u64,
    pub bytes: u64,
}

impl Kernel {
    /// The end of a compaction; what it changed is in the picture.
    pub fn release(&self, keyspace: &Arc<KeyspaceState>, claim: Claim, is_ok: bool) {
        let mut schedule = self.schedule.lock();
        schedule.in_flight.release(claim);
        if is_ok {
            schedule.succeeded(keyspace.id);
        }
        schedule.compaction_due(keyspace);
    }

    /// Runs a claimed plan and installs what came out.
    pub fn compact(
        self: &Arc<Self>,
        keyspace: &Arc<KeyspaceState>,
        version: &Version,
        plan: &Plan,
        is_manual: bool,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let start = self.options.clock.monotonic_ns();
        let info = JobInfo::compaction(keyspace.name.clone(), plan);
        let job = self.jobs.start(info, is_manual, start);
        let running = RunningCompaction::new(keyspace.name.clone(), plan, start);
        self.counters.compaction_started(running, &job.progress);
        let outcome = if plan.is_move {
            self.install_move(keyspace, version, plan).map(|()| Written::default())
        } else {
            self.merge(keyspace, version, plan, &job, is_cancelled)
        };
        let waited = self.options.clock.monotonic_ns().saturating_sub(start);
        if outcome.is_ok() && !plan.is_move {
            self.drained(plan.input_bytes, waited);
        }
        let bytes = outcome.as_ref().map(|written| written.bytes).map_err(Clone::clone);
        self.counters.compaction_ended(&job.progress, plan, &bytes, waited);
        self.jobs.end(&job);
        let kind = match &outcome {
            Ok(written) => compaction_event(job.id(), plan, *written),
            Err(error) => EventKind::JobFailed { job: job.id(), error: error.to_string() },
        };
        self.note(&keyspace.name, waited, kind);
        outcome.map(drop)
    }

    fn merge(
        self: &Arc<Self>,
        keyspace: &Arc<KeyspaceState>,
        version: &Version,
        plan: &Plan,
        job: &RunningJob,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Written> {
        if plan.reason == PlanReason::Drop {
            let nothing = Outputs::new(self.output_options(keyspace, false, false)).finish()?;
            return self.install_merge(keyspace, version, plan, nothing);
        }
        let snapshots = self.snapshots.list();
        let mut outputs = self.output_options(keyspace, plan.is_final, plan.is_bottom);
        outputs.clean_seq = version.range_deletes.clean_seq(&snapshots);
        let merging = Job {
            plan,
            version,
            hooks: &keyspace.hooks,
            snapshots,
            now_ms: now_ms(&*self.options.clock),
            outputs,
            progress: &job.progress,
            budget: &self.options.budget,
        };
        let outputs = self.run_parts(&merging, job, is_cancelled)?;
        self.install_merge(keyspace, version, plan, outputs)
    }

    /// Merges a job, in parts where it is large; the parts' tables come as those of one.
    fn run_parts(
        self: &Arc<Self>,
        merging: &Job<'_>,
        job: &RunningJob,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<DurableOutputs> {
        let here = |bytes| self.go_on(job, bytes, is_cancelled);
        // A merge of hooks may look at several keys. It is asked for once: what the hooks know may
        // be something else a moment later.
        if let Some(merge) = merging.hooks.entry_merge(&merging.context()) {
            job.set_parts(1);
            return compaction_run::run(merging, &Bounds::all(), merge, &here);
        }
        let options = self.runtime.all();
        let (parts_max, part_bytes) = (options.subcompactions_max, options.table_bytes_max);
        let parts = split(merging.plan, merging.version, parts_max, part_bytes)?;
        job.set_parts(parts.len());
        if let [part] = &parts[..] {
            return compaction_run::run(merging, part, merging.own_merge(), &here);
        }
        if self.is_inline() {
            let run = |part| compaction_run::run(merging, part, merging.own_merge(), &here);
            return Ok(joined(parts.iter().map(run).collect::<Result<_>>()?));
        }
        // Who asked for the job is asked on the thread that did.
        let there = |bytes| self.go_on(job, bytes, &|| false);
        let run = |index: usize| {
            let outcome = compaction_run::run(merging, &parts[index], merging.own_merge(), &there);
            if outcome.is_err() {
                job.cancel();
            }
            outcome
        };
        let watch = || {
            self.flush_between();
            if is_cancelled() {
                job.cancel();
            }
        };
        let outcomes =
            side_by_side(parts.len(), self.options.compaction_nice, HOLD_WAIT, &run, &watch);
        // A part that failed ends the others, which then say no more than that.
        let is_cause = |outcome: &&Result<_>| !matches!(outcome, Ok(_) | Err(Error::Cancelled));
        match outcomes.iter().find(is_cause) {
            Some(Err(cause)) => Err(cause.clone()),
            _ => Ok(joined(outcomes.into_iter().collect::<Result<_>>()?)),
        }
    }

    /// Whether a job that has just read `bytes` may go on; returns once it may.
    fn go_on(
        self: &Arc<Self>,
        job: &RunningJob,
        bytes: u64,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let check = || {
            self.flush_between();
            self.yield_to_young(job);
            if job.is_cancelled() || is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
        };
        check()?;
        self.hold(job, JobState::Paused, &check, &mut || self.is_paused())?;
        // On the calling thread nobody would move time on.
        if !self.is_inline() {
            let clock = &self.options.clock;
            let until = self.rate.take(clock.monotonic_ns(), bytes);
            self.hold(job, JobState::Limited, &check, &mut || {
                self.rate.is_set() && clock.monotonic_ns() < until
            })?;
        }
        Ok(())
    }

    fn hold(
        &self,
        job: &RunningJob,
        state: JobState,
        check: &dyn Fn() -> Result<()>,
        is_held: &mut dyn FnMut() -> bool,
    ) -> Result<()> {
        let mut outcome = Ok(());
        loop {
            let seen = self.signal.now();
            if !is_held() || outcome.is_err() {
                break;
            }
            job.set_state(state);
            self.signal.wait(seen, HOLD_WAIT);
            outcome = check();
        }
        job.set_state(JobState::Running);
        outcome
    }

    /// Flushes what is due, where no other thread would.
    fn flush_between(self: &Arc<Self>) {
        if self.options.background == Background::Threads(1) {
            while self.flush_step() == Step::Done {}
        }
    }

    /// Whether compactions are paused.
    pub fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Acquire)
    }

    /// Pauses compactions, or lets them go on.
    pub fn set_paused(self: &Arc<Self>, is_paused: bool) {
        if self.is_paused.swap(is_paused, Ordering::AcqRel) != is_paused {
            let kind = if is_paused { EventKind::Paused } else { EventKind::Resumed };
            self.note(&"".into(), 0, kind);
        }
        self.signal.raise();
    }

    /// Writes an event down that ends now.
    pub fn note(&self, keyspace: &Arc<str>, ns: u64, kind: EventKind) {
        self.journal.add(self.options.clock.unix_ns(), ns, keyspace.clone(), kind);
    }
}

fn joined(parts: Vec<DurableOutputs>) -> DurableOutputs {
    DurableOutputs::join(parts).expect("there is always a part")
}

fn compaction_event(job: u64, plan: &Plan, written: Written) -> EventKind {
    let from = plan.inputs.first().map_or(plan.output, |input| input.place);
    let (reason, to) = (plan.reason.name(), plan.output);
    let (input_tables, input_bytes) = (plan.tables().count() as u64, plan.input_bytes);
    if plan.is_move {
        return EventKind::Move { job, reason, from, to, tables: input_tables, bytes: input_bytes };
    }
    let Written { tables, bytes } = written;
    EventKind::Compaction { job, reason, from, to, input_tables, input_bytes, tables, bytes }
}
