//! `/api/v1/rollups`: rollups of a database without a query language.
//!
//! | request | meaning |
//! |---|---|
//! | `GET ?db=` | `{"rollups":[ROLLUP, ..]}`, sorted by name |
//! | `POST ?db=` with a `ROLLUP` | makes it; answers with it as it is now |
//! | `DELETE ?db=&name=` | drops it and its rows; 204 |
//!
//! ```json
//! {"name":"r","policy":"autogen","measurements":["cpu"],"raw":"7d","dirty":0,
//!  "levels":[{"every":"1m","keep":"90d","built_until":"2026-01-31T00:00:00Z","bytes":4096}]}
//! ```
//!
//! To make one, `levels` with `every` is all that must be there; `measurements` without an element
//! are all, a `keep` that is missing is for ever. `dirty`, `built_until` and `bytes` are of
//! answers.

use std::sync::Arc;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use firndb_tsdb::{Database, Error as TsdbError, RollupLevel, RollupSpec, RollupStatus};
use serde::{Deserialize, Serialize};

use super::QueryState;
use super::error::ErrorAnswer;
use super::request::Pairs;
use crate::exec::moment;
use crate::influxql::duration;

/// Longest description of a rollup.
const BODY_BYTES_MAX: usize = 64 << 10;

/// A rollup as it is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(default)]
    measurements: Vec<String>,
    levels: Vec<ToldLevel>,
    #[serde(default)]
    raw: Option<String>,
    #[serde(default)]
    dirty: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldLevel {
    every: String,
    #[serde(default)]
    keep: Option<String>,
    #[serde(default)]
    built_until: Option<String>,
    #[serde(default)]
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct ToldAll {
    rollups: Vec<Told>,
}

pub(super) type Answer<T = Response> = std::result::Result<T, ErrorAnswer>;

/// `GET`: the rollups of a database.
pub async fn list(State(state): State<Arc<QueryState>>, request: Request) -> Response {
    answered(listed(&state, &request))
}

/// `POST`: makes one.
pub async fn create(State(state): State<Arc<QueryState>>, request: Request) -> Response {
    answered(created(&state, request).await)
}

/// `DELETE`: drops one.
pub async fn remove(State(state): State<Arc<QueryState>>, request: Request) -> Response {
    answered(removed(&state, request).await)
}

pub(super) fn answered(answer: Answer) -> Response {
    answer.unwrap_or_else(IntoResponse::into_response)
}

fn listed(state: &QueryState, request: &Request) -> Answer {
    let status = database(state, request)?.rollup_status().map_err(refusal)?;
    Ok(Json(ToldAll { rollups: status.iter().map(told).collect() }).into_response())
}

async fn created(state: &QueryState, request: Request) -> Answer {
    let database = database(state, &request)?;
    let body = to_bytes(request.into_body(), BODY_BYTES_MAX).await;
    let body = body.map_err(|error| ErrorAnswer::of_body(&error))?;
    let asked: Told = serde_json::from_slice(&body)
        .map_err(|error| ErrorAnswer::bad_request(format!("the body is no rollup: {error}")))?;
    let spec = spec(asked)?;
    blocking(move || {
        let made = database.create_rollup(&spec).map_err(refusal)?;
        let status = database.rollup_status().map_err(refusal)?;
        let now = status.iter().find(|status| status.rollup.name == made.name);
        Ok(match now {
            Some(status) => Json(told(status)).into_response(),
            None => StatusCode::NO_CONTENT.into_response(), // dropped again meanwhile
        })
    })
    .await
}

async fn removed(state: &QueryState, request: Request) -> Answer {
    let database = database(state, &request)?;
    let name = parameter(&request, "name")?;
    blocking(move || {
        database.drop_rollup(&name).map_err(refusal)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// Runs what waits for the disk on a thread that may.
pub(super) async fn blocking(work: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(ErrorAnswer::internal()))
}

pub(super) fn parameter(request: &Request, name: &str) -> Answer<String> {
    let mut pairs = Pairs::default();
    pairs.parse(request.uri().query().unwrap_or_default());
    let found = pairs.0.into_iter().find(|(key, value)| key == name && !value.is_empty());
    let missing = || ErrorAnswer::bad_request(format!("parameter {name:?}: missing"));
    found.map(|(_, value)| value).ok_or_else(missing)
}

pub(super) fn database(state: &QueryState, request: &Request) -> Answer<Arc<Database>> {
    let name = parameter(request, "db")?;
    state.tsdb.database(&name).ok_or_else(|| {
        let text = crate::Error::DatabaseNotFound(name).to_string();
        ErrorAnswer::new(StatusCode::NOT_FOUND, text)
    })
}

pub(super) fn refusal(error: TsdbError) -> ErrorAnswer {
    let text = error.to_string();
    match error {
        TsdbError::RollupNotFound { .. } | TsdbError::PolicyNotFound { .. } => {
            ErrorAnswer::new(StatusCode::NOT_FOUND, text)
        }
        TsdbError::RollupExists => ErrorAnswer::new(StatusCode::CONFLICT, text),
        TsdbError::Invalid { .. } => ErrorAnswer::bad_request(text),
        _ => ErrorAnswer::new(StatusCode::INTERNAL_SERVER_ERROR, text),
    }
}

fn spec(told: Told) -> Answer<RollupSpec> {
    let ns = |name: &str, text: &str| {
        let fault = || ErrorAnswer::bad_request(format!("{name}: {text:?} is no duration"));
        duration::parse_long(text).ok_or_else(fault)
    };
    let kept = |name: &str, text: Option<&String>| text.map(|text| ns(name, text)).transpose();
    let level = |level: &ToldLevel| -> Answer<RollupLevel> {
        let every_ns = ns("every", &level.every)?;
        Ok(RollupLevel { every_ns, keep_ns: kept("keep", level.keep.as_ref())? })
    };
    Ok(RollupSpec {
        levels: told.levels.iter().map(level).collect::<Answer<_>>()?,
        raw_ns: kept("raw", told.raw.as_ref())?,
        name: told.name,
        policy: told.policy,
        measurements: told.measurements,
    })
}

fn told(status: &RollupStatus) -> Told {
    let rollup = &status.rollup;
    let level = |(level, is): (&RollupLevel, &firndb_tsdb::LevelStatus)| ToldLevel {
        every: duration::literal(level.every_ns),
        keep: level.keep_ns.map(duration::literal),
        built_until: is.built_until.map(moment),
        bytes: is.bytes,
    };
    Told {
        name: Some(rollup.name.clone()),
        policy: Some(rollup.policy.clone()),
        measurements: rollup.measurements.clone(),
        levels: rollup.levels.iter().zip(&status.levels).map(level).collect(),
        raw: rollup.raw_ns.map(duration::literal),
        dirty: status.dirty_slots,
    }
}
