//! `firndb wal repair`: keeps every record of a damaged log that is whole.

use firndb::engine::inspect::log;
use firndb::engine::key::FileNumber;
use firndb::engine::wal::salvage::{LostSpan, Salvage, Scope, salvage};

use super::known;
use crate::cli::{Exit, complain};
use crate::offline::{RepairArgs, refused};
use crate::output::{Answer, Cell, Rows, grouped};

/// Arguments of `firndb wal repair`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    repair: RepairArgs,
    /// Keep only what lies before the first loss: less, but what the log held at some moment.
    #[arg(long)]
    truncate: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let scope = if args.truncate { Scope::Prefix } else { Scope::All };
    let args = &args.repair;
    let folder = match args.open("set its damaged log aside?") {
        Ok(folder) => folder,
        Err(exit) => return exit,
    };
    let known = known(&folder);
    let Some(store_id) = known.store_id else {
        complain("without a manifest the log belongs to no store\n  try `firndb repair DIR`");
        return Exit::Corrupt;
    };
    let outcome = log::segments(&*folder.fs, &folder.dir).and_then(|segments| {
        let seen = segments.last().map_or(0, |number| number.0 + 1);
        let number = FileNumber(known.next_file.0.max(seen));
        salvage(&*folder.fs, &folder.dir, store_id, known.log, number, scope, args.dry_run)
    });
    match outcome {
        Ok(done) => {
            answer_of(&done, args.dry_run).print(&args.output);
            Exit::Done
        }
        Err(error) => refused("cannot repair the log", &error),
    }
}

fn answer_of(done: &Salvage, is_dry: bool) -> Answer {
    let answer = Answer::of("lost", lost_rows(&done.lost))
        .fact("dry_run", is_dry)
        .fact("kept_records", done.records)
        .fact("kept_bytes", done.bytes)
        .fact("segment", done.segment.map(|number| number.0))
        .fact("set_aside", done.set_aside.iter().map(|number| number.0).collect::<Vec<_>>());
    if done.is_nothing() {
        return answer.note("nothing to repair: a server would open the log as it is");
    }
    let (segments, records) = (done.set_aside.len(), grouped(done.records));
    let answer = match is_dry {
        true => answer.note(format!(
            "would set {segments} segments aside in quarantine/ and keep {records} records of them"
        )),
        false => answer.note(format!(
            "set {segments} segments aside in quarantine/ and kept {records} records of them"
        )),
    };
    answer.note(if is_dry { "nothing was changed" } else { "the server can be started" })
}

/// What is lost, as rows.
pub(in crate::offline) fn lost_rows(lost: &[LostSpan]) -> Rows {
    let mut rows =
        Rows::new(&["segment", "offset", "bytes", "what", "after_record", "before_record"]);
    for span in lost {
        rows.push(vec![
            format!("{:06}", span.segment.0).into(),
            Cell::Number(span.offset),
            Cell::Bytes(span.bytes),
            span.reason.clone().into(),
            span.seq_before.map(Cell::Number).into(),
            span.seq_after.map(Cell::Number).into(),
        ]);
    }
    rows
}
