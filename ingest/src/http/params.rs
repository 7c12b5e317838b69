//! Parameters of a request's URL.

use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};

/// Decoded pairs, in order.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn of(uri: &Uri) -> Self {
        // Undecodable escapes are kept as they are: there is nothing to refuse.
        Params(Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default())
    }

    /// The first value of `name`; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        (!value.is_empty()).then_some(value)
    }

    /// A truth value in the words of Go, which clients use.
    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        match self.get(name) {
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
            _ => default,
        }
    }

    /// Whether the client wants to hear of every bad line.
    pub(super) fn wants_lines(&self, headers: &HeaderMap) -> bool {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        self.get("errors") == Some("full")
            || accept.is_some_and(|accept| accept.contains("application/problem+json"))
    }
}
