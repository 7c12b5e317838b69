//! The fourteen TSBS devops queries in-process: planning and execution, without HTTP and JSON.
//!
//! Data: 100 hosts with ten tags, 72 hours at 10 s, ten integer fields that walk between 0 and
//! 100: 2.6 M rows, 26 M values, written as line protocol. Every query runs with 20 different
//! parameters; the median and the slowest are printed, first over chunks as flushed, then over
//! chunks of the closed partition.
//! Run: `cargo bench --bench query [-- FILTER [THREADS [RUNS]]]`.

#![allow(missing_docs, clippy::disallowed_methods, clippy::print_stdout)] // it measures and prints

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use firndb::engine::budget::Budget;
use firndb::engine::clock::{Clock, ManualClock};
use firndb::engine::fs::real::RealFs;
use firndb::engine::hooks::Plain;
use firndb::engine::options::{Durability, Options as EngineOptions};
use firndb::engine::store::CompactOptions;
use firndb::ingest::line_protocol::parse;
use firndb::ingest::precision::Precision;
use firndb::query::exec::{Cancel, Context, Limits};
use firndb::query::influxql::{self, Scope};
use firndb::tsdb::{Options, Tsdb};

const HOSTS: usize = 100;
const HOURS: i64 = 72;
const START_S: i64 = 1_767_225_600; // 2026-01-01, a Thursday: one week's partition
const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

/// xorshift64: the same data on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % n
    }
}

fn load(tsdb: &Tsdb) {
    let database = tsdb.create_database("b", None).expect("a new store");
    let mut random = Random(42);
    let mut walks = vec![[50.0f64; 10]; HOSTS];
    let tags: Vec<String> = (0..HOSTS)
        .map(|host| {
            format!(
                "cpu,hostname=host_{host},region=eu-central-1,datacenter=eu-central-1a,rack={},\
                 os=Ubuntu15.10,arch=x64,team=SF,service={},service_version=1,\
                 service_environment=production",
                host % 100,
                host % 20
            )
        })
        .collect();
    let rows = HOURS * 360;
    let mut text = String::new();
    for row in 0..rows {
        for (host, walk) in walks.iter_mut().enumerate() {
            text += &tags[host];
            for (field, value) in FIELDS.iter().zip(walk.iter_mut()) {
                // A step of standard deviation 1, as a sum of four uniform ones.
                let step: i64 = (0..4).map(|_| random.below(1001) as i64 - 500).sum();
                *value = (*value + step as f64 / 577.0).clamp(0.0, 100.0);
                let mark = if *field == "usage_user" { ' ' } else { ',' };
                let _ = write!(text, "{mark}{field}={}i", *value as i64);
            }
            let _ = writeln!(text, " {}", (START_S + row * 10) * 1_000_000_000);
        }
        if text.len() > 2_000_000 || row + 1 == rows {
            let known = |text: &[u8]| database.known_series(text);
            let parsed = parse(text.as_bytes(), Precision::Nanosecond, 0, known);
            assert_eq!(parsed.error_count, 0);
            database.write(None, &parsed.batch, 0).expect("a write");
            text.clear();
        }
    }
}

/// A moment as InfluxQL writes it.
fn at(seconds: i64) -> String {
    format!("{}s", seconds)
}

fn list(function: &str, fields: usize) -> String {
    let call = |field: &&str| format!("{function}({field}) AS {field}");
    FIELDS[..fields].iter().map(call).collect::<Vec<_>>().join(", ")
}

/// One instance of a query: kind, how many hosts, hours and fields.
fn query(kind: &str, random: &mut Random) -> String {
    let mut numbers = kind.rsplit('-').filter_map(|n| n.parse::<usize>().ok()).collect::<Vec<_>>();
    numbers.reverse();
    let span = |hours: i64, random: &mut Random| {
        let start = START_S + random.below((HOURS - hours) as u64 * 60) as i64 * 60;
        format!("time >= {} AND time < {}", at(start), at(start + hours * 3600))
    };
    let hosts = |count: usize, random: &mut Random| {
        let first = random.below((HOSTS - count) as u64);
        let host = |at: usize| format!("hostname = 'host_{}'", first as usize + at);
        format!("({})", (0..count).map(host).collect::<Vec<_>>().join(" OR "))
    };
    match kind {
        "lastpoint" => "SELECT * FROM cpu GROUP BY hostname ORDER BY time DESC LIMIT 1".into(),
        "groupby-orderby-limit" => {
            let end = START_S + 7200 + random.below(HOURS as u64 * 60 - 130) as i64 * 60;
            format!(
                "SELECT {} FROM cpu WHERE time < {} GROUP BY time(60s) ORDER BY time DESC LIMIT 5",
                list("max", 1),
                at(end)
            )
        }
        "high-cpu-1" => format!(
            "SELECT * FROM cpu WHERE usage_user > 90.0 AND {} AND {}",
            hosts(1, random),
            span(24, random)
        ),
        "high-cpu-all" => {
            format!("SELECT * FROM cpu WHERE usage_user > 90.0 AND {}", span(24, random))
        }
        "double-groupby-all" => double(10, &span(24, random)),
        kind if kind.starts_with("double") => double(numbers[0], &span(24, random)),
        kind if kind.starts_with("cpu-max") => format!(
            "SELECT {} FROM cpu WHERE {} AND {} GROUP BY time(3600s)",
            list("max", 10),
            hosts(numbers[0], random),
            span(8, random)
        ),
        _ => format!(
            "SELECT {} FROM cpu WHERE {} AND {} GROUP BY time(60s)",
            list("max", numbers[0]),
            hosts(numbers[1], random),
            span(numbers[2] as i64, random)
        ),
    }
}

fn double(fields: usize, span: &str) -> String {
    format!("SELECT {} FROM cpu WHERE {span} GROUP BY time(3600s), hostname", list("mean", fields))
}

fn run(context: &Context, text: &str) -> (usize, f64) {
    let begin = Instant::now();
    let scope = Scope {
        tsdb: &context.tsdb,
        database: Some("b"),
        policy: None,
        now: (START_S + HOURS * 3600) * 1_000_000_000,
    };
    let statements = influxql::parse(text, &Default::default()).expect("our own text");
    let mut rows = 0;
    for part in influxql::answer(&statements[0].0, &scope, context).expect("an answer") {
        rows += part.expect("a part").times.len();
    }
    (rows, begin.elapsed().as_secs_f64() * 1e3)
}

fn measure(context: &Context, filter: &str, runs: usize) {
    let kinds = [
        "single-groupby-1-1-1",
        "single-groupby-1-1-12",
        "single-groupby-1-8-1",
        "single-groupby-5-1-1",
        "single-groupby-5-8-1",
        "cpu-max-all-1",
        "cpu-max-all-8",
        "double-groupby-1",
        "double-groupby-5",
        "double-groupby-all",
        "high-cpu-1",
        "high-cpu-all",
        "lastpoint",
        "groupby-orderby-limit",
    ];
    for kind in kinds.into_iter().filter(|kind| kind.contains(filter)) {
        let mut random = Random(7);
        let mut times = Vec::new();
        let mut rows = 0;
        for _ in 0..runs {
            let (found, ms) = run(context, &query(kind, &mut random));
            times.push(ms);
            rows = found;
        }
        times.sort_by(f64::total_cmp);
        println!(
            "{kind:<24} {:>9.3} ms median {:>9.3} ms max {:>9.3} ms min {rows:>8} rows",
            times[runs / 2],
            times[runs - 1],
            times[0]
        );
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    let filter = arguments.next().unwrap_or_default();
    let threads: usize = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(2);
    let runs: usize = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(20);
    let folder = tempfile::tempdir().expect("a folder");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(START_S * 1_000_000_000));
    let mut engine =
        EngineOptions::new(folder.path(), Arc::new(RealFs), clock.clone(), Arc::new(Plain::new()));
    engine.durability = Durability::Os;
    let begin = Instant::now();
    let tsdb = Tsdb::open(Options::new(engine)).expect("a new store");
    load(&tsdb);
    println!("loaded in {:.1} s", begin.elapsed().as_secs_f64());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let context = Context {
        tsdb: tsdb.clone(),
        pool: (threads > 1).then(|| Arc::new(pool)),
        budget: Budget::unlimited(),
        clock,
        deadline_ns: None,
        cancel: Cancel::default(),
        limits: Limits::default(),
    };
    println!("-- memtables and what was flushed meanwhile, {threads} threads");
    measure(&context, &filter, runs);
    tsdb.store().flush(None).expect("a flush");
    println!("-- flushed");
    measure(&context, &filter, runs);
    let whole = CompactOptions { is_final: true };
    tsdb.store().compact(None, whole, &|| false).expect("a compaction");
    println!("-- closed partition");
    measure(&context, &filter, runs);
}
