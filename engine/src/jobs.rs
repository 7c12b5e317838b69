//! What runs and what waits: flushes and compactions, as others see them.
//!
//! A running job is in the registry from its claim to its end. It says how far it is, and is told
//! there to stop. What waits is not kept anywhere: it is what the picker would pick now.

use std::sync::Arc;

use crate::compaction::Plan;
use crate::compaction::pick::PlanInput;
use crate::compaction::run::Progress;
use crate::manifest::Place;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// A memtable becomes tables.
    Flush,
    /// Tables are merged.
    Compaction,
    /// Tables change their place.
    Move,
}

impl JobKind {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            JobKind::Flush => "flush",
            JobKind::Compaction => "compaction",
            JobKind::Move => "move",
        }
    }
}

/// What a job is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum JobState {
    /// It waits for a thread.
    Queued,
    /// It runs.
    Running,
    /// It is held until compactions are resumed.
    Paused,
    /// It is held by the limit of bytes per second.
    Limited,
    /// Its thread does a smaller job first.
    Yielding,
}

impl JobState {
    const ALL: [JobState; 5] = [
        JobState::Queued,
        JobState::Running,
        JobState::Paused,
        JobState::Limited,
        JobState::Yielding,
    ];

    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Paused => "paused",
            JobState::Limited => "limited",
            JobState::Yielding => "yielding",
        }
    }
}

/// A job that runs or waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobInfo {
    /// Its number, from 1; 0 while it waits.
    pub id: u64,
    /// What it does.
    pub kind: JobKind,
    /// What it is about.
    pub state: JobState,
    /// Name of the keyspace.
    pub keyspace: Arc<str>,
    /// Why.
    pub reason: &'static str,
    /// The tables that go in, newest run first; none for a flush.
    pub inputs: Vec<PlanInput>,
    /// The run that comes out; `None` for a flush, whose run is named at its end.
    pub output: Option<Place>,
    /// Bytes done: for a flush of the memtable, else of the inputs.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Parts of its key range that are worked on side by side.
    pub parts: u64,
    /// Somebody asked for it: it can be cancelled.
    pub is_manual: bool,
    /// When it began, on the monotonic clock; `None` while it waits.
    pub start_ns: Option<u64>,
}

impl JobInfo {
    /// A flush of `bytes` of memtables that waits.
    pub(crate) fn flush(keyspace: Arc<str>, reason: &'static str, bytes: u64) -> Self {
        JobInfo {
            id: 0,
            kind: JobKind::Flush,
            state: JobState::Queued,
            keyspace,
            reason,
            inputs: Vec::new(),
            output: None,
            done_bytes: 0,
            total_bytes: bytes,
            parts: 1,
            is_manual: false,
            start_ns: None,
        }
    }

    /// A compaction that waits.
    pub(crate) fn compaction(keyspace: Arc<str>, plan: &Plan) -> Self {
        JobInfo {
            kind: if plan.is_move { JobKind::Move } else { JobKind::Compaction },
            inputs: plan.inputs.clone(),
            output: Some(plan.output),
            ..JobInfo::flush(keyspace, plan.reason.name(), plan.input_bytes)
        }
    }
}

/// A job that runs.
#[derive(Debug)]
pub(crate) struct RunningJob {
    info: JobInfo,
    /// How far it is.
    pub progress: Arc<Progress>,
    state: AtomicU8,
    parts: AtomicU64,
    is_cancelled: AtomicBool,
}

impl RunningJob {
    /// Its number.
    pub fn id(&self) -> u64 {
        self.info.id
    }

    /// Whether somebody asked for its end.
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// Says what it is about.
    pub fn set_state(&self, state: JobState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Says how many parts of it run side by side.
    pub fn set_parts(&self, parts: usize) {
        self.parts.store(parts as u64, Ordering::Relaxed);
    }

    /// Bytes of its inputs that it has not read yet.
    pub fn left_bytes(&self) -> u64 {
        let done = self.progress.read_bytes.load(Ordering::Relaxed);
        self.info.total_bytes.saturating_sub(done)
    }

    /// Asks for its end.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
    }

    fn read(&self) -> JobInfo {
        let done = self.progress.read_bytes.load(Ordering::Relaxed);
        JobInfo {
            state: JobState::ALL[self.state.load(Ordering::Relaxed) as usize],
            parts: self.parts.load(Ordering::Relaxed),
            // Entries unfold when they are read, so more may be read than the files hold.
            done_bytes: done.min(self.info.total_bytes),
            ..self.info.clone()
        }
    }
}

/// The jobs of a store that run.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    last_id: AtomicU64,
    running: Mutex<Vec<Arc<RunningJob>>>,
}

impl Jobs {
    /// A job begins.
    pub fn start(&self, info: JobInfo, is_manual: bool, start_ns: u64) -> Arc<RunningJob> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let job = Arc::new(RunningJob {
            info: JobInfo { id, is_manual, start_ns: Some(start_ns), ..info },
            progress: Arc::default(),
            state: AtomicU8::new(JobState::Running as u8),
            parts: AtomicU64::new(1),
            is_cancelled: AtomicBool::new(false),
        });
        self.running.lock().push(job.clone());
        job
    }

    /// A job has ended.
    pub fn end(&self, job: &Arc<RunningJob>) {
        self.running.lock().retain(|other| !Arc::ptr_eq(other, job));
    }

    /// The jobs that run, in the order of their numbers.
    pub fn list(&self) -> Vec<JobInfo> {
        self.running.lock().iter().map(|job| job.read()).collect()
    }

    /// Asks a job for its end; says whether it was asked for by hand, or `None` when no such job
    /// runs. Only one that was is stopped: another would be picked again at once.
    pub fn cancel(&self, id: u64) -> Option<bool> {
        let running = self.running.lock();
        let job = running.iter().find(|job| job.info.id == id)?;
        if job.info.is_manual {
            job.cancel();
        }
        Some(job.info.is_manual)
    }
}
