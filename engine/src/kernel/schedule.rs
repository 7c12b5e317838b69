//! What is due and what is running: which keyspace to flush next, which to look at for compaction,
//! which tables are taken.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::compaction::InFlight;
use crate::key::KeyspaceId;
use crate::keyspace::KeyspaceState;

/// Keyspaces to look at, each once, oldest request first.
#[derive(Default)]
struct Candidates {
    queue: VecDeque<Arc<KeyspaceState>>,
    is_queued: HashSet<KeyspaceId>,
}

impl Candidates {
    fn push(&mut self, keyspace: &Arc<KeyspaceState>) {
        if self.is_queued.insert(keyspace.id) {
            self.queue.push_back(keyspace.clone());
        }
    }

    fn pop(&mut self) -> Option<Arc<KeyspaceState>> {
        let keyspace = self.queue.pop_front()?;
        self.is_queued.remove(&keyspace.id);
        Some(keyspace)
    }
}

/// What is due and what is running.
#[derive(Default)]
pub(crate) struct Schedule {
    /// Keyspaces with sealed memtables, oldest request first.
    flushes: VecDeque<Arc<KeyspaceState>>,
    is_queued: HashSet<KeyspaceId>,
    /// Keyspaces being flushed: one flush each at a time, so that runs appear in order.
    flushing: HashSet<KeyspaceId>,
    /// Keyspaces that were flushed since they were looked at: their level 0 may be due, which is
    /// what readers and writers feel first.
    flushed: Candidates,
    /// Keyspaces whose tables changed otherwise since they were looked at.
    changed: Candidates,
    /// Tables that running compactions hold.
    pub in_flight: InFlight,
    /// Failures of a keyspace's jobs in a row.
    failures: HashMap<KeyspaceId, u32>,
    /// A deep job lets a small one go first.
    pub is_yielding: bool,
    /// The next log segment is being prepared.
    pub is_preparing: bool,
    /// Obsolete files are being unlinked.
    pub is_clearing: bool,
    /// No job before this moment: the disk was full.
    pub not_before_ns: u64,
}

impl Schedule {
    /// `keyspace` has sealed memtables.
    pub fn flush_due(&mut self, keyspace: &Arc<KeyspaceState>) {
        if self.is_queued.insert(keyspace.id) {
            self.flushes.push_back(keyspace.clone());
        }
    }

    /// The next keyspace to flush, now being flushed.
    pub fn take_flush(&mut self) -> Option<Arc<KeyspaceState>> {
        let is_free = |keyspace: &Arc<KeyspaceState>| !self.flushing.contains(&keyspace.id);
        let at = self.flushes.iter().position(is_free)?;
        let keyspace = self.flushes.remove(at)?;
        self.is_queued.remove(&keyspace.id);
        self.flushing.insert(keyspace.id);
        Some(keyspace)
    }

    /// The flush of `keyspace` ended.
    pub fn flush_ended(&mut self, keyspace: &KeyspaceState) {
        self.flushing.remove(&keyspace.id);
    }

    /// Keyspaces that wait for their flush, oldest request first.
    pub fn flushes_queued(&self) -> Vec<Arc<KeyspaceState>> {
        self.flushes.iter().cloned().collect()
    }

    /// Flushes running now.
    pub fn flushing(&self) -> usize {
        self.flushing.len()
    }

    /// The tables of `keyspace` changed by a flush.
    pub fn compaction_due_after_flush(&mut self, keyspace: &Arc<KeyspaceState>) {
        self.flushed.push(keyspace);
    }

    /// The tables of `keyspace` changed, or what it asks of them.
    pub fn compaction_due(&mut self, keyspace: &Arc<KeyspaceState>) {
        self.changed.push(keyspace);
    }

    /// Whether the next keyspace to look at is one that was flushed.
    pub fn is_flushed_next(&self) -> bool {
        !self.flushed.queue.is_empty()
    }

    /// The next keyspace to look at for a compaction: those that were flushed come first.
    pub fn take_candidate(&mut self) -> Option<Arc<KeyspaceState>> {
        self.flushed.pop().or_else(|| self.changed.pop())
    }

    /// A job of `keyspace` went well.
    pub fn succeeded(&mut self, keyspace: KeyspaceId) {
        self.failures.remove(&keyspace);
    }

    /// A job of `keyspace` failed; gives how many did in a row.
    pub fn failed(&mut self, keyspace: KeyspaceId) -> u32 {
        let count = self.failures.entry(keyspace).or_default();
        *count += 1;
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::Plain;
    use crate::keyspace::Keyspace;
    use crate::levels::Version;
    use crate::options::Policy;

    fn keyspace(id: u32) -> Arc<KeyspaceState> {
        let keyspace = Keyspace { id: KeyspaceId(id), name: format!("kv/{id}").into() };
        let hooks = Arc::new(Plain::new());
        KeyspaceState::new(keyspace, hooks, None, Policy::default(), Version::default())
    }

    #[test]
    fn what_was_flushed_is_looked_at_first_and_everything_once() {
        let mut schedule = Schedule::default();
        let [a, b, c] = [1, 2, 3].map(keyspace);
        schedule.compaction_due(&a);
        schedule.compaction_due(&b);
        schedule.compaction_due(&a);
        schedule.compaction_due_after_flush(&c);
        schedule.compaction_due_after_flush(&b);
        let mut order = Vec::new();
        while let Some(keyspace) = schedule.take_candidate() {
            order.push(keyspace.id.0);
        }
        assert_eq!(order, [3, 2, 1, 2], "flushed first; once in each queue");
    }
}
