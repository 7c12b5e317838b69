//! The way of a batch into the store.
//!
//! ```text
//! check     no lock      every operation is decoded and accepted by its keyspace's hooks
//! admit     no lock      within the memory of memtables, or a bounded stall
//! number    commit lock  a transaction's conflicts; next sequence number, memtables to write to,
//!                        record into the log buffer
//! apply     no lock      into the memtables, beside other batches
//! publish   no lock      visible in the order of numbers
//! wait      no lock      for the write or the fsync, shared with whoever else waits
//! ```
//!
//! Invariants:
//! - what is in the log can be applied: nothing behind the append may fail;
//! - the commit lock covers no I/O, except when the log buffer is full;
//! - a memtable is sealed only under the commit lock, so its records are those of a range of
//!   sequence numbers, and `enter` precedes the seal.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Commits, Entering, Guard, Kernel};
use crate::background::Step;
use crate::batch::WriteBatch;
use crate::events::EventKind;
use crate::expiry::now_ms;
use crate::key::{Kind, Op, Seq};
use crate::keyspace::{FlushReason, KeyspaceState, MemtableSlot};
use crate::options::Durability;
use crate::publish::SLOTS;
use crate::sync::MutexGuard;
use crate::wal::{LogPosition, Wal};
use crate::{Error, Result};

/// Memory that a batch takes once applied, as a multiple of its bytes: rows of packed numbers
/// unfold, and a small key costs its place in a list.
const MEMTABLE_FACTOR: u64 = 4;

/// Bytes of log between two looks at how much of it memtables pin.
const WAL_CHECK_BYTES: u64 = 1 << 20;

/// Slices of a stall, after each of which the writer looks again.
const STALL_SLICES: u64 = 20;

/// A keyspace that a batch touches, and the memtable that takes its operations.
pub(super) struct Touched {
    pub keyspace: Arc<KeyspaceState>,
    slot: Option<Arc<MemtableSlot>>,
    /// There are operations beside range deletes.
    has_entries: bool,
    /// Keys and values for it.
    bytes: u64,
}

/// A write that is in the log buffer and visible; [`Commit::wait`] makes it durable, and so does
/// `.await`, without holding up the thread: on any executor, since the store's own threads sync.
#[derive(Debug, Clone)]
#[must_use = "the write may not be durable before `wait`"]
pub struct Commit {
    pub(super) kernel: Arc<Kernel>,
    seq: Seq,
    pub(super) position: LogPosition,
    pub(super) durability: Durability,
}

impl Commit {
    /// Its place in the order of all writes.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Whether the write is on disk, whatever was asked for. Never waits.
    pub fn is_durable(&self) -> bool {
        self.kernel.wal.get().is_none_or(|wal| wal.durable() >= self.position)
    }

    /// Until the write is as durable as was asked for.
    ///
    /// # Errors
    /// `ReadOnly`: the write may or may not survive.
    pub fn wait(&self) -> Result<()> {
        let outcome = match self.durability {
            Durability::Always => self.kernel.wal().sync_to(self.position),
            Durability::Os => self.kernel.wal().write_to(self.position),
            Durability::Interval => Ok(()),
        };
        outcome.map_err(|error| self.kernel.fail_if_read_only(error))
    }
}

impl Kernel {
    /// Writes a batch up to the point where it is visible.
    pub fn commit(
        self: &Arc<Self>,
        batch: &WriteBatch,
        durability: Option<Durability>,
    ) -> Result<Commit> {
        self.commit_guarded(batch, durability, None)
    }

    /// As `commit`, unless the guard finds a conflict.
    pub fn commit_guarded(
        self: &Arc<Self>,
        batch: &WriteBatch,
        durability: Option<Durability>,
        guard: Option<&Guard<'_>>,
    ) -> Result<Commit> {
        self.check_writable()?;
        let durability = durability.unwrap_or_else(|| self.runtime.durability());
        let mut touched = self.check_batch(batch)?;
        let expiring = self.expiring(batch, &touched)?;
        let batch = expiring.as_ref().unwrap_or(batch);
        if touched.is_empty() {
            guard.map_or(Ok(()), |guard| guard.check(&self.commits.lock()))?;
            return Ok(self.commit_of_nothing(self.publisher.visible()));
        }
        let pressed = touched.iter().filter_map(|touched| touched.keyspace.pressure());
        if let Some(pressure) = pressed.max_by_key(|pressure| pressure.parts) {
            self.pace(pressure, batch.bytes().len() as u64, &touched);
        }
        let entering = self.admit(batch.bytes().len() as u64 * MEMTABLE_FACTOR)?;
        let (seq, position, is_long) = self.number(batch, &mut touched, guard)?;
        let applied = Applied { kernel: self, touched: &touched, seq };
        apply(batch, &touched, seq);
        let is_full = applied.finish();
        drop(entering);
        if is_full {
            self.seal_largest(FlushReason::Size);
        }
        if is_long {
            self.seal_log_pins();
        }
        Ok(Commit { kernel: self.clone(), seq, position, durability })
    }

    /// The commit of a batch without operations, after those up to `seq`.
    pub fn commit_of_nothing(self: &Arc<Self>, seq: Seq) -> Commit {
        let (position, durability) = (LogPosition(0), Durability::Interval);
        Commit { kernel: self.clone(), seq, position, durability }
    }

    /// What follows a commit once its durability was waited for.
    pub fn after_commit(self: &Arc<Self>) {
        if self.wal.get().is_some_and(Wal::needs_prepare) {
            self.signal.raise();
        }
        if self.is_inline() {
            self.run_due();
        }
    }

    /// The batch with the moments at which its puts expire, where a keyspace has a time to live.
    fn expiring(&self, batch: &WriteBatch, touched: &[Touched]) -> Result<Option<WriteBatch>> {
        if touched.iter().all(|touched| touched.keyspace.ttl_ms().is_none()) {
            return Ok(None);
        }
        let now_ms = now_ms(&*self.options.clock);
        let moment = |id| {
            let touched = touched.iter().find(|touched| touched.keyspace.id == id)?;
            Some(now_ms.saturating_add(touched.keyspace.ttl_ms()?))
        };
        batch.expiring(&moment).map(Some)
    }

    /// Decodes every operation and asks its keyspace's hooks.
    fn check_batch(&self, batch: &WriteBatch) -> Result<Vec<Touched>> {
        let limit = self.options.batch_bytes_max;
        if batch.bytes().len() > limit {
            let (limit, got) = (limit as u64, batch.bytes().len() as u64);
            return Err(Error::Limit { what: "bytes of a batch", limit, got });
        }
        let mut touched: Vec<Touched> = Vec::with_capacity(1);
        let mut last = 0;
        for op in batch.iter() {
            let (id, op) = op?;
            if touched.get(last).is_none_or(|touched| touched.keyspace.id != id) {
                last = match touched.iter().position(|touched| touched.keyspace.id == id) {
                    Some(index) => index,
                    None => {
                        let keyspace = self.keyspace(id)?;
                        let (slot, has_entries) = (None, false);
                        touched.push(Touched { keyspace, slot, has_entries, bytes: 0 });
                        touched.len() - 1
                    }
                };
            }
            self.check_op(&touched[last].keyspace, &op)?;
            touched[last].has_entries |= op.kind != Kind::DeleteRange;
            touched[last].bytes += (op.key.len() + op.value.len()) as u64;
        }
        Ok(touched)
    }

    /// Whether the keyspace takes the operation.
    pub fn check_op(&self, keyspace: &KeyspaceState, op: &Op<'_>) -> Result<()> {
        let limit = self.options.key_bytes_max;
        let is_range = op.kind == Kind::DeleteRange;
        // The end of a range may be the key after the longest.
        let end = if is_range { op.value.len().saturating_sub(1) } else { 0 };
        let got = op.key.len().max(end);
        if got > limit {
            let (limit, got) = (limit as u64, got as u64);
            return Err(Error::Limit { what: "bytes of a key", limit, got });
        }
        if op.key.is_empty() && op.kind != Kind::Append && !is_range {
            return Err(Error::Invalid { reason: "an empty key".to_owned() });
        }
        keyspace.hooks.validate(op)
    }

    /// Stalls while memtables hold more than they may, for a bounded time. What comes back holds
    /// room for `bytes` until the batch is applied: many writers at once do not all take the same.
    fn admit(self: &Arc<Self>, bytes: u64) -> Result<Entering<'_>> {
        let budget = &self.options.budget;
        let entering = Cell::new(None);
        let has_room = || {
            let (others, room) = self.memory.enter(bytes);
            let total = self.memory.total();
            let is_within = total + others + bytes <= self.runtime.memtable_bytes_hard();
            // When the process is over its budget, memtables give what they can; and an empty
            // store takes any batch within its limit.
            let is_lean = total <= self.runtime.memtable_bytes_max() / 4;
            let has_room = total + others == 0
                || is_within && (is_lean || budget.total_bytes() <= budget.limit_bytes());
            if has_room {
                entering.set(Some(room));
            }
            has_room
        };
        if !has_room() {
            if budget.total_bytes() > budget.limit_bytes() {
                self.spares.clear();
            }
            self.counters.stalls.fetch_add(1, Ordering::Relaxed);
            // One writer writes it down for all that are stopped meanwhile.
            let is_first = self.counters.stalled.fetch_add(1, Ordering::Relaxed) == 0;
            let start = self.options.clock.monotonic_ns();
            let outcome = self.stall(&has_room);
            let waited = self.options.clock.monotonic_ns().saturating_sub(start);
            self.counters.stalled.fetch_sub(1, Ordering::Relaxed);
            self.counters.stall_ns.fetch_add(waited, Ordering::Relaxed);
            if is_first {
                let kind = EventKind::WritesStopped { reason: "memtables" };
                self.note(&"".into(), waited, kind);
            }
            outcome?;
        }
        Ok(entering.take().expect("set when there was room"))
    }

    fn stall(self: &Arc<Self>, has_room: &dyn Fn() -> bool) -> Result<()> {
        let slice = Duration::from_millis(self.runtime.stall_ms_max() / STALL_SLICES);
        for _ in 0..STALL_SLICES {
            let seen = self.signal.now();
            self.check_writable()?;
            // All that was sealed is flushed, and there is still no room.
            if self.memory.sealed() == 0
                && let Some(keyspace) = self.largest()
            {
                self.seal(&keyspace, FlushReason::Size);
            }
            if has_room() {
                return Ok(());
            }
            if self.is_inline() {
                if self.run_due() != Step::Done {
                    break;
                }
            } else {
                self.signal.wait(seen, slice);
            }
        }
        if has_room() {
            return Ok(());
        }
        self.counters.busy.fetch_add(1, Ordering::Relaxed);
        let retry_after_ms = self.runtime.stall_ms_max();
        Err(Error::Busy { reason: "flushes are behind", retry_after_ms })
    }

    /// Gives the batch its number and its place in the log; says whether it is time to look at
    /// how much log memtables pin.
    fn number(
        &self,
        batch: &WriteBatch,
        touched: &mut [Touched],
        guard: Option<&Guard<'_>>,
    ) -> Result<(Seq, LogPosition, bool)> {
        let wal = self.wal();
        let mut commits = self.lock_commits();
        if let Some(dropped) =
            touched.iter().find(|touched| touched.keyspace.is_dropped.load(Ordering::Acquire))
        {
            let what = format!("keyspace {}", dropped.keyspace.name);
            return Err(Error::NotFound { what });
        }
        guard.map_or(Ok(()), |guard| guard.check(&commits))?;
        let seq = commits.last_seq + 1;
        for touched in touched.iter_mut() {
            touched.slot = Some(self.active_slot(&mut commits, &touched.keyspace));
        }
        let position = match wal.append(seq, &[batch.bytes()]) {
            Ok(position) => position,
            Err(error) => {
                drop(commits);
                return Err(self.fail_if_read_only(error));
            }
        };
        commits.last_seq = seq;
        if commits.history.is_recording() {
            commits.history.record(seq, batch, self.runtime.transaction_history_bytes());
        }
        for touched in touched.iter() {
            let slot = touched.slot.as_ref().expect("just set");
            slot.enter(seq, position, touched.has_entries);
        }
        let is_long = position.0 - commits.wal_checked.0 >= WAL_CHECK_BYTES;
        if is_long {
            commits.wal_checked = position;
        }
        Ok((seq, position, is_long))
    }

    /// The commit lock, once the next sequence number has a slot with the publisher.
    fn lock_commits(&self) -> MutexGuard<'_, Commits> {
        loop {
            let commits = self.commits.lock();
            let next = commits.last_seq + 1;
            if self.publisher.has_room(next) {
                return commits;
            }
            drop(commits);
            self.publisher.wait(next - SLOTS);
        }
    }

    /// The active memtable of `keyspace`; makes one when there is none.
    fn active_slot(
        &self,
        commits: &mut Commits,
        keyspace: &Arc<KeyspaceState>,
    ) -> Arc<MemtableSlot> {
        if let Some(slot) = keyspace.active() {
            return slot;
        }
        let (segment, position) = (self.wal().segment(), self.wal().end());
        let created = self.options.clock.monotonic_ns();
        let memtable = keyspace.hooks.memtable(&self.memtables);
        let slot = MemtableSlot::new(memtable, segment, position, created);
        keyspace.change_picture(|picture| picture.active = Some(slot.clone()));
        commits.dirty.insert(keyspace.id, keyspace.clone());
        slot
    }
}

fn apply(batch: &WriteBatch, touched: &[Touched], seq: Seq) {
    let superseded = batch.superseded().expect("decoded before it was logged");
    let mut last = 0;
    for (index, op) in batch.iter().enumerate() {
        let (id, op) = op.expect("decoded before it was logged");
        if superseded.get(index) == Some(&true) {
            continue;
        }
        if touched[last].keyspace.id != id {
            let index = touched.iter().position(|touched| touched.keyspace.id == id);
            last = index.expect("collected before it was logged");
        }
        let slot = touched[last].slot.as_ref().expect("set when it was logged");
        slot.apply(seq, &op);
    }
}

/// A numbered batch must be published whatever happens: later ones wait for it.
struct Applied<'a> {
    kernel: &'a Kernel,
    touched: &'a [Touched],
    seq: Seq,
}

impl Applied<'_> {
    /// Counts, leaves and publishes; says whether the active memtables hold more than they may.
    fn finish(self) -> bool {
        let mut active_bytes = 0;
        for touched in self.touched {
            if let Some(slot) = &touched.slot {
                active_bytes = self.kernel.memory.count(slot);
                slot.leave();
                let user_bytes = &touched.keyspace.traffic.user_bytes;
                user_bytes.fetch_add(touched.bytes, Ordering::Relaxed);
            }
        }
        self.kernel.publisher.publish(self.seq);
        let is_full = active_bytes > self.kernel.runtime.memtable_bytes_max();
        std::mem::forget(self);
        is_full
    }
}

impl Drop for Applied<'_> {
    /// Only when a memtable panicked: the batch is in the log but not in memory.
    fn drop(&mut self) {
        for touched in self.touched {
            if let Some(slot) = &touched.slot {
                slot.leave();
            }
        }
        let reason = "a memtable panicked".to_owned();
        let _ = self.kernel.fail(Error::Invalid { reason });
        self.kernel.publisher.publish(self.seq);
    }
}
