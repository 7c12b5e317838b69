//! The check of a directory that is not open: reads alone, and finds what is wrong.

use super::*;

use crate::batch::WriteBatch;
use crate::clock::ManualClock;
use crate::fs::sim::{CrashMode, SimFs};
use crate::hooks::Plain;
use crate::options::{Background, KeyspaceOptions};
use crate::store::Store;

fn options(fs: &SimFs) -> Options {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000_000_000));
    let hooks = Arc::new(Plain::new());
    Options {
        background: Background::Inline,
        wal_segment_bytes: 64 << 10,
        block_bytes: 256,
        ..Options::new("/db", Arc::new(fs.clone()), clock, hooks)
    }
}

/// A store with tables and a log, killed.
fn killed() -> SimFs {
    let fs = SimFs::new(1);
    let store = Store::open(options(&fs)).unwrap();
    let keyspace = store.create_keyspace("a", KeyspaceOptions::default()).unwrap().id;
    for number in 0..200u32 {
        let mut batch = WriteBatch::new();
        batch.put(keyspace, &number.to_be_bytes(), &[7; 40]);
        let _ = store.write(&batch, Default::default()).unwrap();
        if number % 70 == 69 {
            store.flush(None).unwrap();
        }
    }
    fs.crash(CrashMode::ALL[1], 1)
}

fn contents(fs: &SimFs) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    fs.files().into_iter().map(|path| (path.clone(), fs.bytes(&path).unwrap())).collect()
}

fn check(fs: &SimFs) -> Result<CheckReport> {
    run(&options(fs), true, &|_, _| {})
}

#[test]
fn a_check_changes_no_byte() {
    let fs = killed();
    let before = contents(&fs);
    fs.start_trace();
    for _ in 0..2 {
        let report = check(&fs).unwrap();
        assert_eq!(report.findings.len(), 0, "{:?}", report.findings);
        assert!(report.tables >= 2 && report.records >= 60, "{report:?}");
    }
    assert_eq!(contents(&fs), before);
    use crate::fs::sim::OpKind;
    let reads =
        [OpKind::Lock, OpKind::List, OpKind::Exists, OpKind::Open, OpKind::Read, OpKind::Len];
    let other = fs.trace().into_iter().find(|op| !reads.contains(&op.kind));
    assert_eq!(other, None, "nothing but reads");
    drop(Store::open(options(&fs)).unwrap());
}

#[test]
fn a_store_that_is_open_and_one_that_is_none_are_refused() {
    let fs = killed();
    let store = Store::open(options(&fs)).unwrap();
    assert!(matches!(check(&fs), Err(Error::Locked { .. })));
    drop(store);
    let empty = SimFs::new(2);
    crate::fs::Fs::create_dir_all(&empty, std::path::Path::new("/db")).unwrap();
    assert!(check(&empty).unwrap_err().is_corrupt());
}

#[test]
fn damage_in_tables_and_missing_ones_are_found() {
    let fs = killed();
    let is_table = |path: &&std::path::PathBuf| path.extension().is_some_and(|e| e == "tbl");
    let tables: Vec<_> = fs.files().iter().filter(is_table).cloned().collect();
    for table in &tables {
        let bytes = fs.bytes(table).unwrap();
        for offset in (0..bytes.len()).step_by(97) {
            let damaged = fs.crash(CrashMode::ALL[1], 1);
            damaged.flip_bit(table, offset as u64, 3);
            let report = check(&damaged).unwrap();
            assert_eq!(report.findings.len(), 1, "{table:?} byte {offset}");
        }
    }
    crate::fs::Fs::remove_file(&fs, &tables[0]).unwrap();
    fs.set_bytes(std::path::Path::new("/db/notes.txt"), b"mine".to_vec());
    let report = check(&fs).unwrap();
    let whats: Vec<_> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(whats, ["is not a file of the store", "is missing, the manifest names it (a)"]);
}
