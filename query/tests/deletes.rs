//! Deletes over HTTP: with an answer of their own, and as InfluxDB 2 has them.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::answers::{Fixture, Storage, percent};

fn fixture() -> Fixture {
    let fixture = Fixture::new(Storage::Tables);
    let lines = ["m,h=a f=1,g=1", "m,h=b f=2", "n,h=a f=3"];
    let times = [1_700_000_000i64, 1_700_000_060, 1_700_000_120];
    let lines: Vec<String> =
        lines.iter().flat_map(|line| times.map(|time| format!("{line} {time}"))).collect();
    fixture.load("d", &lines.join("\n"));
    fixture
}

fn send(fixture: &Fixture, method: &str, uri: &str, body: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(uri);
    let (status, body) =
        fixture.send(request.body(Body::from(body.to_owned())).expect("a request"));
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// Rows as `measurement host time-1700000000 f g`.
fn left(fixture: &Fixture) -> Vec<String> {
    let text = fixture.ask("db=d&epoch=s", "SELECT f, g FROM m, n GROUP BY h");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let series = answer["results"][0]["series"].as_array().cloned().unwrap_or_default();
    let rows = series.iter().flat_map(|series| {
        let (name, host) = (series["name"].clone(), series["tags"]["h"].clone());
        let rows = series["values"].as_array().cloned().unwrap_or_default();
        rows.into_iter().map(move |row| {
            let time = row[0].as_i64().unwrap_or(0) - 1_700_000_000;
            let (name, host) = (name.as_str().unwrap_or(""), host.as_str().unwrap_or(""));
            format!("{name} {host} {time} {} {}", row[1], row[2])
        })
    });
    rows.collect()
}

#[test]
fn a_delete_answers_with_its_number() {
    let fixture = fixture();
    let uri = |query: &str, text: &str| format!("/api/v1/delete?{query}&q={}", percent(text));
    let text = "DELETE FROM m WHERE h = 'a' AND time < 1700000100s";
    let count = json!({"dry_run": true, "points": 2, "values": 4, "series": 1, "partitions": 1});
    let answer = send(&fixture, "POST", &uri("db=d&dry_run=true", text), "");
    assert_eq!(answer, (200, count.clone()));
    let answer = send(&fixture, "POST", &uri("db=d", &format!("EXPLAIN {text}")), "");
    assert_eq!(answer, (200, count));
    assert_eq!(left(&fixture).len(), 9);
    let answer = send(&fixture, "POST", &uri("db=d", text), "");
    let made = json!({"dry_run": false, "deletes": [{"id": 1, "series": 1, "partitions": 1}]});
    assert_eq!(answer, (200, made));
    assert_eq!(left(&fixture).len(), 7);
    let nothing = json!({"dry_run": false, "deletes": []});
    assert_eq!(send(&fixture, "POST", &uri("db=d", "DELETE FROM zz"), ""), (200, nothing));

    let listed = |state: &str, done: Value, freed: &Value| {
        json!({"deletes": [{
            "id": 1, "statement": text, "policy": null, "state": state, "series": 1,
            "partitions": 1, "partitions_left": u64::from(state == "purging"), "bytes_freed": freed, "created": "2023-11-14T23:13:20Z", "done": done,
        }]})
    };
    let answer = send(&fixture, "GET", "/api/v1/deletes?db=d", "");
    assert_eq!(answer, (200, listed("purging", Value::Null, &json!(0))));
    for _ in 0..3 {
        fixture.tsdb.maintain(super::answers::NOW).expect("maintained");
    }
    let (_, answer) = send(&fixture, "GET", "/api/v1/deletes?db=d", "");
    let freed = &answer["deletes"][0]["bytes_freed"];
    assert!(freed.as_u64().is_some_and(|bytes| bytes > 0), "{answer}");
    assert_eq!(answer, listed("done", json!("2023-11-14T23:13:20Z"), freed));
    assert_eq!(left(&fixture).len(), 7);
    let shown = fixture.ask("db=d", "SHOW DELETES");
    let columns = r#"["id","state","policy","series","partitions","partitions_left","bytes_freed""#;
    assert!(shown.contains(columns) && shown.contains("[1,\"done\",\"\",1,"), "{shown}");
}

#[test]
fn what_is_no_delete_is_refused() {
    let fixture = fixture();
    let cases = [
        ("POST", "/api/v1/delete?db=d", 400, "missing required parameter \"q\""),
        ("POST", "/api/v1/delete?db=d&q=SHOW+DELETES", 400, "q must be one DELETE statement"),
        ("POST", "/api/v1/delete?db=d&q=DELETE", 400, "error parsing query: found EOF"),
        ("POST", "/api/v1/delete?db=zz&q=DELETE+FROM+m", 404, "database not found: zz"),
        ("POST", "/api/v1/delete?q=DELETE+FROM+m", 400, "database name required"),
        ("POST", "/api/v1/delete?db=d&rp=x&q=DELETE+FROM+m", 404, "retention policy not found: x"),
        ("GET", "/api/v1/deletes?db=zz", 404, "database not found: zz"),
        ("GET", "/api/v1/deletes", 400, "parameter \"db\": missing"),
    ];
    for (method, uri, status, text) in cases {
        let (got, body) = send(&fixture, method, uri, "");
        let message = body["error"].as_str().unwrap_or_default();
        assert_eq!(got, status, "{uri}: {body}");
        assert!(message.contains(text), "{uri}: {body}");
    }
    assert_eq!(left(&fixture).len(), 9);
}

#[test]
fn deletes_of_version_2() {
    type Case = (&'static str, &'static str, &'static [&'static str]);
    let all = "\"start\":\"1970-01-01T00:00:00Z\",\"stop\":\"2100-01-01T00:00:00Z\"";
    // Half past the first row until the last one, which stays.
    let middle = "\"start\":\"2023-11-14T22:13:20.5Z\",\"stop\":\"2023-11-14T23:15:20+01:00\"";
    let cases: [Case; 6] = [
        (all, "", &[]),
        (
            middle,
            r#"_measurement=\"m\" AND h=\"a\""#,
            &[
                "m a 0 1 1",
                "m a 120 1 1",
                "m b 0 2 null",
                "m b 60 2 null",
                "m b 120 2 null",
                "n a 0 3 null",
                "n a 60 3 null",
                "n a 120 3 null",
            ],
        ),
        (all, r#"h != \"b\""#, &["m b 0 2 null", "m b 60 2 null", "m b 120 2 null"]),
        (
            middle,
            r#"_field=\"f\""#,
            &[
                "m a 0 1 1",
                "m a 60 null 1",
                "m a 120 1 1",
                "m b 0 2 null",
                "m b 120 2 null",
                "n a 0 3 null",
                "n a 120 3 null",
            ],
        ),
        (
            all,
            r#"_measurement != \"m\" and (h=\"a\")"#,
            &[
                "m a 0 1 1",
                "m a 60 1 1",
                "m a 120 1 1",
                "m b 0 2 null",
                "m b 60 2 null",
                "m b 120 2 null",
            ],
        ),
        (
            middle,
            r#"_measurement=\"zz\""#,
            &[
                "m a 0 1 1",
                "m a 60 1 1",
                "m a 120 1 1",
                "m b 0 2 null",
                "m b 60 2 null",
                "m b 120 2 null",
                "n a 0 3 null",
                "n a 60 3 null",
                "n a 120 3 null",
            ],
        ),
    ];
    for (times, predicate, expected) in cases {
        let fixture = fixture();
        let body = format!("{{{times},\"predicate\":\"{predicate}\"}}");
        let answer = send(&fixture, "POST", "/api/v2/delete?org=o&bucket=d", &body);
        assert_eq!(answer, (204, Value::Null), "{predicate}");
        assert_eq!(left(&fixture), expected, "{predicate}");
    }
}

#[test]
fn version_2_refuses_in_its_own_form() {
    let fixture = fixture();
    let times = r#""start":"2023-01-01T00:00:00Z","stop":"2024-01-01T00:00:00Z""#;
    let parsing = "invalid request; error parsing request json: ";
    let start = "invalid RFC3339Nano for field start, please format your time with RFC3339Nano \
                 format, example: 2009-01-02T23:00:00Z";
    let or = "the logical operator OR is not supported yet at position 4";
    let cases: [(&str, String, u16, &str, String); 7] = [
        ("bucket=zz", format!("{{{times}}}"), 404, "not found", "bucket \"zz\" not found".into()),
        (
            "bucket=d/zz",
            format!("{{{times}}}"),
            404,
            "not found",
            "bucket \"d/zz\" not found".into(),
        ),
        ("org=o", format!("{{{times}}}"), 400, "invalid", "bucket not found".into()),
        ("bucket=d", "{}".into(), 400, "invalid", format!("{parsing}{start}")),
        ("bucket=d", "{\"start\":1}".into(), 400, "invalid", parsing.into()),
        ("bucket=d", "x".into(), 400, "invalid", parsing.into()),
        (
            "bucket=d/autogen",
            format!("{{{times},\"predicate\":\"a=b OR c=d\"}}"),
            400,
            "invalid",
            format!("{parsing}{or}"),
        ),
    ];
    for (query, body, status, code, message) in cases {
        let (got, answer) = send(&fixture, "POST", &format!("/api/v2/delete?{query}"), &body);
        assert_eq!((got, answer["code"].as_str()), (status, Some(code)), "{query} {body}");
        let text = answer["message"].as_str().unwrap_or_default();
        assert!(text.starts_with(&message), "{text}");
    }
    assert_eq!(left(&fixture).len(), 9);
}
