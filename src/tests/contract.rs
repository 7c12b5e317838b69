//! The HTTP contract that existing InfluxDB clients rely on, against the real process.

use std::io::Write;

use serde_json::{Value, json};

use super::server::{Answer, Server, percent};

fn with_server(args: &[&str], test: impl FnOnce(&Server)) {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), args);
    test(&server);
    assert_eq!(server.stop(), Some(0), "a clean stop");
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

fn error_of(answer: &Answer) -> String {
    answer.json()["error"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn ping_health_and_headers() {
    with_server(&[], |server| {
        for method in ["GET", "HEAD"] {
            let answer = server.send(method, "/ping", &[("X-Request-Id", "abc")], b"");
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{method} /ping");
            let version = answer.header("x-influxdb-version").expect("a version");
            assert!(version.starts_with("1."), "v1 clients compare the major: {version}");
            assert_eq!(answer.header("x-influxdb-build"), Some("OSS"));
            assert_eq!(answer.header("x-request-id"), Some("abc"));
            assert_eq!(answer.header("request-id"), Some("abc"));
        }
        let verbose = server.get("/ping?verbose=true").json();
        assert_eq!(verbose, json!({"version": "1.8.10"}));
        let health = server.get("/health").json();
        assert_eq!((&health["status"], &health["name"]), (&json!("pass"), &json!("influxdb")));
        assert_eq!(server.get("/ready").json()["status"], "ready");
        assert_eq!(server.get("/no/such/path").status, 404);
        let wrong = server.send("DELETE", "/write?db=x", &[], b"");
        assert_eq!(wrong.status, 405);
        assert!(wrong.header("allow").is_some_and(|allow| allow.contains("POST")));
        let metrics = server.get("/metrics");
        for name in [
            "firndb_points_written_total",
            "firndb_wal_fsync_duration_seconds_bucket",
            "firndb_queries_total{lang=\"influxql\",status=\"ok\"}",
        ] {
            assert!(metrics.text().contains(name), "{name} in /metrics");
        }
    });
}

#[test]
fn v1_write_answers() {
    with_server(&[], |server| {
        let cases: [(&str, &str, u16, &str); 14] = [
            ("/write?db=d", "m f=1 1", 204, ""),
            ("/write?db=d", "", 204, ""),
            ("/write?db=d", "# only a comment\n\n", 204, ""),
            ("/write", "m f=1 1", 400, "database is required"),
            (
                "/write?db=d&precision=xx",
                "m f=1 1",
                400,
                "invalid precision \"xx\" (use n, u, ms, s, m or h)",
            ),
            ("/write?db=d&consistency=no", "m f=1 1", 400, "invalid consistency level"),
            ("/write?db=d&consistency=all", "m f=1 1", 204, ""),
            ("/write?db=d&rp=nope", "m f=1 1", 404, "retention policy not found: nope"),
            ("/write?db=d", "m f=", 400, "unable to parse 'm f=': missing field value"),
            (
                "/write?db=d",
                "m f=1 1\nbad",
                400,
                "partial write: unable to parse 'bad': missing fields dropped=0",
            ),
            (
                "/write?db=d",
                "m f=2i 5\nm f=3 6",
                400,
                "partial write: field type conflict: input field \"f\" on measurement \"m\" is type \
                 integer, already exists as type float dropped=1",
            ),
            (
                "/write?db=d",
                "m,time=1 f=1 9",
                400,
                "partial write: invalid tag key: input tag \
                 \"time\" on measurement \"m\" is invalid dropped=1",
            ),
            ("/write?db=d&precision=s", "p f=1 1700000000", 204, ""),
            ("/write?db=d&precision=ms", "p f=2 1700000001000", 204, ""),
        ];
        for (path, body, status, error) in cases {
            let answer = server.post(path, body.as_bytes());
            assert_eq!(answer.status, status, "{path} {body:?}: {}", answer.text());
            if status == 204 {
                assert!(answer.body.is_empty(), "{path} {body:?}");
            } else {
                assert_eq!(error_of(&answer), error, "{path} {body:?}");
                assert!(answer.header("x-influxdb-error").is_some(), "{path} {body:?}");
            }
        }
        let kept = server.query("d", "SELECT f FROM m");
        assert_eq!(kept["series"][0]["values"], json!([[1, 1], [6, 3]]));
        let precise = server.query("d", "SELECT f FROM p");
        let expected =
            json!([[1_700_000_000_000_000_000i64, 1], [1_700_000_001_000_000_000i64, 2]]);
        assert_eq!(precise["series"][0]["values"], expected);
    });
}

#[test]
fn bodies_compressed_broken_and_too_large() {
    with_server(&["--set", "http.body_bytes_max=64KiB"], |server| {
        let gz = [("Content-Encoding", "gzip")];
        assert_eq!(server.send("POST", "/write?db=d", &gz, &gzip("m f=1 1")).status, 204);
        assert_eq!(server.send("POST", "/write?db=d", &gz, b"not gzip").status, 400);
        assert_eq!(server.send("POST", "/write?db=d", &gz, b"").status, 204);
        assert_eq!(server.send("GET", "/ping", &gz, b"").status, 204);
        let large = "m f=1 1\n".repeat(10_000);
        let answer = server.post("/write?db=d", large.as_bytes());
        assert_eq!((answer.status, error_of(&answer).as_str()), (413, "Request Entity Too Large"));
        let answer = server.post("/api/v2/write?bucket=d", large.as_bytes());
        assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("request too large")));
    });
}

#[test]
fn v2_and_v3_writes() {
    with_server(&[], |server| {
        let write = |path: &str, body: &str| server.post(path, body.as_bytes());
        assert_eq!(write("/api/v2/write?bucket=b&org=o", "m f=1 1").status, 204);
        assert_eq!(write("/api/v2/write?bucket=b/autogen&precision=s", "m f=2 2").status, 204);
        let answer = write("/api/v2/write?bucket=b", "m f=3 3\nbad");
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid")));
        assert_eq!(answer.json()["message"], "unable to parse 'bad': missing fields");
        let answer = write("/api/v2/write?bucket=b", "m f=4 4\nm f=5i 5");
        assert_eq!((answer.status, &answer.json()["code"]), (422, &json!("unprocessable entity")));
        let answer = write("/api/v2/write", "m f=1 1");
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid")));
        let answer = write("/api/v2/write?bucket=b&precision=h", "m f=1 1");
        assert_eq!(answer.status, 400);
        let rows = server.query("b", "SELECT f FROM m");
        assert_eq!(rows["series"][0]["values"], json!([[1, 1], [4, 4], [2_000_000_000, 2]]));

        assert_eq!(write("/api/v3/write_lp?db=c&precision=second", "m f=1 1").status, 204);
        let answer = write("/api/v3/write_lp?db=c&precision=nanosecond", "m f=2 2\nbad");
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["error"], "partial write of line protocol occurred");
        assert_eq!(answer.json()["data"][0]["line_number"], 2);
        let answer = write("/api/v3/write_lp?db=c&accept_partial=false", "m f=3 3\nbad");
        assert_eq!(answer.json()["error"], "line protocol parsing error");
        let rows = server.query("c", "SELECT f FROM m");
        assert_eq!(rows["series"][0]["values"], json!([[2, 2], [1_000_000_000, 1]]));
    });
}

#[test]
fn unknown_database_without_auto_create() {
    with_server(&["--set", "database.auto_create=false"], |server| {
        let answer = server.post("/write?db=nope", b"m f=1 1");
        assert_eq!(
            (answer.status, error_of(&answer)),
            (404, "database not found: \"nope\"".into())
        );
        let answer = server.post("/api/v2/write?bucket=nope", b"m f=1 1");
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not found")));
        let created = server.send(
            "POST",
            "/query",
            &[("Content-Type", "application/x-www-form-urlencoded")],
            b"q=CREATE%20DATABASE%20%22telegraf%22",
        );
        assert_eq!(
            (created.status, created.json()),
            (200, json!({"results":[{"statement_id":0}]}))
        );
        assert_eq!(server.post("/write?db=telegraf", b"m f=1 1").status, 204);
    });
}

fn load_sample(server: &Server) {
    let mut text = String::new();
    for (host, base) in [("a", 0), ("b", 100)] {
        for i in 0..6 {
            let time = 1_700_000_000i64 + i * 10;
            text += &format!("cpu,host={host} usage={}.5,n={}i {time}\n", base + i, base + i);
        }
    }
    assert_eq!(server.post("/write?db=d&precision=s", text.as_bytes()).status, 204);
}

#[test]
fn query_shapes() {
    with_server(&[], |server| {
        load_sample(server);
        let ask = |rest: &str, q: &str| server.get(&format!("/query?db=d{rest}&q={}", percent(q)));
        let rows = |rest: &str, q: &str| ask(rest, q).json()["results"][0]["series"].clone();

        let series = rows("", "SELECT usage FROM cpu WHERE host = 'a' LIMIT 1");
        assert_eq!(series[0]["values"], json!([["2023-11-14T22:13:20Z", 0.5]]));
        let series =
            rows("&epoch=ms", "SELECT n FROM cpu WHERE host = 'a' ORDER BY time DESC LIMIT 1");
        assert_eq!(series[0]["values"], json!([[1_700_000_050_000i64, 5]]));
        let series = rows("&epoch=s", "SELECT mean(usage) FROM cpu GROUP BY host");
        assert_eq!(series[0]["tags"], json!({"host": "a"}));
        assert_eq!(series[1]["values"], json!([[0, 103]]));
        let window = "SELECT sum(n) FROM cpu WHERE time >= 1700000000s AND time < 1700000060s \
                      GROUP BY time(20s) fill(none)";
        let series = rows("&epoch=s", window);
        assert_eq!(
            series[0]["values"],
            json!([[1_700_000_000, 202], [1_700_000_020, 210], [1_700_000_040, 218]])
        );
        let star = rows("&epoch=s", "SELECT * FROM cpu LIMIT 1");
        assert_eq!(star[0]["columns"], json!(["time", "host", "n", "usage"]));

        let many = ask("", "SELECT n FROM cpu LIMIT 1; SELECT x FROM nope; SHOW DATABASES;").json();
        assert_eq!(many["results"].as_array().map(Vec::len), Some(3));
        assert_eq!(many["results"][1], json!({"statement_id": 1}));
        let failed = server
            .get(&format!("/query?db=nope&q={}", percent("SELECT n FROM cpu; SHOW DATABASES")));
        assert_eq!(failed.status, 200);
        assert_eq!(failed.json()["results"][0]["error"], "database not found: nope");
        assert_eq!(failed.json()["results"][1]["error"], "not executed");

        let bad = ask("", "SELEC n FROM cpu");
        assert_eq!(bad.status, 400);
        assert_eq!(
            error_of(&bad),
            "error parsing query: found SELEC, expected SELECT, DELETE, SHOW, CREATE, DROP, \
             EXPLAIN, GRANT, REVOKE, ALTER, SET, KILL at line 1, char 1"
        );
        assert_eq!(error_of(&server.get("/query?db=d")), "missing required parameter \"q\"");
        let params = format!("&epoch=s&params={}", percent(r#"{"h":"b"}"#));
        assert_eq!(
            rows(&params, "SELECT n FROM cpu WHERE host = $h LIMIT 1")[0]["values"][0][1],
            100
        );
        let deprecated = ask("", "CREATE DATABASE x2").json();
        let text = deprecated["results"][0]["messages"][0]["text"].as_str().unwrap_or_default();
        assert!(text.starts_with("deprecated use of 'CREATE DATABASE x2' in a read only context"));
    });
}

#[test]
fn query_formats() {
    with_server(&[], |server| {
        load_sample(server);
        let q = percent("SELECT n FROM cpu WHERE host = 'a'");
        let chunked = server.get(&format!("/query?db=d&epoch=s&chunked=true&chunk_size=4&q={q}"));
        let parts: Vec<Value> = chunked
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).expect("a document a line"))
            .collect();
        assert_eq!(parts.len(), 2);
        let series = |part: &Value| part["results"][0]["series"][0].clone();
        assert_eq!(parts[0]["results"][0]["partial"], true);
        assert_eq!(series(&parts[0])["values"].as_array().map(Vec::len), Some(4));
        assert_eq!(series(&parts[1])["values"].as_array().map(Vec::len), Some(2));
        assert!(parts[1]["results"][0].get("partial").is_none());

        let accept = [("Accept", "application/csv")];
        let csv = server.send("GET", &format!("/query?db=d&q={q}"), &accept, b"");
        assert_eq!(csv.header("content-type"), Some("text/csv"));
        let mut lines = csv.text().lines();
        assert_eq!(lines.next(), Some("name,tags,time,n"));
        assert_eq!(lines.next(), Some("cpu,,1700000000000000000,0"));

        let pretty = server.get(&format!("/query?db=d&pretty=true&q={q}"));
        assert!(pretty.text().starts_with("{\n    \"results\": ["));
        assert!(pretty.text().ends_with("}\n"));
        let packed =
            server.send("GET", &format!("/query?db=d&q={q}"), &[("Accept-Encoding", "gzip")], b"");
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
    });
}

#[test]
fn show_statements() {
    with_server(&[], |server| {
        load_sample(server);
        let cases = [
            ("SHOW DATABASES", json!([{"name":"databases","columns":["name"],"values":[["d"]]}])),
            (
                "SHOW measurements",
                json!([{"name":"measurements","columns":["name"],"values":[["cpu"]]}]),
            ),
            (
                "SHOW TAG KEYS FROM \"cpu\"",
                json!([{"name":"cpu","columns":["tagKey"],"values":[["host"]]}]),
            ),
            (
                "SHOW TAG VALUES FROM \"cpu\" WITH KEY = \"host\" WHERE \"host\" =~ /^a/",
                json!([{"name":"cpu","columns":["key","value"],"values":[["host","a"]]}]),
            ),
            (
                "SHOW FIELD KEYS",
                json!([{"name":"cpu","columns":["fieldKey","fieldType"],
                        "values":[["n","integer"],["usage","float"]]}]),
            ),
            ("SHOW SERIES", json!([{"columns":["key"],"values":[["cpu,host=a"],["cpu,host=b"]]}])),
            (
                "SHOW RETENTION POLICIES ON \"d\"",
                json!([{"columns":["name","duration","shardGroupDuration","replicaN","default"],
                        "values":[["autogen","0s","168h0m0s",1,true]]}]),
            ),
        ];
        for (statement, expected) in cases {
            assert_eq!(server.query("d", statement)["series"], expected, "{statement}");
        }
        let empty = json!({"statement_id": 0});
        for statement in [
            "CREATE RETENTION POLICY \"week\" ON \"d\" DURATION 7d REPLICATION 1 DEFAULT",
            "ALTER RETENTION POLICY \"week\" ON \"d\" DURATION 14d",
            // A database whose default policy is dropped has none, as in InfluxDB.
            "ALTER RETENTION POLICY \"autogen\" ON \"d\" DEFAULT",
            "DROP RETENTION POLICY \"week\" ON \"d\"",
            "DROP MEASUREMENT nosuch",
            "DROP DATABASE nosuch",
        ] {
            let body = format!("db=d&q={}", percent(statement));
            let form = [("Content-Type", "application/x-www-form-urlencoded")];
            let answer = server.send("POST", "/query", &form, body.as_bytes());
            assert_eq!(answer.json()["results"][0], empty, "{statement}");
        }
        server.query("d", "DROP SERIES FROM cpu WHERE host = 'a'");
        let left = server.query("d", "SHOW SERIES");
        assert_eq!(left["series"][0]["values"], json!([["cpu,host=b"]]));
        let left = server.query("d", "SELECT count(n) FROM cpu");
        assert_eq!(left["series"][0]["values"], json!([[0, 6]]));
    });
}

#[test]
fn deletes() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), &[]);
    let lines = b"m,h=a f=1,g=1i 1\nm,h=a f=2,g=2i 2\nm,h=b f=3 1\nn,h=a f=4 1";
    assert_eq!(server.post("/write?db=d&precision=s", lines).status, 204);
    let rows = |server: &Server| server.query("d", "SELECT f, g, h FROM m")["series"].clone();
    let count = server.query("d", "EXPLAIN DELETE FROM m WHERE h = 'a' AND f > 1.5");
    assert_eq!(count["series"][0]["values"], json!([[1, 2, 1, 1]]));
    let text = percent("DELETE FROM m WHERE h = 'a' AND f > 1.5");
    let done = server.post(&format!("/query?db=d&q={text}"), b"").json();
    assert_eq!(done["results"], json!([{"statement_id": 0}]));
    let expected = json!([[1_000_000_000, 1, 1, "a"], [1_000_000_000, 3, null, "b"]]);
    assert_eq!(rows(&server)[0]["values"], expected);
    server.query("d", "DELETE FIELD g FROM m");
    let body = br#"{"start":"1970-01-01T00:00:00Z","stop":"2000-01-01T00:00:00Z",
                    "predicate":"_measurement=\"m\" AND h=\"b\""}"#;
    assert_eq!(server.post("/api/v2/delete?org=o&bucket=d", body).status, 204);
    let refused = server.post("/api/v2/delete?bucket=zz", body);
    assert_eq!(refused.status, 404);
    let told = json!({"code": "not found", "message": "bucket \"zz\" not found"});
    assert_eq!(
        (refused.json(), refused.header("x-platform-error-code")),
        (told, Some("not found"))
    );
    let uri = format!("/api/v1/delete?db=d&q={}", percent("DELETE FROM n WHERE time <= 1s"));
    assert_eq!(server.post(&format!("{uri}&dry_run=true"), b"").json()["points"], 1);
    let made = server.post(&uri, b"").json();
    assert_eq!(made["deletes"], json!([{"id": 4, "series": 1, "partitions": 1}]));
    server.kill_now();
    drop(server);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(rows(&server)[0]["values"], json!([[1_000_000_000, 1, null, "a"]]));
    let listed = server.get("/api/v1/deletes?db=d").json();
    assert_eq!(listed["deletes"].as_array().map(Vec::len), Some(4), "{listed}");
    assert_eq!(server.query("d", "SELECT f FROM n")["series"], Value::Null);
    assert_eq!(server.stop(), Some(0), "a clean stop");
}

#[test]
fn keys_and_values_over_http() {
    with_server(&[], |server| {
        let binary: Vec<u8> = (0..=255).collect();
        let put = server.send("PUT", "/kv/box/a%00%2Fb%FF", &[], &binary);
        assert!(put.status < 300, "{}", put.text());
        assert_eq!(server.get("/kv/box/a%00%2Fb%FF").body, binary);
        assert_eq!(server.get("/kv/box/absent").status, 404);
        for key in ["k1", "k2", "k3"] {
            server.send("PUT", &format!("/kv/box/{key}"), &[], key.as_bytes());
        }
        let page = server.get("/kv/box?prefix=k&limit=2").json();
        assert_eq!(page["entries"].as_array().map(Vec::len), Some(2), "{page}");
        let cursor = page["cursor"].as_str().expect("more to come").to_owned();
        let rest =
            server.get(&format!("/kv/box?prefix=k&limit=2&cursor={}", percent(&cursor))).json();
        assert_eq!(rest["entries"].as_array().map(Vec::len), Some(1), "{rest}");
        assert!(server.send("DELETE", "/kv/box/k1", &[], b"").status < 300);
        assert_eq!(server.get("/kv/box/k1").status, 404);
    });
}
