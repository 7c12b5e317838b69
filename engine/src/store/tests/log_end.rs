//! The end of the log of a closed store: what is damaged, cut or missing there is found, also where
//! without the manifest it would look like a record that was never finished.

use super::*;

use crate::check::offline;
use crate::fs::sim::CrashMode;
use crate::inspect::{log, manifest};
use crate::key::FileNumber;
use crate::wal::salvage::{Scope, salvage};

const KEYS: usize = 40;

fn options_of(sim: &SimFs, segment_bytes: u64) -> Options {
    let fs: Arc<dyn Fs> = Arc::new(sim.clone());
    Options { wal_segment_bytes: segment_bytes, ..options(&fs) }
}

/// A store that was closed with all its keys in the log.
fn closed(segment_bytes: u64) -> SimFs {
    let sim = SimFs::new(1);
    let store = Store::open(options_of(&sim, segment_bytes)).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    (0..KEYS).for_each(|index| put(&store, &keyspace, &format!("key-{index:02}"), "some value"));
    store.close().unwrap();
    sim
}

fn keys(store: &Store) -> usize {
    let keyspace = store.keyspace("kv/a").unwrap();
    scan(store, &keyspace, ScanOptions::default()).len()
}

fn state(sim: &SimFs) -> manifest::ManifestReport {
    let dir = Path::new("/db");
    manifest::read(sim, dir, manifest::current(sim, dir).unwrap(), &mut |_| {}).unwrap()
}

/// Where the last two records of the log lie, a put and the seal: segment, offset, length.
fn last_records(sim: &SimFs) -> [(FileNumber, u64, u64); 2] {
    let (known, mut records) = (state(sim), Vec::new());
    let bounds = known.state.log_bounds();
    let report = log::report(sim, Path::new("/db"), Some(known.store_id), bounds, &mut |record| {
        records.push((record.segment, record.offset, record.bytes));
        assert_eq!(record.is_seal, record.body.is_empty());
        Ok(())
    });
    assert!(report.unwrap().is_readable());
    let [.., put, seal] = records[..] else { panic!("{records:?}") };
    assert_eq!(put.0, seal.0, "in one segment");
    [put, seal]
}

/// What may happen to the last segment: bytes to put in its place, or `None`: it is gone.
fn damages(bytes: &[u8], put: (u64, u64), seal: (u64, u64)) -> Vec<(String, Option<Vec<u8>>)> {
    let mut damages = vec![("gone".to_owned(), None)];
    for at in put.0..seal.0 + seal.1 {
        let mut flipped = bytes.to_vec();
        flipped[at as usize] ^= 1 << (at % 8);
        damages.push((format!("flip at {at}"), Some(flipped)));
    }
    for len in [0, 10, 64, put.0, put.0 + 8, put.0 + 40, seal.0, seal.0 + 8] {
        damages.push((format!("cut at {len}"), Some(bytes[..len as usize].to_vec())));
    }
    for from in [0, 64, put.0, seal.0] {
        let mut zeroed = bytes.to_vec();
        zeroed[from as usize..].fill(0);
        damages.push((format!("zeros from {from}"), Some(zeroed)));
    }
    damages
}

#[test]
fn damage_of_the_last_records_of_a_closed_store_is_found() {
    for segment_bytes in [1 << 10, 128 << 10] {
        let whole = closed(segment_bytes);
        let [put, seal] = last_records(&whole);
        let path = Path::new("/db").join(crate::wal::file_name(put.0));
        let bytes = whole.bytes(&path).unwrap();
        let options_of = |sim: &SimFs| options_of(sim, segment_bytes);
        for (what, damaged) in damages(&bytes, (put.1, put.2), (seal.1, seal.2)) {
            let sim = whole.crash(CrashMode::ALL[0], 1);
            match damaged {
                Some(damaged) => sim.set_bytes(&path, damaged),
                None => sim.remove_file(&path).unwrap(),
            }
            let said = |error: Error| {
                let is_said = matches!(&error, Error::Corrupt { path: at, .. } if *at == path);
                assert!(is_said, "{what}: {error}");
            };
            said(Store::open(options_of(&sim)).unwrap_err());
            said(Store::open_read_only(options_of(&sim)).unwrap_err());
            let report = offline::run(&options_of(&sim), true, &|_, _| {}).unwrap();
            let [finding] = &report.findings[..] else { panic!("{what}: {report:?}") };
            assert_eq!(finding.file, "log", "{what}");

            // What is whole is kept, and the store opens with it, again and again.
            let (known, number) = (state(&sim), FileNumber(900));
            let (id, bounds) = (known.store_id, known.state.log_bounds());
            let done =
                salvage(&sim, Path::new("/db"), id, bounds, number, Scope::All, false).unwrap();
            assert_eq!(done.segment, Some(number), "{what}");
            for _ in 0..2 {
                let store = Store::open(options_of(&sim)).unwrap();
                assert_eq!(keys(&store) as u64, done.records, "{what}");
                store.close().unwrap();
            }
            let report = offline::run(&options_of(&sim), true, &|_, _| {}).unwrap();
            assert!(report.findings.is_empty(), "{what}: {report:?}");
        }
    }
}

#[test]
fn what_was_written_after_the_next_open_may_be_torn_and_what_was_before_may_not() {
    let sim = closed(128 << 10);
    let [put_before, _] = last_records(&sim);
    for mode in CrashMode::ALL {
        let sim = sim.crash(mode, 1);
        let store = Store::open(options_of(&sim, 128 << 10)).unwrap();
        let keyspace = store.keyspace("kv/a").unwrap();
        put(&store, &keyspace, "new", "x");
        let at_crash = sim.crash(CrashMode::ALL[0], 2);
        drop(store);
        // The end of a store that was not closed: a record that may never have been finished.
        let mut logs = at_crash.files();
        logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        let last = logs.iter().rfind(|path| at_crash.bytes(path).unwrap().len() > 64).unwrap();
        let torn = at_crash.crash(CrashMode::ALL[0], 3);
        let mut bytes = torn.bytes(last).unwrap();
        bytes[64] ^= 1;
        torn.set_bytes(last, bytes);
        let store = Store::open(options_of(&torn, 128 << 10)).unwrap();
        assert_eq!(keys(&store), KEYS, "{mode:?}");
        drop(store);
        // The end at the last close is what it was.
        let old = Path::new("/db").join(crate::wal::file_name(put_before.0));
        at_crash.flip_bit(&old, put_before.1 + 40, 1);
        let error = Store::open(options_of(&at_crash, 128 << 10)).unwrap_err();
        assert!(matches!(&error, Error::Corrupt { path, .. } if *path == old), "{mode:?}: {error}");
    }
}

#[test]
fn a_log_that_is_not_needed_any_more_is_not_missed() {
    let sim = closed(128 << 10);
    assert!(state(&sim).state.log_end.is_some());
    let store = Store::open(options_of(&sim, 128 << 10)).unwrap();
    store.flush(None).unwrap();
    let after = sim.crash(CrashMode::ALL[0], 1);
    assert_eq!(state(&after).state.log_end, None);
    assert_eq!(keys(&Store::open(options_of(&after, 128 << 10)).unwrap()), KEYS);
    store.close().unwrap();
    assert!(state(&sim).state.log_end.is_some());
}
