//! Answers that are files or charts: `/api/v1/range`, `/api/v1/export`, `/api/v1/export/days`.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use firndb_tsdb::model::TimeRange;
use tokio::sync::{mpsc, oneshot};

use super::QueryState;
use super::body::{CancelOnDrop, Pieces};
use super::error::{ErrorAnswer, header_text};
use super::request::Pairs;
use crate::error::{Error, Result};
use crate::exec::{self, Cancel, Context, Warnings};
use crate::export;
use crate::format::json;
use crate::format::output::{PIECE_BYTES, Piece};
use crate::metrics::{Lang, Status};
use crate::range;

/// Writes to the body of an answer, a piece at a time.
struct BodyWriter {
    buffer: Vec<u8>,
    pieces: mpsc::Sender<Piece>,
}

impl BodyWriter {
    fn send(&mut self, last: bool) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.buffer).into();
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.pieces.blocking_send(Piece { bytes, last }).map_err(gone)
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE_BYTES {
            self.send(false)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `work` on a thread that may block, and answers with what it writes. An error before the
/// first piece has a status of its own; a later one breaks the body off.
async fn written(
    state: &QueryState,
    content_type: &'static str,
    work: impl FnOnce(&Context, &mut dyn SendWrite, &Said) -> Result<()> + Send + 'static,
) -> Result<Response, ErrorAnswer> {
    state.wait_for_room().await;
    let cancel = Cancel::default();
    let guard = CancelOnDrop(cancel.clone());
    let context = state.context(cancel);
    let (sender, mut pieces) = mpsc::channel(2);
    let (failed, failure) = oneshot::channel();
    let running = state.metrics.begin(Lang::Range, &state.clock);
    let said = Said::default();
    let saying = said.clone();
    tokio::task::spawn_blocking(move || {
        let mut writer = BodyWriter { buffer: Vec::new(), pieces: sender };
        let done = work(&context, &mut writer, &saying);
        let sent = done.and_then(|()| writer.send(true).map_err(Error::Output));
        match &sent {
            Ok(()) => running.end(Status::Ok),
            Err(Error::Output(_)) => drop(running), // the client went away
            Err(_) => running.end(Status::Error),
        }
        if let Err(error) = sent {
            // Nobody listens any more once the answer has begun.
            let _ = failed.send(error);
        }
    });
    let (body, warnings) = match pieces.recv().await {
        Some(Piece { bytes, last: true }) => (Body::from(bytes), said.to_the_end()),
        Some(Piece { bytes, last: false }) => {
            (Body::new(Pieces::new(bytes, pieces, guard)), said.at_most())
        }
        None => return Err(failure.await.map_or_else(|_| ErrorAnswer::internal(), refusal)),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for warning in warnings {
        response.headers_mut().append(X_FIRNDB_WARNING, header_text(&warning));
    }
    Ok(response)
}

/// Where an answer is not exact, for forms that cannot say so themselves.
const X_FIRNDB_WARNING: HeaderName = HeaderName::from_static("x-firndb-warning");

/// The warnings of an answer that is being made.
#[derive(Debug, Clone, Default)]
struct Said(Arc<OnceLock<Warnings>>);

impl Said {
    /// The answer has these.
    fn of(&self, warnings: &Warnings) {
        let _ = self.0.set(warnings.clone()); // an answer is made once
    }

    /// Of an answer that is there.
    fn to_the_end(&self) -> Vec<String> {
        self.0.get().map(Warnings::so_far).unwrap_or_default()
    }

    /// Of an answer whose head leaves before its rows are known.
    fn at_most(&self) -> Vec<String> {
        self.0.get().map(Warnings::possible).unwrap_or_default()
    }
}

/// What an encoder writes to.
trait SendWrite: Write + Send {}
impl<T: Write + Send> SendWrite for T {}

/// The answer to a request that failed before it had one.
pub(super) fn refusal(error: Error) -> ErrorAnswer {
    let text = error.to_string();
    match error {
        Error::DatabaseNotFound(_) | Error::PolicyNotFound(_) => {
            ErrorAnswer::new(StatusCode::NOT_FOUND, text)
        }
        Error::Memory { .. } | Error::Deadline => {
            ErrorAnswer::new(StatusCode::SERVICE_UNAVAILABLE, text)
        }
        Error::Tsdb(firndb_tsdb::Error::PolicyNotFound { .. }) => {
            ErrorAnswer::new(StatusCode::NOT_FOUND, text)
        }
        Error::Tsdb(_) | Error::Output(_) => {
            ErrorAnswer::new(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
        _ => ErrorAnswer::bad_request(text),
    }
}

fn answered(answer: Result<Response, ErrorAnswer>) -> Response {
    answer.unwrap_or_else(IntoResponse::into_response)
}

fn parameters(request: &Request) -> Vec<(String, String)> {
    let mut pairs = Pairs::default();
    pairs.parse(request.uri().query().unwrap_or_default());
    pairs.0
}

/// `GET /api/v1/range`; its parameters are told in [`crate::range`].
pub async fn range(State(state): State<Arc<QueryState>>, request: Request) -> Response {
    answered(range_answer(&state, &parameters(&request)).await)
}

async fn range_answer(
    state: &QueryState,
    pairs: &[(String, String)],
) -> Result<Response, ErrorAnswer> {
    let now = state.clock.unix_ns();
    let range::RangeRequest { plan, format, unit } =
        range::parse(pairs, &state.tsdb, now).map_err(refusal)?;
    match format {
        range::Format::Json => {
            let work = move |context: &Context, out: &mut dyn SendWrite, _: &Said| {
                range::write_json(exec::stream(context, &plan)?, unit, out)
            };
            written(state, "application/json", work).await
        }
        range::Format::Csv => {
            let work = move |context: &Context, out: &mut dyn SendWrite, said: &Said| {
                let parts = exec::stream(context, &plan)?;
                said.of(parts.warnings());
                range::write_csv(parts, out)
            };
            written(state, "text/csv", work).await
        }
        range::Format::Arrow => {
            let work = move |context: &Context, out: &mut dyn SendWrite, said: &Said| {
                let result = exec::run(context, &plan)?;
                said.of(&result.warnings);
                range::write_arrow(result, out)
            };
            written(state, "application/vnd.apache.arrow.stream", work).await
        }
        range::Format::Parquet => {
            let work = move |context: &Context, out: &mut dyn SendWrite, said: &Said| {
                let result = exec::run(context, &plan)?;
                said.of(&result.warnings);
                range::write_parquet(context, result, out)
            };
            written(state, "application/vnd.apache.parquet", work).await
        }
    }
}

/// `GET /api/v1/export?db=&rp=&measurement=&from=&to=&format=parquet|csv|lp`: the measurement as
/// a file, streamed.
pub async fn export(State(state): State<Arc<QueryState>>, request: Request) -> Response {
    answered(export_answer(&state, &parameters(&request)).await)
}

async fn export_answer(
    state: &QueryState,
    pairs: &[(String, String)],
) -> Result<Response, ErrorAnswer> {
    let asked = Asked::parse(pairs, state.clock.unix_ns(), &["format"])?;
    let measurement = asked.measurement.ok_or_else(|| missing("measurement"))?;
    let request = export::Request {
        database: asked.database,
        policy: asked.policy,
        measurement,
        range: asked.range,
        now: state.clock.unix_ns(),
    };
    let format = pairs.iter().find(|(name, _)| name == "format").map(|(_, value)| value.as_str());
    let (format, content_type, extension) = match format {
        None | Some("parquet" | "") => {
            (export::Format::Parquet, "application/vnd.apache.parquet", "parquet")
        }
        Some("csv") => (export::Format::Csv, "text/csv", "csv"),
        Some("lp") => (export::Format::LineProtocol, "text/plain; charset=utf-8", "lp"),
        Some(_) => {
            let text = "parameter \"format\": parquet, csv or lp";
            return Err(ErrorAnswer::bad_request(text));
        }
    };
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    let name: String = request.measurement.chars().filter(is_plain).collect();
    let work = move |context: &Context, out: &mut dyn SendWrite, _: &Said| {
        export::write(context, &request, format, out).map(|_| ())
    };
    let mut response = written(state, content_type, work).await?;
    let disposition = format!("attachment; filename=\"{name}.{extension}\"");
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// `GET /api/v1/export/days?db=&rp=&measurement=&from=&to=`: the days that may have rows, of one
/// measurement or all, so that a caller can fetch a file for each:
/// `{"days":[{"measurement":"cpu","date":"2026-01-31","from":1769817600000000000,
/// "to":1769904000000000000,"path":"measurement=cpu/date=2026-01-31/part-0.parquet"}]}`.
pub async fn days(State(state): State<Arc<QueryState>>, request: Request) -> Response {
    answered(days_answer(&state, &parameters(&request)).await)
}

async fn days_answer(
    state: &QueryState,
    pairs: &[(String, String)],
) -> Result<Response, ErrorAnswer> {
    let now = state.clock.unix_ns();
    let asked = Asked::parse(pairs, now, &[])?;
    let work = move |context: &Context, out: &mut dyn SendWrite, _: &Said| {
        let Asked { database, policy, measurement, range } = asked;
        let (policy, measurement) = (policy.as_deref(), measurement.as_deref());
        let days = export::days(context, &database, policy, measurement, range, now)?;
        let mut text = b"{\"days\":[".to_vec();
        for (at, day) in days.iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            text.extend_from_slice(b"{\"measurement\":");
            json::string(&day.measurement, &mut text);
            let (from, to) = (day.range.start, day.range.end.saturating_add(1));
            let date = &day.date;
            text.extend(format!(",\"date\":\"{date}\",\"from\":{from},\"to\":{to}").bytes());
            text.extend_from_slice(b",\"path\":");
            json::string(&day.path(), &mut text);
            text.push(b'}');
        }
        text.extend_from_slice(b"]}\n");
        out.write_all(&text)?;
        Ok(())
    };
    written(state, "application/json", work).await
}

/// What both export endpoints are asked with.
struct Asked {
    database: String,
    policy: Option<String>,
    measurement: Option<String>,
    range: TimeRange,
}

fn missing(name: &str) -> ErrorAnswer {
    ErrorAnswer::bad_request(format!("parameter {name:?}: missing"))
}

impl Asked {
    fn parse(pairs: &[(String, String)], now: i64, more: &[&str]) -> Result<Asked, ErrorAnswer> {
        let known = ["db", "rp", "measurement", "from", "to", "u", "p"];
        let get = |name: &str| {
            let found = pairs.iter().find(|(key, value)| key == name && !value.is_empty());
            found.map(|(_, value)| value.clone())
        };
        for (name, _) in pairs {
            if !known.contains(&name.as_str()) && !more.contains(&name.as_str()) {
                return Err(ErrorAnswer::bad_request(format!("parameter {name:?}: unknown")));
            }
        }
        let moment = |name: &str| match get(name) {
            None => Ok(None),
            Some(text) => range::moment(&text, now).map(Some).ok_or_else(|| {
                ErrorAnswer::bad_request(format!("parameter {name:?}: {}", range::MOMENT))
            }),
        };
        let start = moment("from")?.unwrap_or(TimeRange::ALL.start);
        let end = moment("to")?.map_or(TimeRange::ALL.end, |to| to.saturating_sub(1));
        Ok(Asked {
            database: get("db").ok_or_else(|| missing("db"))?,
            policy: get("rp"),
            measurement: get("measurement"),
            range: TimeRange::new(start, end),
        })
    }
}
