//! Series keys of the index and keys of chunks.
#![no_main]

use firndb_tsdb::index::entries::parse_series_key;
use firndb_tsdb::keys::parse_chunk_key;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_series_key(bytes);
    let _ = parse_chunk_key(bytes);
});
