//! The pieces that threads share, each by itself: publication, the log's group commit, the list of
//! snapshots, the signal and the workers.

#![expect(clippy::unwrap_used, reason = "a test, also outside its #[test]")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use firndb_engine::background::{Signal, Step, Workers};
use firndb_engine::clock::ManualClock;
use firndb_engine::fs::Fs;
use firndb_engine::fs::sim::{CrashMode, DirOrder, Keep, SimFs};
use firndb_engine::key::{FileNumber, Seq};
use firndb_engine::publish::Publisher;
use firndb_engine::snapshot::Snapshots;
use firndb_engine::wal::{Replay, ReplayOptions, Wal, WalOptions, replay};
use shuttle::sync::Mutex;
use shuttle::sync::atomic::AtomicU64;
use shuttle::thread;

use crate::explore;
use crate::yielding::YieldingFs;

/// Batches become visible in order, once, and whoever waits for one is woken.
#[test]
fn publication_is_in_order_and_wakes_all_who_wait() {
    explore("schedules of the publisher", 40_000, || {
        let publisher = Arc::new(Publisher::new(0));
        let next = Arc::new(AtomicU64::new(1));
        let applied = Arc::new([const { AtomicU64::new(0) }; 8]);
        let writers: Vec<_> = (0..3)
            .map(|_| {
                let (publisher, next, applied) = (publisher.clone(), next.clone(), applied.clone());
                thread::spawn(move || {
                    for _ in 0..2 {
                        let seq = next.fetch_add(1, Ordering::SeqCst);
                        applied[seq as usize].store(1, Ordering::SeqCst);
                        publisher.publish(seq);
                        assert!(publisher.visible() >= seq, "published, so visible");
                    }
                })
            })
            .collect();
        let mut before = 0;
        for _ in 0..3 {
            let visible = publisher.visible();
            assert!(visible >= before, "never goes back");
            let all = (1..=visible).all(|seq| applied[seq as usize].load(Ordering::SeqCst) == 1);
            assert!(all, "{visible} is visible, and one before it is not applied");
            before = visible;
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(publisher.visible(), 6);
    });
}

/// A job that lists the snapshots, then what is visible, misses none that is older.
#[test]
fn a_list_of_snapshots_holds_every_older_one() {
    explore("schedules of snapshots", 20_000, || {
        let publisher = Arc::new(Publisher::new(0));
        let snapshots = Arc::new(Snapshots::default());
        let listed = Arc::new(Mutex::new(None));
        let writer = {
            let publisher = publisher.clone();
            thread::spawn(move || (1..=3).for_each(|seq| publisher.publish(seq)))
        };
        let job = {
            let (publisher, snapshots, listed) =
                (publisher.clone(), snapshots.clone(), listed.clone());
            thread::spawn(move || {
                // All that the job reads is visible before it asks for the list.
                let newest = publisher.visible();
                let live = snapshots.list();
                *listed.lock().unwrap() = Some((newest, live));
            })
        };
        let snapshot = snapshots.take(|| publisher.visible());
        let twin = snapshot.clone();
        drop(snapshot);
        thread::yield_now();
        if let Some((newest, live)) = listed.lock().unwrap().clone() {
            let is_kept = live.contains(&twin.seq()) || twin.seq() >= newest;
            assert!(is_kept, "a job of {newest} with {live:?} drops what {} sees", twin.seq());
        }
        drop(twin);
        writer.join().unwrap();
        job.join().unwrap();
        assert!(snapshots.list().is_empty(), "all were given back");
    });
}

fn log_options() -> WalOptions {
    WalOptions { store_id: 7, segment_bytes: 256, buffer_bytes_max: 200, ..WalOptions::default() }
}

/// What is in the log after a crash that keeps only what was synced.
fn records(fs: &SimFs) -> Vec<Seq> {
    let after = fs.crash(CrashMode { keep: Keep::None, dirs: DirOrder::Any }, 1);
    let mut found = Vec::new();
    let mut visit = |_: FileNumber, seq: Seq, body: &[u8]| {
        assert_eq!(body, [seq as u8; 40], "a record is what was appended");
        found.push(seq);
        Ok(())
    };
    replay(&after, Path::new("/log"), &ReplayOptions::new(7), &mut visit, &|_, _| {}).unwrap();
    found
}

/// Writers share syncs, segments change under them, the buffer is full: what a writer was told to
/// be on disk is on disk, with all before it.
#[test]
fn a_group_commit_acknowledges_what_is_on_disk() {
    explore("schedules of the log", 40_000, || {
        let fs = SimFs::new(1);
        fs.create_dir_all(Path::new("/log")).unwrap();
        let numbers = AtomicUsize::new(1);
        let wal = Wal::create(
            Arc::new(YieldingFs(fs.clone())),
            Path::new("/log"),
            log_options(),
            &Replay::default(),
            Arc::new(ManualClock::at(1)),
            Arc::default(),
            Arc::new(move || FileNumber(numbers.fetch_add(1, Ordering::SeqCst) as u64)),
        );
        let wal = Arc::new(wal.unwrap());
        let next = Arc::new(Mutex::new(1));
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (fs, wal, next) = (fs.clone(), wal.clone(), next.clone());
                thread::spawn(move || {
                    for _ in 0..2 {
                        let mut guard = next.lock().unwrap();
                        let seq = *guard;
                        *guard += 1;
                        let position = wal.append(seq, &[&[seq as u8; 40]]).unwrap();
                        drop(guard);
                        if writer == 0 {
                            wal.write_to(position).unwrap();
                            continue;
                        }
                        wal.sync_to(position).unwrap();
                        let found = records(&fs);
                        assert!(found.iter().copied().eq(1..=found.len() as Seq), "{found:?}");
                        assert!(found.len() as Seq >= seq, "{seq} acknowledged, {found:?} found");
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        wal.close().unwrap();
        assert_eq!(records(&fs), [1, 2, 3, 4, 5, 6]);
    });
}

/// Every job that was made due is done, though nobody waits by time.
#[test]
fn workers_miss_no_signal() {
    explore("schedules of workers", 20_000, || {
        let (signal, due) = (Arc::new(Signal::default()), Arc::new(AtomicU64::new(0)));
        let (done, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let step: Arc<dyn Fn() -> Step + Send + Sync> = {
            let (signal, due, done, is_over) =
                (signal.clone(), due.clone(), done.clone(), is_over.clone());
            Arc::new(move || {
                let take = |due: u64| due.checked_sub(1);
                if due.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
                    done.fetch_add(1, Ordering::SeqCst);
                    signal.raise();
                    Step::Done
                } else if is_over.load(Ordering::SeqCst) == 1 {
                    Step::Stop
                } else {
                    Step::Idle
                }
            })
        };
        let workers = Workers::default();
        workers.start(2, &signal, &step).unwrap();
        for _ in 0..2 {
            due.fetch_add(1, Ordering::SeqCst);
            signal.raise();
        }
        loop {
            let seen = signal.now();
            if done.load(Ordering::SeqCst) == 2 {
                break;
            }
            signal.wait(seen, Duration::from_secs(1));
        }
        is_over.store(1, Ordering::SeqCst);
        signal.raise();
        workers.join();
    });
}
