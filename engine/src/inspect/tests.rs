//! What tools see of a folder, against what was written into it; and what a salvage keeps of a
//! damaged log, against a model of the records that the damage did not touch.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::log::{RecordView, SegmentState};
use super::*;
use crate::batch::{BatchOps, WriteBatch};
use crate::clock::ManualClock;
use crate::fs::sim::{CrashMode, DirOrder, Keep, Rng, SimFs};
use crate::hooks::Plain;
use crate::key::{Kind, Seq};
use crate::keyspace::Keyspace;
use crate::options::{Background, Durability, KeyspaceOptions, Options};
use crate::store::{ScanOptions, Store, WriteOptions};
use crate::wal::salvage::{Salvage, Scope, salvage};

const DIR: &str = "/db";
/// Only what was synced is left.
const SYNCED: CrashMode = CrashMode { keep: Keep::None, dirs: DirOrder::Any };
/// All is left, as after a killed process.
const KILLED: CrashMode = CrashMode { keep: Keep::All, dirs: DirOrder::Any };

fn options(fs: &Arc<dyn Fs>) -> Options {
    let clock = Arc::new(ManualClock::at(1));
    let mut options = Options::new(DIR, fs.clone(), clock, Arc::new(Plain::new()));
    options.background = Background::Inline;
    options.wal_segment_bytes = 8 << 10;
    options
}

fn shared(sim: &SimFs) -> Arc<dyn Fs> {
    Arc::new(sim.clone())
}

fn put(store: &Store, keyspace: &Keyspace, key: &str, value: &str) {
    let mut batch = WriteBatch::new();
    batch.put(keyspace.id, key.as_bytes(), value.as_bytes());
    drop(store.write(&batch, WriteOptions::default()).unwrap());
}

/// A store that crashed with all of it durable: 60 keys in a log of several segments.
fn crashed_log() -> (SimFs, BTreeMap<Seq, (String, String)>) {
    let sim = SimFs::new(1);
    let store = Store::open(options(&shared(&sim))).unwrap();
    let box_ = store.create_keyspace("kv/box", KeyspaceOptions::default()).unwrap();
    let mut written = BTreeMap::new();
    for n in 0..60 {
        let (key, value) = (format!("key{:02}", n % 40), format!("{n:03}").repeat(150));
        put(&store, &box_, &key, &value);
        written.insert(store.metrics().visible_seq, (key, value));
    }
    let crashed = sim.crash(SYNCED, 1);
    drop(store);
    (crashed, written)
}

/// The manifest that CURRENT names, and the log.
fn looked_at(
    sim: &SimFs,
    visit: &mut dyn FnMut(RecordView<'_>),
) -> (manifest::ManifestReport, log::LogReport) {
    let dir = Path::new(DIR);
    let known = manifest::read(sim, dir, manifest::current(sim, dir).unwrap(), &mut |_| {});
    let known = known.unwrap();
    let report =
        log::report(sim, dir, Some(known.store_id), known.state.log_bounds(), &mut |record| {
            visit(record);
            Ok(())
        });
    (known, report.unwrap())
}

fn salvaged(sim: &SimFs, is_dry: bool) -> Salvage {
    let (known, log) = looked_at(sim, &mut |_| {});
    let next = log.segments.last().map_or(0, |segment| segment.number.0 + 1);
    let number = FileNumber(known.state.next_file.0.max(next));
    let bounds = known.state.log_bounds();
    salvage(sim, Path::new(DIR), known.store_id, bounds, number, Scope::All, is_dry).unwrap()
}

fn contents(sim: &SimFs) -> BTreeMap<String, String> {
    let store = Store::open(options(&shared(sim))).unwrap();
    let keyspace = store.keyspace("kv/box").unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let pairs = store.scan(keyspace.id, ScanOptions::default()).unwrap();
    pairs.map(|pair| pair.map(|(key, value)| (text(&key), text(&value))).unwrap()).collect()
}

fn state_of(written: &BTreeMap<Seq, (String, String)>) -> BTreeMap<String, String> {
    written.values().cloned().collect()
}

#[test]
fn the_log_is_seen_as_it_was_written() {
    let (sim, written) = crashed_log();
    let mut seen = BTreeMap::new();
    let (_, log) = looked_at(&sim, &mut |record| {
        if !record.is_seal {
            for op in BatchOps::new(record.body).unwrap() {
                let (_, op) = op.unwrap();
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                assert_eq!(op.kind, Kind::Put);
                seen.insert(record.seq, (text(op.key), text(op.value)));
            }
        }
    });
    assert_eq!(seen, written);
    assert!(log.is_readable());
    let of_segments: u64 = log.segments.iter().map(|segment| segment.records).sum();
    assert_eq!(of_segments, 60);
    assert!(log.segments.len() > 3, "several segments");
    for segment in &log.segments {
        assert!(matches!(segment.state, SegmentState::Whole | SegmentState::Empty), "{segment:?}");
    }
}

#[test]
fn a_flip_anywhere_in_the_log_is_placed_and_costs_one_record() {
    let (whole, written) = crashed_log();
    let mut records = Vec::new();
    looked_at(&whole, &mut |record| {
        records.push((record.segment, record.offset, record.bytes, record.seq, record.is_seal))
    });
    let (_, log) = looked_at(&whole, &mut |_| {});
    let last = log.segments.iter().rfind(|segment| segment.records > 0).unwrap().number;
    let mut rng = Rng::new(7);
    for round in 0..200 {
        let (segment, offset, bytes, seq, is_seal) =
            records[rng.below(records.len() as u64) as usize];
        let at = offset + rng.below(bytes);
        let sim = whole.crash(SYNCED, round);
        let path = log::segment_path(Path::new(DIR), segment);
        sim.flip_bit(&path, at, rng.below(8) as u8);
        let case = format!("round {round}: {segment:?} byte {at}, record {seq} at {offset}");

        let (_, found) = looked_at(&sim, &mut |_| {});
        let of_segment = found.segments.iter().find(|found| found.number == segment).unwrap();
        let mut left = written.clone();
        if !is_seal {
            left.remove(&seq);
        }
        match &of_segment.state {
            SegmentState::Damaged(gap) => {
                assert_eq!(gap.offset, offset, "{case}");
                let refused = Store::open(options(&shared(&sim))).unwrap_err();
                assert!(refused.is_corrupt(), "{case}: {refused}");
            }
            // Nothing says that the last record was on disk.
            SegmentState::TornTail(gap) => {
                assert_eq!((segment, gap.offset), (last, offset), "{case}");
                assert_eq!(salvaged(&sim, false), Salvage::default(), "{case}");
                assert_eq!(contents(&sim), state_of(&left), "{case}");
                continue;
            }
            other => panic!("{case}: {other:?}"),
        }
        let files = sim.files();
        let planned = salvaged(&sim, true);
        assert_eq!(sim.files(), files, "{case}: a dry run changes nothing");
        let done = salvaged(&sim, false);
        assert_eq!(done, planned, "{case}");
        assert_eq!(done.records, left.len() as u64, "{case}");
        assert_eq!(done.lost.len(), 1, "{case}: {:?}", done.lost);
        assert_eq!((done.lost[0].segment, done.lost[0].offset), (segment, offset), "{case}");
        assert_eq!(contents(&sim), state_of(&left), "{case}");
    }
}

#[test]
fn a_missing_segment_costs_its_own_records() {
    let (whole, written) = crashed_log();
    let (_, log) = looked_at(&whole, &mut |_| {});
    let with_records: Vec<_> = log.segments.iter().filter(|s| s.records > 0).collect();
    for gone in &with_records[..with_records.len() - 1] {
        let sim = whole.crash(SYNCED, 1);
        sim.remove_file(&log::segment_path(Path::new(DIR), gone.number)).unwrap();
        let (_, found) = looked_at(&sim, &mut |_| {});
        assert!(!found.is_readable());
        let done = salvaged(&sim, false);
        let is_gone = |seq: Seq| seq >= gone.first_seq.unwrap() && seq <= gone.last_seq.unwrap();
        let mut left = written.clone();
        left.retain(|seq, _| !is_gone(*seq));
        assert_eq!(done.records, left.len() as u64);
        let lost: Vec<_> = done.lost.iter().map(|span| (span.segment, span.offset)).collect();
        assert_eq!(lost, [(gone.number, 0)]);
        assert_eq!(contents(&sim), state_of(&left));
    }
}

#[test]
fn what_a_recovery_cut_is_not_brought_back() {
    let sim = SimFs::new(1);
    let store = Store::open(options(&shared(&sim))).unwrap();
    let box_ = store.create_keyspace("kv/box", KeyspaceOptions::default()).unwrap();
    let unsynced = WriteOptions { durability: Some(Durability::Os) };
    for n in 0..5 {
        let mut batch = WriteBatch::new();
        batch.put(box_.id, format!("old{n}").as_bytes(), b"value");
        drop(store.write(&batch, unsynced).unwrap());
    }
    let killed = sim.crash(KILLED, 1);
    drop(store);
    let mut records = Vec::new();
    looked_at(&killed, &mut |record| records.push((record.segment, record.offset)));
    let (segment, offset) = records[2];
    killed.flip_bit(&log::segment_path(Path::new(DIR), segment), offset + 40, 1);

    // The third is cut, and with it the two behind it, whole as they are; their numbers come again.
    let store = Store::open(options(&shared(&killed))).unwrap();
    let box_ = store.keyspace("kv/box").unwrap();
    for n in 0..3 {
        put(&store, &box_, &format!("new{n}"), "value");
    }
    let again = killed.crash(SYNCED, 1);
    drop(store);
    let mut firsts = BTreeMap::new();
    looked_at(&again, &mut |record| {
        firsts.entry(record.seq).or_insert(record.segment);
    });
    assert!(firsts.len() >= 5, "old and new records are there");
    let mut records = Vec::new();
    looked_at(&again, &mut |record| records.push((record.segment, record.offset, record.seq)));
    let (segment, offset, _) = records.iter().rev().find(|(.., seq)| *seq == 3).copied().unwrap();
    again.flip_bit(&log::segment_path(Path::new(DIR), segment), offset + 40, 1);
    let done = salvaged(&again, false);
    assert_eq!(done.lost.len(), 1, "{done:?}");
    let keys: Vec<_> = contents(&again).into_keys().collect();
    assert_eq!(keys, ["new1", "new2", "old0", "old1"]);
}

#[test]
fn a_salvage_that_was_stopped_is_ended_by_the_next() {
    let (whole, written) = crashed_log();
    let mut records = Vec::new();
    looked_at(&whole, &mut |record| records.push((record.segment, record.offset, record.seq)));
    let (segment, offset, seq) = records[10];
    whole.flip_bit(&log::segment_path(Path::new(DIR), segment), offset + 40, 1);
    let mut left = written;
    left.remove(&seq);
    let sim = whole.crash(SYNCED, 1);
    let before = sim.op_count();
    salvaged(&sim, false);
    let ops = sim.op_count() - before;
    for stop in 0..ops {
        let sim = whole.crash(SYNCED, 1);
        sim.crash_at(sim.op_count() + stop);
        let (known, number) = (manifest_of(&whole), FileNumber(1000));
        let bounds = known.state.log_bounds();
        let dir = Path::new(DIR);
        let stopped = salvage(&sim, dir, known.store_id, bounds, number, Scope::All, false);
        for mode in [SYNCED, KILLED] {
            let after = sim.crash(mode, stop);
            let case = format!("stopped at {stop} of {ops} ({}), {mode:?}", stopped.is_ok());
            match Store::open(options(&shared(&after.crash(KILLED, 0)))) {
                Ok(store) => drop(store),
                Err(error) => {
                    assert!(error.is_corrupt(), "{case}: {error}");
                    salvaged(&after, false);
                }
            }
            assert_eq!(contents(&after), state_of(&left), "{case}");
        }
    }
}

fn manifest_of(sim: &SimFs) -> manifest::ManifestReport {
    let sim = sim.crash(SYNCED, 1);
    looked_at(&sim, &mut |_| {}).0
}

/// A store with three versions of `k` in two tables and in the log.
fn versions() -> SimFs {
    let sim = SimFs::new(1);
    let store = Store::open(options(&shared(&sim))).unwrap();
    let box_ = store.create_keyspace("kv/box", KeyspaceOptions::default()).unwrap();
    let other = store.create_keyspace("kv/other", KeyspaceOptions::default()).unwrap();
    for n in 0..300 {
        put(&store, &box_, &format!("a{n:04}"), &format!("value {n}"));
    }
    put(&store, &box_, "k", "one");
    store.flush(None).unwrap();
    put(&store, &other, "k", "elsewhere");
    let mut batch = WriteBatch::new();
    batch.put(box_.id, b"k", b"passed over");
    batch.delete(box_.id, b"k");
    drop(store.write(&batch, WriteOptions::default()).unwrap());
    store.flush(Some(box_.id)).unwrap();
    put(&store, &box_, "k", "three");
    let crashed = sim.crash(SYNCED, 1);
    drop(store);
    crashed
}

#[test]
fn range_deletes_that_cover_a_key_are_found() {
    let sim = versions();
    let store = Store::open(options(&shared(&sim))).unwrap();
    let box_ = store.keyspace("kv/box").unwrap();
    let delete = |start: &[u8], end: &[u8]| {
        let mut batch = WriteBatch::new();
        batch.delete_range(box_.id, start, end);
        drop(store.write(&batch, WriteOptions::default()).unwrap());
    };
    delete(b"b", b"z");
    store.flush(None).unwrap();
    delete(b"k", b"l");
    delete(b"a", b"k");
    let crashed = sim.crash(SYNCED, 1);
    drop(store);
    let report = find(&shared(&crashed), Path::new(DIR), b"k", Some("kv/box")).unwrap();
    let found: Vec<_> = report
        .versions
        .iter()
        .filter(|v| v.kind == Kind::DeleteRange && v.place != Place::Log { is_flushed: true })
        .map(|v| (v.seq, v.value.as_slice(), v.place))
        .collect();
    let log = Place::Log { is_flushed: false };
    assert_eq!(found, [(306, &b"l"[..], log), (305, b"z", Place::Manifest)]);
}

#[test]
fn every_version_of_a_key_is_found() {
    let sim = versions();
    let fs = shared(&sim);
    let report = find(&fs, Path::new(DIR), b"k", Some("kv/box")).unwrap();
    assert_eq!(report.damages, []);
    let found: Vec<_> = report
        .versions
        .iter()
        .map(|v| (v.seq, v.kind, String::from_utf8_lossy(&v.value).into_owned(), v.place))
        .collect();
    let (log, flushed) = (Place::Log { is_flushed: false }, Place::Log { is_flushed: true });
    let level0 = Place::Table { level: 0 };
    let expected = [
        (304, Kind::Put, "three".to_owned(), log),
        (303, Kind::Delete, String::new(), flushed),
        (303, Kind::Put, "passed over".to_owned(), flushed),
        (303, Kind::Delete, String::new(), level0),
        (301, Kind::Put, "one".to_owned(), level0),
    ];
    assert_eq!(found, expected);
    let all = find(&fs, Path::new(DIR), b"k", None).unwrap();
    assert_eq!(all.versions.len(), 6);
    assert!(all.versions.iter().any(|v| &*v.keyspace_name == "kv/other" && v.seq == 302));
    assert_eq!(find(&fs, Path::new(DIR), b"none", None).unwrap().versions, []);
}

#[test]
fn blocks_of_a_table_are_what_was_written_and_damage_hides_only_its_block() {
    let sim = versions();
    let fs = shared(&sim);
    let dir = Path::new(DIR);
    let number = tables(&sim, dir).unwrap()[0];
    let path = crate::manifest::table_path(dir, number);
    let dumped = |sim: &SimFs| {
        let table = table(&shared(sim), &path).unwrap();
        let (mut entries, mut blocks) = (Vec::new(), Vec::new());
        table
            .blocks(None, &mut |block| {
                blocks.push((block.offset, block.stored_bytes, block.upto.to_vec()));
                let of_block = block.entries.unwrap_or_default();
                entries.extend(of_block.into_iter().map(|e| (e.key, e.seq, e.value)));
                Ok(())
            })
            .unwrap();
        (entries, blocks)
    };
    let (entries, blocks) = dumped(&sim);
    let mut expected: Vec<_> = (0..300)
        .map(|n| (format!("a{n:04}").into_bytes(), n + 1, format!("value {n}").into_bytes()))
        .collect();
    expected.push((b"k".to_vec(), 301, b"one".to_vec()));
    assert_eq!(entries, expected);
    assert!(blocks.len() > 1, "several blocks");
    let open = table(&fs, &path).unwrap();
    assert!(open.damages().is_empty());
    let layout = open.layout().unwrap();
    let names: Vec<_> = layout.parts.iter().map(|part| part.name).collect();
    assert_eq!(names, ["filter", "index", "properties", "footer"]);
    assert_eq!(layout.version, crate::table::FORMAT_VERSION);

    let (offset, bytes, upto) = &blocks[0];
    let damaged = sim.crash(SYNCED, 1);
    damaged.flip_bit(&path, offset + bytes / 2, 3);
    let (left, _) = dumped(&damaged);
    let is_left = |(key, ..): &(Vec<u8>, Seq, Vec<u8>)| key > upto;
    let expected: Vec<_> = expected.into_iter().filter(is_left).collect();
    assert_eq!(left, expected);
    let damages = table(&shared(&damaged), &path).unwrap().damages();
    let [damage] = &damages[..] else { panic!("one damage: {damages:?}") };
    assert_eq!((damage.part, damage.keys.as_ref().map(|keys| &keys.1)), ("block", Some(upto)));
    assert!(matches!(damage.error, Error::Corrupt { offset_bytes, .. } if offset_bytes == *offset));
    for part in &layout.parts {
        let damaged = sim.crash(SYNCED, 1);
        damaged.flip_bit(&path, part.offset + part.bytes / 2, 3);
        let damages = table(&shared(&damaged), &path).unwrap().damages();
        assert_eq!(damages[0].part, part.name, "{damages:?}");
    }
}

#[test]
fn edits_of_a_manifest_are_shown_and_damage_hides_only_its_edit() {
    let sim = versions();
    let dir = Path::new(DIR);
    let number = manifest::current(&sim, dir).unwrap();
    let mut views = Vec::new();
    let whole = manifest::read(&sim, dir, number, &mut |view| {
        views.push((view.offset, view.bytes, view.edit.clone()));
    });
    let whole = whole.unwrap();
    assert_eq!(whole.edits, views.len() as u64);
    assert!(whole.damages.is_empty() && whole.misfits.is_empty() && whole.has_snapshot);
    let loaded = crate::manifest::log::load(&sim, dir, &mut |_| {}).unwrap().unwrap();
    assert_eq!((whole.state, whole.store_id), (loaded.state, loaded.store_id));
    let path: PathBuf = dir.join(crate::manifest::manifest_name(number));
    for (index, (offset, bytes, _)) in views.iter().enumerate() {
        let damaged = sim.crash(SYNCED, 1);
        damaged.flip_bit(&path, offset + bytes / 2, 5);
        let mut left = Vec::new();
        let report =
            manifest::read(&damaged, dir, number, &mut |view| left.push(view.edit.clone()));
        let report = report.unwrap();
        let mut expected: Vec<_> = views.iter().map(|(.., edit)| edit.clone()).collect();
        expected.remove(index);
        assert_eq!(left, expected, "edit {index}");
        let [damage] = &report.damages[..] else { panic!("{:?}", report.damages) };
        assert_eq!((damage.offset, damage.bytes), (*offset, *bytes), "edit {index}");
        assert_eq!(damage.is_inside, index + 1 < views.len() || index == 0, "edit {index}");
        assert_eq!(report.has_snapshot, index > 0);
    }
}

#[test]
fn what_is_due_in_a_folder_is_what_the_store_would_begin() {
    let sim = SimFs::new(1);
    let store = Store::open(options(&shared(&sim))).unwrap();
    let box_ = store.create_keyspace("kv/box", KeyspaceOptions::default()).unwrap();
    store.pause_compactions();
    let mut dues = Vec::new();
    for round in 0..6 {
        for n in 0..50 {
            put(&store, &box_, &format!("key{:03}", (n * 7 + round) % 60), "value");
        }
        store.flush(None).unwrap();
        let crashed = sim.crash(SYNCED, 1);
        let (known, _) = looked_at(&crashed, &mut |_| {});
        let record = &known.state.keyspaces[&box_.id];
        let fs = shared(&crashed);
        let policy = store.options().policy;
        let mut levels = Levels::of(&fs, Path::new(DIR), record, policy, 64 << 20).unwrap();
        let (shape, class) = (levels.shape(), store.metrics().classes["kv"].clone());
        assert_eq!((shape.levels, shape.entries), (class.levels, class.entries));
        assert_eq!(shape.pending_bytes, class.pending_bytes);
        let step = levels.step().unwrap();
        let jobs = store.jobs();
        let of_store = jobs.first().map(|job| (job.inputs.clone(), job.output, job.reason));
        let of_folder = step.as_ref().map(|step| {
            (step.plan.inputs.clone(), Some(step.plan.output), step.plan.reason.name())
        });
        assert_eq!(of_folder, of_store, "round {round}");
        if let Some(step) = step {
            assert_eq!(step.after.levels[0].runs, 0, "round {round}");
            assert!(levels.step().unwrap().is_none(), "then nothing is due");
        }
        dues.push(of_store.is_some());
    }
    assert_eq!(dues, [false, false, false, true, true, true]);
}
