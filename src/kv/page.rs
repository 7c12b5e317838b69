//! `GET /kv/{keyspace}`: entries in key order, in pages.
//!
//! A page ends when it has `limit` entries or about 8 MiB; then `cursor` names the next key. An
//! entry has its tag where it has one, so that it can be written back under a condition.

use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use firndb::engine::scan::bounds::Bounds;
use firndb::engine::store::ScanOptions;
use firndb::ingest::http::error::ErrorAnswer;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde_json::json;

use super::condition::tag;
use super::{SCAN, Shared, bad, blocking, entry_of, failed, not_found};

/// Entries of a page unless asked otherwise, and at most.
const PAGE_ENTRIES: usize = 100;
const PAGE_ENTRIES_MAX: usize = 10_000;
/// Bytes of keys and values after which a page ends.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// What a page is to hold.
#[derive(Debug, Default, PartialEq)]
struct Page {
    bounds: Bounds,
    limit: usize,
}

impl Page {
    fn of(query: &str) -> Result<Page, ErrorAnswer> {
        let mut prefix = Vec::new();
        let (mut start, mut end, mut cursor) = (None, None, None);
        let mut limit = PAGE_ENTRIES;
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let bytes: Vec<u8> = percent_decode_str(&value.replace('+', "%20")).collect();
            match name {
                "prefix" => prefix = bytes,
                "start" if !bytes.is_empty() => start = Some(bytes),
                "end" if !bytes.is_empty() => end = Some(bytes),
                "cursor" if !bytes.is_empty() => {
                    let key =
                        BASE64.decode(&bytes).map_err(|_| bad("cursor is not one of ours"))?;
                    cursor = Some(key);
                }
                "limit" => {
                    limit = value.parse().map_err(|_| bad("limit is a whole number"))?;
                }
                "start" | "end" | "cursor" => {}
                other => return Err(bad(format!("unknown parameter {other:?}"))),
            }
        }
        let mut bounds = Bounds::prefix(&prefix);
        bounds.lower = [bounds.lower, start, cursor].into_iter().flatten().max();
        bounds.upper = [bounds.upper, end].into_iter().flatten().min();
        Ok(Page { bounds, limit: limit.clamp(1, PAGE_ENTRIES_MAX) })
    }
}

/// Answers with a page.
pub(super) async fn list(State(state): Shared, uri: Uri) -> Response {
    blocking(state, SCAN, move |state| {
        let (name, _) = entry_of(&uri)?;
        let page = Page::of(uri.query().unwrap_or_default())?;
        let keyspace = state.store.keyspace(&name).ok_or_else(|| not_found("keyspace"))?;
        let options = ScanOptions { bounds: page.bounds, ..ScanOptions::default() };
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut cursor = None;
        let mut scan = state.store.scan(keyspace.id, options).map_err(failed)?;
        while scan.advance().map_err(failed)? {
            if entries.len() == page.limit || bytes > PAGE_BYTES_MAX {
                cursor = Some(BASE64.encode(scan.key()));
                break;
            }
            bytes += scan.key().len() + scan.value().len();
            entries.push(json!({
                "key": percent_encode(scan.key(), NON_ALPHANUMERIC).to_string(),
                "value": BASE64.encode(scan.value()),
                "etag": scan.seq().map(tag),
            }));
        }
        Ok(axum::Json(json!({"entries": entries, "cursor": cursor})).into_response())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_take_the_narrowest_bounds() {
        let page = Page::of("prefix=k&start=k5&limit=2").unwrap();
        assert_eq!(page.bounds.lower.as_deref(), Some(b"k5".as_slice()));
        assert_eq!(page.bounds.upper.as_deref(), Some(b"l".as_slice()));
        assert_eq!(page.limit, 2);
        let cursor = BASE64.encode(b"k7");
        let cursor = percent_encode(cursor.as_bytes(), NON_ALPHANUMERIC);
        let page = Page::of(&format!("prefix=k&start=k5&end=k9&cursor={cursor}")).unwrap();
        assert_eq!(page.bounds.lower.as_deref(), Some(b"k7".as_slice()));
        assert_eq!(page.bounds.upper.as_deref(), Some(b"k9".as_slice()));
        assert!(Page::of("limit=x").is_err());
        assert!(Page::of("cursor=!").is_err());
        assert!(Page::of("prefx=k").is_err());
    }
}
