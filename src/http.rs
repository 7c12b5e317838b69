//! The router: probes at once, data routes once the data is open, and what every answer has.
//!
//! [`dress`] is the one layer around everything: version headers and request ids on every answer,
//! CORS where an `Origin` asks for it, error bodies in the JSON of the path's family for unknown
//! paths and wrong methods, and the counters of requests.

pub mod admin;
mod backup;
pub mod metrics_page;
mod openapi;
mod silence;
mod status;
mod store_page;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use firndb::ingest::body::Limits;
use firndb::ingest::http::IngestState;
use firndb::ingest::http::error::ErrorAnswer;
use firndb::query::http::QueryState;
use firndb::tsdb::Tsdb;
use firndb::tsdb::backup::Repository;
use tower::ServiceExt;

use self::backup::BackupState;
use self::status::StatusState;
use crate::app::{App, Phase};
use crate::kv::KvState;
use crate::{health, kv};

const X_INFLUXDB_VERSION: HeaderName = HeaderName::from_static("x-influxdb-version");
const X_INFLUXDB_BUILD: HeaderName = HeaderName::from_static("x-influxdb-build");
const X_FIRNDB_VERSION: HeaderName = HeaderName::from_static("x-firndb-version");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The whole router.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/ping", get(health::ping))
        .route("/status", get(health::ping))
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/readyz", get(health::ready))
        .route("/-/ready", get(health::ready))
        .route("/livez", get(health::live))
        .route("/-/healthy", get(health::live))
        .route("/metrics", get(metrics_page::page))
        .route("/openapi.json", get(openapi::page))
        .fallback(data)
        .layer(middleware::from_fn_with_state(app.clone(), dress))
        .with_state(app)
}

/// The routes that need the data.
pub fn data_routes(app: &App, tsdb: Tsdb, pool: Option<Arc<rayon::ThreadPool>>) -> Router {
    let settings = &app.settings;
    let limits =
        Limits { body_bytes_max: settings.body_bytes_max, text_bytes_max: settings.text_bytes_max };
    let ingest = IngestState {
        tsdb: tsdb.clone(),
        budget: app.budget.clone(),
        clock: app.clock.clone(),
        limits,
        auto_create: settings.auto_create,
        v2_partial_writes: settings.v2_partial_writes,
        metrics: app.ingest_metrics.clone(),
    };
    let query = QueryState {
        tsdb: tsdb.clone(),
        budget: app.budget.clone(),
        clock: app.clock.clone(),
        pool,
        limits: firndb::query::exec::Limits {
            series_max: settings.query_series_max,
            points_max: settings.query_points_max,
            buckets_max: settings.query_buckets_max,
        },
        timeout_ns: settings.query_timeout_ns,
        memory_wait: Duration::from_nanos(settings.query_memory_wait_ns),
        rows_max: settings.query_rows_max,
        body_bytes_max: usize::try_from(settings.body_bytes_max).unwrap_or(usize::MAX),
        metrics: app.query_metrics.clone(),
    };
    let kv = KvState {
        clock: app.clock.clone(),
        metrics: app.kv_metrics.clone(),
        store: tsdb.store().clone(),
        budget: app.budget.clone(),
        limits,
    };
    Router::new()
        .merge(firndb::ingest::http::routes(ingest))
        .merge(firndb::query::http::routes(query))
        .merge(kv::routes(kv))
        .merge(admin::routes(tsdb.clone()))
        .merge(status::routes(StatusState {
            store: tsdb.store().clone(),
            clock: app.clock.clone(),
        }))
        .merge(backup::routes(BackupState {
            repository: settings
                .backup_dir
                .as_ref()
                .map(|dir| Repository::new(app.fs.clone(), dir)),
            clock: app.clock.clone(),
            budget: app.budget.clone(),
            limits,
            tsdb,
        }))
}

/// Hands a request to the data routes, or says that it is too early.
async fn data(State(app): State<Arc<App>>, request: Request) -> Response {
    if let Some(opened) = app.opened() {
        let patience = app.settings.body_idle_ns.map(Duration::from_nanos);
        let request = silence::limit(request, patience);
        return opened.router.clone().oneshot(request).await.into_response();
    }
    app.http_metrics.not_ready.fetch_add(1, Ordering::Relaxed);
    let message = match app.phase() {
        Phase::Starting(done, total) if total > 0 => {
            format!("starting: {done} of {total} bytes of the log are replayed")
        }
        _ => "starting".to_owned(),
    };
    let mut error = ErrorAnswer::new(StatusCode::SERVICE_UNAVAILABLE, message);
    error.retry_after_s = Some(1);
    in_family(error, request.uri().path())
}

/// An error as clients of the path expect it.
fn in_family(error: ErrorAnswer, path: &str) -> Response {
    if path.starts_with("/api/v2/") {
        error.v2()
    } else if path.starts_with("/api/v3/") {
        error.v3()
    } else {
        error.v1()
    }
}

async fn dress(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start_ns = app.clock.monotonic_ns();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let given = request.headers().get(&X_REQUEST_ID).or(request.headers().get(&REQUEST_ID));
    let request_id = given.cloned().unwrap_or_else(|| {
        HeaderValue::try_from(app.request_id()).expect("hexadecimal digits and hyphens")
    });
    let origin = request.headers().get(header::ORIGIN).cloned();

    let _in_flight = InFlight::new(app.clone());
    let mut response = if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    if is_bare_error(&response) {
        response = redress(response, &path);
    }
    let headers = response.headers_mut();
    common_headers(headers, &app.settings.influx_version, request_id);
    if let Some(origin) = origin {
        allow_origin(headers, origin);
    }
    let code = response.status().as_u16();
    let duration_ns = app.clock.monotonic_ns().saturating_sub(start_ns);
    app.http_metrics.record(&path, method.as_str(), code, duration_ns);
    let duration_ms = duration_ns / 1_000_000;
    // A 503 is a state that metrics and probes show; other 5xx are faults that someone must see.
    if code >= 500 && code != 503 {
        tracing::warn!(%method, path, code, duration_ms, "request failed");
    } else {
        tracing::debug!(%method, path, code, duration_ms, "request");
    }
    response
}

/// Counts a request as long as it lives: clients may leave before the answer.
struct InFlight(Arc<App>);

impl InFlight {
    fn new(app: Arc<App>) -> Self {
        app.http_metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(app)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.http_metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What axum's router answers when no route or no method fits: a status and nothing else.
fn is_bare_error(response: &Response) -> bool {
    matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
        && !response.headers().contains_key(header::CONTENT_TYPE)
}

/// The error in the family's JSON, with the methods that would fit.
fn redress(bare: Response, path: &str) -> Response {
    let message = match bare.status() {
        StatusCode::NOT_FOUND => "not found",
        _ => "method not allowed",
    };
    let mut response = in_family(ErrorAnswer::new(bare.status(), message), path);
    if let Some(methods) = bare.headers().get(header::ALLOW) {
        response.headers_mut().insert(header::ALLOW, methods.clone());
    }
    response
}

fn common_headers(headers: &mut HeaderMap, influx_version: &str, request_id: HeaderValue) {
    let version = HeaderValue::try_from(influx_version);
    headers.insert(X_INFLUXDB_VERSION, version.unwrap_or(HeaderValue::from_static("1.8.10")));
    headers.insert(X_INFLUXDB_BUILD, HeaderValue::from_static("OSS"));
    headers.insert(X_FIRNDB_VERSION, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    headers.insert(REQUEST_ID, request_id.clone());
    headers.insert(X_REQUEST_ID, request_id);
}

fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("DELETE, GET, OPTIONS, POST, PUT, PATCH"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "Accept, Accept-Encoding, Authorization, Content-Length, Content-Type, User-Agent, \
             X-CSRF-Token, X-HTTP-Method-Override",
        ),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Date, X-InfluxDB-Version, X-InfluxDB-Build"),
    );
}

#[cfg(test)]
mod tests;
