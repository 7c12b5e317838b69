//! `POST /api/v3/write_lp` of InfluxDB 3.
//!
//! `no_sync` is taken and not followed: an answer here is as durable as the store is set to.
//! `accept_partial=false` keeps everything out when a line does not parse; points that the schema
//! refuses are left out one by one in either case.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::IngestState;
use super::error::ErrorAnswer;
use super::params::Params;
use super::write::{self, BadLine, Report, WriteRequest};
use crate::metrics::{Protocol, Rejection};
use crate::precision::Precision;

pub(super) async fn write(
    State(state): State<Arc<IngestState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let params = Params::of(&uri);
    let request = match request(&params) {
        Ok(request) => request,
        Err(message) => return ErrorAnswer::new(StatusCode::BAD_REQUEST, message).v3(),
    };
    let is_all_or_nothing = request.is_all_or_nothing;
    match write::run(state, headers.clone(), body, request).await {
        Ok(report) => match refusal(&report, is_all_or_nothing) {
            None => StatusCode::NO_CONTENT.into_response(),
            Some(answer) if params.wants_lines(&headers) => answer.with_lines(&report).v3(),
            Some(answer) => answer.v3(),
        },
        Err(failure) => ErrorAnswer::from(failure).v3(),
    }
}

fn request(params: &Params) -> Result<WriteRequest, String> {
    let database = params.get("db").ok_or("missing query parameter: db")?;
    let precision = match params.get("precision") {
        None => Precision::Auto,
        Some(word) => Precision::from_v3(word).ok_or_else(|| {
            format!(
                "invalid precision \"{word}\" (use auto, nanosecond, microsecond, millisecond \
                 or second)"
            )
        })?,
    };
    Ok(WriteRequest {
        protocol: Protocol::V3,
        database: database.to_owned(),
        policy: None,
        precision,
        is_all_or_nothing: !params.flag("accept_partial", true),
        wants_lines: true,
    })
}

fn refusal(report: &Report, is_all_or_nothing: bool) -> Option<ErrorAnswer> {
    let first = report.lines.first()?;
    let stands_alone = is_all_or_nothing && report.unparsed_count > 0;
    let (message, data) = if stands_alone {
        ("line protocol parsing error", line_json(first))
    } else {
        let lines = report.lines.iter().map(line_json).collect();
        ("partial write of line protocol occurred", Value::Array(lines))
    };
    let is_limit = |line: &BadLine| line.kind == Rejection::Cardinality;
    let status = if report.lines.iter().any(is_limit) {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::BAD_REQUEST
    };
    let mut answer = ErrorAnswer::new(status, message);
    answer.extra.insert("data".to_owned(), data);
    Some(answer)
}

fn line_json(line: &BadLine) -> Value {
    json!({
        "original_line": line.text,
        "line_number": line.line,
        "error_message": line.reason,
    })
}
