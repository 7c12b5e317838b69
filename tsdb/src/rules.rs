//! Retention rules at work: which series each means, and what has expired by now.
//!
//! The series of a rule are found once, when the rule is made or the database is opened, and kept:
//! a new series is added when it is registered. Series that were dropped stay in, which does no
//! harm: their numbers are never used again. So a scan gets its sets for nothing, and a write asks
//! only about points that are older than the shortest rule allows.
//!
//! Without rules neither pays more than the look at a flag.
//!
//! Modules: `api` (adding, dropping, listing), `hide` (what reads and merges leave out).

mod api;
mod hide;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use croaring::Bitmap;
use parking_lot::RwLock;

use crate::model::time::TIMESTAMP_MIN;
use crate::model::{SeriesId, Timestamp};
use crate::retention::RuleScope;

/// The rules of age of a database.
#[derive(Debug)]
pub struct Rules {
    is_used: AtomicBool,
    list: RwLock<Vec<AgeRule>>,
    /// What rules took that are no more.
    trims: RwLock<Vec<(RuleScope, Expired)>>,
    /// Of the last maintenance: merges leave out what had expired by then.
    maintained_at: AtomicI64,
}

/// A rule of age and the series it means.
#[derive(Debug, Clone)]
pub(crate) struct AgeRule {
    pub(crate) id: u64,
    pub(crate) scope: RuleScope,
    pub(crate) age_ns: i64,
    /// Empty where the rule is about all series.
    pub(crate) series: Arc<Bitmap>,
}

/// Points of these series that are older than this have expired.
#[derive(Debug, Clone)]
pub(crate) struct Expired {
    pub(crate) series: Arc<Bitmap>,
    pub(crate) before: Timestamp,
}

impl AgeRule {
    /// The earliest timestamp that the rule leaves alive.
    pub(crate) fn alive_from(&self, now: Timestamp) -> Timestamp {
        now.saturating_sub(self.age_ns).max(TIMESTAMP_MIN)
    }

    fn means(&self, series: SeriesId) -> bool {
        self.scope.is_whole() || self.series.contains(series.0)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            is_used: AtomicBool::new(false),
            list: RwLock::default(),
            trims: RwLock::default(),
            maintained_at: AtomicI64::new(TIMESTAMP_MIN),
        }
    }
}

impl Rules {
    /// Whether there is a rule of age.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Acquire)
    }

    /// Adds a rule, or replaces the one of its number.
    pub(crate) fn put(&self, rule: AgeRule) {
        let mut list = self.list.write();
        list.retain(|other| other.id != rule.id);
        list.push(rule);
        list.sort_by_key(|rule| rule.age_ns);
        self.is_used.store(true, Ordering::Release);
    }

    /// Forgets a rule.
    pub(crate) fn remove(&self, id: u64) {
        let mut list = self.list.write();
        list.retain(|rule| rule.id != id);
        self.is_used.store(!list.is_empty(), Ordering::Release);
    }

    /// Forgets the rules that `is_kept` does not hold for.
    pub(crate) fn keep(&self, is_kept: impl Fn(&RuleScope) -> bool) {
        let mut list = self.list.write();
        list.retain(|rule| is_kept(&rule.scope));
        self.is_used.store(!list.is_empty(), Ordering::Release);
    }

    /// The rule of this number.
    pub(crate) fn get(&self, id: u64) -> Option<AgeRule> {
        self.list.read().iter().find(|rule| rule.id == id).cloned()
    }

    /// The rules for a policy, the shortest first.
    pub(crate) fn of_policy(&self, policy: &str) -> Vec<AgeRule> {
        if !self.is_used() {
            return Vec::new();
        }
        let list = self.list.read();
        list.iter().filter(|rule| rule.scope.has_policy(policy)).cloned().collect()
    }

    /// The latest of `alive_from` of the rules for a policy that `is_meant`.
    fn latest(
        &self,
        policy: &str,
        now: Timestamp,
        is_meant: impl Fn(&AgeRule) -> bool,
    ) -> Timestamp {
        if !self.is_used() {
            return TIMESTAMP_MIN;
        }
        let list = self.list.read();
        // The shortest comes first.
        let found = list.iter().find(|rule| rule.scope.has_policy(policy) && is_meant(rule));
        found.map_or(TIMESTAMP_MIN, |rule| rule.alive_from(now))
    }

    /// What is older has expired whatever its series.
    pub(crate) fn alive_from(&self, policy: &str, now: Timestamp) -> Timestamp {
        self.latest(policy, now, |rule| rule.scope.is_whole())
    }

    /// What is older has expired whatever the tags of its series.
    pub(crate) fn alive_from_in(
        &self,
        policy: &str,
        measurement: &str,
        now: Timestamp,
    ) -> Timestamp {
        self.latest(policy, now, |rule| {
            rule.scope.tags.is_none()
                && rule.scope.measurement.as_ref().is_none_or(|own| own == measurement)
        })
    }

    /// What is not older has not expired by any rule.
    pub(crate) fn alive_whatever_from(&self, policy: &str, now: Timestamp) -> Timestamp {
        self.latest(policy, now, |_| true)
    }

    /// What is older has expired in this series.
    pub(crate) fn alive_from_of(
        &self,
        policy: &str,
        series: SeriesId,
        now: Timestamp,
    ) -> Timestamp {
        self.latest(policy, now, |rule| rule.means(series))
    }

    /// As [`Rules::alive_from_of`] of a series that may not be registered yet.
    pub(crate) fn alive_from_of_new<'t>(
        &self,
        policy: &str,
        (measurement, tag): (&str, &impl Fn(&str) -> Option<&'t str>),
        now: Timestamp,
    ) -> Timestamp {
        self.latest(policy, now, |rule| rule.scope.has_series(measurement, tag))
    }

    /// What has expired in some series only. Rules on measurements alone come with it where
    /// `with_measurements`; a scan is of one measurement and cuts its range instead.
    pub(crate) fn expired(
        &self,
        policy: &str,
        now: Timestamp,
        with_measurements: bool,
    ) -> Vec<Expired> {
        let is_meant = |rule: &AgeRule| {
            let is_partial = match with_measurements {
                true => !rule.scope.is_whole(),
                false => rule.scope.tags.is_some(),
            };
            is_partial && !rule.series.is_empty()
        };
        let rules = self.of_policy(policy).into_iter().filter(is_meant);
        rules.map(|rule| Expired { before: rule.alive_from(now), series: rule.series }).collect()
    }

    /// Replaces what is known of what rules took that are no more.
    pub(crate) fn set_trims(&self, trims: Vec<(RuleScope, Expired)>) {
        *self.trims.write() = trims;
    }

    /// What rules on points of a policy took that are no more.
    pub(crate) fn trims(&self, policy: &str) -> Vec<Expired> {
        let trims = self.trims.read();
        let own = trims.iter().filter(|(scope, _)| scope.has_policy(policy));
        own.map(|(_, trim)| trim.clone()).collect()
    }

    /// Points of some of `series` before this may be gone by rules on measurements and tags, those
    /// there are at `now` and those that are no more.
    pub(crate) fn gone_before(&self, policy: &str, series: &Bitmap, now: Timestamp) -> Timestamp {
        let of_rules = self.expired(policy, now, true).into_iter();
        let all = of_rules.chain(self.trims(policy));
        let own = all.filter(|expired| expired.series.intersect(series));
        own.map(|expired| expired.before).fold(TIMESTAMP_MIN, Timestamp::max)
    }

    /// Notes in `out` which rules mean a new series. Under the registration lock, so that no rule
    /// is made before [`Rules::add`].
    pub(crate) fn find<'t>(
        &self,
        series: SeriesId,
        (measurement, tag): (&str, &impl Fn(&str) -> Option<&'t str>),
        out: &mut Vec<(u64, u32)>,
    ) {
        let list = self.list.read();
        let meant = list
            .iter()
            .filter(|rule| !rule.scope.is_whole() && rule.scope.has_series(measurement, tag));
        out.extend(meant.map(|rule| (rule.id, series.0)));
    }

    /// Adds series that were found.
    pub(crate) fn add(&self, found: &[(u64, u32)]) {
        if found.is_empty() {
            return;
        }
        for rule in self.list.write().iter_mut() {
            let mut own = found.iter().filter(|(id, _)| *id == rule.id).peekable();
            if own.peek().is_some() {
                let series = Arc::make_mut(&mut rule.series);
                own.for_each(|(_, series_id)| series.add(*series_id));
            }
        }
    }
}
