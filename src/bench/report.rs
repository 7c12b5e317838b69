//! What a bench prints: latencies by kind, what the store did meanwhile, and whether it was good
//! enough.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::meanwhile;
use super::operations::KINDS;
use super::run::Measured;
use super::seconds::Slowest;
use super::{BenchArgs, Mode, Workload};
use crate::cli::{Exit, complain};
use crate::config::value;
use crate::output::{Answer, Cell, Rows, grouped, size};

/// A latency that must be met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slo {
    /// Percentile, 0 to 100.
    percentile: f64,
    limit_ns: u64,
}

impl Slo {
    /// The one that `p99=5ms` means.
    pub fn of(text: &str) -> Result<Slo, String> {
        let wrong = || "expected a percentile and a time, as in p99=5ms or p99.9=20ms".to_owned();
        let (percentile, limit) = text.split_once('=').ok_or_else(wrong)?;
        let percentile = percentile.strip_prefix('p').and_then(|digits| digits.parse().ok());
        let percentile = percentile.filter(|p: &f64| *p > 0.0 && *p <= 100.0);
        let limit_ns = value::duration_ns(limit).ok_or_else(wrong)?;
        Ok(Slo { percentile: percentile.ok_or_else(wrong)?, limit_ns })
    }
}

/// A limit, what was found, and whether that is within it.
type Judged = (Slo, u64, bool);

/// What the store told of itself.
pub struct Store {
    /// Its state before and after.
    pub states: Option<(Value, Value)>,
    /// What it did in the slowest second.
    pub meanwhile: Vec<Value>,
}

/// Prints the report; gives the exit code. `verified` is what reading back found.
pub fn print(
    args: &BenchArgs,
    target: &str,
    measured: &Measured,
    store: &Store,
    verified: Option<(u64, Vec<String>)>,
) -> Exit {
    let mut all = Histogram::new(3).expect("three digits are allowed");
    measured.latencies.iter().for_each(|of_kind| all += of_kind);
    let judge = |slo: &Slo| {
        let found_ns = all.value_at_quantile(slo.percentile / 100.0);
        (*slo, found_ns, found_ns <= slo.limit_ns)
    };
    let judged: Vec<Judged> = args.slo.iter().map(judge).collect();
    let mut answer = latencies(measured, &all)
        .fact("target", target)
        .fact("load", describe(args))
        .fact("seconds", seconds(measured.ns))
        .fact("absent_reads", measured.absent)
        .fact("written_bytes", measured.written_bytes)
        .fact("read_bytes", measured.read_bytes)
        .note(format!("{target}: {}", describe(args)))
        .note(format!(
            "wrote {}, read {}",
            size(measured.written_bytes),
            size(measured.read_bytes)
        ));
    if let Some(Slowest { second, max_ns, p99_ns }) = measured.slowest {
        let fact = json!({
            "second": second,
            "p99_seconds": seconds(p99_ns),
            "max_seconds": seconds(max_ns),
            "meanwhile": store.meanwhile,
        });
        let while_ran = match meanwhile::words(&store.meanwhile) {
            work if work.is_empty() => work,
            work => format!(", while {work}"),
        };
        let (p99, max) = (time(p99_ns), time(max_ns));
        let words = format!("slowest second: {second}, p99 {p99}, max {max}{while_ran}");
        answer = answer.fact("slowest_second", fact).note(words);
    }
    if let Some((before, after)) = &store.states {
        let store = change(before, after);
        answer = answer.note(words(&store)).fact("store", store);
    }
    answer = with_limits(answer, &judged);
    let wrong = verified.as_ref().map_or(0, |(_, keys)| keys.len());
    if let Some((read, keys)) = &verified {
        answer = answer
            .fact("verified_keys", *read)
            .fact("wrong_keys", keys.iter().take(100).cloned().collect::<Vec<_>>())
            .note(format!("read back {} keys, {wrong} are not as written", grouped(*read)));
    }
    answer.print(&args.output);
    let errors: u64 = measured.errors.iter().sum();
    if let Some(error) = &measured.first_error {
        complain(&format!("{errors} operations failed; the first: {error}"));
    }
    match (errors > args.max_errors, wrong > 0 || judged.iter().any(|(.., is_met)| !is_met)) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Found,
        (false, false) => Exit::Done,
    }
}

/// A row for each kind of operation, and one for all.
fn latencies(measured: &Measured, all: &Histogram<u64>) -> Answer {
    let columns = [
        "kind",
        "ops",
        "ops/s",
        "entries",
        "entries/s",
        "p50",
        "p95",
        "p99",
        "p99.9",
        "max",
        "errors",
    ];
    let mut rows = Rows::new(&columns);
    let mut figures = Vec::new();
    let mut add = |name: &str, of: &Histogram<u64>, entries: u64, errors: u64| {
        rows.push(row(name, of, entries, errors, measured.ns));
        figures.push(figure(name, of, entries, errors, measured.ns));
    };
    for (kind, name) in KINDS.iter().enumerate() {
        let of_kind = &measured.latencies[kind];
        if !of_kind.is_empty() || measured.errors[kind] > 0 {
            add(name, of_kind, measured.entries[kind], measured.errors[kind]);
        }
    }
    add("total", all, measured.entries.iter().sum(), measured.errors.iter().sum());
    Answer::of("table", rows).fact("kinds", figures)
}

fn with_limits(mut answer: Answer, judged: &[Judged]) -> Answer {
    let mut facts = Vec::new();
    for (Slo { percentile, limit_ns }, found_ns, is_met) in judged {
        let word = if *is_met { "met" } else { "MISSED" };
        let (found, limit) = (time(*found_ns), time(*limit_ns));
        answer = answer.note(format!("p{percentile} {found}, limit {limit}: {word}"));
        facts.push(json!({
            "percentile": percentile,
            "limit_seconds": seconds(*limit_ns),
            "found_seconds": seconds(*found_ns),
            "met": is_met,
        }));
    }
    answer.fact("slo", facts)
}

fn describe(args: &BenchArgs) -> String {
    let rate = match args.target_ops {
        0 => "as fast as it goes".to_owned(),
        rate => format!("open loop at {} ops/s", grouped(rate)),
    };
    let (keys, connections) = (grouped(args.keys), args.connections);
    let mode = match args.mode() {
        Mode::Scan => format!("scans of {}", grouped(args.scan_entries as u64)),
        mode => mode.name().to_owned(),
    };
    let what = match args.workload {
        Workload::Kv => format!("{mode}, {} B values, {keys} keys", args.data_size),
        _ => format!("{mode} of lines with {} fields, {keys} series", args.fields),
    };
    let batch = match args.batch {
        1 => String::new(),
        batch => format!(", batches of {batch}"),
    };
    let (distribution, seed) = (args.distribution.name(), args.seed);
    format!("{what} {distribution}{batch}, {connections} connections, seed {seed}, {rate}")
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// A latency for people.
pub(super) fn time(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..1_000_000 => format!("{} us", ns / 1000),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

const QUANTILES: [(&str, f64); 5] = [
    ("p50_seconds", 0.5),
    ("p95_seconds", 0.95),
    ("p99_seconds", 0.99),
    ("p99_9_seconds", 0.999),
    ("max_seconds", 1.0),
];

fn rate(count: u64, ns: u64) -> u64 {
    (count as f64 / seconds(ns.max(1))) as u64
}

fn row(name: &str, of: &Histogram<u64>, entries: u64, errors: u64, ns: u64) -> Vec<Cell> {
    let mut row = vec![
        name.into(),
        Cell::Count(of.len()),
        Cell::Count(rate(of.len(), ns)),
        Cell::Count(entries),
        Cell::Count(rate(entries, ns)),
    ];
    row.extend(QUANTILES.iter().map(|(_, q)| Cell::Text(time(of.value_at_quantile(*q)))));
    row.push(Cell::Count(errors));
    row
}

fn figure(name: &str, of: &Histogram<u64>, entries: u64, errors: u64, ns: u64) -> Value {
    let mut figure = json!({
        "kind": name,
        "ops": of.len(),
        "ops_per_second": of.len() as f64 / seconds(ns.max(1)),
        "entries": entries,
        "entries_per_second": entries as f64 / seconds(ns.max(1)),
        "errors": errors,
        "mean_seconds": of.mean() / 1e9,
    });
    for (name, quantile) in QUANTILES {
        figure[name] = json!(seconds(of.value_at_quantile(quantile)));
    }
    figure
}

/// What the store did between two of its states, and what it is now.
fn change(before: &Value, after: &Value) -> Value {
    let number = |of: &Value, name: &str| of[name].as_f64().unwrap_or_default();
    let grown = |name: &str| number(after, name) - number(before, name);
    let (flushed, compacted) = (grown("flushed_bytes"), grown("compacted_bytes"));
    let user = grown("user_bytes");
    let filter = |name: &str| number(&after["filters"], name) - number(&before["filters"], name);
    let (spared, passed) = (filter("negative"), filter("false_positive"));
    let absent = spared + passed;
    json!({
        "flushed_bytes": flushed as u64,
        "compacted_bytes": compacted as u64,
        "user_bytes": user as u64,
        "write_amplification": (user > 0.0).then(|| (flushed + compacted) / user),
        "space_amplification": after["space_amplification"],
        "stalls": grown("stalls") as u64,
        "stall_seconds": grown("stall_seconds"),
        "delay_seconds": grown("delay_seconds"),
        "filter_spared_reads": spared as u64,
        "filter_spared_ratio": (absent > 0.0).then(|| spared / absent),
        "index_and_filter_bytes": after["index_and_filter_bytes"],
        "resident_bytes": after["resident_bytes"],
    })
}

fn words(store: &Value) -> String {
    let bytes = |name: &str| store[name].as_u64().map(size);
    let ratio = |name: &str| store[name].as_f64();
    let known = |name: &str| bytes(name).unwrap_or_default();
    let mut words = format!(
        "store: flushed {}, compacted {}, {:.2} s stalled",
        known("flushed_bytes"),
        known("compacted_bytes"),
        ratio("stall_seconds").unwrap_or_default()
    );
    let more = [
        ratio("write_amplification").map(|of| format!(", write amplification {of:.2}")),
        ratio("space_amplification").map(|of| format!(", space amplification {of:.2}")),
        ratio("filter_spared_ratio").map(|of| {
            format!("\nfilters spared {:.2} % of the reads of tables without the key", of * 100.0)
        }),
        bytes("index_and_filter_bytes").map(|of| format!("\nmemory: indexes and filters {of}")),
        bytes("resident_bytes").map(|of| format!(", process {of}")),
    ];
    more.into_iter().flatten().for_each(|word| words += &word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        assert_eq!(Slo::of("p99=5ms"), Ok(Slo { percentile: 99.0, limit_ns: 5_000_000 }));
        assert_eq!(Slo::of("p99.9=1s"), Ok(Slo { percentile: 99.9, limit_ns: 1_000_000_000 }));
        for bad in ["p99", "99=5ms", "p0=1s", "p101=1s", "px=1s", "p99=soon"] {
            assert!(Slo::of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn latencies_read_well() {
        let cases =
            [(0, "0 ns"), (12_345, "12 us"), (1_234_567, "1.2 ms"), (2_500_000_000, "2.50 s")];
        for (ns, text) in cases {
            assert_eq!(time(ns), text);
        }
    }
}
