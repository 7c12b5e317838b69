//! `GET /api/v1/retention/plan`: what goes when, of one database (`?db=`) or of all.
//!
//! ```json
//! {"now":"2026-01-31T12:00:00Z","databases":[{"name":"d",
//!   "partitions":[{"policy":"autogen","start":"2026-01-01T00:00:00Z","end":"2026-01-08T00:00:00Z",
//!                  "bytes":4096,"goes_at":"2026-02-07T00:00:00Z","reason":"rule 1","held":false}],
//!   "rules":[{"id":1,"rule":"RETAIN 30d ON d","series":3,"bytes":4096,"expired_bytes":0}]}]}
//! ```
//!
//! `end` is not part of the partition. It goes with the first maintenance at `goes_at` or later;
//! `null`: it stays. `held`: a rollup still has to build from it, and keeps it until then. `bytes`
//! of a rule are those of tables that it means, estimated by numbers of series, and `expired_bytes`
//! those of them that are hidden, or beyond the limit, and still there.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use firndb_tsdb::model::Timestamp;
use firndb_tsdb::{PlannedPartition, PlannedRule, Reason, RetentionPlan};
use serde::Serialize;

use super::QueryState;
use super::rollups::{Answer, answered, blocking, database, parameter, refusal};
use crate::exec::moment;
use crate::influxql::retain;

#[derive(Debug, Serialize)]
struct Told {
    now: String,
    databases: Vec<ToldDatabase>,
}

#[derive(Debug, Serialize)]
struct ToldDatabase {
    name: String,
    partitions: Vec<ToldPartition>,
    rules: Vec<ToldRule>,
}

#[derive(Debug, Serialize)]
struct ToldPartition {
    policy: String,
    start: String,
    end: String,
    bytes: u64,
    goes_at: Option<String>,
    reason: Option<String>,
    held: bool,
}

#[derive(Debug, Serialize)]
struct ToldRule {
    id: u64,
    rule: String,
    series: u64,
    bytes: u64,
    expired_bytes: u64,
}

/// `GET`: the plan.
pub async fn plan(State(state): State<Arc<QueryState>>, request: Request) -> Response {
    let names = match parameter(&request, "db") {
        Ok(_) => database(&state, &request).map(|database| vec![database.name().to_owned()]),
        Err(_) => Ok(state.tsdb.databases()),
    };
    let work = |names: Vec<String>| blocking(move || told(&state, &names));
    answered(match names {
        Ok(names) => work(names).await,
        Err(error) => Err(error),
    })
}

fn told(state: &QueryState, names: &[String]) -> Answer {
    let now = state.clock.unix_ns();
    let mut databases = Vec::with_capacity(names.len());
    for name in names {
        let Some(database) = state.tsdb.database(name) else { continue }; // dropped meanwhile
        let plan = database.retention_plan(now).map_err(refusal)?;
        databases.push(told_database(name, plan));
    }
    Ok(Json(Told { now: moment(now), databases }).into_response())
}

fn told_database(name: &str, plan: RetentionPlan) -> ToldDatabase {
    ToldDatabase {
        name: name.to_owned(),
        partitions: plan.partitions.into_iter().map(told_partition).collect(),
        rules: plan.rules.iter().map(|rule| told_rule(name, rule)).collect(),
    }
}

fn told_partition(partition: PlannedPartition) -> ToldPartition {
    let after = |last: Timestamp| moment(last.saturating_add(1));
    ToldPartition {
        policy: partition.policy,
        start: moment(partition.start),
        end: after(partition.end),
        bytes: partition.bytes,
        goes_at: partition.goes_at.map(moment),
        reason: partition.reason.as_ref().map(reason),
        held: partition.is_held,
    }
}

fn told_rule(database: &str, planned: &PlannedRule) -> ToldRule {
    ToldRule {
        id: planned.rule.id,
        rule: retain::words(&planned.rule, database),
        series: planned.series,
        bytes: planned.bytes,
        expired_bytes: planned.bytes_expired,
    }
}

fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Policy => "policy".to_owned(),
        Reason::Rules(ids) => {
            let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
            let word = if ids.len() == 1 { "rule" } else { "rules" };
            format!("{word} {}", ids.join(", "))
        }
        Reason::Bytes(id) => format!("bytes of rule {id}"),
        Reason::Empty => "empty".to_owned(),
    }
}
