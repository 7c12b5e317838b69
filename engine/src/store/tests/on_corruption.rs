//! What opening does about a damaged log, by option: it refuses, or keeps what is whole.

use super::*;

use crate::events::EventKind;
use crate::fs::sim::CrashMode;
use crate::inspect::{log, manifest};
use crate::options::OnCorruption;

const KEYS: usize = 60;

fn options_of(sim: &SimFs, on_corruption: OnCorruption) -> Options {
    let fs: Arc<dyn Fs> = Arc::new(sim.clone());
    Options { wal_segment_bytes: 1 << 10, wal_on_corruption: on_corruption, ..options(&fs) }
}

fn key(index: usize) -> String {
    format!("key-{index:02}")
}

/// A store that was killed with all its keys in several segments of its log.
fn killed() -> SimFs {
    let sim = SimFs::new(1);
    let store = Store::open(options_of(&sim, OnCorruption::Stop)).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    (0..KEYS).for_each(|index| put(&store, &keyspace, &key(index), "some value"));
    sim.crash(CrashMode::ALL[0], 1)
}

/// A put as it lies in the log.
struct Record {
    path: std::path::PathBuf,
    offset: u64,
    bytes: u64,
}

/// The puts in their order.
fn records(sim: &SimFs) -> Vec<Record> {
    let dir = Path::new("/db");
    let known = manifest::read(sim, dir, manifest::current(sim, dir).unwrap(), &mut |_| {});
    let (known, mut records) = (known.unwrap(), Vec::new());
    let bounds = known.state.log_bounds();
    let report = log::report(sim, dir, Some(known.store_id), bounds, &mut |record| {
        if !record.is_seal {
            let path = dir.join(crate::wal::file_name(record.segment));
            records.push(Record { path, offset: record.offset, bytes: record.bytes });
        }
        Ok(())
    });
    assert!(report.unwrap().is_readable());
    records
}

fn found(store: &Store) -> Vec<bool> {
    let keyspace = store.keyspace("kv/a").unwrap();
    (0..KEYS).map(|index| get(store, &keyspace, &key(index)).is_some()).collect()
}

fn is_set_aside(sim: &SimFs) -> bool {
    sim.files().iter().any(|path| path.starts_with("/db/quarantine"))
}

/// One damage: what it is called, what it does, which puts it costs.
type Damage<'a> = (&'a str, &'a dyn Fn(&SimFs), Vec<usize>);

#[test]
fn a_damaged_log_is_refused_or_salvaged_as_the_options_say() {
    let whole = killed();
    let records = records(&whole);
    assert_eq!(records.len(), KEYS);
    let (first, middle) = (&records[0], &records[KEYS / 2]);
    let of_segment = |path: &Path| -> Vec<usize> {
        (0..KEYS).filter(|index| records[*index].path == path).collect()
    };
    let rewrite = |sim: &SimFs, path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sim.bytes(path).unwrap();
        change(&mut bytes);
        sim.set_bytes(path, bytes);
    };
    let zero = |sim: &SimFs, record: &Record| {
        rewrite(sim, &record.path, &|bytes| {
            bytes[record.offset as usize..(record.offset + record.bytes) as usize].fill(0);
        });
    };
    let after_middle: Vec<_> =
        of_segment(&middle.path).into_iter().filter(|index| *index >= KEYS / 2).collect();
    let damages: [Damage<'_>; 6] = [
        ("a body", &|sim| sim.flip_bit(&middle.path, middle.offset + 36, 1), vec![KEYS / 2]),
        ("a header", &|sim| sim.flip_bit(&first.path, first.offset + 4, 3), vec![0]),
        ("zeros", &|sim| zero(sim, middle), vec![KEYS / 2]),
        ("the head of a segment", &|sim| sim.flip_bit(&middle.path, 20, 1), vec![]),
        (
            "a cut",
            &|sim| rewrite(sim, &middle.path, &|bytes| bytes.truncate(middle.offset as usize)),
            after_middle,
        ),
        ("a segment gone", &|sim| sim.remove_file(&middle.path).unwrap(), of_segment(&middle.path)),
    ];
    for (what, damage, lost) in damages {
        let sim = whole.crash(CrashMode::ALL[0], 1);
        damage(&sim);
        for _ in 0..2 {
            let error = Store::open(options_of(&sim, OnCorruption::Stop)).unwrap_err();
            assert!(error.is_corrupt(), "{what}: {error}");
            assert!(!is_set_aside(&sim), "{what}: nothing is touched");
        }
        let store = Store::open(options_of(&sim, OnCorruption::Salvage)).unwrap();
        let expected: Vec<_> = (0..KEYS).map(|index| !lost.contains(&index)).collect();
        assert_eq!(found(&store), expected, "{what}");
        let (metrics, kept) = (store.metrics(), (KEYS - lost.len()) as u64);
        let places = u64::from(!lost.is_empty());
        assert_eq!(metrics.wal_salvaged_records, kept, "{what}");
        assert_eq!(metrics.wal_lost_spans, places, "{what}");
        assert_eq!(metrics.wal_lost_bytes > 0, places > 0, "{what}");
        let events = store.events(0);
        let said = events.iter().find_map(|event| match &event.kind {
            EventKind::Salvage { set_aside, records, losses, .. } => {
                Some((*set_aside, *records, *losses))
            }
            _ => None,
        });
        let (set_aside, kept_records, losses) = said.expect("an event");
        assert!(set_aside > 2 && (kept_records, losses) == (kept, places), "{what}: {set_aside}");
        assert!(is_set_aside(&sim), "{what}: what was damaged is kept");
        store.close().unwrap();
        // From then on it is a store as any.
        let again = |sim: &SimFs| {
            let store = Store::open(options_of(sim, OnCorruption::Stop)).unwrap();
            (found(&store), store.metrics().wal_lost_spans)
        };
        assert_eq!(again(&sim), (expected.clone(), 0), "{what}");

        // Cut there, it holds what comes before.
        let sim = whole.crash(CrashMode::ALL[0], 1);
        damage(&sim);
        let store = Store::open(options_of(&sim, OnCorruption::Truncate)).unwrap();
        let end = lost.first().copied().unwrap_or(KEYS);
        let before: Vec<_> = (0..KEYS).map(|index| index < end).collect();
        assert_eq!(found(&store), before, "{what}, cut");
        let metrics = store.metrics();
        assert_eq!(metrics.wal_salvaged_records, end as u64, "{what}, cut");
        let bytes: u64 = records.iter().skip(end + lost.len()).map(|record| record.bytes).sum();
        assert!(metrics.wal_lost_bytes >= bytes, "{what}, cut");
        assert_eq!(metrics.wal_lost_spans > places, end + lost.len() < KEYS, "{what}, cut");
        store.close().unwrap();
        assert_eq!(again(&sim), (before, 0), "{what}, cut");
    }
}

#[test]
fn what_is_no_damage_of_the_log_is_not_salvaged() {
    let whole = killed();
    let last = records(&whole).pop().unwrap();
    // A record that was never finished is cut.
    let sim = whole.crash(CrashMode::ALL[0], 1);
    let mut bytes = sim.bytes(&last.path).unwrap();
    bytes.truncate(last.offset as usize + 10);
    sim.set_bytes(&last.path, bytes);
    let store = Store::open(options_of(&sim, OnCorruption::Salvage)).unwrap();
    assert_eq!(found(&store).iter().filter(|is_there| **is_there).count(), KEYS - 1);
    assert_eq!(store.metrics().wal_salvaged_records, 0);
    assert!(!is_set_aside(&sim));
    // Other files are none of its business.
    let sim = whole.crash(CrashMode::ALL[0], 1);
    sim.flip_bit(Path::new("/db/CURRENT"), 3, 1);
    assert!(Store::open(options_of(&sim, OnCorruption::Salvage)).unwrap_err().is_corrupt());
    assert!(!is_set_aside(&sim));
}

#[test]
fn a_crash_in_a_salvage_loses_no_more() {
    let whole = killed();
    let at = &records(&whole)[KEYS / 2];
    whole.flip_bit(&at.path, at.offset + 36, 1);
    let calls = {
        let sim = whole.crash(CrashMode::ALL[0], 1);
        let before = sim.op_count();
        drop(Store::open(options_of(&sim, OnCorruption::Salvage)).unwrap());
        sim.op_count() - before
    };
    let expected: Vec<_> = (0..KEYS).map(|index| index != KEYS / 2).collect();
    for call in 0..calls {
        for mode in CrashMode::ALL {
            let sim = whole.crash(CrashMode::ALL[0], 1);
            sim.crash_at(sim.op_count() + call);
            let _ = Store::open(options_of(&sim, OnCorruption::Salvage));
            let after = sim.crash(mode, call);
            let store = Store::open(options_of(&after, OnCorruption::Salvage)).unwrap();
            assert_eq!(found(&store), expected, "call {call}, {mode:?}");
        }
    }
}
