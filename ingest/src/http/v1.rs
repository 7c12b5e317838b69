//! `POST /write` of InfluxDB 1.x.
//!
//! Telegraf drops a batch at any 4xx and looks for words in the text: they are its interface.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use firndb_tsdb::Error;

use super::IngestState;
use super::error::ErrorAnswer;
use super::params::Params;
use super::write::{self, Failure, Report, WriteRequest};
use crate::metrics::Protocol;
use crate::precision::Precision;

pub(super) async fn write(
    State(state): State<Arc<IngestState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let params = Params::of(&uri);
    let wants_lines = params.wants_lines(&headers);
    let request = match request(&params, wants_lines) {
        Ok(request) => request,
        Err(message) => return ErrorAnswer::new(StatusCode::BAD_REQUEST, message).v1(),
    };
    match write::run(state, headers, body, request).await {
        Ok(report) => match refusal(&report) {
            None => StatusCode::NO_CONTENT.into_response(),
            Some(answer) if wants_lines => answer.with_lines(&report).v1(),
            Some(answer) => answer.v1(),
        },
        Err(Failure::Store(Error::DatabaseNotFound { name })) => {
            let message = format!("database not found: \"{name}\"");
            ErrorAnswer::new(StatusCode::NOT_FOUND, message).v1()
        }
        Err(failure) => ErrorAnswer::from(failure).v1(),
    }
}

fn request(params: &Params, wants_lines: bool) -> Result<WriteRequest, String> {
    let database = params.get("db").ok_or("database is required")?;
    let precision = match params.get("precision") {
        None => Precision::Nanosecond,
        Some(word) => Precision::from_v1(word)
            .ok_or_else(|| format!("invalid precision \"{word}\" (use n, u, ms, s, m or h)"))?,
    };
    // Accepted for the sake of old clients; there is one copy of the data.
    if !matches!(params.get("consistency"), None | Some("any" | "one" | "quorum" | "all")) {
        return Err("invalid consistency level".to_owned());
    }
    Ok(WriteRequest {
        protocol: Protocol::V1,
        database: database.to_owned(),
        policy: params.get("rp").map(str::to_owned),
        precision,
        is_all_or_nothing: false,
        wants_lines,
    })
}

/// The write stage's reason wins; lines that do not parse do not count as dropped.
fn refusal(report: &Report) -> Option<ErrorAnswer> {
    let message = if let Some(reason) = &report.refusal {
        format!("partial write: {reason} dropped={}", report.refused_count)
    } else if report.unparsed_count == 0 {
        return None;
    } else if report.has_points {
        format!("partial write: {} dropped=0", report.unparsed_text())
    } else {
        report.unparsed_text()
    };
    Some(ErrorAnswer::new(StatusCode::BAD_REQUEST, message))
}
