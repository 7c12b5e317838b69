//! See `tsdb::chunk_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::tsdb::chunk_head(bytes));
