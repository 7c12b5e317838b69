//! Dropping measurements and series: gone at once, swept later.
//!
//! 1. One batch adds the series to the set of dropped ones and to the set still to be swept, and
//!    removes the measurements that are left without a series. When it is durable, neither reads
//!    nor writes find them any more.
//! 2. The sweep, in maintenance, removes their entries from the index in steps; a restart goes on
//!    where it stopped. Their chunks go with the next compaction or the expiry of their partition.
//!
//! Numbers are never used again, so nothing that is left behind can be mistaken for something new.

use std::sync::atomic::Ordering;

use croaring::Bitmap;
use firndb_engine::batch::WriteBatch;
use firndb_engine::coding::put_u32;
use firndb_engine::store::WriteOptions;
use hashbrown::HashMap;

use crate::Result;
use crate::catalog::SYNCED;
use crate::database::Database;
use crate::index::TagPredicate;
use crate::index::entries;
use crate::index::postings::{self, Postings};
use crate::model::{MeasurementId, SeriesId};

/// Entries of dropped series removed in one batch.
const SWEEP_SERIES: usize = 1000;

impl Database {
    /// Removes a measurement with its series and points; no error when there is none.
    pub fn drop_measurement(&self, name: &str) -> Result<()> {
        let _gate = self.gate.write();
        let Some(info) = self.schema.by_name(name) else { return Ok(()) };
        let series = self.index.all(info.id)?;
        self.drop_ids(&series, &[info.id])
    }

    /// Removes series and their points; returns how many. A measurement goes with its last series.
    pub fn drop_series(
        &self,
        measurement: Option<&str>,
        tags: Option<&TagPredicate>,
    ) -> Result<u64> {
        let _gate = self.gate.write();
        let infos = match measurement {
            Some(name) => self.schema.by_name(name).into_iter().collect(),
            None => self.schema.all(),
        };
        let mut series = Bitmap::new();
        let mut emptied = Vec::new();
        for info in infos {
            let matching = self.index.matching(info.id, tags)?;
            if matching == self.index.all(info.id)? {
                emptied.push(info.id);
            }
            series.or_inplace(&matching);
        }
        self.drop_ids(&series, &emptied)?;
        Ok(series.cardinality())
    }

    /// Step 1. The caller holds the gate.
    fn drop_ids(&self, series: &Bitmap, measurements: &[MeasurementId]) -> Result<()> {
        let mut batch = WriteBatch::new();
        self.put_drop(series, measurements, &mut batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.store.write_no_wait(&batch, SYNCED)?.wait()?;
        self.publish_drop(series, measurements);
        Ok(())
    }

    /// Adds to `batch` that series and measurements are gone.
    pub(crate) fn put_drop(
        &self,
        series: &Bitmap,
        measurements: &[MeasurementId],
        batch: &mut WriteBatch,
    ) {
        let keyspace = self.index.keyspace();
        if !series.is_empty() {
            let operand = postings::encode_adding(&series.to_vec());
            batch.merge(keyspace, entries::DROPPED, &operand);
            batch.merge(keyspace, entries::UNSWEPT, &operand);
        }
        for id in measurements {
            batch.delete(keyspace, &entries::measurement(*id));
            batch.put(keyspace, &entries::unswept_measurement(*id), &[]);
        }
    }

    /// Has everybody see that series and measurements are gone: the batch is in the log. The
    /// caller holds the gate.
    pub(crate) fn publish_drop(&self, series: &Bitmap, measurements: &[MeasurementId]) {
        if series.is_empty() && measurements.is_empty() {
            return;
        }
        self.index.dropped().add(series);
        self.series_count.fetch_sub(series.cardinality(), Ordering::Relaxed);
        for id in measurements {
            self.schema.remove(*id);
        }
        self.cache.clear();
        self.registration.lock().values.clear();
    }

    /// Step 2: removes what dropped series and measurements left in the index, all of it or up to
    /// `steps` batches. Returns the number of series swept.
    pub(crate) fn sweep(&self, steps: usize) -> Result<u64> {
        let mut swept = 0;
        if self.index.dropped().is_empty() {
            return Ok(0);
        }
        for _ in 0..steps {
            // Under the lock no registration reads a hash entry that is about to change.
            let _registration = self.registration.lock();
            let mut unswept = Bitmap::new();
            if let Some(bytes) = self.index.get(entries::UNSWEPT)? {
                unswept = postings::decode(&bytes).map_err(|e| entries::damaged(e.reason))?;
            }
            if unswept.is_empty() {
                break;
            }
            let ids: Vec<u32> = unswept.iter().take(SWEEP_SERIES).collect();
            swept += ids.len() as u64;
            self.sweep_series(&ids)?;
        }
        for _ in 0..steps {
            if !self.sweep_measurement()? {
                break;
            }
        }
        Ok(swept)
    }

    fn sweep_series(&self, ids: &[u32]) -> Result<()> {
        let (index, keyspace) = (&self.index, self.index.keyspace());
        let mut batch = WriteBatch::new();
        let mut lists: HashMap<Vec<u8>, Bitmap> = HashMap::new();
        // Several series may share a hash: each removal goes on from the one before.
        let mut hashes: HashMap<[u8; 17], Vec<SeriesId>> = HashMap::new();
        for id in ids {
            let Some(key) = index.get(&entries::series(SeriesId(*id)))? else { continue };
            batch.delete(keyspace, &entries::series(SeriesId(*id)));
            let hash = entries::series_hash(&key);
            if !hashes.contains_key(&hash) {
                let stored = index.get(&hash)?;
                let ids = stored.iter().flat_map(|ids| entries::hash_ids(ids)).collect();
                hashes.insert(hash, ids);
            }
            hashes.entry(hash).or_default().retain(|other| other.0 != *id);
            let (measurement, tags) = entries::parse_series_key(&key)?;
            if self.schema.by_id(measurement).is_none() {
                continue; // its lists go as a whole
            }
            lists.entry(entries::all_series(measurement)).or_default().add(*id);
            for (key, value) in tags.iter() {
                lists.entry(entries::tag_pair(measurement, key, value)).or_default().add(*id);
            }
        }
        for (hash, left) in hashes {
            if left.is_empty() {
                batch.delete(keyspace, &hash);
                continue;
            }
            let mut value = Vec::new();
            left.iter().for_each(|id| put_u32(&mut value, id.0));
            batch.put(keyspace, &hash, &value);
        }
        for (key, ids) in lists {
            batch.merge(keyspace, &key, &Postings::removing(ids).encode());
        }
        let done = Postings::removing(Bitmap::of(ids)).encode();
        batch.merge(keyspace, entries::UNSWEPT, &done);
        self.store.write_no_wait(&batch, WriteOptions::default())?.wait()?;
        Ok(())
    }

    /// Removes a batch of entries of a dropped measurement; says whether there was one.
    fn sweep_measurement(&self) -> Result<bool> {
        let (index, keyspace) = (&self.index, self.index.keyspace());
        let mut dropped = None;
        index.visit(b'Z', None, |key, _| {
            dropped = Some(entries::split_measurement(key)?.0);
            Ok(false)
        })?;
        let Some(id) = dropped else { return Ok(false) };
        let mut batch = WriteBatch::new();
        for tag in *b"PAFT" {
            index.visit(tag, Some(id), |key, _| {
                batch.delete(keyspace, key);
                Ok(batch.len() < SWEEP_SERIES * 10)
            })?;
        }
        if batch.len() < SWEEP_SERIES * 10 {
            batch.delete(keyspace, &entries::unswept_measurement(id));
        }
        self.store.write_no_wait(&batch, WriteOptions::default())?.wait()?;
        Ok(true)
    }
}
