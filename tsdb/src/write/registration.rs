//! Registering what a request brings that is new: measurements, fields, tag keys, series.
//!
//! Lives while the registration lock is held. Numbers are taken from a copy of the counters and
//! entries are put into the request's batch; only when the batch is in the log do counters and
//! schema learn of them ([`Registration::publish`]). A request that fails leaves no trace.
//!
//! Posting lists of all new series are grouped: one operand per tag pair and batch.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use firndb_engine::batch::WriteBatch;
use firndb_engine::coding::put_u32;
use firndb_engine::key::KeyspaceId;
use hashbrown::HashMap;
use parking_lot::MutexGuard;

use crate::database::{Database, RegistrationState};
use crate::index::entries::{self, Counters, FieldEntry, MeasurementEntry};
use crate::index::postings;
use crate::model::{FieldType, MeasurementId, SeriesId, SeriesRef};
use crate::schema::{FieldInfo, MeasurementInfo};
use crate::write::RefusalReason;
use crate::{Error, Result};

/// Key and number of a series that the batch registers.
type NewSeries = (Box<[u8]>, SeriesId);

/// The registrations of one batch, under the lock.
pub struct Registration<'d> {
    database: &'d Database,
    keyspace: KeyspaceId,
    state: MutexGuard<'d, RegistrationState>,
    counters: Counters,
    /// New series by the hash of their key.
    pending: HashMap<[u8; 17], Vec<NewSeries>>,
    pending_count: u64,
    lists: HashMap<Vec<u8>, Vec<u32>>,
    /// Value counts by prefix, where a limit asks for them.
    values: HashMap<Vec<u8>, u64>,
    /// Retention rules and the new series they mean.
    ruled: Vec<(u64, u32)>,
}

impl<'d> Registration<'d> {
    /// Takes the lock.
    pub fn begin(database: &'d Database) -> Self {
        let mut state = database.registration.lock();
        Registration {
            database,
            keyspace: database.index.keyspace(),
            counters: state.counters,
            pending: HashMap::new(),
            pending_count: 0,
            lists: HashMap::new(),
            values: std::mem::take(&mut state.values),
            ruled: Vec::new(),
            state,
        }
    }

    /// A measurement of a new name.
    pub fn add_measurement(&mut self, name: &str, batch: &mut WriteBatch) -> MeasurementInfo {
        let id = MeasurementId(self.counters.measurement);
        self.counters.measurement += 1;
        let entry = MeasurementEntry { name: name.to_owned(), next_field: 0 };
        batch.put(self.keyspace, &entries::measurement(id), &entries::to_json(&entry));
        MeasurementInfo::new(id, name)
    }

    /// The number that [`Self::add_measurement`] would give.
    pub fn next_measurement(&self) -> MeasurementId {
        MeasurementId(self.counters.measurement)
    }

    /// A new field of a measurement.
    pub fn add_field(
        &self,
        info: &mut Arc<MeasurementInfo>,
        name: &str,
        field_type: FieldType,
        batch: &mut WriteBatch,
    ) {
        let id = info.next_field();
        let entry = FieldEntry { name: name.to_owned(), field_type };
        batch.put(self.keyspace, &entries::field(info.id, id), &entries::to_json(&entry));
        Arc::make_mut(info).add_field(FieldInfo { name: entry.name, id, field_type });
    }

    /// The series of this key that this batch registers.
    pub fn find(&self, series_key: &[u8]) -> Option<SeriesId> {
        let same_hash = self.pending.get(&entries::series_hash(series_key))?;
        same_hash.iter().find(|(key, _)| **key == *series_key).map(|(_, id)| *id)
    }

    /// Whether limits allow a series of these tags; `measurement` of `None` is a new one.
    pub fn check_limits(
        &mut self,
        measurement: Option<&MeasurementInfo>,
        name: &str,
        tags: &[(&str, &str)],
    ) -> Result<Result<(), RefusalReason>> {
        let (database, limits) = (self.database, &self.database.limits);
        let series = database.series_count() + self.pending_count;
        if let Some(limit) = limits.series_max
            && series >= limit
        {
            let database = database.name.as_str().into();
            return Ok(Err(RefusalReason::SeriesLimit { database, limit, series, keys: 1 }));
        }
        let Some(limit) = limits.values_per_tag_max else { return Ok(Ok(())) };
        let id = measurement.map_or(self.next_measurement(), |info| info.id);
        let mut new_values = Vec::new();
        for (tag, value) in tags {
            let pair = entries::tag_pair(id, tag, value);
            if self.lists.contains_key(&pair) || !database.index.list(&pair)?.is_empty() {
                continue;
            }
            let prefix = entries::tag_pair_prefix(id, tag);
            let values = self.count_values(id, tag, &prefix)?;
            if values >= limit {
                return Ok(Err(RefusalReason::TagValuesLimit {
                    measurement: name.into(),
                    tag: (*tag).into(),
                    value: (*value).into(),
                    values,
                    limit,
                }));
            }
            new_values.push(prefix);
        }
        for prefix in new_values {
            *self.values.entry(prefix).or_default() += 1;
        }
        Ok(Ok(()))
    }

    fn count_values(&mut self, id: MeasurementId, tag: &str, prefix: &[u8]) -> Result<u64> {
        if let Some(count) = self.values.get(prefix) {
            return Ok(*count);
        }
        let mut count = 0;
        self.database.index.visit_values(id, tag, |_, series| {
            count += u64::from(!series()?.is_empty());
            Ok(true)
        })?;
        self.values.insert(prefix.to_owned(), count);
        Ok(count)
    }

    /// A new series of a measurement.
    pub fn add_series(
        &mut self,
        info: &mut Arc<MeasurementInfo>,
        (series_key, same_hash): (&[u8], &[SeriesId]),
        tags: &[(&str, &str)],
        batch: &mut WriteBatch,
    ) -> Result<SeriesRef> {
        let id = SeriesId(self.counters.series);
        let limit = u64::from(u32::MAX);
        let next = id.0.checked_add(1);
        let what = "series ever made in a database";
        self.counters.series = next.ok_or(Error::Limit { what, got: limit + 1, limit })?;
        batch.put(self.keyspace, &entries::series(id), series_key);
        self.put_hash((series_key, same_hash), id, batch);
        self.pending_count += 1;
        self.add_to_list(&entries::all_series(info.id), id);
        let rules = &self.database.rules;
        if rules.is_used() {
            let tag = |key: &str| tags.iter().find(|(own, _)| *own == key).map(|(_, v)| *v);
            rules.find(id, (&info.name, &tag), &mut self.ruled);
        }
        let has_same_keys = info.tag_keys.iter().eq(tags.iter().map(|(key, _)| key));
        for (key, value) in tags {
            self.add_to_list(&entries::tag_pair(info.id, key, value), id);
            if !has_same_keys && !info.has_tag_key(key) {
                Arc::make_mut(info).add_tag_key(key);
                batch.put(self.keyspace, &entries::tag_key(info.id, key), &[]);
            }
        }
        Ok(SeriesRef { series: id, measurement: info.id })
    }

    fn add_to_list(&mut self, key: &[u8], id: SeriesId) {
        self.lists.entry_ref(key).or_default().push(id.0);
    }

    /// Puts `id` behind the hash of its key, beside live series whose keys have the same hash.
    fn put_hash(
        &mut self,
        (series_key, same_hash): (&[u8], &[SeriesId]),
        id: SeriesId,
        batch: &mut WriteBatch,
    ) {
        let hash = entries::series_hash(series_key);
        let pending = self.pending.entry(hash).or_default();
        let mut ids = Vec::with_capacity(4);
        same_hash.iter().for_each(|id| put_u32(&mut ids, id.0));
        pending.iter().for_each(|(_, id)| put_u32(&mut ids, id.0));
        put_u32(&mut ids, id.0);
        pending.push((series_key.into(), id));
        batch.put(self.keyspace, &hash, &ids);
    }

    /// Puts the grouped lists and the counters into the batch.
    pub fn finish(&mut self, batch: &mut WriteBatch) {
        for (key, ids) in self.lists.drain() {
            batch.merge(self.keyspace, &key, &postings::encode_adding(&ids));
        }
        if self.counters != self.state.counters {
            batch.put(self.keyspace, entries::COUNTERS, &entries::to_json(&self.counters));
        }
    }

    /// Lets everybody see what was registered: the batch is in the log. Releases the lock.
    pub fn publish(mut self, changed: impl Iterator<Item = Arc<MeasurementInfo>>) {
        self.database.schema.publish(changed);
        self.database.rules.add(&self.ruled);
        self.state.counters = self.counters;
        self.state.values = std::mem::take(&mut self.values);
        self.database.series_count.fetch_add(self.pending_count, Ordering::Relaxed);
    }
}
