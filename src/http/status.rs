//! `GET /api/v1/status/lsm`, `/api/v1/status/schedule` and `/api/v1/status/events?since=ID`: what
//! the storage looks like, does and did, as `firndb lsm` shows it.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use firndb::engine::clock::Clock;
use firndb::engine::store::Store;
use firndb::ingest::http::error::ErrorAnswer;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::status;

/// What the handlers need.
#[derive(Debug, Clone)]
pub struct StatusState {
    /// The store.
    pub store: Store,
    /// For the age of jobs.
    pub clock: Arc<dyn Clock>,
}

/// The routes.
pub fn routes(state: StatusState) -> Router {
    Router::new()
        .route("/api/v1/status/lsm", get(lsm))
        .route("/api/v1/status/schedule", get(schedule))
        .route("/api/v1/status/events", get(events))
        .with_state(state)
}

async fn lsm(State(state): State<StatusState>) -> Response {
    answer(move || {
        let (metrics, jobs) = (state.store.metrics(), state.store.jobs());
        status::of_store(&metrics, &jobs, state.store.is_paused(), state.clock.monotonic_ns())
    })
    .await
}

async fn schedule(State(state): State<StatusState>) -> Response {
    answer(move || {
        let now_ns = state.clock.monotonic_ns();
        let jobs: Vec<_> =
            state.store.jobs().iter().map(|job| status::of_job(job, now_ns)).collect();
        json!({ "jobs": jobs, "paused": state.store.is_paused() })
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    /// The last event that the caller has seen.
    #[serde(default)]
    since: u64,
}

async fn events(
    State(state): State<StatusState>,
    since: Result<Query<Since>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(Query(Since { since })) = since else {
        return ErrorAnswer::new(StatusCode::BAD_REQUEST, "since is the number of an event").v1();
    };
    answer(move || {
        let events = state.store.events(since);
        let next = events.last().map_or(since, |event| event.id);
        json!({ "next": next, "events": events.iter().map(status::of_event).collect::<Vec<_>>() })
    })
    .await
}

/// The walk over all keyspaces takes locks that jobs hold: not on a thread of the server.
async fn answer(work: impl FnOnce() -> Value + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => Json(value).into_response(),
        Err(_) => ErrorAnswer::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error").v1(),
    }
}
