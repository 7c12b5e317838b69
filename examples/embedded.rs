//! Time series inside your program: no server, no sockets.
//!
//! `cargo run --example embedded` writes the load of two hosts into a temporary folder and walks
//! what the scan gives, series by series.

#![allow(clippy::print_stdout)] // an example shows what it got

use std::sync::Arc;

use firndb::SystemClock;
use firndb::engine::clock::Clock;
use firndb::engine::fs::real::RealFs;
use firndb::engine::hooks::Plain;
use firndb::engine::options::Options as EngineOptions;
use firndb::ingest::line_protocol;
use firndb::ingest::precision::Precision;
use firndb::tsdb::model::TimeRange;
use firndb::tsdb::{Options, Piece, ScanRequest, Tsdb};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let clock = Arc::new(SystemClock::new());
    let now = clock.unix_ns();
    let engine = EngineOptions::new(dir.path(), Arc::new(RealFs), clock, Arc::new(Plain::new()));
    let tsdb = Tsdb::open(Options::new(engine))?;
    let database = tsdb.create_database("metrics", None)?;

    let text: String = (0..120)
        .map(|second| {
            let time = now / 1_000_000_000 - 120 + second;
            format!(
                "load,host=a value={}.5 {time}\nload,host=b value={second}.25 {time}\n",
                second % 7
            )
        })
        .collect();
    let known = |series: &[u8]| database.known_series(series);
    let parsed = line_protocol::parse(text.as_bytes(), Precision::Second, now, known);
    assert!(parsed.errors.is_empty());
    let summary = database.write(None, &parsed.batch, now)?;
    println!("{} points written, {} refused", summary.written, summary.refused.len());

    let measurement = database.measurement("load").expect("it was just written");
    let field = measurement.fields.first().expect("it has one field").id;
    let series = database.series(Some("load"), None)?;
    let scan = database.scan(&ScanRequest {
        policy: None,
        measurement: measurement.id,
        series: &series,
        fields: &[field],
        range: TimeRange::ALL,
        descending: false,
        now,
    })?;
    for (index, id) in series.iter().enumerate() {
        let (name, tags) = database.series_key(*id)?.expect("a series that was just listed");
        let mut pieces = scan.series(index)?;
        let mut rows = 0;
        while let Some(piece) = pieces.next_piece()? {
            rows += match piece {
                Piece::Chunk(chunk) => chunk.rows(),
                Piece::Rows(columns) => columns.timestamps.len(),
            };
        }
        println!("{name} {tags:?}: {rows} rows");
    }
    Ok(())
}
