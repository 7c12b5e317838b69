//! Conditions on tags and names, as queries state them, and the series that meet them.
//!
//! Conditions are answered by posting lists alone: equality by one list, a pattern by the lists of
//! the values that match, negation by what is left of all series of the measurement.

use croaring::Bitmap;
use regex::Regex;

use crate::Result;
use crate::index::entries;
use crate::index::series::SeriesIndex;
use crate::model::MeasurementId;
pub use crate::model::TagPredicate;

/// A condition on a name.
#[derive(Debug, Clone)]
pub enum NameFilter {
    /// The name is this.
    Equal(String),
    /// The name is another.
    NotEqual(String),
    /// The name matches somewhere.
    Matches(Regex),
    /// The name matches nowhere.
    NotMatches(Regex),
}

impl NameFilter {
    /// Whether `name` passes.
    pub fn accepts(&self, name: &str) -> bool {
        match self {
            NameFilter::Equal(other) => name == other,
            NameFilter::NotEqual(other) => name != other,
            NameFilter::Matches(regex) => regex.is_match(name),
            NameFilter::NotMatches(regex) => !regex.is_match(name),
        }
    }
}

/// Which measurements to list.
#[derive(Debug, Clone, Default)]
pub struct MeasurementFilter {
    /// Condition on the name.
    pub name: Option<NameFilter>,
    /// At least one series of the measurement meets this.
    pub tags: Option<TagPredicate>,
}

impl SeriesIndex {
    /// The live series of a measurement that meet a condition; `None`: all.
    pub fn matching(
        &self,
        measurement: MeasurementId,
        condition: Option<&TagPredicate>,
    ) -> Result<Bitmap> {
        match condition {
            None | Some(TagPredicate::True) => self.all(measurement),
            Some(condition) => self.evaluate(measurement, condition),
        }
    }

    fn evaluate(&self, measurement: MeasurementId, condition: &TagPredicate) -> Result<Bitmap> {
        let all_without = |series: Bitmap| Ok(self.all(measurement)?.andnot(&series));
        match condition {
            TagPredicate::True => self.all(measurement),
            TagPredicate::False => Ok(Bitmap::new()),
            TagPredicate::Equal(key, value) => self.equal(measurement, key, value),
            TagPredicate::NotEqual(key, value) => {
                all_without(self.equal(measurement, key, value)?)
            }
            TagPredicate::Matches(key, regex) => self.matches(measurement, key, regex),
            TagPredicate::NotMatches(key, regex) => {
                all_without(self.matches(measurement, key, regex)?)
            }
            TagPredicate::And(parts) => {
                let Some((first, rest)) = parts.split_first() else { return self.all(measurement) };
                let mut series = self.evaluate(measurement, first)?;
                for part in rest {
                    if series.is_empty() {
                        break;
                    }
                    series.and_inplace(&self.evaluate(measurement, part)?);
                }
                Ok(series)
            }
            TagPredicate::Or(parts) => {
                let mut series = Bitmap::new();
                for part in parts {
                    series.or_inplace(&self.evaluate(measurement, part)?);
                }
                Ok(series)
            }
        }
    }

    fn equal(&self, measurement: MeasurementId, key: &str, value: &str) -> Result<Bitmap> {
        if value.is_empty() {
            return Ok(self.all(measurement)?.andnot(&self.having(measurement, key)?));
        }
        if key.len() + value.len() > crate::limits::KEY_BYTES_MAX {
            return Ok(Bitmap::new()); // no such tag can have been written
        }
        self.list(&entries::tag_pair(measurement, key, value))
    }

    fn matches(&self, measurement: MeasurementId, key: &str, regex: &Regex) -> Result<Bitmap> {
        let matches_missing = regex.is_match("");
        let (mut matching, mut having) = (Bitmap::new(), Bitmap::new());
        self.visit_values(measurement, key, |value, series| {
            let is_match = regex.is_match(value);
            if is_match || matches_missing {
                let series = series()?;
                if is_match {
                    matching.or_inplace(&series);
                }
                having.or_inplace(&series);
            }
            Ok(true)
        })?;
        if matches_missing {
            matching.or_inplace(&self.all(measurement)?.andnot(&having));
        }
        Ok(matching)
    }
}
