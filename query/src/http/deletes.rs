//! Deletes over HTTP.
//!
//! | request | answer |
//! |---|---|
//! | `POST /api/v1/delete?db=&q=DELETE ..` | `{"dry_run":false,"deletes":[{"id":1,"series":2,"partitions":3}]}` |
//! | the same with `dry_run=true`, or `EXPLAIN DELETE ..` | `{"dry_run":true,"points":8,"values":9,"series":2,"partitions":3}` |
//! | `GET /api/v1/deletes?db=` | `{"deletes":[{"id":1,"state":"purging","partitions_left":3, ..}]}` |
//! | `POST /api/v2/delete?bucket=db[/rp]` with `{"start":..,"stop":..,"predicate":..}` | 204 |
//!
//! `q` may be in a form, as that of `/query`; `dry_run` is in the URL. A delete that met nothing is
//! not in the list. Errors of v2 have its form; its `stop` is the first moment that stays.

use std::sync::Arc;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use firndb_tsdb::model::{TagPredicate, TimeRange, Timestamp};
use firndb_tsdb::{Database, DeleteRequest, DeleteTarget, MeasurementFilter};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ErrorAnswer;
use super::request::Pairs;
use super::{QueryState, files, predicate, request};
use crate::error::Error;
use crate::exec::moment;
use crate::influxql::{self, Scope, Statement, delete};

/// Longest body of a delete of v2.
const BODY_BYTES_MAX: usize = 64 << 10;

const X_PLATFORM_ERROR_CODE: HeaderName = HeaderName::from_static("x-platform-error-code");

type Answer<T = Response> = std::result::Result<T, ErrorAnswer>;

/// `POST /api/v1/delete`.
pub async fn delete(State(state): State<Arc<QueryState>>, request: Request) -> Response {
    deleted(state, request).await.unwrap_or_else(IntoResponse::into_response)
}

/// `GET /api/v1/deletes`.
pub async fn list(State(state): State<Arc<QueryState>>, request: Request) -> Response {
    listed(&state, &request).unwrap_or_else(IntoResponse::into_response)
}

/// `POST /api/v2/delete`.
pub async fn delete_v2(State(state): State<Arc<QueryState>>, request: Request) -> Response {
    match deleted_v2(state, request).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => v2(&error),
    }
}

fn parameter(request: &Request, name: &str) -> Option<String> {
    let mut pairs = Pairs::default();
    pairs.parse(request.uri().query().unwrap_or_default());
    let found = pairs.0.into_iter().find(|(key, value)| key == name && !value.is_empty());
    found.map(|(_, value)| value)
}

/// Runs what waits for the disk on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Answer<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ErrorAnswer::internal())?.map_err(refusal)
}

/// The answer to a delete that was refused.
fn refusal(error: Error) -> ErrorAnswer {
    use firndb_tsdb::Error as TsdbError;
    let text = error.to_string();
    match &error {
        Error::Tsdb(TsdbError::Limit { .. } | TsdbError::Invalid { .. }) => {
            ErrorAnswer::new(StatusCode::UNPROCESSABLE_ENTITY, text)
        }
        Error::Tsdb(TsdbError::Engine(firndb_engine::Error::Busy { .. })) => {
            ErrorAnswer::new(StatusCode::SERVICE_UNAVAILABLE, text)
        }
        _ => files::refusal(error),
    }
}

async fn deleted(state: Arc<QueryState>, request: Request) -> Answer {
    let asked = parameter(&request, "dry_run");
    let asked = asked.is_some_and(|value| matches!(value.as_str(), "true" | "1"));
    let request = request::read(request, &state).await?;
    let statements = influxql::parse(&request.text, &request.params)
        .map_err(|error| ErrorAnswer::bad_request(Error::Parse(error).to_string()))?;
    let (statement, dry_run) = match &statements[..] {
        [(Statement::Delete(statement), _)] => (statement.clone(), asked),
        [(Statement::ExplainDelete(statement), _)] => (statement.clone(), true),
        _ => return Err(ErrorAnswer::bad_request("q must be one DELETE statement")),
    };
    let answer = blocking(move || {
        let scope = Scope {
            tsdb: &state.tsdb,
            database: request.database.as_deref(),
            policy: request.policy.as_deref(),
            now: state.clock.unix_ns(),
        };
        if dry_run {
            let count = delete::count(&statement, &scope)?;
            return Ok(json!({
                "dry_run": true,
                "points": count.points,
                "values": count.values,
                "series": count.series,
                "partitions": count.partitions,
            }));
        }
        let made = delete::delete(&statement, &scope)?;
        let made = made.iter().filter(|report| report.id.is_some()).map(|report| {
            json!({"id": report.id, "series": report.series, "partitions": report.partitions})
        });
        Ok(json!({"dry_run": false, "deletes": made.collect::<Vec<Value>>()}))
    });
    Ok(Json(answer.await?).into_response())
}

fn listed(state: &QueryState, request: &Request) -> Answer {
    let name = parameter(request, "db")
        .ok_or_else(|| ErrorAnswer::bad_request("parameter \"db\": missing"))?;
    let database = state.tsdb.database(&name);
    let database = database.ok_or_else(|| refusal(Error::DatabaseNotFound(name)))?;
    let told = database.deletes().into_iter().map(|delete| {
        json!({
            "id": delete.id,
            "statement": delete.statement,
            "policy": delete.policy,
            "state": delete.state.name(),
            "series": delete.series,
            "partitions": delete.partitions,
            "partitions_left": delete.partitions_left,
            "bytes_freed": delete.bytes_freed,
            "created": moment(delete.created),
            "done": delete.done.map(moment),
        })
    });
    Ok(Json(json!({"deletes": told.collect::<Vec<Value>>()})).into_response())
}

/// The body of a delete of v2.
#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default)]
    start: String,
    #[serde(default)]
    stop: String,
    #[serde(default)]
    predicate: String,
}

async fn deleted_v2(state: Arc<QueryState>, request: Request) -> Answer<()> {
    let bucket = parameter(&request, "bucket").unwrap_or_default();
    let (name, policy) = bucket.split_once('/').unwrap_or((&bucket, ""));
    if name.is_empty() {
        return Err(ErrorAnswer::bad_request("bucket not found"));
    }
    let missing =
        || ErrorAnswer::new(StatusCode::NOT_FOUND, format!("bucket \"{bucket}\" not found"));
    let database = state.tsdb.database(name).ok_or_else(missing)?;
    let policy = (!policy.is_empty()).then(|| policy.to_owned());
    if policy.is_some() && database.policy(policy.as_deref()).is_err() {
        return Err(missing());
    }
    let body = to_bytes(request.into_body(), BODY_BYTES_MAX).await;
    let body = body.map_err(|error| ErrorAnswer::of_body(&error))?;
    let invalid = |reason: String| {
        ErrorAnswer::bad_request(format!("invalid request; error parsing request json: {reason}"))
    };
    let body: Body = serde_json::from_slice(&body).map_err(|error| invalid(error.to_string()))?;
    let start = rfc3339("start", &body.start).map_err(invalid)?;
    let stop = rfc3339("stop", &body.stop).map_err(invalid)?;
    let predicate = predicate::parse(&body.predicate).map_err(invalid)?;
    let range = TimeRange::new(start, stop.saturating_sub(1));
    let words = format!("from {} to {}: {}", body.start, body.stop, body.predicate);
    let now = state.clock.unix_ns();
    blocking(move || {
        let request = request_v2(&database, policy, range, &predicate, words)?;
        database.delete(&request, now)?;
        Ok(())
    })
    .await
}

fn request_v2(
    database: &Database,
    policy: Option<String>,
    range: TimeRange,
    predicate: &predicate::Predicate,
    statement: String,
) -> Result<DeleteRequest, Error> {
    let names = database.measurements(&MeasurementFilter::default())?;
    let target = |measurement: String| DeleteTarget {
        measurement,
        tags: Some(TagPredicate::And(predicate.tags.clone())),
        rows: None,
    };
    // A row has one `_field` only, as v2 sees rows: of two nothing is meant.
    let is_possible = predicate.fields.windows(2).all(|pair| pair[0] == pair[1]);
    let meant = names.into_iter().filter(|name| is_possible && predicate.is_of(name));
    Ok(DeleteRequest {
        policy,
        targets: meant.map(target).collect(),
        range,
        fields: (!predicate.fields.is_empty()).then(|| predicate.fields.clone()),
        statement,
    })
}

fn rfc3339(name: &str, text: &str) -> Result<Timestamp, String> {
    let time = chrono::DateTime::parse_from_rfc3339(text).map_err(|_| {
        format!(
            "invalid RFC3339Nano for field {name}, please format your time with RFC3339Nano \
             format, example: 2009-01-02T23:00:00Z"
        )
    })?;
    // What is out of range is past the earliest or latest point there can be.
    let early = if time.timestamp() < 0 { i64::MIN } else { i64::MAX };
    Ok(time.timestamp_nanos_opt().unwrap_or(early))
}

/// An error in the form of v2.
fn v2(error: &ErrorAnswer) -> Response {
    let code = match error.status().as_u16() {
        400 | 408 => "invalid",
        404 => "not found",
        413 => "request too large",
        422 => "unprocessable entity",
        503 => "unavailable",
        _ => "internal error",
    };
    let body = Json(json!({"code": code, "message": error.text()}));
    let mut response = (error.status(), body).into_response();
    response.headers_mut().insert(X_PLATFORM_ERROR_CODE, HeaderValue::from_static(code));
    if error.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
