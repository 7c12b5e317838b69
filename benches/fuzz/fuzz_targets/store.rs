//! See `engine::store`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::engine::store(bytes));
