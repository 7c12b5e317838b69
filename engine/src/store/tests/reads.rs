//! Many keys at once, values where they lie, and walks that are sent about: against a map.

use std::ops::Bound;

use proptest::prelude::*;

use super::*;
use crate::fs::sim::{Fault, OpKind, Rng};
use crate::scan::bounds::Bounds;

const KEYS: u64 = 300;

fn key(at: u64) -> String {
    // Prefixes of one another, too.
    if at.is_multiple_of(5) { format!("k{:03}", at / 5) } else { format!("k{:03}/{at}", at / 5) }
}

/// A store with several runs and memtables, what it holds, and what it held at a snapshot.
struct Layers {
    store: Store,
    fs: SimFs,
    keyspace: Keyspace,
    model: Model,
    earlier: (Snapshot, Model),
}

fn layers(seed: u64) -> Layers {
    let fs = SimFs::new(seed);
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let options = Options {
        // Several runs stay side by side, and blocks are small.
        policy: Policy::Tiered(crate::options::Tiered { merge_runs_min: 9, ..Default::default() }),
        block_bytes: 256,
        table_bytes_max: 2 << 10,
        ..options(&shared)
    };
    let store = Store::open(options).unwrap();
    let keyspace = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    let (mut rng, mut model) = (Rng::new(seed), Model::new());
    let mut earlier = (store.snapshot(), Model::new());
    for step in 0..400 {
        let (at, mut batch) = (key(rng.below(KEYS)), WriteBatch::new());
        match rng.below(8) {
            0 => {
                batch.delete(keyspace.id, at.as_bytes());
                model.remove(&at);
            }
            1 => {
                batch.merge(keyspace.id, at.as_bytes(), b"+");
                model.entry(at).or_default().push('+');
            }
            _ => {
                let value = format!("{step}-{seed}");
                batch.put(keyspace.id, at.as_bytes(), value.as_bytes());
                model.insert(at, value);
            }
        }
        let _ = store.write(&batch, WriteOptions::default()).unwrap();
        if rng.one_in(80) {
            store.flush(None).unwrap();
        }
        if rng.one_in(60) {
            earlier = (store.snapshot(), model.clone());
        }
    }
    Layers { store, fs, keyspace, model, earlier }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn many_keys_at_once_are_as_many_single_reads(
        seed in 0..1000u64,
        asked in prop::collection::vec(0..KEYS + 50, 0..60),
        is_earlier: bool,
    ) {
        let layers = layers(seed);
        let (snapshot, model) = match is_earlier {
            true => (Some(&layers.earlier.0), &layers.earlier.1),
            false => (None, &layers.model),
        };
        let (store, keyspace) = (&layers.store, layers.keyspace.id);
        let keys: Vec<String> = asked.into_iter().map(key).collect();
        let found = store.multi_get(keyspace, &keys, snapshot).unwrap();
        prop_assert_eq!(found.len(), keys.len());
        for (key, found) in keys.iter().zip(&found) {
            let expected = model.get(key).map(|value| value.as_bytes());
            prop_assert_eq!(found.as_deref(), expected, "{}", key);
            let alone = store.get(keyspace, key.as_bytes(), snapshot).unwrap();
            prop_assert_eq!(alone.as_deref(), expected);
            let seen = store.get_with(keyspace, key.as_bytes(), snapshot, <[u8]>::to_vec).unwrap();
            prop_assert_eq!(seen.as_deref(), expected);
        }
    }

    #[test]
    fn walks_that_are_sent_about_agree_with_a_map(
        seed in 0..1000u64,
        (lower, upper) in (bound(), bound()),
        reverse: bool,
        is_earlier: bool,
        moves in prop::collection::vec(one_move(), 1..60),
    ) {
        let layers = layers(seed);
        let (snapshot, model) = match is_earlier {
            true => (Some(&layers.earlier.0), &layers.earlier.1),
            false => (None, &layers.model),
        };
        let bounds = Bounds::new(as_bytes(&lower), as_bytes(&upper));
        let inside = model.iter().filter(|(key, _)| bounds.contains(key.as_bytes()));
        let inside: Vec<_> = inside.collect();
        let options = ScanOptions { bounds, reverse, snapshot, skip_cache: false };
        let mut walk = layers.store.scan(layers.keyspace.id, options).unwrap();
        // Places: 0 is before the first, n + 1 behind the last.
        let end = inside.len() + 1;
        let mut place = if reverse { end } else { 0 };
        for one in moves {
            let outcome = match &one {
                Move::Advance => walk.advance(),
                Move::Retreat => walk.retreat(),
                Move::Seek(key) => walk.seek(key.as_bytes()),
                Move::SeekBefore(key) => walk.seek_before(key.as_bytes()),
                Move::First => walk.seek_first(),
                Move::Last => walk.seek_last(),
            };
            place = match &one {
                Move::Advance if reverse => place.saturating_sub(1),
                Move::Retreat if !reverse => place.saturating_sub(1),
                Move::Advance | Move::Retreat => end.min(place + 1),
                Move::Seek(to) => 1 + inside.partition_point(|(key, _)| *key < to),
                Move::SeekBefore(to) => inside.partition_point(|(key, _)| *key < to),
                Move::First => end.min(1),
                Move::Last => end - 1,
            };
            let expected = place.checked_sub(1).and_then(|at| inside.get(at));
            prop_assert_eq!(outcome.unwrap(), expected.is_some(), "{:?}", one);
            prop_assert_eq!(walk.valid(), expected.is_some());
            if let Some((key, value)) = expected {
                prop_assert_eq!(walk.key(), key.as_bytes(), "{:?}", one);
                prop_assert_eq!(walk.value(), value.as_bytes());
                prop_assert_eq!(&*walk.pin(), value.as_bytes());
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Move {
    Advance,
    Retreat,
    Seek(String),
    SeekBefore(String),
    First,
    Last,
}

fn one_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => Just(Move::Advance),
        2 => Just(Move::Retreat),
        3 => (0..KEYS).prop_map(|at| Move::Seek(key(at))),
        2 => (0..KEYS).prop_map(|at| Move::SeekBefore(key(at))),
        1 => Just(Move::First),
        1 => Just(Move::Last),
    ]
}

fn bound() -> impl Strategy<Value = Bound<String>> {
    prop_oneof![
        2 => Just(Bound::Unbounded),
        1 => (0..KEYS).prop_map(|at| Bound::Included(key(at))),
        1 => (0..KEYS).prop_map(|at| Bound::Excluded(key(at))),
    ]
}

fn as_bytes(bound: &Bound<String>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| key.as_bytes())
}

#[test]
fn a_walk_sent_forward_by_short_distances_takes_each_block_once() {
    let fs = sim();
    let store = Store::open(options(&fs)).unwrap();
    let a = store.create_keyspace("kv/a", KeyspaceOptions::default()).unwrap();
    let keys: Vec<String> = (0..2000).map(|at| format!("{at:06}")).collect();
    keys.iter().for_each(|key| put(&store, &a, key, "v"));
    store.compact(None, CompactOptions::default(), &|| false).unwrap();
    let lookups = || {
        let cache = store.metrics().cache;
        cache.hits + cache.misses
    };
    let mut walk = store.scan(a.id, ScanOptions::default()).unwrap();
    assert!(walk.seek(keys[0].as_bytes()).unwrap());
    let before = lookups();
    for key in keys.iter().step_by(3).skip(1) {
        assert!(walk.seek(key.as_bytes()).unwrap());
        assert_eq!(walk.key(), key.as_bytes());
    }
    let table_bytes: u64 = store.metrics().classes["kv"].levels.iter().map(|l| l.bytes).sum();
    let blocks = table_bytes / 4096 + 1;
    assert!(lookups() - before <= 2 * blocks, "{} for {blocks} blocks", lookups() - before);
}

#[test]
fn a_walk_ends_at_an_error_and_may_be_sent_on() {
    let layers = layers(3);
    layers.store.flush(None).unwrap();
    let options = ScanOptions { skip_cache: true, ..ScanOptions::default() };
    let mut walk = layers.store.scan(layers.keyspace.id, options).unwrap();
    layers.fs.inject(0..u64::MAX, Some(OpKind::Read), Fault::Eio);
    let mut seen = 0;
    let error = loop {
        match walk.next() {
            Some(Ok(_)) => seen += 1,
            Some(Err(error)) => break error,
            None => panic!("an end instead of an error, after {seen}"),
        }
    };
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(walk.next().is_none() && !walk.valid() && !walk.retreat().unwrap());
    layers.fs.heal();
    assert!(walk.seek_first().unwrap());
    assert_eq!(walk.count() + 1, layers.model.len(), "all but the first follow");
}
