//! Series that were dropped: what they left in posting lists and chunks is passed over.
//!
//! Dropping a series is one small write to this set; its entries and chunks go later, when the
//! index is swept and partitions are compacted or expire. Numbers of series are never used again,
//! so the set only grows and nothing of an old series can become part of a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use croaring::Bitmap;
use parking_lot::RwLock;

use crate::model::SeriesId;

/// The series dropped from a database, shared with the hooks of its partitions.
#[derive(Debug, Default)]
pub struct Dropped {
    is_used: AtomicBool,
    set: RwLock<Arc<Bitmap>>,
}

impl Dropped {
    /// The set as it is now.
    pub fn get(&self) -> Arc<Bitmap> {
        self.set.read().clone()
    }

    /// Whether no series was ever dropped, the common case.
    pub fn is_empty(&self) -> bool {
        !self.is_used.load(Ordering::Acquire)
    }

    /// Whether `series` was dropped.
    pub fn contains(&self, series: SeriesId) -> bool {
        !self.is_empty() && self.set.read().contains(series.0)
    }

    /// Adds `series`.
    pub fn add(&self, series: &Bitmap) {
        let mut set = self.set.write();
        *set = Arc::new(set.or(series));
        self.is_used.store(!set.is_empty(), Ordering::Release);
    }

    /// `series` without the dropped ones.
    pub fn take_from(&self, series: &mut Bitmap) {
        if !self.is_empty() {
            series.andnot_inplace(&self.set.read());
        }
    }
}
