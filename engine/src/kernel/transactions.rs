//! Transactions as the kernel sees them: when one began, and what refuses its commit.
//!
//! A transaction is entered into the history under the commit lock, at the last sequence number
//! given out; then it waits until all up to there is visible, and only then takes its snapshot. So
//! every write that its snapshot does not see is in the history.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Commits, Kernel};
use crate::Result;
use crate::conflicts::Reads;
use crate::key::Seq;
use crate::metrics::TransactionMetrics;
use crate::snapshot::Snapshot;

/// What became of transactions.
#[derive(Debug, Default)]
pub(crate) struct TransactionCounters {
    begun: AtomicU64,
    committed: AtomicU64,
    conflicts_written: AtomicU64,
    conflicts_forgotten: AtomicU64,
}

/// A transaction that the history knows of; it is forgotten when this is dropped.
#[derive(Debug)]
pub(crate) struct OpenTransaction {
    kernel: Arc<Kernel>,
    began: Seq,
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        let gone = self.kernel.commits.lock().history.close(self.began);
        drop(gone); // freed under no lock
    }
}

/// Refuses a commit that conflicts.
#[derive(Debug)]
pub(crate) struct Guard<'a> {
    counters: &'a TransactionCounters,
    reads: &'a Reads,
    began: Seq,
    /// Up to here nothing conflicts.
    checked: Seq,
}

impl Guard<'_> {
    /// Compares what is left of the history.
    pub fn check(&self, commits: &Commits) -> Result<()> {
        let checked = commits.history.check(self.reads, self.began, self.checked);
        let counter = match commits.history.has_forgotten(self.began) {
            true => &self.counters.conflicts_forgotten,
            false => &self.counters.conflicts_written,
        };
        checked.inspect_err(|_| _ = counter.fetch_add(1, Ordering::Relaxed))
    }
}

impl Kernel {
    /// Enters a transaction and gives the snapshot that it reads at.
    pub fn begin_transaction(self: &Arc<Self>) -> Result<(OpenTransaction, Snapshot)> {
        self.check_open()?;
        self.transactions.begun.fetch_add(1, Ordering::Relaxed);
        let began = {
            let mut commits = self.commits.lock();
            let began = commits.last_seq;
            commits.history.open(began);
            began
        };
        let open = OpenTransaction { kernel: self.clone(), began };
        self.publisher.wait(began);
        Ok((open, self.snapshots.take(|| self.publisher.visible())))
    }

    /// Compares most of what was written since `open` with `reads`, and gives the guard that does
    /// the rest under the commit lock.
    ///
    /// # Errors
    /// `Conflict`.
    pub fn guard<'a>(
        &'a self,
        open: &OpenTransaction,
        snapshot: &Snapshot,
        reads: &'a Reads,
    ) -> Result<Guard<'a>> {
        let after = snapshot.seq();
        let (chunks, checked) = self.commits.lock().history.full_chunks(after);
        let counters = &self.transactions;
        let compared = chunks.iter().try_for_each(|chunk| chunk.check(reads, after));
        compared.inspect_err(|_| _ = counters.conflicts_written.fetch_add(1, Ordering::Relaxed))?;
        Ok(Guard { counters, reads, began: open.began, checked })
    }

    /// A transaction was stored, or had nothing to store.
    pub fn transaction_committed(&self) {
        self.transactions.committed.fetch_add(1, Ordering::Relaxed);
    }

    /// What became of transactions so far.
    pub fn transaction_metrics(&self) -> TransactionMetrics {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (open, history_bytes) = {
            let commits = self.commits.lock();
            (commits.history.open_count() as u64, commits.history.bytes())
        };
        let of = &self.transactions;
        TransactionMetrics {
            open,
            history_bytes,
            begun: load(&of.begun),
            committed: load(&of.committed),
            conflicts: [
                ("written", load(&of.conflicts_written)),
                ("forgotten", load(&of.conflicts_forgotten)),
            ],
        }
    }
}
