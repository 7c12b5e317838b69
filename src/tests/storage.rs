//! `firndb lsm`: a server and its folder tell the same of the levels; what is due is what the
//! engine then does; the replay of the edits ends at the tables that are there.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::commands::{firndb, outcome, path};
use super::server::Server;

fn json(args: &[&str]) -> Value {
    let args = [args, &["--json"]].concat();
    let (code, out, err) = outcome(&firndb(&args, ""));
    assert_eq!(code, Some(0), "{args:?}: {err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
}

fn batch(server: &Server, round: usize) {
    let key = |n: usize| format!("key{:05}", (n * 7919 + round) % 10_000);
    let operations: Vec<_> = (0..500)
        .map(|n| serde_json::json!({"op": "put", "key": key(n), "value": "dnZ2".repeat(25)}))
        .collect();
    let body = serde_json::json!({ "operations": operations }).to_string();
    assert_eq!(server.post("/kv/box/_batch", body.as_bytes()).status, 204);
    assert_eq!(server.post("/api/v1/flush", b"").status, 204);
}

fn kv_levels(document: &Value) -> Vec<(u64, u64, u64, u64)> {
    let levels = document["levels"].as_array().expect("levels");
    let number = |level: &Value, name: &str| level[name].as_u64().expect("a number");
    levels
        .iter()
        .filter(|level| level["class"] == "kv")
        .map(|level| {
            let of = |name| number(level, name);
            (of("level"), of("runs"), of("files"), of("bytes"))
        })
        .collect()
}

#[test]
fn a_server_and_its_folder_tell_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), &[]);
    let url = server.url().to_owned();
    (0..3).for_each(|round| batch(&server, round));

    let online = json(&["lsm", "show", "--url", &url]);
    assert_eq!(kv_levels(&online).iter().map(|level| level.1).sum::<u64>(), 3, "{online}");
    assert_eq!(online, server.get("/api/v1/status/lsm").json());
    let schedule = json(&["lsm", "schedule", "--url", &url]);
    assert_eq!(schedule["jobs"], Value::Array(Vec::new()), "three runs are below the trigger");
    let events = json(&["lsm", "events", "--url", &url]);
    let flushes = |events: &Value| {
        let events = events["events"].as_array().expect("events");
        let of_box = |e: &&Value| e["type"] == "flush" && e["keyspace"] == "kv/box";
        events.iter().filter(of_box).count()
    };
    assert_eq!(flushes(&events), 3, "{events}");
    let next = events["next"].to_string();
    let later = json(&["lsm", "events", "--url", &url, "--since", &next]);
    assert_eq!(later["events"], Value::Array(Vec::new()));
    assert_eq!(server.get("/api/v1/status/events?since=x").status, 400);
    let (code, ..) = outcome(&firndb(&["lsm", "show", path(dir.path())], ""));
    assert_eq!(code, Some(5), "the server has it open");

    assert_eq!(server.stop(), Some(0));
    let offline = json(&["lsm", "show", path(dir.path())]);
    assert_eq!(kv_levels(&offline), kv_levels(&online));
    let by_keyspace = json(&["lsm", "show", path(dir.path()), "--keyspaces"]);
    let names = by_keyspace["classes"].as_array().expect("classes").iter();
    assert!(names.filter_map(|class| class["class"].as_str()).any(|name| name == "kv/box"));
    let (code, _, err) = outcome(&firndb(&["lsm", "show", "--url", &url], ""));
    assert_eq!((code, err.contains("cannot reach")), (Some(4), true), "{err}");
}

#[test]
fn what_is_due_is_what_is_then_done() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = path(dir.path());
    let server = Server::start(dir.path(), &[]);
    (0..3).for_each(|round| batch(&server, round));
    assert_eq!(server.stop(), Some(0));
    let nothing = json(&["lsm", "schedule", at, "--keyspace", "kv/box"]);
    assert_eq!(nothing["steps"], Value::Array(Vec::new()), "{nothing}");

    // The run that makes it due comes while compactions are off: they come with the next start.
    let server = Server::start(dir.path(), &[]);
    batch(&server, 3);
    server.kill_now();
    drop(server);
    let due = json(&["lsm", "schedule", at, "--keyspace", "kv/box"]);
    let shown = json(&["lsm", "show", at]);
    let (levels, steps) = (kv_levels(&shown), due["steps"].as_array().expect("steps"));
    let runs0: u64 = levels.iter().filter(|level| level.0 == 0).map(|level| level.1).sum();
    // The server may have compacted before it was killed; both are told apart by the levels.
    assert_eq!(steps.is_empty(), runs0 < 4, "{due} {shown}");
    if let Some(step) = steps.first() {
        assert_eq!((&step["reason"], &step["from_level"]), (&"runs".into(), &0.into()));
        assert_eq!(step["input_files"], 4);
    }
    let events = json(&["lsm", "events", at]);
    assert!(events["events"].as_array().expect("events").len() > 1);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads the page that it made")]
fn the_replay_ends_at_the_tables_that_are_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = path(dir.path());
    let server = Server::start(dir.path(), &[]);
    (0..6).for_each(|round| batch(&server, round));
    assert_eq!(server.stop(), Some(0));
    let page = dir.path().with_extension("html");
    let (code, out, err) = outcome(&firndb(&["lsm", "html", at, "-o", path(&page)], ""));
    assert_eq!(code, Some(0), "{out}{err}");
    let text = std::fs::read_to_string(&page).expect("the page");
    assert_eq!(outcome(&firndb(&["lsm", "html", at, "-o", path(&page)], "")).0, Some(2));
    std::fs::remove_file(&page).expect("the page goes");
    assert!(!text.contains("http://") && !text.contains("https://"), "it asks no other host");
    let data = text.split("const data = ").nth(1).and_then(|rest| rest.split(";\n").next());
    let data: Value = serde_json::from_str(data.expect("the edits")).expect("JSON");
    let mut tables = std::collections::BTreeMap::new();
    for edit in data["edits"].as_array().expect("edits") {
        for number in edit["remove"].as_array().expect("numbers") {
            assert!(tables.remove(&number.as_u64()).is_some(), "{number} was there");
        }
        for table in edit["add"].as_array().expect("tables") {
            assert!(table["s"].as_f64() <= table["t"].as_f64());
            tables.insert(table["n"].as_u64(), table["b"].as_u64());
        }
    }
    let state = json(&["manifest", "dump", at, "--state"]);
    let there: Vec<_> =
        state["tables"].as_array().expect("tables").iter().map(|t| t["bytes"].as_u64()).collect();
    assert_eq!(tables.len(), there.len());
    assert_eq!(tables.into_values().sum::<Option<u64>>(), there.into_iter().sum());
}

#[test]
fn events_are_followed_until_the_server_ends() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), &[]);
    batch(&server, 0);
    let args = ["lsm", "events", "--follow", "--format", "ndjson", "--url", server.url()];
    let mut follower = Command::new(env!("CARGO_BIN_EXE_firndb"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let mut lines = BufReader::new(follower.stdout.take().expect("stdout is a pipe")).lines();
    let mut flush_of_box = || loop {
        let line = lines.next().expect("it goes on").expect("a line");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        if event["type"] == "flush" && event["keyspace"] == "kv/box" {
            return event["id"].as_u64().expect("a number");
        }
    };
    let first = flush_of_box();
    batch(&server, 1);
    assert!(flush_of_box() > first, "an event that came later, and none twice");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(follower.wait().expect("it ends").code(), Some(4));
    let (code, ..) = outcome(&firndb(&["lsm", "events", path(dir.path()), "--follow"], ""));
    assert_eq!(code, Some(2), "a folder has no events to come");
}

/// Bytes of all tables of a folder.
#[expect(clippy::disallowed_methods, reason = "looks at the files of this test")]
fn table_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("the folder can be listed");
    let tables = entries.map(|entry| entry.expect("an entry"));
    let tables = tables.filter(|file| file.file_name().to_string_lossy().ends_with(".tbl"));
    tables.map(|file| file.metadata().expect("its size").len()).sum()
}

#[test]
fn the_space_of_tables_adds_up_and_what_lies_over_others_is_dead() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = path(dir.path());
    let server = Server::start(dir.path(), &[]);
    (0..3).for_each(|round| batch(&server, round));
    assert_eq!(server.stop(), Some(0));
    let whole = table_bytes(dir.path());
    for by in ["keyspace", "level", "table"] {
        let space = json(&["sst", "space", at, "--by", by]);
        let rows = space["space"].as_array().expect("rows");
        let number = |row: &Value, name: &str| row[name].as_u64().expect("a number");
        let (total, parts) = rows.split_last().expect("a total");
        assert_eq!((&total["keyspace"], number(total, "file_bytes")), (&"total".into(), whole));
        for column in ["tables", "entries", "file_bytes", "data_bytes", "dead_bytes"] {
            let sum: u64 = parts.iter().map(|row| number(row, column)).sum();
            assert_eq!(sum, number(total, column), "{by} {column}: {space}");
        }
        let of_box: Vec<_> = parts.iter().filter(|row| row["keyspace"] == "kv/box").collect();
        assert_eq!(of_box.len(), if by == "table" { 3 } else { 1 }, "{space}");
        for row in of_box {
            let named = ["data_bytes", "body_bytes", "index_bytes", "filter_bytes"];
            let named: u64 = named.map(|name| number(row, name)).iter().sum();
            let file = number(row, "file_bytes");
            assert!(named < file && named * 10 > file * 9, "the rest is small: {row}");
        }
    }
    // Three runs over the same keys: the oldest is live.
    let tables = json(&["sst", "space", at, "--by", "table", "--keyspace", "kv/box"]);
    let rows = tables["space"].as_array().expect("rows");
    let dead = rows[..3].iter().filter(|row| row["dead_bytes"] == row["file_bytes"]).count();
    let live = rows[..3].iter().filter(|row| row["dead_bytes"] == 0).count();
    assert_eq!((dead, live), (2, 1), "{tables}");
}
