//! See `engine::filter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::engine::filter(bytes));
