//! The first answer after a kill, with ten thousand partitions and a hundred gigabytes of tables.
//!
//! 1. A process writes partitions of an hour each and is killed; the last tenth of them is in the
//!    log alone.
//! 2. Every table is stretched by a hole between its data and its filter; offsets and checksums are
//!    put right. The files are as long as those of a server that holds so much, and take no room.
//! 3. Three times a process opens them, reads the newest hour of a series, counts all rows, and is
//!    killed.
//!
//! `cargo bench --bench start -- DIR` works in the folder `start-bench` of DIR.

// It measures and prints.
#![allow(missing_docs, clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

#[path = "shared/clock.rs"]
mod clock;
#[path = "shared/store.rs"]
mod store;

use firndb_engine::coding::crc;
use firndb_tsdb::model::{Batch, Field, FieldValue, Point, PointSeries, Tag, TimeRange};
use firndb_tsdb::{Database, Piece, PolicySpec, ScanRequest};
use store::open;

const HOUR_NS: i64 = 3_600_000_000_000;
const START: i64 = 472_222 * HOUR_NS; // 2023-11-14
const HOURS: i64 = 10_000;
const SERIES: usize = 20;
/// Rows of a series in an hour.
const ROWS: i64 = 4;
/// Hours in one batch.
const BATCH_HOURS: i64 = 250;
/// What is put into each table.
const HOLE_BYTES: u64 = 10_500_000;
/// What the first answer must not exceed.
const ANSWER_S: f64 = 1.0;

/// Writes the hours from `first` on.
fn write(database: &Database, first: i64) {
    let mut batch = Batch::default();
    let texts: Vec<String> = (0..SERIES).map(|series| format!("m,s=s{series}")).collect();
    for (series, text) in texts.iter().enumerate() {
        let value = format!("s{series}");
        batch.tags.push(Tag { key: "s".into(), value: value.into() });
        for row in first * ROWS..(first + BATCH_HOURS) * ROWS {
            let at = batch.fields.len() as u32;
            batch.fields.push(Field { key: "v".into(), value: FieldValue::Integer(row % 97) });
            batch.points.push(Point {
                series: PointSeries::New {
                    text: text.as_bytes(),
                    measurement: "m".into(),
                    tags: series as u32..series as u32 + 1,
                },
                fields: at..at + 1,
                timestamp: START + row * (HOUR_NS / ROWS),
                line: 0,
            });
        }
    }
    database.write(None, &batch, START).unwrap();
}

fn fill(dir: &Path) {
    let tsdb = open(dir);
    let spec = PolicySpec { shard_duration_ns: Some(HOUR_NS), ..PolicySpec::default() };
    let database =
        tsdb.create_database("d", Some(PolicySpec { is_default: true, ..spec })).unwrap();
    for first in (0..HOURS).step_by(BATCH_HOURS as usize) {
        if first == HOURS * 9 / 10 {
            tsdb.store().flush(None).unwrap();
        }
        write(&database, first);
    }
}

/// Rows of the first series of many, or of all series.
fn rows(database: &Database, series_max: usize, range: TimeRange) -> usize {
    let info = database.measurement("m").unwrap();
    let mut series = database.series(Some("m"), None).unwrap();
    series.truncate(series_max);
    let request = ScanRequest {
        policy: None,
        measurement: info.id,
        series: &series,
        fields: &[info.field("v").unwrap().id],
        range,
        descending: false,
        now: START,
    };
    let (scan, mut rows) = (database.scan(&request).unwrap(), 0);
    for index in 0..series.len() {
        let mut pieces = scan.series(index).unwrap();
        while let Some(piece) = pieces.next_piece().unwrap() {
            rows += match piece {
                Piece::Rows(columns) => columns.rows(),
                Piece::Chunk(chunk) => chunk.count(0),
            };
        }
    }
    rows
}

fn answer(dir: &Path) {
    let start = Instant::now();
    let tsdb = open(dir);
    let opened = start.elapsed().as_secs_f64();
    let database = tsdb.database("d").unwrap();
    let newest = START + (HOURS - 1) * HOUR_NS;
    assert_eq!(rows(&database, 1, TimeRange::new(newest, i64::MAX - 1)), ROWS as usize);
    let answered = start.elapsed().as_secs_f64();
    let start = Instant::now();
    assert_eq!(rows(&database, SERIES, TimeRange::ALL), HOURS as usize * SERIES * ROWS as usize);
    println!(
        "  open after {opened:.3} s, first answer after {answered:.3} s{}, all rows in {:.2} s",
        if answered <= ANSWER_S { "" } else { " (TOO LONG)" },
        start.elapsed().as_secs_f64(),
    );
}

/// Puts the hole into one table; gives its length and what it takes on the disk.
fn stretch(path: &Path) -> (u64, u64) {
    const FOOTER_BYTES: usize = 60;
    let bytes = std::fs::read(path).unwrap();
    let (parts, footer) = bytes.split_at(bytes.len() - FOOTER_BYTES);
    let u64_at = |at: usize| u64::from_le_bytes(footer[at..at + 8].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(footer[at..at + 4].try_into().unwrap());
    let handles: Vec<_> = (0..3).map(|part| (u64_at(12 * part), u32_at(12 * part + 8))).collect();
    let is_there = |handle: &&(u64, u32)| handle.1 > 0;
    let cut = handles.iter().filter(is_there).map(|handle| handle.0).min().unwrap();
    let (mut tail, mut new_footer) = (parts[cut as usize..].to_vec(), footer.to_vec());
    for (part, (offset, len)) in handles.iter().enumerate().filter(|(_, handle)| handle.1 > 0) {
        // The checksum of a frame covers the file's number, its offset, its bytes and its tag.
        let moved = offset + HOLE_BYTES;
        let start = (offset - cut) as usize;
        let end = start + *len as usize + 1;
        let covered = [&u64_at(36).to_le_bytes(), &moved.to_le_bytes(), &tail[start..end]].concat();
        tail[end..end + 4].copy_from_slice(&crc(&covered).to_le_bytes());
        new_footer[12 * part..12 * part + 8].copy_from_slice(&moved.to_le_bytes());
    }
    let crc = crc(&new_footer[..48]);
    new_footer[48..52].copy_from_slice(&crc.to_le_bytes());
    tail.extend_from_slice(&new_footer);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(cut).unwrap();
    file.write_all_at(&tail, cut + HOLE_BYTES).unwrap();
    let meta = file.metadata().unwrap();
    (meta.len(), meta.blocks() * 512)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let dir = Path::new(args.first().expect("a folder to work in")).join("start-bench");
    match args.get(1).map(String::as_str) {
        Some("fill") => fill(&dir),
        Some(_) => answer(&dir),
        None => return measure(&args[0], &dir),
    }
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        .unwrap();
}

fn measure(parent: &str, dir: &Path) {
    let _ = std::fs::remove_dir_all(dir);
    let child = |what: &str| {
        let exe = std::env::current_exe().unwrap();
        let status = Command::new(exe).args([parent, what]).status().unwrap();
        assert_eq!(status.code(), None, "{what} was not killed, but failed");
    };
    child("fill");
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let tables = files.filter(|path| path.extension().is_some_and(|extension| extension == "tbl"));
    let (mut count, mut long, mut on_disk) = (0, 0, 0);
    for (bytes, blocks) in tables.map(|path| stretch(&path)) {
        (count, long, on_disk) = (count + 1, long + bytes, on_disk + blocks);
    }
    let (long, on_disk) = (long as f64 / 1e9, on_disk as f64 / 1e6);
    println!("{HOURS} partitions, {count} tables, {long:.1} GB long, {on_disk:.0} MB on the disk");
    (0..3).for_each(|_| child("answer"));
    std::fs::remove_dir_all(dir).unwrap();
}
