//! `firndb lsm`: levels, what is compacted next and why, and what happened; of a running server, or
//! of a folder that nobody has open.

mod replay;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use firndb::engine::Result;
use firndb::engine::inspect::manifest::{self, ManifestReport};
use firndb::engine::inspect::{Levels, Shape, Step};
use firndb::engine::manifest::KeyspaceRecord;
use firndb::engine::manifest::edit::Change;
use firndb::engine::options::Policy;
use serde_json::{Value, json};

use crate::cli::Exit;
use crate::client::{ServerArgs, get_json};
use crate::offline::{Folder, FolderArgs, refused};
use crate::output::{Answer, OutputArgs, Rows, Stream, size};
use crate::status;

/// Size at which a compaction cuts its outputs, as the server has it.
const TABLE_BYTES_MAX: u64 = 64 << 20;
/// Time between two looks at the journal of a server.
const FOLLOW_LOOK: Duration = Duration::from_millis(500);
/// Steps of a simulation unless asked otherwise.
const STEPS: usize = 32;

/// What to show of the storage.
#[derive(Debug, Subcommand)]
pub enum LsmCommand {
    /// Print the levels: files, bytes, and how overdue each is.
    ///
    /// Example: firndb lsm show            (a server)
    ///          firndb lsm show /var/lib/firndb
    Show(ShowArgs),
    /// Print what is compacted next and why.
    ///
    /// Of a folder the picker is asked again and again, as if each compaction were done at once.
    Schedule(ScheduleArgs),
    /// Print what happened: the journal of a server, or the edits of a folder.
    Events(EventsArgs),
    /// Write a page that replays the edits of a folder: levels as boxes, area by bytes.
    ///
    /// Example: firndb lsm html /var/lib/firndb -o lsm.html
    Html(replay::HtmlArgs),
}

/// A server or a folder.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// The data directory; without one a server is asked.
    dir: Option<PathBuf>,
    /// Read a folder although a server has it open.
    #[arg(long, requires = "dir")]
    no_lock: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Arguments of `firndb lsm show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// A line a keyspace, not a class of them.
    #[arg(long, requires = "dir")]
    keyspaces: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `firndb lsm schedule`.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Only this keyspace.
    #[arg(long, requires = "dir")]
    keyspace: Option<String>,
    /// Most steps to look ahead, for each keyspace of a folder.
    #[arg(long, requires = "dir", default_value_t = STEPS)]
    steps: usize,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `firndb lsm events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Only those behind this one.
    #[arg(long, default_value_t = 0)]
    since: u64,
    /// Go on with what happens next, until the server ends.
    #[arg(long, conflicts_with = "dir")]
    follow: bool,
    #[command(flatten)]
    output: OutputArgs,
}

const LEVELS: [&str; 7] = ["class", "level", "runs", "files", "bytes", "target_bytes", "score"];
const CLASSES: [&str; 5] = ["class", "keyspaces", "entries", "read_amplification", "pending_bytes"];
const JOBS: [&str; 10] = [
    "id",
    "kind",
    "state",
    "keyspace",
    "reason",
    "from_level",
    "to_level",
    "input_files",
    "done_bytes",
    "total_bytes",
];
const EVENTS: [&str; 10] = [
    "id",
    "time",
    "type",
    "keyspace",
    "reason",
    "from_level",
    "to_level",
    "input_bytes",
    "output_files",
    "output_bytes",
];

/// Runs the command.
pub fn run(command: &LsmCommand) -> Exit {
    let done = match command {
        LsmCommand::Show(args) => show(args),
        LsmCommand::Schedule(args) => schedule(args),
        LsmCommand::Events(args) => events(args),
        LsmCommand::Html(args) => replay::run(args),
    };
    done.err().unwrap_or(Exit::Done)
}

impl SourceArgs {
    /// The folder, if one is named.
    fn folder(&self) -> Option<std::result::Result<Folder, Exit>> {
        let dir = self.dir.clone()?;
        Some(FolderArgs::new(dir, self.no_lock).open())
    }
}

/// The manifest of a folder.
fn manifest_of(
    folder: &Folder,
    visit: &mut dyn FnMut(manifest::EditView<'_>),
) -> std::result::Result<ManifestReport, Exit> {
    manifest::current(&*folder.fs, &folder.dir)
        .and_then(|number| manifest::read(&*folder.fs, &folder.dir, number, visit))
        .map_err(|error| refused("cannot read the manifest", &error))
}

fn levels_of(folder: &Folder, record: &KeyspaceRecord) -> Result<Levels> {
    Levels::of(&folder.fs, &folder.dir, record, Policy::default(), TABLE_BYTES_MAX)
}

fn show(args: &ShowArgs) -> std::result::Result<(), Exit> {
    let document = match args.source.folder() {
        None => get_json(&args.source.server, "/api/v1/status/lsm")?,
        Some(folder) => state_of(&folder?, args.keyspaces)?,
    };
    let mut answer = Answer::of("levels", Rows::of_json(&document["levels"], &LEVELS))
        .list("classes", Rows::of_json(&document["classes"], &CLASSES));
    if document["jobs"].is_array() {
        answer = answer.list("jobs", Rows::of_json(&document["jobs"], &JOBS));
    }
    for (name, value) in document.as_object().into_iter().flatten() {
        if !value.is_array() {
            answer = answer.fact(name, value.clone());
        }
    }
    let memtables = &document["memtables"];
    let bytes = |name: &str| memtables[name].as_u64().map(size).unwrap_or_default();
    if memtables.is_object() {
        answer = answer.note(format!(
            "memtables {} active, {} on their way to tables; log {}",
            bytes("active_bytes"),
            bytes("sealed_bytes"),
            document["wal"]["bytes"].as_u64().map(size).unwrap_or_default(),
        ));
    }
    if let Some(ratio) = document["write_amplification"].as_f64() {
        answer = answer.note(format!("write amplification {ratio:.2} since the start"));
    }
    answer.print(&args.output);
    Ok(())
}

/// The state of a folder.
fn state_of(folder: &Folder, by_keyspace: bool) -> std::result::Result<Value, Exit> {
    let report = manifest_of(folder, &mut |_| {})?;
    let mut classes = BTreeMap::new();
    for record in report.state.keyspaces.values() {
        let levels = levels_of(folder, record)
            .map_err(|error| refused(&format!("tables of {}", record.name), &error))?;
        let name = match by_keyspace {
            true => record.name.replace('/', "\u{1}"), // one name, one line
            false => record.name.to_string(),
        };
        status::add_shape(&mut classes, &name, &levels.shape());
    }
    let names: Vec<_> = classes.keys().map(|name| name.replace('\u{1}', "/")).collect();
    let found = names.iter().zip(classes.values());
    let (levels, classes) =
        status::levels(found.map(|(name, (class, targets))| (name.as_str(), class, Some(targets))));
    Ok(json!({ "levels": levels, "classes": classes }))
}

fn schedule(args: &ScheduleArgs) -> std::result::Result<(), Exit> {
    let folder = match args.source.folder() {
        Some(folder) => folder?,
        None => {
            let document = get_json(&args.source.server, "/api/v1/status/schedule")?;
            let jobs = Rows::of_json(&document["jobs"], &JOBS);
            let count = jobs.len();
            let is_paused = document["paused"].as_bool().unwrap_or_default();
            let mut answer = Answer::of("jobs", jobs).fact("paused", is_paused);
            if count == 0 {
                answer = answer.note("nothing runs and nothing is due");
            }
            if is_paused {
                answer = answer.note("compactions are paused");
            }
            answer.print(&args.output);
            return Ok(());
        }
    };
    let report = manifest_of(&folder, &mut |_| {})?;
    let mut steps = Vec::new();
    let mut is_cut = false;
    for record in report.state.keyspaces.values() {
        if args.keyspace.as_ref().is_some_and(|name| **name != *record.name) {
            continue;
        }
        let mut ahead = || -> Result<()> {
            let mut levels = levels_of(&folder, record)?;
            for number in 1..=args.steps {
                let Some(step) = levels.step()? else { return Ok(()) };
                steps.push(step_row(&record.name, number, &step));
            }
            is_cut |= levels.step()?.is_some();
            Ok(())
        };
        ahead().map_err(|error| refused(&format!("tables of {}", record.name), &error))?;
    }
    let columns = [
        "keyspace",
        "step",
        "reason",
        "kind",
        "from_level",
        "to_level",
        "score",
        "input_files",
        "input_bytes",
        "levels_after",
    ];
    let mut answer = Answer::of("steps", Rows::of_json(&Value::Array(steps.clone()), &columns));
    if steps.is_empty() {
        answer = answer.note("nothing is due");
    }
    if is_cut {
        answer =
            answer.note(format!("more would follow; --steps {} looks further", args.steps * 4));
    }
    answer.fact("is_cut", is_cut).print(&args.output);
    Ok(())
}

fn step_row(keyspace: &Arc<str>, number: usize, step: &Step) -> Value {
    let plan = &step.plan;
    json!({
        "keyspace": keyspace.as_ref(),
        "step": number,
        "reason": plan.reason.name(),
        "kind": if plan.is_move { "move" } else { "compaction" },
        "from_level": plan.inputs.first().map(|input| input.place.level),
        "to_level": plan.output.level,
        "score": step.score,
        "input_files": plan.tables().count(),
        "input_bytes": plan.input_bytes,
        "levels_after": in_words(&step.after),
    })
}

/// Levels that hold tables, in one line.
fn in_words(shape: &Shape) -> String {
    let levels = shape.levels.iter().enumerate().filter(|(_, of)| of.tables > 0);
    let words =
        levels.map(|(level, of)| format!("L{level} {} files {}", of.tables, size(of.bytes)));
    words.collect::<Vec<_>>().join(", ")
}

/// Prints events as they come.
fn follow(args: &EventsArgs) -> std::result::Result<(), Exit> {
    let (mut since, mut stream) = (args.since, Stream::default());
    loop {
        let path = format!("/api/v1/status/events?since={since}");
        let document = get_json(&args.source.server, &path)?;
        stream.print(&Rows::of_json(&document["events"], &EVENTS), &args.output);
        since = document["next"].as_u64().unwrap_or(since);
        std::thread::park_timeout(FOLLOW_LOOK);
    }
}

fn events(args: &EventsArgs) -> std::result::Result<(), Exit> {
    if args.follow {
        return follow(args);
    }
    let document = match args.source.folder() {
        None => {
            let path = format!("/api/v1/status/events?since={}", args.since);
            get_json(&args.source.server, &path)?
        }
        Some(folder) => edits_of(&folder?, args.since)?,
    };
    Answer::of("events", Rows::of_json(&document["events"], &EVENTS))
        .fact("next", document["next"].clone())
        .print(&args.output);
    Ok(())
}

/// The edits of a folder as events.
fn edits_of(folder: &Folder, since: u64) -> std::result::Result<Value, Exit> {
    let mut events = Vec::new();
    let mut names = BTreeMap::new();
    manifest_of(folder, &mut |view| {
        let (mut keyspace, mut added, mut added_bytes, mut removed) = (None, 0u64, 0u64, 0u64);
        let mut level = None;
        for change in view.edit.changes() {
            match change {
                Change::AddKeyspace { id, name, .. } => {
                    names.insert(*id, name.to_string());
                }
                Change::AddTable(id, place, table) => {
                    keyspace = names.get(id).cloned();
                    level = Some(place.level);
                    (added, added_bytes) = (added + 1, added_bytes + table.bytes);
                }
                Change::RemoveTable(id, _) => {
                    keyspace = names.get(id).cloned();
                    removed += 1;
                }
                _ => {}
            }
        }
        let id = u64::from(view.serial) + 1;
        if id > since {
            events.push(json!({
                "id": id,
                "time": status::time_of(view.edit.unix_ns),
                "type": "edit",
                "keyspace": keyspace.filter(|_| view.serial > 0),
                "reason": view.edit.reason,
                "from_level": null,
                "to_level": level.filter(|_| view.serial > 0),
                "input_files": removed,
                "input_bytes": null,
                "output_files": added,
                "output_bytes": added_bytes,
            }));
        }
    })?;
    let next = events.last().map_or(since, |event| event["id"].as_u64().unwrap_or(since));
    Ok(json!({ "next": next, "events": events }))
}
