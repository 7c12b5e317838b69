//! InfluxQL statements.
#![no_main]

use firndb_query::influxql::parser::{Params, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = parse(text, &Params::new());
});
