//! `firndb backup` and `firndb restore`: ask a server for backups, and watch.

use std::io::{BufRead, BufReader};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::write::progress_bar;
use super::{ServerArgs, accepted, agent};
use crate::cli::{Exit, complain, print_lines};

/// How an outcome is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// The server's JSON.
    Json,
}

/// What every command has.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    server: ServerArgs,
    /// How the outcome is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Arguments of `firndb backup`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BackupArgs {
    #[command(flatten)]
    common: Common,
    /// One database; everything, keys and values included, when left out.
    #[arg(long)]
    db: Option<String>,
    /// Copy every table again, also those that earlier backups hold.
    #[arg(long)]
    full: bool,
    #[command(subcommand)]
    command: Option<BackupCommand>,
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// List backups, oldest first.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Read every byte of a backup, or of all, and compare it with its checksum.
    Verify {
        #[command(flatten)]
        common: Common,
        /// The backup; all when left out.
        id: Option<String>,
    },
    /// Remove all but the newest backups, and what only they needed.
    Prune {
        #[command(flatten)]
        common: Common,
        /// How many to keep of everything, and of each database backed up alone.
        #[arg(long)]
        keep: usize,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnConflict {
    /// An error when there is a database of the name.
    Refuse,
    /// The backup takes its place.
    Replace,
}

/// Arguments of `firndb restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    common: Common,
    /// The backup, from `firndb backup list`.
    id: String,
    /// One database of it; all it holds when left out.
    #[arg(long)]
    db: Option<String>,
    /// Another name for that database.
    #[arg(long = "as", value_name = "NAME")]
    rename: Option<String>,
    /// What to do when there is a database of that name.
    #[arg(long, value_enum, default_value = "refuse")]
    on_conflict: OnConflict,
}

/// Runs `firndb backup`.
pub fn run(args: &BackupArgs) -> Exit {
    match &args.command {
        None => {
            let body = json!({ "database": args.db, "full": args.full });
            outcome(&args.common, post(&args.common, "/api/v1/backup", &body), backup_text)
        }
        Some(BackupCommand::List { common }) => list(common),
        Some(BackupCommand::Verify { common, id }) => {
            let done = post(common, "/api/v1/backup/verify", &json!({ "id": id }));
            let is_damaged =
                |done: &Value| done["damaged"].as_array().is_some_and(|d| !d.is_empty());
            let found = done.as_ref().is_ok_and(is_damaged);
            match outcome(common, done, verify_text) {
                Exit::Done if found => Exit::Found,
                exit => exit,
            }
        }
        Some(BackupCommand::Prune { common, keep }) => outcome(
            common,
            post(common, "/api/v1/backup/prune", &json!({ "keep": keep })),
            |done| {
                let count = done["backups"].as_array().map_or(0, Vec::len);
                let (objects, size) = (&done["objects"], bytes(&done["bytes"]));
                format!("removed {count} backups, {objects} files, {size}\n")
            },
        ),
    }
}

/// Runs `firndb restore`.
pub fn restore(args: &RestoreArgs) -> Exit {
    let on_conflict = match args.on_conflict {
        OnConflict::Refuse => "refuse",
        OnConflict::Replace => "replace",
    };
    let body = json!({
        "id": args.id, "database": args.db, "as": args.rename, "on_conflict": on_conflict,
    });
    outcome(&args.common, post(&args.common, "/api/v1/restore", &body), |done| {
        let (tables, size) = (&done["tables"], bytes(&done["bytes"]));
        let names = [names(&done["databases"]), names(&done["keyspaces"])].concat();
        format!("restored {}: {tables} tables, {size}\n", names.join(", "))
    })
}

/// Prints what was done.
fn outcome(common: &Common, done: Result<Value, Exit>, text: fn(&Value) -> String) -> Exit {
    match done {
        Ok(done) if common.format == Format::Json => print_lines(&format!("{done}\n")),
        Ok(done) => print_lines(&text(&done)),
        Err(exit) => return exit,
    }
    Exit::Done
}

/// Asks, shows progress, and gives what was done.
fn post(common: &Common, path: &str, body: &Value) -> Result<Value, Exit> {
    let request = agent().post(common.server.at(path)).header("Content-Type", "application/json");
    let answer = accepted(&common.server, request.send(body.to_string()))?;
    let reader = answer.into_body().into_with_config().limit(u64::MAX).reader();
    let bar = progress_bar(0);
    for line in BufReader::new(reader).lines() {
        let line = line.map_err(|error| {
            complain(&format!("the answer broke off: {error}\n  the server may have stopped"));
            Exit::Failed
        })?;
        let mut line: Value = serde_json::from_str(&line).map_err(|error| {
            complain(&format!("the answer is not JSON: {error}"));
            Exit::Failed
        })?;
        if let Some(progress) = line.get("progress") {
            bar.set_length(progress["bytes_total"].as_u64().unwrap_or(0));
            bar.set_position(progress["bytes"].as_u64().unwrap_or(0));
        } else if let Some(done) = line.get_mut("done") {
            bar.finish_and_clear();
            return Ok(done.take());
        } else {
            bar.finish_and_clear();
            complain(line["error"].as_str().unwrap_or("the server failed without a word"));
            return Err(Exit::Failed);
        }
    }
    complain(
        "the answer broke off\n  the server may have stopped; what was not finished is not there",
    );
    Err(Exit::Failed)
}

fn list(common: &Common) -> Exit {
    let answer = agent().get(common.server.at("/api/v1/backups")).call();
    let answer = match accepted(&common.server, answer) {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    let text = answer.into_body().into_with_config().limit(u64::MAX).read_to_string();
    let json: Option<Value> = text.as_ref().ok().and_then(|text| serde_json::from_str(text).ok());
    let Some(json) = json else {
        complain("the answer is not JSON");
        return Exit::Failed;
    };
    if common.format == Format::Json {
        print_lines(&format!("{json}\n"));
    } else {
        let all = json["backups"].as_array().into_iter().flatten();
        print_lines(&all.map(list_line).collect::<String>());
    }
    Exit::Done
}

fn list_line(backup: &Value) -> String {
    let id = backup["id"].as_str().unwrap_or_default();
    if let Some(error) = backup["error"].as_str() {
        return format!("{id}  DAMAGED: {error}\n");
    }
    let time = backup["time"].as_str().unwrap_or_default();
    let size = bytes(&backup["bytes"]);
    let names = [names(&backup["databases"]), names(&backup["keyspaces"])].concat();
    format!("{id}  {time}  {size:>10}  {}\n", names.join(", "))
}

fn backup_text(done: &Value) -> String {
    let id = done["id"].as_str().unwrap_or_default();
    let (tables, copied) = (&done["tables"], &done["tables_copied"]);
    let (size, copied_size) = (bytes(&done["bytes"]), bytes(&done["bytes_copied"]));
    format!("{id}: {tables} tables, {size}; {copied} of them new, {copied_size}\n")
}

fn verify_text(done: &Value) -> String {
    let (backups, objects, size) = (&done["backups"], &done["objects"], bytes(&done["bytes"]));
    let mut text = format!("{backups} backups, {objects} files, {size} read: ");
    let damaged = done["damaged"].as_array().map_or(&[][..], Vec::as_slice);
    if damaged.is_empty() {
        return text + "all as written\n";
    }
    text += &format!("{} damaged\n", damaged.len());
    for damage in damaged {
        let (file, what) = (damage["file"].as_str(), damage["what"].as_str());
        let (file, what) = (file.unwrap_or_default(), what.unwrap_or_default());
        text += &format!("  {file}: {what}; needed by {}\n", names(&damage["backups"]).join(", "));
    }
    text + "  `firndb backup --full` copies anew what the server still has\n"
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn bytes(count: &Value) -> String {
    HumanBytes(count.as_u64().unwrap_or(0)).to_string()
}
