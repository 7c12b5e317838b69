//! `firndb bench`: a load of reads, writes and scans of keys and values, on a server or on a store
//! in this process, or of line protocol and InfluxQL on a server; and the latencies that it met.
//!
//! With a target rate the load is open: every operation has a moment when it is due, and its
//! latency counts from there, so that a stall is seen by all the operations that it delays and not
//! by one.
//! Without a target each connection sends the next operation when the one before is done.

mod keys;
mod meanwhile;
mod operations;
mod percentiles;
mod points;
mod progress;
mod report;
mod run;
mod seconds;
mod target;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use firndb::SystemClock;
use firndb::engine::clock::Clock;

use self::keys::Distribution;
use self::points::Points;
use self::progress::Progress;
use self::report::Slo;
use self::run::Load;
use self::target::{Embedded, EmbeddedOptions, Http, Target};
use crate::cli::{Exit, complain};
use crate::client::ServerArgs;
use crate::config::value;
use crate::output::OutputArgs;

/// Largest value of a bench: what fits a request.
const VALUE_BYTES_MAX: u64 = 16 << 20;

/// What is written and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Keys and values.
    Kv,
    /// Points by line protocol: --batch lines a request, one of --keys series each.
    Lines,
    /// Questions in InfluxQL about those series.
    Query,
}

/// What the operations are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Puts, or lines.
    Writes,
    /// Gets, or questions.
    Reads,
    /// Both, see --read-ratio.
    Mixed,
    /// Scans of --scan-entries entries from a key on.
    Scan,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Writes => "writes",
            Mode::Reads => "reads",
            Mode::Mixed => "mixed",
            Mode::Scan => "scan",
        }
    }
}

/// Arguments of `firndb bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Measure a store in this process, in this folder of its own.
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    embedded: Option<PathBuf>,
    /// Of an embedded store: a write is acknowledged when it is on disk, not when the operating
    /// system has it.
    #[arg(long, requires = "embedded")]
    sync: bool,
    /// Of an embedded store: memory for blocks of its tables.
    #[arg(long, requires = "embedded", value_name = "SIZE", value_parser = size_of)]
    cache_size: Option<u64>,
    /// What is written and read; lines and questions are for a server.
    #[arg(long, value_enum, default_value = "kv")]
    workload: Workload,
    /// What the operations are; else mixed for keys, writes for lines, reads for questions.
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Of mixed operations, the part that reads.
    #[arg(long, default_value_t = 0.5)]
    read_ratio: f64,
    /// Of the gets, the part that asks for keys that are not there, but lie between those that are.
    #[arg(long, default_value_t = 0.0)]
    absent_ratio: f64,
    /// Entries of a scan.
    #[arg(long, default_value_t = 100)]
    scan_entries: usize,
    /// How long to measure: 60s, 5m.
    #[arg(long, default_value = "10s", value_parser = duration_of)]
    duration: u64,
    /// Stop after this many operations, whatever the time.
    #[arg(long)]
    ops: Option<u64>,
    /// Operations a second in all; 0: as fast as it goes.
    #[arg(long, default_value_t = 0)]
    target_ops: u64,
    /// Bytes of a value.
    #[arg(long, default_value = "128B", value_parser = size_of)]
    data_size: u64,
    /// Keys there are, or series.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Which key is next: uniform, zipf[:THETA], latest, sequential.
    #[arg(long, default_value = "uniform", value_parser = Distribution::of)]
    distribution: Distribution,
    /// Operations under way at once.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Puts in one batch, lines in one request.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Fields of a line.
    #[arg(long, default_value_t = 10)]
    fields: usize,
    /// The question, in which {host} stands for a series (host-000042); else mean and max of a
    /// field of one series by minutes, over the first hour of it.
    #[arg(long, value_name = "TEXT")]
    question: Option<String>,
    /// Database of lines and questions.
    #[arg(long, default_value = "bench")]
    database: String,
    /// Time before it is measured.
    #[arg(long, default_value = "0s", value_parser = duration_of)]
    warmup: u64,
    /// Write every key once before; of series, an hour of points every ten seconds.
    #[arg(long)]
    preload: bool,
    /// Wait until no compaction runs or is due, before it is measured and before the store's own
    /// figures are read.
    #[arg(long)]
    settle: bool,
    /// The same seed gives the same operations.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Read back every key whose write was acknowledged.
    #[arg(long)]
    verify: bool,
    /// Errors that are passed over.
    #[arg(long, default_value_t = 0)]
    max_errors: u64,
    /// A latency that must be met, or the exit code is 3: p99=5ms; may be repeated.
    #[arg(long, value_parser = Slo::of)]
    slo: Vec<Slo>,
    /// Write the distribution of the latencies to this file, as HdrHistogram's plotters read it;
    /// of several kinds of operations, each to a file of its own as well.
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
    /// How progress is told on stderr.
    #[arg(long, value_enum, default_value = "auto")]
    progress: Progress,
    /// Time between two lines of progress.
    #[arg(long, default_value = "5s", value_parser = duration_of)]
    interval: u64,
    /// Keyspace of the keys (kv/NAME in a folder).
    #[arg(long, default_value = "bench")]
    keyspace: String,
    #[command(flatten)]
    output: OutputArgs,
}

fn duration_of(text: &str) -> Result<u64, String> {
    value::duration_ns(text).ok_or_else(|| "a time like 500ms, 60s or 5m".to_owned())
}

fn size_of(text: &str) -> Result<u64, String> {
    let bytes = value::size(text).ok_or("a size like 128B or 4KiB")?;
    if bytes > VALUE_BYTES_MAX { Err("at most 16MiB".to_owned()) } else { Ok(bytes) }
}

/// What the command is refused for.
fn mistake(args: &BenchArgs) -> Option<&'static str> {
    let is_part = |ratio: f64| (0.0..=1.0).contains(&ratio);
    let is_kv = args.workload == Workload::Kv;
    let cases = [
        (
            args.connections == 0 || args.batch == 0 || args.keys == 0 || args.fields == 0,
            "--connections, --batch, --keys and --fields are at least 1",
        ),
        (
            !is_part(args.read_ratio) || !is_part(args.absent_ratio),
            "--read-ratio and --absent-ratio are between 0 and 1",
        ),
        (args.interval == 0, "--interval is more than nothing"),
        (
            !is_kv && args.embedded.is_some(),
            "an embedded store has keys and values alone\n  \
             lines and questions are for a server: firndb serve, then --url",
        ),
        (!is_kv && args.mode() == Mode::Scan, "scans are of keys and values: --workload kv"),
        (!is_kv && args.verify, "--verify reads back keys and values: --workload kv"),
    ];
    cases.into_iter().find_map(|(is_wrong, text)| is_wrong.then_some(text))
}

impl BenchArgs {
    fn mode(&self) -> Mode {
        self.mode.unwrap_or(match self.workload {
            Workload::Kv => Mode::Mixed,
            Workload::Lines => Mode::Writes,
            Workload::Query => Mode::Reads,
        })
    }

    fn points(&self) -> Option<Points> {
        let is_kv = self.workload == Workload::Kv;
        (!is_kv).then(|| Points::new(self.keys, self.fields, self.question.clone()))
    }
}

/// Runs the command.
pub fn run(args: &BenchArgs) -> Exit {
    if let Some(reason) = mistake(args) {
        complain(reason);
        return Exit::Usage;
    }
    let target: Box<dyn Target> = match &args.embedded {
        Some(dir) => {
            let options = EmbeddedOptions { is_synced: args.sync, cache_bytes: args.cache_size };
            match Embedded::open(dir, &args.keyspace, options) {
                Ok(target) => Box::new(target),
                Err(exit) => return exit,
            }
        }
        None => match Http::connect(&args.server, args) {
            Ok(target) => Box::new(target),
            Err(exit) => return exit,
        },
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let load = Load::new(args, &*target, clock);
    if let Err(error) = load.preload() {
        complain(&format!("cannot write what is to be read: {error}"));
        return Exit::Failed;
    }
    load.settle();
    let before = target.status();
    let measured = load.run();
    load.settle();
    let after = target.status();
    let meanwhile = load.meanwhile(&measured, after.as_ref());
    let missing = if args.verify { Some(load.verify()) } else { None };
    if let Some(path) = &args.hdr
        && let Err(exit) = percentiles::write(path, &measured)
    {
        return exit;
    }
    let store = report::Store { states: before.zip(after), meanwhile };
    report::print(args, &target.name(), &measured, &store, missing)
}
