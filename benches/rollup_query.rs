//! A GROUP BY of an hour over a year of points ten seconds apart, from points and from a rollup of
//! an hour, in-process; and what building the rollup took.
//!
//! Data: some series of one float of two decimals and one integer that walk between 0 and 100, in
//! closed partitions. Both ways run over the same database and their answers are compared.
//! Run: `cargo bench --bench rollup_query [-- SERIES [DAYS]]`.

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
use firndb::query::exec::{self, Cancel, Cell, Context, Limits, Series, SeriesStream};
use firndb::query::influxql::{self, Scope, Statement};
use firndb::query::plan::Plan;
use firndb::tsdb::{Options, Tsdb};

const START_S: i64 = 1_735_689_600; // 2025-01-01
const DAY_S: i64 = 86_400;
const RUNS: usize = 9;

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

fn load(tsdb: &Tsdb, series: usize, days: i64) {
    let database = tsdb.create_database("b", None).expect("a new store");
    let mut random = Random(42);
    let mut walks = vec![50.0f64; series];
    let rows = days * DAY_S / 10;
    let mut text = String::new();
    for row in 0..rows {
        let time = (START_S + row * 10) * 1_000_000_000;
        for (host, walk) in walks.iter_mut().enumerate() {
            let step = (0..4).map(|_| random.below(1001) as i64 - 500).sum::<i64>();
            *walk = (*walk + step as f64 / 577.0).clamp(0.0, 100.0);
            let whole = *walk as i64;
            let _ = writeln!(text, "cpu,host=h{host} f={walk:.2},i={whole}i {time}");
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

/// Runs a statement that is no query.
fn ask(context: &Context, text: &str) {
    let scope = Scope { tsdb: &context.tsdb, database: Some("b"), policy: None, now: 0 };
    for (statement, _) in influxql::parse(text, &Default::default()).expect("our own text") {
        influxql::answer(&statement, &scope, context).expect("an answer").for_each(drop);
    }
}

fn plan(context: &Context, text: &str, now: i64) -> Plan {
    let scope = Scope { tsdb: &context.tsdb, database: Some("b"), policy: None, now };
    let statements = influxql::parse(text, &Default::default()).expect("our own text");
    let Statement::Select(select) = &statements[0].0 else { panic!("a query") };
    influxql::lower::lower(select, &scope).expect("a plan").plans.remove(0)
}

type Start = fn(&Context, &Plan) -> firndb::query::Result<SeriesStream>;

/// The answer, and the median of some runs in milliseconds.
fn measure(context: &Context, plan: &Plan, start: Start) -> (Vec<Series>, f64) {
    let mut times = Vec::new();
    let mut answer = Vec::new();
    for _ in 0..RUNS {
        let begin = Instant::now();
        let parts = start(context, plan).expect("a stream");
        answer = parts.map(|part| part.expect("a part")).collect();
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    (answer, times[RUNS / 2])
}

fn rows(answer: &[Series]) -> Vec<(i64, Vec<Cell<'_>>)> {
    let mut rows = Vec::new();
    for part in answer {
        for (at, time) in part.times.iter().enumerate() {
            rows.push((*time, part.values.iter().map(|column| column.cell(at)).collect()));
        }
    }
    rows
}

/// Whether two answers are the same; floats as near as their sums in another order are.
fn are_alike(answer: &[Series], other: &[Series]) -> bool {
    let is_near = |(a, b): (&Cell<'_>, &Cell<'_>)| match (a, b) {
        (Cell::Float(a), Cell::Float(b)) => (a - b).abs() <= a.abs() * 1e-9,
        _ => format!("{a:?}") == format!("{b:?}"),
    };
    let (answer, other) = (rows(answer), rows(other));
    answer.len() == other.len()
        && answer.iter().zip(&other).all(|((time, cells), (other_time, others))| {
            time == other_time && cells.iter().zip(others).all(is_near)
        })
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<i64>().ok());
    let series = numbers.next().unwrap_or(4) as usize;
    let days = numbers.next().unwrap_or(365);
    let dir = tempfile::tempdir().expect("a directory");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(0));
    let fs = Arc::new(RealFs);
    let mut engine = EngineOptions::new(dir.path(), fs, clock.clone(), Arc::new(Plain::new()));
    engine.durability = Durability::Os;
    let tsdb = Tsdb::open(Options::new(engine)).expect("a store");
    let context = Context {
        tsdb: tsdb.clone(),
        pool: None,
        budget: Budget::new(4 << 30),
        clock,
        deadline_ns: None,
        cancel: Cancel::default(),
        limits: Limits::default(),
    };
    let begin = Instant::now();
    load(&tsdb, series, days);
    tsdb.store().flush(None).expect("a flush");
    tsdb.store().compact(None, CompactOptions { is_final: true }, &|| false).expect("compacted");
    println!("{series} series, {days} days: loaded in {:.1} s", begin.elapsed().as_secs_f64());

    ask(&context, "CREATE ROLLUP hourly ON b EVERY 1h");
    let now = (START_S + days * DAY_S + 2 * 3600) * 1_000_000_000;
    let begin = Instant::now();
    while tsdb.maintain(now).expect("maintained").rollup_rows > 0 {}
    println!("rollup built in {:.2} s", begin.elapsed().as_secs_f64());
    tsdb.store().flush(None).expect("a flush");
    tsdb.store().compact(None, CompactOptions { is_final: true }, &|| false).expect("compacted");

    let (from, to) = (START_S, START_S + days * DAY_S);
    println!("{:44} {:>8} {:>10} {:>10} {:>7}", "query", "rows", "points ms", "rollup ms", "times");
    let kinds = [
        ("mean(f)", "host"),
        ("max(i)", "host"),
        ("count(f), sum(i), min(f), max(f), last(i)", "host"),
        ("mean(f)", ""),
    ];
    for (columns, group) in kinds {
        let by = if group.is_empty() { String::new() } else { format!(", {group}") };
        let text = format!(
            "SELECT {columns} FROM cpu WHERE time >= {from}s AND time < {to}s GROUP BY time(1h){by}"
        );
        let plan = plan(&context, &text, now);
        let (expected, points_ms) = measure(&context, &plan, exec::stream_points);
        let (got, rollup_ms) = measure(&context, &plan, exec::stream);
        assert!(are_alike(&got, &expected), "both ways answer alike: {text}");
        let count: usize = got.iter().map(|part| part.times.len()).sum();
        let name = format!("{columns} by 1h{by}");
        let times = points_ms / rollup_ms;
        println!("{name:44} {count:>8} {points_ms:>10.2} {rollup_ms:>10.3} {times:>7.1}");
    }
}
