//! What is due and what is running: which keyspace to flush next, which to look at for compaction,
//! which tables are taken.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::compaction::InFlight;
use crate::key::KeyspaceId;
use crate::keyspace::KeyspaceState;

/// What is due and what is running.
#[derive(Default)]
pub(crate) struct Schedule {
    /// Keyspaces with sealed memtables, oldest request first.
    flushes: VecDeque<Arc<KeyspaceState>>,
    is_queued: HashSet<KeyspaceId>,
    /// Keyspaces being flushed: one flush each at a time, so that runs appear in order.
    flushing: HashSet<KeyspaceId>,
    /// Keyspaces whose tables changed since they were looked at.
    candidates: VecDeque<Arc<KeyspaceState>>,
    is_candidate: HashSet<KeyspaceId>,
    /// Tables that running compactions hold.
    pub in_flight: InFlight,
    /// Failures of a keyspace's jobs in a row.
    failures: HashMap<KeyspaceId, u32>,
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

    /// The tables of `keyspace` changed.
    pub fn compaction_due(&mut self, keyspace: &Arc<KeyspaceState>) {
        if self.is_candidate.insert(keyspace.id) {
            self.candidates.push_back(keyspace.clone());
        }
    }

    /// The next keyspace to look at for a compaction.
    pub fn take_candidate(&mut self) -> Option<Arc<KeyspaceState>> {
        let keyspace = self.candidates.pop_front()?;
        self.is_candidate.remove(&keyspace.id);
        Some(keyspace)
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
