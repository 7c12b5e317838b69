//! Line protocol: whatever comes, every range of the batch lies inside its arenas.
#![no_main]

use firndb_ingest::line_protocol::parse;
use firndb_ingest::precision::Precision;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let parsed = parse(text, Precision::Millisecond, 0, |_| None);
    for point in &parsed.batch.points {
        assert!(!parsed.batch.fields_of(point).is_empty());
    }
});
