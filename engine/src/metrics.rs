//! Numbers of a store, for `/metrics` and the storage page.
//!
//! `Counters` is what the store counts as it goes: relaxed atomics, and a lock where jobs end.
//! [`StoreMetrics`] is one reading of them, with gauges taken from the pictures.

mod amplification;

pub use amplification::Amplification;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::cache::CacheStats;
use crate::compaction::pressure::PressureReason;
use crate::compaction::run::Progress;
use crate::compaction::{Plan, PlanReason};
use crate::histogram::{Histogram, HistogramCounts};
use crate::key::FileNumber;
use crate::keyspace::FlushReason;
use crate::manifest::LEVELS;
use crate::wal::WalCounts;
use crate::wal::salvage::Salvage;
use crate::{Error, Result};

/// Compactions that are remembered after their end.
const RECENT_MAX: usize = 64;

/// A compaction that is running or has ended.
#[derive(Debug, Clone)]
pub struct CompactionInfo {
    /// Counts compactions from 1.
    pub id: u64,
    /// Name of the keyspace.
    pub keyspace: Arc<str>,
    /// Level of the newest input.
    pub from_level: u8,
    /// Level of the output.
    pub to_level: u8,
    /// Why it was done.
    pub reason: PlanReason,
    /// Tables that go in.
    pub input_tables: u64,
    /// Sizes of their files.
    pub input_bytes: u64,
    /// Bytes of keys and values read so far.
    pub read_bytes: u64,
    /// Entries read so far.
    pub read_entries: u64,
    /// When it began, on the monotonic clock.
    pub start_ns: u64,
    /// How it ended; `None` while it runs.
    pub end: Option<CompactionEnd>,
}

/// How a compaction ended.
#[derive(Debug, Clone)]
pub struct CompactionEnd {
    /// How long it took.
    pub ns: u64,
    /// Sizes of the files it wrote; 0 for a move.
    pub written_bytes: u64,
    /// What stopped it, if it did not finish.
    pub error: Option<Error>,
}

/// Compactions of one kind that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CompactionKind {
    /// Level of the newest input.
    pub from_level: u8,
    /// Level of the output.
    pub to_level: u8,
    /// Label of the reason.
    pub reason: &'static str,
    /// `ok`, `moved`, `cancelled` or `error`.
    pub status: &'static str,
}

/// What compactions of one kind add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompactionSum {
    /// How many.
    pub count: u64,
    /// Sizes of the files read.
    pub read_bytes: u64,
    /// Sizes of the files written.
    pub written_bytes: u64,
    /// Time spent.
    pub ns: u64,
}

/// A compaction on its way.
pub(crate) struct RunningCompaction {
    info: CompactionInfo,
}

impl RunningCompaction {
    pub fn new(keyspace: Arc<str>, plan: &Plan, start_ns: u64) -> Self {
        RunningCompaction {
            info: CompactionInfo {
                id: 0,
                keyspace,
                from_level: plan.inputs.first().map_or(0, |input| input.place.level),
                to_level: plan.output.level,
                reason: plan.reason,
                input_tables: plan.tables().count() as u64,
                input_bytes: plan.input_bytes,
                read_bytes: 0,
                read_entries: 0,
                start_ns,
                end: None,
            },
        }
    }
}

#[derive(Default)]
struct Compactions {
    started: u64,
    running: Vec<(Arc<Progress>, CompactionInfo)>,
    recent: VecDeque<CompactionInfo>,
    sums: BTreeMap<CompactionKind, CompactionSum>,
}

/// What a store counts as it goes.
#[derive(Default)]
pub(crate) struct Counters {
    pub stalls: AtomicU64,
    pub stall_ns: AtomicU64,
    /// Writers that are stopped now.
    pub stalled: AtomicU64,
    pub busy: AtomicU64,
    /// Writes delayed, by reason.
    pub delays: [AtomicU64; PressureReason::ALL.len()],
    pub delay_ns: Histogram,
    /// Bytes a second that merges were seen to drain; 0: none was seen.
    pub drain_rate: AtomicU64,
    pub flush_ns: Histogram,
    pub job_failures: AtomicU64,
    pub last_job_error: Mutex<Option<Error>>,
    pub recovered_records: AtomicU64,
    pub torn_bytes: AtomicU64,
    salvaged_records: AtomicU64,
    lost_spans: AtomicU64,
    lost_bytes: AtomicU64,
    flush_bytes: AtomicU64,
    flushes: [AtomicU64; FlushReason::ALL.len()],
    replayed_segment: AtomicU64,
    compactions: Mutex<Compactions>,
}

impl Counters {
    pub fn flushed(&self, reason: FlushReason, bytes: u64) {
        self.flushes[reason as usize].fetch_add(1, Ordering::Relaxed);
        self.flush_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The log was damaged inside and salvaged before it was replayed.
    pub fn salvaged(&self, salvage: &Salvage) {
        self.salvaged_records.store(salvage.records, Ordering::Relaxed);
        self.lost_spans.store(salvage.lost.len() as u64, Ordering::Relaxed);
        self.lost_bytes.store(salvage.lost_bytes(), Ordering::Relaxed);
    }

    /// The log segment that replay is at.
    pub fn set_replayed_segment(&self, number: FileNumber) {
        self.replayed_segment.store(number.0, Ordering::Relaxed);
    }

    pub fn replayed_segment(&self) -> FileNumber {
        FileNumber(self.replayed_segment.load(Ordering::Relaxed))
    }

    pub fn compaction_started(&self, mut running: RunningCompaction, progress: &Arc<Progress>) {
        let mut compactions = self.compactions.lock();
        compactions.started += 1;
        running.info.id = compactions.started;
        compactions.running.push((progress.clone(), running.info));
    }

    pub fn compaction_ended(
        &self,
        progress: &Arc<Progress>,
        plan: &Plan,
        outcome: &Result<u64>,
        ns: u64,
    ) {
        let mut compactions = self.compactions.lock();
        let at = compactions.running.iter().position(|(other, _)| Arc::ptr_eq(other, progress));
        let (_, mut info) = compactions.running.swap_remove(at.expect("it was started"));
        let status = match outcome {
            Ok(_) if plan.is_move => "moved",
            Ok(_) => "ok",
            Err(Error::Cancelled) => "cancelled",
            Err(_) => "error",
        };
        let (from_level, to_level) = (info.from_level, info.to_level);
        let kind = CompactionKind { from_level, to_level, reason: plan.reason.name(), status };
        let written_bytes = *outcome.as_ref().unwrap_or(&0);
        let sum = compactions.sums.entry(kind).or_default();
        sum.count += 1;
        let is_unread = plan.is_move || plan.reason == PlanReason::Drop;
        sum.read_bytes += if is_unread { 0 } else { plan.input_bytes };
        sum.written_bytes += written_bytes;
        sum.ns += ns;
        read_progress(&mut info, progress);
        info.end =
            Some(CompactionEnd { ns, written_bytes, error: outcome.as_ref().err().cloned() });
        compactions.recent.truncate(RECENT_MAX - 1);
        compactions.recent.push_front(info);
    }

    /// Takes a reading into `metrics`.
    pub fn read(&self, metrics: &mut StoreMetrics) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        metrics.stalls = load(&self.stalls);
        metrics.stall_ns = load(&self.stall_ns);
        metrics.delay_histogram_ns = self.delay_ns.read();
        metrics.delays = metrics.delay_histogram_ns.count();
        metrics.delay_ns = metrics.delay_histogram_ns.sum;
        metrics.drain_bytes_per_s = load(&self.drain_rate);
        let delays = |reason: PressureReason| (reason.name(), load(&self.delays[reason as usize]));
        metrics.slowed = PressureReason::ALL.into_iter().map(delays).collect();
        metrics.slowed.push(("memtables", metrics.stalls));
        metrics.refused_busy = load(&self.busy);
        metrics.job_failures = load(&self.job_failures);
        metrics.last_job_error = self.last_job_error.lock().clone();
        metrics.wal_recovered_records = load(&self.recovered_records);
        metrics.wal_torn_bytes = load(&self.torn_bytes);
        metrics.wal_salvaged_records = load(&self.salvaged_records);
        metrics.wal_lost_spans = load(&self.lost_spans);
        metrics.wal_lost_bytes = load(&self.lost_bytes);
        metrics.flush_bytes = load(&self.flush_bytes);
        metrics.flush_ns = self.flush_ns.read();
        let count = |reason: FlushReason| (reason.name(), load(&self.flushes[reason as usize]));
        metrics.flushes = FlushReason::ALL.into_iter().map(count).collect();
        let compactions = self.compactions.lock();
        metrics.compactions = compactions.sums.iter().map(|(k, s)| (*k, *s)).collect();
        metrics.compactions_recent = compactions.recent.iter().cloned().collect();
        let running = compactions.running.iter().map(|(progress, info)| {
            let mut info = info.clone();
            read_progress(&mut info, progress);
            info
        });
        metrics.compactions_running = running.collect();
    }
}

fn read_progress(info: &mut CompactionInfo, progress: &Progress) {
    info.read_bytes = progress.read_bytes.load(Ordering::Relaxed);
    info.read_entries = progress.read_entries.load(Ordering::Relaxed);
}

/// One level over all keyspaces of a class.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LevelMetrics {
    /// Tables.
    pub tables: u64,
    /// Runs.
    pub runs: u64,
    /// Sizes of the files.
    pub bytes: u64,
    /// Highest compaction score of a keyspace at this level; 1 and more is due.
    pub score: f64,
}

/// The keyspaces whose name has the same first part (up to `/`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClassMetrics {
    /// Keyspaces.
    pub keyspaces: u64,
    /// Their levels.
    pub levels: [LevelMetrics; LEVELS],
    /// Entries in their tables.
    pub entries: u64,
    /// Most sorted runs that a point read of one of them looks at.
    pub read_amplification: u64,
    /// Estimate of the bytes that have to be compacted until nothing is due.
    pub pending_bytes: u64,
    /// Range deletes in the manifest: what they hide is not compacted away yet.
    pub range_deletes: u64,
    /// Bytes that these hold in memory, as charged to [`crate::budget::Share::Memtables`].
    pub range_delete_bytes: u64,
    /// What they cost beyond what their users asked for.
    pub amplification: Amplification,
}

/// Transactions since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransactionMetrics {
    /// Open now.
    pub open: u64,
    /// Bytes of keys that others wrote meanwhile, kept to compare with.
    pub history_bytes: u64,
    /// Begun so far.
    pub begun: u64,
    /// Committed, those without a write included.
    pub committed: u64,
    /// Refused, by reason: what they read was `written` by others, or more was written than is kept
    /// (`forgotten`).
    pub conflicts: [(&'static str, u64); 2],
}

/// Numbers of a store at one moment.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    /// Newest sequence number that is visible.
    pub visible_seq: u64,
    /// Live snapshots.
    pub snapshots: u64,
    /// Bytes of active memtables.
    pub memtable_active_bytes: u64,
    /// Bytes of sealed memtables.
    pub memtable_sealed_bytes: u64,
    /// Active memtables.
    pub memtables_active: u64,
    /// Sealed memtables.
    pub memtables_sealed: u64,
    /// Flushes by reason.
    pub flushes: Vec<(&'static str, u64)>,
    /// Sizes of the files they wrote.
    pub flush_bytes: u64,
    /// Duration of each flush in nanoseconds.
    pub flush_ns: HistogramCounts,
    /// Flushes running now.
    pub flushes_running: u64,
    /// Times that writers were stopped.
    pub stalls: u64,
    /// Time that writers were stopped.
    pub stall_ns: u64,
    /// Writes delayed because compactions were behind.
    pub delays: u64,
    /// Time that they were delayed.
    pub delay_ns: u64,
    /// Duration of each delay in nanoseconds.
    pub delay_histogram_ns: HistogramCounts,
    /// Writes that were delayed (runs in level 0, bytes that wait for their compaction) or stopped
    /// (memtables), by what was behind.
    pub slowed: Vec<(&'static str, u64)>,
    /// Bytes a second that merges were seen to drain lately; 0: none was seen.
    pub drain_bytes_per_s: u64,
    /// Writes refused because flushes were behind.
    pub refused_busy: u64,
    /// What the log counted.
    pub wal: WalCounts,
    /// Segments on disk.
    pub wal_segments: u64,
    /// Bytes in them.
    pub wal_bytes: u64,
    /// Records replayed at the last open.
    pub wal_recovered_records: u64,
    /// Bytes of the torn tail that was cut at the last open.
    pub wal_torn_bytes: u64,
    /// Records kept of a log that was damaged inside at the last open
    /// ([`crate::options::OnCorruption::Salvage`]).
    pub wal_salvaged_records: u64,
    /// Places of that log where records were lost.
    pub wal_lost_spans: u64,
    /// Bytes of what was lost.
    pub wal_lost_bytes: u64,
    /// Length of the manifest.
    pub manifest_bytes: u64,
    /// Keyspaces by the first part of their name.
    pub classes: BTreeMap<String, ClassMetrics>,
    /// Compactions running now.
    pub compactions_running: Vec<CompactionInfo>,
    /// Compactions that ended, newest first.
    pub compactions_recent: Vec<CompactionInfo>,
    /// All compactions that ended, by kind.
    pub compactions: Vec<(CompactionKind, CompactionSum)>,
    /// Jobs that failed.
    pub job_failures: u64,
    /// Why the last one did.
    pub last_job_error: Option<Error>,
    /// Block cache and filters.
    pub cache: CacheStats,
    /// Bytes the block cache may hold.
    pub cache_capacity_bytes: u64,
    /// Why the store is read-only, if it is.
    pub read_only: Option<Error>,
    /// Transactions.
    pub transactions: TransactionMetrics,
}

impl StoreMetrics {
    /// What all keyspaces together cost beyond what their users asked for.
    pub fn amplification(&self) -> Amplification {
        let mut whole = Amplification::default();
        self.classes.values().for_each(|class| whole += class.amplification);
        whole
    }

    /// Nothing counted, but for the log and the cache.
    pub(crate) fn new(wal: WalCounts, cache: CacheStats) -> Self {
        StoreMetrics {
            visible_seq: 0,
            snapshots: 0,
            memtable_active_bytes: 0,
            memtable_sealed_bytes: 0,
            memtables_active: 0,
            memtables_sealed: 0,
            flushes: Vec::new(),
            flush_bytes: 0,
            flush_ns: Histogram::default().read(),
            flushes_running: 0,
            stalls: 0,
            stall_ns: 0,
            delays: 0,
            delay_ns: 0,
            delay_histogram_ns: Histogram::default().read(),
            slowed: Vec::new(),
            drain_bytes_per_s: 0,
            refused_busy: 0,
            wal,
            wal_segments: 0,
            wal_bytes: 0,
            wal_recovered_records: 0,
            wal_torn_bytes: 0,
            wal_salvaged_records: 0,
            wal_lost_spans: 0,
            wal_lost_bytes: 0,
            manifest_bytes: 0,
            classes: BTreeMap::new(),
            compactions_running: Vec::new(),
            compactions_recent: Vec::new(),
            compactions: Vec::new(),
            job_failures: 0,
            last_job_error: None,
            cache,
            cache_capacity_bytes: 0,
            read_only: None,
            transactions: TransactionMetrics::default(),
        }
    }
}
