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
//!
//! Integers are kept as differences to the smallest, in as few bytes as the largest needs: widening
//! them costs no more than the copy that is made anyway, and percents fit eight times as often.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use firndb_engine::budget::{Budget, Reservation, Share};
use firndb_engine::key::FileNumber;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::model::{Bitmap, Column, FieldId, Values};

/// Bytes a kept column costs beside its values.
const OVERHEAD_BYTES: u64 = 160;

/// Bytes of a whole chunk's column of small numbers, for the number of columns expected.
const COLUMN_BYTES: u64 = 8 << 10;

/// A column of a table: the file, and where in it the column's bytes begin.
pub type ColumnPlace = (FileNumber, u64);

/// A whole column in few bytes.
#[derive(Debug)]
enum Narrow {
    /// Integers: the smallest, and differences to it.
    Bytes(i64, Vec<u8>),
    Shorts(i64, Vec<u16>),
    Words(i64, Vec<u32>),
    /// As it is.
    Wide(Values),
}

impl Narrow {
    fn of(values: Values) -> Narrow {
        let Values::Integer(integers) = &values else { return Narrow::Wide(values) };
        let (Some(min), Some(max)) = (integers.iter().min(), integers.iter().max()) else {
            return Narrow::Wide(values);
        };
        let min = *min;
        let above = |value: &i64| value.wrapping_sub(min) as u64;
        // The casts keep every bit: no difference is above the largest.
        match above(max) {
            0..=0xff => Narrow::Bytes(min, integers.iter().map(|v| above(v) as u8).collect()),
            0x100..=0xffff => {
                Narrow::Shorts(min, integers.iter().map(|v| above(v) as u16).collect())
            }
            0x1_0000..=0xffff_ffff => {
                Narrow::Words(min, integers.iter().map(|v| above(v) as u32).collect())
            }
            _ => Narrow::Wide(values),
        }
    }

    fn slice(&self, field: FieldId, validity: Option<&Bitmap>, rows: Range<usize>) -> Column {
        fn widened<T: Copy + Into<i64>>(min: i64, values: &[T]) -> Values {
            Values::Integer(values.iter().map(|v| min.wrapping_add((*v).into())).collect())
        }
        let validity = validity.map(|validity| validity.slice(rows.clone()));
        let values = match self {
            Narrow::Bytes(min, values) => widened(*min, &values[rows]),
            Narrow::Shorts(min, values) => widened(*min, &values[rows]),
            Narrow::Words(min, values) => widened(*min, &values[rows]),
            Narrow::Wide(values) => values.slice(rows),
        };
        Column { field, values, validity }
    }

    fn bytes(&self) -> u64 {
        let bytes = match self {
            Narrow::Bytes(_, values) => values.len(),
            Narrow::Shorts(_, values) => values.len() * 2,
            Narrow::Words(_, values) => values.len() * 4,
            Narrow::Wide(Values::String { offsets, bytes }) => offsets.len() * 4 + bytes.len(),
            Narrow::Wide(Values::Boolean(values)) => values.len(),
            Narrow::Wide(Values::Missing(_)) => 0,
            Narrow::Wide(numbers) => numbers.len() * 8,
        };
        bytes as u64
    }
}

#[derive(Debug)]
struct Kept {
    field: FieldId,
    values: Narrow,
    validity: Option<Bitmap>,
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
    /// Rows asked for of columns that are not kept: of four times as many columns as are kept.
    asked: Cache<ColumnPlace, Arc<AtomicUsize>>,
    budget: Budget,
    bytes_max: u64,
}

impl ColumnCache {
    /// A cache of at most `bytes_max`; 0 keeps nothing.
    pub fn new(bytes_max: u64, budget: &Budget) -> Self {
        let expected = usize::try_from(bytes_max / COLUMN_BYTES).unwrap_or(usize::MAX).max(16);
        let columns = Cache::with_weighter(expected, bytes_max, Bytes);
        ColumnCache { columns, asked: Cache::new(expected * 4), budget: budget.clone(), bytes_max }
    }

    /// The rows `rows` of the column at `place`, if it is kept.
    pub fn get(&self, place: ColumnPlace, rows: Range<usize>) -> Option<Column> {
        let kept = self.columns.get(&place)?;
        Some(kept.values.slice(kept.field, kept.validity.as_ref(), rows))
    }

    /// Whether the column at `place` is kept.
    pub fn has(&self, place: ColumnPlace) -> bool {
        self.columns.peek(&place).is_some()
    }

    /// Notes that `rows` rows of the column at `place` are wanted, and returns how many were wanted
    /// before, since it was last kept.
    pub fn ask(&self, place: ColumnPlace, rows: usize) -> usize {
        match self.asked.get(&place) {
            Some(asked) => asked.fetch_add(rows, Ordering::Relaxed),
            None => {
                self.asked.insert(place, Arc::new(AtomicUsize::new(rows)));
                0
            }
        }
    }

    /// Keeps a whole column, if there is room for it.
    pub fn keep(&self, place: ColumnPlace, column: Column) {
        let Column { field, values, validity } = column;
        let values = Narrow::of(values);
        let bytes = OVERHEAD_BYTES
            + values.bytes()
            + validity.as_ref().map_or(0, |validity| validity.len() as u64 / 8);
        // One column of text must not push out a hundred of numbers.
        if bytes > self.bytes_max / 16 {
            return;
        }
        if let Some(held) = self.budget.try_reserve(Share::Caches, bytes) {
            self.columns.insert(place, Arc::new(Kept { field, values, validity, held }));
            self.asked.remove(&place); // once pushed out, it must be worth its decoding anew
        }
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
        assert!(budget.held_bytes(Share::Caches) > 200 << 10, "most of them are kept");
        let last = cache.get((FileNumber(1), 199), 10..12);
        assert_eq!(last.map(|c| c.values), Some(Values::Integer(vec![209, 210])));
        assert!(cache.get((FileNumber(2), 199), 10..12).is_none());
        drop(cache);
        assert_eq!(budget.held_bytes(Share::Caches), 0);
    }

    #[test]
    fn rows_asked_for_are_counted_until_the_column_is_kept() {
        let cache = ColumnCache::new(1 << 20, &Budget::unlimited());
        let place = (FileNumber(1), 1);
        assert_eq!(cache.ask(place, 10), 0);
        assert_eq!(cache.ask(place, 5), 10);
        assert_eq!(cache.ask(place, 5), 15);
        assert_eq!(cache.ask((FileNumber(1), 2), 5), 0);
        cache.keep(place, column(0));
        assert_eq!(cache.ask(place, 5), 0);
    }

    #[test]
    fn integers_of_any_width_come_back() {
        let cache = ColumnCache::new(1 << 20, &Budget::unlimited());
        let spans = [0, 1, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX];
        for (span, at) in spans.into_iter().zip(0..) {
            for min in [i64::MIN, -1, 0, i64::MAX.wrapping_sub(span as i64)] {
                let Some(max) = min.checked_add_unsigned(span) else { continue };
                let (values, validity) = (Values::Integer(vec![max, min, max]), None);
                let column = Column { field: FieldId(3), values, validity };
                cache.keep((FileNumber(1), at), column.clone());
                assert_eq!(cache.get((FileNumber(1), at), 0..3), Some(column.clone()));
                assert_eq!(cache.get((FileNumber(1), at), 1..3), Some(column.slice(1..3)));
            }
        }
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
