//! Line protocol, one core: bytes and lines a second, without HTTP, index or log.
//!
//! Lines are those of the TSBS `cpu-only` set (ten tags, ten fields, about 340 bytes) in three
//! kinds of value, and a short line. `known` is a hash map over 4000 series, so a look-up is paid.
//! Run: `cargo bench --bench ingest`.

#![allow(missing_docs, clippy::disallowed_methods, clippy::print_stdout)] // it measures and prints

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use firndb::ingest::line_protocol::parse;
use firndb::ingest::precision::Precision;
use firndb::tsdb::model::{MeasurementId, SeriesId, SeriesRef};

const SERIES: usize = 4000;
const LINES: usize = 20_000;
const ROUNDS: usize = 15;

/// xorshift64: the same text on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn series_text(series: usize) -> String {
    format!(
        "cpu,hostname=host_{series},region=eu-central-1,datacenter=eu-central-1a,rack={},os=Ubuntu15.10,\
         arch=x64,team=SF,service={},service_version=1,service_environment=production",
        series % 100,
        series % 20
    )
}

fn lines(value: impl Fn(&mut Random) -> String) -> String {
    let fields = [
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
    let mut random = Random(42);
    let mut text = String::new();
    for line in 0..LINES {
        let values: Vec<String> =
            fields.iter().map(|f| format!("{f}={}", value(&mut random))).collect();
        let time = 1_451_606_400_000_000_000u64 + (line / SERIES) as u64 * 10_000_000_000;
        text += &format!("{} {} {time}\n", series_text(line % SERIES), values.join(","));
    }
    text
}

fn measure(name: &str, text: &str, known: &dyn Fn(&[u8]) -> Option<SeriesRef>) {
    let mut best = f64::INFINITY;
    let mut fields = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let parsed = black_box(parse(black_box(text.as_bytes()), Precision::Nanosecond, 0, known));
        best = best.min(start.elapsed().as_secs_f64());
        assert_eq!(parsed.error_count, 0, "{name}");
        fields = parsed.batch.fields.len();
    }
    let lines = text.lines().count() as f64;
    println!(
        "{name:<28} {:>7.0} MB/s {:>7.2} M lines/s {:>8.1} M fields/s   ({:.0} bytes a line)",
        text.len() as f64 / best / 1e6,
        lines / best / 1e6,
        fields as f64 / best / 1e6,
        text.len() as f64 / lines
    );
}

fn main() {
    let ids: HashMap<Vec<u8>, SeriesRef> = (0..SERIES)
        .map(|n| {
            let series = SeriesRef { series: SeriesId(n as u32), measurement: MeasurementId(1) };
            (series_text(n).into_bytes(), series)
        })
        .collect();
    let look_up = |text: &[u8]| ids.get(text).copied();
    let always = |_: &[u8]| Some(SeriesRef { series: SeriesId(1), measurement: MeasurementId(1) });
    let never = |_: &[u8]| None;
    let integers = lines(|r| format!("{}i", r.below(101)));
    let decimals = lines(|r| format!("{}.{:02}", r.below(100), r.below(100)));
    let floats = lines(|r| format!("{}", r.below(1 << 52) as f64 / (1u64 << 52) as f64));
    measure("10 integers, known free", &integers, &always);
    measure("10 integers, look-up", &integers, &look_up);
    measure("10 integers, series new", &integers, &never);
    measure("10 decimals, known free", &decimals, &always);
    measure("10 full floats, known free", &floats, &always);
    let short: String =
        (0..LINES * 5).map(|n| format!("sensor,id=s{} v={}.5 {n}\n", n % 1000, n % 90)).collect();
    measure("1 decimal, known free", &short, &always);
    let strings: String = (0..LINES)
        .map(|n| format!("log,app=a{} level=\"info\",text=\"request {n} done\" {n}\n", n % 50))
        .collect();
    measure("2 strings, known free", &strings, &always);
}
