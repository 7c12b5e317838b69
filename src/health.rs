//! Probes: `/ping`, `/status`, `/health`, `/ready` and their Kubernetes and Prometheus names.
//!
//! Liveness never depends on the disk or on recovery: a server that replays its log is alive.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::{App, Phase};
use crate::config::value::show_size;

/// `GET|HEAD /ping`, `/status`: 204; with `verbose=true` the version. 503 until writes and queries
/// work: clients wait for a ping and then go on.
pub async fn ping(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    if !matches!(app.phase(), Phase::Ready) {
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")]).into_response();
    }
    let query = query.unwrap_or_default();
    if query.split('&').any(|pair| pair == "verbose=true") {
        return Json(json!({"version": app.settings.influx_version})).into_response();
    }
    StatusCode::NO_CONTENT.into_response()
}

/// `GET /livez`, `/-/healthy`.
pub async fn live() -> &'static str {
    "ok\n"
}

/// `GET /ready`, `/readyz`, `/-/ready`.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    let seconds = app.clock.unix_ns().saturating_sub(app.started_ns) / 1_000_000_000;
    match app.phase() {
        Phase::Ready => {
            let up = format!("{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60);
            let started = rfc3339(app.started_ns);
            Json(json!({"status": "ready", "started": started, "up": up})).into_response()
        }
        Phase::Draining => unavailable(json!({"status": "draining"})),
        Phase::Starting(done, total) => {
            let progress = if total == 0 { 0.0 } else { done as f64 / total as f64 };
            let rest =
                if progress > 0.0 { seconds as f64 * (1.0 - progress) / progress } else { 0.0 };
            unavailable(json!({
                "status": "starting",
                "phase": if total == 0 { "manifest" } else { "wal_replay" },
                "progress": (progress * 1000.0).round() / 1000.0,
                "replayed_bytes": done,
                "log_bytes": total,
                "eta_seconds": rest.ceil(),
            }))
        }
    }
}

fn unavailable(body: Value) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")], Json(body)).into_response()
}

fn rfc3339(unix_ns: i64) -> String {
    chrono::DateTime::from_timestamp_nanos(unix_ns)
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// `GET /health`: what a person looks at first. `status` is `pass` or `fail`, as InfluxDB's
/// clients read it.
pub async fn health(State(app): State<Arc<App>>) -> Response {
    let checks = checks(&app);
    let is_good = checks.iter().all(|check| check["status"] == "pass");
    let message = match (is_good, app.phase()) {
        (true, _) => "ready for queries and writes",
        (false, Phase::Starting(..)) => "starting: the log is being replayed",
        (false, Phase::Draining) => "stopping",
        (false, Phase::Ready) => "a check failed",
    };
    let body = json!({
        "name": "influxdb",
        "message": message,
        "status": if is_good { "pass" } else { "fail" },
        "version": app.settings.influx_version,
        "firndb_version": env!("CARGO_PKG_VERSION"),
        "checks": checks,
    });
    let status = if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

fn checks(app: &App) -> Vec<Value> {
    let check = |name: &str, is_good: bool, message: String| json!({"name": name, "status": if is_good { "pass" } else { "fail" }, "message": message});
    let phase = app.phase();
    let mut checks =
        vec![check("phase", phase == Phase::Ready, format!("{phase:?}").to_lowercase())];
    if let Some(opened) = app.opened() {
        let cause = opened.tsdb.store().read_only_cause();
        let message = match &cause {
            None => "writes are accepted".to_owned(),
            Some(cause) => {
                format!("writing stopped: {cause}; reads go on; restart once the cause is gone")
            }
        };
        checks.push(check("wal", cause.is_none(), message));
    }
    let (held, limit) = (app.budget.total_bytes(), app.budget.limit_bytes());
    let message = format!("{} of {}", show_size(held), show_size(limit));
    checks.push(check("memory", held <= limit, message));
    if let Ok(space) = app.fs.space(&app.settings.data_dir) {
        // Room for the next log segment: below it writes will fail.
        let is_good = space.free_bytes > app.settings.wal_segment_bytes;
        let free = show_size(space.free_bytes);
        checks.push(check(
            "disk",
            is_good,
            format!("{free} free of {}", show_size(space.total_bytes)),
        ));
    }
    checks
}
