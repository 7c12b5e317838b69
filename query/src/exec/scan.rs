//! A plan over a stored measurement: its series, their tags, its schema, and what is pinned.

use firndb_engine::budget::Reservation;
use firndb_tsdb::model::{SeriesId, TagSet};
use firndb_tsdb::{Database, FieldInfo, MeasurementInfo};

use super::context::Context;
use super::division::{Division, Target, Use};
use super::resolve::{Resolved, Schema, SourceField};
use super::shared::{Shared, grow, needs_tags, reserve};
use super::source::StoreInput;
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
    what: Use,
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
    let mut held = reserve(&context.means(), 0)?;
    let tags = match needs_tags(plan, &resolved) {
        true => tags(context, &database, &series, &mut held)?,
        false => Vec::new(),
    };
    let range = windowed::ranges(plan, &resolved).0;
    let target = Target { database: &database, policy, measurement };
    let mut input = StoreInput::pin(target, (info.id, &series), plan, &resolved, range, what)?;
    input.tags_held = Some(held);
    let warnings = input.warnings.clone();
    let (means, plan, input) = (context.means(), plan.clone(), Box::new(input));
    let shared = Shared::new(means, plan, resolved, input, tags, series.len(), &schema.tags);
    Ok(SeriesStream::new(shared, warnings))
}

/// What would answer `plan`, which is over a stored measurement.
pub fn division(
    context: &Context,
    plan: &Plan,
    database: &str,
    policy: Option<&str>,
    measurement: &str,
) -> Result<Option<Division>> {
    let Some(database) = context.tsdb.database(database) else {
        return Err(Error::DatabaseNotFound(database.to_owned()));
    };
    let Some(info) = database.measurement(measurement) else { return Ok(None) };
    let resolved = Resolved::new(plan, &schema(&info))?;
    let range = windowed::ranges(plan, &resolved).0;
    let target = Target { database: &database, policy, measurement };
    Division::new(target, plan, &resolved, range).map(Some)
}

fn schema(info: &MeasurementInfo) -> Schema {
    let field = |field: &FieldInfo| SourceField {
        name: field.name.clone(),
        id: field.id,
        field_type: field.field_type,
    };
    Schema { fields: info.fields.iter().map(field).collect(), tags: info.tag_keys.clone() }
}

/// The tags of all series; what they take, and the groups made of them, is added to `held`.
fn tags(
    context: &Context,
    database: &Database,
    series: &[SeriesId],
    held: &mut Reservation,
) -> Result<Vec<TagSet>> {
    let mut tags = Vec::with_capacity(series.len());
    let mut bytes = 0;
    for (at, series) in series.iter().enumerate() {
        if at % 1024 == 0 {
            context.check()?;
            grow(held, bytes)?;
        }
        // A series dropped since it was listed has no tags, and no rows either.
        let of_series = database.series_key(*series)?.map(|(_, tags)| tags).unwrap_or_default();
        let texts = of_series.iter().map(|(key, value)| key.len() + value.len() + TAG_BYTES);
        bytes += (2 * texts.sum::<usize>() + TAG_BYTES) as u64;
        tags.push(of_series);
    }
    grow(held, bytes)?;
    Ok(tags)
}

/// What a tag takes beside its texts.
const TAG_BYTES: usize = 80;
