//! The write side of HTTP: `/write`, `/api/v2/write`, `/api/v3/write_lp`.
//!
//! Steps, the same for the three: parameters; the body within its limits ([`crate::body`]); on a
//! blocking thread, because the commit waits for the disk: decompress, parse, store (`write`);
//! then the outcome in the words of the API (`v1`, `v2`, `v3`), as a whole answer
//! ([`error`]). The process adds the headers that every answer has.

pub mod error;

mod params;
mod v1;
mod v2;
mod v3;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use firndb_engine::budget::Budget;
use firndb_engine::clock::Clock;
use firndb_tsdb::Tsdb;

use crate::body::Limits;
use crate::metrics::IngestMetrics;

/// What the handlers need.
#[derive(Debug, Clone)]
pub struct IngestState {
    /// Where points go.
    pub tsdb: Tsdb,
    /// Memory of request bodies.
    pub budget: Budget,
    /// For points without a timestamp, and durations.
    pub clock: Arc<dyn Clock>,
    /// Largest bodies taken.
    pub limits: Limits,
    /// Whether a write to an unknown database creates it.
    pub auto_create: bool,
    /// Whether `/api/v2/write` stores the good lines of a body that has bad ones. InfluxDB 2
    /// stores none.
    pub v2_partial_writes: bool,
    /// Counters.
    pub metrics: Arc<IngestMetrics>,
}

/// The routes, all `POST`.
pub fn routes(state: IngestState) -> Router {
    Router::new()
        .route("/write", post(v1::write))
        .route("/api/v2/write", post(v2::write))
        .route("/api/v3/write_lp", post(v3::write))
        .with_state(Arc::new(state))
}
