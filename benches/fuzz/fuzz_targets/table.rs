//! Tables: data block, index, filter, properties and footer, checksums made right.
#![no_main]

use std::path::PathBuf;
use std::sync::Arc;

use firndb_engine::budget::Budget;
use firndb_engine::cache::Cache;
use firndb_engine::fs::sim::SimFs;
use firndb_engine::key::FileNumber;
use firndb_engine::table::fuzz::assemble;
use firndb_engine::table::{Table, key_hash};
use libfuzzer_sys::fuzz_target;

/// Data block, index, filter, properties, a key.
type Input<'a> = (&'a [u8], &'a [u8], &'a [u8], &'a [u8], &'a [u8]);

fuzz_target!(|input: Input| {
    let (data, index, filter, properties, key) = input;
    let (number, path) = (FileNumber(1), PathBuf::from("/000001.tbl"));
    let fs = SimFs::new(1);
    fs.set_bytes(&path, assemble(number, data, index, filter, properties));
    let cache = Cache::new(1 << 20, Budget::new(1 << 30));
    let table = Table::open(Arc::new(fs), path, number, &cache).expect("nothing is read yet");
    let _ = table.properties();
    let _ = table.get(key_hash(key), key, u64::MAX >> 8, &mut |_| true);
    let _ = table.check(true);
    let mut cursor = table.cursor(true);
    let mut steps = 0;
    let mut result = cursor.seek(key);
    while result.is_ok() && cursor.valid() && steps < 1000 {
        result = if steps % 3 == 2 { cursor.prev() } else { cursor.next() };
        steps += 1;
    }
    let _ = cursor.seek_last();
    let _ = cursor.seek_before(key);
});
