//! Buckets as rows: derived fields into payloads, one per partition of an internal policy.

use std::sync::Arc;

use firndb_engine::batch::WriteBatch;
use hashbrown::HashMap;

use super::column::{self, Part};
use super::fold::{Folded, FoldedValues, Numbers};
use crate::Result;
use crate::memtable::payload::{PayloadWriter, ShapeField};
use crate::model::{FieldId, FieldValue, SeriesId, Timestamp};
use crate::partition::{Partition, Partitions};
use crate::retention::RetentionPolicy;
use crate::schema::FieldInfo;

/// A derived field with its value.
type Derived<'v> = (FieldId, FieldValue<'v>);

/// Rows of several levels on their way into a batch.
#[derive(Debug)]
pub struct BucketRows<'d> {
    partitions: &'d Partitions,
    classes: &'d [RetentionPolicy],
    targets: Vec<Target>,
    now: Timestamp,
    bytes: usize,
    rows: u64,
}

#[derive(Debug)]
struct Target {
    level: usize,
    partition: Arc<Partition>,
    payload: PayloadWriter,
    shapes: HashMap<Vec<ShapeField>, u32>,
    /// The shape used last, nearly always the next one's too.
    last: (Vec<ShapeField>, u32),
}

impl<'d> BucketRows<'d> {
    /// No rows yet.
    pub fn new(
        partitions: &'d Partitions,
        classes: &'d [RetentionPolicy],
        now: Timestamp,
    ) -> BucketRows<'d> {
        BucketRows { partitions, classes, targets: Vec::new(), now, bytes: 0, rows: 0 }
    }

    /// Bytes collected.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Rows ever collected.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds the row of a bucket. `rewrites`: there may be an older row, of which nothing may be
    /// left: fields without a value are written as counted to 0.
    pub fn push(
        &mut self,
        (level, start): (usize, Timestamp),
        series: SeriesId,
        fields: &[FieldInfo],
        values: &[Option<Folded>],
        rewrites: bool,
    ) -> Result<()> {
        let mut row: Vec<Derived<'_>> = Vec::with_capacity(fields.len() * 8);
        for (field, folded) in fields.iter().zip(values) {
            match folded {
                Some(folded) => put_field(&mut row, field.id, folded, start, rewrites),
                None if rewrites => put(&mut row, field.id, Part::Count, integer(0)),
                None => {}
            }
        }
        if row.is_empty() {
            return Ok(());
        }
        let target = self.target(level, start)?;
        let before = target.payload.bytes().len();
        target.put(series, start, &row);
        let grown = target.payload.bytes().len() - before;
        self.bytes += grown;
        self.rows += 1;
        Ok(())
    }

    fn target(&mut self, level: usize, start: Timestamp) -> Result<&mut Target> {
        let fits = |t: &Target| t.level == level && t.partition.range.contains(start);
        let at = match self.targets.iter().position(fits) {
            Some(at) => at,
            None => {
                self.targets.push(Target {
                    level,
                    partition: self.partitions.find_or_create(&self.classes[level], start)?,
                    payload: PayloadWriter::new(start),
                    shapes: HashMap::new(),
                    last: (Vec::new(), 0),
                });
                self.targets.len() - 1
            }
        };
        Ok(&mut self.targets[at])
    }

    /// Moves what was collected into `batch`.
    pub fn drain_into(&mut self, batch: &mut WriteBatch) {
        for target in self.targets.drain(..) {
            target.partition.touch(self.now);
            batch.append(target.partition.keyspace, target.payload.bytes());
        }
        self.bytes = 0;
    }
}

impl Target {
    fn put(&mut self, series: SeriesId, start: Timestamp, row: &[Derived<'_>]) {
        let has_shape = |shape: &[ShapeField]| {
            shape.len() == row.len()
                && (shape.iter().zip(row))
                    .all(|(of, (field, value))| of.0 == *field && of.1 == value.field_type())
        };
        if !has_shape(&self.last.0) {
            let shape: Vec<ShapeField> =
                row.iter().map(|(field, value)| (*field, value.field_type())).collect();
            match self.shapes.get(&shape) {
                Some(number) => self.last = (shape, *number),
                None => {
                    let number = self.payload.begin_new_shape(series, &shape, start);
                    self.shapes.insert(shape.clone(), number);
                    self.last = (shape, number);
                    row.iter().for_each(|(_, value)| self.payload.value(value));
                    return;
                }
            }
        }
        self.payload.begin(series, self.last.1, start);
        row.iter().for_each(|(_, value)| self.payload.value(value));
    }
}

fn integer(value: i64) -> FieldValue<'static> {
    FieldValue::Integer(value)
}

fn put<'v>(row: &mut Vec<Derived<'v>>, field: FieldId, part: Part, value: FieldValue<'v>) {
    row.push((column::id(field, part), value));
}

/// Appends the parts of a field in the order of their numbers.
fn put_field<'v>(
    row: &mut Vec<Derived<'v>>,
    field: FieldId,
    folded: &'v Folded,
    start: Timestamp,
    rewrites: bool,
) {
    put(row, field, Part::Count, integer(folded.count as i64));
    let mut high = None;
    match &folded.values {
        FoldedValues::Float(numbers) => {
            put_numbers(row, field, FieldValue::Float(numbers.sum), numbers, FieldValue::Float);
        }
        FoldedValues::Integer(numbers) => {
            let low = numbers.sum as i64;
            high = (i128::from(low) != numbers.sum || rewrites).then_some(numbers.sum >> 64);
            put_numbers(row, field, integer(low), numbers, FieldValue::Integer);
        }
        FoldedValues::Unsigned(numbers) => {
            let low = numbers.sum as u64;
            let has_more = u128::from(low) != numbers.sum;
            high = (has_more || rewrites).then_some((numbers.sum >> 64) as i128);
            let sum = FieldValue::Unsigned(low);
            put_numbers(row, field, sum, numbers, FieldValue::Unsigned);
        }
        FoldedValues::Boolean { trues, first, last } => {
            put(row, field, Part::Sum, integer(*trues as i64));
            put(row, field, Part::First, FieldValue::Boolean(*first));
            put(row, field, Part::Last, FieldValue::Boolean(*last));
        }
        FoldedValues::String { first, last } => {
            put(row, field, Part::First, FieldValue::String((&**first).into()));
            put(row, field, Part::Last, FieldValue::String((&**last).into()));
        }
    }
    put(row, field, Part::FirstAt, integer(folded.first_at - start));
    put(row, field, Part::LastAt, integer(folded.last_at - start));
    if let Some(high) = high {
        put(row, field, Part::SumHigh, integer(high as i64));
    }
}

fn put_numbers<T: Copy, S>(
    row: &mut Vec<Derived<'_>>,
    field: FieldId,
    sum: FieldValue<'static>,
    numbers: &Numbers<T, S>,
    value: fn(T) -> FieldValue<'static>,
) {
    let Numbers { min, max, first, last, .. } = *numbers;
    put(row, field, Part::Sum, sum);
    let parts = [(Part::Min, min), (Part::Max, max), (Part::First, first), (Part::Last, last)];
    for (part, number) in parts {
        put(row, field, part, value(number));
    }
}
