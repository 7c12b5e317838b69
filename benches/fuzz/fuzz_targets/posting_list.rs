//! Posting lists of the series index, and their merging.
#![no_main]

use firndb_tsdb::index::postings::{decode, merge};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (older, newer) = input;
    if let Ok(list) = decode(older) {
        let _ = list.cardinality();
    }
    let merged = merge(b"key", Some(older), &[newer]);
    let _ = decode(&merged);
});
