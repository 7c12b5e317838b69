//! `DELETE`, `EXPLAIN DELETE` and `SHOW DELETES`, carried out.
//!
//! InfluxDB 1.x deletes by time and tags, in all retention policies. Here fields may be in the
//! condition, a field alone may go, and a policy may be named, before the measurement or as the
//! parameter of the request.

use std::sync::Arc;

use firndb_tsdb::model::RowPredicate;
use firndb_tsdb::{
    Database, DeleteCount, DeleteInfo, DeleteReport, DeleteRequest, DeleteTarget,
    MeasurementFilter, MeasurementInfo,
};

use super::answer::{table, text};
use super::ast::{Delete, Expr, Show};
use super::lower::{Scope, for_measurement, measurements, split};
use crate::error::{Error, Result};
use crate::exec::{Data, RowCondition, Series, Vector, moment};

/// `DELETE`: what each of its parts did. There is a part per retention policy that is named.
pub fn delete(delete: &Delete, scope: &Scope<'_>) -> Result<Vec<DeleteReport>> {
    let (database, requests) = requests(delete, scope)?;
    let done = requests.iter().map(|request| database.delete(request, scope.now));
    Ok(done.collect::<firndb_tsdb::Result<_>>()?)
}

/// What `DELETE` would take.
pub fn count(delete: &Delete, scope: &Scope<'_>) -> Result<DeleteCount> {
    let (database, requests) = requests(delete, scope)?;
    let mut all = DeleteCount::default();
    for request in &requests {
        let count = database.count_matching(request, scope.now)?;
        all.points += count.points;
        all.values += count.values;
        all.series += count.series;
        all.partitions += count.partitions;
    }
    Ok(all)
}

/// `EXPLAIN DELETE`.
pub fn explain(delete: &Delete, scope: &Scope<'_>) -> Result<Vec<Series>> {
    let count = count(delete, scope)?;
    let values = [count.points, count.values, count.series, count.partitions];
    let values = values.map(|number| integers([number])).to_vec();
    Ok(vec![table("", &["points", "values", "series", "partitions"], values)])
}

/// `SHOW DELETES`.
pub fn show(show: &Show, scope: &Scope<'_>) -> Result<Vec<Series>> {
    let deletes = scope.database(show.database.as_deref())?.deletes();
    let column = |of: fn(&DeleteInfo) -> String| text(deletes.iter().map(of));
    let columns = [
        "id",
        "state",
        "policy",
        "series",
        "partitions",
        "partitions_left",
        "bytes_freed",
        "created",
        "done",
        "statement",
    ];
    let values = vec![
        integers(deletes.iter().map(|delete| delete.id)),
        column(|delete| delete.state.name().to_owned()),
        column(|delete| delete.policy.clone().unwrap_or_default()),
        integers(deletes.iter().map(|delete| delete.series)),
        integers(deletes.iter().map(|delete| delete.partitions)),
        integers(deletes.iter().map(|delete| delete.partitions_left)),
        integers(deletes.iter().map(|delete| delete.bytes_freed)),
        column(|delete| moment(delete.created)),
        column(|delete| delete.done.map(moment).unwrap_or_default()),
        column(|delete| delete.statement.clone()),
    ];
    Ok(vec![table("", &columns, values)])
}

fn integers(numbers: impl IntoIterator<Item = u64>) -> Vector {
    Vector::full(Data::Integer(numbers.into_iter().map(|number| number as i64).collect()))
}

/// The requests that a statement is: one per retention policy that it names.
fn requests(delete: &Delete, scope: &Scope<'_>) -> Result<(Arc<Database>, Vec<DeleteRequest>)> {
    let database = scope.database(None)?;
    let (range, condition) = split(delete.deletion.condition.as_ref(), scope.now, None)?;
    let inherited = scope.policy.filter(|policy| !policy.is_empty());
    let mut requests: Vec<DeleteRequest> = Vec::new();
    for (policy, info) in targets(delete, &database)? {
        let policy = policy.or_else(|| inherited.map(str::to_owned));
        let target = target(&info, condition.as_ref())?;
        match requests.iter_mut().find(|request| request.policy == policy) {
            Some(request) => request.targets.push(target),
            None => requests.push(DeleteRequest {
                policy,
                targets: vec![target],
                range,
                fields: (!delete.fields.is_empty()).then(|| delete.fields.clone()),
                statement: delete.text.clone(),
            }),
        }
    }
    Ok((database, requests))
}

/// Measurements that a statement means, each with the retention policy named before it.
fn targets(
    delete: &Delete,
    database: &Database,
) -> Result<Vec<(Option<String>, Arc<MeasurementInfo>)>> {
    let mut targets: Vec<(Option<String>, Arc<MeasurementInfo>)> = Vec::new();
    if delete.deletion.sources.is_empty() {
        let names = database.measurements(&MeasurementFilter::default())?;
        let infos = names.iter().filter_map(|name| database.measurement(name));
        targets.extend(infos.map(|info| (None, info)));
    }
    for source in &delete.deletion.sources {
        if source.database.is_some() {
            return Err(Error::invalid("DELETE takes the database of the request"));
        }
        for info in measurements(database, source)? {
            let is_new = |(policy, other): &(Option<String>, Arc<MeasurementInfo>)| {
                *policy != source.policy || other.id != info.id
            };
            if targets.iter().all(is_new) {
                targets.push((source.policy.clone(), info));
            }
        }
    }
    Ok(targets)
}

fn target(info: &MeasurementInfo, condition: Option<&Expr>) -> Result<DeleteTarget> {
    let (tags, rows) = for_measurement(condition, info)?;
    let rows = rows.map(|rows| RowCondition::new(&rows)).transpose()?;
    Ok(DeleteTarget {
        measurement: info.name.clone(),
        tags: Some(tags),
        rows: rows.map(|rows| Arc::new(rows) as Arc<dyn RowPredicate>),
    })
}
