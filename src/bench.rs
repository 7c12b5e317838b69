//! `firndb bench`: a load of reads, writes and scans of keys and values, on a server or on a store
//! in this process, and the latencies that it met.
//!
//! With a target rate the load is open: every operation has a moment when it is due, and its
//! latency counts from there, so that a stall is seen by all the operations that it delays and not
//! by one.
//! Without a target each connection sends the next operation when the one before is done.

mod keys;
mod report;
mod run;
mod target;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use firndb::SystemClock;
use firndb::engine::clock::Clock;

use self::keys::Distribution;
use self::report::Slo;
use self::run::Load;
use self::target::{Embedded, Http, Target};
use crate::cli::{Exit, complain};
use crate::client::ServerArgs;
use crate::config::value;
use crate::output::OutputArgs;

/// Largest value of a bench: what fits a request.
const VALUE_BYTES_MAX: u64 = 16 << 20;

/// What the operations are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Puts.
    Writes,
    /// Gets.
    Reads,
    /// Gets and puts, see --read-ratio.
    Mixed,
    /// Scans of 100 entries from a key on.
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
    /// What the operations are.
    #[arg(long, value_enum, default_value = "mixed")]
    mode: Mode,
    /// Of mixed operations, the part that reads.
    #[arg(long, default_value_t = 0.5)]
    read_ratio: f64,
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
    /// Keys there are.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Which key is next: uniform, zipf[:THETA], latest, sequential.
    #[arg(long, default_value = "uniform", value_parser = Distribution::of)]
    distribution: Distribution,
    /// Operations under way at once.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Puts in one batch.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Time before it is measured.
    #[arg(long, default_value = "0s", value_parser = duration_of)]
    warmup: u64,
    /// Write every key once before.
    #[arg(long)]
    preload: bool,
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
    /// How progress is told on stderr.
    #[arg(long, value_enum, default_value = "auto")]
    progress: Progress,
    /// Keyspace of the keys (kv/NAME in a folder).
    #[arg(long, default_value = "bench")]
    keyspace: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// A bar on a terminal, else a line every five seconds.
    Auto,
    /// A bar.
    Bar,
    /// A line every five seconds.
    Plain,
    /// Not at all.
    None,
}

fn duration_of(text: &str) -> Result<u64, String> {
    value::duration_ns(text).ok_or_else(|| "a time like 500ms, 60s or 5m".to_owned())
}

fn size_of(text: &str) -> Result<u64, String> {
    let bytes = value::size(text).ok_or("a size like 128B or 4KiB")?;
    if bytes > VALUE_BYTES_MAX { Err("at most 16MiB".to_owned()) } else { Ok(bytes) }
}

/// Runs the command.
pub fn run(args: &BenchArgs) -> Exit {
    if args.connections == 0 || args.batch == 0 || args.keys == 0 {
        complain("--connections, --batch and --keys are at least 1");
        return Exit::Usage;
    }
    if !(0.0..=1.0).contains(&args.read_ratio) {
        complain("--read-ratio is between 0 and 1");
        return Exit::Usage;
    }
    let target: Box<dyn Target> = match &args.embedded {
        Some(dir) => match Embedded::open(dir, &args.keyspace, args.sync) {
            Ok(target) => Box::new(target),
            Err(exit) => return exit,
        },
        None => match Http::connect(&args.server, &args.keyspace, args.connections) {
            Ok(target) => Box::new(target),
            Err(exit) => return exit,
        },
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let load = Load::new(args, &*target, clock);
    if let Err(error) = load.preload() {
        complain(&format!("cannot write the keys: {error}"));
        return Exit::Failed;
    }
    let before = target.status();
    let measured = load.run();
    let after = target.status();
    let missing = if args.verify { Some(load.verify()) } else { None };
    report::print(args, &target.name(), &measured, before.zip(after), missing)
}
