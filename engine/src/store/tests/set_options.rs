//! Options that change while the store is open: each is seen to count, without a reopen.

use super::*;
use crate::fs::sim::{CrashMode, Keep};

fn store_with(fs: &Arc<dyn Fs>) -> (Store, Keyspace) {
    let store = Store::open(options(fs)).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    (store, keyspace)
}

fn fill(store: &Store, keyspace: &Keyspace, count: usize) {
    (0..count).for_each(|at| put(store, keyspace, &format!("{at:04}"), &"x".repeat(200)));
}

fn tables(store: &Store, keyspace: &Keyspace) -> Vec<u64> {
    let tables = store.view(keyspace.id).unwrap().tables();
    tables.iter().map(|table| table.bytes).collect()
}

#[test]
fn smaller_memtables_are_flushed_at_once() {
    let (store, a) = store_with(&sim());
    fill(&store, &a, 100);
    assert_eq!(tables(&store, &a).len(), 0, "within 64 KiB");
    let now = store.set_options(|options| options.memtable_bytes_max = 8 << 10).unwrap();
    assert_eq!((now.memtable_bytes_max, store.options().memtable_bytes_max), (8 << 10, 64 << 10));
    assert_eq!(store.runtime_options(), now);
    assert!(!tables(&store, &a).is_empty(), "what was over the new limit");
    let flushes = store.metrics().flushes.iter().map(|(_, count)| count).sum::<u64>();
    fill(&store, &a, 200);
    let more = store.metrics().flushes.iter().map(|(_, count)| count).sum::<u64>() - flushes;
    assert!(more >= 4, "{more} flushes of 8 KiB");
}

#[test]
fn less_log_is_flushed_at_once() {
    let (store, a) = store_with(&sim());
    store.set_options(|options| options.memtable_bytes_max = 256 << 10).unwrap();
    fill(&store, &a, 300);
    assert_eq!(tables(&store, &a).len(), 0);
    store.set_options(|options| options.wal_bytes_max = 16 << 10).unwrap();
    assert!(!tables(&store, &a).is_empty());
}

#[test]
fn tables_begun_later_are_written_the_new_way() {
    let (store, a) = store_with(&sim());
    fill(&store, &a, 400);
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    let plain = tables(&store, &a);
    assert!(plain.len() > 1, "{plain:?}");
    let change = |options: &mut RuntimeOptions| {
        options.table_bytes_max = 1 << 20;
        options.compression_upper = crate::compress::Compression::Zstd(1);
        options.compression_last = crate::compress::Compression::Zstd(1);
    };
    store.set_options(change).unwrap();
    store.rewrite(a.id, CompactOptions::default(), &|| false).unwrap();
    let packed = tables(&store, &a);
    assert!(packed.len() == 1 && packed[0] < plain.iter().sum::<u64>() / 4, "{packed:?}");
    assert_eq!(scan(&store, &a, ScanOptions::default()).len(), 400);
}

#[test]
fn a_smaller_cache_lets_go() {
    let (store, a) = store_with(&sim());
    fill(&store, &a, 2000);
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    let _ = scan(&store, &a, ScanOptions::default());
    let held = |store: &Store| store.metrics().cache.cached_bytes;
    assert!(held(&store) > 200 << 10, "{}", held(&store));
    store.set_options(|options| options.cache_bytes = 64 << 10).unwrap();
    assert!(held(&store) <= 64 << 10, "{}", held(&store));
    assert_eq!(store.metrics().cache_capacity_bytes, 64 << 10);
    let _ = scan(&store, &a, ScanOptions::default());
    assert!(held(&store) <= 64 << 10, "{}", held(&store));
}

#[test]
fn durability_counts_from_the_next_write() {
    let fs = SimFs::new(1);
    let (store, a) = store_with(&(Arc::new(fs.clone()) as Arc<dyn Fs>));
    put(&store, &a, "1", "synced");
    store.set_options(|options| options.durability = crate::options::Durability::Os).unwrap();
    put(&store, &a, "2", "not synced");
    let mode = CrashMode::ALL.into_iter().find(|mode| mode.keep == Keep::None).unwrap();
    let after: Arc<dyn Fs> = Arc::new(fs.crash(mode, 1));
    let after = Store::open(options(&after)).unwrap();
    assert_eq!(get(&after, &a, "1").as_deref(), Some("synced"));
    assert_eq!(get(&after, &a, "2"), None);
}

#[test]
fn writers_are_refused_by_the_new_limit() {
    let (store, a) = store_with(&sim());
    let change = |options: &mut RuntimeOptions| {
        options.memtable_bytes_hard = 4 << 10;
        options.memtable_bytes_max = 4 << 10;
        options.stall_ms_max = 7;
    };
    store.set_options(change).unwrap();
    fill(&store, &a, 1);
    let mut batch = WriteBatch::new();
    batch.put(a.id, b"large", &[0; 8 << 10]);
    let outcome = store.write(&batch, WriteOptions::default());
    // Flushed first, an empty store takes any batch; two on their way are one too many.
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(store.metrics().stalls > 0, "it had to wait for the flush");
}

#[test]
fn what_would_not_do_changes_nothing() {
    let (store, _) = store_with(&sim());
    let before = store.runtime_options();
    type Change = fn(&mut RuntimeOptions);
    let wrong: [Change; 4] = [
        |options| options.memtable_bytes_hard = options.memtable_bytes_max - 1,
        |options| options.block_bytes = 0,
        |options| options.restart_interval = 0,
        |options| options.compactions_max = 0,
    ];
    for change in wrong {
        let outcome = store.set_options(|options| {
            options.stall_ms_max = 1;
            change(options);
        });
        assert!(matches!(outcome, Err(Error::Invalid { .. })), "{outcome:?}");
        assert_eq!(store.runtime_options(), before);
    }
    store.set_options(|options| options.compaction_bytes_per_s = 1 << 20).unwrap();
    let now = store.set_options(|options| options.stall_ms_max = 2).unwrap();
    assert_eq!((now.compaction_bytes_per_s, now.stall_ms_max), (1 << 20, 2));
    store.set_options(|options| options.compaction_bytes_per_s = 0).unwrap();
    assert_eq!(store.runtime_options().compaction_bytes_per_s, 0);
    store.close().unwrap();
    assert!(matches!(store.set_options(|_| {}), Err(Error::Closed)));
}
