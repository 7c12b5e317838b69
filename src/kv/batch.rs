//! `POST /kv/{keyspace}/_batch`: operations that are done together or not at all.
//!
//! ```text
//! {"operations": [{"op":"put","key":K,"value":V,"ttl":"60s","if_none_match":"*"},
//!                 {"op":"delete","key":K,"if_match":"\"12\""}, ..]}
//! ```
//!
//! The conditions speak of what is there before the batch; where one does not hold nothing is done.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use firndb::engine::clock::Clock;
use firndb::ingest::http::error::ErrorAnswer;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::condition::Condition;
use super::write::{Change, write};
use super::{BATCH, Shared, bad, blocking, entry_of, expiry_of, text_of};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "op")]
enum Operation {
    Put {
        key: String,
        value: String,
        ttl: Option<String>,
        if_match: Option<String>,
        if_none_match: Option<String>,
    },
    Delete {
        key: String,
        if_match: Option<String>,
        if_none_match: Option<String>,
    },
}

impl Operation {
    fn change(&self, clock: &dyn Clock) -> Result<Change, ErrorAnswer> {
        let (key, value, ttl, if_match, if_none_match) = match self {
            Operation::Put { key, value, ttl, if_match, if_none_match } => {
                let value = BASE64.decode(value);
                let value = value.map_err(|error| bad(format!("value is not base64: {error}")))?;
                (key, Some(value), ttl.as_deref(), if_match, if_none_match)
            }
            Operation::Delete { key, if_match, if_none_match } => {
                (key, None, None, if_match, if_none_match)
            }
        };
        let condition = Condition::of_operation(if_match.as_deref(), if_none_match.as_deref())?;
        let expires_at_ms = ttl.map(|ttl| expiry_of(ttl, clock)).transpose()?;
        Ok(Change { key: percent_decode_str(key).collect(), value, expires_at_ms, condition })
    }
}

/// Does a batch.
pub(super) async fn batch(
    State(state): Shared,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let text = match text_of(&state, &headers, body).await {
        Ok(text) => text,
        Err(error) => return error.v1(),
    };
    blocking(state, BATCH, move |state| {
        let (name, _) = entry_of(&uri)?;
        let batch: Batch =
            serde_json::from_slice(&text.bytes).map_err(|error| bad(error.to_string()))?;
        let mut changes = Vec::with_capacity(batch.operations.len());
        for (index, operation) in batch.operations.iter().enumerate() {
            let change = operation.change(&*state.clock).map_err(|error| ErrorAnswer {
                message: format!("operation {index}: {}", error.message),
                ..error
            });
            changes.push(change?);
        }
        write(&state.store, &name, &changes)
    })
    .await
}
