//! A database: the coordinator of schema, index, partitions and policies.

use std::sync::Arc;

use crate::Result;
use crate::index::{MeasurementFilter, TagPredicate};
use crate::model::{SeriesId, SeriesRef, TagSet};
use crate::retention::{PolicyChange, PolicySpec, RetentionPolicy};
use crate::schema::MeasurementInfo;

/// A database.
#[derive(Debug)]
pub struct Database {
    name: String,
}

impl Database {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Retention policies, sorted by name.
    pub fn policies(&self) -> Vec<RetentionPolicy> {
        todo!()
    }

    /// The policy of this name; `None`: the default one.
    pub fn policy(&self, name: Option<&str>) -> Result<RetentionPolicy> {
        let _ = name;
        todo!()
    }

    /// Adds a policy; no error when it exists with the same settings.
    pub fn create_policy(&self, spec: &PolicySpec) -> Result<()> {
        let _ = spec;
        todo!()
    }

    /// Changes a policy. A new shard duration holds for partitions to come.
    pub fn alter_policy(&self, name: &str, change: &PolicyChange) -> Result<()> {
        let _ = (name, change);
        todo!()
    }

    /// Removes a policy and its points.
    pub fn drop_policy(&self, name: &str) -> Result<()> {
        let _ = name;
        todo!()
    }

    /// The series whose measurement and tags were written as `raw_series_text` lately: the
    /// parser's look-up. `None` says nothing.
    pub fn known_series(&self, raw_series_text: &[u8]) -> Option<SeriesRef> {
        let _ = raw_series_text;
        todo!()
    }

    /// Names of measurements, sorted.
    pub fn measurements(&self, filter: &MeasurementFilter) -> Result<Vec<String>> {
        let _ = filter;
        todo!()
    }

    /// What is known of the measurement of this name.
    pub fn measurement(&self, name: &str) -> Option<Arc<MeasurementInfo>> {
        let _ = name;
        todo!()
    }

    /// Tag keys, sorted, that series of the measurement have.
    pub fn tag_keys(&self, measurement: &str, tags: Option<&TagPredicate>) -> Result<Vec<String>> {
        let _ = (measurement, tags);
        todo!()
    }

    /// Values of a tag key, sorted, that series of the measurement have.
    pub fn tag_values(
        &self,
        measurement: &str,
        key: &str,
        tags: Option<&TagPredicate>,
    ) -> Result<Vec<String>> {
        let _ = (measurement, key, tags);
        todo!()
    }

    /// Series in the order of their numbers; `measurement` of `None`: of all measurements.
    pub fn series(
        &self,
        measurement: Option<&str>,
        tags: Option<&TagPredicate>,
    ) -> Result<Vec<SeriesId>> {
        let _ = (measurement, tags);
        todo!()
    }

    /// Measurement and tags of a series.
    pub fn series_key(&self, series: SeriesId) -> Result<Option<(String, TagSet)>> {
        let _ = series;
        todo!()
    }

    /// Number of series.
    pub fn series_count(&self) -> u64 {
        todo!()
    }

    /// Removes a measurement with its series and points; no error when there is none.
    pub fn drop_measurement(&self, name: &str) -> Result<()> {
        let _ = name;
        todo!()
    }

    /// Removes series and their points; returns how many.
    pub fn drop_series(
        &self,
        measurement: Option<&str>,
        tags: Option<&TagPredicate>,
    ) -> Result<u64> {
        let _ = (measurement, tags);
        todo!()
    }
}
