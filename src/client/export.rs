//! `firndb export`: from a server into a file, or into a folder of files by measurement and day.
//!
//! ```text
//! DIR/measurement=cpu/date=2026-01-31/part-0.parquet      the layout Hive, Spark and DuckDB read
//! ```
//!
//! A file gets its name when it is whole and synced, so what an interrupted export leaves behind is
//! whole too, but for `*.part`.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use firndb::engine::fs::real::RealFs;
use firndb::engine::fs::{Fs, parent, write_all_at};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use super::write::progress_bar;
use super::{ServerArgs, accepted, agent};
use crate::cli::{Exit, complain};

/// Arguments of `firndb export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Database.
    #[arg(long)]
    db: String,
    /// Retention policy; the default one when left out.
    #[arg(long)]
    rp: Option<String>,
    /// Measurement; all of them when left out, into a folder.
    #[arg(long)]
    measurement: Option<String>,
    /// First time: RFC 3339, nanoseconds since the epoch, or back from now (-1h).
    #[arg(long, allow_hyphen_values = true)]
    from: Option<String>,
    /// End of the time, not included.
    #[arg(long, allow_hyphen_values = true)]
    to: Option<String>,
    /// What is written.
    #[arg(long, value_enum, default_value_t = Format::Parquet)]
    format: Format,
    /// A file that does not exist yet, or a folder for a file per measurement and day.
    #[arg(long, short)]
    output: PathBuf,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns, for other engines.
    Parquet,
    /// Text with a header line.
    Csv,
    /// Line protocol, to be written again.
    Lp,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Csv => "csv",
            Format::Lp => "lp",
        }
    }
}

/// The answer of `/api/v1/export/days`.
#[derive(Debug, Deserialize)]
struct Days {
    days: Vec<Day>,
}

#[derive(Debug, Deserialize)]
struct Day {
    measurement: String,
    from: i64,
    to: i64,
    path: String,
}

/// Runs the command.
pub fn run(args: &ExportArgs) -> Exit {
    let is_folder = args.measurement.is_none() || is_folder(&args.output);
    let done = match &args.measurement {
        Some(measurement) if !is_folder => one_file(args, measurement),
        _ => folder(args),
    };
    done.map_or_else(|exit| exit, |()| Exit::Done)
}

/// Whether the path is a folder, or is written as one.
fn is_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/") || RealFs.list(path).is_ok()
}

fn one_file(args: &ExportArgs, measurement: &str) -> Result<(), Exit> {
    let body = fetch(args, measurement, args.from.as_deref(), args.to.as_deref())?;
    let bar = progress_bar(body.content_length().unwrap_or(0));
    save(body, &args.output, &bar)?;
    bar.finish_and_clear();
    Ok(())
}

/// A file per measurement and day.
fn folder(args: &ExportArgs) -> Result<(), Exit> {
    if args.format != Format::Parquet {
        complain("a folder is written as parquet only\n  name a --measurement and a file");
        return Err(Exit::Usage);
    }
    let Days { days } = days(args)?;
    let bar = days_bar(days.len() as u64);
    for day in &days {
        bar.set_message(day.path.clone());
        let path = args.output.join(&day.path);
        RealFs.create_dir_all(&parent(&path)).map_err(|error| failed(&path, &error))?;
        let (from, to) = (day.from.to_string(), day.to.to_string());
        let body = fetch(args, &day.measurement, Some(&from), Some(&to))?;
        save(body, &path, &ProgressBar::hidden())?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The days that may have rows.
fn days(args: &ExportArgs) -> Result<Days, Exit> {
    let mut request = agent().get(args.server.at("/api/v1/export/days")).query("db", &args.db);
    let (rp, measurement) = (args.rp.as_deref(), args.measurement.as_deref());
    let given = [
        ("rp", rp),
        ("measurement", measurement),
        ("from", args.from.as_deref()),
        ("to", args.to.as_deref()),
    ];
    for (name, value) in given {
        request = value.into_iter().fold(request, |request, value| request.query(name, value));
    }
    let mut answer = accepted(&args.server, request.call())?;
    // As long as the list of days is; a server is trusted with its length.
    let text = answer.body_mut().with_config().limit(u64::MAX).read_to_string();
    let days = text.map_err(|error| error.to_string());
    let days = days.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
    days.map_err(|error| {
        complain(&format!("the list of days broke off: {error}\n  run the export again"));
        Exit::Failed
    })
}

/// Asks for a measurement.
fn fetch(
    args: &ExportArgs,
    measurement: &str,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<ureq::Body, Exit> {
    let mut request = agent()
        .get(args.server.at("/api/v1/export"))
        .query("db", &args.db)
        .query("measurement", measurement)
        .query("format", args.format.name());
    for (name, value) in [("rp", args.rp.as_deref()), ("from", from), ("to", to)] {
        request = value.into_iter().fold(request, |request, value| request.query(name, value));
    }
    Ok(accepted(&args.server, request.call())?.into_body())
}

/// Writes a body to a new file, which gets its name when all of it is there.
fn save(body: ureq::Body, path: &Path, bar: &ProgressBar) -> Result<(), Exit> {
    let mut reader = body.into_with_config().limit(u64::MAX).reader();
    if RealFs.exists(path).map_err(|error| failed(path, &error))? {
        complain(&format!("{} exists\n  choose another --output", path.display()));
        return Err(Exit::Failed);
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let saved = copy(&mut reader, &part, bar).and_then(|()| RealFs.rename(&part, path));
    saved.and_then(|()| RealFs.sync_dir(&parent(path))).map_err(|error| failed(path, &error))
}

fn copy(reader: &mut impl Read, path: &Path, bar: &ProgressBar) -> io::Result<()> {
    if RealFs.exists(path)? {
        RealFs.remove_file(path)?; // what an interrupted export left
    }
    let file = RealFs.create(path)?;
    let mut buffer = vec![0; 256 << 10];
    let mut length = 0;
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return file.sync();
        }
        write_all_at(&*file, &buffer[..read], length)?;
        length += read as u64;
        bar.inc(read as u64);
    }
}

fn failed(path: &Path, error: &io::Error) -> Exit {
    complain(&format!("cannot write {}: {error}\n  what has its name is whole", path.display()));
    Exit::Failed
}

fn days_bar(days: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} files {eta} {msg}");
    ProgressBar::new(days).with_style(style.unwrap_or(ProgressStyle::default_bar()))
}
