//! Deletes in rollups: what is deleted of points goes from the buckets of them too.
//!
//! Per level and span of a delete:
//!
//! - buckets that lie whole in the span are erased as the points are, by the same record, with the
//!   derived fields of the fields;
//! - a bucket that lies there in part is marked and built again from the points that are left.
//!   Where these may be gone, the delete is refused: what is left of the bucket could not be told.
//!
//! Buckets that are not built yet need nothing: they will be built from what is left. What a step
//! under way has written of them is erased or marked like the rest.

use std::sync::Arc;

use croaring::Bitmap;
use firndb_engine::batch::WriteBatch;
use firndb_engine::key::KeyspaceId;

use super::column::{self, Part};
use super::late::NewMarks;
use super::span;
use super::spec::duration_text;
use super::state::{Durable, Running};
use crate::database::Database;
use crate::erasure::Group;
use crate::left_out::is_meant;
use crate::model::time::TIMESTAMP_MAX;
use crate::model::{FieldId, TimeRange, Timestamp};
use crate::{Error, Result};

/// What a delete does to rollups.
#[derive(Debug, Default)]
pub(crate) struct ErasedInRollups {
    /// Erasures of whole buckets, in internal policies.
    pub(crate) groups: Vec<Group>,
    marks: Vec<NewMarks>,
}

impl ErasedInRollups {
    /// Puts the marks of buckets that are deleted in part into the delete's batch.
    pub(crate) fn put_marks(&self, index: KeyspaceId, batch: &mut WriteBatch) {
        self.marks.iter().for_each(|marks| marks.put(index, batch));
    }

    /// Lets everybody see the marks: the batch is in the log.
    pub(crate) fn publish(&mut self, now: Timestamp) {
        self.marks.iter_mut().for_each(|marks| marks.publish(now));
    }
}

impl Database {
    /// What deleting `groups` of points does to rollups. The caller holds the gate for writing.
    ///
    /// # Errors
    /// Part of a bucket is meant whose points may be gone.
    pub(crate) fn erase_in_rollups(
        &self,
        groups: &[Group],
        now: Timestamp,
    ) -> Result<ErasedInRollups> {
        let mut erased = ErasedInRollups::default();
        for running in self.running.read().iter() {
            let Some(durable) = running.progress.read().durable.clone() else { continue };
            let mut marks = NewMarks::new(running.clone());
            for group in groups {
                if !is_meant(group.policy.as_deref(), &running.rollup.policy) {
                    continue;
                }
                let series = self.rolled_up(running, &group.series)?;
                if series.is_empty() {
                    continue;
                }
                let trimmed = self.rules.gone_before(&running.rollup.policy, &series, now);
                let gone_before = durable.raw_floor.max(trimmed);
                for slot in partial_slots(running, &durable, gone_before, &group.ranges)? {
                    marks.slots.entry(slot).or_default().or_inplace(&series);
                }
                erased.groups.extend(whole_buckets(running, &durable, group, series));
            }
            erased.marks.push(marks);
        }
        Ok(erased)
    }

    /// The series among `series` that a rollup is of.
    fn rolled_up(&self, running: &Running, series: &Arc<Bitmap>) -> Result<Arc<Bitmap>> {
        if running.rollup.measurements.is_empty() {
            return Ok(series.clone());
        }
        let mut all = Bitmap::new();
        for name in &running.rollup.measurements {
            if let Some(info) = self.schema.by_name(name) {
                all.or_inplace(&self.index.all(info.id)?);
            }
        }
        Ok(Arc::new(all.and(series)))
    }
}

/// The part of a span that a rollup can have buckets of.
fn cut(durable: &Durable, range: &TimeRange) -> Option<TimeRange> {
    let range = range.intersect(&TimeRange::new(durable.from, TIMESTAMP_MAX));
    (!range.is_empty() && range.start < durable.late_before()).then_some(range)
}

/// The erasures of buckets that lie whole in a group's spans, a group per level.
fn whole_buckets(
    running: &Running,
    durable: &Durable,
    group: &Group,
    series: Arc<Bitmap>,
) -> Vec<Group> {
    let derived = |fields: &Arc<[FieldId]>| -> Arc<[FieldId]> {
        let parts = |field: &FieldId| Part::ALL.map(|part| column::id(*field, part));
        fields.iter().flat_map(parts).collect()
    };
    let fields = group.fields.as_ref().map(derived);
    let levels = running.rollup.levels.iter().zip(&running.classes);
    let of_level = levels.filter_map(|(level, class)| {
        let spans = group.ranges.iter().filter_map(|range| cut(durable, range));
        let whole = spans.map(|range| span::whole(range, level.every_ns));
        let ranges: Arc<[TimeRange]> = whole.filter(|range| !range.is_empty()).collect();
        (!ranges.is_empty()).then(|| Group {
            policy: Some(class.name.as_str().into()),
            series: series.clone(),
            ranges,
            fields: fields.clone(),
        })
    });
    of_level.collect()
}

/// The slots at those ends of spans that cut a bucket in two. Points before `gone_before` may be
/// gone.
fn partial_slots(
    running: &Running,
    durable: &Durable,
    gone_before: Timestamp,
    ranges: &[TimeRange],
) -> Result<Vec<i64>> {
    let mut slots = Vec::new();
    for range in ranges.iter().filter_map(|range| cut(durable, range)) {
        for (at, every_ns) in running.rollup.levels.iter().map(|level| level.every_ns).enumerate() {
            let built = durable.built[at].max(durable.building[at]);
            let alive_from = running.classes[at].alive_from(durable.latest);
            let ends = [(range.start, range.start), (range.end, range.end.saturating_add(1))];
            for (end, cut_at) in ends {
                let start = span::floor(end, every_ns);
                if cut_at.rem_euclid(every_ns) == 0 || start >= built || start < alive_from {
                    continue;
                }
                if end < gone_before {
                    return Err(refusal(running, gone_before));
                }
                slots.push(span::slot_of(end));
            }
        }
    }
    slots.dedup();
    Ok(slots)
}

fn refusal(running: &Running, gone_before: Timestamp) -> Error {
    let every = duration_text(running.rollup.coarsest_ns());
    let reason = format!(
        "points before {gone_before} are gone and rolled up by \"{}\": there only whole buckets can be \
         deleted, begin and end at multiples of {every}",
        running.rollup.name
    );
    Error::Invalid { reason }
}

#[cfg(test)]
mod tests {
    use super::super::state::Progress;
    use super::super::{Rollup, RollupLevel, RollupSpec};
    use super::*;
    use crate::retention::{PolicySpec, RetentionPolicy};

    const HOUR_NS: i64 = span::SLOT_NS;
    const MINUTE_NS: i64 = HOUR_NS / 60;

    fn running() -> (Running, Durable) {
        let policy = RetentionPolicy::from_spec(&PolicySpec::default()).unwrap();
        let level = |every_ns| RollupLevel { every_ns, keep_ns: None };
        let levels = vec![level(MINUTE_NS), level(2 * HOUR_NS)];
        let spec = RollupSpec { levels, ..RollupSpec::default() };
        let rollup = Rollup::from_spec(&spec, &policy).unwrap();
        let mut durable = Durable::new(-4 * HOUR_NS, vec![9 * HOUR_NS, 8 * HOUR_NS]);
        durable.raw_floor = 2 * HOUR_NS;
        (Running::new(rollup, Progress::default()), durable)
    }

    #[test]
    fn whole_buckets_are_erased_and_parts_of_them_marked() {
        let (running, durable) = running();
        let hours = |from: i64, to: i64| TimeRange::new(from * HOUR_NS, to * HOUR_NS - 1);
        type Case = (&'static str, TimeRange, [Option<TimeRange>; 2], Option<Vec<i64>>);
        let cases: Vec<Case> = vec![
            ("whole", hours(2, 6), [Some(hours(2, 6)), Some(hours(2, 6))], Some(vec![])),
            ("before it began", hours(-9, -4), [None, None], Some(vec![])),
            ("beyond what is built", hours(10, 12), [None, None], Some(vec![])),
            (
                "ends in a bucket",
                hours(4, 7),
                [Some(hours(4, 7)), Some(hours(4, 6))],
                Some(vec![6]),
            ),
            ("begins in one", hours(5, 8), [Some(hours(5, 8)), Some(hours(6, 8))], Some(vec![5])),
            (
                "up to what is not built",
                hours(6, 11),
                [Some(hours(6, 11)), Some(hours(6, 10))],
                Some(vec![]),
            ),
            (
                "a nanosecond",
                TimeRange::new(5 * HOUR_NS + 1, 5 * HOUR_NS + 1),
                [None, None],
                Some(vec![5]),
            ),
            (
                "whole, points gone",
                hours(-4, 2),
                [Some(hours(-4, 2)), Some(hours(-4, 2))],
                Some(vec![]),
            ),
            ("cut, points gone", hours(1, 4), [Some(hours(1, 4)), Some(hours(2, 4))], None),
            ("all", TimeRange::ALL, [None, None], Some(vec![])),
        ];
        for (name, range, expected, slots) in cases {
            let got = partial_slots(&running, &durable, durable.raw_floor, &[range]);
            assert_eq!(got.ok(), slots, "{name}");
            let series = Arc::new(Bitmap::of(&[1]));
            let group = Group {
                policy: None,
                series: series.clone(),
                ranges: [range].into(),
                fields: Some([FieldId(2)].into()),
            };
            let groups = whole_buckets(&running, &durable, &group, series);
            if name == "all" {
                assert!(groups.iter().all(|group| group.ranges[0].start == durable.from));
                continue;
            }
            for (class, expected) in running.classes.iter().zip(expected) {
                let of = |group: &&Group| group.policy.as_deref() == Some(&*class.name);
                let group = groups.iter().find(of);
                assert_eq!(group.map(|group| group.ranges[0]), expected, "{name}: {}", class.name);
                let fields = group.and_then(|group| group.fields.clone());
                let ids = || Part::ALL.map(|part| column::id(FieldId(2), part)).to_vec();
                assert_eq!(fields.map(|fields| fields.to_vec()), expected.map(|_| ids()));
            }
        }
    }
}
