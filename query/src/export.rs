//! Whole measurements out: as Parquet for other engines, as CSV, as line protocol.
//!
//! ```text
//! series in the order of their tags, rows in the order of time -> parts -> encoder -> bytes
//! ```
//!
//! Memory is bounded: one series is read at a time, a row group of Parquet is closed at
//! [`parquet::ROW_GROUP_ROWS`] rows or [`parquet::ROW_GROUP_BYTES`], whichever comes first, and
//! both are charged to the queries' share.
//!
//! Whole databases leave as Hive-partitioned folders
//! (`measurement=cpu/date=2026-01-31/part-0.parquet`)
//! through a [`Sink`], a day at a time.

pub(crate) mod csv;
mod days;
mod line_protocol;
pub mod parquet;

use std::io::Write;

use firndb_tsdb::model::{FieldId, FieldType, TagPredicate, TimeRange, Timestamp};
use firndb_tsdb::{Database, Scan, ScanRequest};

use crate::arrow::{Unit, distinct_names};
use crate::error::{Error, Result};
use crate::exec::{self, Context, Series, SeriesStream};
use crate::plan::{Expr, Fill, GroupTags, OutputColumn, Plan, Source};

pub use days::{Day, days};

/// What leaves.
#[derive(Debug, Clone)]
pub struct Request {
    /// Database.
    pub database: String,
    /// Retention policy; `None`: the default one.
    pub policy: Option<String>,
    /// Measurement.
    pub measurement: String,
    /// Rows in this span.
    pub range: TimeRange,
    /// The present: what has expired by then stays out.
    pub now: Timestamp,
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A Parquet file.
    Parquet,
    /// Comma-separated values with a header.
    Csv,
    /// InfluxDB line protocol, timestamps in nanoseconds.
    LineProtocol,
}

/// What left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows.
    pub rows: u64,
}

/// The columns of a measurement: tags, then fields, each sorted by name.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Keys of tags.
    pub tags: Vec<String>,
    /// Fields.
    pub fields: Vec<(String, FieldType)>,
    /// Output names of tags and fields, all different.
    pub names: Vec<String>,
}

/// Writes what `request` asks for to `out`. Nothing is written before the first row is read, so
/// that an error by then leaves `out` untouched.
pub fn write(
    context: &Context,
    request: &Request,
    format: Format,
    out: impl Write + Send,
) -> Result<Summary> {
    let (shape, stream) = open(context, request)?;
    match format {
        Format::Parquet => {
            let unit = unit(context, request)?;
            parquet::write(context, &shape, unit, stream, out)
        }
        Format::Csv => csv::write(&shape, stream, out),
        Format::LineProtocol => line_protocol::write(&request.measurement, &shape, stream, out),
    }
}

/// Where the files of a whole database go.
pub trait Sink {
    /// A file being written.
    type File: Write + Send;

    /// Makes the file `path` (relative, folders separated by `/`) and the folders above it.
    fn create(&mut self, path: &str) -> std::io::Result<Self::File>;

    /// The file is complete.
    fn finish(&mut self, path: &str, file: Self::File, summary: Summary) -> std::io::Result<()>;
}

/// Writes one Parquet file per measurement and day with rows in `range`; returns the number of
/// rows. A file is made only when it has a row.
pub fn write_hive<S: Sink>(
    context: &Context,
    database: &str,
    policy: Option<&str>,
    range: TimeRange,
    now: Timestamp,
    sink: &mut S,
) -> Result<Summary> {
    let mut total = Summary::default();
    for day in days(context, database, policy, None, range, now)? {
        let request = Request {
            database: database.to_owned(),
            policy: policy.map(str::to_owned),
            measurement: day.measurement.clone(),
            range: day.range,
            now,
        };
        let (shape, stream) = open(context, &request)?;
        let mut stream = stream.peekable();
        if stream.peek().is_none() {
            continue;
        }
        let unit = unit(context, &request)?;
        let path = day.path();
        let mut file = sink.create(&path)?;
        let summary = parquet::write(context, &shape, unit, stream, &mut file)?;
        sink.finish(&path, file, summary)?;
        total.rows += summary.rows;
    }
    Ok(total)
}

fn database(context: &Context, name: &str) -> Result<std::sync::Arc<Database>> {
    context.tsdb.database(name).ok_or_else(|| Error::DatabaseNotFound(name.to_owned()))
}

fn open(context: &Context, request: &Request) -> Result<(Shape, SeriesStream)> {
    let database = database(context, &request.database)?;
    let Some(info) = database.measurement(&request.measurement) else {
        return Err(Error::invalid(format!("measurement not found: {}", request.measurement)));
    };
    let mut fields: Vec<(String, FieldType)> =
        info.fields.iter().map(|field| (field.name.clone(), field.field_type)).collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    let tags = info.tag_keys.clone();
    let all = tags.iter().chain(fields.iter().map(|(name, _)| name)).cloned();
    let shape = Shape { names: distinct_names(all), tags, fields };
    let stream = exec::stream_points(context, &plan(request, &shape))?;
    Ok((shape, stream))
}

/// All tags and fields, a series after the other.
fn plan(request: &Request, shape: &Shape) -> Plan {
    let tag = |key: &String| Expr::Tag(key.clone());
    let field = |(name, _): &(String, FieldType)| Expr::Field(name.clone());
    let exprs = shape.tags.iter().map(tag).chain(shape.fields.iter().map(field));
    let columns = shape.names.iter().cloned().zip(exprs);
    Plan {
        source: Source::Measurement {
            database: request.database.clone(),
            policy: request.policy.clone(),
            measurement: request.measurement.clone(),
        },
        name: request.measurement.clone(),
        tags: TagPredicate::True,
        filter: None,
        range: request.range,
        columns: columns.map(|(name, expr)| OutputColumn { name, expr }).collect(),
        group: GroupTags::All,
        window: None,
        fill: Fill::None,
        descending: false,
        limit: None,
        offset: 0,
        series_limit: None,
        series_offset: 0,
        now: request.now,
    }
}

/// The unit of `time` that all rows fit: a pass over the timestamps alone.
fn unit(context: &Context, request: &Request) -> Result<Unit> {
    let mut unit = Unit::Microsecond;
    each_series(context, request, &[], |scan, series| {
        let mut pieces = scan.series(series)?;
        while let Some(piece) = pieces.next_piece()? {
            context.check()?;
            let found = match piece {
                firndb_tsdb::Piece::Chunk(chunk) => {
                    Unit::of(&chunk.load(&[], request.range)?.timestamps)
                }
                firndb_tsdb::Piece::Rows(rows) => Unit::of(&rows.timestamps),
            };
            if found == Unit::Nanosecond {
                unit = found;
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    Ok(unit)
}

/// Calls `visit` for each series of the measurement until it says no.
fn each_series(
    context: &Context,
    request: &Request,
    fields: &[FieldId],
    mut visit: impl FnMut(&Scan, usize) -> Result<bool>,
) -> Result<()> {
    let database = database(context, &request.database)?;
    let Some(info) = database.measurement(&request.measurement) else { return Ok(()) };
    let series = database.series(Some(&request.measurement), None)?;
    let scan = database.scan(&ScanRequest {
        policy: request.policy.as_deref(),
        measurement: info.id,
        series: &series,
        fields,
        range: request.range,
        descending: false,
        now: request.now,
    })?;
    for index in 0..series.len() {
        if !visit(&scan, index)? {
            break;
        }
    }
    Ok(())
}

/// Rows of a part.
fn rows(part: &Series) -> u64 {
    part.times.len() as u64
}

#[cfg(test)]
mod tests;
