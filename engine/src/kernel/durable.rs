//! Waiting for a commit's durability without a thread that waits.
//!
//! The future is woken by whoever syncs the log past the commit: a writer that waits on its own
//! thread, or a background thread that looks for it before any other job. A store without threads
//! of its own syncs where the future is polled.
//!
//! Invariant: the future resolves well only behind a sync that covered the commit's record (behind
//! the write, for [`Durability::Os`]); it never resolves for the sake of a wake-up.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::{Commit, Kernel};
use crate::Result;
use crate::options::Durability;
use crate::wal::{Ticket, Wal};

/// Resolves once a commit is as durable as was asked for; see [`Commit`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct CommitFuture {
    commit: Commit,
    ticket: Option<Ticket>,
}

impl Future for CommitFuture {
    type Output = Result<Commit>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let CommitFuture { commit, ticket } = &mut *self;
        let outcome = match commit.durability {
            Durability::Always => commit.kernel.poll_durable(commit, ticket, context),
            // No more than a copy to the operating system.
            Durability::Os | Durability::Interval => Poll::Ready(commit.wait()),
        };
        outcome.map(|done| done.map(|()| commit.clone()))
    }
}

impl Drop for CommitFuture {
    fn drop(&mut self) {
        if let (Some(ticket), Some(wal)) = (self.ticket, self.commit.kernel.wal.get()) {
            wal.stop_waiting(ticket);
        }
    }
}

impl IntoFuture for Commit {
    type Output = Result<Commit>;
    type IntoFuture = CommitFuture;

    fn into_future(self) -> CommitFuture {
        CommitFuture { commit: self, ticket: None }
    }
}

impl Kernel {
    fn poll_durable(
        &self,
        commit: &Commit,
        ticket: &mut Option<Ticket>,
        context: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        if commit.is_durable() {
            return Poll::Ready(Ok(()));
        }
        // Nobody else would do it, or nobody is left to.
        if self.is_inline() || self.is_closed.load(Ordering::Acquire) {
            return Poll::Ready(commit.wait());
        }
        let outcome = self.wal().poll_durable(commit.position, ticket, context.waker());
        if outcome.is_pending() {
            self.signal.raise();
            // The store may have been closed since: its threads look no more.
            if self.is_closed.load(Ordering::Acquire) {
                return Poll::Ready(commit.wait());
            }
        }
        outcome.map_err(|error| self.fail_if_read_only(error))
    }

    /// Syncs the log where futures wait for it.
    pub(super) fn sync_step(&self) -> bool {
        let Some(wal) = self.wal.get().filter(|wal| Wal::is_waited_for(wal)) else { return false };
        let outcome = wal.sync_to(wal.end());
        if let Err(error) = outcome {
            let _ = self.fail_if_read_only(error);
        }
        true
    }
}
