//! Counters of the read side. The process shows them; the handlers add to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use firndb_engine::clock::Clock;
use firndb_engine::histogram::Histogram;

/// What a question was asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Lang {
    /// `/query`: one or more InfluxQL statements.
    Influxql,
    /// `/api/v1/range` and the exports.
    Range,
}

impl Lang {
    /// All, in metric order.
    pub const ALL: [Lang; 2] = [Lang::Influxql, Lang::Range];

    /// Label of the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Lang::Influxql => "influxql",
            Lang::Range => "range",
        }
    }
}

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Status {
    /// Answered whole.
    Ok,
    /// Ended by an error, its deadline or a limit.
    Error,
    /// The client went away.
    Cancelled,
}

impl Status {
    /// All, in metric order.
    pub const ALL: [Status; 3] = [Status::Ok, Status::Error, Status::Cancelled];

    /// Label of the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Error => "error",
            Status::Cancelled => "cancelled",
        }
    }
}

/// Counters of the read side.
#[derive(Debug, Default)]
pub struct QueryMetrics {
    ended: [[AtomicU64; Status::ALL.len()]; Lang::ALL.len()],
    duration_ns: [Histogram; Lang::ALL.len()],
    in_flight: AtomicU64,
}

impl QueryMetrics {
    /// Queries that ended so.
    pub fn ended(&self, lang: Lang, status: Status) -> u64 {
        self.ended[lang as usize][status as usize].load(Ordering::Relaxed)
    }

    /// Times of queries that ended, in nanoseconds.
    pub fn duration_ns(&self, lang: Lang) -> &Histogram {
        &self.duration_ns[lang as usize]
    }

    /// Queries running now.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// A query that begins now; it is over when what this returns is dropped.
    pub(crate) fn begin(self: &Arc<Self>, lang: Lang, clock: &Arc<dyn Clock>) -> Running {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let begin_ns = clock.monotonic_ns();
        let (metrics, clock) = (self.clone(), clock.clone());
        Running { metrics, clock, lang, begin_ns, status: Status::Cancelled }
    }
}

/// A query that runs. Dropped without an end it counts as cancelled.
#[derive(Debug)]
pub(crate) struct Running {
    metrics: Arc<QueryMetrics>,
    clock: Arc<dyn Clock>,
    lang: Lang,
    begin_ns: u64,
    status: Status,
}

impl Running {
    /// Ends the query.
    pub(crate) fn end(mut self, status: Status) {
        self.status = status;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let lasted = self.clock.monotonic_ns().saturating_sub(self.begin_ns);
        self.metrics.duration_ns[self.lang as usize].record(lasted);
        let ended = &self.metrics.ended[self.lang as usize];
        ended[self.status as usize].fetch_add(1, Ordering::Relaxed);
        self.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
