//! `firndb bench`: what it says it did is what the store then holds.

use serde_json::Value;

use super::commands::{firndb, outcome, path};
use super::server::Server;

fn bench(args: &[&str]) -> (Option<i32>, Value, String) {
    let args = [&["bench", "--json", "--progress", "none"], args].concat();
    let (code, out, err) = outcome(&firndb(&args, ""));
    let json = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    (code, json, err)
}

/// Figures of one kind of operation.
fn kind<'a>(report: &'a Value, name: &str) -> &'a Value {
    let kinds = report["kinds"].as_array().expect("kinds").iter();
    kinds.into_iter().find(|kind| kind["kind"] == name).unwrap_or(&Value::Null)
}

#[test]
fn it_counts_what_it_did() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = dir.path().join("store");
    let load = ["--keys", "300", "--connections", "4", "--seed", "7"];
    let (code, report, err) = bench(
        &[&["--embedded", path(&store), "--mode", "writes", "--ops", "200"], &load[..]].concat(),
    );
    assert_eq!(code, Some(0), "{err}");
    let writes = kind(&report, "write");
    assert_eq!((&writes["ops"], &writes["errors"]), (&200.into(), &0.into()));
    assert_eq!(report["written_bytes"], 200 * 128);
    assert_eq!(kind(&report, "total")["ops"], 200);
    assert!(writes["p50_seconds"].as_f64() <= writes["max_seconds"].as_f64());

    // Of 300 keys all are written once, then some again in batches; all are read back.
    let batches = ["--mode", "writes", "--ops", "20", "--batch", "10", "--preload", "--verify"];
    let (code, report, _) = bench(&[&["--embedded", path(&store)], &batches[..], &load].concat());
    assert_eq!((code, &report["verified_keys"]), (Some(0), &300.into()), "{report}");
    assert_eq!(kind(&report, "write")["entries"], 200);
    let (_, report, _) = bench(
        &[&["--embedded", path(&store), "--mode", "reads", "--ops", "100"], &load[..]].concat(),
    );
    assert_eq!((&kind(&report, "read")["ops"], &report["absent_reads"]), (&100.into(), &0.into()));
    assert_eq!(report["read_bytes"], 100 * 128);
    let (_, report, _) = bench(
        &[&["--embedded", path(&store), "--mode", "scan", "--ops", "10"], &load[..]].concat(),
    );
    assert_eq!(kind(&report, "scan")["ops"], 10);
    let (code, found, _) = outcome(&firndb(
        &["find", "key000000000007", path(&store), "--keyspace", "kv/bench", "--json"],
        "",
    ));
    assert_eq!(code, Some(0));
    let found: Value = serde_json::from_str(&found).expect("JSON");
    let value = found["versions"][0]["value"].as_str().expect("text");
    assert!(value.starts_with("key000000000007"), "{value}");

    let mixed = ["--mode", "mixed", "--ops", "400", "--read-ratio", "0.75"];
    let reads = |report: &Value| kind(report, "read")["ops"].as_u64().expect("a number");
    let (_, first, _) = bench(&[&["--embedded", path(&store)], &mixed[..], &load].concat());
    let (_, again, _) = bench(
        &[&["--embedded", path(&store)], &mixed[..], &load[..3], &["1", "--seed", "7"]].concat(),
    );
    assert_eq!(reads(&first), reads(&again), "one seed, the same operations");
    assert!((250..350).contains(&reads(&first)), "{first}");
}

#[test]
fn limits_and_errors_decide_the_exit_code() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = dir.path().join("store");
    let load = ["--embedded", path(&store), "--mode", "writes", "--ops", "50"];
    let (code, report, _) = bench(&[&load[..], &["--slo", "p50=1ns", "--slo", "p99=60s"]].concat());
    assert_eq!(code, Some(3));
    let met: Vec<_> = report["slo"].as_array().expect("slo").iter().map(|s| &s["met"]).collect();
    assert_eq!(met, [&Value::Bool(false), &Value::Bool(true)]);
    // Open loop: fifty operations at 500 a second take a tenth of a second at least.
    let (code, report, _) = bench(&[&load[..], &["--target-ops", "500"]].concat());
    assert_eq!(code, Some(0));
    assert!(report["seconds"].as_f64() >= Some(0.098), "{report}");
    assert_eq!(kind(&report, "write")["ops"], 50);
    for wrong in [&["--slo", "p99"][..], &["--distribution", "gauss"], &["--keys", "0"]] {
        let args = [&["bench", "--embedded", path(&store)], wrong].concat();
        assert_eq!(outcome(&firndb(&args, "")).0, Some(2), "{wrong:?}");
    }

    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path(), &[]);
    let url = server.url().to_owned();
    let load = ["--url", &url, "--ops", "60", "--keys", "20", "--connections", "3", "--verify"];
    let (code, report, err) = bench(&[&load[..], &["--mode", "mixed", "--preload"]].concat());
    assert_eq!((code, &kind(&report, "total")["ops"]), (Some(0), &60.into()), "{err}");
    assert_eq!(report["verified_keys"], 20);
    let page = server.get("/kv/bench?limit=1000").json();
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(20));
    let (code, report, _) = bench(&[&load[..], &["--mode", "scan"]].concat());
    assert_eq!((code, &kind(&report, "scan")["errors"]), (Some(0), &0.into()), "{report}");
    assert_eq!(server.post("/write?db=d", b"m f=1 1").status, 204);
    assert_eq!(server.stop(), Some(0));
    let folder = ["bench", "--embedded", path(data.path()), "--ops", "1"];
    let (code, _, err) = outcome(&firndb(&folder, ""));
    assert_eq!((code, err.contains("holds databases")), (Some(2), true), "{err}");
    assert_eq!(outcome(&firndb(&["bench", "--url", &url], "")).0, Some(4), "nobody listens");
}
