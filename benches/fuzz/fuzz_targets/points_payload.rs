//! See `tsdb::points_payload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::tsdb::points_payload(bytes));
