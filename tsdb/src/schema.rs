//! The schema: what measurements a database has, their fields with types, their tag keys.

use crate::model::{FieldId, FieldType, MeasurementId};

/// What is known of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasurementInfo {
    /// Its number.
    pub id: MeasurementId,
    /// Its name.
    pub name: String,
    /// Fields in the order of their numbers.
    pub fields: Vec<FieldInfo>,
    /// Tag keys, sorted.
    pub tag_keys: Vec<String>,
}

/// A field of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldInfo {
    /// Key.
    pub name: String,
    /// Its number within the measurement.
    pub id: FieldId,
    /// Type, fixed at the first write.
    pub field_type: FieldType,
}

impl MeasurementInfo {
    /// The field of key `name`.
    pub fn field(&self, name: &str) -> Option<&FieldInfo> {
        self.fields.iter().find(|field| field.name == name)
    }
}
