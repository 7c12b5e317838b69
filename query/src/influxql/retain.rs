//! Statements about retention rules, carried out.

use firndb_tsdb::{RetentionRule, RuleKind, RuleScope};

use super::answer::{table, text};
use super::ast::{Keep, Quoted, Retain, Show};
use super::duration;
use super::lower::{Scope, asks_time, tag_condition};
use crate::error::{Error, Result};
use crate::exec::{Data, Series, Vector};

/// `RETAIN`: adds a rule, or changes the one about the same points; answers its number.
pub fn retain(retain: &Retain, scope: &Scope<'_>) -> Result<Vec<Series>> {
    let database = scope.database(Some(&retain.database))?;
    if retain.condition.as_ref().is_some_and(asks_time) {
        return Err(Error::invalid("RETAIN doesn't support time in WHERE clause"));
    }
    let rule = RuleScope {
        policy: retain.policy.clone(),
        measurement: retain.measurement.clone(),
        tags: tag_condition(retain.condition.as_ref())?,
    };
    let kind = match retain.keep {
        Keep::For(ns) => RuleKind::Age(ns),
        Keep::Bytes(bytes) => RuleKind::DiskBytes(bytes),
    };
    let rule = database.add_retention_rule(rule, kind)?;
    Ok(vec![table("", &["id"], vec![numbers([&rule])])])
}

/// `DROP RETENTION RULE`.
pub fn drop(id: u64, database: &str, scope: &Scope<'_>) -> Result<()> {
    Ok(scope.database(Some(database))?.drop_retention_rule(id)?)
}

/// `SHOW RETENTION RULES`.
pub fn show(show: &Show, scope: &Scope<'_>) -> Result<Vec<Series>> {
    let rules = scope.database(show.database.as_deref())?.retention_rules();
    let column = |of: fn(&RetentionRule) -> String| text(rules.iter().map(of));
    let columns = ["id", "policy", "measurement", "condition", "duration", "bytes"];
    let values = vec![
        numbers(&rules),
        column(|rule| rule.scope.policy.clone().unwrap_or_default()),
        column(|rule| rule.scope.measurement.clone().unwrap_or_default()),
        column(|rule| rule.scope.tags.as_ref().map(ToString::to_string).unwrap_or_default()),
        column(|rule| match rule.kind {
            RuleKind::Age(ns) => duration::hours(ns),
            RuleKind::DiskBytes(_) => String::new(),
        }),
        column(|rule| match rule.kind {
            RuleKind::Age(_) => String::new(),
            RuleKind::DiskBytes(bytes) => bytes.to_string(),
        }),
    ];
    Ok(vec![table("", &columns, values)])
}

/// A rule as the statement that would make it.
pub fn words(rule: &RetentionRule, database: &str) -> String {
    let mut words = match rule.kind {
        RuleKind::Age(ns) => format!("RETAIN {}", duration::literal(ns)),
        RuleKind::DiskBytes(bytes) => format!("RETAIN {bytes}B"),
    };
    words += &format!(" ON {}", Quoted(database));
    let scope = &rule.scope;
    if let Some(policy) = &scope.policy {
        words += &format!(".{}", Quoted(policy));
    }
    if let Some(measurement) = &scope.measurement {
        words += &format!(" FROM {}", Quoted(measurement));
    }
    if let Some(tags) = &scope.tags {
        words += &format!(" WHERE {tags}");
    }
    words
}

fn numbers<'r>(rules: impl IntoIterator<Item = &'r RetentionRule>) -> Vector {
    Vector::full(Data::Integer(rules.into_iter().map(|rule| rule.id as i64).collect()))
}
