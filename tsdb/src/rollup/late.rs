//! Late points: those that touch a bucket that is built, or is just being built, mark their hour.
//!
//! A request asks for its [`Late`] when it holds the gate; how far anything is built or being built
//! does not change while it does. A mark goes into the batch of its point, so that both are in the
//! log or neither is, and is seen by others when the batch is in the log. A series that is marked
//! already costs a look into a bitmap; a database without rollups a comparison per point.

use std::collections::BTreeMap;
use std::sync::Arc;

use croaring::Bitmap;
use firndb_engine::batch::WriteBatch;
use firndb_engine::key::KeyspaceId;

use super::span;
use super::state::Running;
use crate::database::Database;
use crate::index::entries;
use crate::index::postings;
use crate::model::{SeriesId, Timestamp};
use crate::rules::Expired;

/// What late points of one request under one policy do.
#[derive(Debug, Default)]
pub struct Late {
    /// A point before this is looked at.
    before: Option<Timestamp>,
    rollups: Vec<LateRollup>,
    /// What rules took that are no more.
    trims: Vec<Expired>,
}

#[derive(Debug)]
struct LateRollup {
    marks: NewMarks,
    /// Nothing before this is ever built.
    from: Timestamp,
    /// A point before this is late.
    before: Timestamp,
    /// A point before this is refused.
    raw_from: Timestamp,
}

/// Marks that a batch is about to make.
#[derive(Debug)]
pub(super) struct NewMarks {
    pub running: Arc<Running>,
    /// Series by slot.
    pub slots: BTreeMap<i64, Bitmap>,
}

impl NewMarks {
    /// None yet.
    pub fn new(running: Arc<Running>) -> Self {
        NewMarks { running, slots: BTreeMap::new() }
    }

    /// Puts the marks into the batch of what they are about.
    pub fn put(&self, index: KeyspaceId, batch: &mut WriteBatch) {
        for (slot, series) in &self.slots {
            let key = entries::rollup_mark(&self.running.rollup.name, *slot);
            batch.merge(index, &key, &postings::encode_adding(&series.to_vec()));
        }
    }

    /// Lets everybody see the marks: the batch is in the log.
    pub fn publish(&mut self, now: Timestamp) {
        let slots = std::mem::take(&mut self.slots);
        if !slots.is_empty() {
            let mut progress = self.running.progress.write();
            slots.iter().for_each(|(slot, series)| progress.mark(*slot, series, now));
        }
    }
}

impl Database {
    /// What late points under `policy` do. The caller holds the gate.
    pub(crate) fn late(&self, policy: &str, now: Timestamp) -> Late {
        let mut late = Late::default();
        for running in self.running.read().iter() {
            if running.rollup.policy != policy {
                continue;
            }
            let raw_from = running.raw_from(now);
            let Some(durable) = running.progress.read().durable.clone() else { continue };
            let before = durable.late_before();
            late.before = late.before.max(Some(before.max(raw_from)));
            let (marks, from) = (NewMarks::new(running.clone()), durable.from);
            late.rollups.push(LateRollup { marks, from, before, raw_from });
        }
        if !late.rollups.is_empty() {
            late.trims = self.rules.trims(policy);
            late.before = late.trims.iter().map(|trim| trim.before).chain(late.before).max();
        }
        late
    }
}

impl Late {
    /// Whether a point of this time has to be looked at.
    #[inline]
    pub fn may_touch(&self, timestamp: Timestamp) -> bool {
        self.before.is_some_and(|before| timestamp < before)
    }

    /// Whether a point may have lost its neighbours already: the bucket could not be built again.
    /// `series`: `None` of one that has no points yet.
    pub fn is_beyond(
        &self,
        measurement: &str,
        series: Option<SeriesId>,
        timestamp: Timestamp,
    ) -> bool {
        let is_trimmed = series.is_some_and(|series| {
            let own = |trim: &Expired| timestamp < trim.before && trim.series.contains(series.0);
            self.trims.iter().any(own)
        });
        self.rollups.iter().any(|late| {
            (timestamp < late.raw_from || is_trimmed && timestamp < late.before)
                && late.marks.running.rollup.includes(measurement)
        })
    }

    /// Notes a point.
    pub fn mark(&mut self, measurement: &str, series: SeriesId, timestamp: Timestamp) {
        let slot = span::slot_of(timestamp);
        for late in &mut self.rollups {
            let touches = timestamp < late.before && timestamp >= late.from;
            if touches
                && late.marks.running.rollup.includes(measurement)
                && !late
                    .marks
                    .slots
                    .get(&slot)
                    .is_some_and(|series_of| series_of.contains(series.0))
                && !late.marks.running.progress.read().is_marked(slot, series)
            {
                late.marks.slots.entry(slot).or_default().add(series.0);
            }
        }
    }

    /// Puts the new marks into the batch of the points.
    pub fn put_marks(&self, index: KeyspaceId, batch: &mut WriteBatch) {
        self.rollups.iter().for_each(|late| late.marks.put(index, batch));
    }

    /// Lets everybody see the new marks: the batch is in the log.
    pub fn publish(&mut self, now: Timestamp) {
        self.rollups.iter_mut().for_each(|late| late.marks.publish(now));
    }
}
