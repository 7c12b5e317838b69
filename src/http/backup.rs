//! Backups over HTTP.
//!
//! ```text
//! POST /api/v1/backup         {"database":"d","full":false}     every key may be left out
//! GET  /api/v1/backups        {"backups":[{"id":..,"time":..,"databases":[..],..}]}
//! POST /api/v1/restore        {"id":..,"database":"d","as":"e","on_conflict":"refuse"|"replace"}
//! POST /api/v1/backup/verify  {"id":..}                          without id: every backup
//! POST /api/v1/backup/prune   {"keep":7}
//! ```
//!
//! The answer to a POST is a line of JSON at a time while the work goes on, `{"progress":{..}}`,
//! and at the end `{"done":{..}}` or `{"error":".."}`. What is refused before anything begins is an
//! answer with a status of its own. Who closes the connection ends the work.
//!
//! Files are written and read only below the setting `backup.dir`.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use firndb::engine;
use firndb::engine::budget::Budget;
use firndb::engine::clock::Clock;
use firndb::ingest::body::{self, Limits};
use firndb::ingest::http::error::ErrorAnswer;
use firndb::tsdb::backup::{
    self, BackupRequest, Listed, Progress, Repository, RestoreRequest, Watch,
};
use firndb::tsdb::{Error, Tsdb};
use http_body::Frame;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Time between two lines of progress.
const PROGRESS_NS: u64 = 100_000_000;
/// Lines that wait for a slow client; more of them are left out.
const LINES_MAX: usize = 16;

/// What the handlers work on.
#[derive(Debug, Clone)]
pub struct BackupState {
    /// The databases.
    pub tsdb: Tsdb,
    /// Time of backups.
    pub clock: Arc<dyn Clock>,
    /// Where backups go; `None`: nowhere.
    pub repository: Option<Repository>,
    /// Memory of request bodies.
    pub budget: Budget,
    /// Largest bodies.
    pub limits: Limits,
}

type Shared = State<BackupState>;

/// The routes.
pub fn routes(state: BackupState) -> Router {
    Router::new()
        .route("/api/v1/backup", post(take))
        .route("/api/v1/backups", get(list))
        .route("/api/v1/restore", post(restore))
        .route("/api/v1/backup/verify", post(verify))
        .route("/api/v1/backup/prune", post(prune))
        .with_state(state)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TakeBody {
    database: Option<String>,
    #[serde(default)]
    full: bool,
}

async fn take(State(state): Shared, headers: HeaderMap, body: Body) -> Response {
    let body: TakeBody = match parse(&state, &headers, body).await {
        Ok(body) => body,
        Err(refused) => return refused.v1(),
    };
    let request = BackupRequest { database: body.database, is_full: body.full };
    run(state, move |state, repository, watch| {
        state.tsdb.backup(repository, &request, state.clock.unix_ns(), watch)
    })
    .await
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnConflict {
    #[default]
    Refuse,
    Replace,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RestoreBody {
    id: String,
    database: Option<String>,
    #[serde(rename = "as")]
    rename: Option<String>,
    #[serde(default)]
    on_conflict: OnConflict,
}

async fn restore(State(state): Shared, headers: HeaderMap, body: Body) -> Response {
    let body: RestoreBody = match parse(&state, &headers, body).await {
        Ok(body) => body,
        Err(refused) => return refused.v1(),
    };
    let request = RestoreRequest {
        id: body.id,
        database: body.database,
        rename: body.rename,
        may_replace: body.on_conflict == OnConflict::Replace,
    };
    run(state, move |state, repository, watch| state.tsdb.restore(repository, &request, watch))
        .await
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyBody {
    id: Option<String>,
}

async fn verify(State(state): Shared, headers: HeaderMap, body: Body) -> Response {
    let body: VerifyBody = match parse(&state, &headers, body).await {
        Ok(body) => body,
        Err(refused) => return refused.v1(),
    };
    run(state, move |_, repository, watch| {
        Ok(backup::verify(repository, body.id.as_deref(), watch)?)
    })
    .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PruneBody {
    keep: usize,
}

async fn prune(State(state): Shared, headers: HeaderMap, body: Body) -> Response {
    let body: PruneBody = match parse(&state, &headers, body).await {
        Ok(body) => body,
        Err(refused) => return refused.v1(),
    };
    run(state, move |_, repository, watch| Ok(backup::prune(repository, body.keep, watch)?)).await
}

async fn list(State(state): Shared) -> Response {
    let Some(repository) = state.repository else { return off().v1() };
    match tokio::task::spawn_blocking(move || repository.list()).await {
        Ok(Ok(listed)) => {
            let backups: Vec<Value> = listed.iter().map(backup_json).collect();
            axum::Json(json!({ "backups": backups })).into_response()
        }
        Ok(Err(error)) => answer_of(&Error::Engine(error)).v1(),
        Err(_) => internal().v1(),
    }
}

fn backup_json(listed: &Listed) -> Value {
    match &listed.record {
        Err(error) => json!({ "id": listed.id, "error": error.to_string() }),
        Ok(record) => {
            let time = chrono::DateTime::from_timestamp_nanos(record.time_ns);
            let databases: Vec<_> = record.groups.iter().map(|d| &d.name).collect();
            let keyspaces: Vec<_> = record.keyspaces.iter().map(|k| &k.name).collect();
            json!({
                "id": listed.id,
                "time": time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                "scope": record.scope,
                "databases": databases,
                "keyspaces": keyspaces,
                "tables": record.tables().count(),
                "bytes": record.bytes(),
            })
        }
    }
}

/// The JSON of a body; an empty one is `{}`.
async fn parse<T: for<'a> Deserialize<'a>>(
    state: &BackupState,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, ErrorAnswer> {
    let received = body::receive(headers, body, &state.limits, &state.budget).await;
    let text = received.and_then(|received| received.text(&state.limits))?;
    let body = text.bytes.trim_ascii();
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        ErrorAnswer::new(StatusCode::BAD_REQUEST, format!("the body does not fit: {error}"))
    })
}

fn off() -> ErrorAnswer {
    let message = "backups are off: start the server with backup.dir set to the folder that may \
                   hold them (--set backup.dir=DIR)";
    ErrorAnswer::new(StatusCode::FORBIDDEN, message)
}

fn internal() -> ErrorAnswer {
    ErrorAnswer::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
}

fn answer_of(error: &Error) -> ErrorAnswer {
    let status = match error {
        Error::Engine(engine::Error::NotFound { .. }) => StatusCode::NOT_FOUND,
        Error::Engine(engine::Error::Invalid { .. }) => StatusCode::BAD_REQUEST,
        Error::DatabaseExists { .. } | Error::Engine(engine::Error::Locked { .. }) => {
            StatusCode::CONFLICT
        }
        other => return ErrorAnswer::from(other),
    };
    ErrorAnswer::new(status, error.to_string())
}

/// What the work sends.
enum Line {
    Progress(Progress),
    Done(Value),
    Failed(Error),
}

impl Line {
    fn bytes(&self) -> Bytes {
        let json = match self {
            Line::Progress(p) => json!({ "progress": {
                "files": p.files, "files_total": p.files_total,
                "bytes": p.bytes, "bytes_total": p.bytes_total,
            }}),
            Line::Done(summary) => json!({ "done": summary }),
            Line::Failed(error) => json!({ "error": error.to_string() }),
        };
        Bytes::from(format!("{json}\n"))
    }
}

/// Runs `work` on a thread of its own and answers with its lines.
async fn run<T: Serialize>(
    state: BackupState,
    work: impl FnOnce(&BackupState, &Repository, &Watch<'_>) -> Result<T, Error> + Send + 'static,
) -> Response {
    let Some(repository) = state.repository.clone() else { return off().v1() };
    let (sender, mut lines) = mpsc::channel(LINES_MAX);
    tokio::task::spawn_blocking(move || {
        let teller = Teller { sender: &sender, clock: &*state.clock, told_ns: Cell::new(None) };
        let watch = Watch {
            progress: &|progress| teller.tell(progress),
            is_cancelled: &|| sender.is_closed(),
        };
        let line = match work(&state, &repository, &watch) {
            Ok(summary) => match serde_json::to_value(summary) {
                Ok(summary) => Line::Done(summary),
                Err(error) => Line::Failed(Error::Invalid { reason: error.to_string() }),
            },
            Err(error) => {
                let is_cancelled = matches!(error, Error::Engine(engine::Error::Cancelled));
                if !is_cancelled && answer_of(&error).status.is_server_error() {
                    tracing::warn!(%error, "backup or restore");
                }
                Line::Failed(error)
            }
        };
        // Nobody is left to tell when the client has gone.
        let _ = sender.blocking_send(line);
    });
    // Refused before it began: an answer with a status.
    match lines.recv().await {
        Some(Line::Failed(error)) => answer_of(&error).v1(),
        Some(first) => {
            let body = Lines { first: Some(first), rest: lines };
            ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(body)).into_response()
        }
        None => internal().v1(),
    }
}

/// Tells of progress, not too often.
struct Teller<'a> {
    sender: &'a Sender<Line>,
    clock: &'a dyn Clock,
    told_ns: Cell<Option<u64>>,
}

impl Teller<'_> {
    fn tell(&self, progress: Progress) {
        let now = self.clock.monotonic_ns();
        let is_due = self.told_ns.get().is_none_or(|told| now.saturating_sub(told) >= PROGRESS_NS);
        if is_due {
            self.told_ns.set(Some(now));
            // A client that is slow to read misses some.
            let _ = self.sender.try_send(Line::Progress(progress));
        }
    }
}

/// The lines of an answer.
struct Lines {
    first: Option<Line>,
    rest: Receiver<Line>,
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first.bytes()))));
        }
        let line = self.rest.poll_recv(context);
        line.map(|line| line.map(|line| Ok(Frame::data(line.bytes()))))
    }
}
