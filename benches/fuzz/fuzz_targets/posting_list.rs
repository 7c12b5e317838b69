//! See `tsdb::posting_list`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::tsdb::posting_list(bytes));
