//! Rows of a rollup's level as the executor takes them: buckets for the accumulators, or, where
//! points are gone and no bucket tells what is asked for, rows in the points' place.
//!
//! A stored row is a bucket; its columns are parts of fields
//! ([`firndb_tsdb::rollup::column`]). Where the count is missing or 0 the bucket has no value of
//! the field, and its other parts mean nothing: such buckets are left out here.

use firndb_tsdb::model::{Bitmap, Column, Columns, FieldId, FieldType, Timestamp, Values};
use firndb_tsdb::rollup::column::{self, Part};

use super::aggregate::{self, Parts};
use super::mask;
use super::resolve::{Ref, Resolved};
use super::spans::Need;
use crate::error::{Error, Result};
use crate::plan::{Function, Plan};

/// What `plan` asks of its source.
pub fn need(plan: &Plan, resolved: &Resolved) -> Need {
    let is_field = |r: &Ref| matches!(r, Ref::Field(_));
    let filters = resolved.filter.as_ref().is_some_and(|filter| filter.refs.iter().any(is_field));
    let shows_spot = resolved.shows_spot(plan.window.is_some());
    let is_told = |call: &super::resolve::CallSlot| match (&call.function, call.field) {
        (Function::Min | Function::Max, Some(field)) => {
            resolved.fields[field].field_type != FieldType::Boolean && !shows_spot
        }
        (function, _) => aggregate::parts(function).is_some(),
    };
    let told = !resolved.is_raw()
        && !filters
        && !resolved.refs.iter().any(is_field)
        && resolved.calls.iter().all(is_told);
    if told { Need::Buckets(plan.window.clone()) } else { Need::Rows }
}

/// Which derived fields are read, and what they are.
#[derive(Debug)]
pub struct Layout {
    /// The derived fields, in the order of the columns.
    pub ids: Vec<FieldId>,
    /// Per field of the input: its type and its columns, the count first.
    fields: Vec<(FieldType, Vec<(Part, usize)>)>,
}

/// Buckets of one series.
#[derive(Debug)]
pub struct Buckets {
    /// Their starts, ascending.
    pub starts: Vec<Timestamp>,
    /// Per field of the input.
    pub fields: Vec<FieldBuckets>,
}

/// Buckets of one field, those with a value.
#[derive(Debug)]
pub struct FieldBuckets {
    /// Their starts; `None`: those of all buckets.
    pub starts: Option<Vec<Timestamp>>,
    /// How many values each has.
    pub counts: Vec<i64>,
    /// What they come to.
    pub parts: Parts,
}

impl Layout {
    /// What the calls need.
    pub fn of_calls(resolved: &Resolved) -> Layout {
        Layout::new(resolved, |field, _| {
            let of_field = resolved.calls.iter().filter(|call| call.field == Some(field));
            of_field.flat_map(|call| aggregate::parts(&call.function).unwrap_or_default()).collect()
        })
    }

    /// What stands for values of points: of numbers their mean, of others the last one.
    pub fn of_points(resolved: &Resolved) -> Layout {
        Layout::new(resolved, |_, field_type| match field_type {
            FieldType::Float => vec![&Part::Sum],
            FieldType::Integer | FieldType::Unsigned => vec![&Part::Sum, &Part::SumHigh],
            FieldType::Boolean | FieldType::String => vec![&Part::Last],
        })
    }

    fn new<'a>(resolved: &Resolved, parts: impl Fn(usize, FieldType) -> Vec<&'a Part>) -> Layout {
        let mut layout = Layout { ids: Vec::new(), fields: Vec::new() };
        for (at, field) in resolved.fields.iter().enumerate() {
            let mut wanted = parts(at, field.field_type);
            wanted.retain(|part| part.type_of(field.field_type).is_some());
            wanted.push(&Part::Count);
            wanted.sort(); // the count is the first part
            wanted.dedup();
            let columns = wanted.into_iter().map(|part| {
                layout.ids.push(column::id(field.id, *part));
                (*part, layout.ids.len() - 1)
            });
            layout.fields.push((field.field_type, columns.collect()));
        }
        layout
    }

    /// Stored rows as buckets.
    pub fn buckets(&self, mut rows: Columns) -> Result<Buckets> {
        let mut fields = Vec::with_capacity(self.fields.len());
        for (field_type, columns) in &self.fields {
            fields.push(field(*field_type, columns, &mut rows)?);
        }
        Ok(Buckets { starts: rows.timestamps, fields })
    }

    /// Stored rows as rows of points: one at the start of each bucket.
    pub fn points(&self, mut rows: Columns) -> Result<Columns> {
        let mut columns = Vec::with_capacity(self.fields.len());
        for ((field_type, parts), at) in self.fields.iter().zip(0u32..) {
            let of = field(*field_type, parts, &mut rows)?;
            let values = representatives(*field_type, &of);
            columns.push(spread(values, &of, &rows.timestamps, FieldId(at)));
        }
        Ok(Columns { timestamps: rows.timestamps, columns })
    }
}

/// Takes the columns of a field out of `rows`.
fn field(
    field_type: FieldType,
    columns: &[(Part, usize)],
    rows: &mut Columns,
) -> Result<FieldBuckets> {
    let all = rows.timestamps.len();
    let mut take_column = |at: usize| {
        let column = &mut rows.columns[at];
        let values = std::mem::replace(&mut column.values, Values::Missing(all));
        (values, column.validity.take())
    };
    let (counts, validity) = take_column(columns[0].1);
    let counts = match counts {
        Values::Integer(counts) => counts,
        _ => vec![0; all],
    };
    let is_kept = |row: usize| counts[row] > 0 && validity.as_ref().is_none_or(|v| v.get(row));
    let kept = (!(0..all).all(is_kept))
        .then(|| (0..all as u32).filter(|row| is_kept(*row as usize)).collect::<Vec<u32>>());
    let mut parts = Parts::new(kept.as_ref().map_or(all, Vec::len));
    let mut high = None;
    for (part, at) in &columns[1..] {
        let (mut values, validity) = take_column(*at);
        if let Some(kept) = &kept {
            values = aggregate::take(&values, kept);
        }
        match (part, &values) {
            (Part::SumHigh, Values::Integer(_)) => high = Some((values, validity)),
            (Part::SumHigh, _) => {}
            _ => {
                check(*part, field_type, &values)?;
                parts.set(*part, values);
            }
        }
    }
    if let Some((Values::Integer(high), validity)) = high {
        let is_valid = |at: usize| {
            let row = kept.as_ref().map_or(at, |kept| kept[at] as usize);
            validity.as_ref().is_none_or(|v| v.get(row))
        };
        parts.high = Some(highs(high, is_valid, parts.get(Part::Sum)));
    }
    Ok(match kept {
        None => FieldBuckets { starts: None, counts, parts },
        Some(kept) => FieldBuckets {
            starts: Some(kept.iter().map(|row| rows.timestamps[*row as usize]).collect()),
            counts: kept.iter().map(|row| counts[*row as usize]).collect(),
            parts,
        },
    })
}

/// A bucket with values has all parts of its type; anything else is no rollup of ours.
fn check(part: Part, field_type: FieldType, values: &Values) -> Result<()> {
    let fits = match (part.type_of(field_type), values) {
        (_, values) if values.is_empty() => true,
        (Some(FieldType::Float), Values::Float(_))
        | (Some(FieldType::Integer), Values::Integer(_))
        | (Some(FieldType::Unsigned), Values::Unsigned(_))
        | (Some(FieldType::Boolean), Values::Boolean(_))
        | (Some(FieldType::String), Values::String { .. }) => true,
        _ => false,
    };
    match fits {
        true => Ok(()),
        false => Err(Error::invalid(format!("a rollup has buckets without {part:?}"))),
    }
}

/// High halves of sums; where none is stored, what the low half says.
fn highs(mut high: Vec<i64>, is_valid: impl Fn(usize) -> bool, low: &Values) -> Vec<i64> {
    for (row, high) in high.iter_mut().enumerate() {
        if !is_valid(row) {
            *high = match low {
                Values::Integer(low) => low[row] >> 63,
                _ => 0,
            };
        }
    }
    high
}

/// The value that stands for those of each bucket; of integers the mean is rounded.
fn representatives(field_type: FieldType, of: &FieldBuckets) -> Values {
    let whole = |row: usize, sum: i128| {
        let count = i128::from(of.counts[row]);
        (2 * sum + count).div_euclid(2 * count)
    };
    match (field_type, of.parts.get(Part::Sum)) {
        (FieldType::Float, Values::Float(sums)) => {
            let mean = |(sum, count): (&f64, &i64)| sum / *count as f64;
            Values::Float(sums.iter().zip(&of.counts).map(mean).collect())
        }
        (FieldType::Integer, Values::Integer(low)) => {
            let mean = |(row, low): (usize, &i64)| whole(row, of.parts.sum(row, *low)) as i64;
            Values::Integer(low.iter().enumerate().map(mean).collect())
        }
        (FieldType::Unsigned, Values::Unsigned(low)) => {
            let mean = |(row, low): (usize, &u64)| whole(row, of.parts.sum(row, *low)) as u64;
            Values::Unsigned(low.iter().enumerate().map(mean).collect())
        }
        _ => of.parts.get(Part::Last).clone(),
    }
}

/// A column over all buckets from the values of those of a field.
fn spread(values: Values, of: &FieldBuckets, starts: &[Timestamp], field: FieldId) -> Column {
    let Some(own) = &of.starts else { return Column { field, values, validity: None } };
    if own.is_empty() {
        return Column::missing(field, starts.len());
    }
    let mut rows = Vec::with_capacity(starts.len());
    let mut valid = Vec::with_capacity(starts.len());
    let mut at = 0;
    for start in starts {
        while at + 1 < own.len() && own[at] < *start {
            at += 1;
        }
        rows.push(at as u32);
        valid.push(own[at] == *start);
    }
    let validity: Bitmap = mask::from_fn(valid.len(), |row| valid[row]);
    Column { field, values: aggregate::take(&values, &rows), validity: Some(validity) }
}
