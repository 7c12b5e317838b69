//! `firndb check`: verifies a data directory while no server runs.
//!
//! The directory is read under the lock that the server takes, and no byte of it is changed: the
//! log is read, not replayed, and what a killed server left is left for the next one.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use firndb::SystemClock;
use firndb::engine;
use firndb::engine::check::{CheckReport, Finding};
use firndb::engine::fs::Fs;
use firndb::engine::fs::real::RealFs;
use firndb::engine::inspect;
use firndb::tsdb::{Error, Options, Tsdb};
use indicatif::ProgressBar;
use serde_json::json;

use crate::app::App;
use crate::cli::{Exit, complain, print_lines};
use crate::config::Config;
use crate::config::settings::Settings;
use crate::{machine, open, output};

/// Arguments of `firndb check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The data directory.
    dir: PathBuf,
    /// Look at indexes and footers only, not at every block.
    #[arg(long)]
    quick: bool,
    /// Read every byte. The default.
    #[arg(long, conflicts_with = "quick")]
    deep: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &CheckArgs) -> Exit {
    if !args.dir.is_dir() {
        complain(&format!(
            "{} is not a directory\n  name the one given as --data-dir",
            args.dir.display()
        ));
        return Exit::Usage;
    }
    let mut settings = match Settings::of(&Config::defaults(), machine::memory_bytes(&RealFs)) {
        Ok(settings) => settings,
        Err(error) => {
            complain(&error.to_string());
            return Exit::Usage;
        }
    };
    settings.data_dir.clone_from(&args.dir);
    let app = App::new(settings, Arc::new(SystemClock::new()), Arc::new(RealFs));
    match check(open::options(&app), args.deep || !args.quick) {
        Ok(mut report) => {
            name_every_place(&args.dir, &mut report);
            print_lines(&shown(&report, args.json));
            if report.findings.is_empty() { Exit::Done } else { Exit::Found }
        }
        Err(error) => {
            complain(&format!("cannot check {}: {error}", args.dir.display()));
            match error {
                Error::Engine(engine::Error::Locked { .. }) => Exit::Locked,
                error if error.is_corrupt() => Exit::Found,
                _ => Exit::Failed,
            }
        }
    }
}

fn check(options: Options, deep: bool) -> Result<CheckReport, Error> {
    let is_shown = std::io::stderr().is_terminal();
    let bar = if is_shown { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let report = Tsdb::check_offline(options, deep, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    report
}

/// A check stops at the first damage of a table; people want to know all that is damaged in it.
fn name_every_place(dir: &Path, report: &mut CheckReport) {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let first = std::mem::take(&mut report.findings);
    for finding in first {
        let is_table = finding.file.ends_with(".tbl");
        let table = is_table.then(|| inspect::table(&fs, &dir.join(&finding.file)).ok()).flatten();
        let damages = table.map(|table| table.damages()).unwrap_or_default();
        // What the walk cannot tell (another table under this name) stays as it was found.
        if damages.is_empty() {
            report.findings.push(finding);
            continue;
        }
        for damage in damages {
            let keys = damage.keys.map(|(after, upto)| {
                format!("; keys from {} to {}", output::shown(&after), output::shown(&upto))
            });
            let (part, error) = (damage.part, &damage.error);
            let what = format!("{part}: {error}{}", keys.unwrap_or_default());
            report.findings.push(Finding { file: finding.file.clone(), what });
        }
    }
}

fn shown(report: &CheckReport, as_json: bool) -> String {
    if as_json {
        let findings: Vec<_> =
            report.findings.iter().map(|f| json!({"file": f.file, "what": f.what})).collect();
        let json = json!({
            "status": if findings.is_empty() { "pass" } else { "fail" },
            "tables": report.tables,
            "entries": report.entries,
            "segments": report.segments,
            "bytes": report.bytes,
            "findings": findings,
        });
        return format!("{json}\n");
    }
    let mut out = format!(
        "{} tables, {} entries, {} log files, {} bytes\n",
        report.tables, report.entries, report.segments, report.bytes
    );
    for finding in &report.findings {
        out += &format!("FAIL {}: {}\n", finding.file, finding.what);
    }
    if report.findings.is_empty() {
        out += "ok\n";
    }
    out
}
