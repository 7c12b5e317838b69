//! Fragments against lists: every key, every snapshot.

use super::*;
use crate::fs::sim::Rng;

fn random_key(rng: &mut Rng) -> Vec<u8> {
    let len = rng.below(3) as usize;
    (0..len).map(|_| b"ab\xff"[rng.below(3) as usize]).collect()
}

/// Every key that `random_key` makes, and those between: with a zero byte behind.
fn keys() -> Vec<Vec<u8>> {
    let mut keys = vec![Vec::new()];
    for a in b"ab\xff" {
        keys.push(vec![*a]);
        keys.extend(b"\0ab\xff".map(|b| vec![*a, b]));
    }
    keys
}

fn random_deletes(rng: &mut Rng) -> Vec<RangeDelete> {
    let mut list = Vec::new();
    for _ in 0..rng.below(9) {
        let (a, b) = (random_key(rng), random_key(rng));
        if a < b {
            list.push(RangeDelete { seq: 1 + rng.below(12), start: a.into(), end: b.into() });
        }
    }
    list
}

fn covers(delete: &RangeDelete, key: &[u8]) -> bool {
    *delete.start <= *key && *key < *delete.end
}

fn naive(list: &[RangeDelete], key: &[u8], snapshot: Seq) -> Seq {
    let seen = list.iter().filter(|delete| delete.seq <= snapshot && covers(delete, key));
    seen.map(|delete| delete.seq).max().unwrap_or(0)
}

fn check(deletes: &RangeDeletes, list: &[RangeDelete], snapshots: &[Seq], seed: u64) {
    for key in keys() {
        for snapshot in snapshots.iter().copied() {
            let expected = naive(list, &key, snapshot);
            let found = deletes.hidden_below(&key, snapshot);
            assert_eq!(found, expected, "seed {seed}: {key:?} at {snapshot} of {list:?}");
            let span = deletes.span(&key, snapshot);
            assert!(span.contains(&key) && span.seq == expected, "seed {seed}: {key:?} {span:?}");
            for other in keys().iter().filter(|other| span.contains(other)) {
                let there = naive(list, other, snapshot);
                assert_eq!(there, span.seq, "seed {seed}: {other:?} in {span:?} of {list:?}");
            }
        }
    }
}

#[test]
fn what_is_taken_in_one_by_one_is_what_a_list_says() {
    for seed in 0..300 {
        let rng = &mut Rng::new(seed);
        let list = random_deletes(rng);
        let live = LiveRangeDeletes::default();
        assert!(live.is_empty() && live.bytes() == 0);
        list.iter().for_each(|delete| live.add(delete.clone()));
        assert_eq!(live.is_empty(), list.is_empty());
        assert_eq!(live.list(), list);
        let every: Vec<Seq> = (0..=14).collect();
        check(&live.deletes.read(), &list, &every, seed);
        for key in keys() {
            let mut seqs: Vec<_> =
                list.iter().filter(|delete| covers(delete, &key)).map(|d| d.seq).collect();
            seqs.sort_unstable_by(|a, b| b.cmp(a));
            seqs.dedup();
            assert_eq!(live.deletes.read().covering(&key), seqs, "seed {seed}: {key:?}");
        }
    }
}

#[test]
fn what_is_built_at_once_answers_for_live_snapshots_and_the_present() {
    for seed in 0..500 {
        let rng = &mut Rng::new(seed);
        let list = random_deletes(rng);
        let mut snapshots: Vec<Seq> = (0..rng.below(4)).map(|_| rng.below(13)).collect();
        snapshots.sort_unstable();
        let asked: Vec<Seq> = snapshots.iter().copied().chain([12, 99]).collect();
        let all = RangeDeletes::new(list.clone(), &snapshots);
        check(&all, &list, &asked, seed);
        let pruned = RangeDeletes::pruned(list.clone(), &snapshots);
        check(&pruned, &list, &asked, seed);
        // What is left out of the list is not missed by anybody.
        check(&RangeDeletes::new(pruned.list().to_vec(), &snapshots), &list, &asked, seed);
        let needed = |left: &RangeDelete| {
            // Two of one batch may do for each other.
            if pruned.list().iter().filter(|other| other.seq == left.seq).count() > 1 {
                return true;
            }
            let without: Vec<_> = pruned.list().iter().filter(|d| *d != left).cloned().collect();
            keys().iter().any(|key| {
                let differs = |at: &Seq| naive(&list, key, *at) != naive(&without, key, *at);
                asked.iter().any(differs)
            })
        };
        assert!(pruned.list().iter().all(needed), "seed {seed}: {:?} of {list:?}", pruned.list());
    }
}

#[test]
fn tables_go_whole_where_every_reader_is_kept_from_every_key() {
    let mut hidden = 0;
    for seed in 0..2000 {
        let rng = &mut Rng::new(seed);
        let list = random_deletes(rng);
        let mut snapshots: Vec<Seq> = (0..rng.below(3)).map(|_| rng.below(13)).collect();
        snapshots.sort_unstable();
        let deletes = RangeDeletes::pruned(list.clone(), &snapshots);
        let (mut a, mut b) = (random_key(rng), random_key(rng));
        if a > b {
            std::mem::swap(&mut a, &mut b);
        }
        let min_seq = 1 + rng.below(12);
        let max_seq = min_seq + rng.below(4);
        let is_hidden = deletes.hide_all((&a, &b), (min_seq, max_seq), &snapshots);
        hidden += u64::from(is_hidden);
        // Keys may lie anywhere between: those of a finite list show where a gap is.
        let inside = keys().into_iter().filter(|key| a <= *key && *key <= b);
        let expected = inside.into_iter().all(|key| {
            (min_seq..=max_seq).all(|seq| {
                let sees = |at: &Seq| seq <= *at && naive(&list, &key, *at) <= seq;
                !snapshots.iter().chain([&99]).any(sees)
            })
        });
        assert!(
            !is_hidden || expected,
            "seed {seed}: {a:?}..={b:?} {min_seq}..={max_seq} {list:?}"
        );
    }
    assert!(hidden > 20, "{hidden} tables went");
}

#[test]
fn spans_meet_in_what_both_say() {
    let span = |seq, start: Option<&str>, end: Option<&str>| Span {
        seq,
        start: start.map(|key| key.as_bytes().into()),
        end: end.map(|key| key.as_bytes().into()),
    };
    let cases = [
        (span(0, None, None), span(3, Some("b"), Some("d")), span(3, Some("b"), Some("d"))),
        (span(5, Some("a"), Some("c")), span(3, Some("b"), None), span(5, Some("b"), Some("c"))),
        (span(0, None, Some("x")), span(0, Some("c"), None), span(0, Some("c"), Some("x"))),
    ];
    for (a, b, expected) in cases {
        for (mut one, other) in [(a.clone(), b.clone()), (b, a)] {
            one.intersect(other);
            assert_eq!(one, expected);
        }
    }
}

#[test]
fn many_wide_deletes_over_many_narrow_ones_stay_small_in_a_version() {
    let key = |number: u64| -> Arc<[u8]> { number.to_be_bytes().as_slice().into() };
    let narrow =
        (0..2000).map(|n| RangeDelete { seq: n + 1, start: key(2 * n), end: key(2 * n + 1) });
    let wide = (0..2000).map(|n| RangeDelete { seq: 5000 + n, start: key(0), end: key(9999) });
    let deletes = RangeDeletes::pruned(narrow.chain(wide).collect(), &[]);
    assert_eq!(deletes.list().len(), 1);
    let numbers: usize = deletes.fragments.values().map(|fragment| fragment.seqs.len()).sum();
    assert!(numbers <= 4001, "{numbers}");
}
