//! Heads of chunks, beneath their checksum.
#![no_main]

use firndb_tsdb::chunk::Head;
use firndb_tsdb::model::TimeRange;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Head::decode(bytes);
    if let Ok(head) = Head::decode_unverified(bytes)
        && head.step().is_some()
    {
        let rows = head.rows_in(TimeRange::new(-1, i64::MAX), &[]);
        assert!(rows.end <= head.rows());
    }
});
