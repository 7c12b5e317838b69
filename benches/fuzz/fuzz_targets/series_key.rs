//! See `tsdb::series_key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::tsdb::series_key(bytes));
