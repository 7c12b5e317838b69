//! See `tsdb::chunk_column`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::tsdb::chunk_column(bytes));
