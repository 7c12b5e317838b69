//! `--hdr FILE`: the distribution of latencies as text, in the form that HdrHistogram's own tools
//! print and its plotters read.
//!
//! ```text
//!        Value     Percentile TotalCount 1/(1-Percentile)
//!
//!        0.012 0.000000000000          1           1.00      milliseconds, this part of all at or
//!        ..                                                  below, so many operations
//! #[Mean    =        0.123, StdDeviation   =        0.045]
//! ```

use std::fmt::Write;
use std::path::{Path, PathBuf};

use firndb::engine::Error;
use firndb::engine::fs::real::RealFs;
use firndb::engine::fs::{Fs, write_all_at};
use hdrhistogram::Histogram;

use super::operations::KINDS;
use super::run::Measured;
use crate::cli::Exit;
use crate::offline::refused;

/// Lines for each halving of the distance to 100 %.
const TICKS_PER_HALF: u32 = 5;
/// Latencies are nanoseconds, the file is of milliseconds.
const NS_PER_MS: f64 = 1e6;

/// Writes all operations to `path`; where there are several kinds, each as well, to
/// `NAME.KIND.EXTENSION`.
pub fn write(path: &Path, measured: &Measured) -> Result<(), Exit> {
    let of_kinds = || measured.latencies.iter().zip(KINDS).filter(|(of, _)| !of.is_empty());
    let mut all = Histogram::new(3).expect("three digits are allowed");
    of_kinds().for_each(|(of_kind, _)| all += of_kind);
    write_one(path, &all)?;
    if of_kinds().count() > 1 {
        for (of_kind, name) in of_kinds() {
            write_one(&named(path, name), of_kind)?;
        }
    }
    Ok(())
}

fn named(path: &Path, kind: &str) -> PathBuf {
    match path.extension() {
        Some(extension) => path.with_extension(format!("{kind}.{}", extension.display())),
        None => path.with_extension(kind),
    }
}

fn write_one(path: &Path, of: &Histogram<u64>) -> Result<(), Exit> {
    let file = RealFs.create(path).map_err(|e| Error::io(path, "create", e));
    let written = file.and_then(|file| {
        write_all_at(&*file, text(of).as_bytes(), 0).map_err(|e| Error::io(path, "write", e))
    });
    written.map_err(|error| refused("cannot write the percentiles", &error))
}

fn text(of: &Histogram<u64>) -> String {
    let mut out = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    for step in of.iter_quantiles(TICKS_PER_HALF) {
        total += step.count_since_last_iteration();
        let (ms, part) = (step.value_iterated_to() as f64 / NS_PER_MS, step.quantile_iterated_to());
        let _ = write!(out, "{ms:12.3} {part:14.12} {total:10}");
        let _ = match part < 1.0 {
            true => writeln!(out, " {:14.2}", 1.0 / (1.0 - part)),
            false => writeln!(out),
        };
    }
    let (mean, deviation) = (of.mean() / NS_PER_MS, of.stdev() / NS_PER_MS);
    let max = of.max() as f64 / NS_PER_MS;
    let _ = writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(out, "#[Max     = {max:12.3}, Total count    = {:12}]", of.len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_plotters_read() {
        let mut of = Histogram::new(3).unwrap();
        (1..=1000u64).for_each(|us| of.record(us * 1000).unwrap());
        let text = text(&of);
        let lines: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|cell| cell.parse().unwrap()).collect())
            .collect();
        assert!(lines.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1] && a[2] <= b[2]), "{text}");
        let half = lines.iter().find(|line| line[1] >= 0.5).unwrap();
        assert!((half[0] - 0.5).abs() < 0.02 && (half[3] - 2.0).abs() < 0.1, "{half:?}");
        let last = lines.last().unwrap();
        assert_eq!((last.len(), last[1], last[2]), (3, 1.0, 1000.0));
        assert!(
            text.contains("#[Max     =        1.000, Total count    =         1000]"),
            "{text}"
        );
    }

    #[test]
    fn kinds_have_files_of_their_own() {
        let cases = [("a.hgrm", "a.read.hgrm"), ("b", "b.read"), ("x.y/c.txt", "x.y/c.read.txt")];
        for (path, name) in cases {
            assert_eq!(named(Path::new(path), "read"), Path::new(name));
        }
    }
}
