//! See `engine::write_batch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::engine::write_batch(bytes));
