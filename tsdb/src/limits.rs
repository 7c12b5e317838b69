//! Limits of what a database takes in; each exists, has a unit and can be configured.

/// Longest series key (measurement and tags as written), and longest series key + 4 + field key,
/// in bytes. The limit of InfluxDB 1.x; also what fits the two-byte lengths of its clients.
pub const KEY_BYTES_MAX: usize = 65_535;

/// Limits of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest string field value in bytes. 1 MiB as InfluxDB 1.12.
    pub string_bytes_max: usize,
    /// Most series per database; `None`: no limit. Points of known series are always taken.
    pub series_max: Option<u64>,
    /// Most distinct values per tag key of a measurement; `None`: no limit.
    pub values_per_tag_max: Option<u64>,
    /// Most fields per measurement. Field numbers have 16 bits; a data set that comes near has
    /// put data into field keys.
    pub fields_per_measurement_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            string_bytes_max: 1 << 20,
            series_max: None,
            values_per_tag_max: None,
            fields_per_measurement_max: 32_768,
        }
    }
}
