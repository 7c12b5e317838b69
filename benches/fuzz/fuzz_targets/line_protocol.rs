//! See `ingest::line_protocol`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::ingest::line_protocol(bytes));
