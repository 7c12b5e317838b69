//! What has expired by rules, for reads and merges.
//!
//! A read goes by its own `now`: what is for whole measurements cuts its span of time, what is for
//! some series becomes erasures. A merge goes by the `now` of the last maintenance, so that one and
//! the same row is not kept by one job and left out by another for no reason.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use firndb_engine::key::Seq;

use super::Expired;
use crate::database::Database;
use crate::erasure::{Erasure, ErasureSet};
use crate::left_out::PolicyLeftOut;
use crate::model::{MeasurementId, TimeRange, Timestamp};
use crate::retention::RetentionPolicy;
use crate::rollup::{Running, is_internal_policy};

impl Expired {
    /// As an erasure of whatever was written when.
    fn erasure(self) -> Erasure {
        let range = TimeRange::new(Timestamp::MIN, self.before.saturating_sub(1));
        Erasure { seq: Seq::MAX, series: self.series, ranges: Arc::new([range]), fields: None }
    }
}

impl Database {
    /// Rows of a measurement that are older have expired at `now`, by the policy or by a rule.
    pub(crate) fn alive_from(
        &self,
        policy: &RetentionPolicy,
        measurement: MeasurementId,
        now: Timestamp,
    ) -> Timestamp {
        let alive_from = policy.alive_from(now);
        if is_internal_policy(&policy.name) || !(self.rules.is_used() || self.has_rollups()) {
            return alive_from;
        }
        match self.schema.by_id(measurement) {
            Some(info) => self.raw_from(Some(&policy.name), &info.name, now),
            None => alive_from.max(self.rules.alive_from(&policy.name, now)),
        }
    }

    /// Adds to what building a rollup leaves out what expired in some series so long ago that no
    /// bucket with a point alive needs it.
    pub(crate) fn leave_out_of_build(
        &self,
        running: &Running,
        now: Timestamp,
        left_out: &mut PolicyLeftOut,
    ) {
        if self.rules.is_used() {
            let mut expired = self.rules.expired(&running.rollup.policy, now, true);
            expired.iter_mut().for_each(|of| of.before = running.reach(of.before));
            let erasures = expired.into_iter().map(Expired::erasure).collect();
            left_out.add(Arc::new(ErasureSet::new(erasures)));
        }
    }

    /// Adds to what a read at `now` leaves out what expired in some series.
    pub(crate) fn leave_out_expired(
        &self,
        policy: &str,
        now: Timestamp,
        left_out: &mut PolicyLeftOut,
    ) {
        if self.rules.is_used() {
            let expired = self.rules.expired(policy, now, false);
            let erasures = expired.into_iter().map(Expired::erasure).collect();
            left_out.add(Arc::new(ErasureSet::new(erasures)));
        }
    }

    /// Tells merges what has expired by `now`.
    pub(crate) fn note_expired(&self, now: Timestamp) {
        self.rules.maintained_at.store(now, Ordering::Relaxed);
        self.refresh_expired();
    }

    /// Tells merges what had expired by the last maintenance, after the rules changed.
    pub(crate) fn refresh_expired(&self) {
        let now = self.rules.maintained_at.load(Ordering::Relaxed);
        for policy in self.policies() {
            let mut expired = self.rules.expired(&policy.name, now, true);
            for expired in &mut expired {
                expired.before = self.points_needed(&policy.name, expired.before);
            }
            let erasures = expired.into_iter().map(Expired::erasure).collect();
            self.left_out.set_expired(&policy.name, erasures);
        }
    }
}
