//! Merging and visible cursors against sorted lists.

use std::sync::Arc;

use super::bounds::Bounds;
use super::hidden::{BoundedCursor, HiddenKeys};
use super::merging::MergingCursor;
use super::visible::{Lookup, VisibleCursor};
use super::*;
use crate::cache::BlockBytes;
use crate::expiry::{EXPIRY_BYTES, Now, is_expired};
use crate::fs::sim::Rng;
use crate::hooks::{Hooks, Plain};
use crate::key::internal_cmp;
use crate::range_delete::{LiveRangeDeletes, RangeDelete, RangeDeletes};

/// What the clock shows when a reader begins.
const NOW_MS: u64 = 100;

type Row = (Vec<u8>, Seq, Kind, Vec<u8>);

fn block(bytes: Vec<u8>) -> Arc<BlockBytes> {
    Arc::new(BlockBytes::new(bytes))
}

/// A cursor over a sorted list.
struct ListCursor {
    rows: Arc<Vec<Row>>,
    /// All values, one after the other, and where each lies.
    values: Arc<BlockBytes>,
    ranges: Vec<std::ops::Range<usize>>,
    at: Option<usize>,
}

impl ListCursor {
    fn new(rows: &Arc<Vec<Row>>) -> Self {
        let (mut values, mut ranges) = (Vec::new(), Vec::new());
        for (.., value) in rows.iter() {
            ranges.push(values.len()..values.len() + value.len());
            values.extend_from_slice(value);
        }
        ListCursor { rows: rows.clone(), values: block(values), ranges, at: None }
    }

    fn boxed(rows: &Arc<Vec<Row>>) -> Box<dyn Cursor> {
        Box::new(ListCursor::new(rows))
    }

    fn row(&self) -> &Row {
        &self.rows[self.at.expect("at an entry")]
    }
}

impl Cursor for ListCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.at = (!self.rows.is_empty()).then_some(0);
        Ok(())
    }
    fn seek_last(&mut self) -> Result<()> {
        self.at = self.rows.len().checked_sub(1);
        Ok(())
    }
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        let index = self.rows.partition_point(|row| &*row.0 < key);
        self.at = (index < self.rows.len()).then_some(index);
        Ok(())
    }
    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        self.at = self.rows.partition_point(|row| &*row.0 < key).checked_sub(1);
        Ok(())
    }
    fn next(&mut self) -> Result<()> {
        self.at = self.at.map(|index| index + 1).filter(|index| *index < self.rows.len());
        Ok(())
    }
    fn next_stretch(&mut self, snapshot: Seq, until: Option<&[u8]>, out: &mut Stretch) -> bool {
        let Some(at) = self.at else { return false };
        let mut filling = out.fill(&self.rows[at].0);
        // At hand is what lies in the same block.
        for next in at + 1..self.rows.len().min(at - at % 7 + 7) {
            let (key, seq, kind, _) = &self.rows[next];
            let is_seen = *kind == Kind::Put && *seq <= snapshot;
            if !is_seen || until.is_some_and(|until| &**key >= until) {
                break;
            }
            let is_shared = |(x, y): &(&u8, &u8)| x == y;
            let shared = key.iter().zip(filling.last_key()).take_while(is_shared).count();
            let (suffix, value) = (shared..key.len(), self.ranges[next].clone());
            if !filling.push_short(shared, (key, suffix.clone()), *seq, value.clone())
                && !filling.push(shared, (key, suffix), *seq, value)
            {
                break;
            }
            self.at = Some(next);
        }
        filling.end(&self.values).is_some()
    }
    fn prev(&mut self) -> Result<()> {
        self.at = self.at.and_then(|index| index.checked_sub(1));
        Ok(())
    }
    fn valid(&self) -> bool {
        self.at.is_some()
    }
    fn key(&self) -> &[u8] {
        &self.row().0
    }
    fn seq(&self) -> Seq {
        self.row().1
    }
    fn kind(&self) -> Kind {
        self.row().2
    }
    fn value(&self) -> &[u8] {
        &self.row().3
    }
    fn body(&self) -> Option<Body> {
        None
    }
}

fn random_key(rng: &mut Rng) -> Vec<u8> {
    let len = rng.below(4) as usize;
    (0..len).map(|_| b"abc\xff"[rng.below(4) as usize]).collect()
}

/// Up to five sorted lists and all of it in one, ties between lists in their order.
fn random_inputs(rng: &mut Rng) -> (Vec<Arc<Vec<Row>>>, Arc<Vec<Row>>) {
    let mut inputs = Vec::new();
    let mut all = Vec::new();
    let puts_only = rng.below(2) == 0;
    for input in 0..rng.below(6) {
        let mut rows = Vec::new();
        for number in 0..rng.below(30) {
            let kinds = [Kind::Put, Kind::PutUntil, Kind::Delete, Kind::Merge, Kind::Merge];
            let kind = if puts_only { Kind::Put } else { kinds[rng.below(5) as usize] };
            let mut value = format!("{input}.{number};").into_bytes();
            if kind == Kind::PutUntil {
                let moment = rng.below(2 * NOW_MS).to_le_bytes();
                value.splice(..0, moment);
            }
            rows.push((random_key(rng), 1 + rng.below(12), kind, value));
        }
        // A stable sort: versions with equal numbers keep their order.
        rows.sort_by(|a, b| internal_cmp((&a.0, a.1), (&b.0, b.1)));
        if puts_only && rng.below(2) == 0 {
            rows.dedup_by(|older, newer| older.0 == newer.0);
        }
        all.extend(rows.iter().cloned());
        inputs.push(Arc::new(rows));
    }
    all.sort_by(|a, b| internal_cmp((&a.0, a.1), (&b.0, b.1)));
    (inputs, Arc::new(all))
}

fn merging(inputs: &[Arc<Vec<Row>>]) -> MergingCursor {
    MergingCursor::new(inputs.iter().map(ListCursor::boxed).collect())
}

#[test]
fn a_merging_cursor_walks_as_one_list_does() {
    for seed in 0..400 {
        let rng = &mut Rng::new(seed);
        let (inputs, all) = random_inputs(rng);
        let mut cursor = merging(&inputs);
        let mut model = ListCursor::new(&all);
        for step in 0..150 {
            let key = random_key(rng);
            let moves = [rng.below(12), rng.below(2)];
            for cursor in [&mut cursor as &mut dyn Cursor, &mut model] {
                match moves {
                    [0, 0] => cursor.seek_first(),
                    [0, _] => cursor.seek_last(),
                    [1, 0] => cursor.seek(&key),
                    [1, _] => cursor.seek_before(&key),
                    // Long runs in one direction and turns at random places.
                    [2..7, _] => cursor.next(),
                    _ => cursor.prev(),
                }
                .unwrap();
            }
            let at = |cursor: &dyn Cursor| {
                cursor.valid().then(|| {
                    let (key, value) = (cursor.key().to_vec(), cursor.value().to_vec());
                    (key, cursor.seq(), cursor.kind(), value)
                })
            };
            assert_eq!(at(&cursor), at(&model), "seed {seed} step {step}");
        }
    }
}

#[test]
fn a_merging_cursor_leaves_keys_as_one_list_does() {
    let mut met = [0; 4];
    for seed in 0..600 {
        let rng = &mut Rng::new(seed);
        let (inputs, all) = random_inputs(rng);
        let snapshot = [rng.below(14), 14][rng.below(2) as usize];
        let mut cursor = merging(&inputs);
        let mut model = ListCursor::new(&all);
        let mut stretch = Stretch::default();
        for step in 0..60 {
            let key = random_key(rng);
            let row = |cursor: &dyn Cursor| {
                let value = || cursor.value().to_vec();
                let row = || (cursor.key().to_vec(), cursor.seq(), cursor.kind(), value());
                cursor.valid().then(row)
            };
            match rng.below(12) {
                0..3 => [cursor.seek(&key), model.seek(&key)].map(Result::unwrap),
                3 => [cursor.prev(), model.prev()].map(Result::unwrap),
                4 => [cursor.next(), model.next()].map(Result::unwrap),
                5 | 6 => [cursor.next_key(), model.next_key()].map(Result::unwrap),
                _ => {
                    let until = (rng.below(3) == 0).then_some(&*key);
                    let mut count = 0;
                    if cursor.next_stretch(snapshot, until, &mut stretch) {
                        count = follow(&mut stretch, &mut model, snapshot, until);
                    }
                    met[count.min(3)] += 1;
                    [(), ()]
                }
            };
            assert_eq!(row(&cursor), row(&model), "seed {seed} step {step}");
        }
    }
    assert!(met.iter().all(|count| *count > 50), "stretches of each length: {met:?}");
}

/// Walks `model` beside `stretch`, whose entries follow that at which it stands. How many they are.
fn follow(
    stretch: &mut Stretch,
    model: &mut dyn Cursor,
    snapshot: Seq,
    until: Option<&[u8]>,
) -> usize {
    let mut count = 0;
    loop {
        let before = model.key().to_vec();
        model.next().unwrap();
        assert_eq!((stretch.key(), stretch.seq()), (model.key(), model.seq()));
        assert_eq!((stretch.value(), &*stretch.pin()), (model.value(), model.value()));
        assert!(model.kind() == Kind::Put && model.seq() <= snapshot && model.key() != before);
        assert!(until.is_none_or(|until| model.key() < until));
        count += 1;
        if !stretch.advance() {
            return count;
        }
    }
}

#[test]
fn a_stretch_builds_keys_from_those_before() {
    for seed in 0..300 {
        let rng = &mut Rng::new(seed);
        let mut long_key = || {
            let front = vec![b'f'; [0, 3, 31, 32, 33, 90][rng.below(6) as usize]];
            [front, random_key(rng), vec![b'b'; [0, 1, 15, 16, 17, 70][rng.below(6) as usize]]]
                .concat()
        };
        let mut keys: Vec<_> = (0..40).map(|_| long_key()).collect();
        keys.sort();
        keys.dedup();
        let values: Vec<u8> = (0..keys.len() as u8).collect();
        let row = |(at, key): (usize, Vec<u8>)| (key, 1, Kind::Put, vec![values[at]]);
        let rows: Vec<Row> = keys.into_iter().enumerate().map(row).collect();
        let rows = Arc::new(rows);
        let (mut cursor, mut model) = (ListCursor::new(&rows), ListCursor::new(&rows));
        let mut stretch = Stretch::default();
        cursor.seek_first().and(model.seek_first()).unwrap();
        while cursor.valid() {
            if cursor.next_stretch(1, None, &mut stretch) {
                follow(&mut stretch, &mut model, 1, None);
            }
            cursor.next().and(model.next()).unwrap();
        }
        assert!(!model.valid());
    }
}

#[test]
fn a_stretch_refuses_what_it_cannot_hold() {
    let owner = block(vec![1, 2, 3]);
    let mut stretch = Stretch::default();
    let mut filling = stretch.fill(b"key");
    let cases: [(&str, usize, &[u8]); 4] = [
        ("the same key", 3, b""),
        ("the same key, whole", 0, b"key"),
        ("more shared than there is", 4, b""),
        ("no room", 0, &[b'l'; 10_000]),
    ];
    for (what, shared, suffix) in cases {
        assert!(!filling.push_short(shared, (suffix, 0..suffix.len()), 1, 0..1), "{what}");
        assert!(!filling.push(shared, (suffix, 0..suffix.len()), 1, 0..1), "{what}");
    }
    assert!(filling.push(0, (b"l", 0..1), 1, 0..1));
    assert_eq!(filling.end(&owner), Some((&b"l"[..], 1, 0..1)));
    assert_eq!((stretch.key(), stretch.value()), (&b"l"[..], &[1][..]));
    let mut filling = stretch.fill(&[b'k'; 10_000]);
    assert!(!filling.push(0, (b"l", 0..1), 1, 0..1));
    assert_eq!(filling.end(&owner), None);
}

#[test]
fn a_stretch_is_sought_within() {
    let keys = [&b"b"[..], b"bb", b"d"];
    let mut stretch = Stretch::default();
    assert!(!stretch.seek(b"b"), "empty");
    // The first of a walk is a short one.
    for expected in [2, 3] {
        let mut filling = stretch.fill(b"a");
        let count = (0..3)
            .take_while(|at| filling.push(0, (keys[*at], 0..keys[*at].len()), 1, 0..1))
            .count();
        assert!(filling.end(&block(vec![0])).is_some());
        assert_eq!(count, expected);
    }
    let cases: [(&[u8], Option<&[u8]>); 8] = [
        (b"a", None),
        (b"b", Some(b"b")),
        (b"b\0", Some(b"bb")),
        (b"bb", Some(b"bb")),
        (b"c", Some(b"d")),
        (b"b", Some(b"b")),
        (b"d", Some(b"d")),
        (b"d\0", None),
    ];
    for (target, expected) in cases {
        let before = stretch.key().to_vec();
        let found = stretch.seek(target).then(|| stretch.key());
        assert_eq!(found, expected, "{target:?}");
        assert_eq!(stretch.key(), expected.unwrap_or(&before), "it stays where it finds nothing");
    }
    stretch.restart();
    assert!(!stretch.seek(b"b"), "empty");
}

fn append(_: &[u8], base: Option<&[u8]>, operands: &[&[u8]]) -> Vec<u8> {
    [base.unwrap_or_default(), &operands.concat()].concat()
}

fn random_deletes(rng: &mut Rng) -> Vec<RangeDelete> {
    let mut deletes = Vec::new();
    for _ in 0..rng.below(5) {
        let (a, b) = (random_key(rng), random_key(rng));
        if a < b {
            deletes.push(RangeDelete { seq: 1 + rng.below(12), start: a.into(), end: b.into() });
        }
    }
    deletes
}

/// What `deletes` hide, some of them in a memtable and the others flushed.
fn hidden_keys(deletes: &[RangeDelete], snapshot: Seq) -> Option<HiddenKeys> {
    let live = Arc::new(LiveRangeDeletes::default());
    let (unflushed, flushed) = deletes.split_at(deletes.len() / 2);
    unflushed.iter().for_each(|delete| live.add(delete.clone()));
    let flushed = Arc::new(RangeDeletes::new(flushed.to_vec(), &[snapshot]));
    let is_any = !deletes.is_empty();
    is_any.then(|| HiddenKeys::new(snapshot, vec![live], flushed))
}

/// Whether `deletes` hide a row from a reader.
fn is_hidden(row: &Row, deletes: &[RangeDelete], snapshot: Seq) -> bool {
    deletes.iter().any(|delete| {
        let is_inside = *delete.start <= *row.0 && *row.0 < *delete.end;
        is_inside && delete.seq <= snapshot && row.1 < delete.seq
    })
}

/// The inputs as one, each passing over what is hidden where it can.
fn merging_bounded(inputs: &[Arc<Vec<Row>>]) -> MergingCursor {
    let bounded = |rows: &Arc<Vec<Row>>| -> Box<dyn Cursor> {
        let seq_max = rows.iter().map(|row| row.1).max().unwrap_or(0);
        Box::new(BoundedCursor::new(ListCursor::boxed(rows), seq_max))
    };
    MergingCursor::new(inputs.iter().map(bounded).collect())
}

/// The keys a reader sees, with their values, from a list in internal order.
fn visible(rows: &[Row], snapshot: Seq, bounds: &Bounds) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut seen: std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>> = Default::default();
    let mut expired = std::collections::BTreeMap::new();
    for (key, seq, kind, value) in rows.iter().rev() {
        if *seq > snapshot || !bounds.contains(key) {
            continue;
        }
        let state = seen.entry(key.clone()).or_default();
        if *kind != Kind::Merge {
            let has_expired = is_expired(*kind, value, NOW_MS);
            expired.insert(key.clone(), has_expired.then_some(*seq));
        }
        let expired = expired.get(key).copied().flatten();
        match kind {
            Kind::Put => *state = Some(value.clone()),
            Kind::PutUntil if expired.is_none() => *state = Some(value[EXPIRY_BYTES..].to_vec()),
            Kind::Merge if expired == Some(*seq) => {} // of the batch of what has expired
            Kind::Merge => state.get_or_insert_default().extend_from_slice(value),
            _ => *state = None,
        }
    }
    seen.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

#[test]
fn a_visible_cursor_walks_what_a_reader_sees() {
    let hooks: Arc<dyn Hooks> = Arc::new(Plain::with_merge(append));
    for seed in 0..1200 {
        let rng = &mut Rng::new(seed);
        let (inputs, all) = random_inputs(rng);
        let snapshot = [rng.below(14), 14][rng.below(2) as usize];
        let bounds = Bounds {
            lower: (rng.below(2) == 0).then(|| random_key(rng)),
            upper: (rng.below(2) == 0).then(|| random_key(rng)),
        };
        let deletes = if seed % 3 == 0 { Vec::new() } else { random_deletes(rng) };
        let mut left = all.to_vec();
        left.retain(|row| !is_hidden(row, &deletes, snapshot));
        let model = visible(&left, snapshot, &bounds);
        let inner = merging_bounded(&inputs);
        let mut cursor = VisibleCursor::new(inner, hooks.clone(), snapshot, bounds.clone())
            .without(hidden_keys(&deletes, snapshot))
            .at_ms(NOW_MS);
        let mut at: Option<usize> = None;
        for step in 0..120 {
            let key = random_key(rng);
            let index = model.partition_point(|(other, _)| *other < key);
            match (rng.below(12), rng.below(2)) {
                (0, 0) => {
                    cursor.seek_first().unwrap();
                    at = (!model.is_empty()).then_some(0);
                }
                (0, _) => {
                    cursor.seek_last().unwrap();
                    at = model.len().checked_sub(1);
                }
                (1, 0) => {
                    cursor.seek(&key).unwrap();
                    at = (index < model.len()).then_some(index);
                }
                (1, _) => {
                    cursor.seek_before(&key).unwrap();
                    at = index.checked_sub(1);
                }
                (2..7, _) => {
                    cursor.next().unwrap();
                    at = at.map(|index| index + 1).filter(|index| *index < model.len());
                }
                _ => {
                    cursor.prev().unwrap();
                    at = at.and_then(|index| index.checked_sub(1));
                }
            }
            let here = cursor.valid().then(|| {
                assert_eq!(cursor.pin(), cursor.value());
                (cursor.key().to_vec(), cursor.value().to_vec())
            });
            assert_eq!(here.as_ref(), at.map(|index| &model[index]), "seed {seed} step {step}");
        }
    }
}

#[test]
fn a_lookup_finds_what_a_scan_finds() {
    let hooks = Plain::with_merge(append);
    for seed in 0..200 {
        let rng = &mut Rng::new(seed);
        let (_, all) = random_inputs(rng);
        let snapshot = rng.below(14);
        let deletes = random_deletes(rng);
        let mut left = all.to_vec();
        left.retain(|row| !is_hidden(row, &deletes, snapshot));
        let model = visible(&left, snapshot, &Bounds::all());
        let deletes = RangeDeletes::new(deletes, &[snapshot]);
        let now = Now::At(NOW_MS);
        for _ in 0..40 {
            let key = random_key(rng);
            let mut lookup = Lookup::new(&key, deletes.hidden_below(&key, snapshot), now);
            let versions = all.iter().filter(|row| row.0 == key && row.1 <= snapshot);
            for (_, seq, kind, value) in versions {
                if !lookup.add(*seq, *kind, || Value::copy(value)) {
                    break;
                }
            }
            let expected = model.iter().find(|(other, _)| *other == key).map(|(_, value)| value);
            let found = lookup.finish(&hooks).unwrap();
            assert_eq!(found.as_deref(), expected.map(|value| &**value), "seed {seed}");
        }
    }
}

#[test]
fn an_operand_without_an_operator_is_an_error_not_a_value() {
    let rows = Arc::new(vec![(b"k".to_vec(), 1, Kind::Merge, b"1".to_vec())]);
    let hooks: Arc<dyn Hooks> = Arc::new(Plain::new());
    let inner = ListCursor::boxed(&rows);
    let mut cursor = VisibleCursor::new(inner, hooks.clone(), 9, Bounds::all());
    assert!(cursor.seek_first().is_err() && !cursor.valid());
    assert!(cursor.seek_last().is_err() && !cursor.valid());
    let mut lookup = Lookup::new(b"k", 0, Now::At(0));
    assert!(lookup.add(1, Kind::Merge, || Value::copy(b"1")));
    assert!(lookup.finish(&*hooks).is_err());
}

/// A cursor that fails at its nth move.
struct FailingCursor {
    inner: Box<dyn Cursor>,
    moves_left: u64,
}

impl FailingCursor {
    fn count(&mut self) -> Result<()> {
        self.moves_left = self.moves_left.checked_sub(1).ok_or(crate::Error::Cancelled)?;
        Ok(())
    }
}

impl Cursor for FailingCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.count()?;
        self.inner.seek_first()
    }
    fn seek_last(&mut self) -> Result<()> {
        self.count()?;
        self.inner.seek_last()
    }
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.count()?;
        self.inner.seek(key)
    }
    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        self.count()?;
        self.inner.seek_before(key)
    }
    fn next(&mut self) -> Result<()> {
        self.count()?;
        self.inner.next()
    }
    fn prev(&mut self) -> Result<()> {
        self.count()?;
        self.inner.prev()
    }
    fn valid(&self) -> bool {
        self.inner.valid()
    }
    fn key(&self) -> &[u8] {
        self.inner.key()
    }
    fn seq(&self) -> Seq {
        self.inner.seq()
    }
    fn kind(&self) -> Kind {
        self.inner.kind()
    }
    fn value(&self) -> &[u8] {
        self.inner.value()
    }
    fn body(&self) -> Option<Body> {
        self.inner.body()
    }
}

#[test]
fn after_a_failed_move_a_cursor_is_at_no_entry() {
    let hooks: Arc<dyn Hooks> = Arc::new(Plain::with_merge(append));
    for seed in 0..100 {
        let rng = &mut Rng::new(seed);
        let (inputs, _) = random_inputs(rng);
        for moves_left in 0..60 {
            let mut boxed: Vec<Box<dyn Cursor>> = inputs.iter().map(ListCursor::boxed).collect();
            if let Some(inner) = boxed.pop() {
                boxed.push(Box::new(FailingCursor { inner, moves_left }));
            }
            let inner = MergingCursor::new(boxed);
            let mut cursor = VisibleCursor::new(inner, hooks.clone(), 9, Bounds::all());
            let mut moved = cursor.seek_first();
            for step in 0..40 {
                if moved.is_err() {
                    assert!(!cursor.valid(), "seed {seed} after {moves_left} moves");
                    break;
                }
                moved = if step % 5 < 3 { cursor.next() } else { cursor.prev() };
            }
        }
    }
}
