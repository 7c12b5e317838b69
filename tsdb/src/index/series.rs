//! Reading the index: from series keys and tags to series, and back.
//!
//! Holds no entries itself: every question goes to the engine, whose block cache is bounded.

use std::sync::Arc;

use croaring::Bitmap;
use firndb_engine::key::{KeyspaceId, Seq};
use firndb_engine::scan::Value;
use firndb_engine::store::{ScanOptions, Store};

use crate::Result;
use crate::index::dropped::Dropped;
use crate::index::{entries, postings};
use crate::model::{MeasurementId, SeriesId, TagSet};

/// The index of one database.
#[derive(Debug)]
pub struct SeriesIndex {
    store: Store,
    keyspace: KeyspaceId,
    dropped: Arc<Dropped>,
}

impl SeriesIndex {
    /// The index in `keyspace`.
    pub fn new(store: Store, keyspace: KeyspaceId, dropped: Arc<Dropped>) -> Self {
        SeriesIndex { store, keyspace, dropped }
    }

    /// Its keyspace.
    pub fn keyspace(&self) -> KeyspaceId {
        self.keyspace
    }

    /// The dropped series.
    pub fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    /// A value of the keyspace.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        Ok(self.store.get(self.keyspace, key, None)?)
    }

    /// Visits the entries of one kind, of a measurement or of all, until `visit` says `false`.
    pub fn visit(
        &self,
        tag: u8,
        measurement: Option<MeasurementId>,
        visit: impl FnMut(&[u8], &[u8]) -> Result<bool>,
    ) -> Result<()> {
        self.visit_bounds(entries::bounds(tag, measurement), visit)
    }

    fn visit_bounds(
        &self,
        bounds: firndb_engine::scan::bounds::Bounds,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool>,
    ) -> Result<()> {
        let options = ScanOptions { bounds, ..ScanOptions::default() };
        let mut entries = self.store.scan(self.keyspace, options)?;
        while entries.advance()? {
            if !visit(entries.key(), entries.value())? {
                break;
            }
        }
        Ok(())
    }

    /// Visits the entries of one kind that were put as they are, with their sequence numbers.
    pub fn visit_put(
        &self,
        tag: u8,
        mut visit: impl FnMut(&[u8], &[u8], Seq) -> Result<()>,
    ) -> Result<()> {
        let options = ScanOptions { bounds: entries::bounds(tag, None), ..ScanOptions::default() };
        let mut entries = self.store.scan(self.keyspace, options)?;
        while entries.advance()? {
            if let Some(seq) = entries.seq() {
                visit(entries.key(), entries.value(), seq)?;
            }
        }
        Ok(())
    }

    /// The live series of this key, or else the live series whose keys have the same hash.
    pub fn find(&self, series_key: &[u8]) -> Result<Result<SeriesId, Vec<SeriesId>>> {
        let mut same_hash = Vec::new();
        if let Some(ids) = self.get(&entries::series_hash(series_key))? {
            for id in entries::hash_ids(&ids).filter(|id| !self.dropped.contains(*id)) {
                if self.get(&entries::series(id))?.is_some_and(|key| *key == *series_key) {
                    return Ok(Ok(id));
                }
                same_hash.push(id);
            }
        }
        Ok(Err(same_hash))
    }

    /// Measurement and tags of a live series.
    pub fn key(&self, series: SeriesId) -> Result<Option<(MeasurementId, TagSet)>> {
        if self.dropped.contains(series) {
            return Ok(None);
        }
        self.get(&entries::series(series))?.map(|key| entries::parse_series_key(&key)).transpose()
    }

    /// The live series of the list at `key`.
    pub fn list(&self, key: &[u8]) -> Result<Bitmap> {
        match self.get(key)? {
            None => Ok(Bitmap::new()),
            Some(bytes) => self.live(&bytes),
        }
    }

    fn live(&self, bytes: &[u8]) -> Result<Bitmap> {
        let mut series = postings::decode(bytes).map_err(|error| entries::damaged(error.reason))?;
        self.dropped.take_from(&mut series);
        Ok(series)
    }

    /// The live series of a measurement.
    pub fn all(&self, measurement: MeasurementId) -> Result<Bitmap> {
        self.list(&entries::all_series(measurement))
    }

    /// Visits the values of a tag key, ascending, with the live series that have each, until
    /// `visit` says `false`. The series come as bytes to decode with the closure given.
    pub fn visit_values(
        &self,
        measurement: MeasurementId,
        key: &str,
        mut visit: impl FnMut(&str, &dyn Fn() -> Result<Bitmap>) -> Result<bool>,
    ) -> Result<()> {
        let prefix = entries::tag_pair_prefix(measurement, key);
        let bounds = firndb_engine::scan::bounds::Bounds::prefix(&prefix);
        self.visit_bounds(bounds, |key, bytes| {
            visit(entries::text(&key[prefix.len()..])?, &|| self.live(bytes))
        })
    }

    /// The live series that have a tag of this key.
    pub fn having(&self, measurement: MeasurementId, key: &str) -> Result<Bitmap> {
        let mut having = Bitmap::new();
        self.visit_values(measurement, key, |_, series| {
            having.or_inplace(&series()?);
            Ok(true)
        })?;
        Ok(having)
    }
}
