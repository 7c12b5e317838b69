//! Names become numbers: series, measurements, fields.

/// Number of a series within its database; dense, never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct SeriesId(pub u32);

/// Number of a measurement within its database; dense, never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct MeasurementId(pub u32);

/// Number of a field within its measurement; dense, never reused. Those of users fit 16 bits, the
/// rest is for what is derived from them ([`crate::rollup::column`]).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct FieldId(pub u32);

/// A series that the database already knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesRef {
    /// The series.
    pub series: SeriesId,
    /// Its measurement.
    pub measurement: MeasurementId,
}

/// Tags of a series: pairs sorted by key, keys distinct, values not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagSet(Vec<(String, String)>);

impl TagSet {
    /// Sorts the pairs. The caller has refused duplicate keys and empty values.
    pub fn new(mut pairs: Vec<(String, String)>) -> Self {
        pairs.sort();
        debug_assert!(pairs.windows(2).all(|w| w[0].0 != w[1].0), "duplicate tag key");
        TagSet(pairs)
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// Pairs in key order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
