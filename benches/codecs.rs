//! Encodings of a chunk's columns: bits a value, encode, decode, and decode with a sum.
//!
//! One column at a time through the public `encode` and `decode_column`, so checksums and
//! statistics are paid. Times are CPU time of this thread, the best of many rounds: other load on
//! the machine counts little. `tsz-compress` is the reference that ours must beat; it packs
//! integers only, and its checks are not ours (see `docs/decisions.md`).
//! Run: `cargo bench --bench codecs`.

#![allow(missing_docs, clippy::print_stdout)] // it measures and prints

extern crate alloc; // what tsz-compress derives names it

use std::hint::black_box;

use firndb::tsdb::chunk::{Class, Encoding, Head, decode_column, decode_timestamps, encode};
use firndb::tsdb::model::{Column, Columns, FieldId, TimeRange, Values};
use rustix::time::{ClockId, clock_gettime};

const SECOND: i64 = 1_000_000_000;
const ROUNDS: usize = 60;

/// SplitMix64: the same values on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Box and Muller's transformation.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// What TSBS gives as CPU usage: steps of deviation 1 within 0..=100.
    fn walk(&mut self, len: usize) -> Vec<f64> {
        let mut at = self.unit() * 100.0;
        let mut step = || {
            at = (at + self.normal()).clamp(0.0, 100.0);
            at
        };
        (0..len).map(|_| step()).collect()
    }
}

fn cpu_seconds(run: &mut dyn FnMut()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    run();
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = now();
        run();
        best = best.min(now() - start);
    }
    best
}

fn integer_sets(len: usize) -> Vec<(&'static str, Vec<i64>)> {
    let random = &mut Random(7);
    let walk = random.walk(len).into_iter().map(|v| v as i64).collect();
    let mut total = 0;
    let counter = (0..len)
        .map(|i| {
            total = if i % 1000 == 999 { 0 } else { total + (random.unit() * 64.0) as i64 };
            total
        })
        .collect();
    let mut total = 0;
    let bytes = (0..len)
        .map(|_| {
            total += (12.0 + 1.5 * random.normal()).exp() as i64;
            total
        })
        .collect();
    let status = (0..len).map(|i| [200, 200, 404, 500][i / 150 % 4]).collect();
    let gaps = (0..len).map(|i| (i + i / 200) as i64 * 10 * SECOND).collect();
    let jitter =
        (0..len).map(|i| (i as i64 * 10_000 + (random.unit() * 10.0) as i64) * 1_000_000).collect();
    let noise = (0..len).map(|_| (random.unit() * 1000.0) as i64).collect();
    vec![
        ("TSBS cpu walk", walk),
        ("counter with resets", counter),
        ("byte counter", bytes),
        ("status runs", status),
        ("noise below 1000", noise),
        ("times, 0.5 % gaps", gaps),
        ("times, ms jitter", jitter),
    ]
}

fn float_sets(len: usize) -> Vec<(&'static str, Vec<f64>)> {
    let random = &mut Random(8);
    let walk = random.walk(len);
    let rounded = |power: f64| walk.iter().map(|v| (v * power).round() / power).collect::<Vec<_>>();
    let mut with_nan = rounded(100.0);
    with_nan.iter_mut().step_by(100).for_each(|v| *v = f64::NAN);
    let single = (0..len).map(|_| f64::from(random.normal() as f32)).collect();
    vec![
        ("walk, whole", rounded(1.0)),
        ("walk, 1 decimal", rounded(10.0)),
        ("walk, 2 decimals", rounded(100.0)),
        ("walk, 2 decimals, 1 % NaN", with_nan),
        ("walk, all digits", walk.clone()),
        ("f32 noise as f64", single),
    ]
}

fn one_column(values: Values) -> Columns {
    let timestamps = (0..values.len() as i64).map(|i| i * 10 * SECOND).collect();
    Columns { timestamps, columns: vec![Column { field: FieldId(0), values, validity: None }] }
}

fn sum(values: &Values) -> f64 {
    match values {
        Values::Integer(v) => v.iter().fold(0i64, |sum, v| sum.wrapping_add(*v)) as f64,
        Values::Float(v) => {
            let (blocks, rest) = v.as_chunks::<8>();
            let mut lanes = [0.0; 8];
            for block in blocks {
                for (lane, value) in lanes.iter_mut().zip(block) {
                    *lane += value;
                }
            }
            lanes.iter().sum::<f64>() + rest.iter().sum::<f64>()
        }
        _ => 0.0,
    }
}

struct Measured {
    encoding: Encoding,
    bits: f64,
    encode: f64,
    decode: f64,
    decode_sum: f64,
    hour: f64,
}

/// Speeds in million values a second; `hour` in microseconds for 360 rows in the middle.
fn measure(values: &Values, class: Class) -> Measured {
    let columns = one_column(values.clone());
    let len = columns.rows();
    let chunk = encode(&columns, class);
    let head = Head::decode(&chunk.head).expect("just encoded");
    let column = &head.columns()[0];
    let mut out = Column::missing(FieldId(0), 0);
    let mut decode = |rows: std::ops::Range<usize>, then: &mut dyn FnMut(&Values)| {
        decode_column(column, black_box(&chunk.body), rows, &mut out).expect("just encoded");
        then(&out.values);
    };
    let speed = |seconds: f64| len as f64 / seconds / 1e6;
    Measured {
        encoding: column.encoding,
        bits: (chunk.body.len() + chunk.head.len()) as f64 * 8.0 / len as f64,
        encode: speed(cpu_seconds(&mut || drop(black_box(encode(black_box(&columns), class))))),
        decode: speed(cpu_seconds(&mut || {
            decode(0..len, &mut |values| _ = black_box(values.len()))
        })),
        decode_sum: speed(cpu_seconds(&mut || {
            decode(0..len, &mut |values| _ = black_box(sum(black_box(values))));
        })),
        hour: 1e6
            * cpu_seconds(&mut || {
                decode(len / 2..len / 2 + 360, &mut |values| _ = black_box(sum(values)));
            }),
    }
}

fn print(name: &str, class: &str, measured: &Measured) {
    println!(
        "{name:<26} {class:<5} {:<15} {:>7.2} {:>8.0} {:>8.0} {:>8.0} {:>8.2}",
        format!("{:?}", measured.encoding),
        measured.bits,
        measured.encode,
        measured.decode,
        measured.decode_sum,
        measured.hour,
    );
}

mod reference {
    use tsz_compress::prelude::*;

    #[derive(Copy, Clone, CompressV2, DecompressV2)]
    pub struct Row {
        pub value: i64,
    }
    pub use compress::RowCompressorImpl;
    pub use decompress::RowDecompressorImpl;

    pub fn encode(values: &[i64]) -> Vec<u8> {
        let mut compressor = RowCompressorImpl::new(values.len());
        for &value in values {
            compressor.compress(Row { value });
        }
        compressor.finish()
    }

    pub fn decode(bytes: &[u8]) -> Vec<i64> {
        let mut decompressor = RowDecompressorImpl::new();
        decompressor.decompress(bytes).expect("just encoded");
        decompressor.col_value().to_vec()
    }
}

fn print_reference(name: &str, values: &[i64]) {
    let bytes = reference::encode(values);
    assert_eq!(reference::decode(&bytes), values, "{name}");
    let speed = |seconds: f64| values.len() as f64 / seconds / 1e6;
    let encode = cpu_seconds(&mut || drop(black_box(reference::encode(black_box(values)))));
    let decode = cpu_seconds(&mut || drop(black_box(reference::decode(black_box(&bytes)))));
    println!(
        "{name:<26} {:<5} {:<15} {:>7.2} {:>8.0} {:>8.0}",
        "tsz",
        "v2",
        bytes.len() as f64 * 8.0 / values.len() as f64,
        speed(encode),
        speed(decode),
    );
}

/// A whole chunk as TSBS writes it: ten integer fields, a row every ten seconds.
fn print_tsbs_chunk(rows: usize, class: Class) {
    let random = &mut Random(9);
    let columns: Vec<Column> = (0..10)
        .map(|field| Column {
            field: FieldId(field),
            values: Values::Integer(random.walk(rows).into_iter().map(|v| v as i64).collect()),
            validity: None,
        })
        .collect();
    let start = 1_451_606_400 * SECOND;
    let timestamps = (0..rows as i64).map(|i| start + i * 10 * SECOND).collect();
    let columns = Columns { timestamps, columns };
    let chunk = encode(&columns, class);
    let seconds = cpu_seconds(&mut || drop(black_box(encode(black_box(&columns), class))));
    let head_seconds = cpu_seconds(&mut || drop(black_box(Head::decode(black_box(&chunk.head)))));
    let values = (rows * 10) as f64;
    println!(
        "TSBS chunk, {rows} rows, {class:?}: {:.3} B a value (head {} B = {:.4}), \
         encode {:.0} M values/s, head decoded in {:.2} us",
        (chunk.head.len() + chunk.body.len()) as f64 / values,
        chunk.head.len(),
        chunk.head.len() as f64 / values,
        values / seconds / 1e6,
        head_seconds * 1e6,
    );
}

fn print_timestamps() {
    for (name, step) in [("times, ms jitter", 10.0), ("times, us jitter", 10_000.0)] {
        let random = &mut Random(10);
        let unit = 10.0 / step * 1e6;
        let mut columns = one_column(Values::Integer(vec![0; 4096]));
        for timestamp in &mut columns.timestamps {
            *timestamp += (random.unit() * step) as i64 * unit as i64;
        }
        let chunk = encode(&columns, Class::Hot);
        let head = Head::decode(&chunk.head).expect("just encoded");
        let bytes = &chunk.body[head.timestamps_range()];
        let mut out = Vec::new();
        let range = TimeRange::new(2000 * 10 * SECOND, 2360 * 10 * SECOND);
        let seconds = cpu_seconds(&mut || {
            decode_timestamps(&head, black_box(bytes), 0..4096, &mut out).expect("just encoded");
            black_box(head.rows_in(range, &out));
        });
        println!(
            "{name}, as timestamps of a chunk: {:.2} bits, {:.0} M/s",
            bytes.len() as f64 * 8.0 / 4096.0,
            4096.0 / seconds / 1e6
        );
    }
}

fn main() {
    for rows in [20, 100, 1024, 4096, 8192] {
        print_tsbs_chunk(rows, Class::Hot);
        print_tsbs_chunk(rows, Class::Cold);
    }
    print_timestamps();
    println!("\nspeeds in M values/s, 360 rows (an hour) with sum in us; 4096 rows hot, 8192 cold");
    println!(
        "{:<26} {:<5} {:<15} {:>7} {:>8} {:>8} {:>8} {:>8}",
        "values", "class", "encoding", "bits", "encode", "decode", "dec+sum", "hour us"
    );
    for ((name, hot), (_, cold)) in integer_sets(4096).into_iter().zip(integer_sets(8192)) {
        print_reference(name, &hot);
        print(name, "hot", &measure(&Values::Integer(hot), Class::Hot));
        print(name, "cold", &measure(&Values::Integer(cold), Class::Cold));
    }
    for ((name, hot), (_, cold)) in float_sets(4096).into_iter().zip(float_sets(8192)) {
        print(name, "hot", &measure(&Values::Float(hot), Class::Hot));
        print(name, "cold", &measure(&Values::Float(cold), Class::Cold));
    }
}
