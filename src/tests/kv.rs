//! Keys and values over HTTP under conditions: tags, what they allow, and two writers of whom one
//! wins.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::commands::{firndb, outcome, path};
use super::server::Server;

/// Status and tag of a request.
fn send(
    server: &Server,
    method: &str,
    key: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, String) {
    let answer = server.send(method, &format!("/kv/box/{key}"), headers, body);
    (answer.status, answer.header("etag").unwrap_or_default().to_owned())
}

#[test]
fn a_condition_is_held_against_the_tag() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), &[]);
    let put = |headers: &[(&str, &str)], body: &[u8]| send(&server, "PUT", "k", headers, body);
    let value = || server.get("/kv/box/k").body;
    assert_eq!(put(&[("If-Match", "*")], b"never").0, 412, "there is no keyspace yet");
    assert_eq!(send(&server, "DELETE", "k", &[("If-Match", "\"1\"")], b"").0, 412);
    assert_eq!(send(&server, "DELETE", "k", &[], b"").0, 204);
    assert_eq!(server.get("/kv/box").status, 404, "a refused write makes no keyspace");

    let (status, first) = put(&[("If-None-Match", "*")], b"one");
    assert_eq!((status, first.is_empty()), (204, false));
    assert_eq!(put(&[("If-None-Match", "*")], b"never"), (412, String::new()));
    assert_eq!(send(&server, "GET", "k", &[], b""), (200, first.clone()));
    assert_eq!(send(&server, "HEAD", "k", &[], b""), (200, first.clone()));
    let known = send(&server, "GET", "k", &[("If-None-Match", &first)], b"");
    assert_eq!(known, (304, first.clone()));
    let (status, second) = put(&[("If-Match", &first)], b"one");
    assert_eq!(status, 204);
    assert_ne!(second, first, "the same bytes, another write");
    assert_eq!(put(&[("If-Match", &first)], b"never").0, 412);
    assert_eq!(put(&[("If-Match", "\"0\", \"999999\"")], b"never").0, 412);
    assert_eq!(put(&[("If-Match", "no tag")], b"never").0, 400);
    assert_eq!(send(&server, "GET", "k", &[("If-Match", &first)], b"").0, 412);
    assert_eq!(value(), b"one");
    let page = server.get("/kv/box").json();
    assert_eq!(page["entries"][0]["etag"], second.as_str());
    // A flush moves the value and does not change it.
    assert_eq!(server.post("/api/v1/flush", b"").status, 204);
    assert_eq!(send(&server, "GET", "k", &[], b""), (200, second.clone()));
    assert_eq!(send(&server, "DELETE", "k", &[("If-Match", &first)], b"").0, 412);
    assert_eq!(send(&server, "DELETE", "k", &[("If-Match", &second)], b"").0, 204);
    assert_eq!(send(&server, "GET", "k", &[], b"").0, 404);
    assert_eq!(put(&[("If-None-Match", "*")], b"\x00again\xff").0, 204, "it is gone");
    assert_eq!(value(), b"\x00again\xff");
}

#[test]
fn a_batch_under_conditions_is_done_whole_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), &[]);
    let batch = |operations: serde_json::Value| {
        let body = json!({ "operations": operations }).to_string();
        server.post("/kv/box/_batch", body.as_bytes())
    };
    let (a, b) = (BASE64.encode("a"), BASE64.encode("b"));
    let done = batch(json!([
        {"op": "put", "key": "x", "value": a, "if_none_match": "*"},
        {"op": "put", "key": "y", "value": a},
    ]));
    assert_eq!(done.status, 204, "{}", done.text());
    let tag = done.header("etag").expect("a tag").to_owned();
    let refused = batch(json!([
        {"op": "put", "key": "x", "value": b},
        {"op": "delete", "key": "y", "if_match": "\"7777\""},
    ]));
    assert_eq!(refused.status, 412);
    assert!(refused.text().contains("operation 1"), "{}", refused.text());
    assert_eq!(server.get("/kv/box/x").body, b"a");
    let done = batch(json!([
        {"op": "put", "key": "x", "value": b, "if_match": tag},
        {"op": "delete", "key": "y", "if_match": tag},
    ]));
    assert_eq!(done.status, 204, "{}", done.text());
    assert_eq!(server.get("/kv/box/x").body, b"b");
    assert_eq!(server.get("/kv/box/y").status, 404);
    let wrong = batch(json!([{"op": "put", "key": "x", "value": b, "if_match": "1"}]));
    assert_eq!(wrong.status, 400, "{}", wrong.text());
}

#[test]
fn of_writers_with_one_condition_one_wins() {
    const WRITERS: usize = 4;
    const ROUNDS: usize = 25;
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), &["--wal-sync", "os"]);
    // Each adds one to what it read, and again from the start where another was faster.
    let add_ones = || {
        let mut refused = 0;
        for _ in 0..ROUNDS {
            loop {
                let now = server.get("/kv/box/counter");
                let (count, condition) = match now.status {
                    404 => (0, ("If-None-Match", "*".to_owned())),
                    _ => {
                        let count: u64 = now.text().parse().expect("a number");
                        (count, ("If-Match", now.header("etag").expect("a tag").to_owned()))
                    }
                };
                let headers = [(condition.0, condition.1.as_str())];
                let text = (count + 1).to_string();
                match send(&server, "PUT", "counter", &headers, text.as_bytes()).0 {
                    204 => break,
                    412 => refused += 1,
                    other => panic!("status {other}"),
                }
            }
        }
        refused
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(add_ones)).collect();
        writers.into_iter().for_each(|writer| {
            writer.join().expect("a writer ends");
        });
    });
    assert_eq!(server.get("/kv/box/counter").text(), (WRITERS * ROUNDS).to_string());

    // Of many that each want to be the first of a key, one is.
    for round in 0..10 {
        let wins = std::thread::scope(|scope| {
            let first = |writer: usize| {
                let (server, headers) = (&server, [("If-None-Match", "*")]);
                let key = format!("first{round}");
                scope.spawn(move || {
                    send(server, "PUT", &key, &headers, writer.to_string().as_bytes()).0
                })
            };
            let writers: Vec<_> = (0..WRITERS).map(first).collect();
            let statuses = writers.into_iter().map(|writer| writer.join().expect("it ends"));
            let mut statuses: Vec<_> = statuses.collect();
            statuses.sort_unstable();
            statuses
        });
        assert_eq!(wins, [204, 412, 412, 412], "round {round}");
    }
}

#[test]
fn values_go_by_themselves() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), &[]);
    let put = |key: &str, headers: &[(&str, &str)]| {
        let answer = server.send("PUT", &format!("/kv/box/{key}"), headers, b"value");
        assert!(matches!(answer.status, 204 | 400 | 412), "{key}: {}", answer.text());
        answer.status
    };
    // One millisecond is over when the next request is answered, or the one after it.
    let is_gone = |key: &str| (0..).any(|_| server.get(&format!("/kv/box/{key}")).status == 404);
    assert_eq!(put("short?ttl=1ms", &[]), 204);
    assert_eq!(put("header", &[("X-TTL", "1ms")]), 204);
    assert_eq!(put("first?ttl=1ms", &[("If-None-Match", "*")]), 204);
    for key in ["short", "header", "first"] {
        assert!(is_gone(key), "{key}");
    }
    assert_eq!(put("first?ttl=7d", &[("If-None-Match", "*")]), 204, "what is gone is not there");
    assert_eq!(put("first?ttl=7d", &[("If-None-Match", "*")]), 412);
    assert_eq!(server.get("/kv/box/first").body, b"value");
    let batch = br#"{"operations":[{"op":"put","key":"a","value":"YQ==","ttl":"1ms"},
                                   {"op":"put","key":"b","value":"Yg==","ttl":"7d"}]}"#;
    assert_eq!(server.post("/kv/box/_batch", batch).status, 204);
    assert!(is_gone("a"));
    let page = server.get("/kv/box").json();
    let entries = page["entries"].as_array().expect("entries").iter();
    let keys: Vec<_> = entries.map(|entry| entry["key"].as_str()).collect();
    assert_eq!(keys, [Some("b"), Some("first")]);
    for wrong in ["k?ttl=soon", "k?ttl=0s", "k?ttl=", "k?tll=1s"] {
        assert_eq!(put(wrong, &[]), 400, "{wrong}");
    }
    assert_eq!(server.stop(), Some(0));
    let args = ["find", "b", path(dir.path()), "--keyspace", "kv/box"];
    let (code, out, err) = outcome(&firndb(&args, ""));
    assert_eq!((code, out.contains("until 2")), (Some(0), true), "{out}{err}");
}
