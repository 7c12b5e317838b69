//! `firndb export`: a measurement from a server into a file.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use firndb::engine::fs::real::RealFs;
use firndb::engine::fs::{File, Fs, write_all_at};
use indicatif::ProgressBar;

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
    /// Measurement.
    #[arg(long)]
    measurement: String,
    /// First time: RFC 3339, or nanoseconds since the epoch.
    #[arg(long)]
    start: Option<String>,
    /// End of the time, not included.
    #[arg(long)]
    end: Option<String>,
    /// csv, json, arrow or parquet.
    #[arg(long, default_value = "csv")]
    format: String,
    /// The file; it must not exist.
    #[arg(long, short)]
    output: PathBuf,
}

/// Runs the command.
pub fn run(args: &ExportArgs) -> Exit {
    let mut request = agent()
        .get(args.server.at("/api/v1/export"))
        .query("db", &args.db)
        .query("measurement", &args.measurement)
        .query("format", &args.format);
    for (name, value) in [("rp", &args.rp), ("start", &args.start), ("end", &args.end)] {
        if let Some(value) = value {
            request = request.query(name, value);
        }
    }
    let answer = match accepted(&args.server, request.call()) {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    let body = answer.into_body();
    let bar = progress_bar(body.content_length().unwrap_or(0));
    let mut reader = body.into_with_config().limit(u64::MAX).reader();
    match save(&mut reader, &args.output, &bar) {
        Ok(_) => {
            bar.finish_and_clear();
            Exit::Done
        }
        Err(error) => {
            complain(&format!(
                "cannot write {}: {error}\n  what is there of it is not whole",
                args.output.display()
            ));
            Exit::Failed
        }
    }
}

/// Writes all of `reader` to a new file and syncs it.
fn save(reader: &mut impl Read, path: &Path, bar: &ProgressBar) -> io::Result<u64> {
    let file: Box<dyn File> = RealFs.create(path)?;
    let mut buffer = vec![0; 256 << 10];
    let mut length = 0;
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            file.sync()?;
            return Ok(length);
        }
        write_all_at(&*file, &buffer[..read], length)?;
        length += read as u64;
        bar.inc(read as u64);
    }
}
