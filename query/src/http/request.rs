//! The parameters of a query: from the URL, from a form, from the parts of a multipart body.
//!
//! A parameter of the body wins over one of the URL, and the first of several over the others.

use std::io::Read;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use firndb_engine::budget::Share;

use super::error::ErrorAnswer;
use super::{QueryState, multipart};
use crate::format::{Epoch, TimeFormat};
use crate::influxql::{Param, Params};

/// Rows of a chunk when the request does not say.
const CHUNK_ROWS: usize = 10_000;

/// What a request asks for.
#[derive(Debug)]
pub struct QueryRequest {
    /// The statements.
    pub text: String,
    /// Values of `$name`.
    pub params: Params,
    /// Database of names that have none.
    pub database: Option<String>,
    /// Retention policy of names that have none.
    pub policy: Option<String>,
    /// How times are written.
    pub time: TimeFormat,
    /// Indented JSON.
    pub pretty: bool,
    /// Rows of each JSON document; `None`: all is one document.
    pub chunk_rows: Option<usize>,
    /// CSV instead of JSON.
    pub csv: bool,
    /// Compressed.
    pub gzip: bool,
    /// By a method that should change nothing.
    pub reads_only: bool,
    /// Run, but do not answer.
    pub detached: bool,
}

/// Names and values, those that win first.
#[derive(Debug, Default)]
pub struct Pairs(pub Vec<(String, String)>);

impl Pairs {
    /// The value of `name`, unless it is empty.
    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1" | "t" | "T" | "TRUE" | "True"))
    }

    /// Adds what `text` says in the way of URLs. Text that is not UTF-8 is mended.
    pub fn parse(&mut self, text: &str) {
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.0.push((decode(name), decode(value)));
        }
    }
}

/// `%41` and `+` decoded; a `%` that is not followed by two digits stands for itself.
fn decode(text: &str) -> String {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return text.to_string();
    }
    let hex = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair =
            (bytes.get(at + 1).copied().and_then(hex), bytes.get(at + 2).copied().and_then(hex));
        match (bytes[at], pair) {
            (b'%', (Some(high), Some(low))) => {
                decoded.push(high << 4 | low);
                at += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8(decoded).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into())
}

/// Reads a request.
pub async fn read(request: Request, state: &QueryState) -> Result<QueryRequest, ErrorAnswer> {
    let (parts, body) = request.into_parts();
    let mut pairs = Pairs::default();
    if parts.method == Method::POST {
        let kind = header(&parts.headers, CONTENT_TYPE);
        let form = kind.starts_with("application/x-www-form-urlencoded");
        let boundary = multipart::boundary(kind);
        if form || boundary.is_some() {
            let bytes_max = state.body_bytes_max;
            let bytes = to_bytes(body, bytes_max).await;
            let bytes = bytes.map_err(|error| ErrorAnswer::of_body(&error))?;
            let reservation = state.budget.try_reserve(Share::Requests, bytes.len() as u64);
            let _reservation = reservation.ok_or_else(ErrorAnswer::busy)?;
            let bytes = decompress(bytes, &parts.headers, bytes_max)?;
            match boundary {
                Some(boundary) => multipart::parse(&bytes, &boundary, &mut pairs),
                None => pairs.parse(&String::from_utf8_lossy(&bytes)),
            }
        }
    }
    pairs.parse(parts.uri.query().unwrap_or_default());
    interpret(&pairs, &parts)
}

fn interpret(pairs: &Pairs, parts: &Parts) -> Result<QueryRequest, ErrorAnswer> {
    let text = pairs.get("q").map(|q| q.trim().to_string());
    let text = text.ok_or_else(|| ErrorAnswer::bad_request("missing required parameter \"q\""))?;
    let time = match (pairs.get("time_format"), pairs.get("epoch")) {
        (Some("rfc3339"), _) => TimeFormat::Rfc3339(None),
        (None | Some("epoch"), Some(unit)) => TimeFormat::Epoch(Epoch::named(unit)),
        (None | Some("epoch"), None) => TimeFormat::Rfc3339(None),
        (Some(_), _) => {
            let text = "Time format must be one of the following: rfc3339,epoch";
            return Err(ErrorAnswer::bad_request(text));
        }
    };
    let accept = header(&parts.headers, ACCEPT);
    let csv = accept.split(',').any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/csv") || kind.eq_ignore_ascii_case("text/csv")
    });
    // CSV needs no cuts: its rows stand alone.
    let chunk_rows = (pairs.is_true("chunked") && !csv).then(|| {
        let asked = pairs.get("chunk_size").and_then(|size| size.parse().ok());
        asked.filter(|rows| *rows > 0).unwrap_or(CHUNK_ROWS)
    });
    Ok(QueryRequest {
        text,
        params: params(pairs.get("params"))?,
        database: pairs.get("db").map(str::to_string),
        policy: pairs.get("rp").map(str::to_string),
        // CSV has numbers unless text is asked for.
        time: match time {
            TimeFormat::Rfc3339(_) if csv && pairs.get("time_format").is_none() => {
                TimeFormat::Epoch(Epoch::NANOSECONDS)
            }
            time => time,
        },
        pretty: pairs.is_true("pretty") && !csv,
        chunk_rows,
        csv,
        gzip: accepts_gzip(header(&parts.headers, ACCEPT_ENCODING)),
        reads_only: parts.method != Method::POST,
        detached: pairs.is_true("async"),
    })
}

/// The text of a header, or nothing.
fn header(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn accepts_gzip(accept: &str) -> bool {
    accept.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
        matches!(name.trim(), "gzip" | "x-gzip" | "*") && refused != Some(0.0)
    })
}

fn decompress(bytes: Bytes, headers: &HeaderMap, bytes_max: usize) -> Result<Bytes, ErrorAnswer> {
    let coding = header(headers, CONTENT_ENCODING);
    if bytes.is_empty() || !matches!(coding.trim(), "gzip" | "x-gzip") {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    let limited = flate2::read::MultiGzDecoder::new(bytes.as_ref()).take(bytes_max as u64 + 1);
    let mut limited = limited;
    limited.read_to_end(&mut plain).map_err(|error| {
        ErrorAnswer::bad_request(format!("unable to decompress the request body: {error}"))
    })?;
    if plain.len() > bytes_max { Err(ErrorAnswer::too_large()) } else { Ok(plain.into()) }
}

/// The JSON object of bound parameters.
fn params(text: Option<&str>) -> Result<Params, ErrorAnswer> {
    let Some(text) = text else { return Ok(Params::new()) };
    let refused = |reason: String| {
        ErrorAnswer::bad_request(format!("error parsing query parameters: {reason}"))
    };
    let parsed: Option<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(text).map_err(|error| refused(error.to_string()))?;
    let mut params = Params::new();
    for (name, value) in parsed.unwrap_or_default() {
        match param(&value) {
            Some(param) => params.insert(name, param),
            None => return Err(refused(format!("parameter {name} has no type of InfluxQL"))),
        };
    }
    Ok(params)
}

fn param(value: &serde_json::Value) -> Option<Param> {
    use serde_json::Value;
    match value {
        Value::String(text) => Some(Param::String(text.clone())),
        Value::Bool(value) => Some(Param::Boolean(*value)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Some(Param::Integer(integer)),
            None => number.as_f64().map(Param::Number),
        },
        // One key that names the type.
        Value::Object(typed) if typed.len() == 1 => {
            let (kind, value) = typed.iter().next()?;
            match (kind.as_str(), value) {
                ("regex", Value::String(text)) => Some(Param::Regex(text.clone())),
                ("duration", Value::String(text)) => Some(Param::Duration(text.clone())),
                ("identifier", Value::String(text)) => Some(Param::Identifier(text.clone())),
                ("float" | "number", Value::Number(number)) => number.as_f64().map(Param::Number),
                ("integer" | "string" | "boolean" | "float" | "number", value) => param(value),
                _ => None,
            }
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_cases() {
        let mut pairs = Pairs::default();
        pairs.parse("q=SELECT+%22a%22%2C+b;%20c&db=d&epoch=&bad=%zz%4&lone&q=second&=x");
        assert_eq!(pairs.get("q"), Some("SELECT \"a\", b; c"));
        assert_eq!(pairs.get("db"), Some("d"));
        assert_eq!(pairs.get("epoch"), None);
        assert_eq!(pairs.get("bad"), Some("%zz%4"));
        assert_eq!(pairs.get("lone"), None);
    }

    #[test]
    fn params_cases() {
        let all = r#"{"i":1,"f":1.0,"s":"x","b":true,"r":{"regex":"a.*"},"d":{"duration":"1h"}}"#;
        let params = super::params(Some(all)).unwrap();
        assert_eq!(params["i"], Param::Integer(1));
        assert_eq!(params["f"], Param::Number(1.0));
        assert_eq!(params["r"], Param::Regex("a.*".into()));
        assert_eq!(params["d"], Param::Duration("1h".into()));
        for nothing in [None, Some("null"), Some("{}")] {
            assert!(super::params(nothing).unwrap().is_empty());
        }
        for bad in ["{", "[]", r#"{"a":[]}"#, r#"{"a":{"x":1}}"#] {
            assert!(super::params(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn encodings_cases() {
        for (accept, expected) in
            [("gzip", true), ("deflate, gzip;q=0.5", true), ("gzip;q=0", false), ("", false)]
        {
            assert_eq!(accepts_gzip(accept), expected, "{accept}");
        }
    }
}
