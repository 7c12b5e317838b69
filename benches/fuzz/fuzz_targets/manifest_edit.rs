//! See `engine::manifest_edit`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::engine::manifest_edit(bytes));
