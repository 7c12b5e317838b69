//! The read side of HTTP: `/query` of InfluxDB 1.x.
//!
//! Answers that are not 200 carry a [`Failure`] among their extensions: the process dresses the
//! text in the JSON of the path's family.

use std::sync::Arc;

use axum::Router;
use firndb_engine::budget::Budget;
use firndb_engine::clock::Clock;
use firndb_tsdb::Tsdb;

use crate::exec::Limits;

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
    /// Rows of an answer that is not chunked (`max-row-limit`); 0: no limit.
    pub rows_max: u64,
    /// Longest request body, in bytes.
    pub body_bytes_max: usize,
}

/// The text of an answer that is not 200, for whoever dresses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub String);

/// The routes: `GET|POST /query`.
pub fn routes(state: QueryState) -> Router {
    let _ = state;
    todo!("http::routes")
}
