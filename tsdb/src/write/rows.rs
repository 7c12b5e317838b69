//! Rows of a request on their way into payloads, one per partition.

use std::sync::Arc;

use firndb_engine::batch::WriteBatch;

use crate::Result;
use crate::memtable::payload::{PayloadWriter, ShapeField};
use crate::model::{Field, FieldType, SeriesId, Timestamp};
use crate::partition::{Partition, Partitions};
use crate::retention::RetentionPolicy;

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
    /// Index of the target last used.
    last: usize,
    now: Timestamp,
    bytes: usize,
}

#[derive(Debug)]
struct Target {
    partition: Arc<Partition>,
    payload: PayloadWriter,
    /// The payload's number of each shape of the request.
    shapes: Vec<Option<u32>>,
}

impl<'d> Rows<'d> {
    /// No rows yet.
    pub fn new(partitions: &'d Partitions, policy: &'d RetentionPolicy, now: Timestamp) -> Self {
        Rows { partitions, policy, targets: Vec::new(), last: 0, now, bytes: 0 }
    }

    /// Adds a row; `number` is the request's number of `shape`.
    pub fn push(
        &mut self,
        series: SeriesId,
        (number, shape): (usize, &RowShape<'_>),
        point: &[Field<'_>],
        timestamp: Timestamp,
    ) -> Result<()> {
        let target = self.target(timestamp)?;
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
        Ok(())
    }

    fn target(&mut self, timestamp: Timestamp) -> Result<&mut Target> {
        let fits = |target: &Target| target.partition.range.contains(timestamp);
        if !self.targets.get(self.last).is_some_and(fits) {
            self.last = match self.targets.iter().position(fits) {
                Some(at) => at,
                None => {
                    self.targets.push(Target {
                        partition: self.partitions.find_or_create(self.policy, timestamp)?,
                        payload: PayloadWriter::new(timestamp),
                        shapes: Vec::new(),
                    });
                    self.targets.len() - 1
                }
            };
        }
        Ok(&mut self.targets[self.last])
    }

    /// Bytes collected.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Moves what was collected into `batch`.
    pub fn drain_into(&mut self, batch: &mut WriteBatch) {
        for target in self.targets.drain(..) {
            target.partition.touch(self.now);
            batch.append(target.partition.keyspace, target.payload.bytes());
        }
        self.last = 0;
        self.bytes = 0;
    }
}
