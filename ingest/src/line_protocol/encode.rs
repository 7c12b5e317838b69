//! Point to line: for export and the command line.
//!
//! Only forms that every reader of line protocol takes are written; what no line can carry is
//! refused, so that everything written reads back as the same point.

use firndb_tsdb::model::time::{TIMESTAMP_MAX, TIMESTAMP_MIN};
use firndb_tsdb::model::{FieldValue, Timestamp};

use super::escape::{escape_measurement, escape_name, escape_string};

/// A point that no line can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Empty, with a LF or CR at a bad place, ending in a backslash, or taken for a comment.
    #[error("line protocol cannot carry the {what} {name:?}")]
    Name {
        /// `measurement`, `tag key`, `tag value` or `field key`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// NaN and infinities have no text form.
    #[error("line protocol cannot carry the float {value} of field {field:?}")]
    Float {
        /// Key of the field.
        field: String,
        /// `NaN`, `inf` or `-inf`.
        value: String,
    },
    /// A point needs a field.
    #[error("a point without fields cannot be written")]
    NoFields,
    /// One of the three reserved timestamps.
    #[error("timestamp {0} is reserved")]
    Timestamp(Timestamp),
}

/// Appends the point as a line with its LF, the timestamp in nanoseconds. Tags are written in the
/// order given. After an error `out` is as before.
pub fn encode<'a>(
    measurement: &str,
    tags: impl IntoIterator<Item = (&'a str, &'a str)>,
    fields: impl IntoIterator<Item = (&'a str, FieldValue<'a>)>,
    timestamp: Timestamp,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let before = out.len();
    let outcome = encode_onto(measurement, tags, fields, timestamp, out);
    if outcome.is_err() {
        out.truncate(before);
    }
    outcome
}

fn encode_onto<'a>(
    measurement: &str,
    tags: impl IntoIterator<Item = (&'a str, &'a str)>,
    fields: impl IntoIterator<Item = (&'a str, FieldValue<'a>)>,
    timestamp: Timestamp,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    check_name("measurement", measurement)?;
    if measurement.starts_with(['#', '\t', '\0']) {
        // A comment, a blank that readers skip, and a byte they refuse.
        return Err(EncodeError::Name { what: "measurement", name: measurement.to_owned() });
    }
    escape_measurement(measurement, out);
    for (key, value) in tags {
        check_name("tag key", key)?;
        check_name("tag value", value)?;
        out.push(b',');
        escape_name(key, out);
        out.push(b'=');
        escape_name(value, out);
    }
    let mut separator = b' ';
    for (key, value) in fields {
        check_name("field key", key)?;
        out.push(separator);
        escape_name(key, out);
        out.push(b'=');
        encode_value(key, &value, out)?;
        separator = b',';
    }
    if separator == b' ' {
        return Err(EncodeError::NoFields);
    }
    if !(TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&timestamp) {
        return Err(EncodeError::Timestamp(timestamp));
    }
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(timestamp).as_bytes());
    out.push(b'\n');
    Ok(())
}

fn check_name(what: &'static str, name: &str) -> Result<(), EncodeError> {
    if name.is_empty() || name.contains('\n') || name.ends_with('\\') {
        return Err(EncodeError::Name { what, name: name.to_owned() });
    }
    Ok(())
}

fn encode_value(key: &str, value: &FieldValue<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match value {
        FieldValue::Float(value) if !value.is_finite() => {
            return Err(EncodeError::Float { field: key.to_owned(), value: value.to_string() });
        }
        FieldValue::Float(value) => {
            out.extend_from_slice(ryu::Buffer::new().format_finite(*value).as_bytes());
        }
        FieldValue::Integer(value) => {
            out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes());
            out.push(b'i');
        }
        FieldValue::Unsigned(value) => {
            out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes());
            out.push(b'u');
        }
        FieldValue::Boolean(value) => out.push(if *value { b't' } else { b'f' }),
        FieldValue::String(value) => escape_string(value, out),
    }
    Ok(())
}
