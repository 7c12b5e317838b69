//! Targets of what is asked.

use firndb_query::influxql::parser::{Params, parse};

/// InfluxQL statements.
pub fn influxql(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = parse(text, &Params::new());
    }
}
