//! Statements about rollups: made, listed, dropped.

use firndb_tsdb::{RollupLevel, RollupSpec, RollupStatus};

use super::answer::{table, text};
use super::ast::{RollupClauses, RollupStatement};
use super::duration;
use super::lower::Scope;
use crate::error::Result;
use crate::exec::{Data, Series, Vector, moment};

/// Answers a statement about rollups. A rollup that does not exist is dropped with an error.
pub fn rollup(statement: &RollupStatement, scope: &Scope<'_>) -> Result<Vec<Series>> {
    match statement {
        RollupStatement::Create(clauses) => {
            scope.database(Some(&clauses.database))?.create_rollup(&spec(clauses))?;
            Ok(Vec::new())
        }
        RollupStatement::Show { database } => {
            let status = scope.database(database.as_deref())?.rollup_status()?;
            Ok(vec![levels(&status)])
        }
        RollupStatement::Drop { name, database } => {
            scope.database(Some(database))?.drop_rollup(name)?;
            Ok(Vec::new())
        }
    }
}

fn spec(clauses: &RollupClauses) -> RollupSpec {
    let level = |(every_ns, keep_ns): &(i64, Option<i64>)| RollupLevel {
        every_ns: *every_ns,
        keep_ns: *keep_ns,
    };
    RollupSpec {
        name: clauses.name.clone(),
        policy: clauses.policy.clone(),
        measurements: clauses.measurements.clone(),
        levels: clauses.levels.iter().map(level).collect(),
        raw_ns: clauses.raw_ns,
    }
}

/// A row per level: what it is, and how far it is.
fn levels(status: &[RollupStatus]) -> Series {
    let columns =
        ["name", "policy", "measurements", "every", "keep", "raw", "built_until", "dirty", "bytes"];
    let mut texts: [Vec<String>; 7] = Default::default();
    let (mut dirty, mut bytes) = (Vec::new(), Vec::new());
    for of in status {
        for (level, is) in of.rollup.levels.iter().zip(&of.levels) {
            let row = [
                of.rollup.name.clone(),
                of.rollup.policy.clone(),
                of.rollup.measurements.join(","),
                duration::literal(level.every_ns),
                kept(level.keep_ns),
                kept(of.rollup.raw_ns),
                is.built_until.map(moment).unwrap_or_default(),
            ];
            texts.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
            dirty.push(i64::try_from(of.dirty_slots).unwrap_or(i64::MAX));
            bytes.push(i64::try_from(is.bytes).unwrap_or(i64::MAX));
        }
    }
    let mut values: Vec<Vector> = texts.iter().map(text).collect();
    values.extend([dirty, bytes].map(|numbers| Vector::full(Data::Integer(numbers))));
    table("rollups", &columns, values)
}

/// How long something is kept; nothing said: nothing shown.
fn kept(ns: Option<i64>) -> String {
    ns.map(duration::literal).unwrap_or_default()
}
