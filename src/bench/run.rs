//! Runs the operations and counts what they met.
//!
//! Operations are numbered; a connection takes the next number and does that operation. With a
//! target rate number `n` is due at `start + n / rate`, whoever takes it: connections that are held
//! up do not hold up the schedule.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use firndb::engine::clock::Clock;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};

use super::keys::{Dice, Keys};
use super::target::Target;
use super::{BenchArgs, Mode, Progress};
use crate::cli::complain;

const SECOND_NS: u64 = 1_000_000_000;
/// Time between two looks at the progress.
const LOOK: Duration = Duration::from_millis(200);
/// Looks between two plain lines: five seconds.
const LOOKS_PER_LINE: u32 = 25;
/// Puts in one batch while keys are loaded.
const PRELOAD_BATCH: u64 = 500;

/// Operations, in the order of the report.
pub const KINDS: [&str; 3] = ["read", "write", "scan"];

/// What one connection, or all of them, met.
#[derive(Debug)]
pub struct Measured {
    /// Latencies by kind, in nanoseconds, three digits.
    pub latencies: [Histogram<u64>; KINDS.len()],
    /// Keys put and values read, by kind: a batch counts its puts.
    pub entries: [u64; KINDS.len()],
    /// Operations that failed, by kind.
    pub errors: [u64; KINDS.len()],
    /// Reads that found nothing.
    pub absent: u64,
    /// Bytes of values written and read.
    pub written_bytes: u64,
    pub read_bytes: u64,
    /// Longest latency of each second of the run.
    pub slowest: BTreeMap<u64, u64>,
    /// How long it was measured.
    pub ns: u64,
    /// The first error.
    pub first_error: Option<String>,
}

impl Measured {
    fn new() -> Measured {
        let histogram = || Histogram::new(3).expect("three digits are allowed");
        Measured {
            latencies: std::array::from_fn(|_| histogram()),
            entries: [0; KINDS.len()],
            errors: [0; KINDS.len()],
            absent: 0,
            written_bytes: 0,
            read_bytes: 0,
            slowest: BTreeMap::new(),
            ns: 0,
            first_error: None,
        }
    }

    fn add(&mut self, other: Measured) {
        for kind in 0..KINDS.len() {
            self.latencies[kind] += &other.latencies[kind];
            self.entries[kind] += other.entries[kind];
            self.errors[kind] += other.errors[kind];
        }
        self.absent += other.absent;
        self.written_bytes += other.written_bytes;
        self.read_bytes += other.read_bytes;
        for (second, ns) in other.slowest {
            let slowest = self.slowest.entry(second).or_default();
            *slowest = (*slowest).max(ns);
        }
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

/// The load.
pub struct Load<'a> {
    args: &'a BenchArgs,
    target: &'a dyn Target,
    clock: Arc<dyn Clock>,
    keys: Keys,
    /// Number of the next operation.
    next: AtomicU64,
    /// Keys written so far, for the distribution `latest`.
    newest: AtomicU64,
    /// Bits of the keys whose write was acknowledged.
    acknowledged: Vec<AtomicU64>,
    done: AtomicU64,
    errors: AtomicU64,
    is_over: AtomicBool,
}

/// What one operation came to.
struct Done {
    kind: usize,
    entries: u64,
    outcome: Result<Option<u64>, String>,
}

impl<'a> Load<'a> {
    /// The load that `args` ask for.
    pub fn new(args: &'a BenchArgs, target: &'a dyn Target, clock: Arc<dyn Clock>) -> Load<'a> {
        let words = if args.verify { args.keys.div_ceil(64) } else { 0 };
        Load {
            args,
            target,
            clock,
            keys: Keys::new(args.keys, args.distribution),
            next: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            acknowledged: (0..words).map(|_| AtomicU64::new(0)).collect(),
            done: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// Writes every key once, if that is asked for.
    pub fn preload(&self) -> Result<(), String> {
        let mut from = 0;
        while self.args.preload && from < self.args.keys {
            let upto = (from + PRELOAD_BATCH).min(self.args.keys);
            let pairs: Vec<_> = (from..upto).map(|key| self.pair(key)).collect();
            self.target.put(&pairs)?;
            (from..upto).for_each(|key| self.acknowledge(key));
            from = upto;
        }
        self.newest.store(from, Ordering::Relaxed);
        Ok(())
    }

    /// Runs the load.
    pub fn run(&self) -> Measured {
        let start_ns = self.clock.monotonic_ns();
        let mut all = Measured::new();
        std::thread::scope(|scope| {
            let teller = scope.spawn(|| self.tell(start_ns));
            let work = || self.work(start_ns);
            let workers: Vec<_> = (0..self.args.connections).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                all.add(worker.join().expect("a connection does not panic"));
            }
            let ns = self.clock.monotonic_ns().saturating_sub(start_ns);
            all.ns = ns.saturating_sub(self.args.warmup);
            self.is_over.store(true, Ordering::Release);
            teller.thread().unpark();
        });
        all
    }

    fn is_enough(&self, operation: u64, now_ns: u64, start_ns: u64) -> bool {
        match self.args.ops {
            Some(ops) => operation >= ops,
            None => now_ns.saturating_sub(start_ns) >= self.args.warmup + self.args.duration,
        }
    }

    /// One connection.
    fn work(&self, start_ns: u64) -> Measured {
        let mut measured = Measured::new();
        loop {
            let operation = self.next.fetch_add(1, Ordering::Relaxed);
            let due_ns = match self.args.target_ops {
                0 => self.clock.monotonic_ns(),
                rate => {
                    let after_ns = u128::from(operation) * u128::from(SECOND_NS) / u128::from(rate);
                    let due_ns = start_ns.saturating_add(after_ns as u64);
                    // Behind the end nobody waits for its moment.
                    if !self.is_enough(operation, due_ns, start_ns) {
                        self.wait_until(due_ns);
                    }
                    due_ns
                }
            };
            if self.is_enough(operation, due_ns, start_ns) {
                return measured;
            }
            let done = self.operation(operation);
            let ns = self.clock.monotonic_ns().saturating_sub(due_ns);
            self.done.fetch_add(1, Ordering::Relaxed);
            let at_ns = due_ns.saturating_sub(start_ns);
            if at_ns >= self.args.warmup {
                self.note(&mut measured, done, ns, (at_ns - self.args.warmup) / SECOND_NS);
            }
            if self.errors.load(Ordering::Relaxed) > self.args.max_errors {
                return measured;
            }
        }
    }

    fn wait_until(&self, due_ns: u64) {
        loop {
            let now_ns = self.clock.monotonic_ns();
            if now_ns >= due_ns {
                return;
            }
            std::thread::park_timeout(Duration::from_nanos(due_ns - now_ns));
        }
    }

    fn note(&self, measured: &mut Measured, done: Done, ns: u64, second: u64) {
        let Done { kind, entries, outcome } = done;
        match outcome {
            Ok(bytes) => {
                // It grows with what it is given; only without memory does it not.
                let _ = measured.latencies[kind].record(ns.max(1));
                measured.entries[kind] += entries;
                measured.absent += u64::from(bytes.is_none());
                let sum =
                    if kind == 1 { &mut measured.written_bytes } else { &mut measured.read_bytes };
                *sum += bytes.unwrap_or(0);
                let slowest = measured.slowest.entry(second).or_default();
                *slowest = (*slowest).max(ns);
            }
            Err(error) => {
                measured.errors[kind] += 1;
                self.errors.fetch_add(1, Ordering::Relaxed);
                measured.first_error.get_or_insert(error);
            }
        }
    }

    fn operation(&self, operation: u64) -> Done {
        let mut dice = Dice::of(self.args.seed, operation);
        let kind = match self.args.mode {
            Mode::Reads => 0,
            Mode::Writes => 1,
            Mode::Scan => 2,
            Mode::Mixed => usize::from(dice.part() >= self.args.read_ratio),
        };
        let newest = self.newest.load(Ordering::Relaxed);
        let batch = self.args.batch as u64;
        let outcome = match kind {
            0 => {
                let key = key_text(self.keys.read(operation, newest, &mut dice));
                let value = self.target.get(&key);
                value.map(|value| value.map(|value| value.len() as u64))
            }
            1 => {
                let base = match self.args.mode {
                    Mode::Writes | Mode::Mixed => self.newest.fetch_add(batch, Ordering::Relaxed),
                    _ => newest,
                };
                let key = |n| self.keys.written(operation * batch + n, base + n, &mut dice);
                let keys: Vec<u64> = (0..batch).map(key).collect();
                let pairs: Vec<_> = keys.iter().map(|key| self.pair(*key)).collect();
                let bytes = pairs.iter().map(|(_, value)| value.len() as u64).sum();
                let put = self.target.put(&pairs);
                put.map(|()| {
                    keys.iter().for_each(|key| self.acknowledge(*key));
                    Some(bytes)
                })
            }
            _ => {
                let key = key_text(self.keys.read(operation, newest, &mut dice));
                self.target.scan(&key).map(Some)
            }
        };
        Done { kind, entries: if kind == 1 { batch } else { 1 }, outcome }
    }

    /// A key and its value: the key again, then bytes that do not compress.
    fn pair(&self, key: u64) -> (String, Vec<u8>) {
        let text = key_text(key);
        let mut value = text.clone().into_bytes();
        let mut dice = Dice::of(self.args.seed, key);
        while value.len() < self.args.data_size as usize {
            value.extend_from_slice(&dice.next().to_le_bytes());
        }
        value.truncate(self.args.data_size as usize);
        (text, value)
    }

    fn acknowledge(&self, key: u64) {
        if let Some(word) = self.acknowledged.get((key / 64) as usize) {
            word.fetch_or(1 << (key % 64), Ordering::Relaxed);
        }
    }

    /// Reads back every key whose write was acknowledged: how many, and those that are not as they
    /// were written.
    pub fn verify(&self) -> (u64, Vec<String>) {
        let (mut read, mut wrong) = (0, Vec::new());
        for (at, word) in self.acknowledged.iter().enumerate() {
            let word = word.load(Ordering::Relaxed);
            for bit in (0..64).filter(|bit| word & (1 << bit) != 0) {
                let (key, value) = self.pair(at as u64 * 64 + bit);
                read += 1;
                if self.target.get(&key).ok().flatten() != Some(value) {
                    wrong.push(key);
                }
            }
        }
        (read, wrong)
    }

    /// Tells how far it is until all connections are done.
    fn tell(&self, start_ns: u64) {
        use std::io::IsTerminal;
        let is_bar = match self.args.progress {
            Progress::Auto => std::io::stderr().is_terminal(),
            Progress::Bar => true,
            Progress::Plain | Progress::None => false,
        };
        let length = self.args.ops.unwrap_or((self.args.warmup + self.args.duration) / 1_000_000);
        let bar = if is_bar { ProgressBar::new(length) } else { ProgressBar::hidden() };
        let style = "{elapsed_precise} [{bar:32}] {percent:>3}%  {msg}  eta {eta}";
        bar.set_style(ProgressStyle::with_template(style).expect("a template of ours"));
        let (mut looks, mut before) = (0u32, 0);
        while !self.is_over.load(Ordering::Acquire) {
            std::thread::park_timeout(LOOK);
            looks += 1;
            let done = self.done.load(Ordering::Relaxed);
            let errors = self.errors.load(Ordering::Relaxed);
            let ns = self.clock.monotonic_ns().saturating_sub(start_ns).max(1);
            let rate = (u128::from(done) * u128::from(SECOND_NS) / u128::from(ns)) as u64;
            let position = if self.args.ops.is_some() { done } else { ns / 1_000_000 };
            bar.set_position(position.min(length));
            bar.set_message(format!("{rate} ops/s  errors {errors}"));
            let is_plain = !is_bar && self.args.progress != Progress::None;
            if is_plain && looks.is_multiple_of(LOOKS_PER_LINE) {
                let of_line = (done - before) / 5;
                let seconds = ns / SECOND_NS;
                complain(&format!(
                    "{seconds} s: {done} operations, {of_line} ops/s, {errors} errors"
                ));
                before = done;
            }
        }
        bar.finish_and_clear();
    }
}

/// A key as text: equal lengths, in order.
fn key_text(key: u64) -> String {
    format!("key{key:012}")
}
