//! Requests in all their forms, and answers in all theirs.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use firndb_engine::budget::{Budget, Share};
use firndb_query::http::routes;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::answers::{Fixture, Storage, percent};

fn fixture() -> Fixture {
    let fixture = Fixture::new(Storage::Memory);
    fixture.load("d", "m,h=a f=1 1\nm,h=a f=2 2\nm,h=b f=3 3");
    fixture
}

fn get(
    fixture: &Fixture,
    parameters: &str,
    text: &str,
    headers: &[(&str, &str)],
) -> (u16, Vec<u8>) {
    let mut request = Request::get(format!("/query?{parameters}&q={}", percent(text)));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    fixture.send(request.body(Body::empty()).expect("a request"))
}

fn post(fixture: &Fixture, uri: &str, kind: &str, body: &str) -> (u16, Value) {
    let request = Request::post(uri).header("Content-Type", kind);
    let (status, body) =
        fixture.send(request.body(Body::from(body.to_string())).expect("a request"));
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[test]
fn parameters_come_from_url_form_and_parts() {
    let fixture = fixture();
    let expected = json!({"results":[{"statement_id":0,"series":[
        {"name":"m","columns":["time","f"],"values":[[3000, 3]]}]}]});
    let text = "SELECT f FROM m WHERE h = 'b'";
    let (status, body) = get(&fixture, "db=d&epoch=ms", text, &[]);
    assert_eq!((status, serde_json::from_slice(&body).ok()), (200, Some(expected.clone())));
    let form = "application/x-www-form-urlencoded";
    let body = format!("q={}&epoch=ms", percent(text));
    // What the form says wins over the URL.
    let answer = post(&fixture, "/query?db=d&epoch=s&q=SHOW", form, &body);
    assert_eq!(answer, (200, expected.clone()));
    let parts = format!(
        "--B\r\nContent-Disposition: form-data; name=\"db\"\r\n\r\nd\r\n--B\r\n\
         Content-Disposition: form-data; name=\"q\"; filename=\"q\"\r\n\r\n{text}\r\n--B--\r\n"
    );
    let answer = post(&fixture, "/query?epoch=ms", "multipart/form-data; boundary=B", &parts);
    assert_eq!(answer, (200, expected));
    let answer = post(&fixture, "/query?db=d", "application/json", "");
    assert_eq!(answer, (400, json!({"error": "missing required parameter \"q\""})));
    let large = format!("q={}", "x".repeat(2 << 20));
    let answer = post(&fixture, "/query", form, &large);
    assert_eq!(answer, (413, json!({"error": "Request Entity Too Large"})));
}

#[test]
fn a_refused_text_is_a_400_with_a_header() {
    let fixture = fixture();
    let request = Request::get("/query?q=SELEC").body(Body::empty()).expect("a request");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let response = runtime.block_on(routes(fixture.state.clone()).oneshot(request)).expect("one");
    assert_eq!(response.status(), 400);
    let header = response.headers()["x-influxdb-error"].to_str().expect("text");
    assert!(header.starts_with("error parsing query: found SELEC, expected SELECT"), "{header}");
}

#[test]
fn changes_by_get_carry_a_warning() {
    let fixture = fixture();
    let (_, body) = get(&fixture, "", "CREATE DATABASE x2", &[]);
    let text = "deprecated use of 'CREATE DATABASE x2' in a read only context, please use a POST \
                request instead";
    let expected = json!({"results":[{"statement_id":0,"messages":[
        {"level":"warning","text":text}]}]});
    assert_eq!(serde_json::from_slice::<Value>(&body).ok(), Some(expected));
}

#[test]
fn answers_in_csv_and_compressed() {
    let fixture = fixture();
    let text = "SELECT f FROM m GROUP BY h; SHOW DATABASES; SELECT x FROM nope..m";
    let expected = "name,tags,time,f\nm,h=a,1000000000,1\nm,h=a,2000000000,2\nm,h=b,3000000000,3\n\
                    \nname,tags,name\ndatabases,,d\n\nerror\ndatabase not found: nope\n";
    for accept in ["application/csv", "text/csv"] {
        let (status, body) = get(&fixture, "db=d", text, &[("Accept", accept)]);
        assert_eq!((status, String::from_utf8(body).expect("UTF-8").as_str()), (200, expected));
    }
    let (_, plain) = get(&fixture, "db=d", text, &[]);
    let (_, packed) = get(&fixture, "db=d", text, &[("Accept-Encoding", "gzip, deflate")]);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, plain);
}

/// An answer of many pieces: whole, indented, compressed and in chunks it says the same.
#[test]
fn long_answers_stream() {
    let fixture = Fixture::new(Storage::Tables);
    let lines: Vec<String> =
        (0..30_000).map(|i| format!("m,h=h{} f={}.25,s=\"x{i}\" {i}", i % 7, i)).collect();
    for lines in lines.chunks(5000) {
        fixture.load("d", &lines.join("\n"));
    }
    let text = "SELECT * FROM m";
    let (_, whole) = get(&fixture, "db=d&epoch=s", text, &[]);
    assert!(whole.len() > 10 * 64 * 1024, "several pieces");
    let whole: Value = serde_json::from_slice(&whole).expect("JSON");
    let values = whole["results"][0]["series"][0]["values"].as_array().expect("rows");
    assert_eq!(values.len(), 30_000);
    assert_eq!(values[29_999], json!([29_999, 29_999.25, "h4", "x29999"]));
    let (_, pretty) = get(&fixture, "db=d&epoch=s&pretty=true", text, &[]);
    assert_eq!(serde_json::from_slice::<Value>(&pretty).ok().as_ref(), Some(&whole));
    let (_, packed) = get(&fixture, "db=d&epoch=s", text, &[("Accept-Encoding", "gzip")]);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(serde_json::from_slice::<Value>(&unpacked).ok().as_ref(), Some(&whole));
    let (_, chunked) = get(&fixture, "db=d&epoch=s&chunked=true&chunk_size=999", text, &[]);
    let mut rows = Vec::new();
    let documents: Vec<&[u8]> = chunked.split(|b| *b == b'\n').filter(|d| !d.is_empty()).collect();
    for (index, document) in documents.iter().enumerate() {
        let document: Value = serde_json::from_slice(document).expect("a document a line");
        let result = &document["results"][0];
        let last = index + 1 == documents.len();
        assert_eq!(result.get("partial").is_none(), last, "document {index}");
        assert_eq!(result["series"][0].get("partial").is_none(), last, "document {index}");
        rows.extend(result["series"][0]["values"].as_array().expect("rows").iter().cloned());
    }
    assert_eq!(&rows, values);
}

/// Whoever goes away before the end of an answer stops its query.
#[test]
fn a_dropped_answer_stops_its_query() {
    let fixture = Fixture::new(Storage::Tables);
    for part in 0..4 {
        let lines: Vec<String> =
            (0..20_000).map(|i| format!("m f={i}.5,g={i}i {}", part * 20_000 + i)).collect();
        fixture.load("d", &lines.join("\n"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let request = Request::get(format!("/query?db=d&q={}", percent("SELECT f, g FROM m")));
    let request = request.body(Body::empty()).expect("a request");
    let app = routes(fixture.state.clone());
    let response = runtime.block_on(app.oneshot(request)).expect("an answer");
    assert_eq!(response.status(), 200);
    drop(response);
    // The runtime waits for its threads: this returns because the query gave up.
    drop(runtime);
}

#[test]
fn limits_end_a_statement_with_an_error() {
    let mut fixture = fixture();
    fixture.state.rows_max = 2;
    let (_, body) = get(&fixture, "db=d&epoch=s", "SELECT f FROM m; SHOW DATABASES", &[]);
    let expected = json!({"results":[
        {"statement_id":0,"series":[{"name":"m","columns":["time","f"],
         "values":[[1, 1], [2, 2]],"partial":true}]},
        {"statement_id":1,"series":[{"name":"databases","columns":["name"],"values":[["d"]]}]}]});
    assert_eq!(serde_json::from_slice::<Value>(&body).ok(), Some(expected));
    fixture.state.rows_max = 0;
    fixture.state.timeout_ns = Some(0);
    let (status, body) = get(&fixture, "db=d", "SELECT f FROM m; SHOW DATABASES", &[]);
    let expected = json!({"results":[
        {"statement_id":0,"error":"query-timeout limit exceeded"},
        {"statement_id":1,"error":"not executed"}]});
    assert_eq!((status, serde_json::from_slice::<Value>(&body).ok()), (200, Some(expected)));
}

#[test]
fn rollups_over_http() {
    let fixture = fixture();
    let send = |method: &str, uri: &str, body: &str| {
        let request = Request::builder().method(method).uri(uri);
        let request = request.body(Body::from(body.to_string())).expect("a request");
        let (status, body) = fixture.send(request);
        (status, serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null))
    };
    let uri = "/api/v1/rollups?db=d";
    assert_eq!(send("GET", uri, ""), (200, json!({"rollups": []})));
    let asked = r#"{"measurements":["m"],"raw":"7d","levels":[{"every":"1m","keep":"90d"},{"every":"1h"}]}"#;
    let made = json!({"name": "autogen_1m_1h", "policy": "autogen", "measurements": ["m"],
        "raw": "1w", "dirty": 0, "levels": [
        {"every": "1m", "keep": "90d", "built_until": null, "bytes": 0},
        {"every": "1h", "keep": null, "built_until": null, "bytes": 0}]});
    assert_eq!(send("POST", uri, asked), (200, made.clone()));
    // What was answered says the same when it is sent.
    assert_eq!(send("POST", uri, &made.to_string()), (200, made.clone()));
    assert_eq!(send("GET", uri, ""), (200, json!({"rollups": [made]})));
    let cases = [
        ("POST", uri, r#"{"name":"autogen_1m_1h","levels":[{"every":"2m"}]}"#, 409),
        ("POST", uri, r#"{"levels":[{"every":"x"}]}"#, 400),
        ("POST", uri, r#"{"levels":[]}"#, 400),
        ("POST", uri, r#"{"level":[]}"#, 400),
        ("POST", uri, "", 400),
        ("POST", uri, r#"{"policy":"nope","levels":[{"every":"1m"}]}"#, 404),
        ("POST", "/api/v1/rollups?db=nope", asked, 404),
        ("GET", "/api/v1/rollups", "", 400),
        ("DELETE", uri, "", 400),
        ("DELETE", "/api/v1/rollups?db=d&name=nope", "", 404),
        ("DELETE", "/api/v1/rollups?db=d&name=autogen_1m_1h", "", 204),
        ("DELETE", "/api/v1/rollups?db=d&name=autogen_1m_1h", "", 404),
    ];
    for (method, uri, body, expected) in cases {
        let (status, answer) = send(method, uri, body);
        assert_eq!(status, expected, "{method} {uri} {body}: {answer}");
        assert!(status == 204 || answer["error"].is_string(), "{answer}");
    }
}

#[test]
fn the_plan_of_retention_over_http() {
    let fixture = fixture();
    fixture.load("e", "cpu,env=dev v=1 1700000000\ncpu v=1 1700000000");
    fixture.tsdb.store().flush(None).expect("flushed");
    fixture.ask("db=e", "RETAIN 1d ON e WHERE env = 'dev'; RETAIN 1GB ON e");
    let plan = |parameters: &str| {
        let request = Request::get(format!("/api/v1/retention/plan{parameters}"));
        let (status, body) = fixture.send(request.body(Body::empty()).expect("a request"));
        (status, serde_json::from_slice::<Value>(&body).expect("JSON"))
    };
    let (status, of_e) = plan("?db=e");
    let bytes = of_e["databases"][0]["partitions"][0]["bytes"].as_u64().expect("bytes");
    assert!(bytes > 0);
    let partition = json!({"policy": "autogen", "start": "2023-11-09T00:00:00Z",
        "end": "2023-11-16T00:00:00Z", "bytes": bytes, "goes_at": null, "reason": null,
        "held": false});
    let rules = json!([
        {"id": 1, "rule": "RETAIN 1d ON e WHERE \"env\" = 'dev'", "series": 1,
         "bytes": bytes / 2, "expired_bytes": 0},
        {"id": 2, "rule": "RETAIN 1000000000B ON e", "series": 2, "bytes": bytes,
         "expired_bytes": 0}]);
    let expected = json!({"now": "2023-11-14T23:13:20Z", "databases": [
        {"name": "e", "partitions": [partition], "rules": rules}]});
    assert_eq!((status, &of_e), (200, &expected));
    fixture.ask("db=e", "ALTER RETENTION POLICY autogen ON e DURATION 8d");
    let (_, of_all) = plan("");
    assert_eq!(of_all["databases"].as_array().map(Vec::len), Some(2));
    let partition = &of_all["databases"][1]["partitions"][0];
    assert_eq!(partition["goes_at"], "2023-11-24T00:00:00Z");
    assert_eq!(partition["reason"], "policy");
    assert_eq!(plan("?db=nope").0, 404);
}

#[test]
fn a_query_waits_for_memory_and_is_refused_when_none_comes() {
    let mut fixture = fixture();
    fixture.state.budget = Budget::new(1 << 20);
    let request = || {
        let uri = format!("/query?db=d&q={}", percent("SELECT sum(f) FROM m"));
        Request::get(uri).body(Body::empty()).expect("a request")
    };
    let held = fixture.state.budget.reserve_anyway(Share::Memtables, 1 << 20);
    let (_, body) = fixture.send(request());
    let body = String::from_utf8(body).expect("UTF-8");
    assert!(body.contains("memory limit exceeded"), "{body}");

    // The clock of the fixture stands still: only what is given back ends the wait.
    fixture.state.memory_wait = Duration::from_secs(1);
    let app = routes(fixture.state.clone());
    let body = fixture.runtime.block_on(async {
        let answer = tokio::spawn(app.oneshot(request()));
        tokio::task::yield_now().await;
        assert!(!answer.is_finished(), "it waits");
        drop(held);
        let answer = answer.await.expect("no panic").expect("an answer");
        axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a whole body")
    });
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(answer["results"][0]["series"][0]["values"][0][1], 6, "{answer}");
}
