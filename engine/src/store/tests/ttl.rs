//! Values that expire, by key and by keyspace, with a clock that is moved by hand.

use super::*;

use std::time::Duration;

use crate::manifest::edit::Change;

/// A store, the clock it goes by, and a keyspace whose puts last `ttl_ms`.
fn open(fs: &Arc<dyn Fs>, ttl_ms: Option<u64>) -> (Store, Arc<ManualClock>, Keyspace) {
    let clock = Arc::new(ManualClock::at(1_000_000_000));
    let options = Options { clock: clock.clone(), ..options(fs) };
    let store = Store::open(options).unwrap();
    let chosen = KeyspaceOptions { ttl_ms, ..KeyspaceOptions::default() };
    let keyspace = store.create_keyspace("kv/a", chosen).unwrap();
    (store, clock, keyspace)
}

fn put_until(store: &Store, keyspace: &Keyspace, key: &str, value: &str, moment: u64) {
    let mut batch = WriteBatch::new();
    batch.put_with_ttl(keyspace.id, key.as_bytes(), value.as_bytes(), moment);
    let _ = store.write(&batch, WriteOptions::default()).unwrap();
}

fn set_ms(clock: &ManualClock, ms: i64) {
    clock.set_unix_ns(ms * 1_000_000);
}

fn keys(store: &Store, keyspace: &Keyspace) -> Vec<String> {
    let forward = scan(store, keyspace, ScanOptions::default());
    let mut back = scan(store, keyspace, ScanOptions { reverse: true, ..ScanOptions::default() });
    back.reverse();
    assert_eq!(forward, back);
    for (key, value) in &forward {
        assert_eq!(get(store, keyspace, key).as_ref(), Some(value));
        let found = store.multi_get(keyspace.id, &[key], None).unwrap();
        assert_eq!(found[0].as_deref(), Some(value.as_bytes()));
        let len = store.get_with(keyspace.id, key.as_bytes(), None, <[u8]>::len).unwrap();
        assert_eq!(len, Some(value.len()));
    }
    forward.into_iter().map(|(key, _)| key).collect()
}

fn entries(store: &Store, keyspace: &Keyspace) -> u64 {
    store.view(keyspace.id).unwrap().tables().iter().map(|table| table.entries).sum()
}

#[test]
fn a_value_is_there_until_its_moment() {
    let fs = sim();
    let (store, clock, a) = open(&fs, None);
    put(&store, &a, "k1", "older");
    put_until(&store, &a, "k1", "v1", 2000);
    put_until(&store, &a, "k2", "v2", 3000);
    put(&store, &a, "k3", "v3");
    for step in ["unflushed", "flushed", "reopened", "compacted"] {
        match step {
            "flushed" => store.flush(None).unwrap(),
            "compacted" => store.compact(None, CompactOptions::default(), &|| false).unwrap(),
            _ => {}
        }
        for (ms, expected) in
            [(1999, &["k1", "k2", "k3"][..]), (2000, &["k2", "k3"]), (3000, &["k3"])]
        {
            set_ms(&clock, ms);
            assert_eq!(keys(&store, &a), expected, "{step} at {ms}");
            assert_eq!(get(&store, &a, "k1").is_some(), ms < 2000, "{step} at {ms}");
        }
        set_ms(&clock, 1000);
    }
    assert_eq!(entries(&store, &a), 3, "what lies below the put is gone, the put is not");
    drop(store);
    let (store, clock, a) = open(&fs, None);
    assert_eq!(keys(&store, &a), ["k1", "k2", "k3"]);
    set_ms(&clock, 2500);
    assert_eq!(keys(&store, &a), ["k2", "k3"]);
    put(&store, &a, "k4", "");
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    assert_eq!(entries(&store, &a), 3, "k1 has expired and went");
    assert!(store.check(true, &|_, _| {}).unwrap().findings.is_empty());
}

#[test]
fn what_lies_below_an_expired_put_stays_hidden() {
    let fs = sim();
    let (store, clock, a) = open(&fs, None);
    put(&store, &a, "k", "old");
    put(&store, &a, "x", "old");
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    put_until(&store, &a, "k", "new", 2000);
    store.flush(None).unwrap();
    set_ms(&clock, 5000);
    store.maintain().unwrap();
    assert_eq!(store.view(a.id).unwrap().tables().len(), 2, "it hides what lies below");
    assert_eq!(get(&store, &a, "k"), None);
    // Merged among the young alone it becomes a delete.
    put_until(&store, &a, "k2", "", 9000);
    store.flush(None).unwrap();
    let tiered = crate::options::Tiered { merge_runs_min: 2, ..Default::default() };
    store.set_policy(a.id, Policy::Tiered(tiered)).unwrap();
    assert_eq!(get(&store, &a, "k"), None);
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    assert_eq!((get(&store, &a, "k"), keys(&store, &a)), (None, vec!["k2".into(), "x".into()]));
    assert_eq!(entries(&store, &a), 2);
}

#[test]
fn operands_outlive_the_put_below_them_but_for_those_of_its_batch() {
    let fs = sim();
    let (store, clock, a) = open(&fs, None);
    let mut batch = WriteBatch::new();
    batch.put_with_ttl(a.id, b"k", b"base", 2000);
    batch.merge(a.id, b"k", b"+same");
    let _ = store.write(&batch, WriteOptions::default()).unwrap();
    let mut batch = WriteBatch::new();
    batch.merge(a.id, b"k", b"+1");
    batch.merge(a.id, b"k", b"+2");
    let _ = store.write(&batch, WriteOptions::default()).unwrap();
    let check = |when: &str| {
        for (ms, expected) in [(1000, "base+same+1+2"), (2000, "+1+2"), (1500, "base+same+1+2")] {
            set_ms(&clock, ms);
            assert_eq!(get(&store, &a, "k").as_deref(), Some(expected), "{when} at {ms}");
            assert_eq!(keys(&store, &a), ["k"], "{when} at {ms}");
        }
    };
    check("unflushed");
    store.flush(None).unwrap();
    check("flushed");
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    check("compacted");
    set_ms(&clock, 2000);
    store.rewrite(a.id, CompactOptions::default(), &|| false).unwrap();
    assert_eq!(get(&store, &a, "k").as_deref(), Some("+1+2"));
    assert_eq!(entries(&store, &a), 1);
}

#[test]
fn puts_of_a_keyspace_last_as_long_as_it_says() {
    let fs = sim();
    let (store, clock, a) = open(&fs, Some(500));
    put(&store, &a, "k1", "v1"); // until 1500
    put_until(&store, &a, "k2", "v2", 9000);
    set_ms(&clock, 1200);
    store.set_ttl(a.id, Some(Duration::from_secs(1))).unwrap();
    put(&store, &a, "k3", "v3"); // until 2200
    assert!(store.set_ttl(a.id, Some(Duration::ZERO)).is_err());
    let none = KeyspaceOptions { ttl_ms: Some(0), ..KeyspaceOptions::default() };
    assert!(store.create_keyspace("kv/b", none).is_err());
    drop(store);
    let (store, clock, a) = open(&fs, None);
    set_ms(&clock, 1600);
    assert_eq!(keys(&store, &a), ["k2", "k3"], "k1 keeps the moment it was written with");
    put(&store, &a, "k4", "v4"); // until 2600: the keyspace remembers
    set_ms(&clock, 2300);
    assert_eq!(keys(&store, &a), ["k2", "k4"]);
    store.set_ttl(a.id, None).unwrap();
    put(&store, &a, "k5", "v5");
    drop(store);
    let (store, clock, a) = open(&fs, None);
    set_ms(&clock, 1 << 40);
    assert_eq!(keys(&store, &a), ["k5"]);
    store.checkpoint(Path::new("/copy"), &|| false).unwrap();
}

#[test]
fn a_copy_keeps_the_time_to_live() {
    let fs = sim();
    let (store, _clock, a) = open(&fs, Some(500));
    put(&store, &a, "k", "v");
    store.checkpoint(Path::new("/copy"), &|| false).unwrap();
    let export = store.begin_export(&|_| true).unwrap().wait(&|| false).unwrap();
    assert_eq!(export.keyspaces[0].options.ttl_ms, Some(500));
    let clock = Arc::new(ManualClock::at(1_400_000_000));
    let copy = Options { dir: "/copy".into(), clock: clock.clone(), ..options(&fs) };
    let copy = Store::open(copy).unwrap();
    assert_eq!(keys(&copy, &a), ["k"]);
    put(&copy, &a, "later", "v"); // until 1900
    set_ms(&clock, 1600);
    assert_eq!(keys(&copy, &a), ["later"]);
    set_ms(&clock, 1900);
    assert!(keys(&copy, &a).is_empty());
}

#[test]
fn tables_that_have_expired_go_unread() {
    let fs = sim();
    let (store, clock, a) = open(&fs, Some(1000));
    for index in 0..200 {
        put(&store, &a, &format!("{index:03}"), "v");
    }
    store.flush(None).unwrap();
    set_ms(&clock, 1500);
    put(&store, &a, "later", "v"); // until 2500
    store.flush(None).unwrap();
    let tables = || store.view(a.id).unwrap().tables().len();
    set_ms(&clock, 1999);
    store.maintain().unwrap();
    assert_eq!(tables(), 2);
    set_ms(&clock, 2000);
    store.maintain().unwrap();
    assert_eq!(tables(), 1, "nothing older lies below it");
    let metrics = store.metrics();
    let dropped = metrics.compactions.iter().find(|(kind, _)| kind.reason == "drop").unwrap();
    assert_eq!((dropped.1.count, dropped.1.read_bytes), (1, 0));
    drop(store);
    let (store, clock, a) = open(&fs, None);
    set_ms(&clock, 2000);
    assert_eq!(keys(&store, &a), ["later"]);
    set_ms(&clock, 2500);
    store.maintain().unwrap();
    assert_eq!(store.view(a.id).unwrap().tables().len(), 0);
    assert!(store.check(true, &|_, _| {}).unwrap().findings.is_empty());
}

/// An iterator goes by the clock as it was when it began, and keeps the tables it walks.
#[test]
fn an_iterator_goes_by_the_time_it_began() {
    let fs = sim();
    let (store, clock, a) = open(&fs, Some(1000));
    for key in ["a", "b", "c"] {
        put(&store, &a, key, "v");
    }
    store.flush(None).unwrap();
    let mut walk = store.scan(a.id, ScanOptions::default()).unwrap();
    assert!(walk.advance().unwrap());
    set_ms(&clock, 5000);
    store.maintain().unwrap();
    assert_eq!(store.view(a.id).unwrap().tables().len(), 0);
    assert!(walk.advance().unwrap() && walk.key() == b"b" && walk.value() == b"v");
    assert!(walk.advance().unwrap() && !walk.advance().unwrap());
    assert!(walk.retreat().unwrap() && walk.key() == b"c" && walk.value() == b"v");
    assert!(keys(&store, &a).is_empty());
}

#[test]
fn a_time_to_live_is_written_down_only_where_there_is_one() {
    let fs = sim();
    let (store, _clock, a) = open(&fs, None);
    let changes = |store: &Store| {
        let manifest = store.kernel().manifest.lock();
        manifest.state().snapshot(1).changes().to_vec()
    };
    let is_ttl = |change: &Change| matches!(change, Change::SetTtl(..));
    assert!(!changes(&store).iter().any(is_ttl));
    store.set_ttl(a.id, Some(Duration::from_millis(7))).unwrap();
    assert!(changes(&store).contains(&Change::SetTtl(a.id, Some(7))));
}
