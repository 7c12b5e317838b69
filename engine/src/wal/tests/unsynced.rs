//! Segments that were begun before the one before them was on disk.

use super::*;

/// Bodies of the records in [`long_log`].
pub(super) fn long_records(seqs: Range<Seq>) -> Records {
    seqs.map(|seq| (seq, vec![seq as u8; 20 + seq as usize % 30])).collect()
}

/// A log of some segments in which nothing was synced but headers.
pub(super) fn long_log(fs: &SimFs, metrics: &Arc<WalMetrics>, last: Seq) -> Wal {
    let options = WalOptions { segment_bytes: 320, ..options() };
    let (fs_arc, clock): (Arc<dyn Fs>, _) =
        (Arc::new(fs.clone()), Arc::new(ManualClock::default()));
    let new = Replay::default();
    let wal =
        Wal::create(fs_arc, dir(), options, &new, clock, metrics.clone(), numbers(fs)).unwrap();
    for (seq, body) in long_records(1..last + 1) {
        wal.append(seq, &[&body]).unwrap();
    }
    wal.write_to(wal.end()).unwrap();
    wal
}

#[test]
fn what_is_removed_before_a_sync_is_never_synced() {
    let (fs, metrics) = (new_fs(1), Arc::new(WalMetrics::default()));
    let wal = long_log(&fs, &metrics, 30);
    let segments = wal.segments().len() as u64;
    assert!(segments > 5, "{segments}");
    assert_eq!(metrics.read().sync_ns.count(), segments, "a header each");
    wal.remove_before(wal.segment()).unwrap();
    assert_eq!((wal.segments().len(), fs.files().len()), (1, 1));
    wal.sync_to(wal.end()).unwrap();
    assert_eq!(metrics.read().sync_ns.count(), segments + 1, "and the last");
    let after = fs.crash(CrashMode::ALL[0], 1);
    let options = ReplayOptions { bounds: from(wal.segment()), ..ReplayOptions::new(STORE) };
    let (records, _) = read_with(&after, &options).unwrap();
    assert_eq!(records, long_records(records[0].0..31));
}

#[test]
fn a_sync_takes_all_segments_before_it_along() {
    let (fs, metrics) = (new_fs(1), Arc::new(WalMetrics::default()));
    let wal = long_log(&fs, &metrics, 30);
    let segments = wal.segments().len() as u64;
    wal.sync_to(wal.end()).unwrap();
    assert_eq!(metrics.read().sync_ns.count(), 2 * segments);
    for mode in CrashMode::ALL {
        assert_eq!(read(&fs.crash(mode, 1)).unwrap().0, long_records(1..31));
    }
}

/// A torn end may span segments: what lies behind the first record that is not whole is dropped,
/// whatever of it is.
#[test]
fn a_crash_leaves_a_prefix_over_segments_and_recovery_goes_on_from_it() {
    let (mut torn_early, mut dropped) = (0, 0);
    for seed in 0..80 {
        let fs = new_fs(seed);
        let wal = long_log(&fs, &Arc::default(), 30);
        let last_segment = wal.segment();
        drop(wal);
        for mode in CrashMode::ALL {
            let context = format!("seed {seed}, {mode:?}");
            let after = fs.crash(mode, seed);
            let (records, found) = read(&after).unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(records, long_records(1..found.last_seq + 1), "{context}");
            let torn = found.torn_tail.as_ref();
            torn_early += u64::from(torn.is_some_and(|torn| torn.segment < last_segment));
            dropped += found.unused.len();
            check_recovery(&after, found.last_seq, &context);
        }
    }
    assert!(torn_early > 80 && dropped > 160, "{torn_early} torn early, {dropped} dropped");
}

/// Recovery of the log in `fs`, stopped at any call, finds the same the next time, and a log that
/// goes on keeps it.
fn check_recovery(fs: &SimFs, last: Seq, context: &str) {
    let before = fs.crash(CrashMode::ALL[1], 0);
    let survivors = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let (source, kept) = (fs.clone(), survivors.clone());
    fs.observe(Some(Box::new(move |number, _| {
        let mode = CrashMode::ALL[number as usize % CrashMode::ALL.len()];
        kept.lock().push((number, mode, source.crash(mode, number)));
    })));
    let replay = recover_long(fs, last, context);
    let wal = create(fs, options(), &replay).unwrap();
    fs.observe(None);
    assert!(survivors.lock().len() > 3, "{context}");
    for (number, mode, after) in survivors.lock().drain(..) {
        let context = format!("{context}; then call {number}, {mode:?}");
        let again = recover_long(&after, last, &context);
        drop(create(&after, options(), &again).unwrap());
        assert_eq!(read(&after).unwrap().0, long_records(1..last + 1), "{context}");
    }
    let next = &long_records(last + 1..last + 2)[0];
    wal.append(next.0, &[&next.1]).unwrap();
    wal.sync_to(wal.end()).unwrap();
    let after = fs.crash(CrashMode::ALL[0], 1);
    let (records, replay) = read(&after).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert_eq!(records, long_records(1..last + 2), "{context}");
    assert_eq!(replay.torn_tail, None, "{context}");
    // What a read finds it finds of the same files again.
    assert_eq!(read(&before).unwrap().0, long_records(1..last + 1), "{context}");
}

fn recover_long(fs: &SimFs, last: Seq, context: &str) -> Replay {
    let (number, options) = (numbers(fs), ReplayOptions::new(STORE));
    let mut records = Records::new();
    let visit = &mut |_, seq, body: &[u8]| {
        records.push((seq, body.to_vec()));
        Ok(())
    };
    let replay = super::super::recover(fs, dir(), &options, &*number, visit, &|_, _| {});
    let replay = replay.unwrap_or_else(|e| panic!("{context}: {e}"));
    assert_eq!(records, long_records(1..last + 1), "{context}");
    replay
}

/// A killed process leaves records in the page cache that a failed sync may have marked as clean:
/// none is visited that could be lost later.
#[test]
fn what_a_failed_sync_left_of_several_segments_is_made_durable_before_it_is_built_on() {
    for fails in 0..4 {
        for seed in 0..20 {
            let fs = new_fs(seed);
            let wal = long_log(&fs, &Arc::default(), 30);
            let from = fs.op_count() + fails;
            fs.inject(from..u64::MAX, Some(OpKind::Sync), Fault::Eio);
            wal.sync_to(wal.end()).unwrap_err();
            fs.heal();
            drop(wal);
            let context = format!("seed {seed}, {fails} synced");
            let last = read(&fs).unwrap().1.last_seq;
            recover_long(&fs, last, &context);
            for mode in CrashMode::ALL {
                let after = fs.crash(mode, seed);
                assert_eq!(
                    read(&after).unwrap().0,
                    long_records(1..last + 1),
                    "{context}, {mode:?}"
                );
            }
        }
    }
}

/// Found in review: recovery read all of a log twice, where a header proves most of it.
#[test]
fn recovery_reads_once_what_a_header_proves() {
    let rotated = new_fs(1);
    let wal = long_log(&rotated, &Arc::default(), 30);
    wal.sync_to(wal.end()).unwrap();
    wal.rotate().unwrap();
    wal.sync_to(wal.end()).unwrap();
    drop(wal);
    // Each look for segments reads the headers: recovery looks once or twice more.
    for (what, fs, looks) in [("rotated", rotated, 1), ("synced, but its end", small_log().0, 2)] {
        let reads_of_first = || {
            let trace = fs.trace();
            trace.iter().filter(|op| op.kind == OpKind::Read && op.path == path(1)).count()
        };
        fs.start_trace();
        read(&fs).unwrap();
        let of_replay = reads_of_first();
        let (number, options) = (numbers(&fs), ReplayOptions::new(STORE));
        fs.start_trace();
        let visit = &mut |_, _, _: &[u8]| Ok(());
        super::super::recover(&fs, dir(), &options, &*number, visit, &|_, _| {}).unwrap();
        assert_eq!(reads_of_first(), of_replay + looks, "{what}");
    }
}

/// Once a later record or header says that they were on disk, segments that were sealed without a
/// sync are as good as others.
#[test]
fn damage_before_a_sync_is_found_in_segments_that_were_begun_without() {
    let a_torn_first = "a record behind a torn first one";
    for vouches in ["a later record", "the next header", a_torn_first, "the seal of the log"] {
        let fs = new_fs(1);
        let wal = long_log(&fs, &Arc::default(), 20);
        if vouches == a_torn_first {
            wal.rotate().unwrap();
        }
        wal.sync_to(wal.end()).unwrap();
        match vouches {
            _ if vouches == a_torn_first => {
                for (seq, body) in long_records(21..23) {
                    wal.append(seq, &[&body]).unwrap();
                }
                wal.write_to(wal.end()).unwrap();
                fs.flip_bit(&path(wal.segment().0), 80, 0);
            }
            "a later record" => {
                let next = &long_records(21..22)[0];
                wal.append(next.0, &[&next.1]).unwrap();
                wal.write_to(wal.end()).unwrap();
            }
            "the next header" => {
                wal.rotate().unwrap();
                wal.sync_to(wal.end()).unwrap();
            }
            _ => wal.close().unwrap(),
        }
        let last = wal.segments().last().map_or(wal.segment(), |info| info.number);
        let (whole, sealed) = (read(&fs).unwrap().0, wal.segments());
        for info in sealed.iter().filter(|info| info.number < last) {
            for offset in 0..info.bytes {
                let damaged = fs.crash(CrashMode::ALL[1], 0);
                damaged.flip_bit(&path(info.number.0), offset, offset as u8 % 8);
                let found = read(&damaged);
                let context = format!("{vouches}: {} at {offset}", info.number.0);
                assert!(found.is_err_and(|e| e.is_corrupt()), "{context}");
            }
        }
        assert!(whole.len() >= 20 && sealed.len() > 3);
    }
}
