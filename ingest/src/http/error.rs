//! Error answers of the write APIs, whole: status, headers and body of each family.
//!
//! ```text
//! v1  {"error":"TEXT"}            X-Influxdb-Error: TEXT
//! v2  {"code":"C","message":"TEXT"}   X-Platform-Error-Code: C
//! v3  {"error":"TEXT"[,"data":..]}
//! ```
//!
//! Clients decide by the status: 5xx and 413 keep the data and come again, any other 4xx drops
//! it. So overload, a full disk and a store that stopped writing are 503 with `Retry-After`,
//! never a 4xx.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use firndb_engine as engine;
use firndb_tsdb::Error;
use serde_json::{Map, Value, json};

use super::write::{BadLine, Failure, Report};
use crate::body::BodyError;

/// Bytes of the message that the header of v1 repeats, as InfluxDB does.
const HEADER_BYTES_MAX: usize = 1024;
/// When to come again after a full disk or a stopped store: a person has to act.
const RETRY_LATER_S: u64 = 30;

const X_INFLUXDB_ERROR: HeaderName = HeaderName::from_static("x-influxdb-error");
const X_PLATFORM_ERROR_CODE: HeaderName = HeaderName::from_static("x-platform-error-code");

/// An error answer before it has the form of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorAnswer {
    /// Status.
    pub status: StatusCode,
    /// What went wrong, for people and for clients that look for words.
    pub message: String,
    /// Seconds until the client should come again.
    pub retry_after_s: Option<u64>,
    /// Further keys of the body.
    pub extra: Map<String, Value>,
}

impl ErrorAnswer {
    /// An answer of `status` that says `message`.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        ErrorAnswer { status, message: message.into(), retry_after_s: None, extra: Map::new() }
    }

    /// As `/write` and `/query` answer.
    pub fn v1(self) -> Response {
        let header = header_text(&self.message);
        let mut response = self.body("error", Map::new(), "application/json");
        response.headers_mut().insert(X_INFLUXDB_ERROR, header);
        response
    }

    /// As `/api/v2/*` answers.
    pub fn v2(self) -> Response {
        let code = v2_code(self.status);
        let fields = Map::from_iter([("code".to_owned(), json!(code))]);
        let mut response = self.body("message", fields, "application/json; charset=utf-8");
        response.headers_mut().insert(X_PLATFORM_ERROR_CODE, HeaderValue::from_static(code));
        response
    }

    /// As `/api/v3/*` answers.
    pub fn v3(self) -> Response {
        self.body("error", Map::new(), "application/json")
    }

    fn body(
        self,
        message_key: &str,
        mut fields: Map<String, Value>,
        content_type: &'static str,
    ) -> Response {
        fields.insert(message_key.to_owned(), Value::String(self.message));
        fields.extend(self.extra);
        let mut body = Value::Object(fields).to_string();
        body.push('\n');
        let mut response =
            (self.status, [(header::CONTENT_TYPE, content_type)], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// Adds what a client that asked for it learns of every bad line.
    pub(super) fn with_lines(mut self, report: &Report) -> Self {
        let lines: Vec<Value> = report.lines.iter().map(line_json).collect();
        self.extra.insert("lines".to_owned(), Value::Array(lines));
        self.extra.insert("stored".to_owned(), json!(report.stored));
        self.extra
            .insert("dropped".to_owned(), json!(report.unparsed_count + report.refused_count));
        self
    }
}

fn line_json(line: &BadLine) -> Value {
    json!({"line": line.line, "kind": line.kind.name(), "reason": line.reason, "text": line.text})
}

impl From<Failure> for ErrorAnswer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => ErrorAnswer::from(&error),
            Failure::Body(error) => ErrorAnswer::from(error),
            Failure::Internal => {
                ErrorAnswer::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
            }
        }
    }
}

impl From<BodyError> for ErrorAnswer {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            BodyError::Silent => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken(_) => StatusCode::BAD_REQUEST,
            BodyError::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        };
        let mut answer = ErrorAnswer::new(status, error.to_string());
        answer.retry_after_s = (error == BodyError::Overloaded).then_some(1);
        answer
    }
}

impl From<&Error> for ErrorAnswer {
    fn from(error: &Error) -> Self {
        let mut retry_after_s = None;
        let status = match error {
            Error::Engine(engine::Error::Busy { retry_after_ms, .. }) => {
                retry_after_s = Some(retry_after_ms.div_ceil(1000).max(1));
                StatusCode::SERVICE_UNAVAILABLE
            }
            Error::Engine(engine::Error::ReadOnly { .. } | engine::Error::Closed) => {
                retry_after_s = Some(RETRY_LATER_S);
                StatusCode::SERVICE_UNAVAILABLE
            }
            Error::Engine(cause) if cause.is_no_space() => {
                retry_after_s = Some(RETRY_LATER_S);
                StatusCode::SERVICE_UNAVAILABLE
            }
            // More than one record of the log holds: half of it will fit.
            Error::Engine(engine::Error::Limit { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::DatabaseNotFound { .. } | Error::PolicyNotFound { .. } => StatusCode::NOT_FOUND,
            Error::Limit { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Invalid { .. } => StatusCode::BAD_REQUEST,
            Error::Unsupported { .. } => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        ErrorAnswer { retry_after_s, ..ErrorAnswer::new(status, error.to_string()) }
    }
}

/// The code that InfluxDB 2 gives with a status.
fn v2_code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 408 | 415 => "invalid",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not found",
        405 => "method not allowed",
        413 => "request too large",
        422 => "unprocessable entity",
        429 => "too many requests",
        501 => "not implemented",
        503 => "unavailable",
        _ => "internal error",
    }
}

/// The message as a header can carry it: cut, control characters replaced by spaces.
fn header_text(message: &str) -> HeaderValue {
    let mut end = message.len().min(HEADER_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let text: String =
        message[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    HeaderValue::from_bytes(text.as_bytes()).unwrap_or(HeaderValue::from_static("error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_carry_any_message() {
        let long = "\u{e9}".repeat(2000);
        for (message, expected) in [
            ("a\nb\r\tc\0\u{7f}", "a b  c  ".to_owned()),
            ("\u{85}x", " x".to_owned()),
            (long.as_str(), "\u{e9}".repeat(512)),
        ] {
            assert_eq!(header_text(message).as_bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn what_may_pass_is_503_with_a_time() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let full = engine::Error::io("x.log".as_ref(), "write", full);
        let busy = engine::Error::Busy { reason: "flushes are behind", retry_after_ms: 1500 };
        let stopped = engine::Error::ReadOnly { cause: std::sync::Arc::new(full.clone()) };
        let cases = [
            (busy, 503, Some(2)),
            (full, 503, Some(30)),
            (stopped, 503, Some(30)),
            (engine::Error::Closed, 503, Some(30)),
            (engine::Error::Limit { what: "batch, bytes", limit: 1, got: 2 }, 413, None),
            (engine::Error::corrupt("x".as_ref(), 1, "crc"), 500, None),
        ];
        for (error, status, retry_after_s) in cases {
            let answer = ErrorAnswer::from(&Error::Engine(error));
            assert_eq!((answer.status.as_u16(), answer.retry_after_s), (status, retry_after_s));
            assert_eq!(answer.v1().headers().contains_key("retry-after"), status == 503);
        }
    }
}
