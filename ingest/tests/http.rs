//! The write APIs over a real database on the simulated file system: statuses, bodies, headers,
//! and what is stored afterwards.

use std::io::Write;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, Request};
use firndb_engine::budget::Budget;
use firndb_engine::clock::{Clock, ManualClock};
use firndb_engine::fs::sim::SimFs;
use firndb_engine::hooks::Plain;
use firndb_engine::options::{Background, Options as EngineOptions};
use firndb_ingest::body::Limits;
use firndb_ingest::http::{IngestState, routes};
use firndb_ingest::metrics::{IngestMetrics, Protocol, Rejection};
use firndb_tsdb::retention::PolicySpec;
use firndb_tsdb::{Options, Tsdb};
use serde_json::{Value, json};
use tower::ServiceExt;

const NOW: i64 = 1_700_000_000_000_000_000;

struct Server {
    router: Router,
    tsdb: Tsdb,
    metrics: Arc<IngestMetrics>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn server(change: impl FnOnce(&mut IngestState)) -> Server {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    let fs = Arc::new(SimFs::new(7));
    let mut engine = EngineOptions::new("db", fs, clock.clone(), Arc::new(Plain::new()));
    engine.background = Background::Inline;
    let tsdb = Tsdb::open(Options::new(engine)).unwrap();
    let mut state = IngestState {
        tsdb: tsdb.clone(),
        budget: Budget::unlimited(),
        clock,
        limits: Limits { body_bytes_max: 10_000, text_bytes_max: 50_000 },
        auto_create: true,
        v2_partial_writes: false,
        metrics: Arc::default(),
    };
    change(&mut state);
    let metrics = state.metrics.clone();
    Server { router: routes(state), tsdb, metrics }
}

impl Server {
    async fn post(&self, uri: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        while let Some(frame) =
            std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await
        {
            bytes.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
        }
        Answer { status: parts.status.as_u16(), headers: parts.headers, body: bytes }
    }

    /// Field names of a measurement, sorted; the way these tests see what is stored.
    fn fields(&self, database: &str, measurement: &str) -> Vec<String> {
        let Some(database) = self.tsdb.database(database) else { return Vec::new() };
        let Some(info) = database.measurement(measurement) else { return Vec::new() };
        let mut names: Vec<String> =
            info.fields.iter().map(|field| field.name.to_string()).collect();
        names.sort();
        names
    }

    fn series(&self, database: &str) -> u64 {
        self.tsdb.database(database).map_or(0, |database| database.series_count())
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn v1_answers() {
    let server = server(|_| {});
    let cases = [
        ("db=d", "m f=1 1", 204, ""),
        ("db=d", "", 204, ""),
        ("db=new", "# comment\n\n", 204, ""),
        ("db=d&rp=&precision=&consistency=", "m f=1 1", 204, ""),
        ("", "m f=1 1", 400, "database is required"),
        ("db=", "m f=1 1", 400, "database is required"),
        ("db=d&precision=xx", "m f=1 1", 400, "invalid precision \"xx\" (use n, u, ms, s, m or h)"),
        ("db=d&precision=%C2%B5", "m f=1 1", 204, ""),
        ("db=d&consistency=most", "m f=1 1", 400, "invalid consistency level"),
        ("db=d&consistency=quorum", "m f=1 1", 204, ""),
        ("db=d&rp=no", "m f=1 1", 404, "retention policy not found: no"),
        ("db=d", "m f=", 400, "unable to parse 'm f=': missing field value"),
        (
            "db=d",
            "a\nb",
            400,
            "unable to parse 'a': missing fields\nunable to parse 'b': missing fields",
        ),
        (
            "db=d",
            "m f=1 1\nbad",
            400,
            "partial write: unable to parse 'bad': missing fields dropped=0",
        ),
        (
            "db=d",
            "m f=1i 1\nm g=1 1\nbad",
            400,
            "partial write: field type conflict: input field \"f\" on measurement \"m\" is type \
             integer, already exists as type float dropped=1",
        ),
        (
            "db=d",
            "m time=1 1",
            400,
            "partial write: invalid field name: input field \"time\" on measurement \"m\" is \
             invalid dropped=1",
        ),
        (
            "db=d",
            "m time=1,h=2 1",
            400,
            "partial write: invalid field name: input field \"time\" on measurement \"m\" is \
             invalid. Field \"time\" has been stripped from point. dropped=0",
        ),
        (
            "db=d",
            "m,_field=x f=1 1",
            400,
            "partial write: invalid tag key: input tag \"_field\" on measurement \"m\" is invalid \
             dropped=1",
        ),
    ];
    for (query, body, status, error) in cases {
        let answer = server.post(&format!("/write?{query}"), &[], body).await;
        assert_eq!(answer.status, status, "{query} {body:?}");
        if status == 204 {
            assert!(answer.body.is_empty(), "{query} {body:?}");
            continue;
        }
        assert_eq!(answer.json(), json!({ "error": error }), "{query} {body:?}");
        assert!(answer.body.ends_with(b"}\n"));
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("x-influxdb-error"), error.replace('\n', " "));
    }
    assert_eq!(server.fields("d", "m"), ["f", "g", "h"]);
    assert!(server.tsdb.database("new").is_none(), "nothing to store creates nothing");
    assert_eq!(server.metrics.rejected(Rejection::Parse), 5);
    assert_eq!(server.metrics.rejected(Rejection::Schema), 3);
    let written = &server.metrics.of(Protocol::V1).points_written;
    assert_eq!(written.load(std::sync::atomic::Ordering::Relaxed), 7);
}

#[tokio::test]
async fn points_beyond_retention() {
    let server = server(|_| {});
    let hour = PolicySpec {
        name: Some("hour".to_owned()),
        duration_ns: Some(3_600_000_000_000),
        ..PolicySpec::default()
    };
    server.tsdb.create_database("d", Some(hour)).unwrap();
    let body = format!("m f=1 {}\nm f=2 {}\nm f=3", NOW - 7_200_000_000_000, NOW - 1);
    let answer = server.post("/write?db=d", &[], body.clone()).await;
    let text = "partial write: points beyond retention policy dropped=1";
    assert_eq!((answer.status, answer.json()), (400, json!({ "error": text })));
    let answer = server.post("/api/v2/write?bucket=d/hour", &[], body).await;
    let text = format!("failure writing points to database: {text}");
    let expected = json!({"code": "unprocessable entity", "message": text});
    assert_eq!((answer.status, answer.json()), (422, expected));
    assert_eq!(server.metrics.rejected(Rejection::Retention), 2);
}

#[tokio::test]
async fn v2_answers() {
    let server = server(|_| {});
    let cases = [
        ("bucket=b&org=o", "m f=1 1", 204, "", ""),
        ("bucket=b/autogen&precision=us", "m f=1 1", 204, "", ""),
        ("bucket=b/", "", 204, "", ""),
        ("org=o", "m f=1 1", 400, "invalid", "bucket not found"),
        ("bucket=/rp", "m f=1 1", 400, "invalid", "bucket not found"),
        (
            "bucket=b&precision=h",
            "m f=1 1",
            400,
            "invalid",
            "invalid precision; valid precision units are ns, us, ms, and s",
        ),
        ("bucket=b", "n f=1 1\nbad", 400, "invalid", "unable to parse 'bad': missing fields"),
        (
            "bucket=b",
            "m g=1 1\nm f=1i 1",
            422,
            "unprocessable entity",
            "failure writing points to database: partial write: field type conflict: input field \
             \"f\" on measurement \"m\" is type integer, already exists as type float dropped=1",
        ),
        ("bucket=b/no", "m f=1 1", 404, "not found", "retention policy not found: no"),
    ];
    for (query, body, status, code, message) in cases {
        let answer = server.post(&format!("/api/v2/write?{query}"), &[], body).await;
        assert_eq!(answer.status, status, "{query} {body:?}");
        if status != 204 {
            let expected = json!({"code": code, "message": message});
            assert_eq!(answer.json(), expected, "{query} {body:?}");
            assert_eq!(answer.header("x-platform-error-code"), code);
            assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
        }
    }
    assert_eq!(server.fields("b", "m"), ["f", "g"]);
    assert!(server.fields("b", "n").is_empty(), "one bad line keeps the others out");
}

#[tokio::test]
async fn v2_keeps_good_lines_when_told_to() {
    let server = server(|state| state.v2_partial_writes = true);
    let answer = server.post("/api/v2/write?bucket=b", &[], "n f=1 1\nbad").await;
    assert_eq!(answer.status, 400);
    assert_eq!(server.fields("b", "n"), ["f"]);
}

#[tokio::test]
async fn v3_answers() {
    let server = server(|_| {});
    let write = |query: &'static str, body: &'static str| {
        server.post(Box::leak(format!("/api/v3/write_lp?{query}").into_boxed_str()), &[], body)
    };
    assert_eq!(write("db=c&precision=second&no_sync=true", "m f=1 1").await.status, 204);
    assert_eq!(write("db=c&precision=fortnight", "m f=1 1").await.status, 400);
    assert_eq!(write("", "m f=1 1").await.status, 400);
    let answer = write("db=c", "a f=1 1\nbad line\nm f=2i 1").await;
    assert_eq!(answer.status, 400);
    let conflict = "field type conflict: input field \"f\" on measurement \"m\" is type integer, \
                    already exists as type float";
    assert_eq!(
        answer.json(),
        json!({
            "error": "partial write of line protocol occurred",
            "data": [
                {"original_line": "bad line", "line_number": 2,
                 "error_message": "invalid field format"},
                {"original_line": "m f=2i 1", "line_number": 3, "error_message": conflict},
            ],
        })
    );
    assert_eq!(server.fields("c", "a"), ["f"]);
    let answer = write("db=c&accept_partial=false", "b f=1 1\nbad").await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json(),
        json!({
            "error": "line protocol parsing error",
            "data": {"original_line": "bad", "line_number": 2, "error_message": "missing fields"},
        })
    );
    assert!(server.fields("c", "b").is_empty());
}

#[tokio::test]
async fn every_bad_line_is_told_to_who_asks() {
    let server = server(|_| {});
    server.post("/write?db=d", &[], "m f=1 1").await;
    let body = "m g=1 1\nbad\n\nm f=1i 1\nm,time=x g=1 1\n";
    let full = json!([
        {"line": 2, "kind": "parse", "reason": "missing fields", "text": "bad"},
        {"line": 4, "kind": "schema", "text": "m f=1i 1",
         "reason": "field type conflict: input field \"f\" on measurement \"m\" is type integer, \
                    already exists as type float"},
        {"line": 5, "kind": "schema", "text": "m,time=x g=1 1",
         "reason": "invalid tag key: input tag \"time\" on measurement \"m\" is invalid"},
    ]);
    let answer = server.post("/write?db=d&errors=full", &[], body).await.json();
    assert_eq!(
        (&answer["lines"], &answer["stored"], &answer["dropped"]),
        (&full, &json!(1), &json!(3))
    );
    let accept = [("accept", "application/problem+json")];
    let answer = server.post("/api/v2/write?bucket=d", &accept, "m g=2 2\nbad").await.json();
    assert_eq!((&answer["lines"][0]["line"], &answer["stored"]), (&json!(2), &json!(0)));
}

#[tokio::test]
async fn bodies_gzipped_broken_and_too_large() {
    let server = server(|_| {});
    let gz = [("content-encoding", "gzip")];
    let text = b"m f=1 1\n";
    assert_eq!(server.post("/write?db=d", &gz, gzip(text)).await.status, 204);
    assert_eq!(
        server.post("/write?db=d", &[("content-encoding", "x-gzip")], gzip(text)).await.status,
        204
    );
    assert_eq!(server.post("/write?db=d", &gz, "").await.status, 204);
    let broken = server.post("/write?db=d", &gz, "not gzip at all").await;
    assert_eq!((broken.status, broken.json()), (400, json!({"error": "gzip: invalid header"})));
    for (headers, body) in [(&[][..], text.repeat(2_000)), (&gz[..], gzip(&text.repeat(10_000)))] {
        let answer = server.post("/write?db=d", headers, body.clone()).await;
        assert_eq!(
            (answer.status, answer.json()),
            (413, json!({"error": "Request Entity Too Large"}))
        );
        let answer = server.post("/api/v2/write?bucket=d", headers, body.clone()).await;
        let message = "unable to read data: points batch is too large";
        let expected = json!({"code": "request too large", "message": message});
        assert_eq!((answer.status, answer.json()), (413, expected));
        let answer = server.post("/api/v3/write_lp?db=d", headers, body).await;
        assert_eq!(answer.status, 413);
    }
}

#[tokio::test]
async fn a_spent_budget_is_503_with_a_time() {
    let server = server(|state| state.budget = Budget::new(1000));
    let body = Bytes::from(b"m f=1 1\n".repeat(100));
    for uri in ["/write?db=d", "/api/v2/write?bucket=d", "/api/v3/write_lp?db=d"] {
        let answer = server.post(uri, &[], body.clone()).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{uri}");
    }
    assert_eq!(server.post("/write?db=d", &[], "m f=1 1").await.status, 204, "a small one fits");
    assert_eq!(server.metrics.overloaded.load(std::sync::atomic::Ordering::Relaxed), 3);
}

#[tokio::test]
async fn unknown_databases_are_made_or_refused() {
    let server = server(|state| state.auto_create = false);
    let answer = server.post("/write?db=x", &[], "m f=1 1").await;
    assert_eq!(
        (answer.status, answer.json()),
        (404, json!({"error": "database not found: \"x\""}))
    );
    let answer = server.post("/api/v2/write?bucket=x", &[], "m f=1 1").await;
    let expected = json!({"code": "not found", "message": "bucket \"x\" not found"});
    assert_eq!((answer.status, answer.json()), (404, expected));
    assert!(server.tsdb.database("x").is_none());
    server.tsdb.create_database("x", None).unwrap();
    assert_eq!(server.post("/write?db=x", &[], "m,t=1 f=1 1\nm,t=2 f=1").await.status, 204);
    assert_eq!(server.series("x"), 2);
}

#[tokio::test]
async fn a_known_series_is_found_by_its_text() {
    let server = server(|_| {});
    let body = "m,b=2,a=1 f=1 1";
    assert_eq!(server.post("/write?db=d", &[], body).await.status, 204);
    let database = server.tsdb.database("d").unwrap();
    assert!(database.known_series(b"m,b=2,a=1").is_some());
    // The same series in other words is another text, and the same series.
    assert_eq!(server.post("/write?db=d", &[], "m,a=1,b=2 f=2 2").await.status, 204);
    assert_eq!(server.series("d"), 1);
}
