//! Targets of what clients send.

use firndb_ingest::line_protocol::parse;
use firndb_ingest::precision::Precision;

/// Line protocol: every point that is taken has a field.
pub fn line_protocol(text: &[u8]) {
    let parsed = parse(text, Precision::Millisecond, 0, |_| None);
    for point in &parsed.batch.points {
        assert!(!parsed.batch.fields_of(point).is_empty());
    }
}
