//! Transactions one by one, against every serial order of themselves, and by threads.

mod serial;

use crate::clock::ManualClock;
use crate::fs::sim::SimFs;
use crate::hooks::Plain;
use crate::options::{Background, KeyspaceOptions, Options};
use crate::scan::bounds::Bounds;
use crate::store::Store;

use super::*;

fn options() -> Options {
    let append = |_: &[u8], base: Option<&[u8]>, operands: &[&[u8]]| {
        let mut out = base.unwrap_or_default().to_vec();
        operands.iter().for_each(|operand| out.extend_from_slice(operand));
        out
    };
    let (clock, hooks) = (Arc::new(ManualClock::at(1)), Arc::new(Plain::with_merge(append)));
    let mut options = Options::new("/db", Arc::new(SimFs::new(1)), clock, hooks);
    options.background = Background::Inline;
    options.memtable_bytes_max = 16 << 10;
    options.memtable_bytes_hard = 64 << 10;
    options.wal_segment_bytes = 128 << 10;
    options
}

fn open() -> (Store, KeyspaceId) {
    let store = Store::open(options()).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap().id;
    (store, keyspace)
}

fn put(store: &Store, keyspace: KeyspaceId, key: &str, value: &str) {
    let mut batch = crate::batch::WriteBatch::new();
    batch.put(keyspace, key.as_bytes(), value.as_bytes());
    let _commit = store.write(&batch, WriteOptions::default()).unwrap();
}

fn text(value: Option<Value>) -> Option<String> {
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn get(transaction: &Transaction, keyspace: KeyspaceId, key: &str) -> Option<String> {
    text(transaction.get(keyspace, key.as_bytes()).unwrap())
}

fn commit(transaction: Transaction) -> bool {
    match transaction.commit(WriteOptions::default()) {
        Ok(_) => true,
        Err(Error::Conflict { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

fn pairs(
    transaction: &Transaction,
    keyspace: KeyspaceId,
    options: ScanOptions<'_>,
) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let pairs = transaction.scan(keyspace, options).unwrap();
    pairs.map(|pair| pair.map(|(k, v)| (text(&k), text(&v))).unwrap()).collect()
}

#[test]
fn a_transaction_reads_its_own_writes_and_nobody_else_does() {
    let (store, a) = open();
    for (key, value) in
        [("1", "one"), ("2", "two"), ("3", "three"), ("35", "gone"), ("5", "gone"), ("50", "gone")]
    {
        put(&store, a, key, value);
    }
    store.flush(None).unwrap();
    let mut transaction = store.transaction().unwrap();
    put(&store, a, "4", "not seen");
    transaction.put(a, b"0", b"zero").unwrap();
    transaction.delete(a, b"1").unwrap();
    transaction.put(a, b"2", b"deux").unwrap();
    transaction.merge(a, b"2", b"!").unwrap();
    transaction.merge(a, b"3", b"?").unwrap();
    transaction.merge(a, b"3", b"!").unwrap();
    transaction.delete(a, b"6").unwrap();
    transaction.merge(a, b"6", b"six").unwrap();
    transaction.merge(a, b"7", b"seven").unwrap();
    // What the range deletes hide: own writes of before, and those of the store.
    transaction.put(a, b"31", b"gone").unwrap();
    transaction.merge(a, b"5", b"gone").unwrap();
    transaction.delete_range(a, b"31", b"51").unwrap();
    transaction.merge(a, b"5", b"five").unwrap();
    assert!(matches!(transaction.delete_range(a, b"9", b"9"), Err(Error::Invalid { .. })));
    let expected = [
        ("0", "zero"),
        ("2", "deux!"),
        ("3", "three?!"),
        ("5", "five"),
        ("6", "six"),
        ("7", "seven"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    for (key, value) in &expected {
        assert_eq!(get(&transaction, a, key).as_ref(), Some(value), "{key}");
    }
    assert_eq!((get(&transaction, a, "1"), get(&transaction, a, "4")), (None, None));
    for lower in 0..8 {
        for upper in 0..8 {
            let [lower, upper] = [lower, upper].map(|at: u8| at.to_string().into_bytes());
            let bounds = Bounds { lower: Some(lower), upper: Some(upper) };
            let inside = expected.iter().filter(|(key, _)| bounds.contains(key.as_bytes()));
            let mut inside: Vec<_> = inside.cloned().collect();
            let options = ScanOptions { bounds, ..ScanOptions::default() };
            assert_eq!(pairs(&transaction, a, options.clone()), inside, "{options:?}");
            inside.reverse();
            let options = ScanOptions { reverse: true, ..options };
            assert_eq!(pairs(&transaction, a, options.clone()), inside, "{options:?}");
        }
    }
    assert_eq!(text(store.get(a, b"2", None).unwrap()).as_deref(), Some("two"));
    let snapshot = transaction.snapshot();
    assert_eq!(text(store.get(a, b"2", Some(snapshot)).unwrap()).as_deref(), Some("two"));
    let misuse = ScanOptions { snapshot: Some(snapshot), ..ScanOptions::default() };
    assert!(matches!(transaction.scan(a, misuse), Err(Error::Invalid { .. })));
    drop(transaction);
    assert_eq!(text(store.get(a, b"0", None).unwrap()), None, "dropped, nothing is stored");
}

#[test]
fn what_was_read_and_then_written_by_others_conflicts() {
    type Read = fn(&mut Transaction, KeyspaceId);
    // What is read, the key that another one writes, whether the commit is refused.
    let cases: [(&str, Read, &str, bool); 12] = [
        ("own range delete", |t, a| t.delete_range(a, b"k1", b"k9").unwrap(), "k2", false),
        ("get", |t, a| drop(t.get(a, b"k2").unwrap()), "k2", true),
        ("get", |t, a| drop(t.get(a, b"k2").unwrap()), "k3", false),
        ("get of nothing", |t, a| drop(t.get(a, b"k25").unwrap()), "k25", true),
        ("own write", |t, a| t.put(a, b"k2", b"").unwrap(), "k2", false),
        ("scan", |t, a| walk(t, a, false, 9), "k25", true),
        ("scan, outside", |t, a| walk(t, a, false, 9), "l", false),
        ("two of a scan, walked", |t, a| walk(t, a, false, 2), "k15", true),
        ("two of a scan, not walked", |t, a| walk(t, a, false, 2), "k25", false),
        ("one of a scan back, walked", |t, a| walk(t, a, true, 1), "k35", true),
        ("one of a scan back, not walked", |t, a| walk(t, a, true, 1), "k25", false),
        ("a scan that never ended", |t, a| std::mem::forget(walking(t, a)), "k25", true),
    ];
    for (what, read, key, expected) in cases {
        let (store, a) = open();
        ["k1", "k2", "k3"].iter().for_each(|key| put(&store, a, key, "1"));
        let mut transaction = store.transaction().unwrap();
        read(&mut transaction, a);
        transaction.put(a, b"out", b"1").unwrap();
        put(&store, a, key, "2");
        assert_eq!(!commit(transaction), expected, "{what}, {key}");
        let out = text(store.get(a, b"out", None).unwrap());
        assert_eq!(out.is_none(), expected, "{what}, {key}: refused or stored");
    }
}

#[test]
fn what_becomes_of_transactions_is_counted_and_what_they_read_is_charged() {
    let (store, a) = open();
    let held = || store.options().budget.held_bytes(crate::budget::Share::Memtables);
    let before = held();
    let mut transactions: Vec<_> = (0..4).map(|_| store.transaction().unwrap()).collect();
    assert_eq!(store.metrics().transactions.open, 4);
    assert!(get(&transactions[0], a, "k").is_none());
    assert!(held() > before, "a key that was read is charged");
    for transaction in &mut transactions[..2] {
        transaction.put(a, b"out", b"1").unwrap();
    }
    put(&store, a, "k", "1");
    let fates: Vec<_> = transactions.drain(..3).map(commit).collect();
    assert_eq!(fates, [false, true, true]);
    drop(transactions);
    let counted = store.metrics().transactions;
    assert_eq!((counted.open, counted.begun, counted.committed), (0, 4, 2));
    assert_eq!(counted.conflicts, [("written", 1), ("forgotten", 0)]);
    store.flush(None).unwrap();
    assert_eq!(held(), 0, "all is given back");

    store.set_options(|options| options.transaction_history_bytes = 1).unwrap();
    let late = store.transaction().unwrap();
    get(&late, a, "k");
    let large = "x".repeat(40 << 10);
    ["b", "c", "d", "e"].iter().for_each(|key| put(&store, a, key, &large));
    let keys: Vec<_> = (0..4000).map(|at| format!("key{at:030}")).collect();
    keys.iter().for_each(|key| put(&store, a, key, ""));
    let mut late = late;
    late.put(a, b"out", b"2").unwrap();
    assert!(!commit(late));
    assert_eq!(store.metrics().transactions.conflicts, [("written", 1), ("forgotten", 1)]);
}

fn walking(transaction: &Transaction, keyspace: KeyspaceId) -> TransactionIterator<'_> {
    let options = ScanOptions { bounds: Bounds::prefix(b"k"), ..ScanOptions::default() };
    transaction.scan(keyspace, options).unwrap()
}

fn walk(transaction: &Transaction, keyspace: KeyspaceId, reverse: bool, count: usize) {
    let options = ScanOptions { bounds: Bounds::prefix(b"k"), reverse, ..ScanOptions::default() };
    let pairs = transaction.scan(keyspace, options).unwrap();
    pairs.take(count).for_each(|pair| drop(pair.unwrap()));
}

#[test]
fn isolation_says_what_counts() {
    use Isolation::{Serializable, Snapshot};
    // Isolation; what it does with "a" before another one writes "a"; whether it may commit.
    type Deed = fn(&mut Transaction, KeyspaceId);
    let read: Deed = |t, a| drop(t.get(a, b"a").unwrap());
    let lock: Deed = |t, a| drop(t.get_for_update(a, b"a").unwrap());
    let write: Deed = |t, a| t.put(a, b"a", b"mine").unwrap();
    let merge: Deed = |t, a| t.merge(a, b"a", b"mine").unwrap();
    let write_out: Deed = |t, a| t.put(a, b"out", b"").unwrap();
    let cases: [(Isolation, &[Deed], bool); 12] = [
        (Serializable, &[read], true),
        (Serializable, &[lock], false),
        (Serializable, &[read, write_out], false),
        (Serializable, &[lock, write_out], false),
        (Serializable, &[write], true),
        (Serializable, &[merge], true),
        (Serializable, &[read, merge], false),
        (Snapshot, &[read], true),
        (Snapshot, &[lock], false),
        (Snapshot, &[read, write_out], true),
        (Snapshot, &[lock, write_out], false),
        (Snapshot, &[write], false),
    ];
    for (index, (isolation, deeds, expected)) in cases.into_iter().enumerate() {
        let (store, a) = open();
        let mut transaction = store.transaction_with(TransactionOptions { isolation }).unwrap();
        deeds.iter().for_each(|deed| deed(&mut transaction, a));
        put(&store, a, "a", "theirs");
        assert_eq!(commit(transaction), expected, "case {index}, {isolation:?}");
    }
}

#[test]
fn what_a_store_refuses_a_transaction_refuses_at_once() {
    let (store, a) = open();
    let mut transaction = store.transaction().unwrap();
    assert!(matches!(transaction.put(a, b"", b""), Err(Error::Invalid { .. })));
    let long = vec![b'k'; (64 << 10) + 1];
    assert!(matches!(transaction.put(a, &long, b""), Err(Error::Limit { .. })));
    assert!(matches!(transaction.delete(KeyspaceId(99), b"k"), Err(Error::NotFound { .. })));
    assert!(matches!(transaction.get(KeyspaceId(99), b"k"), Err(Error::NotFound { .. })));
    let large = vec![0; 40 << 20];
    transaction.put(a, b"1", &large).unwrap();
    assert!(matches!(transaction.put(a, b"2", &large), Err(Error::Limit { .. })));
    drop(transaction);
    let mut transaction = store.transaction().unwrap();
    transaction.put(a, b"k", b"v").unwrap();
    store.drop_keyspaces(&[a], "test").unwrap();
    let outcome = transaction.commit(WriteOptions::default());
    assert!(matches!(outcome, Err(Error::NotFound { .. })));
    let transaction = store.transaction().unwrap();
    store.close().unwrap();
    assert!(matches!(transaction.get(a, b"k"), Err(Error::Closed)));
    assert!(matches!(store.transaction(), Err(Error::Closed)));
}

#[test]
fn a_transaction_that_outlives_the_history_is_refused() {
    let mut options = options();
    options.transaction_history_bytes = 100 << 10;
    let store = Store::open(options).unwrap();
    let a = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap().id;
    let mut old = store.transaction().unwrap();
    old.get(a, b"never written").unwrap();
    old.put(a, b"old", b"").unwrap();
    for i in 0..400 {
        put(&store, a, &format!("{i:01000}"), "");
    }
    let mut young = store.transaction().unwrap();
    young.get(a, b"never written").unwrap();
    young.put(a, b"young", b"").unwrap();
    let refused = old.commit(WriteOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("than is kept"), "{refused}");
    assert!(commit(young));
}

#[test]
fn transact_runs_again_until_it_fits() {
    let (store, a) = open();
    for (attempts, others, expected) in [(1, 0, true), (1, 1, false), (3, 2, true), (3, 3, false)] {
        let mut runs = 0;
        let outcome = store.transact(attempts, |transaction| {
            runs += 1;
            let value = transaction.get(a, b"count")?.map_or(0, |value| value.len());
            if runs <= others {
                put(&store, a, "count", &"x".repeat(runs));
            }
            transaction.put(a, b"count", &vec![b'x'; value + 1])
        });
        assert_eq!(outcome.is_ok(), expected, "{attempts} attempts, {others} others");
        assert_eq!(runs, attempts.min(others + 1));
    }
    let outcome = store.transact(9, |_| Err::<(), _>(Error::Cancelled));
    assert!(matches!(outcome, Err(Error::Cancelled)));
}

/// Threads move amounts between accounts, and count: no amount appears or is lost, every reader
/// sees the same total, and each count is there once.
#[test]
fn transfers_by_threads_keep_the_total() {
    const ACCOUNTS: u64 = 6;
    const TRANSFERS: u64 = 60;
    let store = Store::open(Options { background: Background::Threads(2), ..options() }).unwrap();
    let a = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap().id;
    (0..ACCOUNTS).for_each(|account| put(&store, a, &format!("account{account}"), "100"));
    let number = |value: Option<Value>| text(value).map_or(0, |v| v.parse::<i64>().unwrap());
    let total = |transaction: &Transaction| -> i64 {
        let bounds = Bounds::prefix(b"account");
        let options = ScanOptions { bounds, ..ScanOptions::default() };
        pairs(transaction, a, options).iter().map(|(_, v)| v.parse::<i64>().unwrap()).sum()
    };
    let transfer = |rng: &mut crate::fs::sim::Rng| {
        let key = |account: u64| format!("account{account}").into_bytes();
        let (from, to) = (key(rng.below(ACCOUNTS)), key(rng.below(ACCOUNTS)));
        let amount = rng.below(50) as i64;
        let outcome = store.transact(usize::MAX, |transaction| {
            if amount % 7 == 0 {
                assert_eq!(total(transaction), ACCOUNTS as i64 * 100);
            }
            for (key, amount) in [(&from, -amount), (&to, amount)] {
                let held = number(transaction.get(a, key)?);
                transaction.put(a, key, (held + amount).to_string().as_bytes())?;
            }
            let count = number(transaction.get(a, b"count")?);
            transaction.put(a, b"count", (count + 1).to_string().as_bytes())
        });
        outcome.unwrap();
    };
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let transfer = &transfer;
            scope.spawn(move || {
                let mut rng = crate::fs::sim::Rng::new(seed);
                (0..TRANSFERS).for_each(|_| transfer(&mut rng));
            });
        }
    });
    let transaction = store.transaction().unwrap();
    assert_eq!(total(&transaction), ACCOUNTS as i64 * 100);
    assert_eq!(get(&transaction, a, "count"), Some((4 * TRANSFERS).to_string()));
    drop(transaction);
    assert_eq!(store.options().budget.held_bytes(crate::budget::Share::Memtables), 0);
}

#[test]
fn puts_of_a_transaction_expire() {
    let clock = Arc::new(ManualClock::at(1_000_000_000));
    let store = Store::open(Options { clock: clock.clone(), ..options() }).unwrap();
    let box_ = store.create_keyspace("box", KeyspaceOptions::default()).unwrap().id;
    let mut transaction = store.transaction().unwrap();
    for key in ["short", "kept", "removed", "cut"] {
        transaction.put_with_ttl(box_, key.as_bytes(), b"value", 2000).unwrap();
    }
    transaction.put(box_, b"kept", b"for ever").unwrap();
    transaction.delete(box_, b"removed").unwrap();
    transaction.delete_range(box_, b"cut", b"cuu").unwrap();
    assert_eq!(get(&transaction, box_, "short").as_deref(), Some("value"));
    assert!(commit(transaction));
    let all = |store: &Store| {
        ["short", "kept", "removed", "cut"]
            .map(|key| text(store.get(box_, key.as_bytes(), None).unwrap()))
    };
    let value = |text: &str| Some(text.to_owned());
    assert_eq!(all(&store), [value("value"), value("for ever"), None, None]);
    clock.advance_ns(1_000_000_000);
    assert_eq!(all(&store), [None, value("for ever"), None, None]);
}

#[test]
fn without_memory_for_a_write_the_transaction_stays_as_it_was() {
    use crate::budget::{Budget, Share};

    type Write = fn(&mut Transaction, KeyspaceId, &[u8], &[u8]) -> crate::Result<()>;
    let value = vec![b'v'; 10 << 10];
    let writes: [(&str, Write); 4] = [
        ("put", |transaction, a, key, value| transaction.put(a, key, value)),
        ("put that expires", |transaction, a, key, value| {
            transaction.put_with_ttl(a, key, value, u64::MAX)
        }),
        ("merge", |transaction, a, key, value| transaction.merge(a, key, value)),
        ("delete of a range", |transaction, a, key, value| {
            transaction.delete_range(a, key, &[key, value].concat())
        }),
    ];
    for (what, write) in writes {
        let mut options = options();
        (options.budget, options.key_bytes_max) = (Budget::new(1 << 20), 20 << 10);
        let store = Store::open(options).unwrap();
        let a = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap().id;
        let held = || store.options().budget.held_bytes(Share::Requests);
        for is_committed in [false, true] {
            let mut transaction = store.transaction().unwrap();
            let refused = (0u32..200).find_map(|number| {
                let key = number.to_be_bytes();
                write(&mut transaction, a, &key, &value).err().map(|error| (number, error))
            });
            let (count, error) = refused.expect("more than there is memory");
            assert!((60..96).contains(&count), "{what}: {count} of 10 KiB in 15/16 of a MiB");
            let told = "no memory is left for what a transaction writes";
            assert!(matches!(error, Error::Busy { reason, .. } if reason == told), "{error}");
            assert!(held() >= u64::from(count) * (10 << 10), "{what}: {} held", held());
            // What came before is there, and what was refused is not.
            let there = |number: u32| transaction.get(a, &number.to_be_bytes()).unwrap().is_some();
            let has_values = !what.starts_with("delete");
            assert_eq!((there(count - 1), there(count)), (has_values, false), "{what}");
            if is_committed {
                assert!(commit(transaction), "{what}");
                let last = store.get(a, &(count - 1).to_be_bytes(), None).unwrap();
                assert_eq!(last.is_some(), has_values, "{what}");
            } else {
                drop(transaction);
            }
            assert_eq!(held(), 0, "{what}: all is given back");
        }
    }
}
