//! `firndb retention plan`: what goes when and how many bytes, as tables or JSON.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::query::table;
use super::{ServerArgs, accepted, agent};
use crate::cli::{Exit, complain, print_lines};

/// What `firndb retention` does.
#[derive(Debug, Subcommand)]
pub enum RetentionCommand {
    /// Show which partitions go when and why, and what retention rules mean.
    ///
    /// Example: firndb retention plan --db telegraf
    Plan(PlanArgs),
}

/// Arguments of `firndb retention plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Database; all of them when left out.
    #[arg(long)]
    db: Option<String>,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns.
    Table,
    /// The server's JSON.
    Json,
}

/// Runs the command.
pub fn run(command: &RetentionCommand) -> Exit {
    let RetentionCommand::Plan(args) = command;
    let mut request = agent().get(args.server.at("/api/v1/retention/plan"));
    if let Some(db) = &args.db {
        request = request.query("db", db);
    }
    let answer = match accepted(&args.server, request.call()) {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    let body = match answer.into_body().into_with_config().limit(u64::MAX).read_to_string() {
        Ok(body) => body,
        Err(error) => {
            complain(&format!("the answer broke off: {error}"));
            return Exit::Failed;
        }
    };
    match (args.format, serde_json::from_str::<Value>(&body)) {
        (_, Err(error)) => {
            complain(&format!("the answer is not JSON: {error}"));
            return Exit::Failed;
        }
        (Format::Json, Ok(_)) => print_lines(&body),
        (Format::Table, Ok(plan)) => print_lines(&tables(&plan)),
    }
    Exit::Done
}

/// Two tables per database: rules if there are any, and partitions.
fn tables(plan: &Value) -> String {
    let mut out = String::new();
    for database in plan["databases"].as_array().into_iter().flatten() {
        if !out.is_empty() {
            out.push('\n');
        }
        out += &format!("database {}\n", database["name"].as_str().unwrap_or_default());
        let rules = ["id", "rule", "series", "bytes", "expired_bytes"];
        if database["rules"].as_array().is_some_and(|rules| !rules.is_empty()) {
            out += &part(&database["rules"], &rules);
            out.push('\n');
        }
        let partitions = ["policy", "start", "end", "bytes", "goes_at", "reason", "held"];
        out += &part(&database["partitions"], &partitions);
    }
    out
}

/// Objects as rows.
fn part(objects: &Value, columns: &[&str]) -> String {
    let row = |object: &Value| -> Value {
        columns.iter().map(|column| object[*column].clone()).collect()
    };
    let rows: Vec<Value> = objects.as_array().into_iter().flatten().map(row).collect();
    table(&json!({"columns": columns, "values": rows}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_becomes_tables() {
        let plan = json!({"now": "2026-01-31T12:00:00Z", "databases": [
            {"name": "d",
             "partitions": [{"policy": "autogen", "start": "2026-01-01T00:00:00Z",
                             "end": "2026-01-08T00:00:00Z", "bytes": 4096, "goes_at": null,
                             "reason": null, "held": false}],
             "rules": [{"id": 1, "rule": "RETAIN 1w ON d FROM cpu", "series": 3, "bytes": 1024,
                        "expired_bytes": 0}]},
            {"name": "e", "partitions": [], "rules": []},
        ]});
        let expected = "\
database d
id  rule                     series  bytes  expired_bytes
1   RETAIN 1w ON d FROM cpu  3       1024   0

policy   start                 end                   bytes  goes_at  reason  held
autogen  2026-01-01T00:00:00Z  2026-01-08T00:00:00Z  4096                    false

database e
policy  start  end  bytes  goes_at  reason  held
";
        assert_eq!(tables(&plan), expected);
    }
}
