//! Repairs against a model: after a flip anywhere in the folder the store opens again, and every
//! key that the report does not name reads as it did.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::batch::{BatchOps, WriteBatch};
use crate::clock::ManualClock;
use crate::fs::Fs;
use crate::fs::sim::{CrashMode, DirOrder, Keep, Rng, SimFs};
use crate::hooks::Plain;
use crate::options::{Background, KeyspaceOptions, Leveled, Options, Policy};
use crate::store::{ScanOptions, Store, WriteOptions};

const DIR: &str = "/db";
const SYNCED: CrashMode = CrashMode { keep: Keep::None, dirs: DirOrder::Any };
const NAMES: [&str; 2] = ["kv/a", "kv/b"];

type Contents = BTreeMap<(String, Vec<u8>), Vec<u8>>;

fn options(sim: &SimFs) -> Options {
    let fs: Arc<dyn Fs> = Arc::new(sim.clone());
    let clock = Arc::new(ManualClock::at(1));
    let mut options = Options::new(DIR, fs, clock, Arc::new(Plain::new()));
    options.background = Background::Inline;
    options.wal_segment_bytes = 16 << 10;
    options.block_bytes = 512;
    options.table_bytes_max = 8 << 10;
    let leveled = Leveled { base_bytes: 16 << 10, ..Leveled::default() };
    options.policy = Policy::Leveled(leveled);
    options
}

/// A crashed store with tables in several levels and a log of several segments, and what it holds.
fn crashed() -> (SimFs, Contents) {
    let sim = SimFs::new(1);
    let store = Store::open(options(&sim)).unwrap();
    let ids = NAMES.map(|name| store.create_keyspace(name, KeyspaceOptions::default()).unwrap().id);
    let mut contents = Contents::new();
    let mut rng = Rng::new(3);
    for round in 0..1200 {
        let (which, n) = (rng.below(2) as usize, rng.below(400));
        let key = format!("{}{n:04}", NAMES[which].trim_start_matches("kv/")).into_bytes();
        let mut batch = WriteBatch::new();
        if rng.one_in(8) {
            batch.delete(ids[which], &key);
            contents.remove(&(NAMES[which].to_owned(), key));
        } else {
            let value = format!("{round:05}").repeat(8).into_bytes();
            batch.put(ids[which], &key, &value);
            contents.insert((NAMES[which].to_owned(), key), value);
        }
        drop(store.write(&batch, WriteOptions::default()).unwrap());
        if round % 150 == 149 && round < 1000 {
            store.flush(None).unwrap();
        }
    }
    let crashed = sim.crash(SYNCED, 1);
    drop(store);
    (crashed, contents)
}

/// What the store holds; a keyspace that came back under another name counts as itself.
fn contents(sim: &SimFs) -> Contents {
    let store = Store::open(options(sim)).unwrap();
    let mut contents = Contents::new();
    for keyspace in store.keyspaces() {
        for pair in store.scan(keyspace.id, ScanOptions::default()).unwrap() {
            let (key, value) = pair.unwrap();
            let name = NAMES[keyspace.id.0 as usize - 1].to_owned();
            contents.insert((name, key.to_vec()), value.to_vec());
        }
    }
    contents
}

/// Keys of each whole record of the log.
fn logged(sim: &SimFs) -> BTreeMap<u64, Vec<Vec<u8>>> {
    let dir = Path::new(DIR);
    let known = inspect::manifest::current(sim, dir).unwrap();
    let known = inspect::manifest::read(sim, dir, known, &mut |_| {}).unwrap();
    let mut keys = BTreeMap::new();
    let mut visit = |record: inspect::log::RecordView<'_>| {
        if !record.is_seal {
            let ops = BatchOps::new(record.body).unwrap();
            keys.insert(record.seq, ops.map(|op| op.unwrap().1.key.to_vec()).collect());
        }
        Ok(())
    };
    inspect::log::report(sim, dir, Some(known.store_id), known.state.log_bounds(), &mut visit)
        .unwrap();
    keys
}

/// Whether the report says that the key may read otherwise than before.
fn is_named(report: &RepairReport, keyspace: &str, key: &[u8]) -> bool {
    report.losses.iter().any(|loss| {
        let is_it = loss.keyspace.as_ref().is_none_or(|name| **name == *keyspace);
        let covers = |(after, upto): &(Vec<u8>, Vec<u8>)| *key >= **after && *key <= **upto;
        is_it && loss.keys.as_ref().is_some_and(covers)
    })
}

#[test]
fn a_flip_anywhere_costs_what_the_report_names() {
    let (whole, expected) = crashed();
    assert_eq!(contents(&whole.crash(SYNCED, 0)), expected, "nothing is damaged yet");
    let in_log = logged(&whole);
    let files = whole.files();
    let mut rng = Rng::new(11);
    let mut kinds = BTreeSet::new();
    for round in 0..160 {
        let path = &files[rng.below(files.len() as u64) as usize];
        let len = whole.bytes(path).unwrap().len() as u64;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if len == 0 || name == "LOCK" {
            continue;
        }
        let (at, bit) = (rng.below(len), rng.below(8) as u8);
        let case = format!("round {round}: bit {bit} of byte {at} of {name}");
        let sim = whole.crash(SYNCED, round);
        sim.flip_bit(path, at, bit);
        let planned = match run(&options(&sim), true) {
            Ok(planned) => planned,
            // The header or the snapshot of the manifest.
            Err(error) => {
                assert!(error.is_corrupt() && name.starts_with("MANIFEST"), "{case}: {error}");
                kinds.insert("refused");
                continue;
            }
        };
        let before: Vec<_> = sim.files().iter().map(|path| sim.bytes(path)).collect();
        let done = run(&options(&sim), false).unwrap();
        assert_eq!(done.losses, planned.losses, "{case}: a dry run says the same");
        if done.is_whole() {
            let after: Vec<_> = sim.files().iter().map(|path| sim.bytes(path)).collect();
            assert!(before == after, "{case}: nothing to do, and something was changed");
            kinds.insert("whole");
        } else {
            kinds.insert(name.rsplit(['.', '-']).next().map_or("", |end| match end {
                "tbl" => "table",
                "log" => "log",
                _ => "manifest",
            }));
        }
        let found = contents(&sim);
        let of_lost: BTreeSet<_> = match done.kept_records > 0 || name.ends_with(".log") {
            false => BTreeSet::new(),
            true => {
                let touched = whole.crash(SYNCED, round);
                touched.flip_bit(path, at, bit);
                let left = logged(&touched);
                in_log
                    .iter()
                    .filter(|(seq, _)| !left.contains_key(seq))
                    .flat_map(|(_, keys)| keys)
                    .collect()
            }
        };
        assert!(of_lost.len() <= 1, "{case}: a flip costs one record");
        let all: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
        for entry in all {
            let (keyspace, key) = entry;
            let may_differ = is_named(&done, keyspace, key) || of_lost.contains(key);
            assert!(
                may_differ || found.get(entry) == expected.get(entry),
                "{case}: {keyspace} {:?} {:#?}",
                String::from_utf8_lossy(key),
                done
            );
        }
        assert!(run(&options(&sim), true).unwrap().is_whole(), "{case}: nothing is left to do");
    }
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["log", "manifest", "refused", "table", "whole"]
    );
}

#[test]
fn a_lost_current_and_lost_tables_are_told() {
    let (whole, expected) = crashed();
    let dir = Path::new(DIR);
    let sim = whole.crash(SYNCED, 1);
    sim.remove_file(&dir.join(CURRENT)).unwrap();
    assert!(Store::open(options(&sim)).is_err());
    let done = run(&options(&sim), false).unwrap();
    assert_eq!(done.losses, []);
    assert_eq!(contents(&sim), expected);

    let sim = whole.crash(SYNCED, 1);
    let gone = inspect::tables(&sim, dir).unwrap()[0];
    sim.remove_file(&crate::manifest::table_path(dir, gone)).unwrap();
    let done = run(&options(&sim), false).unwrap();
    let [loss] = &done.losses[..] else { panic!("{:?}", done.losses) };
    assert_eq!(loss.file, format!("{:06}.tbl", gone.0));
    let found = contents(&sim);
    for (entry, value) in &expected {
        assert!(found.get(entry) == Some(value) || is_named(&done, &entry.0, &entry.1));
    }

    let sim = whole.crash(SYNCED, 1);
    for name in sim.files() {
        if name.to_string_lossy().contains("MANIFEST") {
            sim.remove_file(&name).unwrap();
        }
    }
    let before = sim.files();
    let refused = run(&options(&sim), false).unwrap_err();
    assert!(refused.is_corrupt(), "{refused}");
    assert_eq!(sim.files(), before);
}

#[test]
fn a_repair_that_was_stopped_is_ended_by_the_next() {
    let (whole, expected) = crashed();
    let dir = Path::new(DIR);
    let table = inspect::tables(&whole, dir).unwrap()[1];
    let path = crate::manifest::table_path(dir, table);
    whole.flip_bit(&path, 100, 1);
    let sim = whole.crash(SYNCED, 1);
    let begun = sim.op_count();
    let done = run(&options(&sim), false).unwrap();
    assert!(!done.is_whole());
    let ops = sim.op_count() - begun;
    let after = contents(&sim);
    assert_ne!(after, expected);
    for stop in 0..ops {
        let sim = whole.crash(SYNCED, 1);
        sim.crash_at(sim.op_count() + stop);
        let _ = run(&options(&sim), false);
        let left = sim.crash(SYNCED, stop);
        run(&options(&left), false).unwrap_or_else(|error| panic!("stopped at {stop}: {error}"));
        assert_eq!(contents(&left), after, "stopped at {stop} of {ops}");
    }
}
