//! Partitions: spans of time with a keyspace each, so that time expires as whole files.
//!
//! A partition is made by the first write into its window. Windows of a policy never overlap: a
//! point goes to the partition that covers its time, if there is one, whatever the policy's shard
//! duration is by now; else a new window is cut so that it fits beside its neighbours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use firndb_engine as engine;
use firndb_engine::key::KeyspaceId;
use firndb_engine::options::{KeyspaceOptions, Policy, Tiered};
use firndb_engine::store::Store;
use parking_lot::{Mutex, RwLock};

use crate::model::{TimeRange, Timestamp};
use crate::retention::{RetentionPolicy, Window};
use crate::{Result, keys};

/// A partition.
#[derive(Debug)]
pub struct Partition {
    /// Where its chunks are.
    pub keyspace: KeyspaceId,
    /// Its window.
    pub window: Window,
    /// The timestamps of its window.
    pub range: TimeRange,
    /// When it was last written to; [`NEVER`] until known.
    written_at: AtomicI64,
    /// Whether it was asked to take its final form since then.
    is_closed: AtomicBool,
}

const NEVER: i64 = i64::MIN;

impl Partition {
    fn new(keyspace: KeyspaceId, window: Window) -> Self {
        Partition {
            keyspace,
            window,
            range: window.range(),
            written_at: AtomicI64::new(NEVER),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Notes a write.
    pub fn touch(&self, now: Timestamp) {
        self.written_at.fetch_max(now, Ordering::Relaxed);
        self.is_closed.store(false, Ordering::Release);
    }

    /// Whether the window is over, nothing was written for `delay_ns`, and nobody was told yet.
    /// The first call after an open starts the delay.
    pub fn is_due_to_close(&self, now: Timestamp, delay_ns: i64) -> bool {
        if self.is_closed.load(Ordering::Acquire) || self.range.end >= now {
            return false;
        }
        let unknown =
            self.written_at.compare_exchange(NEVER, now, Ordering::Relaxed, Ordering::Relaxed);
        let written_at = unknown.map_or_else(|at| at, |_| now);
        now.saturating_sub(written_at) >= delay_ns
    }

    /// Whether it was asked to take its final form since the last write.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Says whether it was asked to take its final form.
    pub fn set_closed(&self, is_closed: bool) {
        self.is_closed.store(is_closed, Ordering::Release);
    }
}

/// Partitions of a policy by start of their window.
type ByStart = BTreeMap<i64, Arc<Partition>>;

/// The partitions of a database.
#[derive(Debug)]
pub struct Partitions {
    store: Store,
    database: String,
    by_policy: RwLock<BTreeMap<String, ByStart>>,
    /// Held while a keyspace is made, so that readers of the map need not wait for the disk.
    creating: Mutex<()>,
}

impl Partitions {
    /// No partitions yet.
    pub fn new(store: Store, database: &str) -> Self {
        Partitions {
            store,
            database: database.to_owned(),
            by_policy: RwLock::default(),
            creating: Mutex::default(),
        }
    }

    /// Adds a partition found at open.
    pub fn add(&self, policy: &str, window: Window, keyspace: KeyspaceId) {
        let partition = Arc::new(Partition::new(keyspace, window));
        self.put_back(policy, partition);
    }

    /// Adds a partition, new or taken before.
    pub fn put_back(&self, policy: &str, partition: Arc<Partition>) {
        let mut by_policy = self.by_policy.write();
        let partitions = by_policy.entry(policy.to_owned()).or_default();
        partitions.insert(partition.window.start_s, partition);
    }

    /// The partition of the time `timestamp`.
    pub fn find(&self, policy: &str, timestamp: Timestamp) -> Option<Arc<Partition>> {
        let by_policy = self.by_policy.read();
        let second = timestamp.div_euclid(1_000_000_000);
        let (_, partition) = by_policy.get(policy)?.range(..=second).next_back()?;
        partition.range.contains(timestamp).then(|| partition.clone())
    }

    /// Makes partitions of these windows, with one edit; those that another writer made meanwhile
    /// are taken as they are.
    ///
    /// # Errors
    /// `Busy` when another writer made one that overlaps a window and is not the same: the shard
    /// duration was changed just now. Who comes again gets other windows.
    pub fn create(&self, policy: &str, windows: &[Window]) -> Result<Vec<Arc<Partition>>> {
        if windows.is_empty() {
            return Ok(Vec::new());
        }
        let _creating = self.creating.lock();
        let mut names = Vec::with_capacity(windows.len());
        for window in windows {
            let overlapping = self.overlapping(policy, window.range());
            if overlapping.iter().any(|other| other.window != *window) {
                let reason = "partitions were made with another window";
                return Err(engine::Error::Busy { reason, retry_after_ms: 0 }.into());
            }
            names.push(keys::points_name(&self.database, policy, *window));
        }
        let policy_tiered = Some(Policy::Tiered(Tiered::default()));
        let options = KeyspaceOptions { policy: policy_tiered, ..KeyspaceOptions::default() };
        let keyspaces = self.store.create_keyspaces(&names, options)?;
        let mut partitions = Vec::with_capacity(windows.len());
        for (window, keyspace) in windows.iter().zip(keyspaces) {
            let range = window.range();
            let partition = self.find(policy, range.start).unwrap_or_else(|| {
                let partition = Arc::new(Partition::new(keyspace.id, *window));
                self.put_back(policy, partition.clone());
                partition
            });
            partitions.push(partition);
        }
        Ok(partitions)
    }

    /// The partition for a point, made when there is none.
    pub fn find_or_create(
        &self,
        policy: &RetentionPolicy,
        timestamp: Timestamp,
    ) -> Result<Arc<Partition>> {
        if let Some(partition) = self.find(&policy.name, timestamp) {
            return Ok(partition);
        }
        let window = self.free_window(policy, timestamp);
        let mut made = self.create(&policy.name, &[window])?;
        Ok(made.pop().expect("one window, one partition"))
    }

    /// The policy's window around `timestamp`, cut beside the partitions there are.
    pub fn free_window(&self, policy: &RetentionPolicy, timestamp: Timestamp) -> Window {
        let window = policy.window_of(timestamp);
        let second = timestamp.div_euclid(1_000_000_000);
        let by_policy = self.by_policy.read();
        let Some(partitions) = by_policy.get(&policy.name) else { return window };
        let before = partitions.range(..=second).next_back();
        let after = partitions.range(second + 1..).next();
        [before, after]
            .into_iter()
            .flatten()
            .fold(window, |window, (_, other)| window.cut_beside(&other.window, second))
    }

    /// Partitions of a policy that share time with `range`, in the order of time.
    pub fn overlapping(&self, policy: &str, range: TimeRange) -> Vec<Arc<Partition>> {
        let by_policy = self.by_policy.read();
        let Some(partitions) = by_policy.get(policy) else { return Vec::new() };
        let last_s = range.end.div_euclid(1_000_000_000);
        let mut found: Vec<Arc<Partition>> = (partitions.range(..=last_s).rev())
            .map(|(_, partition)| partition)
            .take_while(|partition| partition.range.end >= range.start)
            .cloned()
            .collect();
        found.reverse();
        found
    }

    /// All partitions with their policies.
    pub fn all(&self) -> Vec<(String, Arc<Partition>)> {
        let by_policy = self.by_policy.read();
        let named = |(policy, partitions): (&String, &ByStart)| {
            partitions.values().map(|p| (policy.clone(), p.clone())).collect::<Vec<_>>()
        };
        by_policy.iter().flat_map(named).collect()
    }

    /// Where the newest partition of a policy starts.
    pub fn last_start(&self, policy: &str) -> Option<i64> {
        self.by_policy.read().get(policy)?.last_key_value().map(|(start, _)| *start)
    }

    /// Takes the partition that starts there out of the map.
    pub fn take(&self, policy: &str, start_s: i64) -> Option<Arc<Partition>> {
        self.by_policy.write().get_mut(policy)?.remove(&start_s)
    }

    /// Takes all partitions of a policy out of the map.
    pub fn take_policy(&self, policy: &str) -> Vec<Arc<Partition>> {
        let taken = self.by_policy.write().remove(policy).unwrap_or_default();
        taken.into_values().collect()
    }
}
