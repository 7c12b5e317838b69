//! `GET /metrics`: everything that is counted, on one page.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use firndb::engine::budget::Share;
use firndb::ingest::metrics::{Protocol, Rejection};
use firndb::query::metrics::{Lang, Status};

use super::store_page;
use crate::app::{App, Phase};
use crate::kv::OPERATIONS;
use crate::machine;
use crate::metrics::text::Text;

/// `GET /metrics`.
pub async fn page(State(app): State<Arc<App>>) -> Response {
    // Files of /proc and locks of the store: short, but not for a thread that serves others.
    let rendered = tokio::task::spawn_blocking(move || render(&app)).await.unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], rendered).into_response()
}

/// The whole page.
pub fn render(app: &App) -> String {
    let mut out = Text::default();
    process(app, &mut out);
    app.http_metrics.render(&mut out);
    writes(app, &mut out);
    queries(app, &mut out);
    keys_and_values(app, &mut out);
    memory(app, &mut out);
    if let Some(opened) = app.opened() {
        store_page::render(&opened.tsdb, &mut out);
        app.retention_metrics.render(&mut out);
    }
    out.into_string()
}

fn process(app: &App, out: &mut Text) {
    out.head("firndb_build_info", "gauge", "Build information, always 1.");
    out.sample("firndb_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let started = app.started_ns as f64 / 1e9;
    out.gauge("firndb_start_time_seconds", "Unix time at which the server started.", started);
    let is_ready = u8::from(app.phase() == Phase::Ready);
    let help = "1 when the server accepts reads and writes, 0 while it recovers or drains.";
    out.gauge("firndb_ready", help, is_ready);
    let numbers = machine::process_numbers(&*app.fs);
    let help = "Total user and system CPU time spent in seconds.";
    out.counter("process_cpu_seconds_total", help, numbers.cpu_seconds);
    let resident = numbers.resident_bytes;
    out.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", resident);
    out.gauge("process_open_fds", "Number of open file descriptors.", numbers.open_files);
}

fn writes(app: &App, out: &mut Text) {
    let metrics = &app.ingest_metrics;
    let labels = |protocol: Protocol| [("protocol", protocol.name())];
    let name = "firndb_points_written_total";
    out.head(name, "counter", "Points accepted and made durable to the configured level.");
    for protocol in Protocol::ALL {
        let points = metrics.of(protocol).points_written.load(Ordering::Relaxed);
        out.sample(name, &labels(protocol), points);
    }
    let name = "firndb_lines_rejected_total";
    out.head(name, "counter", "Line protocol lines refused.");
    for reason in Rejection::ALL {
        out.sample(name, &[("reason", reason.name())], metrics.rejected(reason));
    }
    let name = "firndb_write_duration_seconds";
    out.head(name, "histogram", "Time from parsed batch to acknowledged write.");
    for protocol in Protocol::ALL {
        out.seconds(name, &labels(protocol), &metrics.of(protocol).write_ns.read());
    }
    let name = "firndb_write_batch_points";
    out.head(name, "histogram", "Points in one write request.");
    for protocol in Protocol::ALL {
        out.counts(name, &labels(protocol), &metrics.of(protocol).batch_points.read());
    }
    let name = "firndb_parse_duration_seconds";
    out.head(name, "histogram", "Time to parse the line protocol of a request.");
    out.seconds(name, &[], &metrics.parse_ns.read());
    let text_bytes = metrics.text_bytes.load(Ordering::Relaxed);
    let help = "Bytes of line protocol received, after decompression.";
    out.counter("firndb_line_protocol_bytes_total", help, text_bytes);
    let name = "firndb_http_requests_rejected_total";
    out.head(name, "counter", "Requests refused before handling.");
    for (reason, counter) in [
        ("too_large", &metrics.too_large),
        ("overloaded", &metrics.overloaded),
        ("not_ready", &app.http_metrics.not_ready),
    ] {
        out.sample(name, &[("reason", reason)], counter.load(Ordering::Relaxed));
    }
}

fn queries(app: &App, out: &mut Text) {
    let metrics = &app.query_metrics;
    let name = "firndb_queries_total";
    out.head(name, "counter", "Queries finished.");
    for lang in Lang::ALL {
        for status in Status::ALL {
            let labels = [("lang", lang.name()), ("status", status.name())];
            out.sample(name, &labels, metrics.ended(lang, status));
        }
    }
    let name = "firndb_query_duration_seconds";
    out.head(name, "histogram", "Query time from receipt to last row.");
    for lang in Lang::ALL {
        out.seconds(name, &[("lang", lang.name())], &metrics.duration_ns(lang).read());
    }
    out.gauge("firndb_queries_in_flight", "Queries running now.", metrics.in_flight());
}

fn keys_and_values(app: &App, out: &mut Text) {
    let each = || OPERATIONS.iter().zip(app.kv_metrics.iter());
    let name = "firndb_kv_ops_total";
    out.head(name, "counter", "Key-value operations.");
    for (op, metrics) in each() {
        let failed = metrics.failed.load(Ordering::Relaxed);
        let good = metrics.ns.read().count().saturating_sub(failed);
        out.sample(name, &[("op", op), ("status", "ok")], good);
        out.sample(name, &[("op", op), ("status", "error")], failed);
    }
    let name = "firndb_kv_op_duration_seconds";
    out.head(name, "histogram", "Time of one key-value operation inside the engine.");
    for (op, metrics) in each() {
        out.seconds(name, &[("op", op)], &metrics.ns.read());
    }
}

fn memory(app: &App, out: &mut Text) {
    let limit = app.budget.limit_bytes();
    out.gauge("firndb_memory_limit_bytes", "Memory budget of the process.", limit);
    let name = "firndb_memory_bytes";
    out.head(name, "gauge", "Memory drawn from the budget.");
    for share in Share::ALL {
        out.sample(name, &[("share", share.name())], app.budget.held_bytes(share));
    }
    if let Ok(space) = app.fs.space(&app.settings.data_dir) {
        let help = "Bytes free on the data directory's file system.";
        out.gauge("firndb_disk_free_bytes", help, space.free_bytes);
    }
}
