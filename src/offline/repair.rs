//! `firndb repair`: makes a damaged folder open again, and says what is lost.

use std::sync::Arc;

use firndb::SystemClock;
use firndb::engine::hooks::Plain;
use firndb::engine::options::Options;
use firndb::engine::repair::{self, RepairReport};

use super::{RepairArgs, refused};
use crate::cli::Exit;
use crate::output::{Answer, Cell, Rows};

/// Runs the command.
pub fn run(args: &RepairArgs) -> Exit {
    let folder = match args.open("set its damaged files aside?") {
        Ok(folder) => folder,
        Err(exit) => return exit,
    };
    let clock = Arc::new(SystemClock::new());
    // Hooks are for running stores; a repair moves bytes and asks none.
    let options = Options::new(&folder.dir, folder.fs.clone(), clock, Arc::new(Plain::new()));
    drop(folder);
    match repair::run(&options, args.dry_run) {
        Ok(report) => {
            answer_of(&report, args.dry_run).print(&args.output);
            Exit::Done
        }
        Err(error) => refused("cannot repair", &error),
    }
}

fn answer_of(report: &RepairReport, is_dry: bool) -> Answer {
    let mut losses = Rows::new(&["file", "keyspace", "lost", "after_key", "upto_key"]);
    for loss in &report.losses {
        let keys = loss.keys.as_ref();
        losses.push(vec![
            loss.file.clone().into(),
            loss.keyspace.as_ref().map(|name| name.to_string()).into(),
            loss.what.clone().into(),
            keys.map(|keys| keys.0.as_slice()).into(),
            keys.map(|keys| keys.1.as_slice()).into(),
        ]);
    }
    let mut actions = Rows::new(&["file", if is_dry { "would_be" } else { "was" }]);
    for action in &report.actions {
        actions.push(vec![action.file.clone().into(), Cell::Text(action.what.clone())]);
    }
    let answer = Answer::of("losses", losses)
        .list("actions", actions)
        .fact("dry_run", is_dry)
        .fact("kept_records", report.kept_records);
    match (report.is_whole(), is_dry) {
        (true, _) => answer.note("nothing to repair"),
        (false, true) => answer.note("nothing was changed"),
        (false, false) => answer
            .note("what was set aside is in quarantine/; `firndb check` reads the rest once more"),
    }
}
