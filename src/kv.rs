//! Keys and values over HTTP: the engine's own store, beside the databases.
//!
//! ```text
//! PUT|GET|DELETE /kv/{keyspace}/{key}     key percent-encoded, any bytes; value: the body
//! GET  /kv/{keyspace}?prefix=&start=&end=&limit=&cursor=     entries in key order, in pages
//! POST /kv/{keyspace}/_batch              {"operations":[{"op":"put","key":K,"value":V},..]}
//! ```
//!
//! `PUT ..?ttl=60s`, or the header `X-TTL`, lets the value go by itself after that time.
//!
//! A value has a tag (`ETag`), which every write changes; `If-Match` and `If-None-Match` make a
//! request depend on it ([`condition`]).
//!
//! In JSON a key is percent-encoded text, as it would stand in a URL, and a value is base64, so
//! that both carry any bytes. A batch is atomic. `end` is exclusive; a page ends with a `cursor`
//! when there may be more. A keyspace comes into being with its first write.

mod batch;
mod condition;
mod page;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use firndb::engine::budget::Budget;
use firndb::engine::clock::Clock;
use firndb::engine::expiry::now_ms;
use firndb::engine::histogram::Histogram;
use firndb::engine::store::Store;
use firndb::ingest::body::{self, Limits};
use firndb::ingest::http::error::ErrorAnswer;
use firndb::{engine, tsdb};
use percent_encoding::percent_decode_str;

use self::condition::{Condition, Version, failed_condition, tag_header, version_at};
use self::write::{Change, write};
use crate::config::value::duration_ns;

/// How long a value lives, where the parameter `ttl` does not say it.
const X_TTL: HeaderName = HeaderName::from_static("x-ttl");

/// The operations, in metric order.
pub const OPERATIONS: [&str; 5] = ["get", "put", "delete", "scan", "batch"];
const GET: usize = 0;
const PUT: usize = 1;
const DELETE: usize = 2;
const SCAN: usize = 3;
const BATCH: usize = 4;

/// Counters of one operation.
#[derive(Debug, Default)]
pub struct OperationMetrics {
    /// Time inside the engine, in nanoseconds; its count is that of all operations.
    pub ns: Histogram,
    /// Operations that were refused or failed.
    pub failed: AtomicU64,
}

/// Counters by operation, in the order of [`OPERATIONS`].
pub type KvMetrics = [OperationMetrics; OPERATIONS.len()];

/// What the handlers need.
#[derive(Debug, Clone)]
pub struct KvState {
    /// For durations.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub metrics: Arc<KvMetrics>,
    /// The store below the databases.
    pub store: Store,
    /// Memory of request bodies.
    pub budget: Budget,
    /// Largest bodies.
    pub limits: Limits,
}

type Shared = State<Arc<KvState>>;
type Answer = Result<Response, ErrorAnswer>;

/// The routes.
pub fn routes(state: KvState) -> Router {
    let entry = || -> MethodRouter<Arc<KvState>> { get(read).put(put).delete(remove) };
    Router::new()
        .route("/kv/{keyspace}", get(page::list))
        .route("/kv/{keyspace}/_batch", entry().merge(post(batch::batch)))
        .route("/kv/{keyspace}/{*key}", entry())
        .with_state(Arc::new(state))
}

/// Keyspace and key of `/kv/{keyspace}/{key}`, from the raw path: a key may hold any bytes.
fn entry_of(uri: &Uri) -> Result<(String, Vec<u8>), ErrorAnswer> {
    let rest = uri.path().strip_prefix("/kv/").unwrap_or_default();
    let (keyspace, key) = rest.split_once('/').unwrap_or((rest, ""));
    let name = percent_decode_str(keyspace).decode_utf8();
    let name = name.map_err(|_| bad("the name of a keyspace is UTF-8"))?;
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Err(bad("the name of a keyspace has 1 to 255 bytes, none of them control"));
    }
    Ok((format!("kv/{name}"), percent_decode_str(key).collect()))
}

/// When a value goes that is put now, if it says so; the parameter counts before the header.
fn expiry(query: &str, headers: &HeaderMap, clock: &dyn Clock) -> Result<Option<u64>, ErrorAnswer> {
    let mut ttl = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("ttl", text)) => ttl = Some(percent_decode_str(text).decode_utf8_lossy()),
            _ => return Err(bad(format!("unknown parameter {pair:?}"))),
        }
    }
    if let Some(text) = headers.get(&X_TTL).filter(|_| ttl.is_none()) {
        ttl = Some(text.to_str().map_err(|_| bad("X-TTL is not text"))?.into());
    }
    ttl.map(|ttl| expiry_of(&ttl, clock)).transpose()
}

/// The moment that lies `ttl` from now, in milliseconds.
fn expiry_of(ttl: &str, clock: &dyn Clock) -> Result<u64, ErrorAnswer> {
    let ns = duration_ns(ttl).filter(|ns| *ns > 0);
    let ns =
        ns.ok_or_else(|| bad(format!("ttl {ttl:?}: expected a time like 500ms, 60s or 7d")))?;
    Ok(now_ms(clock).saturating_add(ns.div_ceil(1_000_000)))
}

fn bad(message: impl Into<String>) -> ErrorAnswer {
    ErrorAnswer::new(StatusCode::BAD_REQUEST, message)
}

fn failed(error: engine::Error) -> ErrorAnswer {
    ErrorAnswer::from(&tsdb::Error::Engine(error))
}

fn not_found(what: &str) -> ErrorAnswer {
    ErrorAnswer::new(StatusCode::NOT_FOUND, format!("{what} not found"))
}

/// Runs `work` where it may wait for the disk, counts it, and dresses its error.
async fn blocking(
    state: Arc<KvState>,
    operation: usize,
    work: impl FnOnce(&KvState) -> Answer + Send + 'static,
) -> Response {
    let counted = move || {
        let start_ns = state.clock.monotonic_ns();
        let answer = work(&state);
        let metrics = &state.metrics[operation];
        metrics.ns.record(state.clock.monotonic_ns().saturating_sub(start_ns));
        if answer.is_err() {
            metrics.failed.fetch_add(1, Ordering::Relaxed);
        }
        answer
    };
    let internal = ErrorAnswer::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error");
    match tokio::task::spawn_blocking(counted).await.unwrap_or(Err(internal)) {
        Ok(response) => response,
        Err(error) => error.v1(),
    }
}

async fn text_of(
    state: &KvState,
    headers: &HeaderMap,
    body: Body,
) -> Result<body::Text, ErrorAnswer> {
    let received = body::receive(headers, body, &state.limits, &state.budget).await;
    received.and_then(|received| received.text(&state.limits)).map_err(ErrorAnswer::from)
}

async fn read(State(state): Shared, uri: Uri, headers: HeaderMap) -> Response {
    blocking(state, GET, move |state| {
        let (name, key) = entry_of(&uri)?;
        let condition = Condition::of(&headers)?;
        let keyspace = state.store.keyspace(&name).ok_or_else(|| not_found("key"))?;
        let version = version_at(&state.store, keyspace.id, &key, None).map_err(failed)?;
        let Version { value, seq } = version.ok_or_else(|| not_found("key"))?;
        if condition.is_other(seq) {
            return Err(failed_condition("the condition does not hold"));
        }
        let tag = seq.map(tag_header).into_iter().collect::<HeaderMap>();
        if condition.is_known(seq) {
            return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
        }
        let octets = [(header::CONTENT_TYPE, "application/octet-stream")];
        Ok((octets, tag, value.into_vec()).into_response())
    })
    .await
}

async fn put(State(state): Shared, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    let value = match text_of(&state, &headers, body).await {
        Ok(value) => value,
        Err(error) => return error.v1(),
    };
    blocking(state, PUT, move |state| {
        let (name, key) = entry_of(&uri)?;
        let (value, condition) = (Some(value.bytes.to_vec()), Condition::of(&headers)?);
        let expires_at_ms = expiry(uri.query().unwrap_or_default(), &headers, &*state.clock)?;
        write(&state.store, &name, &[Change { key, value, expires_at_ms, condition }])
    })
    .await
}

async fn remove(State(state): Shared, uri: Uri, headers: HeaderMap) -> Response {
    blocking(state, DELETE, move |state| {
        let (name, key) = entry_of(&uri)?;
        let (value, condition) = (None, Condition::of(&headers)?);
        write(&state.store, &name, &[Change { key, value, expires_at_ms: None, condition }])
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hold_any_bytes() {
        let entry = |path: &str| entry_of(&path.parse().unwrap());
        assert_eq!(
            entry("/kv/box/a%00%2Fb%FF/c").unwrap(),
            ("kv/box".to_owned(), b"a\0/b\xff/c".to_vec())
        );
        assert!(entry("/kv/%FF/a").is_err());
        assert!(entry("/kv/%00/a").is_err());
        assert!(entry("/kv//a").is_err());
    }
}
