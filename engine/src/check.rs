//! Verifies the directory of an open store against what it says of itself; `offline` does so with
//! one that is not open.
//!
//! Steps: the manifest is read back and compared with the picture in use; every table is read and
//! compared with what the manifest says of it; the log is read up to where it was when the check
//! began. Writes go on meanwhile.

pub mod offline;

use std::sync::Arc;

use crate::batch::BatchOps;
use crate::folder::FileKind;
use crate::kernel::Kernel;
use crate::levels::TableFile;
use crate::manifest::log::load;
use crate::wal::{self, LogBounds, ReplayOptions};
use crate::{Error, Result};

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// Table files read.
    pub tables: u64,
    /// Entries in them.
    pub entries: u64,
    /// Log segments.
    pub segments: u64,
    /// Log records.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is wrong; empty when all is well.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The file it is about.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

impl CheckReport {
    fn found(&mut self, file: impl Into<String>, what: impl std::fmt::Display) {
        self.findings.push(Finding { file: file.into(), what: what.to_string() });
    }
}

/// Checks the store; `progress` gets tables done and tables in all.
pub(crate) fn run(kernel: &Kernel, deep: bool, progress: &dyn Fn(u64, u64)) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    check_manifest(kernel, &mut report);
    check_names(kernel, &mut report)?;
    let keyspaces = kernel.keyspaces(None)?;
    // Pinned, so that no compaction removes a file while it is read.
    let pinned: Vec<_> = keyspaces.iter().map(|k| (k, k.picture().version.clone())).collect();
    let total = pinned.iter().map(|(_, version)| version.tables().count() as u64).sum();
    for (keyspace, version) in &pinned {
        for (_, table) in version.tables() {
            kernel.check_open()?;
            check_table(table, &keyspace.name, deep, &mut report);
            progress(report.tables, total);
        }
    }
    check_log(kernel, &mut report)?;
    Ok(report)
}

/// The manifest on disk says what the store believes.
fn check_manifest(kernel: &Kernel, report: &mut CheckReport) {
    let manifest = kernel.manifest.lock();
    match load(&*kernel.options.fs, &kernel.options.dir, &mut |_| {}) {
        Ok(None) => report.found("CURRENT", "is missing"),
        Err(error) => report.found("CURRENT", error),
        Ok(Some(loaded)) => {
            report.bytes += loaded.bytes;
            let file = crate::manifest::manifest_name(loaded.number);
            if loaded.torn_at_bytes.is_some() && kernel.failure.get().is_none() {
                report.found(&file, "ends in a damaged edit");
            }
            if loaded.state.keyspaces != manifest.state().keyspaces
                && kernel.failure.get().is_none()
            {
                report.found(&file, "differs from the tables in use");
            }
        }
    }
}

fn check_names(kernel: &Kernel, report: &mut CheckReport) -> Result<()> {
    let dir = &kernel.options.dir;
    let names = kernel.options.fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    for name in names {
        if FileKind::of(&name) == FileKind::Other {
            report.found(name, "is not a file of the store");
        }
    }
    Ok(())
}

fn check_table(table: &Arc<TableFile>, keyspace: &str, deep: bool, report: &mut CheckReport) {
    report.tables += 1;
    let meta = &table.meta;
    let file = format!("{:06}.tbl", meta.number.0);
    let outcome = table.table.check(deep).and_then(|seen| Ok((seen, table.table.properties()?)));
    match outcome {
        Ok((seen, properties)) => {
            report.entries += seen.entries;
            report.bytes += seen.bytes;
            let is_same = properties.entries == meta.entries
                && properties.bytes == meta.bytes
                && properties.max_seq == meta.max_seq
                && *properties.smallest == *meta.smallest
                && *properties.largest == *meta.largest;
            if !is_same {
                report
                    .found(file, format!("is not the table that the manifest names ({keyspace})"));
            }
        }
        Err(error) => report.found(file, format!("{error} ({keyspace})")),
    }
}

/// How often the log is read again because flushes cut it meanwhile.
const LOG_READS_MAX: u32 = 10;

/// The log can be replayed. Its last segment is being written, so that its end may look torn: the
/// log is rotated first, and only what is sealed is judged.
///
/// Flushes go on and remove segments, also ones that the replay has yet to read. What is wrong with
/// a log that was cut meanwhile says nothing: it is read again from its new beginning. So does a
/// segment that was listed and is gone when it is opened: one that was prepared and is not needed
/// any more, or one that is removed some time after the edit that said so.
fn check_log(kernel: &Kernel, report: &mut CheckReport) -> Result<()> {
    if kernel.failure.get().is_some() {
        return Ok(());
    }
    let wal = kernel.wal();
    // First the sync, so that the new segment says that all before it is on disk.
    wal.sync_to(wal.end())
        .and_then(|()| wal.rotate())
        .and_then(|()| wal.sync_to(wal.end()))
        .map_err(|error| kernel.fail_if_read_only(error))?;
    for read_number in 1..=LOG_READS_MAX {
        let mut read = CheckReport::default();
        let bounds = kernel.manifest.lock().state().log_bounds();
        let is_whole = read_log(kernel, bounds, &mut read) || read_number == LOG_READS_MAX;
        let is_judged = is_whole && kernel.manifest.lock().state().log_bounds() == bounds;
        if read.findings.is_empty() || is_judged {
            report.segments += read.segments;
            report.records += read.records;
            report.bytes += read.bytes;
            report.findings.append(&mut read.findings);
            break;
        }
    }
    Ok(())
}

/// Replays what is needed of the log. Says whether no segment went meanwhile.
fn read_log(kernel: &Kernel, bounds: LogBounds, report: &mut CheckReport) -> bool {
    let store_id = kernel.manifest.lock().store_id();
    let current = kernel.wal().segment();
    let options = ReplayOptions { store_id, bounds, record_bytes_max: wal::RECORD_BYTES_MAX };
    let mut damaged = Vec::new();
    let mut records = 0;
    let replayed = wal::replay(
        &*kernel.options.fs,
        &kernel.options.dir,
        &options,
        &mut |segment, seq, body| {
            records += 1;
            let ops = BatchOps::new(body).and_then(|mut ops| ops.try_for_each(|op| op.map(drop)));
            if let Err(error) = ops {
                damaged.push((segment, format!("record {seq}: {error}")));
            }
            Ok(())
        },
        &|_, _| {},
    );
    report.records += records;
    for (segment, what) in damaged {
        report.found(wal::file_name(segment), what);
    }
    match replayed {
        Ok(replay) => {
            report.segments += replay.segments.len() as u64;
            report.bytes += replay.bytes;
        }
        // The end that is being written, as it was listed or as it is now.
        Err(Error::Corrupt { path, .. })
            if [current, kernel.wal().segment()]
                .iter()
                .any(|s| path.ends_with(wal::file_name(*s))) => {}
        Err(error) => {
            let is_gone = matches!(&error, Error::Io { source, .. }
                if source.kind() == std::io::ErrorKind::NotFound);
            report.found("log", error);
            return !is_gone;
        }
    }
    true
}
