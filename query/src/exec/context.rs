//! What a query may use: threads, memory, time; and the ways to stop it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use firndb_engine::budget::Budget;
use firndb_engine::clock::Clock;
use firndb_tsdb::Tsdb;

use crate::error::{Error, Result};

/// What one query may use. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    /// The databases that plans name.
    pub tsdb: Tsdb,
    /// Worker threads of all queries; `None`: everything on the calling thread.
    pub pool: Option<Arc<rayon::ThreadPool>>,
    /// Memory; the query holds `Share::Queries` of it.
    pub budget: Budget,
    /// For the deadline; `now` comes with the plan.
    pub clock: Arc<dyn Clock>,
    /// When to give up, on the monotonic clock.
    pub deadline_ns: Option<u64>,
    /// Stops the query from outside.
    pub cancel: Cancel,
    /// Limits of the configuration.
    pub limits: Limits,
}

impl Context {
    /// Fails when the query was stopped or is past its deadline.
    pub fn check(&self) -> Result<()> {
        self.means().check()
    }

    /// All but the databases.
    pub(super) fn means(&self) -> Means {
        Means {
            pool: self.pool.clone(),
            budget: self.budget.clone(),
            clock: self.clock.clone(),
            deadline_ns: self.deadline_ns,
            cancel: self.cancel.clone(),
            limits: self.limits,
        }
    }
}

/// A [`Context`] without the databases: what the operators of a running query may use.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub pool: Option<Arc<rayon::ThreadPool>>,
    pub budget: Budget,
    pub clock: Arc<dyn Clock>,
    pub deadline_ns: Option<u64>,
    pub cancel: Cancel,
    pub limits: Limits,
}

impl Means {
    /// Fails when the query was stopped or is past its deadline. Called at least once a chunk.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::Canceled);
        }
        match self.deadline_ns {
            Some(deadline_ns) if self.clock.monotonic_ns() >= deadline_ns => Err(Error::Deadline),
            _ => Ok(()),
        }
    }
}

/// Stops a query from another thread; clones stop the same query.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the query to stop; it does within a chunk's work.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Limits of one query; 0 means none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Series that may take part (`max-select-series`).
    pub series_max: u64,
    /// Values that may be read (`max-select-point`).
    pub points_max: u64,
    /// Windows that may be answered, over all output series (`max-select-buckets`).
    pub buckets_max: u64,
}
