//! Decoded columns of cold chunks, in memory: bounded, charged to the budget, safe from scans.
//!
//! The smallest encodings decode at a quarter of a billion values a second, a tenth of what the
//! aggregates could take in. Who asks about the same days again (a dashboard does, all day) should
//! pay for that once. Hot encodings are not kept: they decode as fast as a copy is made.
//!
//! Invariants:
//! - a column is found by file number and place in the file, and file numbers are never reused;
//! - what is kept was decoded from bytes whose checksum was verified;
//! - every byte is held in [`Share::Caches`]; where the budget refuses, the column is not kept.

use std::sync::Arc;

use firndb_engine::budget::{Budget, Reservation, Share};
use firndb_engine::key::FileNumber;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::model::{Column, Values};

/// Bytes a kept column costs beside its values.
const OVERHEAD_BYTES: u64 = 160;

/// Bytes of a whole chunk's column of numbers, for the number of columns expected.
const COLUMN_BYTES: u64 = 64 << 10;

/// A column of a table: the file, and where in it the column's bytes begin.
pub type ColumnPlace = (FileNumber, u64);

#[derive(Debug)]
struct Kept {
    column: Column,
    held: Reservation,
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<ColumnPlace, Arc<Kept>> for Bytes {
    fn weight(&self, _: &ColumnPlace, kept: &Arc<Kept>) -> u64 {
        kept.held.bytes()
    }
}

/// Decoded columns of cold chunks.
#[derive(Debug)]
pub struct ColumnCache {
    columns: Cache<ColumnPlace, Arc<Kept>, Bytes>,
    /// Columns that were asked for once: four times as many as are kept, without their values.
    seen: Cache<ColumnPlace, ()>,
    budget: Budget,
    bytes_max: u64,
}

impl ColumnCache {
    /// A cache of at most `bytes_max`; 0 keeps nothing.
    pub fn new(bytes_max: u64, budget: &Budget) -> Self {
        let expected = usize::try_from(bytes_max / COLUMN_BYTES).unwrap_or(usize::MAX).max(16);
        let columns = Cache::with_weighter(expected, bytes_max, Bytes);
        ColumnCache { columns, seen: Cache::new(expected * 4), budget: budget.clone(), bytes_max }
    }

    /// The rows `rows` of the column at `place`, if it is kept.
    pub fn get(&self, place: ColumnPlace, rows: std::ops::Range<usize>) -> Option<Column> {
        Some(self.columns.get(&place)?.column.slice(rows))
    }

    /// Whether the column at `place` is kept.
    pub fn has(&self, place: ColumnPlace) -> bool {
        self.columns.peek(&place).is_some()
    }

    /// Whether somebody asked for this column before: a column is kept from the second time on,
    /// since decoding it whole costs more than the part that is wanted now.
    pub fn was_asked(&self, place: ColumnPlace) -> bool {
        let was_asked = self.seen.get(&place).is_some();
        if !was_asked {
            self.seen.insert(place, ());
        }
        was_asked
    }

    /// Keeps a whole column, if there is room for it.
    pub fn keep(&self, place: ColumnPlace, column: Column) {
        let bytes = OVERHEAD_BYTES + bytes_of(&column.values);
        // One column of text must not push out a hundred of numbers.
        if bytes > self.bytes_max / 16 {
            return;
        }
        if let Some(held) = self.budget.try_reserve(Share::Caches, bytes) {
            self.columns.insert(place, Arc::new(Kept { column, held }));
        }
    }
}

fn bytes_of(values: &Values) -> u64 {
    match values {
        Values::String { offsets, bytes } => (offsets.len() * 4 + bytes.len()) as u64,
        Values::Boolean(values) => values.len() as u64,
        Values::Missing(_) => 0,
        numbers => numbers.len() as u64 * 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FieldId;

    fn column(first: i64) -> Column {
        let values = Values::Integer((first..first + 1000).collect());
        Column { field: FieldId(1), values, validity: None }
    }

    #[test]
    fn columns_come_back_and_memory_is_bounded_and_given_back() {
        let budget = Budget::new(1 << 20);
        let cache = ColumnCache::new(512 << 10, &budget);
        for at in 0..200 {
            cache.keep((FileNumber(1), at), column(at as i64));
            let held = budget.held_bytes(Share::Caches);
            assert!(held <= 512 << 10, "{held} bytes held");
        }
        assert!(budget.held_bytes(Share::Caches) > 200 << 10);
        let last = cache.get((FileNumber(1), 199), 10..12);
        assert_eq!(last.map(|c| c.values), Some(Values::Integer(vec![209, 210])));
        assert!(cache.get((FileNumber(2), 199), 10..12).is_none());
        drop(cache);
        assert_eq!(budget.held_bytes(Share::Caches), 0);
    }

    #[test]
    fn the_second_time_is_told_from_the_first() {
        let cache = ColumnCache::new(1 << 20, &Budget::unlimited());
        let place = (FileNumber(1), 1);
        assert!(!cache.was_asked(place));
        assert!(cache.was_asked(place));
        assert!(!cache.was_asked((FileNumber(1), 2)));
    }

    #[test]
    fn nothing_is_kept_without_room() {
        let (full, none) = (Budget::new(100), Budget::unlimited());
        for cache in [ColumnCache::new(1 << 20, &full), ColumnCache::new(0, &none)] {
            cache.keep((FileNumber(1), 1), column(0));
            assert!(!cache.has((FileNumber(1), 1)));
        }
    }
}
