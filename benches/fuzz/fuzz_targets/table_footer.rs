//! See `engine::table_footer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::engine::table_footer(bytes));
