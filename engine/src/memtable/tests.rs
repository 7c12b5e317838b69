//! What every memtable of plain KV keeps to: order of versions, cursors, several writers at once;
//! and that all kinds answer alike.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::key::{Kind, Op, Seq};

const KINDS: [MemtableKind; 2] = [MemtableKind::Arena, MemtableKind::Crossbeam];

fn create(kind: MemtableKind) -> Arc<dyn Memtable> {
    PlainMemtables::new(kind, None).create()
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Op<'a> {
    Op { kind: Kind::Put, key, value }
}

/// The versions of `key` that a reader at `snapshot` meets.
fn versions(list: &dyn Memtable, key: &[u8], snapshot: Seq) -> Vec<(Seq, Kind, Vec<u8>)> {
    let mut found = Vec::new();
    list.versions(key, snapshot, &mut |seq, kind, value| {
        found.push((seq, kind, value.to_vec()));
        true
    })
    .unwrap();
    found
}

#[test]
fn versions_come_newest_first_and_stop_at_the_key() {
    for kind in KINDS {
        let list = create(kind);
        list.apply(3, &put(b"b", b"three"));
        list.apply(1, &put(b"b", b"one"));
        list.apply(2, &put(b"a", b"other"));
        list.apply(9, &put(b"bb", b"other"));
        list.apply(5, &Op { kind: Kind::Delete, key: b"b", value: b"" });
        let five = (5, Kind::Delete, b"".to_vec());
        let three = (3, Kind::Put, b"three".to_vec());
        let one = (1, Kind::Put, b"one".to_vec());
        let cases = [
            (Seq::MAX, vec![five.clone(), three.clone(), one.clone()]),
            (5, vec![five, three.clone(), one.clone()]),
            (4, vec![three, one.clone()]),
            (1, vec![one]),
            (0, vec![]),
        ];
        for (snapshot, expected) in cases {
            assert_eq!(versions(&*list, b"b", snapshot), expected, "at {snapshot}");
        }
        assert_eq!(versions(&*list, b"", Seq::MAX), []);
        assert_eq!(versions(&*list, b"c", Seq::MAX), []);
        let mut visited = 0;
        list.versions(b"b", Seq::MAX, &mut |_, _, _| {
            visited += 1;
            false
        })
        .unwrap();
        assert_eq!(visited, 1);
    }
}

#[test]
fn in_one_batch_the_last_operation_is_first_and_every_operand_counts() {
    for kind in KINDS {
        let list = create(kind);
        list.apply(7, &put(b"k", b"1"));
        list.apply(7, &Op { kind: Kind::Merge, key: b"k", value: b"2" });
        list.apply(7, &Op { kind: Kind::Merge, key: b"k", value: b"3" });
        list.apply(7, &put(b"put", b"first"));
        list.apply(7, &Op { kind: Kind::Delete, key: b"put", value: b"" });
        list.apply(7, &put(b"put", b"last"));
        let values = |key| -> Vec<_> {
            versions(&*list, key, 7).into_iter().map(|(_, kind, value)| (kind, value)).collect()
        };
        assert_eq!(
            values(b"k"),
            [
                (Kind::Merge, b"3".to_vec()),
                (Kind::Merge, b"2".to_vec()),
                (Kind::Put, b"1".to_vec())
            ]
        );
        assert_eq!(values(b"put")[0], (Kind::Put, b"last".to_vec()));
    }
}

#[test]
fn bytes_grow_with_what_is_stored() {
    for kind in KINDS {
        let list = create(kind);
        assert_eq!(list.bytes(), 0);
        list.apply(1, &put(b"key", &[0; 1000]));
        let first_bytes = list.bytes();
        assert!((1003..4096).contains(&first_bytes));
        list.apply(2, &put(b"key", &[0; 1000]));
        let grown = list.bytes() - first_bytes;
        assert!((1003 + 24 + 8..=1003 + 104).contains(&grown), "{kind:?}: {grown}");
    }
}

#[test]
fn a_cursor_walks_both_ways_and_outlives_the_handle() {
    for kind in KINDS {
        let list = create(kind);
        let keys: Vec<Vec<u8>> = (0..100u8).map(|number| vec![number, number]).collect();
        for (index, key) in keys.iter().enumerate().rev() {
            list.apply(index as Seq + 1, &put(key, &[index as u8]));
        }
        let mut cursor = list.clone().cursor();
        drop(list);
        assert!(!cursor.valid());
        cursor.next().unwrap();
        assert!(!cursor.valid(), "moving from nowhere stays there");
        cursor.seek_first().unwrap();
        for (index, key) in keys.iter().enumerate() {
            assert_eq!((cursor.key(), cursor.seq()), (&key[..], index as Seq + 1));
            assert_eq!((cursor.kind(), cursor.value()), (Kind::Put, &[index as u8][..]));
            cursor.next().unwrap();
        }
        assert!(!cursor.valid());
        cursor.seek_last().unwrap();
        for key in keys.iter().rev() {
            assert_eq!(cursor.key(), key);
            cursor.prev().unwrap();
        }
        assert!(!cursor.valid());
        let cases: [(&[u8], Option<u8>, Option<u8>); 5] = [
            (&[], Some(0), None),
            (&[5, 5], Some(5), Some(4)),
            (&[5], Some(5), Some(4)),
            (&[5, 6], Some(6), Some(5)),
            (&[200], None, Some(99)),
        ];
        for (key, at_or_after, before) in cases {
            cursor.seek(key).unwrap();
            assert_eq!(cursor.valid().then(|| cursor.key()[0]), at_or_after, "{key:?}");
            cursor.seek_before(key).unwrap();
            assert_eq!(cursor.valid().then(|| cursor.key()[0]), before, "{key:?}");
        }
    }
}

/// A way to look for a key as the first thing after its insert.
type Look = fn(&Arc<dyn Memtable>, &[u8]) -> bool;

/// Stands at `key` after `go`.
fn stands_at(
    list: &Arc<dyn Memtable>,
    key: &[u8],
    go: &dyn Fn(&mut dyn Cursor) -> Result<()>,
) -> bool {
    let mut cursor = list.clone().cursor();
    go(&mut *cursor).unwrap();
    cursor.valid() && cursor.key() == key
}

#[test]
fn what_was_inserted_is_there_for_every_way_to_look() {
    let looks: [(&str, Look); 5] = [
        ("versions", |list, key| versions(&**list, key, Seq::MAX).len() == 1),
        ("seek", |list, key| stands_at(list, key, &|cursor| cursor.seek(key))),
        ("seek_before", |list, key| {
            let end = [key, &[0]].concat();
            stands_at(list, key, &|cursor| cursor.seek_before(&end))
        }),
        // Keys descend, then ascend: the last one is the first, or the last.
        ("seek_first", |list, key| stands_at(list, key, &|cursor| cursor.seek_first())),
        ("seek_last", |list, key| stands_at(list, key, &|cursor| cursor.seek_last())),
    ];
    for kind in KINDS {
        for (name, look) in looks {
            for count in 1..40u8 {
                let list = create(kind);
                let key = |number: u8| if name == "seek_first" { 100 - number } else { number };
                for number in 1..=count {
                    list.apply(number.into(), &put(&[key(number)], b"value"));
                }
                assert!(look(&list, &[key(count)]), "{kind:?}, {name}, {count}");
            }
        }
    }
}

#[test]
fn who_knows_of_an_insert_finds_it() {
    use std::sync::atomic::{AtomicU64, Ordering};
    for kind in KINDS {
        const COUNT: u64 = 20_000;
        let (list, known) = (create(kind), AtomicU64::new(0));
        let key = |seq: u64| seq.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let seq = known.load(Ordering::Acquire);
                        assert_eq!(versions(&*list, &key(seq), seq).len(), usize::from(seq > 0));
                        if seq == COUNT {
                            break;
                        }
                    }
                });
            }
            for seq in 1..=COUNT {
                list.apply(seq, &put(&key(seq), b"value"));
                known.store(seq, Ordering::Release);
            }
        });
    }
}

#[test]
fn many_threads_write_and_read_at_once() {
    for kind in KINDS {
        const THREADS: u64 = 4;
        const EACH: u64 = 2_000;
        let list = create(kind);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let list = list.clone();
                scope.spawn(move || {
                    for number in 0..EACH {
                        let key = (number % 500).to_be_bytes();
                        list.apply(
                            1 + number * THREADS + thread,
                            &put(&key, &thread.to_le_bytes()),
                        );
                    }
                });
            }
            let mut cursor = list.clone().cursor();
            for _ in 0..20 {
                cursor.seek_first().unwrap();
                let mut last: Option<(Vec<u8>, Seq)> = None;
                while cursor.valid() {
                    let this = (cursor.key().to_vec(), cursor.seq());
                    if let Some((key, seq)) = &last {
                        assert!((key, u64::MAX - seq) < (&this.0, u64::MAX - this.1));
                    }
                    last = Some(this);
                    cursor.next().unwrap();
                }
            }
        });
        let mut cursor = list.cursor();
        cursor.seek_first().unwrap();
        let mut count = 0;
        while cursor.valid() {
            count += 1;
            cursor.next().unwrap();
        }
        assert_eq!(count, THREADS * EACH);
    }
}

type Entries = Vec<(Vec<u8>, Seq, Kind, Vec<u8>)>;

/// All that a cursor shows from where it stands, by `step`.
fn walk(cursor: &mut dyn Cursor, step: fn(&mut dyn Cursor) -> Result<()>) -> Entries {
    let mut entries = Vec::new();
    while cursor.valid() {
        let (key, seq, kind, value) = (cursor.key(), cursor.seq(), cursor.kind(), cursor.value());
        entries.push((key.to_vec(), seq, kind, value.to_vec()));
        step(cursor).unwrap();
    }
    entries
}

fn forward(cursor: &mut dyn Cursor) -> Result<()> {
    cursor.next()
}

fn backward(cursor: &mut dyn Cursor) -> Result<()> {
    cursor.prev()
}

fn by_key(cursor: &mut dyn Cursor) -> Result<()> {
    cursor.next_key()
}

/// A key of few bytes, so that many are equal and many share their head.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 1..5);
    (bytes, any::<bool>()).prop_map(|(bytes, is_long)| {
        if is_long { [b"a long prefix", &bytes[..]].concat() } else { bytes }
    })
}

proptest! {
    #[test]
    fn all_kinds_answer_alike(
        batches in prop::collection::vec(
            (prop::collection::vec((key(), 1u8..4, 0usize..40), 1..6), any::<u16>()), 1..60),
        probes in prop::collection::vec((key(), 0u64..70), 1..20),
    ) {
        let lists = KINDS.map(create);
        // Batches are applied in any order, the operations of one in theirs.
        let mut order: Vec<usize> = (0..batches.len()).collect();
        order.sort_by_key(|index| batches[*index].1);
        let mut expected = BTreeMap::new();
        for index in order {
            for (place, (key, kind, len)) in batches[index].0.iter().enumerate() {
                let (seq, kind) = (index as Seq + 1, Kind::from_byte(*kind).unwrap());
                let value = vec![place as u8; if kind == Kind::Delete { 0 } else { *len }];
                lists.iter().for_each(|list| list.apply(seq, &Op { kind, key, value: &value }));
                expected.insert((key.clone(), u64::MAX - seq, usize::MAX - place), (kind, value));
            }
        }
        let expected: Entries = expected
            .into_iter()
            .map(|((key, seq, _), (kind, value))| (key, u64::MAX - seq, kind, value))
            .collect();
        for list in lists {
            let mut cursor = list.clone().cursor();
            cursor.seek_first().unwrap();
            prop_assert_eq!(&walk(&mut *cursor, forward), &expected);
            cursor.seek_first().unwrap();
            let mut newest = expected.clone();
            newest.dedup_by(|after, before| after.0 == before.0);
            prop_assert_eq!(&walk(&mut *cursor, by_key), &newest);
            cursor.seek_last().unwrap();
            let mut back = walk(&mut *cursor, backward);
            back.reverse();
            prop_assert_eq!(&back, &expected);
            for (key, snapshot) in &probes {
                let at = expected.partition_point(|entry| entry.0 < *key);
                cursor.seek(key).unwrap();
                prop_assert_eq!(&walk(&mut *cursor, forward)[..], &expected[at..]);
                cursor.seek_before(key).unwrap();
                prop_assert_eq!(cursor.valid(), at > 0);
                if at > 0 {
                    prop_assert_eq!(cursor.value(), &expected[at - 1].3[..]);
                    let (key, seq, ..) = &expected[at - 1];
                    prop_assert_eq!((cursor.key(), cursor.seq()), (&key[..], *seq));
                }
                let of_key = expected[at..].iter().take_while(|entry| entry.0 == *key);
                let seen: Vec<_> = of_key
                    .filter(|entry| entry.1 <= *snapshot)
                    .map(|(_, seq, kind, value)| (*seq, *kind, value.clone()))
                    .collect();
                prop_assert_eq!(versions(&*list, key, *snapshot), seen);
            }
        }
    }
}
