//! Rollups as clients see them: answers from buckets, what is said where they are not exact, and
//! which source answered.

use std::fmt::Write;

use axum::body::Body;
use axum::http::Request;
use firndb_query::http::routes;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::answers::{Fixture, NOW, Storage, percent};

/// 2023-11-11T23:00:00Z, three days before the hour of `NOW`.
const START_S: i64 = 1_699_743_600;

/// A point a minute, `f` their number from 0; those older than six hours only as buckets.
fn fixture() -> Fixture {
    let fixture = Fixture::new(Storage::Tables);
    let mut lines = String::new();
    for minute in 0..3 * 24 * 60 {
        let _ = writeln!(lines, "m,host=a f={minute} {}", START_S + minute * 60);
    }
    fixture.load("d", &lines);
    fixture.ask("db=d", "CREATE ROLLUP r ON d EVERY 1m KEEP 2d, 1h RAW 6h");
    fixture.tsdb.maintain(NOW).expect("maintained");
    fixture
}

fn ask(fixture: &Fixture, text: &str) -> Value {
    let answer = fixture.ask("db=d&epoch=s", text);
    let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
    answer["results"][0].take()
}

#[test]
fn buckets_answer_where_points_are_gone() {
    let fixture = fixture();
    let (from, to) = (START_S, START_S + 2 * 3600);
    let text = format!(
        "SELECT count(f), sum(f), last(f) FROM m WHERE time >= {from}s AND time < {to}s \
         GROUP BY time(1h)"
    );
    let expected = json!({"statement_id": 0, "series": [{"name": "m",
        "columns": ["time", "count", "sum", "last"],
        "values": [[from, 60, 1770, 59], [from + 3600, 60, 5370, 119]]}]});
    assert_eq!(ask(&fixture, &text), expected, "no message: it is exact");
}

#[test]
fn what_is_not_exact_says_so() {
    let fixture = fixture();
    let time = format!("time >= {START_S}s AND time < {}s", START_S + 7200);
    let warning = |asked: &str| {
        format!(
            "{asked} of m is not exact from 2023-11-11T23:00:00Z to 2023-11-12T00:59:59.999999999Z: \
             its points are gone, buckets of 1h of rollup r stand for them"
        )
    };
    let messages = |asked: &str| json!([{"level": "warning", "text": warning(asked)}]);
    // The means of both hours are the rows.
    let got = ask(&fixture, &format!("SELECT median(f) FROM m WHERE {time}"));
    assert_eq!(got["series"][0]["values"], json!([[START_S, 59.5]]));
    assert_eq!(got["messages"], messages("median(f)"));
    let got = ask(&fixture, &format!("SELECT f FROM m WHERE {time}"));
    assert_eq!(got["series"][0]["values"], json!([[START_S, 29.5], [START_S + 3600, 89.5]]));
    assert!(got["messages"][0]["text"].as_str().is_some_and(|text| text.contains("rows of m")));
    // Sums of whole buckets, each where it begins.
    let text = format!("SELECT sum(f) FROM m WHERE {time} GROUP BY time(30m)");
    let got = ask(&fixture, &text);
    let values = json!([
        [START_S, 1770],
        [START_S + 1800, null],
        [START_S + 3600, 5370],
        [START_S + 5400, null]
    ]);
    assert_eq!(got["series"][0]["values"], values);
    assert_eq!(got["messages"], messages("sum(f)"));
    // The newest row is there: nothing was asked of buckets.
    let got = ask(&fixture, "SELECT f FROM m ORDER BY time DESC LIMIT 1");
    assert_eq!(got["series"][0]["values"], json!([[START_S + 3 * 86_400 - 60, 4319]]));
    assert_eq!(got["messages"], Value::Null);
    // CSV: a block of its own; chunked: with the last document.
    let text = format!("SELECT median(f) FROM m WHERE {time}");
    let uri = format!("/query?db=d&epoch=s&q={}", percent(&text));
    let request = Request::get(&uri).header("Accept", "text/csv").body(Body::empty());
    let (_, body) = fixture.send(request.expect("a request"));
    let csv = format!(
        "name,tags,time,median\nm,,{START_S},59.5\n\nwarning\n\"{}\"\n",
        warning("median(f)")
    );
    assert_eq!(String::from_utf8(body).expect("UTF-8"), csv);
    let rows = fixture.ask("db=d&epoch=s&chunked=true&chunk_size=1", "SELECT f FROM m");
    let last = rows.lines().last().expect("documents");
    assert!(last.contains("\"messages\":[{\"level\":\"warning\""), "{last}");
    assert_eq!(rows.matches("messages").count(), 1);
}

#[test]
fn ranges_say_so_too() {
    let fixture = fixture();
    let asked = |function: &str, format: &str| {
        let to = START_S + 7200;
        let uri = format!(
            "/api/v1/range?db=d&measurement=m&from={START_S}s&to={to}s&unit=s&every=1h\
             &fn={function}&format={format}"
        );
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let request = Request::get(uri).body(Body::empty()).expect("a request");
            let response = routes(fixture.state.clone()).oneshot(request).await.expect("an answer");
            let header = response.headers().get("x-firndb-warning").cloned();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("whole");
            (header.map(|text| text.to_str().expect("text").to_owned()), body)
        })
    };
    let (_, body) = asked("sum", "json");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(
        body,
        json!({"unit": "s", "series": [{"name": "m", "tags": {},
        "time": [START_S, START_S + 3600], "fields": {"f": [1770, 5370]}}]})
    );
    let (_, body) = asked("stddev", "json");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let text = body["messages"][0]["text"].as_str().expect("a message");
    assert!(text.starts_with("stddev(f) of m is not exact"), "{text}");
    for format in ["csv", "arrow", "parquet"] {
        assert_eq!(asked("max", format).0, None, "{format}");
        let header = asked("median", format).0.expect("a header");
        assert!(header.starts_with("median(f) of m is not exact"), "{format}: {header}");
    }
}

#[test]
fn explain_names_the_source_of_each_span() {
    let fixture = fixture();
    let spans = |from: i64, window: &str| {
        let text = format!(
            "EXPLAIN ANALYZE SELECT sum(f) FROM m WHERE time >= {from}s AND time < now() \
             GROUP BY time({window})"
        );
        let answer = ask(&fixture, &text);
        let rows = answer["series"][0]["values"].as_array().expect("rows").clone();
        let lines = rows.iter().filter_map(|row| row[0].as_str()?.strip_prefix("SPAN: "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let raw = "2023-11-14T23:00:00Z to 2023-11-14T23:13:20Z FROM raw";
    assert_eq!(
        spans(START_S, "1h"),
        ["2023-11-11T23:00:00Z to 2023-11-14T23:00:00Z FROM rollup r 1h", raw]
    );
    assert_eq!(
        spans(START_S + 86_400 + 1800, "1h"),
        [
            "2023-11-12T23:30:00Z to 2023-11-13T00:00:00Z FROM rollup r 1m",
            "2023-11-13T00:00:00Z to 2023-11-14T23:00:00Z FROM rollup r 1h",
            raw
        ]
    );
    assert_eq!(
        spans(START_S, "10m"),
        [
            "2023-11-11T23:00:00Z to 2023-11-13T00:00:00Z FROM rollup r 1h, not exact",
            "2023-11-13T00:00:00Z to 2023-11-14T23:00:00Z FROM rollup r 1m",
            raw
        ]
    );
}
