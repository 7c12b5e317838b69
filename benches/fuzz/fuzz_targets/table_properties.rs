//! See `engine::table_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::engine::table_properties(bytes));
