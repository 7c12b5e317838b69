//! Statements that change databases, retention policies and series.

use firndb_tsdb::model::TagPredicate;
use firndb_tsdb::{Database, PolicyChange, PolicySpec};

use super::ast::{Deletion, Name, PolicyClauses, Statement};
use super::lower::{Scope, asks_time, measurements, tag_condition};
use super::{delete, retain};
use crate::error::{Error, Result};

/// Makes the change. What does not exist is dropped without a word, as 1.x does.
pub fn change(statement: &Statement, scope: &Scope<'_>) -> Result<()> {
    match statement {
        Statement::CreateDatabase { name, policy } => {
            let spec = policy.as_ref().map(|clauses| PolicySpec {
                name: clauses.name.clone(),
                is_default: true,
                ..spec(None, clauses)
            });
            scope.tsdb.create_database(name, spec)?;
        }
        Statement::DropDatabase { name } => ignore_missing(scope.tsdb.drop_database(name))?,
        Statement::CreatePolicy { name, database, clauses } => {
            let database = scope.database(Some(database))?;
            database.create_policy(&spec(Some(name), clauses))?;
        }
        Statement::AlterPolicy { name, database, clauses } => {
            let change = PolicyChange {
                duration_ns: clauses.duration_ns,
                shard_duration_ns: clauses.shard_duration_ns,
                replication: clauses.replication,
                make_default: clauses.is_default,
            };
            scope.database(Some(database))?.alter_policy(name, &change)?;
        }
        Statement::DropPolicy { name, database } => {
            if let Some(database) = scope.tsdb.database(database) {
                ignore_missing(database.drop_policy(name))?;
            }
        }
        Statement::DropMeasurement { name } => {
            scope.database(None)?.drop_measurement(name)?;
        }
        Statement::DropSeries(deletion) => {
            if deletion.condition.as_ref().is_some_and(asks_time) {
                let text = "DROP SERIES doesn't support time in WHERE clause";
                return Err(Error::invalid(text));
            }
            drop_series(deletion, scope)?;
        }
        Statement::Delete(deleted) => _ = delete::delete(deleted, scope)?,
        Statement::DropRule { id, database } => retain::drop(*id, database, scope)?,
        Statement::Select(_)
        | Statement::Explain { .. }
        | Statement::ExplainDelete(_)
        | Statement::Show(_)
        | Statement::Rollup(_)
        | Statement::Retain(_)
        | Statement::Unsupported(_) => {}
    }
    Ok(())
}

fn spec(name: Option<&str>, clauses: &PolicyClauses) -> PolicySpec {
    PolicySpec {
        name: name.map(str::to_string),
        duration_ns: clauses.duration_ns,
        shard_duration_ns: clauses.shard_duration_ns,
        replication: clauses.replication,
        is_default: clauses.is_default,
    }
}

fn ignore_missing(result: firndb_tsdb::Result<()>) -> Result<()> {
    use firndb_tsdb::Error::{DatabaseNotFound, PolicyNotFound};
    match result {
        Err(DatabaseNotFound { .. } | PolicyNotFound { .. }) => Ok(()),
        result => Ok(result?),
    }
}

fn drop_series(deletion: &Deletion, scope: &Scope<'_>) -> Result<()> {
    let database = scope.database(None)?;
    let tags = tag_condition(deletion.condition.as_ref()).map_err(|_| {
        let text = "fields not supported in WHERE clause during deletion";
        Error::invalid(text)
    })?;
    if deletion.sources.is_empty() {
        return drop_from(&database, None, tags.as_ref());
    }
    for source in &deletion.sources {
        if source.database.is_some() || source.policy.is_some() {
            return Err(Error::invalid("retention policy not supported"));
        }
        match &source.name {
            Name::Is(name) => drop_from(&database, Some(name), tags.as_ref())?,
            Name::Matches(_) => {
                for info in measurements(&database, source)? {
                    drop_from(&database, Some(&info.name), tags.as_ref())?;
                }
            }
        }
    }
    Ok(())
}

fn drop_from(
    database: &Database,
    measurement: Option<&str>,
    tags: Option<&TagPredicate>,
) -> Result<()> {
    if measurement.is_some_and(|name| database.measurement(name).is_none()) {
        return Ok(());
    }
    database.drop_series(measurement, tags)?;
    Ok(())
}
