use super::*;

use crate::clock::ManualClock;
use crate::fs::Fs;
use crate::fs::sim::SimFs;
use crate::hooks::{Hooks, Plain};
use crate::options::{Background, HookResolver};

#[derive(Debug)]
struct PlainHooks;

impl HookResolver for PlainHooks {
    fn hooks(&self, _: &str) -> Arc<dyn Hooks> {
        fn append(_: &[u8], base: Option<&[u8]>, operands: &[&[u8]]) -> Vec<u8> {
            let mut out = base.unwrap_or_default().to_vec();
            operands.iter().for_each(|operand| out.extend_from_slice(operand));
            out
        }
        Arc::new(Plain::with_merge(append))
    }
}

fn options(fs: &Arc<dyn Fs>) -> Options {
    let mut options =
        Options::new("/db", fs.clone(), Arc::new(ManualClock::at(1)), Arc::new(PlainHooks));
    options.background = Background::Inline;
    options.memtable_bytes_max = 64 << 10;
    options.memtable_bytes_hard = 256 << 10;
    options.wal_segment_bytes = 128 << 10;
    options.wal_bytes_max = 256 << 10;
    options.table_bytes_max = 32 << 10;
    options.policy =
        Policy::Leveled(crate::options::Leveled { base_bytes: 64 << 10, ..Default::default() });
    options
}

fn sim() -> Arc<dyn Fs> {
    Arc::new(SimFs::new(1))
}

fn put(store: &Store, keyspace: &Keyspace, key: &str, value: &str) {
    let mut batch = WriteBatch::new();
    batch.put(keyspace.id, key.as_bytes(), value.as_bytes());
    let _ = store.write(&batch, WriteOptions::default()).unwrap();
}

fn get(store: &Store, keyspace: &Keyspace, key: &str) -> Option<String> {
    let value = store.get(keyspace.id, key.as_bytes(), None).unwrap();
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn scan(store: &Store, keyspace: &Keyspace, options: ScanOptions<'_>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let pairs = store.scan(keyspace.id, options).unwrap();
    pairs.map(|pair| pair.map(|(k, v)| (text(&k), text(&v))).unwrap()).collect()
}

#[test]
fn what_is_written_is_read_before_and_after_flush_and_reopen() {
    let fs = sim();
    let store = Store::open(options(&fs)).unwrap();
    let a = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    let b = store.create_keyspace("kv/b", KeyspaceOptions::default()).unwrap();
    assert_eq!(store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap(), a);
    put(&store, &a, "1", "one");
    put(&store, &b, "1", "other");
    assert_eq!(get(&store, &a, "1").as_deref(), Some("one"));
    store.flush(Some(a.id)).unwrap();
    assert_eq!(get(&store, &a, "1").as_deref(), Some("one"));
    put(&store, &a, "2", "two");
    store.close().unwrap();
    assert!(matches!(store.get(a.id, b"1", None), Err(Error::Closed)));
    drop(store);
    let store = Store::open(options(&fs)).unwrap();
    assert_eq!(store.keyspaces(), [a.clone(), b.clone()]);
    assert_eq!(get(&store, &a, "1").as_deref(), Some("one"));
    assert_eq!(get(&store, &a, "2").as_deref(), Some("two"));
    assert_eq!(get(&store, &b, "1").as_deref(), Some("other"));
    let pairs = scan(&store, &a, ScanOptions::default());
    assert_eq!(pairs, [("1".into(), "one".into()), ("2".into(), "two".into())]);
    let report = store.check(true, &|_, _| {}).unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}

#[test]
fn a_store_that_flushed_everything_holds_no_log() {
    let fs = sim();
    let store = Store::open(options(&fs)).unwrap();
    let a = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    for i in 0..2000 {
        put(&store, &a, &format!("{i:06}"), &"x".repeat(100));
    }
    store.flush(None).unwrap();
    let logs = || {
        let names = fs.list(std::path::Path::new("/db")).unwrap();
        names.iter().filter(|name| name.ends_with(".log")).count()
    };
    assert_eq!(logs(), 1, "the segment in use; none sealed, none prepared");
    put(&store, &a, "later", "1");
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    assert_eq!(logs(), 1);
    put(&store, &a, "last", "2");
    drop(store);
    let store = Store::open(options(&fs)).unwrap();
    assert_eq!(get(&store, &a, "later").as_deref(), Some("1"));
    assert_eq!(get(&store, &a, "last").as_deref(), Some("2"));
}
