//! How far a rollup is: what is built, what is being built, what must be built again.
//!
//! ```text
//! R name        -> {"version":1,"from":..,"raw_floor":..,"latest":..,"built":[..],"building":[..]}
//! Y name | slot -> posting list of the series marked in that hour
//! ```
//!
//! - `from`: buckets before it are nobody's; whatever was there had expired when it began.
//! - `built`: per level, buckets that end by then are built and, where no mark lies, equal to the
//!   points.
//! - `building`: per level, rows up to there may have been written by a step that did not end.
//!   Never below `built`.
//! - `raw_floor`: points before it may have been dropped, so that no bucket there can be built
//!   again; later points of that time are refused.
//! - `latest`: the latest present seen. What had expired by then is gone, even if the clock is set
//!   back.
//!
//! Before the first maintenance there is no entry: nothing is built, and no point dropped.
//!
//! Who changes what: all of it changes while the database's gate is held for writing, but for
//! marks, which writers add while they hold it for reading, after their batch is in the log.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use croaring::Bitmap;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::build::Step;
use super::{Rollup, span};
use crate::model::time::TIMESTAMP_MIN;
use crate::model::{SeriesId, TimeRange, Timestamp};
use crate::retention::RetentionPolicy;

const VERSION: u32 = 1;

/// A rollup at work.
#[derive(Debug)]
pub struct Running {
    pub rollup: Rollup,
    /// The internal policy of each level.
    pub classes: Vec<RetentionPolicy>,
    pub progress: RwLock<Progress>,
    /// The step that is under way; held while one is gone on with.
    pub step: Mutex<Option<Step>>,
    is_dropped: AtomicBool,
}

/// How far a rollup is.
#[derive(Debug, Default)]
pub struct Progress {
    /// `None` until the first maintenance.
    pub durable: Option<Durable>,
    /// Slots to be built again.
    pub dirty: BTreeMap<i64, DirtySlot>,
    /// Slots that are just built again: dirty for everybody but writers, who mark them anew.
    pub repairing: BTreeMap<i64, Bitmap>,
}

/// The part of the progress that has an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durable {
    pub version: u32,
    pub from: Timestamp,
    pub raw_floor: Timestamp,
    pub latest: Timestamp,
    pub built: Vec<Timestamp>,
    pub building: Vec<Timestamp>,
}

/// The series marked in a slot.
#[derive(Debug, Default, Clone)]
pub struct DirtySlot {
    pub series: Bitmap,
    /// When the first was marked since it was last built.
    pub marked_at: Timestamp,
}

impl Durable {
    /// Of a rollup that begins: nothing before `from`, everything before `start` of each level.
    pub fn new(from: Timestamp, starts: Vec<Timestamp>) -> Durable {
        Durable {
            version: VERSION,
            from,
            raw_floor: TIMESTAMP_MIN,
            latest: TIMESTAMP_MIN,
            building: starts.clone(),
            built: starts,
        }
    }

    /// Whether it can be of a rollup with so many levels.
    pub fn is_sound(&self, levels: usize) -> bool {
        self.version == VERSION && self.built.len() == levels && self.building.len() == levels
    }

    /// Where late begins: a point before this touches a bucket that is built or just being built.
    pub fn late_before(&self) -> Timestamp {
        let ends = self.built.iter().chain(&self.building);
        ends.copied().max().unwrap_or(TIMESTAMP_MIN)
    }

    /// Every level is built up to here.
    pub fn built_by_all(&self) -> Timestamp {
        self.built.iter().copied().min().unwrap_or(TIMESTAMP_MIN)
    }
}

impl Progress {
    /// Adds marks.
    pub fn mark(&mut self, slot: i64, series: &Bitmap, now: Timestamp) {
        let marked = self.dirty.entry(slot).or_default();
        if marked.series.is_empty() {
            marked.marked_at = now;
        }
        marked.series.or_inplace(series);
    }

    /// Whether a late point of `series` needs no mark.
    pub fn is_marked(&self, slot: i64, series: SeriesId) -> bool {
        self.dirty.get(&slot).is_some_and(|dirty| dirty.series.contains(series.0))
    }

    /// Slots with their marked series.
    pub fn marked(&self) -> impl Iterator<Item = (i64, &Bitmap)> {
        let dirty = self.dirty.iter().map(|(slot, dirty)| (*slot, &dirty.series));
        dirty.chain(self.repairing.iter().map(|(slot, series)| (*slot, series)))
    }

    fn first_marked(&self) -> Option<i64> {
        self.marked().map(|(slot, _)| slot).min()
    }

    /// Gives marks back that were taken for a repair that came to nothing.
    pub fn put_back(&mut self) {
        for (slot, series) in std::mem::take(&mut self.repairing) {
            self.dirty.entry(slot).or_default().series.or_inplace(&series);
        }
    }
}

impl Running {
    /// A rollup as it was stored.
    pub fn new(rollup: Rollup, progress: Progress) -> Running {
        Running {
            classes: (0..rollup.levels.len()).map(|at| rollup.internal_policy(at)).collect(),
            rollup,
            progress: RwLock::new(progress),
            step: Mutex::new(None),
            is_dropped: AtomicBool::new(false),
        }
    }

    /// Whether it was dropped.
    pub fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::Acquire)
    }

    /// Whether every level is built as far as it can be when points before `ready` are complete.
    pub fn is_built_until(&self, ready: Timestamp) -> bool {
        self.progress.read().durable.as_ref().is_some_and(|durable| {
            let mut levels = self.rollup.levels.iter().zip(&durable.built);
            levels.all(|(level, built)| *built >= span::floor(ready, level.every_ns))
        })
    }

    /// Whether anything is to be built again.
    pub fn has_marks(&self) -> bool {
        self.progress.read().marked().next().is_some()
    }

    /// Says that it was dropped.
    pub fn set_dropped(&self) {
        self.is_dropped.store(true, Ordering::Release);
    }

    /// What must not be dropped of points, at the earliest from here on: a bucket must be
    /// buildable as long as a point of `alive_from` or later may come for it.
    pub fn needed_from(&self, alive_from: Timestamp) -> Timestamp {
        let progress = self.progress.read();
        let Some(durable) = &progress.durable else { return Timestamp::MIN };
        let marked = progress.first_marked().map(|slot| span::slot_range(slot).start);
        let needed = alive_from.min(durable.built_by_all()).min(marked.unwrap_or(Timestamp::MAX));
        self.reach(needed)
    }

    /// The start of what is built again for a point at `timestamp`: its whole slot, and the buckets
    /// that reach into that.
    pub fn reach(&self, timestamp: Timestamp) -> Timestamp {
        span::floor(span::floor(timestamp, span::SLOT_NS), self.rollup.coarsest_ns())
    }

    /// Points before this are to be refused once those before `end` are dropped: they would have
    /// buckets built again that reach before `end`.
    pub fn floor_after(&self, end: Timestamp) -> Timestamp {
        span::ceil(span::ceil(end, self.rollup.coarsest_ns()), span::SLOT_NS)
    }

    /// Points before this are gone at `now` by the age the rollup gives them, or may have been
    /// dropped. Those that are not rolled up yet stay, those in marked slots until they are.
    pub fn raw_from(&self, now: Timestamp) -> Timestamp {
        let age = self.rollup.raw_ns.map(|raw| self.needed_from(now.saturating_sub(raw)));
        let progress = self.progress.read();
        let floor = progress.durable.as_ref().map_or(TIMESTAMP_MIN, |durable| durable.raw_floor);
        age.unwrap_or(TIMESTAMP_MIN).max(floor)
    }

    /// The whole buckets of a level within `range` that are built and not marked for any of
    /// `series`.
    pub fn cover(
        &self,
        level: usize,
        range: TimeRange,
        now: Timestamp,
        series: &Bitmap,
    ) -> Vec<TimeRange> {
        let every_ns = self.rollup.levels[level].every_ns;
        let progress = self.progress.read();
        let Some(durable) = &progress.durable else { return Vec::new() };
        let alive_from = self.classes[level].alive_from(now.max(durable.latest));
        let start = durable.from.max(alive_from).max(range.start);
        let end = (durable.built[level].saturating_sub(1)).min(range.end);
        let mut left = span::whole(TimeRange::new(start, end), every_ns);
        let mut marked: Vec<TimeRange> = progress
            .marked()
            .filter(|(_, marked)| marked.intersect(series))
            .map(|(slot, _)| span::touched(span::slot_range(slot), every_ns))
            .collect();
        marked.sort_by_key(|range| range.start);
        let mut spans = Vec::new();
        for hole in marked {
            let before = TimeRange::new(left.start, left.end.min(hole.start.saturating_sub(1)));
            if !before.is_empty() {
                spans.push(before);
            }
            left.start = left.start.max(hole.end.saturating_add(1));
        }
        if !left.is_empty() {
            spans.push(left);
        }
        spans
    }
}
