//! Commits that are awaited: no thread waits, and none resolves before its sync.

use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Wake, Waker};

use super::*;
use crate::fs::sim::{CrashMode, Fault, Keep, OpKind};

/// Notes that it was woken, and wakes the thread that waits.
struct Woken(AtomicBool, std::thread::Thread);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
        self.1.unpark();
    }
}

/// Polls until it is ready, parked in between; gives how often it was pending.
fn block_on<T>(future: impl Future<Output = T>) -> (T, usize) {
    let woken = Arc::new(Woken(AtomicBool::new(false), std::thread::current()));
    let waker = Waker::from(woken.clone());
    let (mut future, mut pending) = (pin!(future), 0);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return (value, pending),
            Poll::Pending => pending += 1,
        }
        while !woken.0.swap(false, Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

fn store_with_threads(fs: &SimFs) -> (Store, Keyspace) {
    let mut options = options(&(Arc::new(fs.clone()) as Arc<dyn Fs>));
    options.background = Background::Threads(2);
    let store = Store::open(options).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    (store, keyspace)
}

fn batch(keyspace: &Keyspace, key: &str) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(keyspace.id, key.as_bytes(), b"v");
    batch
}

/// What is left when the machine stops now and keeps nothing that was not synced.
fn after_crash(fs: &SimFs) -> Store {
    let mode = CrashMode::ALL.into_iter().find(|mode| mode.keep == Keep::None).unwrap();
    let fs: Arc<dyn Fs> = Arc::new(fs.crash(mode, 1));
    Store::open(options(&fs)).unwrap()
}

#[test]
fn what_is_awaited_is_on_disk_when_it_resolves() {
    let fs = SimFs::new(1);
    let (store, a) = store_with_threads(&fs);
    let mut pending = 0;
    for round in 0..60 {
        let commit = store.write_no_wait(&batch(&a, &format!("{round}")), Default::default());
        let (outcome, times) = block_on(commit.unwrap().into_future());
        pending += times;
        let commit = outcome.unwrap();
        assert!(commit.is_durable());
        let after = after_crash(&fs);
        assert_eq!(get(&after, &a, &format!("{round}")).as_deref(), Some("v"), "round {round}");
    }
    assert!(pending > 0, "at times the disk had to be waited for");
    store.close().unwrap();
}

#[test]
fn without_a_sync_nothing_is_durable_and_a_sync_by_others_counts() {
    let fs = SimFs::new(1);
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let store = Store::open(options(&shared)).unwrap();
    let a = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    let first = store.write_no_wait(&batch(&a, "1"), WriteOptions::default()).unwrap();
    let second = store.write_no_wait(&batch(&a, "2"), WriteOptions::default()).unwrap();
    assert!(!first.is_durable() && !second.is_durable());
    assert_eq!(get(&after_crash(&fs), &a, "1"), None);
    // A store without threads syncs where it is polled.
    let (outcome, times) = block_on(second.clone().into_future());
    assert!(outcome.is_ok() && times == 0);
    assert!(first.is_durable() && second.is_durable());
    assert!(get(&after_crash(&fs), &a, "1").is_some());
    let nothing = store.write_no_wait(&WriteBatch::new(), WriteOptions::default()).unwrap();
    assert!(nothing.is_durable());
}

#[test]
fn many_futures_share_syncs_and_those_dropped_are_forgotten() {
    let fs = SimFs::new(1);
    let (store, a) = store_with_threads(&fs);
    let futures: Vec<_> = (0..200)
        .map(|at| {
            let batch = batch(&a, &format!("{at}"));
            store.write_no_wait(&batch, WriteOptions::default()).unwrap().into_future()
        })
        .collect();
    let waker = Waker::from(Arc::new(Woken(AtomicBool::new(false), std::thread::current())));
    for (at, future) in futures.into_iter().enumerate() {
        let mut future = Box::pin(future);
        // Some are polled once and given up.
        let _ = future.as_mut().poll(&mut Context::from_waker(&waker));
        if at % 3 > 0 {
            assert!(block_on(future).0.is_ok());
        }
    }
    let syncs = store.metrics().wal.sync_ns.count();
    assert!(syncs < 150, "{syncs} syncs of 200 writes");
    store.close().unwrap();
}

/// The log fails, or the store is closed meanwhile: every future ends, and well only where its
/// write is on disk.
#[test]
fn no_future_waits_for_ever() {
    for (seed, fails) in (0..24).zip([true, false].into_iter().cycle()) {
        let fs = SimFs::new(seed);
        let (store, a) = store_with_threads(&fs);
        if fails {
            let at = fs.op_count() + seed;
            fs.inject(at..u64::MAX, Some(OpKind::Sync), Fault::Eio);
        }
        let outcomes = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let (store, a) = (&store, &a);
                    scope.spawn(move || {
                        let mut outcomes = Vec::new();
                        for count in 0..20 {
                            let key = format!("{writer}-{count}");
                            let commit = store.write_no_wait(&batch(a, &key), Default::default());
                            let Ok(commit) = commit else { break };
                            outcomes.push((key, block_on(commit.into_future()).0.is_ok()));
                        }
                        outcomes
                    })
                })
                .collect();
            if !fails {
                store.close().unwrap();
            }
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        });
        let _ = store.close();
        fs.heal();
        let after = after_crash(&fs);
        for (key, is_durable) in &outcomes {
            let found = get(&after, &a, key);
            assert!(found.is_some() || !is_durable, "seed {seed}: {key} was said to be on disk");
            assert!(fails || *is_durable, "seed {seed}: {key} was written before the close");
        }
    }
}
