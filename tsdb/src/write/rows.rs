//! Rows of a request on their way into payloads, one per partition.
//!
//! Partitions that are missing are made when the rows leave, all at once: a backfill that touches
//! a year of days costs one edit of the manifest, not one a day.

use std::collections::BTreeMap;
use std::sync::Arc;

use firndb_engine::batch::WriteBatch;

use crate::Result;
use crate::memtable::payload::{PayloadWriter, ShapeField};
use crate::model::{Field, FieldType, SeriesId, TimeRange, Timestamp};
use crate::partition::{Partition, Partitions};
use crate::retention::{RetentionPolicy, Window};

/// A set of fields as points of the request give them, resolved against the schema.
#[derive(Debug)]
pub struct RowShape<'b> {
    /// Keys and types as given, to recognise the next point of this shape by.
    given: Vec<(&'b str, FieldType)>,
    /// For each field of `fields`: where it stands in a point.
    order: Vec<u16>,
    /// Fields, ascending.
    fields: Vec<ShapeField>,
    /// Whether a field called `time` is left out.
    pub is_stripped: bool,
    /// Whether there are strings, whose length is to be checked.
    pub has_text: bool,
}

impl<'b> RowShape<'b> {
    /// The shape of a point; `chosen` says which of its fields count, and as what.
    pub fn new(point: &'b [Field<'b>], mut chosen: Vec<(ShapeField, u16)>, stripped: bool) -> Self {
        chosen.sort_by_key(|((field, _), _)| *field);
        RowShape {
            given: point.iter().map(|f| (&*f.key, f.value.field_type())).collect(),
            order: chosen.iter().map(|(_, at)| *at).collect(),
            has_text: chosen.iter().any(|((_, t), _)| *t == FieldType::String),
            fields: chosen.into_iter().map(|(field, _)| field).collect(),
            is_stripped: stripped,
        }
    }

    /// Whether a point has the same keys and types in the same order.
    pub fn fits(&self, point: &[Field<'_>]) -> bool {
        self.given.len() == point.len()
            && (self.given.iter().zip(point))
                .all(|((key, of), field)| *key == field.key && *of == field.value.field_type())
    }
}

/// Collects rows by partition.
#[derive(Debug)]
pub struct Rows<'d> {
    partitions: &'d Partitions,
    policy: &'d RetentionPolicy,
    targets: Vec<Target>,
    /// Targets by start of their window.
    by_start: BTreeMap<i64, usize>,
    /// Index of the target last used.
    last: usize,
    now: Timestamp,
    bytes: usize,
}

#[derive(Debug)]
struct Target {
    window: Window,
    range: TimeRange,
    /// `None`: to be made.
    partition: Option<Arc<Partition>>,
    payload: PayloadWriter,
    /// The payload's number of each shape of the request.
    shapes: Vec<Option<u32>>,
}

impl<'d> Rows<'d> {
    /// No rows yet.
    pub fn new(partitions: &'d Partitions, policy: &'d RetentionPolicy, now: Timestamp) -> Self {
        let (targets, by_start) = (Vec::new(), BTreeMap::new());
        Rows { partitions, policy, targets, by_start, last: 0, now, bytes: 0 }
    }

    /// Adds a row; `number` is the request's number of `shape`.
    pub fn push(
        &mut self,
        series: SeriesId,
        (number, shape): (usize, &RowShape<'_>),
        point: &[Field<'_>],
        timestamp: Timestamp,
    ) {
        let target = self.target(timestamp);
        if target.shapes.len() <= number {
            target.shapes.resize(number + 1, None);
        }
        let payload = &mut target.payload;
        let before = payload.bytes().len();
        match target.shapes[number] {
            Some(shape) => payload.begin(series, shape, timestamp),
            None => {
                let new = payload.begin_new_shape(series, &shape.fields, timestamp);
                target.shapes[number] = Some(new);
            }
        }
        for at in &shape.order {
            payload.value(&point[*at as usize].value);
        }
        let grown = payload.bytes().len() - before;
        self.bytes += grown;
    }

    fn target(&mut self, timestamp: Timestamp) -> &mut Target {
        let fits = |target: &Target| target.range.contains(timestamp);
        if !self.targets.get(self.last).is_some_and(fits) {
            let second = timestamp.div_euclid(1_000_000_000);
            let before = self.by_start.range(..=second).next_back().map(|(_, at)| *at);
            self.last = match before.filter(|at| fits(&self.targets[*at])) {
                Some(at) => at,
                None => self.add_target(timestamp),
            };
        }
        &mut self.targets[self.last]
    }

    fn add_target(&mut self, timestamp: Timestamp) -> usize {
        let partition = self.partitions.find(&self.policy.name, timestamp);
        let window = match &partition {
            Some(partition) => partition.window,
            None => self.partitions.free_window(self.policy, timestamp),
        };
        self.by_start.insert(window.start_s, self.targets.len());
        self.targets.push(Target {
            window,
            range: window.range(),
            partition,
            payload: PayloadWriter::new(timestamp),
            shapes: Vec::new(),
        });
        self.targets.len() - 1
    }

    /// Bytes collected.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Moves what was collected into `batch`; makes the partitions that are missing.
    pub fn drain_into(&mut self, batch: &mut WriteBatch) -> Result<()> {
        let missing = self.targets.iter().filter(|target| target.partition.is_none());
        let missing: Vec<Window> = missing.map(|target| target.window).collect();
        let mut made = self.partitions.create(&self.policy.name, &missing)?.into_iter();
        for target in self.targets.drain(..) {
            let partition = target.partition.or_else(|| made.next()).expect("one for each window");
            partition.touch(self.now);
            batch.append(partition.keyspace, target.payload.bytes());
        }
        self.by_start.clear();
        self.last = 0;
        self.bytes = 0;
        Ok(())
    }
}
