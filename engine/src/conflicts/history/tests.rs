//! What the history knows, what it forgets, what it gives back.

use super::*;
use crate::scan::bounds::Bounds;

const KEYSPACE: KeyspaceId = KeyspaceId(1);
const LIMIT: u64 = 10 * CHUNK_BYTES as u64;

fn put(history: &mut History, seq: Seq, key: &[u8]) {
    let mut batch = WriteBatch::new();
    batch.put(KEYSPACE, key, b"");
    history.record(seq, &batch, LIMIT);
}

/// About a quarter of a chunk.
fn put_large(history: &mut History, seq: Seq) {
    put(history, seq, &[b'x'; CHUNK_BYTES / 4]);
}

fn reads(key: &[u8]) -> Reads {
    let mut reads = Reads::default();
    reads.add_key(KEYSPACE, key);
    reads
}

fn conflicts(history: &History, reads: &Reads, after: Seq) -> bool {
    match history.check(reads, after, after) {
        Ok(()) => false,
        Err(Error::Conflict { .. }) => true,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn only_writes_behind_the_snapshot_to_what_was_read_conflict() {
    let mut history = History::new(&Budget::unlimited());
    history.open(3);
    put(&mut history, 4, b"a");
    put(&mut history, 5, b"b");
    put(&mut history, 6, b"a");
    let cases: [(&[u8], Seq, bool); 7] = [
        (b"a", 3, true),
        (b"a", 5, true),
        (b"a", 6, false),
        (b"b", 4, true),
        (b"b", 5, false),
        (b"", 3, false),
        (b"ab", 3, false),
    ];
    for (key, after, expected) in cases {
        assert_eq!(conflicts(&history, &reads(key), after), expected, "{key:?} {after}");
    }
    let mut prefix = Reads::default();
    prefix.add_range(KEYSPACE, Bounds::prefix(b"b"));
    assert!(conflicts(&history, &prefix, 4) && !conflicts(&history, &prefix, 5));
    let mut other = Reads::default();
    other.add_range(KeyspaceId(2), Bounds::all());
    assert!(!conflicts(&history, &other, 3), "another keyspace");
    let mut batch = WriteBatch::new();
    batch.append(KeyspaceId(2), b"who knows");
    history.record(7, &batch, LIMIT);
    assert!(conflicts(&history, &other, 6), "a payload may touch anything");
}

#[test]
fn a_range_delete_conflicts_with_every_key_that_was_read_in_it() {
    let mut history = History::new(&Budget::unlimited());
    history.open(3);
    put(&mut history, 4, b"x");
    let mut batch = WriteBatch::new();
    batch.delete_range(KEYSPACE, b"b", b"d");
    history.record(5, &batch, LIMIT);
    put(&mut history, 6, b"y");
    let cases: [(&[u8], bool); 5] =
        [(b"a", false), (b"b", true), (b"c", true), (b"d", false), (b"y", true)];
    for (key, expected) in cases {
        assert_eq!(conflicts(&history, &reads(key), 4), expected, "{key:?}");
    }
    let mut prefix = Reads::default();
    prefix.add_range(KEYSPACE, Bounds::prefix(b"c"));
    assert!(conflicts(&history, &prefix, 4) && !conflicts(&history, &prefix, 5));
}

#[test]
fn nothing_is_kept_once_no_transaction_needs_it() {
    let budget = Budget::unlimited();
    let mut history = History::new(&budget);
    assert!(!history.is_recording());
    history.open(0);
    (1..=20).for_each(|seq| put_large(&mut history, seq));
    history.open(12);
    assert_eq!(history.open_count(), 2);
    let held = budget.held_bytes(Share::Memtables);
    assert!(held > 3 * CHUNK_BYTES as u64, "{held}");
    assert!(!history.close(0).is_empty(), "what only the older one needed");
    assert!(budget.held_bytes(Share::Memtables) < held);
    assert!(conflicts(&history, &reads(&[b'x'; CHUNK_BYTES / 4]), 12));
    history.close(12);
    assert!(!history.is_recording());
    assert_eq!((history.bytes(), budget.held_bytes(Share::Memtables)), (0, 0));
}

#[test]
fn beyond_its_limit_it_refuses_the_oldest_transactions() {
    for limit in ["bytes", "budget"] {
        let bytes = if limit == "budget" { LIMIT } else { u64::MAX };
        let mut history = History::new(&Budget::new(bytes));
        history.open(0);
        (1..=10).for_each(|seq| put_large(&mut history, seq));
        history.open(10);
        assert!(!conflicts(&history, &reads(b"a"), 0), "all is there");
        (11..=45).for_each(|seq| put_large(&mut history, seq));
        assert!(history.bytes() <= LIMIT + 2 * CHUNK_BYTES as u64, "{}", history.bytes());
        assert!(conflicts(&history, &reads(b"a"), 0), "{limit}: not all is there");
        assert!(!conflicts(&history, &reads(b"a"), 20));
    }
}

#[test]
fn full_chunks_and_the_rest_are_the_whole() {
    let mut history = History::new(&Budget::unlimited());
    history.open(0);
    // One batch over several chunks: its number is in all of them.
    let mut batch = WriteBatch::new();
    for key in 0..200u8 {
        batch.put(KEYSPACE, &[key; 1000], b"");
    }
    history.record(1, &batch, LIMIT);
    put(&mut history, 2, b"last");
    for key in (0..200u8).map(|key| vec![key; 1000]).chain([b"last".to_vec()]) {
        let reads = reads(&key);
        let (full, checked) = history.full_chunks(0);
        assert!(full.len() >= 2);
        let in_full = full.iter().any(|chunk| chunk.check(&reads, 0).is_err());
        let in_rest = history.check(&reads, 0, checked).is_err();
        assert!(in_full || in_rest, "{}", key.escape_ascii());
    }
}
