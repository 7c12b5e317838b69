//! See `query::influxql`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| firndb_fuzz::query::influxql(bytes));
