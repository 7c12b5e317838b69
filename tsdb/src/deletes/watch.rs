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
//! Notes are by the hour so that one late point does not have the whole of time scanned again, and
//! by series and not by row so that they are small: two bytes for a series of very many.

use std::collections::BTreeMap;
use std::sync::Arc;

use croaring::Bitmap;
use parking_lot::{Mutex, RwLock};

use crate::erasure::Group;
use crate::model::{SeriesId, TimeRange, Timestamp};

const SLOT_NS: i64 = 3_600_000_000_000;

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

    fn merge(&mut self, other: &Notes) {
        for (slot, (series, span)) in &other.slots {
            let (all, own) = self.slots.entry(*slot).or_insert_with(|| (Bitmap::new(), *span));
            all.or_inplace(series);
            *own = hull(own, span);
        }
        self.rows += other.rows;
    }
}

fn hull(a: &TimeRange, b: &TimeRange) -> TimeRange {
    TimeRange::new(a.start.min(b.start), a.end.max(b.end))
}

/// What one delete is told.
#[derive(Debug, Default)]
struct Told {
    written: BTreeMap<String, Notes>,
    deleted: Vec<Touched>,
}

/// The deletes that look for rows just now.
#[derive(Debug, Default)]
pub(crate) struct Watches(RwLock<Vec<Arc<Mutex<Told>>>>);

impl Watches {
    /// Begins to watch. The caller holds the gate for writing.
    pub(super) fn begin(&self) -> Watch<'_> {
        let told = Arc::<Mutex<Told>>::default();
        self.0.write().push(told.clone());
        Watch { watches: self, told }
    }

    /// Where a write collects its notes; `None`: nobody asks for them. The answer holds for as long
    /// as the caller holds the gate.
    pub(crate) fn notes(&self) -> Option<Notes> {
        (!self.0.read().is_empty()).then(Notes::default)
    }

    /// Tells what was written.
    pub(crate) fn tell_written(&self, policy: &str, notes: &Notes) {
        for told in self.0.read().iter() {
            told.lock().written.entry(policy.to_owned()).or_default().merge(notes);
        }
    }

    /// Tells what was deleted.
    pub(super) fn tell_deleted(&self, groups: &[Group]) {
        for told in self.0.read().iter() {
            let touched = groups.iter().map(|group| Touched {
                policy: group.policy.clone(),
                series: group.series.clone(),
                range: group.span(),
            });
            told.lock().deleted.extend(touched);
        }
    }
}

/// A delete that is told what others do, until it is dropped.
#[derive(Debug)]
pub(super) struct Watch<'d> {
    watches: &'d Watches,
    told: Arc<Mutex<Told>>,
}

impl Watch<'_> {
    /// What was touched since the last call, and of how many rows that is.
    pub(super) fn take(&self) -> (Vec<Touched>, u64) {
        let Told { written, mut deleted } = std::mem::take(&mut *self.told.lock());
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
        (deleted, rows)
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
        let watches = Watches::default();
        assert!(watches.notes().is_none(), "nobody asks");
        let (one, two) = (watches.begin(), watches.begin());
        let tell = |rows: &[(u32, i64)]| {
            let mut notes = watches.notes().expect("somebody asks");
            rows.iter().for_each(|(series, at)| notes.add(SeriesId(*series), *at));
            watches.tell_written("p", &notes);
        };
        let told = |watch: &Watch<'_>| {
            let (touched, rows) = watch.take();
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
}
