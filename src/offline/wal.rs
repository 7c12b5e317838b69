//! `firndb wal`: the segments and records of the log, whether they are whole, and what can be saved
//! of a damaged one. `wal corrupt` makes damage, to see what the rest does about it.

mod corrupt;
mod repair;

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Args, Subcommand};
use firndb::engine::batch::BatchOps;
use firndb::engine::inspect::log::{self, LogReport, RecordView, SegmentState};
use firndb::engine::inspect::manifest;
use firndb::engine::key::{FileNumber, KeyspaceId};
use firndb::engine::wal::LogBounds;
use firndb::engine::{Error, Result};

use super::find::{kind_name, value_text};
use super::{Folder, FolderArgs, refused};
use crate::cli::{Exit, complain};
use crate::output::{Answer, Cell, OutputArgs, Rows};

/// Bytes of a value that are shown unless all are asked for.
const VALUE_BYTES_SHOWN: usize = 64;

/// What to do with the log.
#[derive(Debug, Subcommand)]
pub enum WalCommand {
    /// Print the segments of the log.
    ///
    /// Example: firndb wal list /var/lib/firndb
    List(ListArgs),
    /// Print the operations in the log.
    ///
    /// Example: firndb wal dump /var/lib/firndb --keyspace kv/box --format ndjson
    Dump(DumpArgs),
    /// Say whether the log is whole, and what a damaged place costs.
    ///
    /// Example: firndb wal check /var/lib/firndb
    Check(ListArgs),
    /// Save what is whole of a damaged log; the rest is set aside in DIR/quarantine.
    ///
    /// Example: firndb wal repair /var/lib/firndb --dry-run
    Repair(repair::Args),
    /// Damage a copy of a folder, to see what check, repair and the server do about it.
    ///
    /// Example: firndb wal corrupt /var/lib/firndb --to /tmp/copy --kind torn-write --seed 7
    Corrupt(corrupt::CorruptArgs),
}

/// Arguments of `firndb wal list` and `firndb wal check`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `firndb wal dump`.
#[derive(Debug, Args)]
pub struct DumpArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Only this segment.
    #[arg(long)]
    segment: Option<u64>,
    /// Only operations on this keyspace.
    #[arg(long)]
    keyspace: Option<String>,
    /// Most operations to print; 0: all.
    #[arg(long, default_value_t = 0)]
    limit: usize,
    /// Whole values, however long.
    #[arg(long)]
    whole: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
pub fn run(command: &WalCommand) -> Exit {
    match command {
        WalCommand::List(args) => list(args, false),
        WalCommand::Dump(args) => dump(args),
        WalCommand::Check(args) => list(args, true),
        WalCommand::Repair(args) => repair::run(args),
        WalCommand::Corrupt(args) => corrupt::run(args),
    }
}

/// What the manifest says that matters to the log.
pub(super) struct Known {
    /// Identity of the store; `None` when the manifest cannot be read.
    pub store_id: Option<u128>,
    /// Which part of the log is needed.
    pub log: LogBounds,
    /// File numbers from here on are free.
    pub next_file: FileNumber,
    /// Names of keyspaces.
    pub names: BTreeMap<KeyspaceId, Arc<str>>,
}

/// Reads the manifest; the log can be looked at without one.
pub(super) fn known(folder: &Folder) -> Known {
    let read = manifest::current(&*folder.fs, &folder.dir)
        .and_then(|number| manifest::read(&*folder.fs, &folder.dir, number, &mut |_| {}));
    match read {
        Ok(report) => {
            let (log, next_file) = (report.state.log_bounds(), report.state.next_file);
            let keyspaces = report.state.keyspaces.into_iter();
            let names = keyspaces.map(|(id, of)| (id, of.name)).collect();
            Known { store_id: Some(report.store_id), log, next_file, names }
        }
        Err(error) => {
            complain(&format!(
                "warning: the manifest cannot be read: {error}\n  \
                 segments that are not needed any more are looked at too"
            ));
            let (log, next_file) = (LogBounds::ALL, FileNumber(0));
            Known { store_id: None, log, next_file, names: BTreeMap::new() }
        }
    }
}

fn list(args: &ListArgs, is_check: bool) -> Exit {
    let folder = match args.folder.open() {
        Ok(folder) => folder,
        Err(exit) => return exit,
    };
    let known = known(&folder);
    let mut undecodable = Vec::new();
    let read = log::report(&*folder.fs, &folder.dir, known.store_id, known.log, &mut |record| {
        if is_check && let Some(what) = damage_of(&record) {
            undecodable.push((record.segment, record.offset, record.seq, what));
        }
        Ok(())
    });
    let report = match read {
        Ok(report) => report,
        Err(error) => return refused("cannot read the log", &error),
    };
    let mut answer = Answer::of("segments", segment_rows(&report));
    if !is_check {
        answer.print(&args.output);
        return Exit::Done;
    }
    for (segment, offset, seq, what) in &undecodable {
        answer = answer.note(format!("{:06} record {seq} at {offset}: {what}", segment.0));
    }
    let (status, lines) = verdict(&report);
    let status = if undecodable.is_empty() { status } else { "damaged" };
    answer = answer.fact("status", status).fact("undecodable_records", undecodable.len());
    for line in lines {
        answer = answer.note(line);
    }
    answer.print(&args.output);
    if status == "ok" { Exit::Done } else { Exit::Found }
}

/// What is wrong with a record whose checksums hold, if anything.
fn damage_of(record: &RecordView<'_>) -> Option<String> {
    if record.is_seal {
        return None;
    }
    let ops = BatchOps::new(record.body).map_err(|error| error.to_string());
    ops.and_then(|mut ops| ops.try_for_each(|op| op.map(drop).map_err(|e| e.to_string()))).err()
}

fn segment_rows(report: &LogReport) -> Rows {
    let mut rows =
        Rows::new(&["segment", "records", "bytes", "first_seq", "last_seq", "state", "detail"]);
    for segment in &report.segments {
        let (state, detail) = match &segment.state {
            SegmentState::Whole => ("ok", None),
            SegmentState::Empty => ("empty", None),
            SegmentState::Obsolete => ("obsolete", None),
            SegmentState::TornTail(gap) => {
                let (at, bytes, why) = (gap.offset, gap.bytes, &gap.reason);
                ("torn tail", Some(format!("at {at}: {bytes} bytes, {why}")))
            }
            SegmentState::Dropped => ("dropped", Some("behind a torn tail".to_owned())),
            SegmentState::Damaged(gap) => {
                ("BAD", Some(format!("at {}: {}", gap.offset, gap.reason)))
            }
        };
        rows.push(vec![
            format!("{:06}", segment.number.0).into(),
            Cell::Count(segment.records),
            Cell::Bytes(segment.end_bytes.min(segment.file_bytes)),
            segment.first_seq.map(Cell::Number).unwrap_or(Cell::Nothing),
            segment.last_seq.map(Cell::Number).unwrap_or(Cell::Nothing),
            state.into(),
            detail.into(),
        ]);
    }
    rows
}

/// What it comes to: a word for programs, lines for people.
fn verdict(report: &LogReport) -> (&'static str, Vec<String>) {
    match &report.verdict {
        Ok(replay) if replay.torn_tail.is_none() => ("ok", vec!["result: ok".to_owned()]),
        Ok(_) => {
            let line = "result: an unfinished end of the log. It was never synced; the next start \
                        cuts it. No loss of what was acknowledged as durable.";
            ("torn_tail", vec![line.to_owned()])
        }
        Err(error) => {
            let behind = records_behind(report, error);
            let mut lines = vec![format!("result: damage inside the log: {error}")];
            if let Some((records, first, last)) = behind {
                lines.push(format!(
                    "        {records} records behind it, {first} to {last}, are still readable"
                ));
            }
            lines.push(
                "        The server refuses to start. `firndb wal repair DIR --dry-run` says \
                 what can be kept."
                    .to_owned(),
            );
            ("damaged", lines)
        }
    }
}

/// Whole records behind the place that stops replay: how many, and their sequence numbers.
fn records_behind(report: &LogReport, error: &Error) -> Option<(u64, u64, u64)> {
    let Error::Corrupt { path, .. } = error else { return None };
    let is_it = |number: FileNumber| path.ends_with(format!("{:06}.log", number.0));
    let at = report.segments.iter().position(|segment| is_it(segment.number))?;
    let behind_in_it = report.segments[at].gaps.iter().find_map(|gap| gap.seq_after);
    let behind = &report.segments[at + 1..];
    let first = behind_in_it.or_else(|| behind.iter().find_map(|segment| segment.first_seq))?;
    let last = report.segments[at..].iter().filter_map(|segment| segment.last_seq).next_back()?;
    let in_it =
        behind_in_it.map_or(0, |first| report.segments[at].last_seq.unwrap_or(first) + 1 - first);
    Some((in_it + behind.iter().map(|segment| segment.records).sum::<u64>(), first, last))
}

fn dump(args: &DumpArgs) -> Exit {
    let folder = match args.folder.open() {
        Ok(folder) => folder,
        Err(exit) => return exit,
    };
    let known = known(&folder);
    let mut rows = Rows::new(&[
        "segment",
        "offset",
        "record_bytes",
        "seq",
        "keyspace",
        "kind",
        "key",
        "value",
    ]);
    let read = log::report(&*folder.fs, &folder.dir, known.store_id, known.log, &mut |record| {
        let is_meant = args.segment.is_none_or(|segment| record.segment.0 == segment);
        if is_meant && !record.is_seal {
            push_operations(args, &known, &record, &mut rows)?;
        }
        Ok(())
    });
    let report = match read {
        Ok(report) => report,
        Err(error) => return refused("cannot read the log", &error),
    };
    Answer::of("operations", rows).print(&args.output);
    if report.is_readable() {
        return Exit::Done;
    }
    complain("damaged places were passed over; `firndb wal check` tells where");
    Exit::Found
}

fn push_operations(
    args: &DumpArgs,
    known: &Known,
    record: &RecordView<'_>,
    rows: &mut Rows,
) -> Result<()> {
    let place = |rows: &mut Rows, keyspace: String, kind: String, key: Cell, value: Cell| {
        rows.push(vec![
            format!("{:06}", record.segment.0).into(),
            Cell::Number(record.offset),
            Cell::Bytes(record.bytes),
            Cell::Number(record.seq),
            keyspace.into(),
            kind.into(),
            key,
            value,
        ]);
    };
    let ops = match BatchOps::new(record.body) {
        Ok(ops) => ops,
        Err(error) => {
            let what = format!("does not decode: {error}").into();
            place(rows, String::new(), "unknown".into(), Cell::Nothing, what);
            return Ok(());
        }
    };
    for op in ops {
        if args.limit > 0 && rows.len() >= args.limit {
            break;
        }
        let Ok((id, op)) = op else { break };
        let name = known.names.get(&id).map_or_else(|| format!("#{}", id.0), |n| n.to_string());
        if args.keyspace.as_ref().is_some_and(|keyspace| *keyspace != name) {
            continue;
        }
        let max = (!args.whole).then_some(VALUE_BYTES_SHOWN);
        let value = value_text(op.kind, op.value, max);
        place(rows, name, kind_name(op.kind), op.key.into(), value.into());
    }
    Ok(())
}
