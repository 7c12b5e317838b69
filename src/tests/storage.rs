//! `firndb lsm`: a server and its folder tell the same of the levels; what is due is what the
//! engine then does; the replay of the edits ends at the tables that are there.

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
