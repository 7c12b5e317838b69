//! Decoders of the engine, beneath their checksums.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use firndb_engine::batch::WriteBatch;
use firndb_engine::budget::Budget;
use firndb_engine::cache::Cache;
use firndb_engine::compress::decompress;
use firndb_engine::fs::sim::SimFs;
use firndb_engine::key::FileNumber;
use firndb_engine::manifest::edit::Edit;
use firndb_engine::scan::Cursor;
use firndb_engine::table::{FilterKind, Table, fuzz, key_hash};
use firndb_engine::wal::fuzz::{FuzzRecord, assemble};
use firndb_engine::wal::{ReplayOptions, file_name, replay};

use super::super::input::Input;

/// Entries of a table that are walked at most.
const STEPS_MAX: usize = 1000;

/// Batches of writes, range deletes and expiring values among them: what the log replays and other
/// machines send.
pub fn write_batch(bytes: &[u8]) {
    if let Ok(batch) = WriteBatch::from_bytes(bytes.to_vec()) {
        assert!(batch.iter().all(|op| op.is_ok()));
        assert_eq!(batch.iter().count(), batch.len());
        assert_eq!(batch.bytes(), bytes);
    }
}

/// Segments of the log: headers, records and torn tails, checksums made right. Number of records,
/// then of each: flags, durable up to, sequence number, body; then what follows the last.
pub fn wal(bytes: &[u8]) {
    let mut input = Input(bytes);
    let records = (0..input.byte() % 8).map(|_| {
        let flags = input.byte();
        FuzzRecord {
            is_seal: flags & 1 != 0,
            more: if flags & 2 != 0 { 9 } else { 0 },
            durable_upto: input.number().into(),
            seq: input.number().into(),
            body: input.part().to_vec(),
        }
    });
    let records: Vec<_> = records.collect();
    let number = FileNumber(1);
    let segment = assemble(7, number, &records, input.0);
    let (fs, dir) = (SimFs::new(1), Path::new("/"));
    fs.set_bytes(&dir.join(file_name(number)), segment);
    let _ = replay(&fs, dir, &ReplayOptions::new(7), &mut |_, _, _| Ok(()), &|_, _| ());
}

/// Tables: data block, index, filter, properties and a key.
pub fn table(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (data, index, filter) = (input.part(), input.part(), input.part());
    let (properties, key) = (input.part(), input.0);
    walk(fuzz::assemble(FileNumber(1), data, index, filter, properties), key);
}

/// Footers of tables, their checksum made right: three handles, a key, and the file before them.
pub fn table_footer(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut handle = || (input.long(), u32::from(input.number()));
    let handles = [handle(), handle(), handle()];
    let key = input.part();
    let file = fuzz::end_with_footer(FileNumber(1), input.0, handles);
    walk(file, key);
}

/// Everything that readers do with a table.
fn walk(file: Vec<u8>, key: &[u8]) {
    let (number, path) = (FileNumber(1), PathBuf::from("/000001.tbl"));
    let fs = SimFs::new(1);
    fs.set_bytes(&path, file);
    let cache = Cache::new(1 << 20, Budget::new(1 << 30));
    let table = Table::open(Arc::new(fs), path, number, &cache).expect("nothing is read yet");
    let _ = table.properties();
    let _ = table.layout();
    let _ = table.may_contain(key_hash(key));
    let _ = table.get(key_hash(key), key, u64::MAX >> 8, &mut |_| true);
    let _ = table.check(true);
    let mut cursor = table.cursor(true);
    let mut steps = 0;
    let mut result = cursor.seek(key);
    while result.is_ok() && cursor.valid() && steps < STEPS_MAX {
        result = if steps % 3 == 2 { cursor.prev() } else { cursor.next() };
        steps += 1;
    }
    let _ = cursor.seek_last();
    let _ = cursor.seek_before(key);
}

/// Filters: bytes of any kind are refused or answer; those that were built from keys let each of
/// them through. A hash and bytes, which are also cut into keys.
pub fn filter(bytes: &[u8]) {
    let mut input = Input(bytes);
    let _ = fuzz::filter_may_contain(input.0, 0);
    let hash = input.long();
    let _ = fuzz::filter_may_contain(input.0, hash);
    let len = 1 + usize::from(input.byte() % 8);
    let mut keys: Vec<&[u8]> = input.0.chunks(len).collect();
    keys.sort_unstable();
    for kind in [FilterKind::Bloom, FilterKind::Fuse] {
        let filter = fuzz::filter_of(kind, 10, &keys);
        for key in &keys {
            assert_eq!(fuzz::filter_may_contain(&filter, key_hash(key)), Ok(true), "{kind:?}");
        }
    }
}

/// Properties of tables: decoded, they encode to bytes that decode to the same.
pub fn table_properties(bytes: &[u8]) {
    if let Ok(properties) = fuzz::decode_properties(bytes) {
        let again = fuzz::encode_properties(&properties);
        assert_eq!(fuzz::decode_properties(&again).as_ref(), Ok(&properties));
    }
}

/// Compressed blocks: refused, or as long as they say.
pub fn compression(bytes: &[u8]) {
    let mut input = Input(bytes);
    let _ = decompress(input.byte() % 4, input.0);
}

/// Edits of the manifest: decoded, they encode to bytes that decode and encode to the same. Bytes
/// are compared, since a ratio may be no number.
pub fn manifest_edit(bytes: &[u8]) {
    if let Ok(edit) = Edit::decode(bytes) {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        edit.encode(&mut first);
        Edit::decode(&first).expect("just encoded").encode(&mut second);
        assert_eq!(first, second);
    }
}
