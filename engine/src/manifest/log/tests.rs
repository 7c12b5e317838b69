//! The manifest: round trips, damage of every byte, crashes at every call, golden bytes.

use super::*;

use crate::clock::ManualClock;
use crate::compress::Compression;
use crate::fs::sim::{CrashMode, SimFs};
use crate::key::KeyspaceId;
use crate::manifest::edit::Change;
use crate::manifest::{Place, TableMeta};
use crate::options::{Leveled, Policy, Tiered};
use crate::range_delete::RangeDelete;
use crate::wal::inspect::SegmentLink;

const STORE: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;

fn dir() -> PathBuf {
    PathBuf::from("/db")
}

fn new_fs() -> Arc<SimFs> {
    let fs = SimFs::new(1);
    fs.create_dir_all(&dir()).unwrap();
    Arc::new(fs)
}

fn open(fs: &Arc<SimFs>) -> Manifest {
    let loaded = load(&**fs, &dir(), &mut |_| {}).unwrap();
    let next = loaded.as_ref().map_or(FileNumber(1), |loaded| loaded.state.next_file);
    let numbers = Arc::new(FileNumbers::from(next));
    let clock = Arc::new(ManualClock::at(1_700_000_000_000_000_000));
    Manifest::new(fs.clone(), &dir(), clock, numbers, STORE, loaded)
}

fn table(number: u64, key: &str) -> TableMeta {
    TableMeta {
        number: FileNumber(number),
        written_as: FileNumber(number),
        bytes: 4096 * number,
        entries: 100,
        deletes: 3,
        raw_bytes: 5000,
        min_seq: 7,
        max_seq: 300,
        is_final: number.is_multiple_of(2),
        clean_seq: 0,
        expires_max_ms: None,
        smallest: key.as_bytes().into(),
        largest: format!("{key}z").as_bytes().into(),
    }
}

fn range_delete(seq: u64) -> RangeDelete {
    RangeDelete { seq, start: (*b"k").into(), end: (*b"m").into() }
}

fn edit(reason: &str, changes: Vec<Change>) -> Edit {
    let mut edit = Edit::new(5, reason);
    edit.changes = changes;
    edit
}

fn log_end(number: u64) -> SegmentLink {
    SegmentLink { number: FileNumber(number), bytes: 300, chain: 0x0403_0201 }
}

/// One edit of each kind of change.
fn edits() -> Vec<Edit> {
    let (a, b) = (KeyspaceId(1), KeyspaceId(300));
    let place = |level, age| Place { level, age };
    let mut create = Edit::new(1, "create");
    let tiered = Policy::Tiered(Tiered { ratio: 1.5, ..Tiered::default() });
    let leveled = Leveled { runs0_trigger: 4, ratio: 10, base_bytes: 64 << 20 };
    create.add_keyspace(a, "kv/a".into(), None, None);
    create.add_keyspace(b, "points".into(), Some(tiered), Some(Compression::Zstd(-3)));
    let mut flush = edit("flush", vec![Change::AddTable(a, place(0, 1), table(10, "k"))]);
    flush.flushed(a, 300, FileNumber(4));
    vec![
        create,
        flush,
        edit("policy", vec![Change::SetPolicy(a, Policy::Leveled(leveled))]),
        edit(
            "compaction",
            vec![
                Change::RemoveTable(a, FileNumber(10)),
                Change::AddTable(a, place(6, 0), table(12, "k")),
                Change::AddTable(b, place(0, 3), table(13, "")),
            ],
        ),
        edit("ttl", vec![Change::SetTtl(a, Some(5)), Change::SetTtl(b, None)]),
        edit(
            "range deletes",
            vec![
                Change::AddRangeDelete(a, range_delete(400)),
                Change::AddRangeDelete(a, range_delete(401)),
                Change::DropRangeDelete(a, range_delete(400)),
                Change::AddTable(
                    a,
                    place(0, 2),
                    TableMeta { clean_seq: 401, expires_max_ms: Some(77), ..table(14, "k") },
                ),
            ],
        ),
        edit("close", vec![Change::LogEnd(log_end(5))]),
        edit("drop", vec![Change::DropKeyspace(b)]),
    ]
}

fn commit_all(manifest: &mut Manifest) {
    for edit in edits() {
        let _ = manifest.commit(edit).unwrap();
    }
}

fn state_of(edits: &[Edit]) -> ManifestState {
    let mut state = ManifestState::default();
    edits.iter().for_each(|edit| state.apply(edit).unwrap());
    state
}

#[test]
fn edits_and_snapshots_survive_encoding() {
    for edit in edits() {
        let mut bytes = Vec::new();
        edit.encode(&mut bytes);
        assert_eq!(Edit::decode(&bytes).unwrap(), edit);
        for len in 0..bytes.len() {
            // A cut may fall between two changes; the record's checksum tells.
            let _ = Edit::decode(&bytes[..len]);
        }
    }
    for count in 0..=edits().len() {
        let state = state_of(&edits()[..count]);
        assert_eq!(state_of(&[state.snapshot(9)]), state, "after {count} edits");
    }
}

#[test]
fn what_was_committed_is_read_back() {
    let fs = new_fs();
    assert!(load(&*fs, &dir(), &mut |_| {}).unwrap().is_none());
    for round in 0..3 {
        let mut manifest = open(&fs);
        manifest.begin().unwrap();
        if round == 0 {
            commit_all(&mut manifest);
        }
        manifest.close().unwrap();
        let mut reasons = Vec::new();
        let visit = &mut |edit: &Edit| reasons.push(edit.reason.clone());
        let loaded = load(&*fs, &dir(), visit).unwrap().unwrap();
        assert_eq!((loaded.store_id, loaded.torn_at_bytes), (STORE, None));
        assert_eq!(loaded.state.keyspaces, state_of(&edits()).keyspaces, "round {round}");
        assert_eq!(reasons.first().map(String::as_str), Some("snapshot"));
        assert_eq!(reasons.last().map(String::as_str), Some("close"));
    }
    // CURRENT and one manifest: the older ones are gone.
    assert_eq!(fs.files().len(), 2, "{:?}", fs.files());
}

#[test]
fn a_long_manifest_is_rolled() {
    let fs = new_fs();
    let mut manifest = open(&fs);
    manifest.begin().unwrap();
    let first = manifest.number();
    let mut create = Edit::new(1, "create");
    create.add_keyspace(KeyspaceId(1), "a".into(), None, None);
    let _ = manifest.commit(create).unwrap();
    for round in 0..3000u64 {
        let mut changes = vec![Change::AddTable(
            KeyspaceId(1),
            Place { level: 0, age: round },
            table(round, &"k".repeat(500)),
        )];
        if round > 0 {
            changes.push(Change::RemoveTable(KeyspaceId(1), FileNumber(round - 1)));
        }
        let _ = manifest.commit(edit("step", changes)).unwrap();
        assert!(manifest.bytes() < 2 * ROLL_BYTES_MIN);
    }
    assert_ne!(manifest.number(), first);
    let state = manifest.state().clone();
    drop(manifest);
    let loaded = load(&*fs, &dir(), &mut |_| {}).unwrap().unwrap();
    assert_eq!(loaded.state.keyspaces, state.keyspaces);
    assert_eq!(loaded.state.keyspaces[&KeyspaceId(1)].tables.len(), 1);
}

/// Every byte flipped, every cut: the same state, an earlier one where the last edit was not ended
/// by a close, or an error. Never another state, never a panic.
#[test]
fn damage_is_found() {
    let fs = new_fs();
    let mut manifest = open(&fs);
    manifest.begin().unwrap();
    commit_all(&mut manifest);
    manifest.close().unwrap();
    let path = dir().join(manifest_name(manifest.number().unwrap()));
    drop(manifest);
    let good = fs.bytes(&path).unwrap();
    let expected = load(&*fs, &dir(), &mut |_| {}).unwrap().unwrap();
    let close_bytes = RECORD_HEADER_BYTES + 8 + 1 + "close".len();
    for at in 0..good.len() {
        for bit in [0, 3, 7] {
            fs.flip_bit(&path, at as u64, bit);
            match load(&*fs, &dir(), &mut |_| {}) {
                Err(error) => {
                    let is_said = error.is_corrupt() || matches!(error, Error::Version { .. });
                    assert!(is_said, "byte {at}: {error}");
                }
                Ok(loaded) => {
                    assert_eq!(loaded.unwrap().state, expected.state, "byte {at}");
                    assert!(at >= good.len() - close_bytes, "byte {at} went unnoticed");
                }
            }
            fs.flip_bit(&path, at as u64, bit);
        }
    }
    let states: Vec<_> = (0..=edits().len()).map(|n| state_of(&edits()[..n]).keyspaces).collect();
    for len in 0..good.len() {
        fs.set_bytes(&path, good[..len].to_vec());
        match load(&*fs, &dir(), &mut |_| {}) {
            Err(error) => assert!(error.is_corrupt(), "cut at {len}: {error}"),
            Ok(loaded) => {
                assert!(states.contains(&loaded.unwrap().state.keyspaces), "cut at {len}")
            }
        }
    }
    let current = dir().join(CURRENT);
    fs.set_bytes(&path, good);
    for at in 0..fs.bytes(&current).unwrap().len() {
        fs.flip_bit(&current, at as u64, 1);
        assert!(load(&*fs, &dir(), &mut |_| {}).unwrap_err().is_corrupt(), "CURRENT byte {at}");
        fs.flip_bit(&current, at as u64, 1);
    }
}

/// Of a process that was killed, too: damage in an edit that was acknowledged is found, whichever
/// it is, and what stands behind the last one costs nothing.
#[test]
fn damage_of_the_last_edit_is_found_though_nobody_closed() {
    for count in 1..=edits().len() {
        let fs = new_fs();
        let mut manifest = open(&fs);
        manifest.begin().unwrap();
        for edit in edits().into_iter().take(count) {
            let _ = manifest.commit(edit).unwrap();
        }
        let path = dir().join(manifest_name(manifest.number().unwrap()));
        let end = manifest.bytes() as usize;
        drop(manifest);
        let good = fs.bytes(&path).unwrap();
        let state = load(&*fs, &dir(), &mut |_| {}).unwrap().unwrap().state;
        assert_eq!(state.keyspaces, state_of(&edits()[..count]).keyspaces);
        for at in HEADER_BYTES..good.len() {
            fs.flip_bit(&path, at as u64, 5);
            match load(&*fs, &dir(), &mut |_| {}) {
                Err(error) => assert!(error.is_corrupt() && at < end, "byte {at}: {error}"),
                Ok(loaded) => {
                    assert!(at >= end, "byte {at} of {end} went unnoticed");
                    assert_eq!(loaded.unwrap().state, state);
                }
            }
            fs.flip_bit(&path, at as u64, 5);
        }
        for len in end..good.len() {
            fs.set_bytes(&path, good[..len].to_vec());
            assert_eq!(load(&*fs, &dir(), &mut |_| {}).unwrap().unwrap().state, state, "{len}");
        }
    }
}

/// A crash at every file operation leaves the state before or after the edit that was under way.
#[test]
fn a_crash_leaves_a_prefix_of_the_edits() {
    let states: Vec<_> = (0..=edits().len()).map(|n| state_of(&edits()[..n]).keyspaces).collect();
    for at in 0.. {
        let fs = new_fs();
        let mut manifest = open(&fs);
        fs.crash_at(fs.op_count() + at);
        let mut acknowledged = 0;
        let mut outcome = manifest.begin();
        for edit in edits() {
            outcome = outcome.and_then(|()| manifest.commit(edit).map(drop));
            acknowledged += usize::from(outcome.is_ok());
        }
        let is_over = outcome.is_ok();
        for seed in 0..3 {
            for mode in CrashMode::ALL {
                let fs = fs.crash(mode, seed);
                let loaded = load(&fs, &dir(), &mut |_| {}).unwrap();
                let keyspaces = loaded.map(|loaded| loaded.state.keyspaces).unwrap_or_default();
                let count = states.iter().rposition(|state| *state == keyspaces);
                let count = count.unwrap_or_else(|| panic!("crash at {at}: no prefix"));
                assert!(count >= acknowledged, "crash at {at}: {count} of {acknowledged}");
            }
        }
        if is_over {
            break;
        }
    }
}

#[test]
fn after_a_failed_write_nothing_is_written() {
    use crate::fs::sim::Fault;
    let fs = new_fs();
    let mut manifest = open(&fs);
    manifest.begin().unwrap();
    fs.inject(fs.op_count()..fs.op_count() + 1, None, Fault::Eio);
    assert!(matches!(manifest.commit(edits().remove(0)), Err(Error::ReadOnly { .. })));
    fs.heal();
    let count = fs.op_count();
    assert!(matches!(manifest.commit(edits().remove(0)), Err(Error::ReadOnly { .. })));
    manifest.close().unwrap();
    assert_eq!(fs.op_count(), count);
}

#[test]
fn the_format_stays() {
    let mut bytes = encode_header(STORE, FileNumber(7));
    let edits = [edit("r", vec![Change::NextFile(FileNumber(300))]), edits().remove(1)];
    for (serial, edit) in edits.iter().enumerate() {
        bytes.extend(encode_record(STORE, FileNumber(7), serial as u32, edit));
    }
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, [GOLDEN_HEADER, GOLDEN].concat());
    // What version 1 wrote is read for ever: its edits are a part of those of version 2.
    for header in [GOLDEN_HEADER, GOLDEN_HEADER_1] {
        let bytes = unhex(&[header, &GOLDEN[..52]].concat());
        let loaded = decode(Path::new("golden"), FileNumber(7), &bytes, &mut |_| {});
        assert_eq!(loaded.unwrap().state.next_file, FileNumber(300));
    }
}

/// Records that stores without range deletes and times to live do not have.
#[test]
fn the_format_of_range_deletes_and_times_to_live_stays() {
    let a = KeyspaceId(1);
    let place = Place { level: 0, age: 2 };
    let table = TableMeta { clean_seq: 401, expires_max_ms: Some(77), ..table(14, "k") };
    let changes = vec![
        Change::AddRangeDelete(a, range_delete(400)),
        Change::DropRangeDelete(a, range_delete(400)),
        Change::AddRangeDelete(a, range_delete(401)),
        Change::SetTtl(a, None),
        Change::SetTtl(a, Some(300)),
        Change::AddTable(a, place, table),
    ];
    let golden: &[u8] = &[
        5, 0, 0, 0, 0, 0, 0, 0, 1, b'r', // time, reason
        11, 1, 0x90, 3, 1, b'k', 1, b'm', // add range delete
        12, 1, 0x90, 3, 1, b'k', 1, b'm', // drop range delete
        11, 1, 0x91, 3, 1, b'k', 1, b'm', // and another
        13, 1, 0, // no time to live
        13, 1, 0xac, 2, // 300 ms
        9, 1, 0, 2, 14, 0x80, 0xc0, 3, 100, 3, 0x88, 0x27, 7, 0xac, 2, // add table
        13, 0x91, 3, 77, 1, b'k', 2, b'k', b'z', // flags: final, clean, expires
    ];
    let edit = edit("r", changes);
    let mut bytes = Vec::new();
    edit.encode(&mut bytes);
    assert_eq!(bytes, golden);
    assert_eq!(Edit::decode(golden).unwrap(), edit);
    // A manifest of them: header, the keyspace, and these bytes.
    let mut create = Edit::new(1, "create");
    create.add_keyspace(a, "kv/a".into(), None, None);
    let mut manifest = unhex(GOLDEN_HEADER);
    manifest.extend(encode_record(STORE, FileNumber(7), 0, &create));
    manifest.extend(encode_record(STORE, FileNumber(7), 1, &edit));
    let loaded = decode(Path::new("golden"), FileNumber(7), &manifest, &mut |_| {}).unwrap();
    let keyspace = &loaded.state.keyspaces[&a];
    assert_eq!(keyspace.ttl_ms, Some(300));
    assert!(keyspace.range_deletes.iter().eq([&range_delete(401)]));
    let snapshot = loaded.state.snapshot(9);
    assert_eq!(state_of(&[snapshot]), loaded.state, "a snapshot has them as well");
}

/// What a store says when it is closed.
#[test]
fn the_format_of_the_end_of_the_log_stays() {
    let edit = edit("r", vec![Change::LogEnd(log_end(130))]);
    let golden: &[u8] = &[
        5, 0, 0, 0, 0, 0, 0, 0, 1, b'r', // time, reason
        14, 0x82, 1, 0xac, 2, 1, 2, 3, 4, // segment 130, 300 bytes, chain
    ];
    let mut bytes = Vec::new();
    edit.encode(&mut bytes);
    assert_eq!(bytes, golden);
    assert_eq!(Edit::decode(golden).unwrap(), edit);
    let state = state_of(std::slice::from_ref(&edit));
    assert_eq!(state.log_end, Some(log_end(130)));
    assert_eq!(state_of(&[state.snapshot(9)]), state, "a snapshot has it as well");
    // It goes with its segment.
    for (from, is_there) in [(129, true), (130, true), (131, false)] {
        let mut after = state.clone();
        let mut edit = Edit::new(1, "flush");
        edit.set_log_from(FileNumber(from));
        after.apply(&edit).unwrap();
        assert_eq!(after.log_end.is_some(), is_there, "{from}");
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[test]
fn an_imported_table_keeps_the_number_it_was_written_under() {
    let imported = TableMeta { written_as: FileNumber(9_000), ..table(12, "k") };
    let change = Change::AddTable(KeyspaceId(1), Place::default(), imported);
    let edit = edit("import", vec![change]);
    let mut bytes = Vec::new();
    edit.encode(&mut bytes);
    assert_eq!(Edit::decode(&bytes).unwrap(), edit);
    let flags = bytes.iter().rposition(|byte| *byte == 3).expect("final and imported");
    bytes[flags] = 3 | 128;
    assert!(Edit::decode(&bytes).is_err(), "a flag of a later version");
}

const GOLDEN_HEADER: &str =
    "6669726e6d616e69020000007766554433221100efcdab89674523010700000000000000aa820faa";
const GOLDEN_HEADER_1: &str =
    "6669726e6d616e69010000007766554433221100efcdab896745230107000000000000008d85d1a8";

const GOLDEN: &str = concat!(
    "8f8bd90a0d000000000000000500000000000000017201ac02164c06872c00000001000000050000",
    "000000000005666c757368090100010a80c0026403882707ac0201016b026b7a0801ac0202ac0203",
    "04",
);

/// The bytes of every policy, as they will always be read.
#[test]
fn policies_come_back() {
    let tiers = Tiered { merge_runs_min: 2, merge_runs_max: 300, ratio: 1.5, runs_max: 12 };
    let leveled = Leveled { runs0_trigger: 4, ratio: 10, base_bytes: 64 << 20 };
    let lazy = crate::options::LazyLeveled { tiers, ratio: 5 };
    let windows = crate::options::TimeWindow { tiers, prefix_bytes: 6 };
    let tail: &[u8] = &[2, 0xac, 2, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 12];
    let cases: [(Policy, Vec<u8>); 4] = [
        (Policy::Leveled(leveled), vec![1, 4, 10, 0x80, 0x80, 0x80, 0x20]),
        (Policy::Tiered(tiers), [&[2], tail].concat()),
        (Policy::LazyLeveled(lazy), [&[3], tail, &[5]].concat()),
        (Policy::TimeWindow(windows), [&[4], tail, &[6]].concat()),
    ];
    for (policy, expected) in cases {
        let edit = edit("", vec![Change::SetPolicy(KeyspaceId(1), policy)]);
        let mut bytes = Vec::new();
        edit.encode(&mut bytes);
        // The time, an empty reason, the tag and the keyspace come first.
        assert_eq!(bytes[11..], expected, "{policy:?}");
        assert_eq!(Edit::decode(&bytes).unwrap(), edit);
    }
}
