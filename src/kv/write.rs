//! Writes: one batch, under conditions or without.
//!
//! With conditions it is a transaction: the values that they speak of are read, and the commit is
//! refused where another writer came in between; then they are asked again of what is there now. So
//! of two writers with the same condition one wins, and the other learns it.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use firndb::engine;
use firndb::engine::batch::WriteBatch;
use firndb::engine::key::Seq;
use firndb::engine::keyspace::Keyspace;
use firndb::engine::options::KeyspaceOptions;
use firndb::engine::store::{Store, WriteOptions};
use firndb::ingest::http::error::ErrorAnswer;

use super::condition::{Condition, Now, failed_condition, tag_header, version_at};
use super::{Answer, failed};

/// Times that a transaction is begun before the client is asked to come again.
const ATTEMPTS: usize = 64;

/// What becomes of one key.
#[derive(Debug)]
pub(super) struct Change {
    pub key: Vec<u8>,
    /// The new value; `None`: none.
    pub value: Option<Vec<u8>>,
    /// When the value goes by itself, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
    pub condition: Condition,
}

/// Does all of `changes`, or nothing.
pub(super) fn write(store: &Store, name: &str, changes: &[Change]) -> Answer {
    let is_conditional = changes.iter().any(|change| !change.condition.is_none());
    let keyspace = match store.keyspace(name) {
        Some(keyspace) => keyspace,
        None => {
            check(changes, &mut |_| Ok(None))?; // of what is not there, nothing is there
            if changes.iter().all(|change| change.value.is_none()) {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
            store.create_keyspace(name, KeyspaceOptions::default()).map_err(failed)?
        }
    };
    let seq = match is_conditional {
        true => under_conditions(store, &keyspace, changes)?,
        false => at_once(store, &keyspace, changes).map_err(failed)?,
    };
    Ok((StatusCode::NO_CONTENT, [tag_header(seq)]).into_response())
}

/// Whether every condition holds of what `now` tells about its key.
fn check(
    changes: &[Change],
    now: &mut dyn FnMut(&[u8]) -> Result<Now, ErrorAnswer>,
) -> Result<(), ErrorAnswer> {
    for (index, change) in changes.iter().enumerate() {
        if !change.condition.is_none() && !change.condition.holds(now(&change.key)?) {
            let what = match changes.len() {
                1 => "the condition does not hold".to_owned(),
                _ => format!("operation {index}: the condition does not hold"),
            };
            return Err(failed_condition(what));
        }
    }
    Ok(())
}

fn at_once(store: &Store, keyspace: &Keyspace, changes: &[Change]) -> engine::Result<Seq> {
    let mut batch = WriteBatch::new();
    for Change { key, value, expires_at_ms, .. } in changes {
        match (value, expires_at_ms) {
            (Some(value), Some(moment)) => batch.put_with_ttl(keyspace.id, key, value, *moment),
            (Some(value), None) => batch.put(keyspace.id, key, value),
            (None, _) => batch.delete(keyspace.id, key),
        }
    }
    store.write(&batch, WriteOptions::default()).map(|commit| commit.seq())
}

fn under_conditions(
    store: &Store,
    keyspace: &Keyspace,
    changes: &[Change],
) -> Result<Seq, ErrorAnswer> {
    for _ in 0..ATTEMPTS {
        let mut transaction = store.transaction().map_err(failed)?;
        check(changes, &mut |key| {
            // The read is what the commit is compared with.
            transaction.get_for_update(keyspace.id, key).map_err(failed)?;
            let now = version_at(store, keyspace.id, key, Some(transaction.snapshot()));
            Ok(now.map_err(failed)?.map(|version| version.seq))
        })?;
        for Change { key, value, expires_at_ms, .. } in changes {
            let done = match (value, expires_at_ms) {
                (Some(value), Some(moment)) => {
                    transaction.put_with_ttl(keyspace.id, key, value, *moment)
                }
                (Some(value), None) => transaction.put(keyspace.id, key, value),
                (None, _) => transaction.delete(keyspace.id, key),
            };
            done.map_err(failed)?;
        }
        match transaction.commit(WriteOptions::default()) {
            Ok(commit) => return Ok(commit.seq()),
            Err(engine::Error::Conflict { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let mut busy = ErrorAnswer::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "others write the same keys all the time; come again",
    );
    busy.retry_after_s = Some(1);
    Err(busy)
}
