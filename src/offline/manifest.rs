//! `firndb manifest`: the edits of a store, and what they add up to.

use clap::{Args, Subcommand};
use firndb::engine::inspect::manifest::{self, ManifestReport};
use firndb::engine::key::FileNumber;
use firndb::engine::manifest::edit::Change;
use firndb::engine::manifest::manifest_name;

use super::{Folder, FolderArgs, refused};
use crate::cli::Exit;
use crate::output::{Answer, Cell, OutputArgs, Rows, shown};
use crate::status::time_of;

/// What to do with the manifest.
#[derive(Debug, Subcommand)]
pub enum ManifestCommand {
    /// Print every edit, or with --state the tables that they add up to.
    ///
    /// Example: firndb manifest dump /var/lib/firndb --state
    Dump(DumpArgs),
    /// Say whether every edit is whole.
    ///
    /// Example: firndb manifest check /var/lib/firndb
    Check(CheckArgs),
}

/// Arguments of `firndb manifest dump`.
#[derive(Debug, Args)]
pub struct DumpArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// The manifest of this number, not the one that CURRENT names.
    #[arg(long)]
    number: Option<u64>,
    /// Print the tables that are there after the last edit.
    #[arg(long)]
    state: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `firndb manifest check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
pub fn run(command: &ManifestCommand) -> Exit {
    match command {
        ManifestCommand::Dump(args) => dump(args),
        ManifestCommand::Check(args) => check(args),
    }
}

fn number_of(folder: &Folder, number: Option<u64>) -> Result<FileNumber, Exit> {
    match number {
        Some(number) => Ok(FileNumber(number)),
        None => manifest::current(&*folder.fs, &folder.dir)
            .map_err(|error| refused("cannot find the manifest", &error)),
    }
}

fn dump(args: &DumpArgs) -> Exit {
    let folder = match args.folder.open() {
        Ok(folder) => folder,
        Err(exit) => return exit,
    };
    let number = match number_of(&folder, args.number) {
        Ok(number) => number,
        Err(exit) => return exit,
    };
    let mut edits = Rows::new(&["edit", "offset", "bytes", "time", "reason", "change"]);
    let report = manifest::read(&*folder.fs, &folder.dir, number, &mut |view| {
        let mut push = |change: String| {
            edits.push(vec![
                Cell::Number(view.serial.into()),
                Cell::Number(view.offset),
                Cell::Bytes(view.bytes),
                time_of(view.edit.unix_ns).into(),
                view.edit.reason.clone().into(),
                change.into(),
            ]);
        };
        if view.edit.changes().is_empty() {
            push("nothing".to_owned());
        }
        view.edit.changes().iter().for_each(|change| push(described(change)));
    });
    let report = match report {
        Ok(report) => report,
        Err(error) => return refused("cannot read the manifest", &error),
    };
    let answer = match args.state {
        true => Answer::of("tables", tables(&report)).list("keyspaces", keyspaces(&report)),
        false => Answer::of("changes", edits),
    };
    with_facts(answer, &report).print(&args.output);
    if report.damages.iter().any(|damage| damage.is_inside) { Exit::Found } else { Exit::Done }
}

fn check(args: &CheckArgs) -> Exit {
    let folder = match args.folder.open() {
        Ok(folder) => folder,
        Err(exit) => return exit,
    };
    let number = match number_of(&folder, None) {
        Ok(number) => number,
        Err(exit) => return exit,
    };
    let report = match manifest::read(&*folder.fs, &folder.dir, number, &mut |_| {}) {
        Ok(report) => report,
        Err(error) => return refused("cannot read the manifest", &error),
    };
    let is_whole = report.damages.is_empty() && report.misfits.is_empty();
    with_facts(Answer::default(), &report)
        .note(format!("{} edits, {} bytes", report.edits, report.bytes))
        .note(if is_whole { "ok" } else { "FAIL" })
        .print(&args.output);
    if is_whole { Exit::Done } else { Exit::Found }
}

/// What is told of a manifest beside its rows.
fn with_facts(answer: Answer, report: &ManifestReport) -> Answer {
    let mut damages = Rows::new(&["file", "offset", "bytes", "what"]);
    for damage in &report.damages {
        let what = match damage.is_inside {
            true => damage.reason.clone(),
            false => "damaged last edit; a crash leaves such a tail, the next open cuts it".into(),
        };
        damages.push(vec![
            manifest_name(report.number).into(),
            Cell::Number(damage.offset),
            Cell::Bytes(damage.bytes),
            what.into(),
        ]);
    }
    for misfit in &report.misfits {
        let (file, what) = (manifest_name(report.number).into(), misfit.clone().into());
        damages.push(vec![file, Cell::Nothing, Cell::Nothing, what]);
    }
    let state = &report.state;
    answer
        .list("damages", damages)
        .fact("manifest", manifest_name(report.number))
        .fact("format_version", report.version)
        .fact("store_id", format!("{:032x}", report.store_id))
        .fact("bytes", report.bytes)
        .fact("edits", report.edits)
        .fact("next_file", state.next_file.0)
        .fact("last_seq", state.last_seq)
        .fact("log_from", state.log_from.0)
        .fact("log_end", state.log_end.map(|end| end.number.0))
}

fn tables(report: &ManifestReport) -> Rows {
    let mut rows = Rows::new(&[
        "keyspace",
        "level",
        "age",
        "file",
        "bytes",
        "entries",
        "deletes",
        "first_seq",
        "last_seq",
        "first_key",
        "last_key",
    ]);
    for keyspace in report.state.keyspaces.values() {
        let mut tables: Vec<_> = keyspace.tables.values().collect();
        tables.sort_by_key(|(place, meta)| {
            (place.level, std::cmp::Reverse(place.age), meta.smallest.clone())
        });
        for (place, meta) in tables {
            rows.push(vec![
                Cell::Text(keyspace.name.to_string()),
                Cell::Number(place.level.into()),
                Cell::Number(place.age),
                format!("{:06}.tbl", meta.number.0).into(),
                Cell::Bytes(meta.bytes),
                Cell::Count(meta.entries),
                Cell::Count(meta.deletes),
                Cell::Number(meta.min_seq),
                Cell::Number(meta.max_seq),
                (&*meta.smallest).into(),
                (&*meta.largest).into(),
            ]);
        }
    }
    rows
}

fn keyspaces(report: &ManifestReport) -> Rows {
    let mut rows = Rows::new(&["id", "keyspace", "tables", "bytes", "flushed_seq", "policy"]);
    for (id, keyspace) in &report.state.keyspaces {
        let bytes = keyspace.tables.values().map(|(_, meta)| meta.bytes).sum();
        rows.push(vec![
            Cell::Number(id.0.into()),
            Cell::Text(keyspace.name.to_string()),
            Cell::Count(keyspace.tables.len() as u64),
            Cell::Bytes(bytes),
            Cell::Number(keyspace.flushed_seq),
            keyspace.policy.map(|policy| format!("{policy:?}")).into(),
        ]);
    }
    rows
}

/// A change in words.
fn described(change: &Change) -> String {
    match change {
        Change::NextFile(number) => format!("next file {}", number.0),
        Change::LastSeq(seq) => format!("last sequence number {seq}"),
        Change::LogFrom(number) => format!("log from segment {}", number.0),
        Change::LogEnd(end) => {
            format!("closed: the log ends with segment {}, {} bytes", end.number.0, end.bytes)
        }
        Change::NextKeyspace(id) => format!("next keyspace {}", id.0),
        Change::AddKeyspace { id, name, .. } => format!("add keyspace {} {name}", id.0),
        Change::DropKeyspace(id) => format!("drop keyspace {}", id.0),
        Change::Flushed(id, seq) => format!("keyspace {} is in tables up to {seq}", id.0),
        Change::AddTable(id, place, table) => format!(
            "add table {:06} to keyspace {} L{} age {}: {} bytes, {} entries, {} .. {}",
            table.number.0,
            id.0,
            place.level,
            place.age,
            table.bytes,
            table.entries,
            shown(&table.smallest),
            shown(&table.largest),
        ),
        Change::RemoveTable(id, number) => {
            format!("remove table {:06} of keyspace {}", number.0, id.0)
        }
        Change::AddRangeDelete(id, delete) => format!(
            "delete {} .. {} of keyspace {} before {}",
            shown(&delete.start),
            shown(&delete.end),
            id.0,
            delete.seq
        ),
        other => format!("{other:?}"),
    }
}
