//! Keys and values over HTTP: the engine's own store, beside the databases.
//!
//! ```text
//! PUT|GET|DELETE /kv/{keyspace}/{key}     key percent-encoded, any bytes; value: the body
//! GET  /kv/{keyspace}?prefix=&start=&end=&limit=&cursor=     entries in key order, in pages
//! POST /kv/{keyspace}/_batch              {"operations":[{"op":"put","key":K,"value":V},..]}
//! ```
//!
//! In JSON a key is percent-encoded text, as it would stand in a URL, and a value is base64, so
//! that both carry any bytes. A batch is atomic. `end` is exclusive; a page ends with a `cursor`
//! when there may be more. A keyspace comes into being with its first write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use firndb::engine::batch::WriteBatch;
use firndb::engine::budget::Budget;
use firndb::engine::clock::Clock;
use firndb::engine::histogram::Histogram;
use firndb::engine::key::KeyspaceId;
use firndb::engine::options::KeyspaceOptions;
use firndb::engine::scan::bounds::Bounds;
use firndb::engine::store::{ScanOptions, Store, WriteOptions};
use firndb::ingest::body::{self, BodyError, Limits};
use firndb::ingest::http::error::ErrorAnswer;
use firndb::{engine, tsdb};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde::Deserialize;
use serde_json::json;

/// Entries of a page unless asked otherwise, and at most.
const PAGE_ENTRIES: usize = 100;
const PAGE_ENTRIES_MAX: usize = 10_000;
/// Bytes of keys and values after which a page ends.
const PAGE_BYTES_MAX: usize = 8 << 20;

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
    let entry = || -> MethodRouter<Arc<KvState>> { get(read).put(write).delete(remove) };
    Router::new()
        .route("/kv/{keyspace}", get(list))
        .route("/kv/{keyspace}/_batch", entry().merge(post(batch)))
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
    received.and_then(|received| received.text(&state.limits)).map_err(|error| {
        let status = match error {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            BodyError::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::Broken(_) => StatusCode::BAD_REQUEST,
        };
        let mut answer = ErrorAnswer::new(status, error.to_string());
        answer.retry_after_s = (error == BodyError::Overloaded).then_some(1);
        answer
    })
}

async fn read(State(state): Shared, uri: Uri) -> Response {
    blocking(state, GET, move |state| {
        let (name, key) = entry_of(&uri)?;
        let keyspace = state.store.keyspace(&name).ok_or_else(|| not_found("key"))?;
        let value = state.store.get(keyspace.id, &key, None).map_err(failed)?;
        let value = value.ok_or_else(|| not_found("key"))?;
        let octets = [(header::CONTENT_TYPE, "application/octet-stream")];
        Ok((octets, value.as_ref().to_vec()).into_response())
    })
    .await
}

async fn write(State(state): Shared, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    let value = match text_of(&state, &headers, body).await {
        Ok(value) => value,
        Err(error) => return error.v1(),
    };
    blocking(state, PUT, move |state| {
        let (name, key) = entry_of(&uri)?;
        commit(&state.store, &name, |batch, keyspace| batch.put(keyspace, &key, &value.bytes))
    })
    .await
}

async fn remove(State(state): Shared, uri: Uri) -> Response {
    blocking(state, DELETE, move |state| {
        let (name, key) = entry_of(&uri)?;
        if state.store.keyspace(&name).is_none() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        commit(&state.store, &name, |batch, keyspace| batch.delete(keyspace, &key))
    })
    .await
}

fn commit(store: &Store, name: &str, fill: impl FnOnce(&mut WriteBatch, KeyspaceId)) -> Answer {
    let keyspace = match store.keyspace(name) {
        Some(keyspace) => keyspace,
        None => store.create_keyspace(name, KeyspaceOptions::default()).map_err(failed)?,
    };
    let mut batch = WriteBatch::new();
    fill(&mut batch, keyspace.id);
    drop(store.write(&batch, WriteOptions::default()).map_err(failed)?); // it has waited
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "op")]
enum Operation {
    Put { key: String, value: String },
    Delete { key: String },
}

async fn batch(State(state): Shared, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    let text = match text_of(&state, &headers, body).await {
        Ok(text) => text,
        Err(error) => return error.v1(),
    };
    blocking(state, BATCH, move |state| {
        let (name, _) = entry_of(&uri)?;
        let batch: Batch =
            serde_json::from_slice(&text.bytes).map_err(|error| bad(error.to_string()))?;
        let mut operations = Vec::with_capacity(batch.operations.len());
        for (index, operation) in batch.operations.into_iter().enumerate() {
            let (key, value) = match operation {
                Operation::Put { key, value } => {
                    let value = BASE64.decode(value).map_err(|error| {
                        bad(format!("operation {index}: value is not base64: {error}"))
                    })?;
                    (key, Some(value))
                }
                Operation::Delete { key } => (key, None),
            };
            operations.push((percent_decode_str(&key).collect::<Vec<u8>>(), value));
        }
        commit(&state.store, &name, |batch, keyspace| {
            for (key, value) in &operations {
                match value {
                    Some(value) => batch.put(keyspace, key, value),
                    None => batch.delete(keyspace, key),
                }
            }
        })
    })
    .await
}

/// What a page is to hold.
#[derive(Debug, Default, PartialEq)]
struct Page {
    bounds: Bounds,
    limit: usize,
}

impl Page {
    fn of(query: &str) -> Result<Page, ErrorAnswer> {
        let mut prefix = Vec::new();
        let (mut start, mut end, mut cursor) = (None, None, None);
        let mut limit = PAGE_ENTRIES;
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let bytes: Vec<u8> = percent_decode_str(&value.replace('+', "%20")).collect();
            match name {
                "prefix" => prefix = bytes,
                "start" if !bytes.is_empty() => start = Some(bytes),
                "end" if !bytes.is_empty() => end = Some(bytes),
                "cursor" if !bytes.is_empty() => {
                    let key =
                        BASE64.decode(&bytes).map_err(|_| bad("cursor is not one of ours"))?;
                    cursor = Some(key);
                }
                "limit" => {
                    limit = value.parse().map_err(|_| bad("limit is a whole number"))?;
                }
                "start" | "end" | "cursor" => {}
                other => return Err(bad(format!("unknown parameter {other:?}"))),
            }
        }
        let mut bounds = Bounds::prefix(&prefix);
        bounds.lower = [bounds.lower, start, cursor].into_iter().flatten().max();
        bounds.upper = [bounds.upper, end].into_iter().flatten().min();
        Ok(Page { bounds, limit: limit.clamp(1, PAGE_ENTRIES_MAX) })
    }
}

async fn list(State(state): Shared, uri: Uri) -> Response {
    blocking(state, SCAN, move |state| {
        let (name, _) = entry_of(&uri)?;
        let page = Page::of(uri.query().unwrap_or_default())?;
        let keyspace = state.store.keyspace(&name).ok_or_else(|| not_found("keyspace"))?;
        let options = ScanOptions { bounds: page.bounds, ..ScanOptions::default() };
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut cursor = None;
        let mut scan = state.store.scan(keyspace.id, options).map_err(failed)?;
        while scan.advance().map_err(failed)? {
            if entries.len() == page.limit || bytes > PAGE_BYTES_MAX {
                cursor = Some(BASE64.encode(scan.key()));
                break;
            }
            bytes += scan.key().len() + scan.value().len();
            entries.push(json!({
                "key": percent_encode(scan.key(), NON_ALPHANUMERIC).to_string(),
                "value": BASE64.encode(scan.value()),
            }));
        }
        Ok(axum::Json(json!({"entries": entries, "cursor": cursor})).into_response())
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

    #[test]
    fn pages_take_the_narrowest_bounds() {
        let page = Page::of("prefix=k&start=k5&limit=2").unwrap();
        assert_eq!(page.bounds.lower.as_deref(), Some(b"k5".as_slice()));
        assert_eq!(page.bounds.upper.as_deref(), Some(b"l".as_slice()));
        assert_eq!(page.limit, 2);
        let cursor = BASE64.encode(b"k7");
        let cursor = percent_encode(cursor.as_bytes(), NON_ALPHANUMERIC);
        let page = Page::of(&format!("prefix=k&start=k5&end=k9&cursor={cursor}")).unwrap();
        assert_eq!(page.bounds.lower.as_deref(), Some(b"k7".as_slice()));
        assert_eq!(page.bounds.upper.as_deref(), Some(b"k9".as_slice()));
        assert!(Page::of("limit=x").is_err());
        assert!(Page::of("cursor=!").is_err());
        assert!(Page::of("prefx=k").is_err());
    }
}
