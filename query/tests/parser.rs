//! InfluxQL texts and what the parser makes of them.

use firndb_query::influxql::{Param, Params, Statement, parse};

use super::case_file;

fn params() -> Params {
    [
        ("s", Param::String("it's".into())),
        ("n", Param::Integer(-5)),
        ("f", Param::Number(0.5)),
        ("b", Param::Boolean(true)),
        ("d", Param::Duration("5m".into())),
        ("r", Param::Regex("^a.*".into())),
        ("i", Param::Identifier("host".into())),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .into()
}

/// The words that do not parse, and why: in the words of InfluxDB 1.x, place included.
#[test]
fn refused_texts() {
    case_file::run("refused.test", |case| {
        let text = case.input.replace("\\n", "\n");
        match parse(&text, &params()) {
            Ok(statements) => format!("parsed: {statements:?}"),
            Err(error) => error.to_string(),
        }
    });
}

/// Texts that parse, written out again.
#[test]
fn accepted_texts() {
    case_file::run("accepted.test", |case| match parse(case.input, &params()) {
        Ok(statements) => {
            let written = statements.iter().map(|(statement, _)| match statement {
                Statement::Select(select) => select.to_string(),
                other => format!("{other:?}"),
            });
            written.collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("refused: {error}"),
    });
}
