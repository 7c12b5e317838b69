//! Merging and visible cursors against sorted lists.

use std::sync::Arc;

use super::bounds::Bounds;
use super::hidden::{BoundedCursor, HiddenKeys};
use super::merging::MergingCursor;
use super::visible::{Lookup, VisibleCursor};
use super::*;
use crate::expiry::{EXPIRY_BYTES, Now, is_expired};
use crate::fs::sim::Rng;
use crate::hooks::{Hooks, Plain};
use crate::key::internal_cmp;
use crate::range_delete::{LiveRangeDeletes, RangeDelete, RangeDeletes};

/// What the clock shows when a reader begins.
const NOW_MS: u64 = 100;

type Row = (Vec<u8>, Seq, Kind, Vec<u8>);

/// A cursor over a sorted list.
struct ListCursor {
    rows: Arc<Vec<Row>>,
    at: Option<usize>,
}

impl ListCursor {
    fn boxed(rows: &Arc<Vec<Row>>) -> Box<dyn Cursor> {
        Box::new(ListCursor { rows: rows.clone(), at: None })
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
    fn next_at_hand(&mut self, snapshot: Seq) -> AtHand {
        let next = self.at.and_then(|at| self.rows.get(at + 1));
        let is_asked_for = |row: &&Row| {
            // At hand is what lies in the same block.
            let is_far = self.at.is_some_and(|at| at % 5 == 4);
            row.2 == Kind::Put && row.1 <= snapshot && row.0 != self.row().0 && !is_far
        };
        if next.filter(is_asked_for).is_none() {
            return AtHand::Stayed;
        }
        self.at = self.at.map(|at| at + 1);
        AtHand::Moved
    }
    fn last_at_hand(&self) -> Option<&[u8]> {
        let last = self.at.map(|at| (at - at % 5 + 4).min(self.rows.len() - 1))?;
        self.rows.len().is_multiple_of(2).then(|| &*self.rows[last].0)
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
    for input in 0..rng.below(6) {
        let mut rows = Vec::new();
        for number in 0..rng.below(30) {
            let kinds = [Kind::Put, Kind::PutUntil, Kind::Delete, Kind::Merge, Kind::Merge];
            let kind = kinds[rng.below(5) as usize];
            let mut value = format!("{input}.{number};").into_bytes();
            if kind == Kind::PutUntil {
                let moment = rng.below(2 * NOW_MS).to_le_bytes();
                value.splice(..0, moment);
            }
            rows.push((random_key(rng), 1 + rng.below(12), kind, value));
        }
        // A stable sort: versions with equal numbers keep their order.
        rows.sort_by(|a, b| internal_cmp((&a.0, a.1), (&b.0, b.1)));
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
        let mut model = ListCursor { rows: all, at: None };
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
    let mut met = [0; 3];
    for seed in 0..600 {
        let rng = &mut Rng::new(seed);
        let (inputs, all) = random_inputs(rng);
        let snapshot = rng.below(14);
        let mut cursor = merging(&inputs);
        let mut model = ListCursor { rows: all, at: None };
        for step in 0..100 {
            let key = random_key(rng);
            let row = |cursor: &dyn Cursor| {
                let value = || cursor.value().to_vec();
                let row = || (cursor.key().to_vec(), cursor.seq(), cursor.kind(), value());
                cursor.valid().then(row)
            };
            match rng.below(12) {
                0 | 1 => [cursor.seek(&key), model.seek(&key)].map(Result::unwrap),
                2 => [cursor.prev(), model.prev()].map(Result::unwrap),
                3 => [cursor.next(), model.next()].map(Result::unwrap),
                4 | 5 => [cursor.next_key(), model.next_key()].map(Result::unwrap),
                _ => {
                    let before = row(&model);
                    let moved = cursor.next_at_hand(snapshot);
                    met[moved as usize] += 1;
                    if moved != AtHand::Stayed {
                        model.next().unwrap();
                        assert_ne!(before.map(|row| row.0), row(&model).map(|row| row.0));
                    }
                    if moved == AtHand::Moved {
                        assert!(model.kind() == Kind::Put && model.seq() <= snapshot);
                    }
                    [(), ()]
                }
            };
            assert_eq!(row(&cursor), row(&model), "seed {seed} step {step}");
        }
    }
    assert!(met.iter().all(|count| *count > 100), "each outcome: {met:?}");
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
        let snapshot = rng.below(14);
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
