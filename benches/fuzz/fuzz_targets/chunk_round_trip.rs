//! See `tsdb::chunk_round_trip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::tsdb::chunk_round_trip(bytes));
