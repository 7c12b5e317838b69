//! Merging rows of one series from several sources: the last write of each field and row wins.
//!
//! 1. unite the timestamps; a source's rows then lie at known places of the result, side by side
//!    where it overlaps no other source;
//! 2. per field, from the oldest source to the newest, put each value in its place.

use std::collections::BTreeMap;

use crate::model::{Bitmap, Column, Columns, FieldId, FieldType, Timestamp, Values};

/// Merges sources given from oldest to newest. Rows are united by timestamp, columns by field;
/// where sources have a value for the same field and row, the newest source's counts. Columns
/// come out in the order of field numbers.
///
/// # Panics
/// When a field has two types: the schema does not let that happen.
pub fn merge_columns(older_to_newer: &[Columns]) -> Columns {
    let timestamps = unite(older_to_newer);
    let mut fields: BTreeMap<FieldId, Vec<Part<'_>>> = BTreeMap::new();
    for source in older_to_newer {
        let places = Places::new(&source.timestamps, &timestamps);
        for column in &source.columns {
            fields.entry(column.field).or_default().push(Part { places: places.clone(), column });
        }
    }
    let columns = fields
        .into_iter()
        .map(|(field, parts)| merge_field(field, &parts, timestamps.len()))
        .collect();
    Columns { timestamps, columns }
}

fn unite(sources: &[Columns]) -> Vec<Timestamp> {
    let mut timestamps = Vec::with_capacity(sources.iter().map(Columns::rows).sum());
    for source in sources {
        timestamps.extend_from_slice(&source.timestamps);
    }
    // The stable sort finds the ascending stretches and merges them.
    timestamps.sort();
    timestamps.dedup();
    timestamps
}

/// Where the rows of a source lie in the result.
#[derive(Clone)]
enum Places {
    /// One after another, from there.
    From(usize),
    /// One place a row.
    Each(Vec<u32>),
}

impl Places {
    fn new(rows: &[Timestamp], united: &[Timestamp]) -> Places {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Places::From(0);
        };
        let start = united.partition_point(|timestamp| timestamp < first);
        if united.get(start + rows.len() - 1) == Some(last) {
            return Places::From(start);
        }
        let mut at = start;
        let place = |timestamp: &Timestamp| {
            while united[at] < *timestamp {
                at += 1;
            }
            at as u32
        };
        Places::Each(rows.iter().map(place).collect())
    }

    fn get(&self, row: usize) -> usize {
        match self {
            Places::From(start) => start + row,
            Places::Each(places) => places[row] as usize,
        }
    }
}

/// A field's column of one source.
struct Part<'a> {
    places: Places,
    column: &'a Column,
}

impl Part<'_> {
    /// Rows with a value and their places.
    fn each(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.column.values.len())
            .filter(|&row| self.column.is_valid(row))
            .map(|row| (row, self.places.get(row)))
    }

    /// Copies this part's values over those of older parts.
    fn put<T: Copy>(&self, values: &[T], out: &mut [T]) {
        match (&self.places, &self.column.validity) {
            (Places::From(start), None) => {
                out[*start..start + values.len()].copy_from_slice(values);
            }
            _ => self.each().for_each(|(row, place)| out[place] = values[row]),
        }
    }
}

fn merge_field(field: FieldId, parts: &[Part<'_>], rows: usize) -> Column {
    let mut types = parts.iter().filter_map(|part| part.column.values.field_type());
    let Some(field_type) = types.next() else { return Column::missing(field, rows) };
    assert!(types.all(|other| other == field_type), "a field of two types");
    let mut validity = Bitmap::filled(rows, false);
    for part in parts {
        part.each().for_each(|(_, place)| validity.set(place, true));
    }
    let values = merge_values(field_type, parts, rows);
    let validity = Some(validity).filter(|validity| validity.count() < rows);
    Column { field, values, validity }
}

fn merge_values(field_type: FieldType, parts: &[Part<'_>], rows: usize) -> Values {
    if field_type == FieldType::String {
        return merge_strings(parts, rows);
    }
    let mut merged = Values::defaults(field_type, rows);
    for part in parts {
        match (&part.column.values, &mut merged) {
            (Values::Float(values), Values::Float(out)) => part.put(values, out),
            (Values::Integer(values), Values::Integer(out)) => part.put(values, out),
            (Values::Unsigned(values), Values::Unsigned(out)) => part.put(values, out),
            (Values::Boolean(values), Values::Boolean(out)) => part.put(values, out),
            _ => {} // missing in this source
        }
    }
    merged
}

fn merge_strings(parts: &[Part<'_>], rows: usize) -> Values {
    let mut texts: Vec<&[u8]> = vec![&[]; rows];
    for part in parts {
        if let Values::String { offsets, bytes } = &part.column.values {
            for (row, place) in part.each() {
                texts[place] = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
            }
        }
    }
    let (mut offsets, mut bytes) = (Vec::with_capacity(rows + 1), Vec::new());
    offsets.push(0);
    for text in texts {
        bytes.extend_from_slice(text);
        let end = u32::try_from(bytes.len());
        offsets.push(end.expect("sources of chunks hold less text than 4 GiB"));
    }
    Values::String { offsets, bytes }
}

#[cfg(test)]
mod tests;
