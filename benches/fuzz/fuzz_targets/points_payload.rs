//! Points as the log and the memtable hold them.
#![no_main]

use firndb_tsdb::memtable::payload::{NoSink, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = decode::<true>(bytes, &mut NoSink);
    let _ = decode::<false>(bytes, &mut NoSink);
});
