//! `POST /api/v1/flush` and `/api/v1/compact`: the whole store, and the answer when it is done.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use firndb::engine;
use firndb::engine::store::CompactOptions;
use firndb::ingest::http::error::ErrorAnswer;
use firndb::tsdb::{Error, Tsdb};

/// The routes.
pub fn routes(tsdb: Tsdb) -> Router {
    Router::new()
        .route("/api/v1/flush", post(flush))
        .route("/api/v1/compact", post(compact))
        .with_state(tsdb)
}

async fn flush(State(tsdb): State<Tsdb>) -> Response {
    run(move || tsdb.store().flush(None)).await
}

/// Every keyspace in its final form: one run each, partitions in the cold class.
async fn compact(State(tsdb): State<Tsdb>) -> Response {
    let options = CompactOptions { is_final: true };
    run(move || tsdb.store().compact(None, options, &|| false)).await
}

async fn run(work: impl FnOnce() -> engine::Result<()> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => ErrorAnswer::from(&Error::Engine(error)).v1(),
        Err(_) => ErrorAnswer::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error").v1(),
    }
}
