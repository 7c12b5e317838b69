//! A delete by tag over many points: how long the call takes, when the next query no longer sees
//! them, and what giving back the room costs. Three sizes, so that one sees how it scales: the
//! call writes the erasure and takes rows out of memtables, and reads no table, so it should
//! grow with the rows in memory and not with those on disk. And how long it takes to drop all
//! partitions when their points have expired: one edit and no read, whatever they hold.
//!
//! Prints wall time. Run: `cargo bench --bench deletes -- FOLDER`.

// It measures and prints.
#![allow(missing_docs, clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

#[path = "shared/clock.rs"]
mod clock;
#[path = "shared/store.rs"]
mod store;

use std::time::Instant;

use firndb_tsdb::model::{Batch, Field, FieldValue, Point, PointSeries, Tag, TimeRange};
use firndb_tsdb::{
    Database, DeleteRequest, DeleteState, DeleteTarget, Piece, RuleKind, RuleScope, ScanRequest,
    TagPredicate, Tsdb,
};

use store::open;

const SECOND_NS: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND_NS;
const HOSTS: usize = 100;
/// Rows of a host in one batch.
const BATCH_ROWS: i64 = 50;
/// What the next query after the delete must not exceed, the delete included.
const INVISIBLE_MS: f64 = 100.0;

/// What dropping an expired partition must not exceed.
const EXPIRED_MS: f64 = 10.0;

/// Writes rows `first..first + BATCH_ROWS` of every host, ten seconds apart.
fn write(database: &Database, texts: &[String], first: i64) {
    let mut batch = Batch::default();
    for (host, text) in texts.iter().enumerate() {
        let series = match database.known_series(text.as_bytes()) {
            Some(known) => PointSeries::Known(known),
            None => {
                let at = batch.tags.len() as u32;
                let (_, value) = text.split_once('=').unwrap();
                batch.tags.push(Tag { key: "host".into(), value: value.into() });
                let measurement = "cpu".into();
                PointSeries::New { text: text.as_bytes(), measurement, tags: at..at + 1 }
            }
        };
        for row in first..first + BATCH_ROWS {
            let start = batch.fields.len() as u32;
            let seed = (row as u64 * 31 + host as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let value = FieldValue::Float((seed >> 50) as f64 / 10.0);
            batch.fields.push(Field { key: "usage".into(), value });
            let timestamp = START + row * 10 * SECOND_NS;
            let fields = start..start + 1;
            batch.points.push(Point { series: series.clone(), fields, timestamp, line: 0 });
        }
    }
    database.write(None, &batch, START).unwrap();
}

fn of_host(database: &Database, host: &str) -> u64 {
    let info = database.measurement("cpu").unwrap();
    let tags = TagPredicate::Equal("host".to_owned(), host.to_owned());
    let series = database.series(Some("cpu"), Some(&tags)).unwrap();
    let request = ScanRequest {
        policy: None,
        measurement: info.id,
        series: &series,
        fields: &[info.field("usage").unwrap().id],
        range: TimeRange::ALL,
        descending: false,
        now: START,
    };
    let (scan, mut rows) = (database.scan(&request).unwrap(), 0);
    for index in 0..series.len() {
        let mut pieces = scan.series(index).unwrap();
        while let Some(piece) = pieces.next_piece().unwrap() {
            rows += match piece {
                Piece::Rows(columns) => columns.rows() as u64,
                Piece::Chunk(chunk) => chunk.count(0) as u64,
            };
        }
    }
    rows
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn run(tsdb: &Tsdb, points: u64) {
    let name = format!("db{points}");
    let database = tsdb.create_database(&name, None).unwrap();
    let texts: Vec<String> = (0..HOSTS).map(|host| format!("cpu,host=h{host}")).collect();
    let rows = (points / HOSTS as u64) as i64;
    (0..rows).step_by(BATCH_ROWS as usize).for_each(|first| write(&database, &texts, first));
    assert_eq!(of_host(&database, "h7"), rows as u64);
    // Not all of time: that would drop the series, which is cheaper still.
    let request = DeleteRequest {
        policy: None,
        targets: vec![DeleteTarget {
            measurement: "cpu".to_owned(),
            tags: Some(TagPredicate::Equal("host".to_owned(), "h7".to_owned())),
            rows: None,
        }],
        range: TimeRange::new(0, TimeRange::ALL.end),
        fields: None,
        statement: "DELETE FROM cpu WHERE host = 'h7' AND time >= 0".to_owned(),
    };
    let start = Instant::now();
    let count = database.count_matching(&request, START).unwrap();
    let counted = ms(start);
    assert_eq!(count.points, rows as u64);
    let start = Instant::now();
    database.delete(&request, START).unwrap();
    let deleted = ms(start);
    assert_eq!(of_host(&database, "h7"), 0);
    let invisible = ms(start);
    assert_eq!(of_host(&database, "h8"), rows as u64);
    let start = Instant::now();
    let is_open = || database.deletes().iter().any(|delete| delete.state != DeleteState::Done);
    while is_open() {
        tsdb.maintain(START).unwrap();
    }
    println!(
        "{:>5.0} M points, {:>6} deleted: dry run {counted:6.1} ms, delete {deleted:5.1} ms, \
         invisible after {invisible:5.1} ms{}, purged in {:.2} s ({} KiB freed)",
        points as f64 / 1e6,
        rows,
        if invisible <= INVISIBLE_MS { "" } else { " (TOO LONG)" },
        ms(start) / 1e3,
        database.deletes()[0].bytes_freed >> 10,
    );
    tsdb.store().flush(None).unwrap();
    let day = RuleKind::Age(86_400 * SECOND_NS);
    database.add_retention_rule(RuleScope::default(), day).unwrap();
    let start = Instant::now();
    let report = tsdb.maintain(START + 400 * 86_400 * SECOND_NS).unwrap();
    let expired = ms(start) / report.partitions_expired.max(1) as f64;
    println!(
        "  {} partitions of {} MiB in all expired: {expired:.2} ms each{}",
        report.partitions_expired,
        report.bytes_expired >> 20,
        if expired <= EXPIRED_MS { "" } else { " (TOO LONG)" },
    );
    tsdb.drop_database(&name).unwrap();
}

fn main() {
    let dir = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let dir = std::path::PathBuf::from(dir.expect("a folder to work in")).join("deletes-bench");
    let _ = std::fs::remove_dir_all(&dir);
    let tsdb = open(&dir);
    for points in [1_000_000, 10_000_000, 100_000_000] {
        run(&tsdb, points);
    }
    tsdb.store().close().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}
