//! The log against crashes, faults and flipped bits.

mod damage;
mod golden;
mod unsynced;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::fs::Fs;
use crate::fs::sim::{CrashMode, DirOrder, Fault, Keep, OpKind, Rng, SimFs};
use crate::{Error, Result};

const STORE: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;

fn dir() -> &'static Path {
    Path::new("/wal")
}

fn options() -> WalOptions {
    WalOptions { store_id: STORE, segment_bytes: 1024, buffer_bytes_max: 512, ..Default::default() }
}

fn new_fs(seed: u64) -> SimFs {
    let fs = SimFs::new(seed);
    fs.create_dir_all(dir()).unwrap();
    fs
}

fn path(number: u64) -> PathBuf {
    dir().join(file_name(FileNumber(number)))
}

/// Numbers as the store gives them: behind everything on disk.
fn numbers(fs: &SimFs) -> Numbers {
    let names = fs.files().into_iter().filter_map(|p| file_number(p.file_name()?.to_str()?));
    let last = AtomicU64::new(names.map(|n| n.0).max().unwrap_or(0));
    Arc::new(move || FileNumber(last.fetch_add(1, Ordering::Relaxed) + 1))
}

fn create(fs: &SimFs, options: WalOptions, replayed: &Replay) -> Result<Wal> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let fs_arc: Arc<dyn Fs> = Arc::new(fs.clone());
    Wal::create(fs_arc, dir(), options, replayed, clock, Arc::default(), numbers(fs))
}

type Records = Vec<(Seq, Vec<u8>)>;

fn read_with(fs: &SimFs, options: &ReplayOptions) -> Result<(Records, Replay)> {
    let mut records = Vec::new();
    let mut visit = |_, seq, body: &[u8]| {
        records.push((seq, body.to_vec()));
        Ok(())
    };
    let replay = replay(fs, dir(), options, &mut visit, &|done, total| assert!(done <= total))?;
    assert_eq!(replay.records, records.len() as u64);
    Ok((records, replay))
}

fn from(number: FileNumber) -> LogBounds {
    LogBounds { from: number, end: None }
}

fn read(fs: &SimFs) -> Result<(Records, Replay)> {
    read_with(fs, &ReplayOptions::new(STORE))
}

/// As `read`, for going on from there.
fn recover(fs: &SimFs) -> Result<Replay> {
    let (number, mut last_seq) = (numbers(fs), 0);
    let mut visit = |_, seq, found: &[u8]| {
        assert!(found == body(seq) && seq == last_seq + 1);
        last_seq = seq;
        Ok(())
    };
    let options = ReplayOptions::new(STORE);
    super::recover(fs, dir(), &options, &*number, &mut visit, &|_, _| {})
}

/// The body of record `seq`: any length, told by its number.
fn body(seq: Seq) -> Vec<u8> {
    let mut rng = Rng::new(seq);
    let len = if rng.one_in(16) { rng.below(1500) } else { rng.below(60) };
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

fn expected(seqs: Range<Seq>) -> Records {
    seqs.map(|seq| (seq, body(seq))).collect()
}

fn append(wal: &Wal, seq: Seq) -> Result<LogPosition> {
    let body = body(seq);
    let (front, back) = body.split_at(body.len() / 3);
    wal.append(seq, &[front, back])
}

/// Runs a script from what is on `fs`; gives the last sequence number that was acknowledged as
/// durable and the last that was appended. One step in 4 is a sync.
fn run_script(fs: &SimFs, seed: u64, steps: u64, acked: &AtomicU64) -> Result<u64> {
    run_syncing(fs, seed, steps, acked, 4)
}

/// As `run_script`, with a sync every `sync_every` steps or so.
fn run_syncing(
    fs: &SimFs,
    seed: u64,
    steps: u64,
    acked: &AtomicU64,
    sync_every: u64,
) -> Result<u64> {
    let mut rng = Rng::new(seed);
    let replayed = recover(fs)?;
    let wal = create(fs, options(), &replayed)?;
    let mut seq = replayed.last_seq;
    for _ in 0..steps {
        if rng.one_in(sync_every) {
            wal.sync_to(wal.end())?;
            acked.store(seq, Ordering::SeqCst);
            continue;
        }
        match rng.below(15) {
            0 => wal.rotate()?,
            1 => wal.write_to(wal.end())?,
            // A failed preparation stops nothing.
            2..4 => drop(wal.prepare_next()),
            _ => {
                seq += 1;
                append(&wal, seq)?;
            }
        }
    }
    wal.close()?;
    acked.store(seq, Ordering::SeqCst);
    Ok(seq)
}

#[test]
fn records_come_back_in_order() {
    for seed in 0..20 {
        let fs = new_fs(seed);
        let acked = AtomicU64::new(0);
        for round in 0..4 {
            let last = run_script(&fs, seed * 10 + round, 100, &acked).unwrap();
            let (records, replay) = read(&fs).unwrap();
            assert_eq!(records, expected(1..last + 1), "seed {seed}");
            assert_eq!((replay.last_seq, replay.torn_tail), (last, None));
            let firsts = replay.segments.iter().filter_map(|s| s.first_seq);
            let lasts = replay.segments.iter().filter_map(|s| s.last_seq);
            assert!(lasts.zip(firsts.skip(1)).all(|(last, first)| first == last + 1));
        }
    }
}

/// What must hold of a log after a crash: a prefix with everything that was acknowledged, found
/// the same twice, and a log that goes on from there.
fn check_survivor(after: &SimFs, acked: u64, context: &str) {
    let (records, replay) = read(after).unwrap_or_else(|e| panic!("{context}: {e}"));
    let last = replay.last_seq;
    assert_eq!(records, expected(1..last + 1), "{context}: a prefix");
    assert!(last >= acked, "{context}: {last} records, {acked} acknowledged");
    let replay = recover(after).unwrap_or_else(|e| panic!("{context}, recover: {e}"));
    assert_eq!(replay.last_seq, last, "{context}: the same");
    let wal = create(after, options(), &replay).unwrap();
    append(&wal, last + 1).unwrap();
    wal.sync_to(wal.end()).unwrap();
    // The machine stops again; what recovery built on must be durable by now.
    let again = after.crash(CrashMode { keep: Keep::None, dirs: DirOrder::Any }, 1);
    let (records, replay) = read(&again).unwrap_or_else(|e| panic!("{context}, again: {e}"));
    assert_eq!(records, expected(1..last + 2), "{context}: goes on");
    assert_eq!(replay.torn_tail, None, "{context}: cut once");
}

#[test]
fn a_crash_at_any_call_loses_nothing_acknowledged() {
    let mut points = 0;
    for (seed, sync_every) in (0..6).zip([4, 4, 4, 15, 50, 1000]) {
        let fs = new_fs(seed);
        let acked = Arc::new(AtomicU64::new(0));
        let (source, acked_then) = (fs.clone(), acked.clone());
        let survivors = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let kept = survivors.clone();
        fs.observe(Some(Box::new(move |number, _| {
            for mode in CrashMode::ALL {
                let after = source.crash(mode, number ^ seed << 32);
                let context = format!("seed {seed}, call {number}, {mode:?}");
                kept.lock().push((after, acked_then.load(Ordering::SeqCst), context));
            }
        })));
        run_syncing(&fs, seed, 120, &acked, sync_every).unwrap();
        run_syncing(&fs, seed + 100, 60, &acked, sync_every).unwrap();
        fs.observe(None);
        for (after, acked, context) in survivors.lock().drain(..) {
            check_survivor(&after, acked, &context);
            points += 1;
        }
    }
    assert!(points > 3000, "{points} crash points");
}

#[test]
fn a_fault_at_any_call_stops_the_log_or_does_not_matter() {
    for fault in [Fault::Eio, Fault::NoSpace, Fault::Interrupted, Fault::Short] {
        for forever in [false, true] {
            if forever && fault == Fault::Interrupted {
                continue; // retried for ever, as it should be
            }
            let total = {
                let fs = new_fs(1);
                run_script(&fs, 5, 80, &AtomicU64::new(0)).unwrap();
                fs.op_count()
            };
            for at in 1..total {
                let fs = new_fs(1);
                let acked = AtomicU64::new(0);
                fs.inject(at..if forever { u64::MAX } else { at + 1 }, None, fault);
                let result = run_script(&fs, 5, 80, &acked);
                let harmless = matches!(fault, Fault::Interrupted | Fault::Short);
                assert!(result.is_ok() || !harmless, "{fault:?} at call {at}: {result:?}");
                fs.heal();
                for mode in CrashMode::ALL {
                    let context = format!("{fault:?} at call {at}, {mode:?}");
                    check_survivor(&fs.crash(mode, at), acked.load(Ordering::SeqCst), &context);
                }
            }
        }
    }
}

/// The kernel forgets that pages are dirty when a sync fails, and shows them to the next process.
#[test]
fn what_a_failed_sync_left_in_the_cache_is_made_durable_before_it_is_built_on() {
    for seed in 0..50 {
        let fs = new_fs(seed);
        let wal = create(&fs, options(), &Replay::default()).unwrap();
        for seq in 1..=6 {
            append(&wal, seq).unwrap();
            if seq == 2 {
                wal.sync_to(wal.end()).unwrap();
            }
        }
        fs.inject(0..u64::MAX, Some(OpKind::Sync), Fault::Eio);
        wal.sync_to(wal.end()).unwrap_err();
        fs.heal();
        drop(wal);
        let replay = recover(&fs).unwrap();
        let last = replay.last_seq;
        assert!(last >= 2);
        for mode in CrashMode::ALL {
            let context = format!("seed {seed}, {mode:?}");
            check_survivor(&fs.crash(mode, seed), last, &context);
        }
        let wal = create(&fs, options(), &replay).unwrap();
        append(&wal, last + 1).unwrap();
        wal.sync_to(wal.end()).unwrap();
        check_survivor(&fs.crash(CrashMode::ALL[0], seed), last + 1, &format!("seed {seed}"));
    }
}

#[test]
fn after_a_failed_sync_nothing_is_written_any_more() {
    for kind in [OpKind::Sync, OpKind::Write] {
        let fs = new_fs(1);
        let wal = create(&fs, options(), &Replay::default()).unwrap();
        append(&wal, 1).unwrap();
        wal.sync_to(wal.end()).unwrap();
        let durable = wal.end();
        append(&wal, 2).unwrap();
        fs.inject(0..u64::MAX, Some(kind), Fault::Eio);
        let error = wal.sync_to(wal.end()).unwrap_err();
        assert!(matches!(&error, Error::ReadOnly { cause } if matches!(**cause, Error::Io { .. })));
        fs.heal();
        let calls = fs.op_count();
        assert!(matches!(wal.append(3, &[]), Err(Error::ReadOnly { .. })));
        assert!(matches!(wal.sync_to(wal.end()), Err(Error::ReadOnly { .. })));
        assert!(matches!(wal.rotate(), Err(Error::ReadOnly { .. })));
        assert!(matches!(wal.close(), Err(Error::ReadOnly { .. })));
        wal.sync_to(durable).unwrap();
        assert_eq!(fs.op_count(), calls, "no call, no retried sync");
    }
}

/// A log of a few segments, the last one with a tail that was written and not synced.
/// Gives it with the last sequence number that was synced.
fn small_log() -> (SimFs, u64) {
    let fs = new_fs(1);
    let options = WalOptions { segment_bytes: 320, ..options() };
    let wal = create(&fs, options, &Replay::default()).unwrap();
    let append = |seq: u64| wal.append(seq, &[&vec![seq as u8; 5 + seq as usize * 3]]).unwrap();
    for seq in 1..=9 {
        append(seq);
        wal.sync_to(wal.end()).unwrap();
    }
    append(10);
    append(11);
    wal.write_to(wal.end()).unwrap();
    assert!(wal.segments().len() >= 3);
    (fs, 9)
}

fn small_records() -> Records {
    (1..=11).map(|seq: u64| (seq, vec![seq as u8; 5 + seq as usize * 3])).collect()
}

#[test]
fn obsolete_segments_go_and_stay_gone() {
    let fs = new_fs(1);
    let wal = create(&fs, options(), &Replay::default()).unwrap();
    for seq in 1..=40 {
        append(&wal, seq).unwrap();
    }
    let (keep, count) = (wal.segment(), wal.segments().len());
    assert!(count > 2);
    wal.rotate().unwrap();
    wal.remove_before(keep).unwrap();
    wal.sync_to(wal.end()).unwrap();
    fs.inject(0..u64::MAX, Some(OpKind::Remove), Fault::Eio);
    assert!(wal.remove_before(keep).is_err());
    fs.heal();
    wal.remove_before(keep).unwrap();
    let kept: Vec<_> = wal.segments().iter().map(|s| s.number).collect();
    assert_eq!(kept, [keep, wal.segment()]);
    // The unlinks were not synced: the files may come back.
    let after = fs.crash(CrashMode { keep: Keep::None, dirs: DirOrder::Any }, 0);
    let options = ReplayOptions { bounds: from(keep), ..ReplayOptions::new(STORE) };
    let (records, replay) = read_with(&after, &options).unwrap();
    assert_eq!(records, expected(replay.segments[0].first_seq.unwrap()..41));
    assert!(!replay.unused.is_empty());
    drop(create(&after, self::options(), &replay).unwrap());
    let (_, replay) = read_with(&after, &options).unwrap();
    assert_eq!(replay.unused.len(), 1, "the new one, which has no record");
}

#[test]
fn the_next_segment_is_prepared_once_and_used() {
    let fs = new_fs(1);
    let metrics = Arc::new(WalMetrics::default());
    let fs_arc: Arc<dyn Fs> = Arc::new(fs.clone());
    let clock = Arc::new(ManualClock::default());
    let replay = Replay::default();
    let wal = Wal::create(fs_arc, dir(), options(), &replay, clock, metrics.clone(), numbers(&fs));
    let wal = wal.unwrap();
    assert!(!wal.needs_prepare());
    wal.append(1, &[&[0; 300]]).unwrap();
    assert!(!wal.needs_prepare(), "nobody syncs");
    wal.sync_to(wal.end()).unwrap();
    wal.append(1, &[]).unwrap();
    assert!(wal.needs_prepare());
    wal.prepare_next().unwrap();
    assert_eq!(fs.bytes(&path(2)).unwrap(), [0; 1024]);
    wal.append(2, &[&[0; 300]]).unwrap();
    assert!(!wal.needs_prepare());
    assert_eq!(wal.segment(), FileNumber(1));
    // Ready on disk but never used: found unused.
    wal.sync_to(wal.end()).unwrap();
    assert_eq!(read(&fs).unwrap().1.unused, [FileNumber(2)]);
    wal.rotate().unwrap();
    wal.append(3, &[&[0; 300]]).unwrap();
    wal.sync_to(wal.end()).unwrap();
    wal.append(3, &[]).unwrap();
    assert_eq!(wal.segment(), FileNumber(2));
    // Too late: the log is already in a segment with a larger number.
    assert!(wal.needs_prepare());
    fs.inject(0..u64::MAX, Some(OpKind::Create), Fault::NoSpace);
    assert!(wal.prepare_next().unwrap_err().is_no_space());
    fs.heal();
    wal.append(4, &[&[0; 300]]).unwrap();
    assert!(!wal.needs_prepare(), "asked once a segment");
    wal.rotate().unwrap();
    wal.append(5, &[]).unwrap();
    wal.close().unwrap();
    let counts = metrics.read();
    assert_eq!((counts.segments_created, counts.segments_prepared, counts.records), (3, 1, 7));
    assert_eq!(read(&fs).unwrap().0.len(), 7);
}

#[test]
fn an_idle_log_gives_its_room_back() {
    let fs = new_fs(1);
    let wal = create(&fs, options(), &Replay::default()).unwrap();
    wal.sync_to(append(&wal, 1).unwrap()).unwrap();
    wal.append(1, &[&[0; 300]]).unwrap();
    wal.prepare_next().unwrap();
    wal.rotate().unwrap();
    assert_eq!(wal.segment(), FileNumber(2), "the prepared one is in use, empty and filled");
    wal.shrink().unwrap();
    assert_eq!(wal.segment(), FileNumber(3));
    wal.remove_before(wal.segment()).unwrap();
    assert_eq!(fs.files(), [path(3)]);
    wal.shrink().unwrap();
    assert_eq!(wal.segment(), FileNumber(3), "nothing more to give");
    wal.sync_to(append(&wal, 2).unwrap()).unwrap();
    wal.append(2, &[&[0; 300]]).unwrap();
    wal.prepare_next().unwrap();
    wal.shrink().unwrap();
    assert!(!fs.exists(&path(4)).unwrap(), "the segment prepared and not used went");
    append(&wal, 3).unwrap();
    wal.sync_to(wal.end()).unwrap();
    let after = fs.crash(CrashMode { keep: Keep::None, dirs: DirOrder::Any }, 0);
    let options = ReplayOptions { bounds: from(FileNumber(3)), ..ReplayOptions::new(STORE) };
    assert_eq!(read_with(&after, &options).unwrap().0.len(), 3);
}

#[test]
fn appends_go_on_while_a_sync_runs_and_share_the_next() {
    let fs = new_fs(1);
    let wal = Arc::new(create(&fs, options(), &Replay::default()).unwrap());
    append(&wal, 1).unwrap();
    let first = wal.end();
    let (inside, seq) = (wal.clone(), AtomicU64::new(1));
    fs.observe(Some(Box::new(move |_, op| {
        if op.kind == OpKind::Sync {
            // Would never return if the sync were under the append lock.
            append(&inside, seq.fetch_add(1, Ordering::Relaxed) + 1).unwrap();
        }
    })));
    wal.sync_to(first).unwrap();
    fs.observe(None);
    assert!(wal.durable() == first && wal.end() > first);
    wal.sync_to(wal.end()).unwrap();
    assert_eq!(read(&fs).unwrap().0, expected(1..3));
}

#[test]
fn many_threads_append_and_wait() {
    let fs = new_fs(1);
    let wal = create(&fs, options(), &Replay::default()).unwrap();
    let last = parking_lot::Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for index in 0..100 {
                    let position = {
                        let mut last = last.lock();
                        *last += 1;
                        append(&wal, *last).unwrap()
                    };
                    if index % 3 == 0 {
                        wal.write_to(position).unwrap();
                    } else {
                        wal.sync_to(position).unwrap();
                        assert!(wal.durable() >= position);
                    }
                }
            });
        }
    });
    wal.close().unwrap();
    assert_eq!(read(&fs).unwrap().0, expected(1..801));
}

#[test]
fn the_buffer_is_bounded_and_limits_hold() {
    let fs = new_fs(1);
    let options = WalOptions { record_bytes_max: 2000, ..options() };
    let wal = create(&fs, options, &Replay::default()).unwrap();
    for seq in 1..=10 {
        wal.append(seq, &[&[1; 200]]).unwrap();
        let held = wal.end().0 - wal.written_bytes();
        // A seal and the next header are made on top, where a segment ends.
        assert!(held <= 512 + 32 + 64, "{held}");
    }
    wal.append(11, &[&[1; 2000]]).unwrap();
    let refused = wal.append(12, &[&[1; 1000], &[1; 1001]]);
    assert!(matches!(refused, Err(Error::Limit { limit: 2000, got: 2001, .. })));
    wal.close().unwrap();
    assert_eq!(read(&fs).unwrap().0.len(), 11);
    let options = ReplayOptions { record_bytes_max: 1999, ..ReplayOptions::new(STORE) };
    assert!(matches!(read_with(&fs, &options), Err(Error::Limit { .. })), "never cut silently");
}

#[test]
fn a_record_larger_than_one_read_comes_back() {
    let fs = new_fs(1);
    let wal = create(&fs, options(), &Replay::default()).unwrap();
    let large = vec![9; 3 << 20];
    wal.append(1, &[&large]).unwrap();
    wal.append(2, &[b"small"]).unwrap();
    wal.sync_to(wal.end()).unwrap();
    let (records, replay) = read(&fs).unwrap();
    assert!(records[0].1 == large && records[1].1 == b"small");
    assert_eq!(replay.segments.len(), 2);
    // Damage far ahead of where the look-ahead's first window ends.
    wal.append(3, &[&large]).unwrap();
    wal.sync_to(wal.end()).unwrap();
    wal.append(4, &[&large]).unwrap();
    wal.append(5, &[b"last"]).unwrap();
    wal.sync_to(wal.end()).unwrap();
    let (records, replay) = read(&fs).unwrap();
    assert_eq!((records.len(), replay.torn_tail), (5, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever lies in the last segment behind its header, replay answers and does not panic.
    #[test]
    fn garbage_never_panics(
        garbage in proptest::collection::vec(any::<u8>(), 0..600),
        at in 0usize..600,
    ) {
        let (fs, _) = small_log();
        let file = fs.files().pop().unwrap();
        let mut bytes = fs.bytes(&file).unwrap();
        let at = at.min(bytes.len());
        bytes.splice(at..(at + garbage.len()).min(bytes.len()), garbage);
        fs.set_bytes(&file, bytes);
        match read(&fs) {
            Ok((records, _)) => prop_assert_eq!(&records[..], &small_records()[..records.len()]),
            Err(error) => prop_assert!(error.is_corrupt(), "{}", error),
        }
    }
}

#[derive(Default)]
struct Wakes(AtomicU64);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn wakers_are_woken_by_the_sync_that_covers_them_and_not_before() {
    let fs = new_fs(1);
    let wal = create(&fs, options(), &Replay::default()).unwrap();
    let ends = [1, 2].map(|seq| wal.append(seq, &[b"body"]).unwrap());
    let all: [Arc<Wakes>; 3] = Default::default();
    let count = |at: usize| all[at].0.load(Ordering::SeqCst);
    let mut tickets = [None; 3];
    let poll = |at: usize, end, tickets: &mut [Option<Ticket>; 3]| {
        wal.poll_durable(end, &mut tickets[at], &all[at].clone().into())
    };
    assert!(poll(0, ends[0], &mut tickets).is_pending() && wal.is_waited_for());
    assert!(poll(1, ends[1], &mut tickets).is_pending());
    assert!(poll(1, ends[1], &mut tickets).is_pending(), "again: one place in the line");
    assert!(poll(2, ends[1], &mut tickets).is_pending());
    wal.stop_waiting(tickets[2].unwrap());
    wal.write_to(ends[1]).unwrap();
    assert_eq!([0, 1, 2].map(count), [0, 0, 0], "written is not synced");
    assert!(poll(0, ends[0], &mut tickets).is_pending());
    wal.sync_to(ends[1]).unwrap();
    assert_eq!([0, 1, 2].map(count), [1, 1, 0], "the third one had left");
    assert!(!wal.is_waited_for());
    assert!(matches!(poll(0, ends[0], &mut tickets), std::task::Poll::Ready(Ok(()))));
    let end = wal.append(3, &[b"body"]).unwrap();
    assert!(poll(0, end, &mut tickets).is_pending());
    fs.inject(0..u64::MAX, Some(OpKind::Sync), Fault::Eio);
    assert!(wal.sync_to(end).is_err());
    assert_eq!(count(0), 2, "a failure wakes, too");
    let outcome = poll(0, end, &mut tickets);
    assert!(matches!(outcome, std::task::Poll::Ready(Err(Error::ReadOnly { .. }))));
}
