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
    // Nothing was flushed: no spike has a job for its cause.
    assert_eq!(report["slowest_second"]["meanwhile"], serde_json::json!([]), "{report}");

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

#[test]
fn percentiles_are_written_for_all_and_for_each_kind() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, file) = (dir.path().join("store"), dir.path().join("run.hgrm"));
    let load = ["--embedded", path(&store), "--ops", "300", "--keys", "50", "--hdr", path(&file)];
    let (code, report, err) = bench(&[&load[..], &["--read-ratio", "0.3", "--preload"]].concat());
    assert_eq!(code, Some(0), "{err}");
    let total = |name: &str| -> u64 {
        let text = std::fs::read_to_string(dir.path().join(name)).expect("the file");
        let count = text.rsplit("Total count    =").next().expect("the last line");
        count.trim().trim_end_matches(']').parse().expect("a number")
    };
    assert_eq!(total("run.hgrm"), 300);
    for name in ["read", "write"] {
        assert_eq!(total(&format!("run.{name}.hgrm")), kind(&report, name)["ops"], "{name}");
    }
}

#[test]
fn keys_that_are_not_there_are_asked_for_and_filters_spare_their_reads() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = dir.path().join("store");
    // Values that fill memtables of the usual 64 MiB, so that there are tables.
    let load = ["--embedded", path(&store), "--keys", "1500", "--data-size", "64KiB"];
    let more = ["--mode", "reads", "--ops", "500", "--absent-ratio", "1", "--preload", "--settle"];
    let (code, report, err) = bench(&[&load[..], &more].concat());
    assert_eq!((code, &report["absent_reads"]), (Some(0), &500.into()), "{err}");
    assert!(report["store"]["filter_spared_ratio"].as_f64() > Some(0.9), "{report}");
    assert!(report["store"]["index_and_filter_bytes"].as_u64() > Some(0), "{report}");
    let scans = ["--mode", "scan", "--ops", "3", "--scan-entries", "7", "--distribution", "zipf"];
    let (_, report, _) = bench(&[&load[..], &scans].concat());
    assert_eq!(report["read_bytes"], 3 * 7 * (15 + (64 << 10)));
}

#[test]
fn lines_are_written_and_asked_about() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), &[]);
    let url = server.url().to_owned();
    let load = ["--url", &url, "--keys", "5", "--connections", "3", "--fields", "2"];
    let lines = ["--workload", "lines", "--batch", "50", "--distribution", "sequential"];
    let (code, report, err) = bench(&[&load[..], &lines, &["--ops", "20"]].concat());
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(kind(&report, "write")["entries"], 1000);
    let counted = server.query("bench", "SELECT count(f1) FROM bench");
    let count = counted.pointer("/series/0/values/0/1");
    assert_eq!(count, Some(&1000.into()), "{counted}");

    let asks = ["--workload", "query", "--ops", "30"];
    let (code, report, err) = bench(&[&load[..], &asks].concat());
    assert_eq!((code, &kind(&report, "query")["ops"]), (Some(0), &30.into()), "{err}");
    assert_eq!(report["absent_reads"], 0);
    let own = ["--question", "SELECT count(f0) FROM bench WHERE host = '{host}'", "--preload"];
    let (code, report, err) = bench(&[&load[..], &asks, &own].concat());
    assert_eq!((code, &report["absent_reads"]), (Some(0), &0.into()), "{err}");
    let counted = server.query("bench", "SELECT count(f0) FROM bench");
    let count = counted.pointer("/series/0/values/0/1");
    assert_eq!(count, Some(&(5 * 360).into()), "an hour of each: {counted}");
    let both = ["--workload", "lines", "--mode", "mixed", "--ops", "40"];
    let (_, report, _) = bench(&[&load[..], &both].concat());
    let (asked, written) = (kind(&report, "query"), kind(&report, "write"));
    let ops = |of: &Value| of["ops"].as_u64().expect("both kinds");
    assert_eq!(ops(asked) + ops(written), 40);

    let (code, _, err) = bench(&[&load[..], &asks, &["--question", "SELECT"]].concat());
    assert_eq!((code, err.contains("operations failed")), (Some(1), true), "{err}");
    let store = path(dir.path());
    for wrong in [
        &["--url", &url, "--workload", "lines", "--mode", "scan"][..],
        &["--url", &url, "--workload", "query", "--verify"],
        &["--embedded", store, "--workload", "lines"],
    ] {
        let args = [&["bench"][..], wrong].concat();
        assert_eq!(outcome(&firndb(&args, "")).0, Some(2), "{wrong:?}");
    }
    assert_eq!(server.stop(), Some(0));
}
