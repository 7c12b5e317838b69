//! `POST /api/v2/write` of InfluxDB 2.x: a bucket is a database, or a database and a policy.
//!
//! Telegraf halves a batch at 413 and sends it again; 400 and 422 drop it.

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
use crate::body::BodyError;
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
    let mut request = match request(&params, wants_lines) {
        Ok(request) => request,
        Err(message) => return ErrorAnswer::new(StatusCode::BAD_REQUEST, message).v2(),
    };
    request.is_all_or_nothing = !state.v2_partial_writes;
    match write::run(state, headers, body, request).await {
        Ok(report) => match refusal(&report) {
            None => StatusCode::NO_CONTENT.into_response(),
            Some(answer) if wants_lines => answer.with_lines(&report).v2(),
            Some(answer) => answer.v2(),
        },
        Err(Failure::Store(Error::DatabaseNotFound { name })) => {
            ErrorAnswer::new(StatusCode::NOT_FOUND, format!("bucket \"{name}\" not found")).v2()
        }
        Err(failure) => {
            let is_too_large = matches!(failure, Failure::Body(BodyError::TooLarge));
            let mut answer = ErrorAnswer::from(failure);
            if is_too_large {
                answer.message = "unable to read data: points batch is too large".to_owned();
            }
            answer.v2()
        }
    }
}

fn request(params: &Params, wants_lines: bool) -> Result<WriteRequest, &'static str> {
    let bucket = params.get("bucket").unwrap_or_default();
    let (database, policy) = bucket.split_once('/').unwrap_or((bucket, ""));
    if database.is_empty() {
        return Err("bucket not found");
    }
    let precision = params.get("precision").map_or(Some(Precision::Nanosecond), Precision::from_v2);
    Ok(WriteRequest {
        protocol: Protocol::V2,
        database: database.to_owned(),
        policy: (!policy.is_empty()).then(|| policy.to_owned()),
        precision: precision
            .ok_or("invalid precision; valid precision units are ns, us, ms, and s")?,
        is_all_or_nothing: true,
        wants_lines,
    })
}

fn refusal(report: &Report) -> Option<ErrorAnswer> {
    if let Some(reason) = &report.refusal {
        let message = format!(
            "failure writing points to database: partial write: {reason} dropped={}",
            report.refused_count
        );
        return Some(ErrorAnswer::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    (report.unparsed_count > 0)
        .then(|| ErrorAnswer::new(StatusCode::BAD_REQUEST, report.unparsed_text()))
}
