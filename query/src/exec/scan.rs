//! The store as an input: plan to series, tags and schema, and pieces of a [`Scan`].

use firndb_tsdb::chunk::Stats;
use firndb_tsdb::model::{Columns, FieldId, SeriesId, TagSet, TimeRange};
use firndb_tsdb::{
    ChunkPiece, Database, FieldInfo, MeasurementInfo, Scan, ScanRequest, SeriesScan,
};

use super::context::Context;
use super::input::{Chunk, Input, Piece, Pieces};
use super::resolve::{Resolved, Schema, SourceField};
use super::shared::{Shared, needs_tags};
use super::stream::SeriesStream;
use super::windowed;
use crate::error::{Error, Result};
use crate::plan::Plan;

/// Starts `plan` over a stored measurement.
pub fn start(
    context: &Context,
    plan: &Plan,
    database: &str,
    policy: Option<&str>,
    measurement: &str,
) -> Result<SeriesStream> {
    let Some(database) = context.tsdb.database(database) else {
        return Err(Error::DatabaseNotFound(database.to_owned()));
    };
    if let Some(policy) = policy {
        database.policy(Some(policy))?;
    }
    let Some(info) = database.measurement(measurement) else { return Ok(SeriesStream::empty()) };
    let schema = schema(&info);
    let resolved = Resolved::new(plan, &schema)?;
    let series = database.series(Some(measurement), Some(&plan.tags))?;
    let limit = context.limits.series_max;
    if limit > 0 && series.len() as u64 > limit {
        return Err(Error::Limit { name: "max-select-series", found: series.len() as u64, limit });
    }
    if series.is_empty() {
        return Ok(SeriesStream::empty());
    }
    let tags = match needs_tags(plan, &resolved) {
        true => tags(context, &database, &series)?,
        false => Vec::new(),
    };
    let fields: Vec<FieldId> = resolved.fields.iter().map(|field| field.id).collect();
    let scan = database.scan(&ScanRequest {
        policy,
        measurement: info.id,
        series: &series,
        fields: &fields,
        range: windowed::ranges(plan, &resolved).0,
        descending: plan.descending,
        now: plan.now,
    })?;
    let input = Box::new(StoreInput { scan });
    let (means, plan) = (context.means(), plan.clone());
    let shared = Shared::new(means, plan, resolved, input, tags, series.len(), &schema.tags);
    Ok(SeriesStream::new(shared))
}

fn schema(info: &MeasurementInfo) -> Schema {
    let field = |field: &FieldInfo| SourceField {
        name: field.name.clone(),
        id: field.id,
        field_type: field.field_type,
    };
    Schema { fields: info.fields.iter().map(field).collect(), tags: info.tag_keys.clone() }
}

fn tags(context: &Context, database: &Database, series: &[SeriesId]) -> Result<Vec<TagSet>> {
    let mut tags = Vec::with_capacity(series.len());
    for (at, series) in series.iter().enumerate() {
        if at % 1024 == 0 {
            context.check()?;
        }
        // A series dropped since it was listed has no tags, and no rows either.
        tags.push(database.series_key(*series)?.map(|(_, tags)| tags).unwrap_or_default());
    }
    Ok(tags)
}

/// A pinned scan.
struct StoreInput {
    scan: Scan,
}

struct StorePieces<'a>(SeriesScan<'a>);

struct StoreChunk(ChunkPiece);

impl Input for StoreInput {
    fn pieces(
        &self,
        series: usize,
        range: TimeRange,
        descending: bool,
    ) -> Result<Box<dyn Pieces + '_>> {
        Ok(Box::new(StorePieces(self.scan.series_in(series, range, descending)?)))
    }
}

impl Pieces for StorePieces<'_> {
    fn next_piece(&mut self) -> Result<Option<Piece<'_>>> {
        Ok(self.0.next_piece()?.map(|piece| match piece {
            firndb_tsdb::Piece::Chunk(chunk) => Piece::Chunk(Box::new(StoreChunk(chunk))),
            firndb_tsdb::Piece::Rows(rows) => Piece::Rows(rows),
        }))
    }
}

impl Chunk for StoreChunk {
    fn time_range(&self) -> TimeRange {
        self.0.time_range()
    }
    fn rows(&self) -> usize {
        self.0.rows()
    }
    fn count(&self, field: usize) -> usize {
        self.0.count(field)
    }
    fn stats(&self, field: usize) -> Option<&Stats> {
        self.0.stats(field)
    }
    fn load(&self, fields: &[usize], range: TimeRange) -> Result<Columns> {
        Ok(self.0.load(fields, range)?)
    }
}
