//! Segments of the log: headers, records and torn tails, checksums made right.
#![no_main]

use std::path::Path;

use firndb_engine::fs::sim::SimFs;
use firndb_engine::key::FileNumber;
use firndb_engine::wal::fuzz::{FuzzRecord, assemble};
use firndb_engine::wal::{ReplayOptions, file_name, replay};
use libfuzzer_sys::fuzz_target;

/// Records (seal, wrong length, durable up to, sequence number, body), and what follows.
type Input<'a> = (Vec<(bool, bool, u16, u16, Vec<u8>)>, &'a [u8]);

fuzz_target!(|input: Input| {
    let records = input.0.into_iter().map(|(is_seal, is_long, durable, seq, body)| FuzzRecord {
        is_seal,
        more: if is_long { 9 } else { 0 },
        durable_upto: durable.into(),
        seq: seq.into(),
        body,
    });
    let number = FileNumber(1);
    let segment = assemble(7, number, &records.collect::<Vec<_>>(), input.1);
    let (fs, dir) = (SimFs::new(1), Path::new("/"));
    fs.set_bytes(&dir.join(file_name(number)), segment);
    let _ = replay(&fs, dir, &ReplayOptions::new(7), &mut |_, _, _| Ok(()), &|_, _| ());
});
