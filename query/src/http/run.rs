//! Runs the statements of a request one after another and writes their answers.

use super::QueryState;
use super::request::QueryRequest;
use crate::error::Error;
use crate::exec::{Cancel, Context};
use crate::format::json::{self, Layout};
use crate::format::{Closed, Output, csv};
use crate::influxql::{self, Answer, Scope, Statement};
use crate::metrics::{Lang, Status};

enum Writer {
    Json(json::Writer),
    Csv(csv::Writer),
}

/// Runs statements, each with its text, until one fails. Blocks.
pub fn run(
    state: &QueryState,
    request: &QueryRequest,
    statements: &[(Statement, String)],
    output: Output,
    cancel: Cancel,
) {
    let scope = Scope {
        tsdb: &state.tsdb,
        database: request.database.as_deref(),
        policy: request.policy.as_deref(),
        now: state.clock.unix_ns(),
    };
    let running = state.metrics.begin(Lang::Influxql, &state.clock);
    let context = state.context(cancel.clone());
    let layout =
        Layout { time: request.time, chunk_rows: request.chunk_rows, rows_max: state.rows_max };
    let writer = match request.csv {
        true => Writer::Csv(csv::Writer::new(output, request.time)),
        false => Writer::Json(json::Writer::new(output, layout)),
    };
    match write(writer, statements, request.reads_only, &scope, &context) {
        Ok(true) => running.end(Status::Ok),
        Ok(false) => running.end(Status::Error),
        Err(Closed) => cancel.cancel(), // nobody reads on: what still runs may stop
    }
}

/// Whether all statements went well.
fn write(
    mut writer: Writer,
    statements: &[(Statement, String)],
    reads_only: bool,
    scope: &Scope<'_>,
    context: &Context,
) -> Result<bool, Closed> {
    let mut all_well = true;
    for (statement, text) in statements {
        let answer = match all_well {
            true => influxql::answer(statement, scope, context),
            false => Err(Error::invalid("not executed")),
        };
        let warned = all_well && reads_only && statement.writes();
        let warning = warned.then(|| {
            format!(
                "deprecated use of '{text}' in a read only context, please use a POST request \
                 instead"
            )
        });
        all_well &= writer.statement(answer, warning.into_iter().collect())?;
    }
    match writer {
        Writer::Json(writer) => writer.finish()?,
        Writer::Csv(writer) => writer.finish()?,
    }
    Ok(all_well)
}

impl Writer {
    fn statement(
        &mut self,
        answer: Result<Answer, Error>,
        warnings: Vec<String>,
    ) -> Result<bool, Closed> {
        match self {
            Writer::Json(writer) => writer.statement(answer, warnings),
            Writer::Csv(writer) => writer.statement(answer),
        }
    }
}
