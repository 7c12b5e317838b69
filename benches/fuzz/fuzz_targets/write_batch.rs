//! Batches of writes: what the log replays and other machines send.
#![no_main]

use firndb_engine::batch::WriteBatch;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(batch) = WriteBatch::from_bytes(bytes.to_vec()) {
        assert!(batch.iter().all(|op| op.is_ok()));
        assert_eq!(batch.bytes(), bytes);
    }
});
