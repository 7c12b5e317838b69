//! What is written while a delete looks for the rows that it means.
//!
//! A condition on values takes a scan, and a scan takes time: writes do not wait for it. So that
//! none escapes, they say meanwhile what they touch.
//!
//! 1. A watch begins with no write in flight: what was written before is there for a scan to see.
//! 2. From then on every write notes its rows: series by hour, with the span of time between the
//!    first and the last row of the hour. It does so once its rows are in memtables; a scan that
//!    begins after a note was taken sees the rows of the note.
//! 3. Deletes note what they take. Drops need not: what is gone for ever is never meant wrongly.
//!
//! What is told is charged as what deletes mean is. Where there is no room it is forgotten, and the
//! delete is refused when it asks: a write is never refused for a delete's sake.
//!
//! Notes are by the hour so that one late point does not have the whole of time scanned again, and
//! by series and not by row so that they are small: two bytes for a series of very many.

use std::collections::BTreeMap;
use std::sync::Arc;

use croaring::{Bitmap, Portable};
use firndb_engine::budget::{Budget, Reservation, Share};
use parking_lot::{Mutex, RwLock};

use super::memory;
use crate::Result;
use crate::erasure::Group;
use crate::model::{SeriesId, TimeRange, Timestamp};

const SLOT_NS: i64 = 3_600_000_000_000;

/// An hour of notes beside its series, twice as nodes of trees are half full.
const SLOT_BYTES: u64 = 2 * size_of::<(i64, (Bitmap, TimeRange))>() as u64;

/// Rows that changed.
#[derive(Debug)]
pub(super) struct Touched {
    /// Their policy; `None`: every one that clients may write to.
    pub policy: Option<Arc<str>>,
    pub series: Arc<Bitmap>,
    pub range: TimeRange,
}

/// The rows of writes under one policy.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    slots: BTreeMap<i64, (Bitmap, TimeRange)>,
    rows: u64,
}

impl Notes {
    /// Notes a row.
    pub(crate) fn add(&mut self, series: SeriesId, timestamp: Timestamp) {
        let at = TimeRange::new(timestamp, timestamp);
        let slot = self.slots.entry(timestamp.div_euclid(SLOT_NS));
        let (all, span) = slot.or_insert_with(|| (Bitmap::new(), at));
        all.add(series.0);
        *span = hull(span, &at);
        self.rows += 1;
    }

    /// Adds others; gives the bytes that it holds more than before.
    fn merge(&mut self, other: &Notes) -> u64 {
        let size = |series: &Bitmap| series.get_serialized_size_in_bytes::<Portable>() as u64;
        let mut grown = 0;
        for (slot, (series, span)) in &other.slots {
            let (all, own) = self.slots.entry(*slot).or_insert_with(|| {
                grown += SLOT_BYTES;
                (Bitmap::new(), *span)
            });
            let before = size(all);
            all.or_inplace(series);
            grown += size(all).saturating_sub(before);
            *own = hull(own, span);
        }
        self.rows += other.rows;
        grown
    }
}

fn hull(a: &TimeRange, b: &TimeRange) -> TimeRange {
    TimeRange::new(a.start.min(b.start), a.end.max(b.end))
}

/// What one delete is told.
#[derive(Debug)]
struct Told {
    written: BTreeMap<String, Notes>,
    deleted: Vec<Touched>,
    /// For both.
    memory: Reservation,
    /// There was no room, and something was not noted.
    has_missed: bool,
}

impl Told {
    fn new(memory: Reservation) -> Self {
        Told { written: BTreeMap::new(), deleted: Vec::new(), memory, has_missed: false }
    }

    /// Charges `bytes` more, or forgets all of it.
    fn charge(&mut self, bytes: u64) {
        if !self.memory.try_grow(bytes) {
            self.has_missed = true;
            (self.written, self.deleted) = Default::default();
            self.memory.resize_anyway(0);
        }
    }

    fn add_written(&mut self, policy: &str, notes: &Notes) {
        if !self.has_missed {
            let grown = self.written.entry(policy.to_owned()).or_default().merge(notes);
            self.charge(grown);
        }
    }

    fn add_deleted(&mut self, groups: &[Group]) {
        if !self.has_missed {
            let touched = groups.iter().map(|group| Touched {
                policy: group.policy.clone(),
                series: group.series.clone(),
                range: group.span(),
            });
            self.deleted.extend(touched);
            self.charge(size_of::<Touched>() as u64 * groups.len() as u64);
        }
    }
}

/// What was told, for as long as it is looked at.
#[derive(Debug)]
pub(super) struct Taken {
    pub touched: Vec<Touched>,
    /// Of how many rows that is.
    pub rows: u64,
    _memory: Reservation,
}

/// The deletes that look for rows just now.
#[derive(Debug, Default)]
pub(crate) struct Watches(RwLock<Vec<Arc<Mutex<Told>>>>);

impl Watches {
    /// Begins to watch. The caller holds the gate for writing.
    pub(super) fn begin<'d>(&'d self, budget: &'d Budget) -> Watch<'d> {
        let told = Told::new(budget.reserve_anyway(Share::Deletes, 0));
        let told = Arc::new(Mutex::new(told));
        self.0.write().push(told.clone());
        Watch { watches: self, told, budget }
    }

    /// Where a write collects its notes; `None`: nobody asks for them. The answer holds for as long
    /// as the caller holds the gate.
    pub(crate) fn notes(&self) -> Option<Notes> {
        (!self.0.read().is_empty()).then(Notes::default)
    }

    /// Tells what was written.
    pub(crate) fn tell_written(&self, policy: &str, notes: &Notes) {
        for told in self.0.read().iter() {
            told.lock().add_written(policy, notes);
        }
    }

    /// Tells what was deleted.
    pub(super) fn tell_deleted(&self, groups: &[Group]) {
        for told in self.0.read().iter() {
            told.lock().add_deleted(groups);
        }
    }
}

/// A delete that is told what others do, until it is dropped.
#[derive(Debug)]
pub(super) struct Watch<'d> {
    watches: &'d Watches,
    budget: &'d Budget,
    told: Arc<Mutex<Told>>,
}

impl Watch<'_> {
    /// What was touched since the last call.
    ///
    /// # Errors
    /// `Busy` when there was no room to note all of it.
    pub(super) fn take(&self) -> Result<Taken> {
        let next = Told::new(self.budget.reserve_anyway(Share::Deletes, 0));
        let mut told = self.told.lock();
        if told.has_missed {
            return Err(memory::refusal());
        }
        let told = std::mem::replace(&mut *told, next);
        let Told { written, mut deleted, memory, .. } = told;
        let mut rows = if deleted.is_empty() { 0 } else { u64::MAX };
        for (policy, notes) in written {
            let policy: Arc<str> = policy.into();
            rows = rows.saturating_add(notes.rows);
            deleted.extend(notes.slots.into_values().map(|(series, range)| Touched {
                policy: Some(policy.clone()),
                series: Arc::new(series),
                range,
            }));
        }
        Ok(Taken { touched: deleted, rows, _memory: memory })
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.watches.0.write().retain(|other| !Arc::ptr_eq(other, &self.told));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_by_hour_and_only_of_what_comes_after_the_last_call() {
        let (watches, budget) = (Watches::default(), Budget::unlimited());
        assert!(watches.notes().is_none(), "nobody asks");
        let (one, two) = (watches.begin(&budget), watches.begin(&budget));
        let tell = |rows: &[(u32, i64)]| {
            let mut notes = watches.notes().expect("somebody asks");
            rows.iter().for_each(|(series, at)| notes.add(SeriesId(*series), *at));
            watches.tell_written("p", &notes);
        };
        let told = |watch: &Watch<'_>| {
            let Taken { touched, rows, .. } = watch.take().unwrap();
            let told = touched.iter().map(|touched| {
                let span = (touched.range.start, touched.range.end);
                (touched.series.iter().collect::<Vec<_>>(), span)
            });
            (told.collect::<Vec<_>>(), rows)
        };
        tell(&[(1, 5), (2, 9), (1, -1)]);
        tell(&[(3, 7), (1, SLOT_NS)]);
        let slots =
            vec![(vec![1], (-1, -1)), (vec![1, 2, 3], (5, 9)), (vec![1], (SLOT_NS, SLOT_NS))];
        assert_eq!(told(&one), (slots.clone(), 5));
        assert_eq!(told(&one), (vec![], 0));
        tell(&[(4, 6)]);
        assert_eq!(told(&one), (vec![(vec![4], (6, 6))], 1));
        drop(one);
        let (all, rows) = told(&two);
        assert_eq!((&all[1], rows), (&(vec![1, 2, 3, 4], (5, 9)), 6));
        drop(two);
        assert!(watches.notes().is_none(), "nobody asks any more");
    }

    #[test]
    fn notes_are_charged_and_without_room_the_delete_is_refused_not_the_write() {
        let budget = Budget::new(1 << 20);
        let held = || budget.held_bytes(Share::Deletes);
        let watches = Watches::default();
        let (early, late) = (watches.begin(&budget), watches.begin(&budget));
        let tell = |hours: std::ops::Range<i64>| {
            let mut notes = watches.notes().expect("somebody asks");
            hours.for_each(|hour| notes.add(SeriesId(1), hour * SLOT_NS));
            watches.tell_written("p", &notes);
        };
        tell(0..100);
        let of_one = held() / 2;
        assert!(of_one >= 100 * SLOT_BYTES, "{of_one} for 100 hours");
        let taken = early.take().unwrap();
        assert_eq!((taken.touched.len(), held()), (100, 2 * of_one), "while it is looked at");
        drop(taken);
        assert_eq!(held(), of_one);

        // More than there is room for: both forget what they have.
        tell(100..20_000);
        assert_eq!(held(), 0);
        for watch in [&early, &late, &late] {
            assert!(matches!(
                watch.take(),
                Err(crate::Error::Engine(firndb_engine::Error::Busy { .. }))
            ));
        }
        tell(0..10);
        assert_eq!(held(), 0, "they are lost, whatever comes");
        let next = watches.begin(&budget);
        tell(0..10);
        assert_eq!(next.take().unwrap().touched.len(), 10);
    }
}
