//! Every interleaving of small cases, and every order in which threads may see each other's writes.
//!
//! The model checker fails where a node's content can be read before its writing is visible, and
//! the assertions where the list is out of order, loses a node or shows one half made.

use super::super::atomics::model::Model;
use super::*;
use loom::thread::spawn;

/// Runs `case` in every interleaving with at most three preemptions: more find nothing new in cases
/// of three threads, and take minutes.
fn check(case: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(case);
}

/// Inserts a version that waits for a reader.
fn leave(list: &List<Model>, seq: Seq, key: &[u8], height: usize) {
    list.insert(seq, Kind::Put, key, &[key, &seq.to_be_bytes()].concat(), height);
}

/// Inserts a version and links it.
fn insert(list: &List<Model>, seq: Seq, key: &[u8], height: usize) {
    leave(list, seq, key, height);
    list.settle();
}

/// The versions from `key` on; each must be whole, and after the one before.
fn versions(list: &List<Model>, key: &[u8]) -> Vec<(Vec<u8>, Seq)> {
    let mut found: Vec<(Vec<u8>, Seq)> = Vec::new();
    let mut next = list.at_or_after(key, Seq::MAX);
    while let Some(entry) = next {
        let (key, seq) = (entry.key(), entry.seq());
        assert_eq!(entry.value(), [key, &seq.to_be_bytes()].concat(), "half made");
        if let Some((last, last_seq)) = found.last() {
            assert!((&last[..], u64::MAX - last_seq) <= (key, u64::MAX - seq), "out of order");
        }
        found.push((key.to_vec(), seq));
        next = entry.after();
    }
    found
}

/// Two threads insert, this one reads meanwhile; then all must be there.
fn two_writers(first: (Seq, &'static [u8], usize), second: (Seq, &'static [u8], usize)) {
    check(move || {
        let list = Arc::new(List::<Model>::new(None));
        insert(&list, 1, b"m", 2);
        let threads = [first, second].map(|(seq, key, height)| {
            let list = list.clone();
            spawn(move || insert(&list, seq, key, height))
        });
        let seen = versions(&list, b"a");
        assert!(seen.contains(&(b"m".to_vec(), 1)), "what was there stays there");
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let mut all = vec![(b"m".to_vec(), 1), (first.1.to_vec(), first.0)];
        all.push((second.1.to_vec(), second.0));
        all.sort_by_key(|(key, seq)| (key.clone(), u64::MAX - seq));
        assert_eq!(versions(&list, b"a"), all);
        for (key, seq) in &all {
            let found = list.at_or_after(key, *seq).expect("it was inserted");
            assert_eq!((found.key(), found.seq()), (&key[..], *seq));
        }
    });
}

#[test]
fn neighbours_at_the_bottom() {
    two_writers((2, b"c", 1), (3, b"b", 1));
}

#[test]
fn neighbours_with_higher_links() {
    two_writers((2, b"p", 2), (3, b"n", 2));
}

#[test]
fn versions_of_one_key() {
    two_writers((2, b"m", 1), (3, b"m", 2));
}

#[test]
fn whoever_knows_of_an_insert_finds_it() {
    check(|| {
        let list = Arc::new(List::<Model>::new(None));
        let inserted = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let writer = {
            let (list, inserted) = (list.clone(), inserted.clone());
            spawn(move || {
                for (seq, key) in [(1, b"b"), (2, b"a")] {
                    leave(&list, seq, key, seq as usize);
                    inserted.store(seq as usize, Release);
                }
            })
        };
        let other = {
            let list = list.clone();
            spawn(move || versions(&list, b"a").len())
        };
        let known = inserted.load(Acquire);
        let seen = versions(&list, b"a");
        assert!(known < 1 || seen.contains(&(b"b".to_vec(), 1)));
        assert!(known < 2 || seen.contains(&(b"a".to_vec(), 2)));
        writer.join().unwrap();
        other.join().unwrap();
        assert_eq!(versions(&list, b"a"), [(b"a".to_vec(), 2), (b"b".to_vec(), 1)]);
    });
}

#[test]
fn a_new_block_while_others_write() {
    check(|| {
        let bump = Arc::new(Bump::<Model>::new(None));
        let thread = |words: usize| {
            let bump = bump.clone();
            spawn(move || (bump.take(words).as_ptr() as usize, 8 * words))
        };
        let mut pieces = [thread(300), thread(400)].map(|thread| thread.join().unwrap());
        pieces.sort_unstable();
        assert!(pieces[0].0 + pieces[0].1 <= pieces[1].0, "pieces overlap");
        assert!(bump.bytes() >= 8 * 700);
    });
}
