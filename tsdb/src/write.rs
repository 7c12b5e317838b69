//! The write stage: what became of the points of a request, in the words clients know.
//!
//! Modules in order; each may use those above it: `rows` (rows into payloads), `registration`
//! (what is new), `writer` (point by point).

mod registration;
mod rows;
mod writer;

use std::fmt;

use crate::model::FieldType;

/// What became of the points of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteSummary {
    /// Points stored.
    pub written: u64,
    /// Points dropped, in input order, each with its reason.
    pub refused: Vec<Refusal>,
    /// Points stored without a field that cannot be one (`time`), in input order.
    pub stripped: Vec<Refusal>,
}

/// A point that was not taken as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Line of the request, from 1.
    pub line: u32,
    /// Why; `Display` is the text that clients know.
    pub reason: RefusalReason,
}

/// Why a point was not taken as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The field has another type.
    FieldTypeConflict {
        /// Measurement of the point.
        measurement: Box<str>,
        /// Key of the field.
        field: Box<str>,
        /// Type of the value given.
        given: FieldType,
        /// Type of the field.
        existing: FieldType,
    },
    /// `time` is the only field: the point is dropped.
    TimeField {
        /// Measurement of the point.
        measurement: Box<str>,
    },
    /// `time` is one of several fields: the point is stored without it.
    TimeFieldStripped {
        /// Measurement of the point.
        measurement: Box<str>,
    },
    /// A tag key with a meaning of its own: `time`, `_field`, `_measurement`.
    TagKey {
        /// Measurement of the point.
        measurement: Box<str>,
        /// Key of the tag.
        tag: Box<str>,
    },
    /// Series key (with field key) beyond [`crate::limits::KEY_BYTES_MAX`].
    KeyLength {
        /// Bytes.
        got: usize,
    },
    /// A string beyond [`crate::limits::Limits::string_bytes_max`].
    StringLength {
        /// Measurement of the point.
        measurement: Box<str>,
        /// Key of the field.
        field: Box<str>,
        /// Bytes.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// Older than the retention policy keeps points.
    BeyondRetention,
    /// One of the timestamps that are reserved.
    TimeRange,
    /// A new series beyond [`crate::limits::Limits::series_max`].
    SeriesLimit {
        /// The database.
        database: Box<str>,
        /// The limit.
        limit: u64,
        /// Series the database has.
        series: u64,
        /// New series asked for.
        keys: u64,
    },
    /// A new value beyond [`crate::limits::Limits::values_per_tag_max`].
    TagValuesLimit {
        /// Measurement of the point.
        measurement: Box<str>,
        /// Key of the tag.
        tag: Box<str>,
        /// The new value.
        value: Box<str>,
        /// Values the key has.
        values: u64,
        /// The limit.
        limit: u64,
    },
    /// A new field beyond [`crate::limits::Limits::fields_per_measurement_max`].
    FieldsLimit {
        /// Measurement of the point.
        measurement: Box<str>,
        /// Key of the new field.
        field: Box<str>,
        /// Fields the measurement has.
        fields: usize,
        /// The limit.
        limit: usize,
    },
    /// A new measurement or field beyond the memory that descriptions of them may take.
    SchemaMemory {
        /// Measurement of the point.
        measurement: Box<str>,
        /// Key of the new field.
        field: Box<str>,
    },
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use RefusalReason::*;
        match self {
            FieldTypeConflict { measurement, field, given, existing } => write!(
                f,
                "field type conflict: input field \"{field}\" on measurement \"{measurement}\" \
                 is type {}, already exists as type {}",
                given.name(),
                existing.name()
            ),
            TimeField { measurement } => write!(
                f,
                "invalid field name: input field \"time\" on measurement \"{measurement}\" \
                 is invalid"
            ),
            TimeFieldStripped { measurement } => write!(
                f,
                "invalid field name: input field \"time\" on measurement \"{measurement}\" \
                 is invalid. Field \"time\" has been stripped from point."
            ),
            TagKey { measurement, tag } => write!(
                f,
                "invalid tag key: input tag \"{tag}\" on measurement \"{measurement}\" is invalid"
            ),
            KeyLength { got } => {
                write!(f, "max key length exceeded: {got} > {}", crate::limits::KEY_BYTES_MAX)
            }
            StringLength { measurement, field, got, limit } => write!(
                f,
                "input field \"{field}\" on measurement \"{measurement}\" is too long, \
                 {got} > {limit}"
            ),
            BeyondRetention => f.write_str("points beyond retention policy"),
            TimeRange => {
                f.write_str("time outside range -9223372036854775806 - 9223372036854775806")
            }
            SeriesLimit { database, limit, series, keys } => write!(
                f,
                "max-series-per-database exceeded database={database} limit={limit} \
                 series={series} keys={keys}"
            ),
            TagValuesLimit { measurement, tag, value, values, limit } => write!(
                f,
                "max-values-per-tag limit exceeded ({values}/{limit}): \
                 measurement=\"{measurement}\" tag=\"{tag}\" value=\"{value}\""
            ),
            SchemaMemory { measurement, field } => write!(
                f,
                "no memory for the new field \"{field}\" of measurement \"{measurement}\": \
                 names of measurements and fields take all that memory.limit allows them"
            ),
            FieldsLimit { measurement, field, fields, limit } => write!(
                f,
                "max-fields-per-measurement limit exceeded ({fields}/{limit}): \
                 measurement=\"{measurement}\" field=\"{field}\""
            ),
        }
    }
}
