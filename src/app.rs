//! What the handlers of the process share: clock, budget, counters, and the databases once they
//! are open.
//!
//! The server listens before the log is replayed, so that probes get an answer: until
//! [`App::open`] is called the data routes answer 503 and `/ready` tells how far it is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use firndb::engine::budget::Budget;
use firndb::engine::clock::Clock;
use firndb::engine::fs::Fs;
use firndb::engine::store::OpenProgress;
use firndb::ingest::metrics::IngestMetrics;
use firndb::query::metrics::QueryMetrics;
use firndb::tsdb::Tsdb;

use crate::config::settings::Settings;
use crate::kv::KvMetrics;
use crate::memory;
use crate::metrics::HttpMetrics;
use crate::metrics::retention::RetentionMetrics;

/// Where the server is in its life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Phase {
    /// Reading the manifest and replaying the log; bytes done and in all.
    Starting(u64, u64),
    /// Reads and writes work.
    Ready,
    /// Told to stop; requests under way are finished.
    Draining,
}

/// The databases and their routes.
#[derive(Debug)]
pub struct Opened {
    /// The databases.
    pub tsdb: Tsdb,
    /// Routes that need them.
    pub router: Router,
}

/// What the handlers of the process share.
#[derive(Debug)]
pub struct App {
    /// Settings of this run.
    pub settings: Settings,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Files.
    pub fs: Arc<dyn Fs>,
    /// Memory.
    pub budget: Budget,
    /// Counters of the write side.
    pub ingest_metrics: Arc<IngestMetrics>,
    pub query_metrics: Arc<QueryMetrics>,
    /// Counters of keys and values.
    pub kv_metrics: Arc<KvMetrics>,
    /// Counters of the HTTP server.
    pub http_metrics: HttpMetrics,
    /// What maintenance took off the disk.
    pub retention_metrics: Arc<RetentionMetrics>,
    /// Wall clock at the start.
    pub started_ns: i64,
    opened: OnceLock<Opened>,
    draining: AtomicBool,
    replay_done: AtomicU64,
    replay_total: AtomicU64,
    request_count: AtomicU64,
}

impl App {
    /// A server that has not opened its data yet.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, fs: Arc<dyn Fs>) -> Self {
        App {
            budget: memory::budget(settings.memory_bytes),
            started_ns: clock.unix_ns(),
            settings,
            clock,
            fs,
            ingest_metrics: Arc::default(),
            query_metrics: Arc::default(),
            kv_metrics: Arc::default(),
            http_metrics: HttpMetrics::default(),
            retention_metrics: Arc::default(),
            opened: OnceLock::new(),
            draining: AtomicBool::new(false),
            replay_done: AtomicU64::new(0),
            replay_total: AtomicU64::new(0),
            request_count: AtomicU64::new(0),
        }
    }

    /// Where the server is in its life.
    pub fn phase(&self) -> Phase {
        if self.draining.load(Ordering::Acquire) {
            Phase::Draining
        } else if self.opened.get().is_some() {
            Phase::Ready
        } else {
            let done = self.replay_done.load(Ordering::Relaxed);
            Phase::Starting(done, self.replay_total.load(Ordering::Relaxed))
        }
    }

    /// The databases, once they are open.
    pub fn opened(&self) -> Option<&Opened> {
        self.opened.get()
    }

    /// How far opening is.
    pub fn progress(&self, progress: OpenProgress) {
        if let OpenProgress::Replay { done_bytes, total_bytes } = progress {
            self.replay_total.store(total_bytes, Ordering::Relaxed);
            self.replay_done.store(done_bytes, Ordering::Relaxed);
        }
    }

    /// Reads and writes work from now on.
    pub fn open(&self, opened: Opened) {
        assert!(self.opened.set(opened).is_ok(), "data is opened once");
    }

    /// The server stops.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// An id for a request that came without one: unique in this process, and across restarts by
    /// the time of the start.
    pub fn request_id(&self) -> String {
        let count = self.request_count.fetch_add(1, Ordering::Relaxed);
        let start = self.started_ns as u64;
        format!(
            "{:08x}-{:04x}-4000-8{:03x}-{:012x}",
            start >> 32,
            (start >> 16) & 0xffff,
            (start >> 4) & 0xfff,
            count & 0xffff_ffff_ffff
        )
    }
}
