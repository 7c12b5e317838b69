//! Runs the operations and counts what they met.
//!
//! Operations are numbered; a connection takes the next number and does that operation. With a
//! target rate number `n` is due at `start + n / rate`, whoever takes it: connections that are held
//! up do not hold up the schedule.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use firndb::engine::clock::Clock;
use hdrhistogram::Histogram;
use serde_json::Value;

use super::BenchArgs;
use super::keys::Keys;
use super::meanwhile;
use super::operations::{Done, KINDS, Scratch, WRITE};
use super::points::Points;
use super::progress;
use super::seconds::{Connection, Seconds, Slowest};
use super::target::Target;

/// A second.
pub const SECOND_NS: u64 = 1_000_000_000;
/// Puts in one batch while keys are loaded.
const PRELOAD_BATCH: u64 = 500;
/// Lines in one request while series are loaded.
const PRELOAD_LINES: u64 = 5000;
/// Time between two looks whether compactions are done.
const SETTLE_LOOK: Duration = Duration::from_millis(50);

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
    /// When measuring began, nanoseconds since the Unix epoch.
    pub begin_unix_ns: i64,
    /// The second with the longest latency.
    pub slowest: Option<Slowest>,
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
            begin_unix_ns: 0,
            slowest: None,
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
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

/// The load.
pub struct Load<'a> {
    pub(super) args: &'a BenchArgs,
    pub(super) target: &'a dyn Target,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keys: Keys,
    /// What is written and asked in place of keys and values, if it is.
    pub(super) points: Option<Points>,
    /// Number of the next operation.
    next: AtomicU64,
    /// Keys or lines written so far.
    pub(super) newest: AtomicU64,
    /// Bits of the keys whose write was acknowledged.
    acknowledged: Vec<AtomicU64>,
    pub(super) done: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) seconds: Seconds,
    pub(super) is_over: AtomicBool,
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
            points: args.points(),
            next: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            acknowledged: (0..words).map(|_| AtomicU64::new(0)).collect(),
            done: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            seconds: Seconds::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Writes every key once, or an hour of every series, if that is asked for.
    pub fn preload(&self) -> Result<(), String> {
        if !self.args.preload {
            return Ok(());
        }
        let points = self.points.as_ref();
        let (count, step) = match points {
            None => (self.args.keys, PRELOAD_BATCH),
            Some(points) => (points.hour(), PRELOAD_LINES),
        };
        let mut from = 0;
        while from < count {
            let upto = (from + step).min(count);
            if let Some(points) = points {
                let lines = points.lines((from..upto).map(|line| (line, line % self.args.keys)));
                self.target.lines(lines)?;
            } else {
                let pairs: Vec<_> = (from..upto).map(|key| self.pair(key)).collect();
                self.target.put(&pairs)?;
                (from..upto).for_each(|key| self.acknowledge(key));
            }
            from = upto;
        }
        self.newest.store(count, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until no compaction runs or is due, if that is asked for.
    pub fn settle(&self) {
        let is_busy =
            |status: Value| status["jobs"].as_array().is_some_and(|jobs| !jobs.is_empty());
        while self.args.settle && self.target.status().is_some_and(is_busy) {
            std::thread::park_timeout(SETTLE_LOOK);
        }
    }

    /// Runs the load.
    pub fn run(&self) -> Measured {
        let start_ns = self.clock.monotonic_ns();
        let mut all = Measured::new();
        all.begin_unix_ns = self.clock.unix_ns() + self.args.warmup as i64;
        std::thread::scope(|scope| {
            let teller = scope.spawn(|| progress::tell(self, start_ns));
            let work = || self.work(start_ns);
            let workers: Vec<_> = (0..self.args.connections).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                all.add(worker.join().expect("a connection does not panic"));
            }
            let ns = self.clock.monotonic_ns().saturating_sub(start_ns);
            all.ns = ns.saturating_sub(self.args.warmup);
            all.slowest = self.seconds.slowest();
            self.is_over.store(true, Ordering::Release);
            teller.thread().unpark();
        });
        all
    }

    /// What the store did in the slowest second; `status` is its state now.
    pub fn meanwhile(&self, measured: &Measured, status: Option<&Value>) -> Vec<Value> {
        let Some(Slowest { second, .. }) = measured.slowest else { return Vec::new() };
        let from_ms = (measured.begin_unix_ns + (second * SECOND_NS) as i64) / 1_000_000;
        let jobs = status.and_then(|status| status["jobs"].as_array().cloned()).unwrap_or_default();
        let now_ms = self.clock.unix_ns() / 1_000_000;
        meanwhile::work_in((from_ms, from_ms + 1000), &self.target.events(), &jobs, now_ms)
    }

    fn is_enough(&self, operation: u64, now_ns: u64, start_ns: u64) -> bool {
        match self.args.ops {
            Some(ops) => operation >= ops,
            None => now_ns.saturating_sub(start_ns) >= self.args.warmup + self.args.duration,
        }
    }

    /// One connection.
    fn work(&self, start_ns: u64) -> Measured {
        let (mut measured, mut scratch) = (Measured::new(), Scratch::default());
        let mut seconds = self.seconds.connection();
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
            let done = self.operation(operation, &mut scratch);
            let ns = self.clock.monotonic_ns().saturating_sub(due_ns);
            self.done.fetch_add(1, Ordering::Relaxed);
            let at_ns = due_ns.saturating_sub(start_ns);
            if at_ns >= self.args.warmup {
                let second = (at_ns - self.args.warmup) / SECOND_NS;
                self.note((&mut measured, &mut seconds), done, ns, second);
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

    fn note(
        &self,
        (measured, seconds): (&mut Measured, &mut Connection<'_>),
        done: Done,
        ns: u64,
        second: u64,
    ) {
        let Done { kind, entries, outcome } = done;
        match outcome {
            Ok(bytes) => {
                // It grows with what it is given; only without memory does it not.
                let _ = measured.latencies[kind].record(ns.max(1));
                measured.entries[kind] += entries;
                measured.absent += u64::from(bytes.is_none());
                let is_write = kind == WRITE;
                let Measured { written_bytes, read_bytes, .. } = measured;
                *(if is_write { written_bytes } else { read_bytes }) += bytes.unwrap_or(0);
                seconds.note(second, ns);
            }
            Err(error) => {
                measured.errors[kind] += 1;
                self.errors.fetch_add(1, Ordering::Relaxed);
                measured.first_error.get_or_insert(error);
            }
        }
    }

    pub(super) fn acknowledge(&self, key: u64) {
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
}
