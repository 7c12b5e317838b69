//! Answers to requests that were refused as a whole: `{"error":"TEXT"}` and `X-Influxdb-Error`.

use std::error::Error;
use std::io;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// Bytes of the text that the header repeats, as InfluxDB does.
const HEADER_BYTES_MAX: usize = 1024;
const X_INFLUXDB_ERROR: HeaderName = HeaderName::from_static("x-influxdb-error");

/// A status and why.
#[derive(Debug, PartialEq, Eq)]
pub struct ErrorAnswer {
    status: StatusCode,
    text: String,
}

impl ErrorAnswer {
    /// The request is wrong.
    pub fn bad_request(text: impl Into<String>) -> Self {
        ErrorAnswer { status: StatusCode::BAD_REQUEST, text: text.into() }
    }

    /// This status and text.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        ErrorAnswer { status, text: text.into() }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The body is longer than is taken.
    pub fn too_large() -> Self {
        let text = "Request Entity Too Large".into();
        ErrorAnswer { status: StatusCode::PAYLOAD_TOO_LARGE, text }
    }

    /// The body could not be read: it is too long, or its sender fell silent. Whoever gives such a
    /// sender up says so by the kind of the error.
    pub fn of_body(error: &axum::Error) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = cause {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if kind == Some(io::ErrorKind::TimedOut) {
                let text = "timed out waiting for the rest of the body";
                return ErrorAnswer::new(StatusCode::REQUEST_TIMEOUT, text);
            }
            cause = error.source();
        }
        ErrorAnswer::too_large()
    }

    /// There is no memory for the request now.
    pub fn busy() -> Self {
        let text = "memory limit reached, try again later".into();
        ErrorAnswer { status: StatusCode::SERVICE_UNAVAILABLE, text }
    }

    /// A fault of ours.
    pub fn internal() -> Self {
        let text = "internal error".into();
        ErrorAnswer { status: StatusCode::INTERNAL_SERVER_ERROR, text }
    }
}

impl IntoResponse for ErrorAnswer {
    fn into_response(self) -> Response {
        let mut body = b"{\"error\":".to_vec();
        crate::format::json::string(&self.text, &mut body);
        body.extend_from_slice(b"}\n");
        let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let mut response = (self.status, json, body).into_response();
        response.headers_mut().insert(X_INFLUXDB_ERROR, header_text(&self.text));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The beginning of a text as a header, which takes no control characters.
pub fn header_text(text: &str) -> HeaderValue {
    let printable = |byte: u8| if byte < b' ' || byte == 0x7f { b' ' } else { byte };
    let bytes: Vec<u8> = text.bytes().take(HEADER_BYTES_MAX).map(printable).collect();
    HeaderValue::from_bytes(&bytes).unwrap_or(HeaderValue::from_static(""))
}
