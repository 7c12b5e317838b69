//! Transactions as the kernel sees them: when one began, and what refuses its commit.
//!
//! A transaction is entered into the history under the commit lock, at the last sequence number
//! given out; then it waits until all up to there is visible, and only then takes its snapshot. So
//! every write that its snapshot does not see is in the history.

use std::sync::Arc;

use super::{Commits, Kernel};
use crate::Result;
use crate::conflicts::Reads;
use crate::key::Seq;
use crate::snapshot::Snapshot;

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
    reads: &'a Reads,
    began: Seq,
    /// Up to here nothing conflicts.
    checked: Seq,
}

impl Guard<'_> {
    /// Compares what is left of the history.
    pub fn check(&self, commits: &Commits) -> Result<()> {
        commits.history.check(self.reads, self.began, self.checked)
    }
}

impl Kernel {
    /// Enters a transaction and gives the snapshot that it reads at.
    pub fn begin_transaction(self: &Arc<Self>) -> Result<(OpenTransaction, Snapshot)> {
        self.check_open()?;
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
        &self,
        open: &OpenTransaction,
        snapshot: &Snapshot,
        reads: &'a Reads,
    ) -> Result<Guard<'a>> {
        let after = snapshot.seq();
        let (chunks, checked) = self.commits.lock().history.full_chunks(after);
        chunks.iter().try_for_each(|chunk| chunk.check(reads, after))?;
        Ok(Guard { reads, began: open.began, checked })
    }
}
