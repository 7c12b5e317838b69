//! The key-value engine beside its peers, in the same run: `suite` runs every engine in its own
//! child process, rounds interleaved, and prints one Markdown table of medians. `one` runs one
//! engine once.

mod data;
mod engines;
mod measure;
mod round;
mod suite;

use std::path::PathBuf;

use engines::R;

/// What is run, from the command line.
#[derive(Clone)]
struct Cfg {
    keys: u64,
    val: usize,
    cache: usize,
    lz4: bool,
    /// Seconds, cap of each timed phase.
    limit: f64,
    /// Seconds of each phase of synced writes.
    sync_secs: f64,
    /// Leave out everything after this phase: fill, reads.
    until: String,
    reads: u64,
    scans: u64,
    dir: PathBuf,
    rounds: usize,
    engines: Vec<String>,
}

fn arg(a: &[String], k: &str) -> Option<String> {
    a.iter().position(|x| x == k).and_then(|i| a.get(i + 1).cloned())
}

fn cfg(a: &[String]) -> Cfg {
    let g = |k: &str, d: &str| arg(a, k).unwrap_or_else(|| d.to_string());
    Cfg {
        keys: g("--keys", "2000000").parse().unwrap(),
        val: g("--value", "100").parse().unwrap(),
        cache: g("--cache-mb", "128").parse::<usize>().unwrap() << 20,
        lz4: a.iter().any(|x| x == "--lz4"),
        limit: g("--limit", "15").parse().unwrap(),
        sync_secs: g("--sync-secs", "4").parse().unwrap(),
        until: g("--until", ""),
        reads: g("--reads", "1000000").parse().unwrap(),
        scans: g("--scans", "50000").parse().unwrap(),
        dir: g("--dir", "peers-data").into(),
        rounds: g("--rounds", "3").parse().unwrap(),
        engines: match arg(a, "--engines") {
            Some(s) => s.split(',').map(|x| x.to_string()).collect(),
            None => engines::names().iter().map(|x| x.to_string()).collect(),
        },
    }
}

fn main() -> R<()> {
    let a: Vec<String> = std::env::args().collect();
    let c = cfg(&a);
    match a.get(1).map(|s| s.as_str()) {
        Some("one") => round::run(&a[2], &c),
        Some("suite") => suite::run(&a, &c),
        _ => {
            eprintln!(
                "firndb-peers suite|one ENGINE [--keys N] [--rounds N] [--engines a,b] [--lz4] [--cache-mb N] [--limit SECS] [--dir D] [--until fill|reads]"
            );
            Ok(())
        }
    }
}
