//! `firndb query`: a question in InfluxQL, its answer as a table, JSON or CSV.

use clap::Args;
use serde_json::Value;

use super::{ServerArgs, accepted, agent, message_of};
use crate::cli::{Exit, RowFormat, complain, print_lines};

/// Arguments of `firndb query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Database.
    #[arg(long, default_value = "")]
    db: String,
    /// How rows are printed.
    #[arg(long, value_enum, default_value = "table")]
    format: RowFormat,
    /// Times as numbers in this unit (ns, u, ms, s, m, h) instead of RFC 3339.
    #[arg(long)]
    epoch: Option<String>,
    /// The statements.
    text: String,
}

/// Runs the command.
pub fn run(args: &QueryArgs) -> Exit {
    let mut request = agent().post(args.server.at("/query")).query("db", &args.db);
    if let Some(epoch) = &args.epoch {
        request = request.query("epoch", epoch);
    }
    if args.format == RowFormat::Csv {
        request = request.header("Accept", "application/csv");
    }
    let answer = match accepted(&args.server, request.send_form([("q", args.text.as_str())])) {
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
    if args.format == RowFormat::Csv {
        print_lines(&body);
        return Exit::Done;
    }
    let json: Value = match serde_json::from_str(&body) {
        Ok(json) => json,
        Err(error) => {
            complain(&format!("the answer is not JSON: {error}"));
            return Exit::Failed;
        }
    };
    let (tables, errors) = tables(&json);
    if args.format == RowFormat::Json {
        print_lines(&body);
    } else {
        print_lines(&tables);
    }
    for error in &errors {
        complain(error);
    }
    if errors.is_empty() { Exit::Done } else { Exit::Failed }
}

/// One question, its answer as a table.
pub fn ask(url: &str, db: &str, text: &str) -> Result<String, String> {
    let request = agent().post(format!("{url}/query")).query("db", db);
    let answer = request.send_form([("q", text)]);
    let mut answer = answer.map_err(|error| format!("cannot reach {url}: {error}"))?;
    let body = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    let json: Value = serde_json::from_str(&body).map_err(|_| message_of(&body))?;
    match tables(&json) {
        (tables, errors) if errors.is_empty() => Ok(tables),
        (_, errors) => Err(errors.join("; ")),
    }
}

/// The series of all results as tables, and the errors of statements.
fn tables(json: &Value) -> (String, Vec<String>) {
    let mut out = String::new();
    let mut errors = Vec::new();
    for result in json["results"].as_array().into_iter().flatten() {
        if let Some(error) = result["error"].as_str() {
            errors.push(error.to_owned());
        }
        for series in result["series"].as_array().into_iter().flatten() {
            if !out.is_empty() {
                out.push('\n');
            }
            out += &title(series);
            out += &table(series);
        }
    }
    (out, errors)
}

/// Name and tags of a series.
fn title(series: &Value) -> String {
    let mut title = series["name"].as_str().unwrap_or_default().to_owned();
    for (key, value) in series["tags"].as_object().into_iter().flatten() {
        title += &format!(" {key}={}", cell(value));
    }
    if title.is_empty() { title } else { title + "\n" }
}

/// The rows of `values` under their `columns`.
pub fn table(series: &Value) -> String {
    let empty = Vec::new();
    let mut rows: Vec<Vec<String>> =
        vec![series["columns"].as_array().unwrap_or(&empty).iter().map(cell).collect()];
    for row in series["values"].as_array().unwrap_or(&empty) {
        rows.push(row.as_array().unwrap_or(&empty).iter().map(cell).collect());
    }
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..rows[0].len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += &format!("{cell:width$}  ");
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_become_tables() {
        let answer = json!({"results": [
            {"series": [{"name": "cpu", "tags": {"host": "a"}, "columns": ["time", "v"],
                         "values": [["2020-01-01T00:00:00Z", 1.5], ["2020-01-01T00:00:10Z", null]]}]},
            {"error": "database not found: x"},
        ]});
        let (text, errors) = tables(&answer);
        assert_eq!(
            text,
            "cpu host=a\ntime                  v\n2020-01-01T00:00:00Z  1.5\n2020-01-01T00:00:10Z\n"
        );
        assert_eq!(errors, ["database not found: x"]);
    }
}
