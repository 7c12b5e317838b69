//! The router while the data is not open yet, what every answer has, and senders that fall silent.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use firndb::engine::budget::{Budget, Share};
use firndb::engine::clock::ManualClock;
use firndb::engine::fs::real::RealFs;
use firndb::engine::store::OpenProgress;
use http_body::Frame;
use serde_json::{Value, json};

use super::*;
use crate::config::Config;
use crate::config::settings::Settings;

fn app() -> Arc<App> {
    let settings = Settings::of(&Config::defaults(), 1 << 30).unwrap();
    let clock = Arc::new(ManualClock::at(1_700_000_000_000_000_000));
    Arc::new(App::new(settings, clock, Arc::new(RealFs)))
}

async fn send(app: &Arc<App>, request: &str, headers: &[(&str, &str)]) -> (Response, Value) {
    send_body(app, request, headers, Body::empty()).await
}

async fn send_body(
    app: &Arc<App>,
    request: &str,
    headers: &[(&str, &str)],
    body: Body,
) -> (Response, Value) {
    let (method, path) = request.split_once(' ').unwrap();
    let mut builder = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let response = router(app.clone()).oneshot(builder.body(body).unwrap()).await.unwrap();
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) =
        std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await
    {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
    }
    let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (Response::from_parts(parts, Body::empty()), json)
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn before_the_data_is_open() {
    let app = app();
    let (ready, body) = send(&app, "GET /ready", &[]).await;
    assert_eq!((ready.status().as_u16(), header(&ready, "retry-after")), (503, "1"));
    assert_eq!((&body["status"], &body["phase"]), (&json!("starting"), &json!("manifest")));
    app.progress(OpenProgress::Replay { done_bytes: 54, total_bytes: 100 });
    let (_, body) = send(&app, "GET /readyz", &[]).await;
    assert_eq!((&body["phase"], &body["progress"]), (&json!("wal_replay"), &json!(0.54)));

    let text = "starting: 54 of 100 bytes of the log are replayed";
    for (request, expected) in [
        ("POST /write?db=d", json!({"error": text})),
        ("POST /api/v2/write?bucket=d", json!({"code": "unavailable", "message": text})),
        ("GET /query?q=x", json!({"error": text})),
    ] {
        let (response, body) = send(&app, request, &[]).await;
        assert_eq!((response.status().as_u16(), body), (503, expected), "{request}");
        assert_eq!(header(&response, "retry-after"), "1");
    }
    // Clients wait for a ping and then write: it must not say yes before they can.
    for ping in ["GET /ping", "HEAD /ping", "GET /status"] {
        let (answer, _) = send(&app, ping, &[]).await;
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "retry-after")),
            (503, "1"),
            "{ping}"
        );
    }
    assert_eq!(send(&app, "GET /livez", &[]).await.0.status(), 200);
    let (health, body) = send(&app, "GET /health", &[]).await;
    assert_eq!((health.status().as_u16(), &body["status"]), (503, &json!("fail")));
    app.drain();
    assert_eq!(send(&app, "GET /ready", &[]).await.1, json!({"status": "draining"}));
}

#[tokio::test]
async fn every_answer_has_versions_and_ids() {
    let app = app();
    let (first, _) = send(&app, "GET /ping", &[]).await;
    let (second, _) = send(&app, "GET /ping", &[]).await;
    assert_eq!(header(&first, "x-request-id"), header(&first, "request-id"));
    assert_ne!(header(&first, "x-request-id"), header(&second, "x-request-id"));
    for given in [[("x-request-id", "abc")], [("request-id", "abc")]] {
        let (response, _) = send(&app, "POST /ping", &given).await;
        assert_eq!(response.status(), 405);
        assert_eq!(header(&response, "allow"), "GET,HEAD");
        assert_eq!(header(&response, "x-influxdb-error"), "method not allowed");
        assert_eq!(header(&response, "x-request-id"), "abc");
        assert_eq!(header(&response, "request-id"), "abc");
        assert_eq!(header(&response, "x-influxdb-version"), "1.8.10");
        assert_eq!(header(&response, "x-influxdb-build"), "OSS");
    }
    let origin = [("origin", "http://grafana.example")];
    let (response, _) = send(&app, "OPTIONS /write", &origin).await;
    assert_eq!(response.status(), 204);
    assert_eq!(header(&response, "access-control-allow-origin"), "http://grafana.example");
    let (response, _) = send(&app, "OPTIONS /write", &[]).await;
    assert_eq!(header(&response, "access-control-allow-origin"), "");
}

#[tokio::test]
async fn the_metrics_page_is_well_formed() {
    let app = app();
    app.http_metrics.record("/write", "POST", 204, 1);
    let page = metrics_page::render(&app);
    let mut typed = std::collections::HashSet::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap().to_owned();
            assert!(typed.insert(name), "one TYPE for each name: {line}");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
            let known = typed.contains(name) || base.is_some_and(|base| typed.contains(base));
            assert!(known, "samples follow their TYPE: {line}");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

/// A body of which a piece comes after each of some pauses, and then nothing, for ever.
struct Slow {
    pauses: VecDeque<Duration>,
    piece: Bytes,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Memory of requests when it was asked last.
    budget: Budget,
    held: Arc<AtomicU64>,
    /// Whether it ends after the last piece.
    ends: bool,
}

impl HttpBody for Slow {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.held.store(self.budget.held_bytes(Share::Requests), Ordering::Relaxed);
        let Some(pause) = self.pauses.front().copied() else {
            return if self.ends { Poll::Ready(None) } else { Poll::Pending };
        };
        let waiting = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        std::task::ready!(waiting.as_mut().poll(context));
        self.pause = None;
        self.pauses.pop_front();
        Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
    }
}

fn open_app(dir: &std::path::Path) -> Arc<App> {
    let mut settings = Settings::of(&Config::defaults(), 1 << 30).unwrap();
    settings.data_dir = dir.to_owned();
    let clock = Arc::new(ManualClock::at(1_700_000_000_000_000_000));
    let app = Arc::new(App::new(settings, clock, Arc::new(RealFs)));
    crate::open::open(&app).unwrap();
    app
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_sender_falls_silent_is_answered_408_and_holds_nothing_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let app = open_app(dir.path());
    let text = "timed out waiting for the rest of the body";
    let form = ("content-type", "application/x-www-form-urlencoded");
    let v1 = json!({"error": text});
    let v2 = json!({"code": "invalid", "message": text});
    for (request, content_type, expected) in [
        ("POST /write?db=d", ("content-type", "text/plain"), &v1),
        ("POST /api/v2/write?bucket=d", ("content-type", "text/plain"), &v2),
        ("POST /api/v3/write_lp?db=d", ("content-type", "text/plain"), &v1),
        ("PUT /kv/k/key", ("content-type", "text/plain"), &v1),
        ("POST /query?db=d", form, &v1),
        ("POST /api/v1/backup", ("content-type", "application/json"), &v1),
        ("POST /api/v1/restore", ("content-type", "application/json"), &v1),
        ("POST /api/v1/backup/verify", ("content-type", "application/json"), &v1),
        ("POST /api/v1/backup/prune", ("content-type", "application/json"), &v1),
    ] {
        for seconds in [vec![], vec![0], vec![29, 29, 29]] {
            let before = app.budget.held_bytes(Share::Requests);
            let pauses: VecDeque<_> = seconds.iter().copied().map(Duration::from_secs).collect();
            let held = Arc::new(AtomicU64::new(0));
            let body = Slow {
                pauses,
                piece: Bytes::from_static(b"m f=1"),
                pause: None,
                budget: app.budget.clone(),
                held: held.clone(),
                ends: false,
            };
            let headers = [("content-length", "1000000"), content_type];
            let start = tokio::time::Instant::now();
            let (answer, json) = send_body(&app, request, &headers, Body::new(body)).await;
            assert_eq!((answer.status().as_u16(), &json), (408, expected), "{request}");
            let waited = start.elapsed().as_secs();
            assert_eq!(waited, seconds.iter().sum::<u64>() + 30, "{request}");
            if !request.contains("/query") {
                assert!(held.load(Ordering::Relaxed) >= before + 1_000_000, "{request}");
            }
            assert_eq!(app.budget.held_bytes(Share::Requests), before, "{request}");
        }
    }
    app.opened().unwrap().tsdb.store().close().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_goes_on_coming_is_taken_however_slow_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let app = open_app(dir.path());
    let body = Slow {
        pauses: vec![Duration::from_secs(29); 100].into(),
        piece: Bytes::from_static(b"m f=1 1700000000000000000\n"),
        pause: None,
        budget: app.budget.clone(),
        held: Arc::default(),
        ends: true,
    };
    let (answer, json) = send_body(&app, "POST /write?db=d", &[], Body::new(body)).await;
    assert_eq!((answer.status().as_u16(), json), (204, Value::Null));
    app.opened().unwrap().tsdb.store().close().unwrap();
}
