//! `POST /kv/{keyspace}/_batch`: operations that are done together or not at all.
//!
//! ```text
//! {"operations": [{"op":"put","key":K,"value":V,"if_none_match":"*"},
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
use firndb::ingest::http::error::ErrorAnswer;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::condition::Condition;
use super::write::{Change, write};
use super::{BATCH, Shared, bad, blocking, entry_of, text_of};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "op")]
enum Operation {
    Put { key: String, value: String, if_match: Option<String>, if_none_match: Option<String> },
    Delete { key: String, if_match: Option<String>, if_none_match: Option<String> },
}

impl Operation {
    fn change(&self) -> Result<Change, ErrorAnswer> {
        let (key, value, if_match, if_none_match) = match self {
            Operation::Put { key, value, if_match, if_none_match } => {
                let value = BASE64.decode(value);
                let value = value.map_err(|error| bad(format!("value is not base64: {error}")))?;
                (key, Some(value), if_match, if_none_match)
            }
            Operation::Delete { key, if_match, if_none_match } => {
                (key, None, if_match, if_none_match)
            }
        };
        let condition = Condition::of_operation(if_match.as_deref(), if_none_match.as_deref())?;
        Ok(Change { key: percent_decode_str(key).collect(), value, condition })
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
            let change = operation.change().map_err(|error| ErrorAnswer {
                message: format!("operation {index}: {}", error.message),
                ..error
            });
            changes.push(change?);
        }
        write(&state.store, &name, &changes)
    })
    .await
}
