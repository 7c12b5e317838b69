//! Reads: one key, a range, a view; and the reading of the meters.
//!
//! A reader takes the picture first and asks what is visible second. Then no job that ran before
//! the picture was taken can have dropped a version that the reader sees: what jobs drop is hidden
//! by something that was visible when they began.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Kernel;
use crate::compaction::pick;
use crate::expiry::{Now, now_ms};
use crate::key::{KeyspaceId, Kind, Seq};
use crate::keyspace::traffic::is_sampled;
use crate::keyspace::{KeyspaceState, KvIterator, Picture, View};
use crate::metrics::{Amplification, ClassMetrics, StoreMetrics};
use crate::scan::Value;
use crate::scan::bounds::Bounds;
use crate::scan::visible::Lookup;
use crate::snapshot::Snapshot;
use crate::{Error, Result};

/// What a scan walks.
#[derive(Debug, Clone, Default)]
pub struct ScanOptions<'a> {
    /// The keys.
    pub bounds: Bounds,
    /// From the last key to the first.
    pub reverse: bool,
    /// What it sees; `None`: everything published now.
    pub snapshot: Option<&'a Snapshot>,
    /// Leave the block cache as it is: for scans that will not be repeated.
    pub skip_cache: bool,
}

impl ScanOptions<'_> {
    /// A scan of the keys within `bounds`, forward, of what is published now.
    pub fn within(bounds: Bounds) -> Self {
        ScanOptions { bounds, ..ScanOptions::default() }
    }

    /// A scan of the keys that start with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        ScanOptions::within(Bounds::prefix(prefix))
    }

    /// The same, from the last key to the first.
    pub fn reversed(self) -> Self {
        ScanOptions { reverse: true, ..self }
    }
}

impl Kernel {
    pub(super) fn seen(&self, snapshot: Option<&Snapshot>) -> Seq {
        snapshot.map_or_else(|| self.publisher.visible(), Snapshot::seq)
    }

    pub fn get(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        snapshot: Option<&Snapshot>,
    ) -> Result<Option<Value>> {
        self.check_open()?;
        let keyspace = self.keyspace(keyspace)?;
        let picture = keyspace.picture();
        let seq = self.seen(snapshot);
        count_get(&keyspace, &picture, key);
        let now = Now::Of(&*self.options.clock);
        let mut lookup = Lookup::new(key, picture.hidden_below(key, seq), now);
        for slot in picture.slots() {
            let mut goes_on = true;
            slot.memtable.versions(key, seq, &mut |seq, kind, value| {
                goes_on = lookup.add(seq, kind, || Value::copy(value));
                goes_on
            })?;
            if !goes_on {
                return lookup.finish(&*keyspace.hooks);
            }
        }
        picture.version.get(key, seq, &mut |version| {
            lookup.add(version.seq, version.kind, || version.pin())
        })?;
        lookup.finish(&*keyspace.hooks)
    }

    /// As `get`, but the value is handed to `read` where it lies.
    pub fn get_with<T>(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        snapshot: Option<&Snapshot>,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        self.check_open()?;
        let keyspace = self.keyspace(keyspace)?;
        let picture = keyspace.picture();
        let seq = self.seen(snapshot);
        count_get(&keyspace, &picture, key);
        let (mut read, mut outcome) = (Some(read), None);
        let now = Now::Of(&*self.options.clock);
        let mut lookup = Lookup::new(key, picture.hidden_below(key, seq), now);
        for slot in picture.slots() {
            let mut goes_on = true;
            slot.memtable.versions(key, seq, &mut |seq, kind, value| {
                if kind == Kind::Put && lookup.is_empty() && lookup.sees(seq) {
                    // Without a copy: the memtable lives as long as the picture.
                    outcome = read.take().map(|read| read(value));
                    goes_on = false;
                } else {
                    goes_on = lookup.add(seq, kind, || Value::copy(value));
                }
                goes_on
            })?;
            if outcome.is_some() {
                return Ok(outcome);
            }
            if !goes_on {
                let value = lookup.finish(&*keyspace.hooks)?;
                return Ok(value.and_then(|value| read.take().map(|read| read(&value))));
            }
        }
        picture.version.get(key, seq, &mut |version| {
            lookup.add(version.seq, version.kind, || version.pin())
        })?;
        let value = lookup.finish(&*keyspace.hooks)?;
        Ok(value.and_then(|value| read.take().map(|read| read(&value))))
    }

    pub fn scan(&self, keyspace: KeyspaceId, options: ScanOptions<'_>) -> Result<KvIterator> {
        self.check_open()?;
        let keyspace = self.keyspace(keyspace)?;
        let picture = keyspace.picture();
        let seq = self.seen(options.snapshot);
        if is_sampled() {
            keyspace.traffic.sought(picture.slots().count() + picture.version.runs().count());
        }
        let (hooks, fill_cache) = (keyspace.hooks.clone(), !options.skip_cache);
        let now_ms = now_ms(&*self.options.clock);
        let at = (seq, now_ms);
        Ok(KvIterator::new(&picture, hooks, at, options.bounds, options.reverse, fill_cache))
    }

    pub fn view(&self, keyspace: KeyspaceId) -> Result<View> {
        self.check_open()?;
        let picture = self.keyspace(keyspace)?.picture();
        let seq = self.publisher.visible();
        Ok(View::new(&picture, seq))
    }

    pub fn metrics(&self) -> StoreMetrics {
        let segments = self.wal.get().map(|wal| wal.segments()).unwrap_or_default();
        let mut metrics = StoreMetrics {
            visible_seq: self.publisher.visible(),
            snapshots: self.snapshots.list().len() as u64,
            memtable_sealed_bytes: self.memory.sealed(),
            memtable_active_bytes: self.memory.active(),
            wal_segments: segments.len() as u64,
            wal_bytes: segments.iter().map(|segment| segment.bytes).sum(),
            manifest_bytes: self.manifest.lock().bytes(),
            flushes_running: self.schedule.lock().flushing() as u64,
            cache_capacity_bytes: self.runtime.all().cache_bytes,
            read_only: self.failure.get().map(|cause| Error::clone(cause)),
            transactions: self.transaction_metrics(),
            ..StoreMetrics::new(self.wal_metrics.read(), self.cache.stats())
        };
        self.counters.read(&mut metrics);
        for keyspace in self.registry.read().all() {
            self.meter_keyspace(keyspace, &mut metrics);
        }
        metrics
    }

    fn meter_keyspace(&self, keyspace: &Arc<KeyspaceState>, metrics: &mut StoreMetrics) {
        let picture = keyspace.picture();
        metrics.memtables_active += u64::from(picture.active.is_some());
        metrics.memtables_sealed += picture.sealed.len() as u64;
        let class = class_of(&keyspace.name, &mut metrics.classes);
        class.keyspaces += 1;
        class.range_deletes += picture.version.range_deletes.list().len() as u64;
        class.range_delete_bytes += picture.version.range_deletes.charged_bytes();
        let levels = picture.version.summary();
        let policy = *keyspace.policy.lock();
        let schedule = self.schedule.lock();
        let scores = pick::scores(&levels, &policy, &schedule.in_flight);
        drop(schedule);
        for run in levels.runs() {
            let level = &mut class.levels[run.place.level as usize];
            level.runs += 1;
            level.tables += run.tables.len() as u64;
            level.bytes += run.bytes();
            class.entries += run.tables.iter().map(|table| table.entries).sum::<u64>();
        }
        for (level, score) in class.levels.iter_mut().zip(scores) {
            level.score = level.score.max(score);
        }
        class.read_amplification = class.read_amplification.max(levels.runs().count() as u64);
        class.pending_bytes += pick::debt_bytes(&levels, &policy);
        class.amplification += Amplification::of(&keyspace.traffic, &levels);
    }
}

/// Counts the runs in whose tables `key` may lie, for one read of many.
fn count_get(keyspace: &KeyspaceState, picture: &Picture, key: &[u8]) {
    if is_sampled() {
        let runs = picture.version.runs().filter(|run| run.table_for(key).is_some());
        keyspace.traffic.got(runs.count());
    }
}

fn class_of<'a>(
    name: &str,
    classes: &'a mut BTreeMap<String, ClassMetrics>,
) -> &'a mut ClassMetrics {
    let class = name.split('/').next().unwrap_or(name);
    classes.entry(class.to_owned()).or_default()
}
