//! Jobs, events, pause, cancel and the rate of compactions, seen through the store.

use std::sync::atomic::AtomicBool;

use super::*;

use crate::clock::ManualClock;
use crate::events::EventKind;
use crate::jobs::{JobKind, JobState};
use crate::options::{Background, Tiered};
use crate::sync::Mutex;

/// Tiered, and never due.
pub(super) fn never() -> Policy {
    Policy::Tiered(Tiered { merge_runs_min: 99, merge_runs_max: 99, ratio: 1.0, runs_max: 99 })
}

/// A store with `runs` runs of level 0 of about 100 KiB each, and the keyspace they are in.
fn store_with_runs(runs: u64) -> (Store, Keyspace) {
    let mut options = options(&sim());
    (options.memtable_bytes_max, options.memtable_bytes_hard) = (1 << 20, 4 << 20);
    let store = Store::open(options).unwrap();
    let chosen = KeyspaceOptions { policy: Some(never()), ..KeyspaceOptions::default() };
    let keyspace = store.create_keyspace("kv/a", chosen).unwrap();
    for _ in 0..runs {
        fill(&store, &keyspace, 0..400, 250);
        store.flush(None).unwrap();
    }
    (store, keyspace)
}

fn kinds(store: &Store, since: u64) -> Vec<&'static str> {
    store.events(since).iter().map(|event| event.kind.name()).collect()
}

#[test]
fn events_tell_what_happened_in_order() {
    let (store, keyspace) = store_with_runs(3);
    let events = store.events(0);
    assert!(
        events.iter().all(|event| event.kind.name() == "flush" && event.keyspace == keyspace.name)
    );
    assert!(events.windows(2).all(|pair| pair[0].id + 1 == pair[1].id));
    let last = events.last().unwrap().id;
    let EventKind::Flush { tables, bytes, .. } = events[0].kind else { panic!("a flush") };
    assert!(tables >= 1 && bytes > 10_000, "{tables} tables of {bytes} bytes");
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    store.set_policy(keyspace.id, Policy::default()).unwrap();
    let export = store.begin_export(&|_| true).unwrap().wait(&|| false).unwrap();
    let mut import = store.begin_import().unwrap();
    import.keyspace("kv/b", KeyspaceOptions::default()).unwrap();
    let table = &export.keyspaces[0].tables[0];
    let source = TableSource { path: table.path().to_owned(), place: table.place, is_final: false };
    import.table(&source, Transfer::Copy, &mut |_| Ok(())).unwrap();
    import.commit(&[], export.seq, "test").unwrap();
    assert_eq!(kinds(&store, last), ["compaction", "policy", "ingest"]);
    let EventKind::Compaction { reason, input_tables, bytes, .. } = &store.events(last)[0].kind
    else {
        panic!("a compaction")
    };
    assert_eq!(*reason, "manual");
    assert!(*input_tables >= 3 && *bytes > 0);
}

#[test]
fn paused_compactions_wait_and_are_listed() {
    let (store, keyspace) = store_with_runs(3);
    store.pause_compactions();
    let mark = store.events(0).last().unwrap().id;
    assert!(store.jobs().is_empty(), "nothing is due under this policy");
    store
        .set_policy(keyspace.id, Policy::Tiered(Tiered { merge_runs_min: 2, ..Tiered::default() }))
        .unwrap();
    store.maintain().unwrap();
    let jobs = store.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let job = &jobs[0];
    assert_eq!((job.kind, job.state, job.reason), (JobKind::Compaction, JobState::Queued, "tier"));
    assert_eq!((job.inputs.len(), job.id, job.start_ns), (3, 0, None));
    assert!(job.total_bytes > 30_000 && job.done_bytes == 0);
    let manual = store.compact(None, CompactOptions::default(), &|| false);
    assert!(matches!(manual, Err(Error::Busy { .. })), "{manual:?}");
    fill(&store, &keyspace, 0..10, 10);
    store.flush(None).unwrap();
    assert_eq!(store.metrics().classes["kv"].read_amplification, 4, "flushes go on");
    store.resume_compactions();
    assert!(store.jobs().is_empty());
    assert_eq!(kinds(&store, mark), ["paused", "policy", "flush", "resumed", "compaction"][1..]);
    assert_eq!(store.metrics().classes["kv"].read_amplification, 2);
}

/// The job that somebody asked for, once it is in this state; not when it has ended before.
fn manual_job(
    store: &Store,
    state: JobState,
    has_ended: &dyn Fn() -> bool,
) -> crate::jobs::JobInfo {
    loop {
        assert!(!has_ended(), "it was not held");
        let is_it = |job: &crate::jobs::JobInfo| job.is_manual && job.state == state;
        if let Some(job) = store.jobs().into_iter().find(is_it) {
            return job;
        }
        std::thread::yield_now();
    }
}

/// A store whose compactions read many MiB, on threads of its own, on a clock that stands.
fn large_store() -> (Store, Keyspace, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(1));
    let mut options = options(&sim());
    options.background = Background::Threads(2);
    options.clock = clock.clone();
    options.memtable_bytes_max = 8 << 20;
    options.memtable_bytes_hard = 64 << 20;
    options.table_bytes_max = 1 << 20;
    options.subcompactions_max = 1;
    let store = Store::open(options).unwrap();
    let chosen = KeyspaceOptions { policy: Some(never()), ..KeyspaceOptions::default() };
    let keyspace = store.create_keyspace("kv/a", chosen).unwrap();
    for _ in 0..2 {
        fill(&store, &keyspace, 0..2000, 1000);
        store.flush(None).unwrap();
    }
    (store, keyspace, clock)
}

#[test]
fn a_manual_job_is_cancelled_while_it_is_held() {
    let (store, _keyspace, _clock) = large_store();
    store.set_options(|options| options.compaction_bytes_per_s = 1).unwrap();
    std::thread::scope(|scope| {
        let compaction = scope.spawn(|| store.compact(None, CompactOptions::default(), &|| false));
        let job = manual_job(&store, JobState::Limited, &|| compaction.is_finished());
        assert!(job.done_bytes > 0 && job.done_bytes < job.total_bytes, "{job:?}");
        assert!(matches!(store.cancel_job(job.id + 1), Err(Error::NotFound { .. })));
        store.cancel_job(job.id).unwrap();
        assert!(matches!(compaction.join().unwrap(), Err(Error::Cancelled)));
    });
    assert!(store.jobs().is_empty());
    let last = store.events(0).pop().unwrap();
    assert!(matches!(last.kind, EventKind::JobFailed { .. }), "{last:?}");
    // Nothing of it is left, and it may be asked for again.
    store.set_options(|options| options.compaction_bytes_per_s = 0).unwrap();
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    assert!(store.check(true, &|_, _| {}).unwrap().findings.is_empty());
}

#[test]
fn a_running_job_is_paused_and_goes_on() {
    let (store, _keyspace, _clock) = large_store();
    let was_asked = AtomicBool::new(false);
    let is_running = || store.jobs().iter().any(|job| job.done_bytes > 0);
    let is_cancelled = || {
        if is_running() && !was_asked.swap(true, Ordering::SeqCst) {
            store.pause_compactions();
        }
        false
    };
    std::thread::scope(|scope| {
        let compaction =
            scope.spawn(|| store.compact(None, CompactOptions::default(), &is_cancelled));
        let job = manual_job(&store, JobState::Paused, &|| compaction.is_finished());
        assert!(job.done_bytes > 0 && job.done_bytes < job.total_bytes, "{job:?}");
        assert!(!compaction.is_finished());
        store.resume_compactions();
        compaction.join().unwrap().unwrap();
    });
    assert!(store.jobs().is_empty() && !store.is_paused());
}

/// Time stands unless the test moves it, so a job that finishes early was not held.
#[test]
fn the_rate_holds_jobs_until_time_has_passed() {
    let (store, _keyspace, clock) = large_store();
    store.set_options(|options| options.compaction_bytes_per_s = 1 << 20).unwrap();
    let start = store.options().clock.monotonic_ns();
    std::thread::scope(|scope| {
        let compaction = scope.spawn(|| store.compact(None, CompactOptions::default(), &|| false));
        while !compaction.is_finished() {
            if store.jobs().iter().any(|job| job.state == JobState::Limited) {
                clock.advance_ns(100_000_000);
            }
            std::thread::yield_now();
        }
        compaction.join().unwrap().unwrap();
    });
    let passed = store.options().clock.monotonic_ns() - start;
    // About 4 MB of entries in chunks of at least a MiB, of which the last may be smaller.
    assert!(passed >= 2_900_000_000, "{passed} ns for about 4 MB at 1 MiB a second");
}

/// What compactions owe slows writers down, says why, and lets them go at once when it is paid.
#[test]
fn writers_are_slowed_by_debt_and_free_once_it_is_paid() {
    let mut options = options(&sim());
    (options.memtable_bytes_max, options.memtable_bytes_hard) = (1 << 20, 4 << 20);
    (options.runs0_slow, options.runs0_hard) = (2, 1000);
    options.background = Background::Threads(2);
    options.clock = Arc::new(ManualClock::at(1));
    let store = Store::open(options).unwrap();
    let chosen = KeyspaceOptions { policy: Some(never()), ..KeyspaceOptions::default() };
    let keyspace = store.create_keyspace("kv/a", chosen).unwrap();
    let slowed = |store: &Store, reason| {
        store.metrics().slowed.iter().find(|(name, _)| *name == reason).unwrap().1
    };
    for round in 0..3 {
        assert_eq!(slowed(&store, "runs"), 0, "{round} runs");
        fill(&store, &keyspace, 0..10, 10);
        store.flush(None).unwrap();
    }
    put(&store, &keyspace, "k", "v");
    let metrics = store.metrics();
    assert_eq!((metrics.delays, metrics.delay_histogram_ns.count()), (1, 1));
    assert_eq!((slowed(&store, "runs"), slowed(&store, "pending_bytes")), (1, 0));
    put(&store, &keyspace, "k", "v");
    assert_eq!(store.metrics().delays, 2);
    // Limits that change count at once.
    store.set_options(|options| options.runs0_slow = 3).unwrap();
    put(&store, &keyspace, "k", "v");
    assert_eq!(store.metrics().delays, 2);
    store.set_options(|options| options.runs0_slow = 1).unwrap();
    let mark = store.events(0).last().unwrap().id;
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    put(&store, &keyspace, "k", "v");
    assert_eq!(store.metrics().delays, 2, "the debt is paid");
    assert!(kinds(&store, mark).contains(&"writes_free"));
    let slowed = store.events(0).into_iter().filter(|event| event.kind.name() == "writes_slowed");
    let kinds: Vec<_> = slowed.map(|event| event.kind).collect();
    let spell = EventKind::WritesSlowed { reason: "runs" };
    assert_eq!(kinds, [spell.clone(), spell], "two spells, two events");
}

#[test]
fn amplification_is_what_was_written_over_what_was_asked_for() {
    let (store, keyspace) = store_with_runs(2);
    let of = |store: &Store| store.metrics().classes["kv"].amplification;
    let before = of(&store);
    // Two rounds of 400 keys of 6 bytes and values of 250.
    assert_eq!(before.user_bytes, 2 * 400 * 256);
    assert!(before.flushed_bytes > before.user_bytes && before.compacted_bytes == 0);
    assert_eq!(before.table_bytes, before.flushed_bytes);
    let half = before.table_bytes / 2;
    assert!(before.live_bytes.abs_diff(half) < 100, "the second run replaces the first");
    let write = before.write().unwrap();
    assert!((1.0..1.2).contains(&write), "{write}");
    assert!((1.9..2.1).contains(&before.space().unwrap()));
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    let after = of(&store);
    assert_eq!((after.user_bytes, after.flushed_bytes), (before.user_bytes, before.flushed_bytes));
    assert_eq!(after.compacted_bytes, after.table_bytes);
    assert_eq!(after.live_bytes, after.table_bytes);
    assert_eq!(after.get(), None);
    for _ in 0..1000 {
        assert!(get(&store, &keyspace, "000007").is_some());
        assert_eq!(get(&store, &keyspace, "nothing"), None);
        assert!(!scan(&store, &keyspace, ScanOptions::default()).is_empty());
    }
    let read = store.metrics().amplification();
    // One read of 64 is looked at, of whichever kind.
    let sampled = read.gets + read.seeks;
    assert!((3000 / 64..=3000 / 64 + 1).contains(&sampled), "{read:?}");
    assert_eq!(read.seek(), (read.seeks > 0).then_some(1.0));
    assert!(read.get().unwrap() <= 1.0);
}

/// A compaction that is held on the only worker does not hold flushes.
#[test]
fn flushes_go_first_where_there_is_one_worker() {
    let mut options = options(&sim());
    options.background = Background::Threads(1);
    options.clock = Arc::new(ManualClock::at(1));
    options.subcompactions_max = 1;
    options.compaction_bytes_per_s = 1;
    (options.memtable_bytes_max, options.memtable_bytes_hard) = (8 << 20, 64 << 20);
    options.policy =
        Policy::Leveled(crate::options::Leveled { runs0_trigger: 2, ..Default::default() });
    let store = Store::open(options).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    for _ in 0..2 {
        fill(&store, &keyspace, 0..2000, 1000);
        store.flush(None).unwrap();
    }
    let is_held = |job: &crate::jobs::JobInfo| job.state == JobState::Limited && !job.is_manual;
    while !store.jobs().iter().any(is_held) {
        std::thread::yield_now();
    }
    fill(&store, &keyspace, 0..10, 10);
    // Returns only once a worker has flushed.
    store.flush(None).unwrap();
    assert!(store.jobs().iter().any(is_held), "and the compaction is still held");
    let job = store.jobs()[0].id;
    let refused = store.cancel_job(job);
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    store.set_options(|options| options.compaction_bytes_per_s = 0).unwrap();
}

/// A store where one compaction may run at once, and two keyspaces, of which the first has 4 MB in
/// two runs that nothing merges.
fn with_one_slot() -> (Store, Keyspace, Keyspace) {
    let mut options = options(&sim());
    options.background = Background::Threads(2);
    options.compactions_max = 1;
    options.subcompactions_max = 1;
    (options.memtable_bytes_max, options.memtable_bytes_hard) = (16 << 20, 64 << 20);
    options.policy =
        Policy::Leveled(crate::options::Leveled { runs0_trigger: 2, ..Default::default() });
    let store = Store::open(options).unwrap();
    let chosen = KeyspaceOptions { policy: Some(never()), ..KeyspaceOptions::default() };
    let deep = store.create_keyspace("kv/deep", chosen).unwrap();
    let young = store.create_keyspace("kv/young", KeyspaceOptions::default()).unwrap();
    for _ in 0..2 {
        fill(&store, &deep, 0..2000, 1000);
        store.flush(Some(deep.id)).unwrap();
    }
    (store, deep, young)
}

/// What is seen of the young keyspace's compactions each time that a job of the other one asks
/// whether it may go on; at the first time the young one gets two runs of `keys` keys.
fn seen_meanwhile(store: &Store, deep: &Keyspace, young: &Keyspace, keys: u32) -> Vec<bool> {
    let seen = Mutex::new(Vec::new());
    let is_compacted = || {
        let of_young = |event: &&crate::events::Event| {
            event.keyspace == young.name && event.kind.name() == "compaction"
        };
        store.events(0).iter().any(|event| of_young(&event))
    };
    let is_cancelled = || {
        let is_running = store.jobs().iter().any(|job| job.is_manual && job.done_bytes > 0);
        if is_running {
            let mut seen = seen.lock();
            seen.push(is_compacted());
            if seen.len() == 1 {
                for _ in 0..2 {
                    fill(store, young, 0..keys, 1000);
                    store.flush(Some(young.id)).unwrap();
                }
            }
        }
        false
    };
    store.compact(Some(deep.id), CompactOptions::default(), &is_cancelled).unwrap();
    seen.into_inner()
}

/// Neither workers nor time are needed for it: the deep job does it itself.
#[test]
fn a_deep_job_lets_a_level_0_of_another_keyspace_go_first() {
    let (store, deep, young) = with_one_slot();
    let seen = seen_meanwhile(&store, &deep, &young, 10);
    assert!(seen.len() > 2, "{seen:?}");
    assert!(!seen[0] && seen[1..].iter().all(|is_compacted| *is_compacted), "{seen:?}");
    assert_eq!(store.view(young.id).unwrap().tables().len(), 1);
    assert_eq!(scan(&store, &deep, ScanOptions::default()).len(), 2000);
    assert_eq!(scan(&store, &young, ScanOptions::default()).len(), 10);
}

/// What takes longer than the rest of the job waits for its end: a quarter of 20 MB, which is what
/// goes down from level 0 at once, beside 3 MB.
#[test]
fn a_deep_job_does_not_wait_for_one_that_takes_longer() {
    let (store, deep, young) = with_one_slot();
    let seen = seen_meanwhile(&store, &deep, &young, 10_000);
    assert!(seen.len() > 2 && !seen.contains(&true), "{seen:?}");
    assert_eq!(scan(&store, &young, ScanOptions::default()).len(), 10_000);
}
