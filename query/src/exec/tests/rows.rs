//! Rows for tests: deterministic from a seed, cut into pieces in different ways.

use firndb_tsdb::model::{Bitmap, Column, Columns, FieldId, Timestamp, Values};

use super::{FIELDS, TestSeries};

/// xorshift64*: small, seeded, enough for tests.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 33) % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// A row: time and the five fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub time: Timestamp,
    pub i: Option<i64>,
    pub f: Option<f64>,
    pub u: Option<u64>,
    pub b: Option<bool>,
    pub s: Option<&'static str>,
}

const HOSTS: [&str; 4] = ["a", "b", "c", "d"];
const ZONES: [&str; 2] = ["x", "y"];

/// A series and its rows, ascending.
#[derive(Debug, Clone)]
pub struct Made {
    pub tags: Vec<(&'static str, &'static str)>,
    pub rows: Vec<Row>,
}

/// Some series with distinct tags; floats are multiples of 0.25, so that sums are exact.
pub fn make(random: &mut Random) -> Vec<Made> {
    let mut made: Vec<Made> = Vec::new();
    let count = 1 + random.below(20);
    for number in 0..count {
        let mut tags = vec![];
        if !random.one_in(6) {
            tags.push(("host", *random.pick(&HOSTS)));
        }
        tags.push(("n", NUMBERS[number as usize]));
        if random.one_in(2) {
            tags.push(("zone", *random.pick(&ZONES)));
        }
        let sparse = 1 + random.below(6);
        let mut time = random.below(500) as i64 - 250;
        let step = 1 + random.below(10) as i64;
        let rows = (0..random.below(300)).map(|_| {
            time += if random.one_in(sparse) { 1 + random.below(40) as i64 } else { step };
            let has = |random: &mut Random| !random.one_in(sparse + 1);
            Row {
                time,
                i: has(random).then(|| random.below(100) as i64 - 50),
                f: has(random).then(|| random.below(400) as f64 / 4.0 - 50.0),
                u: has(random).then(|| random.below(30)),
                b: has(random).then(|| random.one_in(2)),
                s: has(random).then(|| *random.pick(&["red", "green", "blue"])),
            }
        });
        let rows = rows.collect();
        made.push(Made { tags, rows });
    }
    made
}

const NUMBERS: [&str; 20] = [
    "00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15",
    "16", "17", "18", "19",
];

/// The same series as pieces, cut at random; `whole`: one piece of rows each.
pub fn cut(made: &[Made], random: &mut Random, whole: bool) -> Vec<TestSeries> {
    let cut_one = |made: &Made| {
        let mut pieces = Vec::new();
        let mut rest = made.rows.as_slice();
        while !rest.is_empty() {
            let len = if whole { rest.len() } else { 1 + random.below(120) as usize };
            let (head, tail) = rest.split_at(len.min(rest.len()));
            pieces.push((!whole && random.one_in(2), columns(head)));
            rest = tail;
        }
        TestSeries { tags: made.tags.clone(), pieces }
    };
    made.iter().map(cut_one).collect()
}

fn columns(rows: &[Row]) -> Columns {
    let text = |rows: &[Row]| {
        let (mut offsets, mut bytes) = (vec![0], Vec::new());
        for row in rows {
            bytes.extend_from_slice(row.s.unwrap_or_default().as_bytes());
            offsets.push(bytes.len() as u32);
        }
        Values::String { offsets, bytes }
    };
    let valid = |has: &dyn Fn(&Row) -> bool| {
        let mut bits = Bitmap::filled(rows.len(), true);
        (0..rows.len()).for_each(|at| bits.set(at, has(&rows[at])));
        (bits.count() < rows.len()).then_some(bits)
    };
    let values = [
        (
            Values::Integer(rows.iter().map(|r| r.i.unwrap_or_default()).collect()),
            valid(&|r| r.i.is_some()),
        ),
        (
            Values::Float(rows.iter().map(|r| r.f.unwrap_or_default()).collect()),
            valid(&|r| r.f.is_some()),
        ),
        (
            Values::Unsigned(rows.iter().map(|r| r.u.unwrap_or_default()).collect()),
            valid(&|r| r.u.is_some()),
        ),
        (
            Values::Boolean(rows.iter().map(|r| r.b.unwrap_or_default()).collect()),
            valid(&|r| r.b.is_some()),
        ),
        (text(rows), valid(&|r| r.s.is_some())),
    ];
    assert_eq!(values.len(), FIELDS.len());
    let column = |(id, (values, validity))| Column { field: FieldId(id as u32), values, validity };
    Columns {
        timestamps: rows.iter().map(|row| row.time).collect(),
        columns: values.into_iter().enumerate().map(column).collect(),
    }
}
