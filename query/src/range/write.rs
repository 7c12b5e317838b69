//! Answers of `/api/v1/range` as bytes.

use std::io::Write;
use std::sync::Arc;

use arrow::ipc::writer::StreamWriter;
use firndb_tsdb::model::Bitmap;

use crate::arrow::{Batches, Kind, Unit, distinct_names};
use crate::error::{Error, Result};
use crate::exec::{Context, Data, QueryResult, Series, SeriesHead, SeriesStream, Vector};
use crate::export::{csv, parquet};
use crate::format::{json, number};
use firndb_tsdb::model::FieldType;

/// JSON: column by column. A series is gathered before it is written, since its times come first;
/// the answer as a whole is not.
pub fn write_json(
    mut parts: SeriesStream,
    (unit_ns, unit): (i64, &str),
    mut out: impl Write,
) -> Result<()> {
    let mut text = format!("{{\"unit\":\"{unit}\",\"series\":[").into_bytes();
    let mut gathered: Option<Series> = None;
    let mut is_first = true;
    for part in &mut parts {
        let part = part?;
        let goes_on = part.partial;
        match &mut gathered {
            Some(series) => {
                series.times.extend_from_slice(&part.times);
                series.values.iter_mut().zip(&part.values).for_each(|(all, more)| all.append(more));
            }
            None => gathered = Some(part),
        }
        if let (false, Some(series)) = (goes_on, gathered.as_ref()) {
            if !is_first {
                text.push(b',');
            }
            is_first = false;
            json_series(series, unit_ns, &mut text);
            gathered = None;
            out.write_all(&text)?;
            text.clear();
        }
    }
    text.push(b']');
    for (at, warning) in parts.warnings().so_far().iter().enumerate() {
        text.extend_from_slice(if at == 0 { b",\"messages\":[" } else { b"," });
        text.extend_from_slice(b"{\"level\":\"warning\",\"text\":");
        json::string(warning, &mut text);
        text.extend_from_slice(b"}");
    }
    if !parts.warnings().so_far().is_empty() {
        text.push(b']');
    }
    text.extend_from_slice(b"}\n");
    out.write_all(&text)?;
    Ok(())
}

fn json_series(series: &Series, unit_ns: i64, text: &mut Vec<u8>) {
    text.extend_from_slice(b"{\"name\":");
    json::string(&series.head.name, text);
    text.extend_from_slice(b",\"tags\":{");
    for (at, (key, value)) in series.head.tags.iter().enumerate() {
        separate(at, text);
        json::string(key, text);
        text.push(b':');
        json::string(value, text);
    }
    text.extend_from_slice(b"},\"time\":[");
    for (at, time) in series.times.iter().enumerate() {
        separate(at, text);
        number::integer(time.div_euclid(unit_ns), text);
    }
    text.extend_from_slice(b"],\"fields\":{");
    for (at, (name, column)) in series.head.columns.iter().zip(&series.values).enumerate() {
        separate(at, text);
        json::string(name, text);
        text.extend_from_slice(b":[");
        for row in 0..column.len() {
            separate(row, text);
            json_cell(column, row, text);
        }
        text.push(b']');
    }
    text.extend_from_slice(b"}}");
}

fn json_cell(column: &Vector, row: usize, text: &mut Vec<u8>) {
    use crate::exec::Cell;
    match column.cell(row) {
        Cell::Missing => text.extend_from_slice(b"null"),
        Cell::Float(v) => number::json_float(v, text),
        Cell::Integer(v) => number::integer(v, text),
        Cell::Unsigned(v) => number::integer(v, text),
        Cell::Boolean(v) => text.extend_from_slice(if v { b"true" } else { b"false" }),
        Cell::String(v) => json::string(v, text),
    }
}

fn separate(at: usize, text: &mut Vec<u8>) {
    if at > 0 {
        text.push(b',');
    }
}

/// CSV: `time`, the group's tags, the columns.
pub fn write_csv(parts: impl Iterator<Item = Result<Series>>, mut out: impl Write) -> Result<()> {
    let mut has_header = false;
    let mut text = Vec::new();
    for part in parts {
        let part = part?;
        if !has_header {
            csv::header(&names(&part.head), &mut text);
            has_header = true;
        }
        for (row, time) in part.times.iter().enumerate() {
            csv::time(*time, &mut text);
            for (_, value) in &part.head.tags {
                text.push(b',');
                csv::cell(crate::exec::Cell::String(value), &mut text);
            }
            for column in &part.values {
                text.push(b',');
                csv::cell(column.cell(row), &mut text);
            }
            text.push(b'\n');
        }
        out.write_all(&text)?;
        text.clear();
    }
    Ok(())
}

fn names(head: &SeriesHead) -> Vec<String> {
    let tags = head.tags.iter().map(|(key, _)| key.clone());
    distinct_names(tags.chain(head.columns.iter().cloned()))
}

/// Columns that fit all series of an answer: types are known once all of it is there.
fn columns(result: &QueryResult) -> Vec<(String, Kind)> {
    let Some(first) = result.series.first() else { return Vec::new() };
    let tags = first.head.tags.len();
    let kind = |at: usize| match at.checked_sub(tags) {
        None => Kind::Tag,
        Some(column) => {
            let mut kinds =
                result.series.iter().filter_map(|series| Kind::of(&series.values[column]));
            kinds.next().unwrap_or(Kind::Field(FieldType::Float))
        }
    };
    names(&first.head).into_iter().enumerate().map(|(at, name)| (name, kind(at))).collect()
}

fn unit(result: &QueryResult) -> Unit {
    let fits = |series: &Series| Unit::of(&series.times) == Unit::Microsecond;
    if result.series.iter().all(fits) { Unit::Microsecond } else { Unit::Nanosecond }
}

/// The rows of a series with its tags as columns before its own.
fn with_tags(series: Series) -> (Vec<i64>, Vec<Vector>) {
    let rows = series.times.len();
    let tag = |(_, value): &(String, String)| {
        let words: Arc<[String]> = [value.clone()].into();
        let validity = value.is_empty().then(|| Bitmap::filled(rows, false));
        Vector { data: Data::Tag { codes: vec![0; rows], words }, validity }
    };
    let mut values: Vec<Vector> = series.head.tags.iter().map(tag).collect();
    values.extend(series.values);
    (series.times, values)
}

/// Arrow IPC stream: a batch per series.
pub fn write_arrow(result: QueryResult, out: impl Write) -> Result<()> {
    let fault = |error| Error::Output(std::io::Error::other(error));
    let mut batches = Batches::new(&columns(&result), unit(&result));
    let mut writer = StreamWriter::try_new(out, &batches.schema()).map_err(fault)?;
    for series in result.series {
        let (times, values) = with_tags(series);
        writer.write(&batches.batch(&times, &values)?).map_err(fault)?;
    }
    writer.finish().map_err(fault)
}

/// Parquet.
pub fn write_parquet(context: &Context, result: QueryResult, out: impl Write + Send) -> Result<()> {
    let mut file = parquet::File::new(context, &columns(&result), unit(&result), out)?;
    for series in result.series {
        let (times, values) = with_tags(series);
        file.push_alone(times, values)?;
    }
    file.finish().map(|_| ())
}
