//! Making, dropping and loading rollups, and the questions about them.
//!
//! What a crash leaves: an entry of the catalog comes before anything else of a rollup and goes
//! first. So keyspaces, progress and marks that belong to no rollup of the catalog are left over,
//! and the next open removes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use croaring::Bitmap;
use firndb_engine as engine;
use firndb_engine::batch::WriteBatch;
use hashbrown::HashMap;

use super::state::{DirtySlot, Durable, Progress, Running};
use super::{LevelCover, LevelStatus, Rollup, RollupSpec, RollupStatus, spec};
use crate::catalog::SYNCED;
use crate::database::{Database, Life};
use crate::index::{entries, postings};
use crate::model::time::TIMESTAMP_MIN;
use crate::model::{TimeRange, Timestamp};
use crate::retention::RetentionPolicy;
use crate::{Error, Result};

impl Database {
    /// Makes a rollup, or returns the one of this name when it is the same. The points there are
    /// are built in the background.
    ///
    /// # Errors
    /// No such policy, levels that make no sense, or another rollup of this name.
    pub fn create_rollup(&self, spec: &RollupSpec) -> Result<Rollup> {
        let gate = self.gate.write();
        if *gate == Life::Dropped {
            return Err(Error::DatabaseNotFound { name: self.name.clone() });
        }
        let policy = self.policy(spec.policy.as_deref())?;
        let rollup = Rollup::from_spec(spec, &policy)?;
        match self.rollups().iter().find(|other| other.name == rollup.name) {
            Some(other) if *other == rollup => return Ok(rollup),
            Some(_) => return Err(Error::RollupExists),
            None => {}
        }
        self.change_settings(|settings| {
            settings.rollups.push(rollup.clone());
            Ok(())
        })?;
        let running = Arc::new(Running::new(rollup.clone(), Progress::default()));
        let mut all = self.running.write();
        let mut changed = all.to_vec();
        changed.push(running);
        *all = changed.into();
        Ok(rollup)
    }

    /// Removes a rollup and its rows.
    ///
    /// # Errors
    /// No rollup of this name.
    pub fn drop_rollup(&self, name: &str) -> Result<()> {
        let _gate = self.gate.write();
        self.change_settings(|settings| {
            let found = settings.rollups.iter().position(|rollup| rollup.name == name);
            let missing = || Error::RollupNotFound { name: name.to_owned() };
            settings.rollups.remove(found.ok_or_else(missing)?);
            Ok(())
        })?;
        self.end_rollups(|rollup| rollup.name == name, "drop rollup")
    }

    /// Ends rollups that the catalog has no more: drops their rows, forgets how far they were. The
    /// caller holds the gate.
    pub(crate) fn end_rollups(
        &self,
        is_meant: impl Fn(&Rollup) -> bool,
        reason: &str,
    ) -> Result<()> {
        let mut running = self.running.write();
        let (gone, left): (Vec<_>, Vec<_>) =
            running.iter().cloned().partition(|running| is_meant(&running.rollup));
        *running = left.into();
        drop(running);
        let mut keyspaces = Vec::new();
        let mut batch = WriteBatch::new();
        for running in &gone {
            running.set_dropped();
            for class in &running.classes {
                let taken = self.partitions.take_policy(&class.name);
                keyspaces.extend(taken.iter().map(|partition| partition.keyspace));
            }
            self.forget_progress(&running.rollup.name, &mut batch)?;
        }
        self.store.drop_keyspaces(&keyspaces, reason)?;
        if !batch.is_empty() {
            self.store.write_no_wait(&batch, SYNCED)?.wait()?;
        }
        Ok(())
    }

    fn forget_progress(&self, name: &str, batch: &mut WriteBatch) -> Result<()> {
        let keyspace = self.index.keyspace();
        if self.index.get(&entries::rollup_state(name))?.is_some() {
            batch.delete(keyspace, &entries::rollup_state(name));
        }
        self.index.visit(b'Y', None, |key, _| {
            if entries::split_rollup_mark(key)?.0 == name {
                batch.delete(keyspace, key);
            }
            Ok(true)
        })
    }

    /// Reads how far rollups are, and removes what belongs to none.
    pub(crate) fn load_rollups(&self) -> Result<()> {
        let mut marks: HashMap<String, BTreeMap<i64, DirtySlot>> = HashMap::new();
        self.index.visit(b'Y', None, |key, value| {
            let (name, slot) = entries::split_rollup_mark(key)?;
            let series = postings::decode(value).map_err(|e| entries::damaged(e.reason))?;
            let slots = marks.entry(name.to_owned()).or_default();
            if !series.is_empty() {
                slots.insert(slot, DirtySlot { series, marked_at: TIMESTAMP_MIN });
            }
            Ok(true)
        })?;
        let mut durable: HashMap<String, Durable> = HashMap::new();
        self.index.visit(b'R', None, |key, value| {
            durable.insert(entries::text(&key[1..])?.to_owned(), entries::json(value)?);
            Ok(true)
        })?;
        let mut running = Vec::new();
        for rollup in self.rollups() {
            let durable = durable.remove(&rollup.name);
            if durable.as_ref().is_some_and(|durable| !durable.is_sound(rollup.levels.len())) {
                return Err(entries::damaged("progress of a rollup"));
            }
            let dirty = marks.remove(&rollup.name).unwrap_or_default();
            let progress = Progress { durable, dirty, repairing: BTreeMap::new() };
            running.push(Arc::new(Running::new(rollup, progress)));
        }
        *self.running.write() = running.into();
        let mut batch = WriteBatch::new();
        for name in marks.into_keys().chain(durable.into_keys()) {
            self.forget_progress(&name, &mut batch)?;
        }
        if !batch.is_empty() {
            self.store.write_no_wait(&batch, SYNCED)?.wait()?;
        }
        Ok(())
    }

    /// Rollups, sorted by name.
    pub fn rollups(&self) -> Vec<Rollup> {
        self.settings.read().rollups.clone()
    }

    /// How far rollups are, sorted by name.
    pub fn rollup_status(&self) -> Result<Vec<RollupStatus>> {
        let mut all = Vec::new();
        for running in &*self.running.read().clone() {
            let mut levels = Vec::new();
            for (at, class) in running.classes.iter().enumerate() {
                let built_until =
                    running.progress.read().durable.as_ref().map(|durable| durable.built[at]);
                let every_ns = running.rollup.levels[at].every_ns;
                let bytes = self.table_bytes(&class.name)?;
                levels.push(LevelStatus { every_ns, built_until, bytes });
            }
            let slots: std::collections::BTreeSet<i64> =
                running.progress.read().marked().map(|(slot, _)| slot).collect();
            let (rollup, dirty_slots) = (running.rollup.clone(), slots.len() as u64);
            all.push(RollupStatus { rollup, levels, dirty_slots });
        }
        all.sort_by(|a, b| a.rollup.name.cmp(&b.rollup.name));
        Ok(all)
    }

    /// Bytes of the tables of a policy.
    fn table_bytes(&self, policy: &str) -> Result<u64> {
        let mut bytes = 0;
        for partition in self.partitions.overlapping(policy, TimeRange::ALL) {
            match self.store.view(partition.keyspace) {
                Ok(view) => bytes += view.tables().iter().map(|table| table.bytes).sum::<u64>(),
                Err(engine::Error::NotFound { .. }) => {} // dropped meanwhile
                Err(error) => return Err(error.into()),
            }
        }
        Ok(bytes)
    }

    /// What of `range` the rollups of a policy (`None`: the default one) stand for at `now`,
    /// coarsest first. To be asked after the points were pinned and before the rollup rows are:
    /// then no point is missed, whatever is written meanwhile.
    pub fn rollup_cover(
        &self,
        policy: Option<&str>,
        measurement: &str,
        range: TimeRange,
        now: Timestamp,
    ) -> Result<Vec<LevelCover>> {
        let running = self.running.read().clone();
        if running.is_empty() {
            return Ok(Vec::new());
        }
        let policy = self.policy(policy)?.name;
        let mut covers = Vec::new();
        for running in &*running {
            if running.rollup.policy != policy || !running.rollup.includes(measurement) {
                continue;
            }
            let series = match self.schema.by_name(measurement) {
                Some(info) if running.has_marks() => self.index.all(info.id)?,
                _ => Bitmap::new(),
            };
            for (at, level) in running.rollup.levels.iter().enumerate() {
                covers.push(LevelCover {
                    every_ns: level.every_ns,
                    class: running.classes[at].name.clone(),
                    spans: running.cover(at, range, now, &series),
                });
            }
        }
        covers.retain(|cover| !cover.spans.is_empty());
        covers.sort_by_key(|cover| std::cmp::Reverse(cover.every_ns));
        Ok(covers)
    }

    /// Points of a measurement that are older than this are gone at `now`, whether by the policy
    /// (`None`: the default one), by a rule or by the age that a rollup gives them.
    pub fn raw_from(&self, policy: Option<&str>, measurement: &str, now: Timestamp) -> Timestamp {
        let Ok(policy) = self.policy(policy) else { return TIMESTAMP_MIN };
        let by_rules = self.rules.alive_from_in(&policy.name, measurement, now);
        let mut from = policy.alive_from(now).max(by_rules);
        for running in self.running.read().iter() {
            if running.rollup.policy == policy.name && running.rollup.includes(measurement) {
                from = from.max(running.raw_from(now));
            }
        }
        from
    }

    /// The internal policy of a rollup's level.
    pub(crate) fn internal_policy(&self, name: &str) -> Option<RetentionPolicy> {
        if !spec::is_internal_policy(name) {
            return None;
        }
        let running = self.running.read();
        let mut classes = running.iter().flat_map(|running| &running.classes);
        classes.find(|class| class.name == name).cloned()
    }

    /// All policies, internal ones included.
    pub(crate) fn classes(&self) -> Vec<RetentionPolicy> {
        let mut classes = self.policies();
        let running = self.running.read();
        classes.extend(running.iter().flat_map(|running| running.classes.iter().cloned()));
        classes
    }

    /// Whether there is a rollup.
    pub(crate) fn has_rollups(&self) -> bool {
        !self.running.read().is_empty()
    }

    /// Notes that points of a policy, or buckets of a level, before `end` are about to be dropped,
    /// and waits until what they were rolled up to is durable: the log is one.
    pub(crate) fn note_drop(&self, class: &str, end: Timestamp, now: Timestamp) -> Result<()> {
        let mut batch = WriteBatch::new();
        let all = self.running.read().clone();
        for running in &*all {
            let is_of_it = running.rollup.policy == class;
            if !is_of_it && running.classes.iter().all(|own| own.name != class) {
                continue;
            }
            let mut progress = running.progress.write();
            let Some(durable) = &mut progress.durable else { continue };
            durable.latest = durable.latest.max(now);
            if is_of_it {
                durable.raw_floor = durable.raw_floor.max(running.floor_after(end));
            }
            self.put_progress(running, durable, &mut batch);
        }
        if !batch.is_empty() {
            self.store.write_no_wait(&batch, SYNCED)?.wait()?;
        }
        Ok(())
    }
}
