//! What a database says of itself: measurements, tags, series.

use std::sync::Arc;

use croaring::Bitmap;

use crate::Result;
use crate::database::Database;
use crate::index::{MeasurementFilter, TagPredicate};
use crate::model::{SeriesId, TagSet};
use crate::schema::MeasurementInfo;

impl Database {
    /// Names of measurements, sorted.
    pub fn measurements(&self, filter: &MeasurementFilter) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for info in self.schema.all() {
            let is_named = filter.name.as_ref().is_none_or(|name| name.accepts(&info.name));
            if is_named && self.has_series(&info, filter.tags.as_ref())? {
                names.push(info.name.clone());
            }
        }
        Ok(names)
    }

    fn has_series(&self, info: &MeasurementInfo, tags: Option<&TagPredicate>) -> Result<bool> {
        // Without a condition the schema tells: a measurement goes with its last series.
        Ok(tags.is_none() || !self.index.matching(info.id, tags)?.is_empty())
    }

    /// What is known of the measurement of this name.
    pub fn measurement(&self, name: &str) -> Option<Arc<MeasurementInfo>> {
        self.schema.by_name(name)
    }

    /// Tag keys, sorted, that series of the measurement have.
    pub fn tag_keys(&self, measurement: &str, tags: Option<&TagPredicate>) -> Result<Vec<String>> {
        let Some(info) = self.schema.by_name(measurement) else { return Ok(Vec::new()) };
        if tags.is_none() && self.index.dropped().is_empty() {
            return Ok(info.tag_keys.clone());
        }
        let matching = self.index.matching(info.id, tags)?;
        let mut keys = Vec::new();
        for key in &info.tag_keys {
            let mut is_used = false;
            self.index.visit_values(info.id, key, |_, series| {
                is_used = matching.intersect(&series()?);
                Ok(!is_used)
            })?;
            if is_used {
                keys.push(key.clone());
            }
        }
        Ok(keys)
    }

    /// Values of a tag key, sorted, that series of the measurement have.
    pub fn tag_values(
        &self,
        measurement: &str,
        key: &str,
        tags: Option<&TagPredicate>,
    ) -> Result<Vec<String>> {
        let Some(info) = self.schema.by_name(measurement) else { return Ok(Vec::new()) };
        if !info.has_tag_key(key) {
            return Ok(Vec::new());
        }
        let all_are_live = tags.is_none() && self.index.dropped().is_empty();
        let matching = match all_are_live {
            true => Bitmap::new(),
            false => self.index.matching(info.id, tags)?,
        };
        let mut values = Vec::new();
        self.index.visit_values(info.id, key, |value, series| {
            if all_are_live || matching.intersect(&series()?) {
                values.push(value.to_owned());
            }
            Ok(true)
        })?;
        Ok(values)
    }

    /// Series in the order of their numbers; `measurement` of `None`: of all measurements.
    pub fn series(
        &self,
        measurement: Option<&str>,
        tags: Option<&TagPredicate>,
    ) -> Result<Vec<SeriesId>> {
        let infos = match measurement {
            Some(name) => self.schema.by_name(name).into_iter().collect(),
            None => self.schema.all(),
        };
        let mut series = Bitmap::new();
        for info in infos {
            series.or_inplace(&self.index.matching(info.id, tags)?);
        }
        Ok(series.to_vec().into_iter().map(SeriesId).collect())
    }

    /// Measurement and tags of a series.
    pub fn series_key(&self, series: SeriesId) -> Result<Option<(String, TagSet)>> {
        let Some((id, tags)) = self.index.key(series)? else { return Ok(None) };
        Ok(self.schema.by_id(id).map(|info| (info.name.clone(), tags)))
    }
}
