//! Range deletes on the way through a store: reads, snapshots, flush, compaction, reopening.

use super::*;

use crate::manifest::edit::Change;

fn delete_range(store: &Store, keyspace: &Keyspace, start: &str, end: &str) {
    let mut batch = WriteBatch::new();
    batch.delete_range(keyspace.id, start.as_bytes(), end.as_bytes());
    let _ = store.write(&batch, WriteOptions::default()).unwrap();
}

/// A store without compactions of its own, and a keyspace in it.
fn open(fs: &Arc<dyn Fs>) -> (Store, Keyspace) {
    let lazy = crate::options::Leveled { runs0_trigger: 100, ..Default::default() };
    let options = Options { policy: Policy::Leveled(lazy), ..options(fs) };
    let store = Store::open(options).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    (store, keyspace)
}

fn live(store: &Store) -> usize {
    let manifest = store.kernel().manifest.lock();
    let keyspaces = manifest.state().keyspaces.values();
    keyspaces.map(|keyspace| keyspace.range_deletes.len()).sum()
}

fn compact(store: &Store) {
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
}

fn at<'a>(snapshot: &'a Snapshot) -> ScanOptions<'a> {
    ScanOptions { snapshot: Some(snapshot), ..ScanOptions::default() }
}

fn is_sound(store: &Store) {
    let report = store.check(true, &|_, _| {}).unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}

#[test]
fn a_range_goes_wherever_its_keys_lie() {
    let fs = sim();
    let (store, a) = open(&fs);
    for key in ["a", "b", "c", "d"] {
        put(&store, &a, key, "old");
    }
    store.flush(None).unwrap();
    put(&store, &a, "b", "new");
    delete_range(&store, &a, "b", "d");
    put(&store, &a, "c", "again");
    let expected = [("a", "old"), ("c", "again"), ("d", "old")];
    let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
    let check = |store: &Store, when: &str| {
        assert_eq!(scan(store, &a, ScanOptions::default()), expected, "{when}");
        let mut back = scan(store, &a, ScanOptions { reverse: true, ..ScanOptions::default() });
        back.reverse();
        assert_eq!(back, expected, "{when}");
        assert_eq!(get(store, &a, "b"), None, "{when}");
        assert_eq!(get(store, &a, "c").as_deref(), Some("again"), "{when}");
        let values = store.multi_get(a.id, &[b"c", b"b", b"a"], None).unwrap();
        let values: Vec<_> = values.iter().map(Option::as_deref).collect();
        assert_eq!(values, [Some(&b"again"[..]), None, Some(b"old")], "{when}");
        let len = |key: &[u8]| store.get_with(a.id, key, None, <[u8]>::len).unwrap();
        assert_eq!((len(b"b"), len(b"c"), len(b"d")), (None, Some(5), Some(3)), "{when}");
        let mut walk = store.scan(a.id, ScanOptions::default()).unwrap();
        assert!(walk.seek(b"b").unwrap() && walk.key() == b"c", "{when}");
        assert!(walk.seek_before(b"c").unwrap() && walk.key() == b"a", "{when}");
        is_sound(store);
    };
    check(&store, "unflushed");
    drop(store);
    let (store, _) = open(&fs);
    check(&store, "after replay");
    store.flush(None).unwrap();
    check(&store, "flushed");
    assert_eq!(live(&store), 1, "the older table holds b and c");
    drop(store);
    let (store, _) = open(&fs);
    check(&store, "flushed and reopened");
    compact(&store);
    check(&store, "compacted");
    assert_eq!(live(&store), 0, "nothing older is left");
    let tables = store.view(a.id).unwrap().tables();
    assert_eq!(tables.iter().map(|table| table.entries).sum::<u64>(), 3);
}

#[test]
fn in_a_batch_later_operations_win() {
    let fs = sim();
    let (store, a) = open(&fs);
    put(&store, &a, "m", "below");
    let mut batch = WriteBatch::new();
    batch.put(a.id, b"k", b"before");
    batch.merge(a.id, b"m", b"+before");
    batch.delete_range(a.id, b"a", b"z");
    batch.put(a.id, b"l", b"after");
    batch.merge(a.id, b"m", b"+after");
    let _ = store.write(&batch, WriteOptions::default()).unwrap();
    let expected = [("l".to_owned(), "after".to_owned()), ("m".to_owned(), "+after".to_owned())];
    assert_eq!(scan(&store, &a, ScanOptions::default()), expected);
    drop(store);
    let (store, a) = open(&fs);
    assert_eq!(scan(&store, &a, ScanOptions::default()), expected, "replayed");
    store.flush(None).unwrap();
    assert_eq!(scan(&store, &a, ScanOptions::default()), expected, "flushed");
}

#[test]
fn ranges_that_are_none_are_refused() {
    let fs = sim();
    let (store, a) = open(&fs);
    for (start, end) in [("b", "a"), ("a", "a"), ("", "")] {
        let mut batch = WriteBatch::new();
        batch.delete_range(a.id, start.as_bytes(), end.as_bytes());
        let error = store.write(&batch, WriteOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
    let mut batch = WriteBatch::new();
    batch.delete_range(a.id, b"a", &vec![b'z'; store.options().key_bytes_max + 2]);
    let error = store.write(&batch, WriteOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    put(&store, &a, "k", "v");
    delete_range(&store, &a, "", "z");
    assert_eq!(get(&store, &a, "k"), None);
}

#[test]
fn a_prefix_goes_also_where_nothing_comes_behind_it() {
    let fs = sim();
    let (store, a) = open(&fs);
    let all: [&[u8]; 5] = [b"a", b"b", b"b\xff", b"\xff", b"\xff\xffz"];
    let cases: [(&[u8], &[usize]); 4] =
        [(b"b", &[0, 3, 4]), (b"\xff", &[0, 1, 2]), (b"\xff\xff", &[0, 1, 2, 3]), (b"", &[])];
    for (prefix, left) in cases {
        let mut batch = WriteBatch::new();
        all.iter().for_each(|key| batch.put(a.id, key, b""));
        let _ = store.write(&batch, WriteOptions::default()).unwrap();
        let _ = store.delete_prefix(a.id, prefix, WriteOptions::default()).unwrap();
        let found = store.scan(a.id, ScanOptions::default()).unwrap();
        let found: Vec<_> = found.map(|pair| pair.unwrap().0).collect();
        let expected: Vec<_> = left.iter().map(|index| all[*index].to_vec()).collect();
        assert_eq!(found, expected, "{prefix:?}");
    }
    let error = store.delete_range(a.id, b"b", b"a", WriteOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}

/// A snapshot keeps what a later range delete hides, through flush and compaction, and what was
/// kept for it does not come back when it goes.
#[test]
fn a_snapshot_outlives_a_range_delete() {
    let fs = sim();
    let (store, a) = open(&fs);
    put(&store, &a, "a", "1");
    put(&store, &a, "b", "1");
    store.flush(None).unwrap();
    put(&store, &a, "b", "2");
    let before = store.snapshot();
    delete_range(&store, &a, "a", "z");
    let between = store.snapshot();
    put(&store, &a, "b", "3");
    let old = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
    let new = [("b".to_owned(), "3".to_owned())];
    for step in ["unflushed", "flushed", "compacted"] {
        match step {
            "flushed" => store.flush(None).unwrap(),
            "compacted" => compact(&store),
            _ => {}
        }
        assert_eq!(scan(&store, &a, at(&before)), old, "{step}");
        assert_eq!(scan(&store, &a, at(&between)), [], "{step}");
        assert_eq!(scan(&store, &a, ScanOptions::default()), new, "{step}");
        for (snapshot, expected) in [(&before, Some("2")), (&between, None)] {
            let found = store.get(a.id, b"b", Some(snapshot)).unwrap();
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{step}");
        }
    }
    assert_eq!(live(&store), 1, "it still hides what the snapshot sees");
    drop((before, between));
    assert_eq!(scan(&store, &a, ScanOptions::default()), new);
    compact(&store);
    assert_eq!(scan(&store, &a, ScanOptions::default()), new);
    assert_eq!(live(&store), 0);
}

/// A compaction that began before a range delete was flushed writes what the delete hides. It must
/// stay hidden, and the delete must stay, until another compaction drops it.
#[test]
fn a_running_compaction_brings_nothing_back() {
    use crate::compaction::InFlight;
    use crate::compaction::pick::pick_all;
    let fs = sim();
    let (store, a) = open(&fs);
    for round in ["1", "2"] {
        put(&store, &a, "a", round);
        put(&store, &a, "k", round);
        store.flush(None).unwrap();
    }
    let kernel = store.kernel();
    let keyspace = kernel.keyspace(a.id).unwrap();
    let version = keyspace.picture().version.clone();
    let policy = Policy::default();
    let plan = pick_all(a.id, &version.summary(), &policy, &InFlight::default(), false).unwrap();
    let claim = kernel.schedule.lock().in_flight.claim(a.id, &plan);
    // Between its plan and its end: a delete is written and flushed.
    delete_range(&store, &a, "k", "l");
    store.flush(None).unwrap();
    assert_eq!((get(&store, &a, "k"), live(&store)), (None, 1));
    kernel.compact(&keyspace, &version, &plan, true, &|| false).unwrap();
    kernel.release(&keyspace, claim, true);
    assert_eq!(get(&store, &a, "k"), None, "the output holds it, hidden");
    assert_eq!(live(&store), 1);
    drop((version, keyspace));
    drop(store);
    let (store, a) = open(&fs);
    assert_eq!(get(&store, &a, "k"), None);
    compact(&store);
    assert_eq!((get(&store, &a, "k"), live(&store)), (None, 0));
    assert_eq!(get(&store, &a, "a").as_deref(), Some("2"));
}

/// A range delete stays while a deep level holds something older, whatever happens above.
#[test]
fn an_old_table_in_a_deep_level_stays_hidden() {
    let fs = sim();
    let (store, a) = open(&fs);
    put(&store, &a, "b", "old");
    put(&store, &a, "x", &"old".repeat(2000));
    store.rewrite(a.id, CompactOptions::default(), &|| false).unwrap();
    let version = store.kernel().keyspace(a.id).unwrap().picture().version.clone();
    assert!(version.runs0.is_empty() && version.tables().count() == 1);
    drop(version);
    delete_range(&store, &a, "a", "c");
    for round in ["1", "2", "3"] {
        put(&store, &a, "d", round);
        store.flush(None).unwrap();
    }
    assert_eq!((get(&store, &a, "b"), live(&store)), (None, 1));
    // The young runs are merged among themselves; the old one is left where it lies.
    let tiered = crate::options::Tiered { merge_runs_min: 3, ..Default::default() };
    store.set_policy(a.id, Policy::Tiered(tiered)).unwrap();
    assert_eq!(store.view(a.id).unwrap().tables().len(), 2);
    assert_eq!((get(&store, &a, "b"), live(&store)), (None, 1));
    compact(&store);
    assert_eq!((get(&store, &a, "b"), live(&store)), (None, 0));
    assert_eq!(get(&store, &a, "x").map(|value| value.len()), Some(6000));
}

/// Operands above a range delete are not folded onto what it hides, nor onto nothing while a newer
/// value may lie below.
#[test]
fn operands_are_cut_at_a_range_delete() {
    let fs = sim();
    let (store, a) = open(&fs);
    let merge = |operand: &str| {
        let mut batch = WriteBatch::new();
        batch.merge(a.id, b"k", operand.as_bytes());
        let _ = store.write(&batch, WriteOptions::default()).unwrap();
    };
    put(&store, &a, "k", "base");
    merge("+1");
    store.flush(None).unwrap();
    delete_range(&store, &a, "a", "z");
    merge("+2");
    assert_eq!(get(&store, &a, "k").as_deref(), Some("+2"));
    store.flush(None).unwrap();
    merge("+3");
    assert_eq!(get(&store, &a, "k").as_deref(), Some("+2+3"));
    store.flush(None).unwrap();
    assert_eq!(scan(&store, &a, ScanOptions::default())[0].1, "+2+3");
    compact(&store);
    assert_eq!(get(&store, &a, "k").as_deref(), Some("+2+3"));
}

#[test]
fn hidden_tables_go_unread() {
    let fs = sim();
    let (store, a) = open(&fs);
    for index in 0..3000 {
        put(&store, &a, &format!("{index:05}"), &"x".repeat(50));
    }
    store.flush(None).unwrap();
    let count = || store.view(a.id).unwrap().tables().len();
    assert!(count() > 4);
    let snapshot = store.snapshot();
    delete_range(&store, &a, "00100", "1");
    store.flush(None).unwrap();
    let with_snapshot = count();
    assert!(with_snapshot > 4, "a snapshot sees them");
    drop(snapshot);
    let read =
        || -> u64 { store.metrics().compactions.iter().map(|(_, sum)| sum.read_bytes).sum() };
    let read_before = read();
    let of_table = store.view(a.id).unwrap().tables().iter().map(|t| t.bytes).max().unwrap();
    put(&store, &a, "9", "");
    store.flush(None).unwrap();
    assert_eq!(count(), 2, "the one that is in part outside the range, and the new one");
    assert!(read() - read_before <= 2 * of_table, "at most the one in part outside");
    assert_eq!(scan(&store, &a, ScanOptions::default()).len(), 101);
    delete_range(&store, &a, "", "9");
    store.flush(None).unwrap();
    assert_eq!((count(), live(&store)), (1, 0));
    is_sound(&store);
}

#[test]
fn a_scan_over_deleted_keys_is_a_few_seeks() {
    let fs = sim();
    let (store, a) = open(&fs);
    for index in 0..4000 {
        put(&store, &a, &format!("{index:05}"), &"x".repeat(50));
    }
    store.flush(None).unwrap();
    compact(&store);
    let snapshot = store.snapshot(); // keeps the tables from going whole
    delete_range(&store, &a, "00010", "03990");
    put(&store, &a, "01000", "new");
    for is_flushed in [false, true] {
        if is_flushed {
            store.flush(None).unwrap();
        }
        for reverse in [false, true] {
            let before = store.metrics().cache;
            let found = scan(&store, &a, ScanOptions { reverse, ..ScanOptions::default() });
            assert_eq!(found.len(), 21);
            let after = store.metrics().cache;
            let blocks = after.hits + after.misses - before.hits - before.misses;
            assert!(blocks < 30, "{blocks} blocks looked at");
        }
    }
    assert_eq!(scan(&store, &a, at(&snapshot)).len(), 4000);
    // One run, and in the midst of its hidden tables one that holds something newer.
    compact(&store);
    for reverse in [false, true] {
        let found = scan(&store, &a, ScanOptions { reverse, ..ScanOptions::default() });
        assert_eq!(found.len(), 21);
    }
    assert_eq!(scan(&store, &a, at(&snapshot)).len(), 4000);
}

#[test]
fn a_copy_takes_its_range_deletes_along() {
    let fs = sim();
    let (store, a) = open(&fs);
    put(&store, &a, "a", "1");
    put(&store, &a, "b", "1");
    store.flush(None).unwrap();
    delete_range(&store, &a, "b", "c");
    let export = store.begin_export(&|_| true).unwrap().wait(&|| false).unwrap();
    assert_eq!(export.keyspaces[0].range_deletes.len(), 1);
    let mut import = store.begin_import().unwrap();
    let delete = export.keyspaces[0].range_deletes[0].clone();
    assert!(import.range_delete(delete.clone()).is_err(), "before its keyspace");
    import.keyspace("kv/b", KeyspaceOptions::default()).unwrap();
    for table in &export.keyspaces[0].tables {
        let (path, is_final) = (table.path().to_owned(), table.meta().is_final);
        let source = TableSource { path, place: table.place, is_final };
        import.table(&source, Transfer::Copy, &mut |_| Ok(())).unwrap();
    }
    import.range_delete(delete).unwrap();
    let b = import.commit(&[], export.seq, "test").unwrap().pop().unwrap();
    let expected = [("a".to_owned(), "1".to_owned())];
    assert_eq!(scan(&store, &b, ScanOptions::default()), expected);
    store.checkpoint(Path::new("/copy"), &|| false).unwrap();
    drop(store);
    let mut options = options(&fs);
    options.dir = "/copy".into();
    let copy = Store::open(options).unwrap();
    for name in ["kv/a", "kv/b"] {
        let keyspace = copy.keyspace(name).unwrap();
        assert_eq!(scan(&copy, &keyspace, ScanOptions::default()), expected, "{name}");
    }
}

/// Without its range deletes a keyspace would show what was deleted. Damage of any byte of their
/// record is found, and the store does not open.
#[test]
fn damage_of_a_range_delete_in_the_manifest_is_found() {
    let sim = SimFs::new(1);
    let fs: Arc<dyn Fs> = Arc::new(sim.clone());
    let (store, a) = open(&fs);
    put(&store, &a, "secret", "1");
    put(&store, &a, "other", "1");
    store.flush(None).unwrap();
    delete_range(&store, &a, "secret", "secret-end");
    store.flush(None).unwrap();
    assert_eq!(live(&store), 1);
    let name = crate::manifest::manifest_name(store.kernel().manifest.lock().number().unwrap());
    store.close().unwrap();
    drop(store);
    let path = Path::new("/db").join(name);
    let bytes = sim.bytes(&path).unwrap();
    let of = |needle: &[u8]| bytes.windows(needle.len()).rposition(|at| at == needle).unwrap();
    let (from, to) = (of(b"\x06secret\x0asecret-end") - 3, of(b"secret-end") + 10);
    for at in from..to {
        for bit in 0..8 {
            sim.flip_bit(&path, at as u64, bit);
            let error = Store::open(options(&fs)).map(drop).unwrap_err();
            assert!(error.is_corrupt(), "byte {at}: {error}");
            sim.flip_bit(&path, at as u64, bit);
        }
    }
    let (store, a) = open(&fs);
    assert_eq!(get(&store, &a, "secret"), None);
}

/// A record that is whole but makes no sense is refused as well.
#[test]
fn edits_of_range_deletes_that_do_not_fit_are_refused() {
    use crate::manifest::{Edit, ManifestState};
    use crate::range_delete::{RangeDelete, Settled};
    let delete = |seq: u64| RangeDelete { seq, start: (*b"a").into(), end: (*b"b").into() };
    let settle = |added: &[u64], dropped: &[u64]| {
        let list = |seqs: &[u64]| seqs.iter().map(|seq| delete(*seq)).collect();
        let mut edit = Edit::new(1, "test");
        let settled = Settled { added: list(added), dropped: list(dropped) };
        edit.settle_range_deletes(KeyspaceId(1), &settled);
        edit
    };
    let mut state = ManifestState::default();
    assert!(state.clone().apply(&settle(&[5], &[])).is_err(), "no such keyspace");
    let mut create = Edit::new(1, "create");
    create.add_keyspace(KeyspaceId(1), "kv/a".into(), None, None);
    state.apply(&create).unwrap();
    state.apply(&settle(&[5], &[])).unwrap();
    assert!(state.clone().apply(&settle(&[5], &[])).is_err(), "twice");
    assert!(state.clone().apply(&settle(&[], &[6])).is_err(), "one that is not there");
    state.apply(&settle(&[], &[5])).unwrap();
    for (seq, start, end) in [(0, "a", "b"), (5, "b", "a"), (5, "a", "a")] {
        let bad = RangeDelete { seq, start: start.as_bytes().into(), end: end.as_bytes().into() };
        let settled = Settled { added: vec![bad], dropped: vec![] };
        let mut edit = Edit::new(1, "test");
        edit.settle_range_deletes(KeyspaceId(1), &settled);
        assert!(matches!(edit.changes()[0], Change::AddRangeDelete(..)));
        let mut bytes = Vec::new();
        edit.encode(&mut bytes);
        assert!(Edit::decode(&bytes).is_err(), "{start}..{end} at {seq}");
    }
}

/// Many deletes that something still lies below of hold memory, which the budget knows of until
/// the last reader of them is gone.
#[test]
fn the_budget_pays_for_range_deletes_and_gets_it_back() {
    let fs = sim();
    let budget = crate::budget::Budget::new(64 << 20);
    let held = || budget.held_bytes(crate::budget::Share::Memtables);
    let lazy = crate::options::Leveled { runs0_trigger: 100, ..Default::default() };
    let policy = Policy::Leveled(lazy);
    let options = || Options { policy, budget: budget.clone(), ..options(&fs) };
    let store = Store::open(options()).unwrap();
    let a = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    let key = |index: u32| format!("key-{index:04}");
    (0..400).for_each(|index| put(&store, &a, &key(index), "value"));
    store.flush(None).unwrap();
    assert_eq!(held(), 0);
    for index in (0..400).step_by(2) {
        delete_range(&store, &a, &key(index), &key(index + 1));
    }
    store.flush(None).unwrap();
    let of_class = |store: &Store| {
        let class = &store.metrics().classes["kv"];
        (class.range_deletes, class.range_delete_bytes)
    };
    let (count, bytes) = of_class(&store);
    assert_eq!((count, held()), (200, bytes));
    assert!(bytes > 200 * 100, "{bytes}");
    store.close().unwrap();
    drop(store);
    assert_eq!(held(), 0);
    let store = Store::open(options()).unwrap();
    assert_eq!((of_class(&store), held()), ((200, bytes), bytes));
    // Readers hold their version.
    let view = store.view(a.id).unwrap();
    compact(&store);
    assert_eq!((of_class(&store), held()), ((0, 0), bytes));
    drop(view);
    assert_eq!(held(), 0);
}

/// A store of one table of a deep level, and its keyspace.
fn with_one_deep_table(fs: &Arc<dyn Fs>) -> (Store, Keyspace) {
    let lazy = crate::options::Leveled { runs0_trigger: 4, ..Default::default() };
    let options =
        Options { policy: Policy::Leveled(lazy), table_bytes_max: 8 << 20, ..options(fs) };
    let store = Store::open(options).unwrap();
    let a = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    (0..3000).for_each(|index| put(&store, &a, &number(index), &"x".repeat(100)));
    compact(&store);
    assert_eq!(store.view(a.id).unwrap().tables().len(), 1);
    (store, a)
}

fn number(index: u32) -> String {
    format!("{index:05}")
}

fn rewrites(store: &Store) -> usize {
    let events = store.events(0);
    let of_deletes = events.iter().filter(|event| {
        matches!(event.kind, crate::events::EventKind::Compaction { reason: "deletes", .. })
    });
    of_deletes.count()
}

/// Levels are in shape all the time: nobody but the range delete asks for a compaction.
#[test]
fn a_table_that_is_hidden_in_part_is_written_anew_by_the_background() {
    // From, to, whether the room comes back.
    let cases = [(0, 1500, true), (1500, 3000, true), (700, 2200, true), (10, 300, false)];
    for (from, to, is_rewritten) in cases {
        let fs = sim();
        let (store, a) = with_one_deep_table(&fs);
        let bytes = || store.view(a.id).unwrap().tables().iter().map(|t| t.bytes).sum::<u64>();
        let before = bytes();
        delete_range(&store, &a, &number(from), &number(to));
        store.flush(None).unwrap();
        assert_eq!(rewrites(&store), usize::from(is_rewritten), "{from}..{to}");
        assert_eq!(bytes() < before * 6 / 10, is_rewritten, "{from}..{to}: {} bytes", bytes());
        assert_eq!(live(&store), usize::from(!is_rewritten), "{from}..{to}");
        // It comes to rest.
        for round in 0..3 {
            put(&store, &a, "a", &round.to_string());
            store.flush(None).unwrap();
            store.maintain().unwrap();
        }
        assert_eq!(rewrites(&store), usize::from(is_rewritten), "{from}..{to}");
        let left = scan(&store, &a, ScanOptions::default());
        assert_eq!(left.len() as u32, 3000 - (to - from) + 1, "{from}..{to}");
        is_sound(&store);
    }
}

#[test]
fn what_a_snapshot_sees_is_not_written_anew_before_it_goes() {
    let fs = sim();
    let (store, a) = with_one_deep_table(&fs);
    let snapshot = store.snapshot();
    delete_range(&store, &a, &number(0), &number(2000));
    store.flush(None).unwrap();
    store.maintain().unwrap();
    assert_eq!(rewrites(&store), 0);
    assert_eq!(scan(&store, &a, at(&snapshot)).len(), 3000);
    drop(snapshot);
    store.maintain().unwrap();
    assert_eq!((rewrites(&store), live(&store)), (1, 0));
    assert_eq!(scan(&store, &a, ScanOptions::default()).len(), 1000);
}

#[test]
fn what_is_due_by_shape_goes_before_what_is_hidden() {
    let fs = sim();
    let (store, a) = with_one_deep_table(&fs);
    store.pause_compactions();
    for round in 0..4 {
        put(&store, &a, &number(2900), &round.to_string());
        store.flush(None).unwrap();
    }
    delete_range(&store, &a, &number(0), &number(1500));
    store.flush(None).unwrap();
    let mark = store.events(0).last().unwrap().id;
    store.resume_compactions();
    let events = store.events(mark);
    let reasons = events.iter().filter_map(|event| match event.kind {
        crate::events::EventKind::Compaction { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reasons.collect::<Vec<_>>(), ["runs"], "the merge left out what is hidden");
    assert_eq!(live(&store), 0);
}
