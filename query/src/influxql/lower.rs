//! A `SELECT` and what the database holds become plans: one per measurement.
//!
//! ```text
//! WHERE     -> span of time | condition on tags | filter of rows    condition.rs
//! GROUP BY  -> windows of time | tags                               dimensions.rs
//! SELECT    -> checks of the calls, as InfluxDB 1.x words them      check.rs
//!           -> wildcards and patterns become columns, with names    columns.rs
//!           -> expressions of the plan                              expression.rs
//! ```
//!
//! Checks come in the order of InfluxDB 1.x, so that a statement with several faults is refused
//! for the same one.

mod check;
mod columns;
mod condition;
mod dimensions;
mod expression;

use std::sync::Arc;

use chrono_tz::Tz;
use firndb_engine::budget::{Reservation, Share};
use firndb_tsdb::model::{FieldType, Timestamp};
use firndb_tsdb::{Database, MeasurementFilter, MeasurementInfo, NameFilter, Tsdb};

use super::ast::{self, Measurement, Name, Select, Source};
use crate::error::{Error, Result};
use crate::plan::{self, Literal, Plan};

pub use condition::{asks_time, for_measurement, split, tag_condition, without_time};

/// Where names without a database are looked up, and when.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The databases.
    pub tsdb: &'a Tsdb,
    /// The request's database.
    pub database: Option<&'a str>,
    /// The request's retention policy.
    pub policy: Option<&'a str>,
    /// The moment that `now()` stands for.
    pub now: Timestamp,
}

impl Scope<'_> {
    /// The database of this name, or the request's.
    pub fn database(&self, name: Option<&str>) -> Result<Arc<Database>> {
        let name = name.or(self.database).filter(|n| !n.is_empty());
        let name = name.ok_or(Error::DatabaseRequired)?;
        self.tsdb.database(name).ok_or_else(|| Error::DatabaseNotFound(name.to_string()))
    }
}

/// A query ready to run.
#[derive(Debug)]
pub struct Query {
    /// A plan per measurement, by name.
    pub plans: Vec<Plan>,
    /// Name of the time column.
    pub time_column: String,
    /// Zone in which times are written.
    pub zone: Option<Tz>,
    /// For the plans.
    pub held: Reservation,
}

/// What a column of a plan takes: its name and its bound expression.
const COLUMN_BYTES: u64 = 256;

/// A measurement that a query reads.
struct Target {
    database: String,
    policy: Option<String>,
    info: Arc<MeasurementInfo>,
}

/// Lowers a query.
pub fn lower(select: &Select, scope: &Scope<'_>) -> Result<Query> {
    if select.into.is_some() {
        return Err(Error::Unsupported("SELECT ... INTO".into()));
    }
    let (range, condition) = condition::split(select.condition.as_ref(), scope.now, select.tz)?;
    let dimensions = dimensions::read(&select.dimensions, scope.now)?;
    check::select(select, dimensions.window.is_some())?;
    let targets = targets(&select.sources, scope)?;
    let group = dimensions.group(&targets);
    let columns = columns::expand(&select.fields, &targets, &group)?;
    // A wildcard gives every measurement the columns of all of them.
    let needed_bytes = (targets.len() as u64 * columns.count() as u64).saturating_mul(COLUMN_BYTES);
    let budget = &scope.tsdb.store().options().budget;
    let held = budget.try_reserve(Share::Queries, needed_bytes);
    let held = held.ok_or(Error::Memory { needed_bytes })?;
    let mut plans = Vec::with_capacity(targets.len());
    for target in targets {
        let mut resolver = expression::Resolver::new(&target.info, dimensions.window.as_ref());
        let outputs = columns.outputs(&mut resolver)?;
        if !resolver.read_a_field() {
            continue; // tags and unknown names alone have no rows
        }
        let (tags, filter) = condition::for_measurement(condition.as_ref(), &target.info)?;
        plans.push(Plan {
            source: plan::Source::Measurement {
                database: target.database,
                policy: target.policy,
                measurement: target.info.name.clone(),
            },
            name: target.info.name.clone(),
            tags,
            filter,
            range,
            columns: outputs,
            group: group.clone(),
            window: dimensions.window_in(select.tz),
            fill: fill(select.fill),
            descending: select.descending,
            limit: select.limit,
            offset: select.offset.unwrap_or(0),
            series_limit: select.slimit,
            series_offset: select.soffset.unwrap_or(0),
            now: scope.now,
        });
    }
    Ok(Query { plans, time_column: columns.time, zone: select.tz, held })
}

fn fill(fill: ast::Fill) -> plan::Fill {
    match fill {
        ast::Fill::Null => plan::Fill::Null,
        ast::Fill::None => plan::Fill::None,
        ast::Fill::Previous => plan::Fill::Previous,
        ast::Fill::Linear => plan::Fill::Linear,
        ast::Fill::Float(number) => plan::Fill::Value(Literal::Float(number)),
        ast::Fill::Integer(number) => plan::Fill::Value(Literal::Integer(number)),
    }
}

/// The known measurements among `sources`, each once, by name.
fn targets(sources: &[Source], scope: &Scope<'_>) -> Result<Vec<Target>> {
    let mut targets: Vec<Target> = Vec::new();
    for source in sources {
        let Source::Measurement(source) = source else {
            return Err(Error::Unsupported("a sub-query in FROM".into()));
        };
        let database = scope.database(source.database.as_deref())?;
        let inherited = scope.policy.filter(|p| source.database.is_none() && !p.is_empty());
        let policy = source.policy.as_deref().or(inherited);
        if policy.is_some() {
            database.policy(policy)?;
        }
        for info in measurements(&database, source)? {
            targets.push(Target {
                database: database.name().to_string(),
                policy: policy.map(str::to_string),
                info,
            });
        }
    }
    let key = |t: &Target| (t.info.name.clone(), t.database.clone(), t.policy.clone());
    if targets.len() > 1 {
        targets.sort_by_key(key);
        targets.dedup_by_key(|t| key(t));
    }
    Ok(targets)
}

/// The known measurements that `source` names.
pub fn measurements(
    database: &Database,
    source: &Measurement,
) -> Result<Vec<Arc<MeasurementInfo>>> {
    match &source.name {
        Name::Is(name) => Ok(database.measurement(name).into_iter().collect()),
        Name::Matches(regex) => {
            let name = Some(NameFilter::Matches(regex.clone()));
            let names = database.measurements(&MeasurementFilter { name, tags: None })?;
            Ok(names.iter().filter_map(|name| database.measurement(name)).collect())
        }
    }
}

/// What a name without `::` is in a measurement.
fn field_type(info: &MeasurementInfo, name: &str) -> Option<FieldType> {
    info.field(name).map(|field| field.field_type)
}
