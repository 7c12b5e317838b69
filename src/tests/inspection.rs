//! The commands that look into a folder, on one that a real server wrote and was killed on: what
//! they print against what was written, damage against the place it was made at, and what a repair
//! keeps against a model of the records that the damage did not touch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::commands::{firndb, outcome, path};
use super::server::Server;

/// Runs a command that prints JSON.
fn json(args: &[&str]) -> (Option<i32>, Value) {
    let args = [args, &["--json"]].concat();
    let (code, out, err) = outcome(&firndb(&args, ""));
    let json = serde_json::from_str(&out);
    (code, json.unwrap_or_else(|error| panic!("{args:?}: {error}\n{out}\n{err}")))
}

fn rows<'a>(document: &'a Value, list: &str) -> &'a Vec<Value> {
    document[list].as_array().unwrap_or_else(|| panic!("no list {list}: {document}"))
}

#[expect(clippy::disallowed_methods, reason = "looks at the files of this test")]
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("the folder can be listed");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

#[expect(clippy::disallowed_methods, reason = "damages a file of this test")]
fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).expect("the file can be read");
    bytes[offset] ^= 4;
    std::fs::write(path, bytes).expect("the file can be written");
}

/// A folder of a killed server: one table of 500 keys, then 40 puts of 100 KB in log files of
/// 1 MiB.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), &["--set", "wal.segment_bytes=1MiB"]);
    let put = |key: &str, value: &[u8]| {
        let answer = server.send("PUT", &format!("/kv/box/{key}"), &[], value);
        assert_eq!(answer.status, 204);
    };
    let operations: Vec<_> = (0..500)
        .map(|n| serde_json::json!({"op": "put", "key": format!("table{n:03}"), "value": "dnZ2".repeat(33)}))
        .collect();
    let batch = serde_json::json!({ "operations": operations }).to_string();
    assert_eq!(server.post("/kv/box/_batch", batch.as_bytes()).status, 204);
    put("k", b"first");
    assert_eq!(server.post("/api/v1/flush", b"").status, 204);
    for n in 0..40 {
        put(&format!("log{n:02}"), format!("{n:05}").repeat(20_000).as_bytes());
    }
    put("k%00%FF", b"\x00binary\xff");
    assert_eq!(server.send("DELETE", "/kv/box/k", &[], b"").status, 204);
    put("k", b"second");
    server.kill_now();
    dir
}

/// An operation in the log: segment, span of its record, kind, key.
type Operation = (String, std::ops::Range<u64>, String, String);

/// Operations of the log by sequence number.
fn operations(dir: &Path) -> BTreeMap<u64, Operation> {
    let (_, dump) = json(&["wal", "dump", path(dir), "--keyspace", "kv/box"]);
    let text = |row: &Value, name: &str| row[name].as_str().expect("text").to_owned();
    let one = |row: &Value| {
        let offset = row["offset"].as_u64().expect("an offset");
        let span = offset..offset + row["record_bytes"].as_u64().expect("a size");
        let of = (text(row, "segment"), span, text(row, "kind"), text(row, "key"));
        (row["seq"].as_u64().expect("a number"), of)
    };
    rows(&dump, "operations").iter().map(one).collect()
}

#[test]
fn a_folder_is_shown_as_it_was_written() {
    let dir = folder();
    let at = path(dir.path());
    let operations = operations(dir.path());
    let logged: Vec<_> = operations.values().map(|(.., kind, key)| (&**kind, &**key)).collect();
    let puts: Vec<_> = (0..40).map(|n| format!("log{n:02}")).collect();
    let mut expected: Vec<_> = puts.iter().map(|key| ("put", &**key)).collect();
    expected.extend([("put", "k\\x00\\xff"), ("delete", "k"), ("put", "k")]);
    assert_eq!(logged[logged.len() - 43..], expected);

    let (code, found) = json(&["find", "k", at, "--keyspace", "kv/box"]);
    assert_eq!(code, Some(0));
    let versions: Vec<_> = rows(&found, "versions")
        .iter()
        .filter(|row| row["where"] != "log (flushed)")
        .map(|row| (row["kind"].as_str(), row["value"].as_str(), row["where"].as_str()))
        .collect();
    let expected = [
        (Some("put"), Some("second"), Some("log")),
        (Some("delete"), Some(""), Some("log")),
        (Some("put"), Some("first"), Some("L0")),
    ];
    assert_eq!(versions, expected);
    let (_, found) = json(&["find", "k\\x00\\xff", at]);
    assert_eq!(found["versions"][0]["value"], "\\x00binary\\xff");
    let (_, same) = json(&["find", "--hex", "6b00ff", at]);
    assert_eq!(same, found);
    assert_eq!(outcome(&firndb(&["find", "no such key", at], "")).0, Some(1));

    let (code, state) = json(&["manifest", "dump", at, "--state"]);
    assert_eq!(code, Some(0));
    let of_box: Vec<_> =
        rows(&state, "tables").iter().filter(|row| row["keyspace"] == "kv/box").collect();
    let [table] = &of_box[..] else { panic!("one table: {state}") };
    assert_eq!((&table["entries"], &table["level"]), (&501.into(), &0.into()));
    let (_, changes) = json(&["manifest", "dump", at]);
    let adds = |row: &&Value| row["change"].as_str().is_some_and(|c| c.starts_with("add table"));
    assert!(rows(&changes, "changes").iter().filter(adds).count() >= 1, "{changes}");
    assert_eq!(outcome(&firndb(&["manifest", "check", at], "")).0, Some(0));

    let file = dir.path().join(table["file"].as_str().expect("a name"));
    let (code, info) = json(&["sst", "info", path(&file)]);
    let of = &info["tables"][0];
    assert_eq!((code, &of["entries"]), (Some(0), &501.into()));
    assert_eq!((&of["first_key"], &of["last_key"]), (&"k".into(), &"table499".into()));
    let (_, dump) = json(&["sst", "dump", path(&file), "--from", "table", "--to", "table100"]);
    let keys: Vec<_> = rows(&dump, "entries").iter().map(|row| row["key"].as_str()).collect();
    let expected: Vec<_> = (0..100).map(|n| format!("table{n:03}")).collect();
    assert_eq!(keys, expected.iter().map(|key| Some(&**key)).collect::<Vec<_>>());
    let (_, blocks) = json(&["sst", "dump", path(&file), "--blocks"]);
    let entries: u64 =
        rows(&blocks, "blocks").iter().filter_map(|row| row["entries"].as_u64()).sum();
    assert_eq!(entries, 501);
    for form in ["table", "csv", "md", "ndjson"] {
        let (code, out, _) = outcome(&firndb(&["wal", "list", at, "--format", form], ""));
        assert_eq!(code, Some(0));
        assert!(out.lines().count() >= 4, "{form}: {out}");
    }
    let (code, check) = json(&["wal", "check", at]);
    assert_eq!((code, &check["status"]), (Some(0), &"ok".into()));
}

#[test]
fn damage_in_a_table_or_the_manifest_is_placed() {
    let dir = folder();
    let at = path(dir.path());
    let (_, state) = json(&["manifest", "dump", at, "--state"]);
    let is_box = |row: &&Value| row["keyspace"] == "kv/box";
    let table = rows(&state, "tables").iter().find(is_box).expect("a table");
    let file = dir.path().join(table["file"].as_str().expect("a name"));
    let (code, _) = json(&["sst", "check", path(&file)]);
    assert_eq!(code, Some(0));
    let (_, blocks) = json(&["sst", "dump", path(&file), "--blocks"]);
    let block = &rows(&blocks, "blocks")[0];
    let offset = block["offset"].as_u64().expect("an offset");
    flip(&file, offset as usize + 100);
    let (code, check) = json(&["sst", "check", path(&file)]);
    let finding = &check["findings"][0];
    assert_eq!((code, &finding["part"]), (Some(3), &"block".into()), "{check}");
    assert_eq!(finding["offset"], offset);
    let (code, dump) = json(&["sst", "dump", path(&file)]);
    assert_eq!(code, Some(3));
    let left = 501 - block["entries"].as_u64().expect("a number");
    assert_eq!(rows(&dump, "entries").len() as u64, left);
    let (code, _, err) = outcome(&firndb(&["find", "k", at], ""));
    assert_eq!(code, Some(3), "{err}");
    let (code, out, _) = outcome(&firndb(&["check", "--deep", at], ""));
    assert_eq!((code, out.contains("block: ")), (Some(3), true), "{out}");

    // Of the table all but the block comes back.
    let (code, planned) = json(&["repair", at, "--dry-run"]);
    assert_eq!(code, Some(0));
    assert_eq!(json(&["sst", "check", path(&file)]).0, Some(3), "a dry run changes nothing");
    let (code, done) = json(&["repair", at, "--yes"]);
    assert_eq!((code, &done["losses"]), (Some(0), &planned["losses"]));
    assert_eq!(done["losses"][0]["keyspace"], "kv/box");
    assert_eq!(outcome(&firndb(&["check", at], "")).0, Some(0));
    let (_, state) = json(&["manifest", "dump", at, "--state"]);
    let table = rows(&state, "tables").iter().find(is_box).expect("a table");
    assert_eq!(table["entries"], left);
    let (_, again) = json(&["repair", at, "--dry-run"]);
    assert!(rows(&again, "actions").is_empty(), "{again}");

    let (_, changes) = json(&["manifest", "dump", at]);
    let first = changes["changes"][0]["offset"].as_u64().expect("an offset");
    let name = changes["manifest"].as_str().expect("a name");
    flip(&dir.path().join(name), first as usize + 20);
    let (code, check) = json(&["manifest", "check", at]);
    assert_eq!(code, Some(3));
    assert_eq!(check["damages"][0]["offset"], first);
}

/// What was made to a log by `wal corrupt`.
struct Damage {
    kind: &'static str,
    at: &'static str,
    /// No record is lost.
    is_lossless: bool,
    /// Nobody can tell: what is gone is the end, and nothing else speaks of it.
    may_be_silent: bool,
}

const DAMAGES: [Damage; 10] = [
    Damage { kind: "bit-flip", at: "first", is_lossless: false, may_be_silent: false },
    Damage { kind: "bit-flip", at: "last", is_lossless: false, may_be_silent: false },
    Damage { kind: "truncate", at: "first", is_lossless: false, may_be_silent: false },
    Damage { kind: "torn-write", at: "last", is_lossless: false, may_be_silent: false },
    Damage { kind: "zero-tail", at: "last", is_lossless: false, may_be_silent: true },
    Damage { kind: "bad-length", at: "first", is_lossless: false, may_be_silent: false },
    Damage { kind: "duplicate", at: "last", is_lossless: true, may_be_silent: false },
    Damage { kind: "reorder", at: "first", is_lossless: true, may_be_silent: false },
    Damage { kind: "drop-segment", at: "first", is_lossless: false, may_be_silent: false },
    Damage { kind: "garbage-tail", at: "last", is_lossless: true, may_be_silent: false },
];

#[test]
#[expect(clippy::disallowed_methods, reason = "reads and removes files of this test")]
fn a_damaged_log_is_placed_and_what_is_whole_is_kept() {
    let dir = folder();
    let at = path(dir.path());
    let whole = operations(dir.path());
    let copies = tempfile::tempdir().expect("a folder");
    for damage in &DAMAGES {
        for seed in ["1", "2", "3"] {
            let case = format!("{} at {}, seed {seed}", damage.kind, damage.at);
            let copy = copies.path().join("copy");
            let record = copies.path().join("corruption.json");
            let made = ["--kind", damage.kind, "--at", damage.at, "--seed", seed];
            let to = ["--to", path(&copy), "--record", path(&record)];
            let args = [&["wal", "corrupt", at][..], &made, &to].concat();
            let (code, _, err) = outcome(&firndb(&args, ""));
            assert_eq!(code, Some(0), "{case}: {err}");
            let record_text = std::fs::read(&record).expect("it was written");
            let change: Value = serde_json::from_slice(&record_text).expect("JSON");
            let left = untouched(&whole, &change, damage.is_lossless);

            let (code, check) = json(&["wal", "check", path(&copy)]);
            let status = check["status"].as_str().expect("a word");
            let may_be = if damage.may_be_silent {
                &["ok", "damaged"][..]
            } else {
                &["damaged", "torn_tail"]
            };
            assert!(may_be.contains(&status), "{case}: {check}");
            assert_eq!(code, Some(if status == "ok" { 0 } else { 3 }), "{case}");
            let (code, planned) = json(&["wal", "repair", path(&copy), "--dry-run"]);
            assert_eq!(code, Some(0), "{case}");
            let logs = files(&copy, "log");
            assert_eq!(outcome(&firndb(&["wal", "repair", path(&copy)], "")).0, Some(2), "{case}");
            assert_eq!(files(&copy, "log"), logs, "{case}: nothing without --yes");
            let (code, done) = json(&["wal", "repair", path(&copy), "--yes"]);
            assert_eq!(code, Some(0), "{case}");
            assert_eq!(done["lost"], planned["lost"], "{case}");
            let is_set_aside = !rows(&done, "set_aside").is_empty();
            assert_eq!(is_set_aside, status == "damaged", "{case}: {done}");
            assert_eq!(keys(&operations(&copy)), keys(&left), "{case}: {done}");
            let (code, out, err) = outcome(&firndb(&["check", path(&copy)], ""));
            assert_eq!(code, Some(0), "{case}: {out}{err}");
            std::fs::remove_dir_all(&copy).expect("the copy goes");
            std::fs::remove_file(&record).expect("the record goes");
        }
    }
}

/// Sequence number, kind and key.
fn keys(operations: &BTreeMap<u64, Operation>) -> Vec<(u64, String, String)> {
    let one = |(seq, of): (&u64, &Operation)| (*seq, of.2.clone(), of.3.clone());
    operations.iter().map(one).collect()
}

/// The operations whose records a change did not touch.
fn untouched(
    whole: &BTreeMap<u64, Operation>,
    change: &Value,
    is_lossless: bool,
) -> BTreeMap<u64, Operation> {
    let mut left = whole.clone();
    if is_lossless {
        return left;
    }
    let file = change["file"].as_str().expect("a name");
    let from = change["offset"].as_u64().expect("an offset");
    let old = change["old"].as_str().expect("base64").len() as u64 / 4 * 3;
    let is_removed = change["removed"].as_bool().expect("a flag");
    left.retain(|_, (segment, span, ..)| {
        let is_touched = span.start < from + old && from < span.end;
        !file.starts_with(segment.as_str()) || !(is_touched || is_removed)
    });
    left
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads files of this test")]
fn a_corruption_is_refused_in_place_and_can_be_undone() {
    let dir = folder();
    let at = path(dir.path());
    let log = || -> Vec<Vec<u8>> {
        let files = files(dir.path(), "log");
        files.iter().map(|file| std::fs::read(file).expect("a file")).collect()
    };
    let before = log();
    for refused in [&["--kind", "torn-write"][..], &["--kind", "torn-write", "--in-place"]] {
        let args = [&["wal", "corrupt", at], refused].concat();
        let (code, _, err) = outcome(&firndb(&args, ""));
        assert_eq!((code, err.contains("refusing")), (Some(2), true), "{err}");
    }
    let unknown = ["wal", "corrupt", at, "--kind", "worms", "--in-place", "--yes"];
    assert_eq!(outcome(&firndb(&unknown, "")).0, Some(2));
    assert_eq!(log(), before);
    let records = tempfile::tempdir().expect("a folder");
    for kind in ["bit-flip:5", "truncate:100", "duplicate", "drop-segment", "garbage-tail"] {
        let record = records.path().join("record.json");
        let made = ["wal", "corrupt", at, "--kind", kind, "--in-place", "--yes"];
        let args = [&made[..], &["--record", path(&record)]].concat();
        assert_eq!(outcome(&firndb(&args, "")).0, Some(0), "{kind}");
        assert_ne!(log(), before, "{kind}");
        let (code, _, err) = outcome(&firndb(&["wal", "corrupt", at, "--undo", path(&record)], ""));
        assert_eq!(code, Some(0), "{kind}: {err}");
        assert_eq!(log(), before, "{kind}");
        std::fs::remove_file(&record).expect("the record goes");
    }
}
