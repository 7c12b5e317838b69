//! Compressed blocks: refused, or as long as they say.
#![no_main]

use firndb_engine::compress::decompress;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let _ = decompress(input.0 % 4, input.1);
});
