//! Backups from outside: a server is backed up while it runs, killed, and another one takes over.

use std::path::Path;

use serde_json::{Value, json};

use super::commands::{firndb, outcome, path};
use super::server::Server;

/// Runs a command against `server`; gives what stands on stdout.
fn run(server: &Server, args: &[&str]) -> (Option<i32>, String, String) {
    let (command, rest) = match args {
        ["backup", sub @ ("list" | "verify" | "prune"), rest @ ..] => (vec!["backup", sub], rest),
        [command, rest @ ..] => (vec![*command], rest),
        [] => panic!("no command"),
    };
    let args = [&command[..], &["--url", server.url()], rest].concat();
    outcome(&firndb(&args, ""))
}

fn done(server: &Server, args: &[&str]) -> Value {
    let args = [args, &["--format", "json"]].concat();
    let (code, out, err) = run(server, &args);
    assert_eq!(code, Some(0), "{args:?}: {err}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
}

fn answers(server: &Server, db: &str) -> Vec<Value> {
    let questions = [
        "SHOW MEASUREMENTS",
        "SHOW FIELD KEYS",
        "SHOW RETENTION POLICIES",
        "SHOW SERIES",
        "SELECT * FROM cpu",
        "SELECT mean(v), count(v) FROM cpu WHERE time < '2023-11-16' GROUP BY time(1m), host \
         fill(none)",
    ];
    questions.map(|question| server.query(db, question)).to_vec()
}

fn write(server: &Server, db: &str, from: u32, to: u32) {
    let lines: String = (from..to)
        .map(|n| {
            let time = 1_700_000_000_000_000_000 + u64::from(n) * 10_000_000_000;
            format!("cpu,host=h{} v={n}.5,ok={} {time}\n", n % 7, n % 2 == 0)
        })
        .collect();
    let answer = server.post(&format!("/write?db={db}"), lines.as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
}

fn start(data: &Path, backups: &Path) -> Server {
    let dir = format!("backup.dir={}", path(backups));
    Server::start(data, &["--set", &dir])
}

#[test]
fn what_was_backed_up_comes_back_on_another_server() {
    let dir = tempfile::tempdir().expect("a folder");
    let backups = dir.path().join("backups");
    let server = start(&dir.path().join("one"), &backups);
    write(&server, "tele", 0, 500);
    write(&server, "other", 0, 5);
    server.query("", "CREATE RETENTION POLICY short ON tele DURATION 2d REPLICATION 1");
    server.try_put("/kv/notes/a", b"first").expect("a value is stored");
    let (all, kept) = (done(&server, &["backup"]), answers(&server, "tele"));
    assert_eq!(all["databases"], json!(["other", "tele"]));
    write(&server, "tele", 500, 600);
    server.try_put("/kv/notes/a", b"second").expect("a value is stored");
    let one = done(&server, &["backup", "--db", "tele"]);
    assert!(one["tables_copied"].as_u64() < one["tables"].as_u64(), "{one}");
    let later = answers(&server, "tele");
    assert_ne!(kept, later);
    server.kill_now();
    drop(server);

    let server = start(&dir.path().join("two"), &backups);
    let listed = done(&server, &["backup", "list"]);
    assert_eq!(listed["backups"].as_array().expect("a list").len(), 2, "{listed}");
    let (code, out, _) = run(&server, &["backup", "verify"]);
    assert_eq!((code, out.ends_with("all as written\n")), (Some(0), true), "{out}");
    let (all, one) = (all["id"].as_str().expect("an id"), one["id"].as_str().expect("an id"));
    let restored = done(&server, &["restore", all]);
    assert_eq!(restored["databases"], json!(["other", "tele"]));
    assert_eq!(restored["keyspaces"], json!(["kv/notes"]));
    assert_eq!(answers(&server, "tele"), kept);
    assert_eq!(server.get("/kv/notes/a").body, b"first");
    // Beside it, and in its place.
    let (code, out, err) = run(&server, &["restore", one, "--db", "tele", "--as", "newer"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("restored newer: "), "{out}");
    assert_eq!(answers(&server, "newer"), later);
    let (code, _, err) = run(&server, &["restore", one]);
    assert_eq!(code, Some(1));
    assert!(err.contains("database tele exists"), "{err}");
    done(&server, &["restore", one, "--on-conflict", "replace"]);
    assert_eq!(answers(&server, "tele"), later);
    // It goes on, also after a restart.
    write(&server, "tele", 600, 700);
    let (now, other) = (answers(&server, "tele"), answers(&server, "newer"));
    server.kill_now();
    drop(server);
    let server = start(&dir.path().join("two"), &backups);
    assert_eq!((answers(&server, "tele"), answers(&server, "newer")), (now, other));
    let pruned = done(&server, &["backup", "prune", "--keep", "1"]);
    assert_eq!(pruned["backups"], json!([]), "one of everything, one of tele");
    assert_eq!(server.stop(), Some(0));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "damages a file of this test")]
fn damage_and_refusals_are_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let backups = dir.path().join("backups");
    let server = start(&dir.path().join("data"), &backups);
    write(&server, "d", 0, 100);
    let id = done(&server, &["backup"])["id"].as_str().expect("an id").to_owned();
    let object = std::fs::read_dir(backups.join("objects")).expect("objects").next();
    let object = object.expect("an object").expect("it can be listed").path();
    let mut bytes = std::fs::read(&object).expect("it can be read");
    bytes[10] ^= 1;
    std::fs::write(&object, bytes).expect("it can be damaged");
    let (code, out, _) = run(&server, &["backup", "verify", &id]);
    assert_eq!(code, Some(3), "{out}");
    let name = object.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(out.contains("1 damaged") && out.contains(name) && out.contains(&id), "{out}");
    let before = answers(&server, "d");
    let (code, _, err) = run(&server, &["restore", &id, "--on-conflict", "replace"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("is corrupt"), "{err}");
    assert_eq!(answers(&server, "d"), before);
    done(&server, &["backup", "--full"]);
    let (code, out, _) = run(&server, &["backup", "verify"]);
    assert_eq!(code, Some(0), "mended: {out}");

    let post = |path: &str, body: &str| {
        let answer = server.post(path, body.as_bytes());
        (answer.status, answer.text().to_owned())
    };
    let cases = [
        ("/api/v1/backup", r#"{"database":"none"}"#, 404, "database not found: none"),
        ("/api/v1/backup", r#"{"db":"d"}"#, 400, "unknown field"),
        ("/api/v1/restore", "{}", 400, "missing field"),
        ("/api/v1/restore", r#"{"id":"../x"}"#, 404, "backup ../x not found"),
        ("/api/v1/backup/verify", r#"{"id":"x"}"#, 404, "backup x not found"),
        ("/api/v1/backup/prune", r#"{"keep":0}"#, 400, "at least one"),
    ];
    for (path, body, status, words) in cases {
        let (got, text) = post(path, body);
        assert_eq!((got, text.contains(words)), (status, true), "{path} {body}: {text}");
    }
    let conflict = post("/api/v1/restore", &format!(r#"{{"id":"{id}"}}"#));
    assert_eq!(conflict.0, 409, "{}", conflict.1);
    assert_eq!(server.stop(), Some(0));

    // Off unless a folder is named, and never in the folder of the data.
    let server = Server::start(&dir.path().join("data"), &[]);
    let (code, _, err) = run(&server, &["backup"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("403") && err.contains("backup.dir"), "{err}");
    drop(server);
    let inside = ["serve", "--data-dir", "d", "--set", "backup.dir=d/backups"];
    let (code, _, err) = outcome(&firndb(&inside, ""));
    assert_eq!(code, Some(2));
    assert!(err.contains("backup.dir lies in data.dir"), "{err}");
}
