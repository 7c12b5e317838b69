//! Field types and single values.

use std::borrow::Cow;

/// Type of a field; fixed per measurement and field at its first write. The numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum FieldType {
    /// 64-bit float.
    Float = 1,
    /// 64-bit signed integer.
    Integer = 2,
    /// 64-bit unsigned integer.
    Unsigned = 3,
    /// True or false.
    Boolean = 4,
    /// UTF-8 text.
    String = 5,
}

impl FieldType {
    /// The type stored as `byte`.
    pub fn from_byte(byte: u8) -> Option<FieldType> {
        use FieldType::*;
        [Float, Integer, Unsigned, Boolean, String].into_iter().find(|t| *t as u8 == byte)
    }

    /// The word InfluxDB uses: `float integer unsigned boolean string`.
    pub fn name(self) -> &'static str {
        match self {
            FieldType::Float => "float",
            FieldType::Integer => "integer",
            FieldType::Unsigned => "unsigned",
            FieldType::Boolean => "boolean",
            FieldType::String => "string",
        }
    }
}

/// One value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue<'a> {
    /// 64-bit float; line protocol cannot carry NaN, other protocols can.
    Float(f64),
    /// 64-bit signed integer.
    Integer(i64),
    /// 64-bit unsigned integer.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
    /// UTF-8 text; borrowed from the request unless it had escapes.
    String(Cow<'a, str>),
}

impl FieldValue<'_> {
    /// The type of the value.
    pub fn field_type(&self) -> FieldType {
        match self {
            FieldValue::Float(_) => FieldType::Float,
            FieldValue::Integer(_) => FieldType::Integer,
            FieldValue::Unsigned(_) => FieldType::Unsigned,
            FieldValue::Boolean(_) => FieldType::Boolean,
            FieldValue::String(_) => FieldType::String,
        }
    }
}
