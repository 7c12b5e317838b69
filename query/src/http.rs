//! The read side of HTTP: `/query` of InfluxDB 1.x, our own `/api/v1/range` and `/api/v1/export`.
//!
//! ```text
//! parameters (request.rs) -> statements -> on a thread that may block: each statement's answer,
//!   written as it comes (run.rs) -> pieces -> body (body.rs)
//! ```
//!
//! What is wrong with a request as a whole (no `q`, a text that does not parse) has a status of its
//! own; what fails while a statement runs is said inside a 200. When the client goes away the body
//! is dropped, and with it the query stops.

mod body;
mod deletes;
mod error;
mod files;
mod multipart;
mod predicate;
mod request;
mod retention;
mod rollups;
mod run;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use firndb_engine::budget::{Budget, Share};
use firndb_engine::clock::Clock;
use firndb_tsdb::Tsdb;
use tokio::sync::mpsc;

use crate::exec::{Cancel, Context, Limits};
use crate::format::Output;
use crate::format::output::Piece;
use crate::influxql;
use crate::metrics::QueryMetrics;

use body::{CancelOnDrop, Pieces};
use error::ErrorAnswer;
use request::QueryRequest;

/// What the handlers need.
#[derive(Debug, Clone)]
pub struct QueryState {
    /// The databases.
    pub tsdb: Tsdb,
    /// Memory of requests and queries.
    pub budget: Budget,
    /// For `now()` and deadlines.
    pub clock: Arc<dyn Clock>,
    /// Worker threads of all queries; `None`: everything on the thread of the request.
    pub pool: Option<Arc<rayon::ThreadPool>>,
    /// Limits of each query.
    pub limits: Limits,
    /// A query that takes longer is stopped; `None`: never.
    pub timeout_ns: Option<u64>,
    /// Longest wait of a query for memory before it begins.
    pub memory_wait: Duration,
    /// Rows of an answer that is not chunked (`max-row-limit`); 0: no limit.
    pub rows_max: u64,
    /// Longest request body, in bytes.
    pub body_bytes_max: usize,
    /// What is counted.
    pub metrics: Arc<QueryMetrics>,
}

/// Time between two looks at whether there is memory.
const MEMORY_LOOK: Duration = Duration::from_millis(20);

/// A query begins when this part of the limit is free below what queries may fill: the small ones
/// then run to their end.
const ROOM_PART: u64 = 32;

impl QueryState {
    /// Waits for memory to run a query in, for a bounded time: what others took may be free again
    /// in a moment, and who asks for little should not be refused meanwhile.
    async fn wait_for_room(&self) {
        let enough = self.budget.limit_bytes() / ROOM_PART;
        let filled = self.budget.ceiling_bytes(Share::Queries).saturating_sub(enough);
        let begin_ns = self.clock.monotonic_ns();
        while self.budget.total_bytes() > filled
            && u128::from(self.clock.monotonic_ns() - begin_ns) < self.memory_wait.as_nanos()
        {
            tokio::time::sleep(MEMORY_LOOK).await;
        }
    }

    /// What a query that begins now may use.
    pub fn context(&self, cancel: Cancel) -> Context {
        let begin_ns = self.clock.monotonic_ns();
        Context {
            tsdb: self.tsdb.clone(),
            pool: self.pool.clone(),
            budget: self.budget.clone(),
            clock: self.clock.clone(),
            deadline_ns: self.timeout_ns.map(|timeout_ns| begin_ns.saturating_add(timeout_ns)),
            cancel,
            limits: self.limits,
        }
    }
}

/// The routes: `GET|POST /query`, `GET /api/v1/range`, `/api/v1/export`, `/api/v1/export/days`,
/// `GET|POST|DELETE /api/v1/rollups`, `POST /api/v1/delete`, `GET /api/v1/deletes`,
/// `POST /api/v2/delete`, `GET /api/v1/retention/plan`.
pub fn routes(state: QueryState) -> Router {
    Router::new()
        .route("/query", get(query).post(query))
        .route("/api/v1/range", get(files::range))
        .route("/api/v1/rollups", get(rollups::list).post(rollups::create).delete(rollups::remove))
        .route("/api/v1/delete", post(deletes::delete))
        .route("/api/v1/deletes", get(deletes::list))
        .route("/api/v2/delete", post(deletes::delete_v2))
        .route("/api/v1/retention/plan", get(retention::plan))
        .route("/api/v1/export", get(files::export))
        .route("/api/v1/export/days", get(files::days))
        .with_state(Arc::new(state))
}

async fn query(State(state): State<Arc<QueryState>>, request: Request) -> Response {
    match answer(state, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn answer(state: Arc<QueryState>, request: Request) -> Result<Response, ErrorAnswer> {
    let request = request::read(request, &state).await?;
    let statements = influxql::parse(&request.text, &request.params)
        .map_err(|error| ErrorAnswer::bad_request(crate::Error::Parse(error).to_string()))?;
    state.wait_for_room().await;
    let cancel = Cancel::default();
    let (sender, mut pieces) = mpsc::channel(2);
    let output = Output::new(sender, request.pretty, request.gzip);
    let mut response = Response::new(Body::empty());
    head(&request, &mut response);
    let run_state = state.clone();
    let run_cancel = cancel.clone();
    let detached = request.detached;
    let work = move || run::run(&run_state, &request, &statements, output, run_cancel);
    if detached {
        tokio::task::spawn_blocking(work);
        tokio::spawn(async move { while pieces.recv().await.is_some_and(|piece| !piece.last) {} });
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let guard = CancelOnDrop(cancel);
    tokio::task::spawn_blocking(work);
    *response.body_mut() = match pieces.recv().await {
        Some(Piece { bytes, last: true }) => Body::from(bytes),
        Some(Piece { bytes, last: false }) => Body::new(Pieces::new(bytes, pieces, guard)),
        None => return Err(ErrorAnswer::internal()),
    };
    Ok(response)
}

fn head(request: &QueryRequest, response: &mut Response) {
    let headers = response.headers_mut();
    let content_type = if request.csv { "text/csv" } else { "application/json" };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if request.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}
