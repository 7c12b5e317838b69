//! Numbers of the derived fields of a rollup row: sixteen to a field, one per part.
//!
//! ```text
//! derived field := field x 16 + part
//!
//! part       float    integer          unsigned         boolean       string
//! Count      Integer  Integer          Integer          Integer       Integer
//! Sum        Float    Integer, low 64  Unsigned, low 64 Integer trues
//! Min, Max   Float    Integer          Unsigned
//! First,Last Float    Integer          Unsigned         Boolean       String
//! FirstAt, LastAt     Integer: nanoseconds from the bucket's start, for all types
//! SumHigh             Integer, high 64 Integer, high 64
//! ```
//!
//! `SumHigh` is there only where it is not what the low half says: its sign extension, or zero of
//! unsigned ones. Where the count is missing or 0 the other parts mean nothing. Float sums are
//! added in the order of time; a bucket of a coarser level adds the sums of the finer one's.

use crate::model::{FieldId, FieldType};

/// What a derived field holds of a field; the numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Part {
    /// Number of values.
    Count = 0,
    /// Their sum; of integers the low 64 bits; of booleans the number of `true`.
    Sum = 1,
    /// Smallest value.
    Min = 2,
    /// Largest value.
    Max = 3,
    /// Earliest value.
    First = 4,
    /// Latest value.
    Last = 5,
    /// When the earliest value was, from the bucket's start.
    FirstAt = 6,
    /// When the latest value was, from the bucket's start.
    LastAt = 7,
    /// High 64 bits of an integer sum, where they are not told by the low ones.
    SumHigh = 8,
}

impl Part {
    /// All parts in the order of their numbers.
    pub const ALL: [Part; 9] = [
        Part::Count,
        Part::Sum,
        Part::Min,
        Part::Max,
        Part::First,
        Part::Last,
        Part::FirstAt,
        Part::LastAt,
        Part::SumHigh,
    ];

    /// The type of this part of a field; `None`: fields of this type have no such part.
    pub fn type_of(self, field_type: FieldType) -> Option<FieldType> {
        use FieldType::*;
        match (self, field_type) {
            (Part::Count | Part::FirstAt | Part::LastAt, _) => Some(Integer),
            (Part::First | Part::Last, of) => Some(of),
            (Part::Sum | Part::Min | Part::Max, of @ (Float | Integer | Unsigned)) => Some(of),
            (Part::SumHigh, Integer | Unsigned) | (Part::Sum, Boolean) => Some(Integer),
            _ => None,
        }
    }
}

/// The derived field that holds `part` of `field`.
pub fn id(field: FieldId, part: Part) -> FieldId {
    FieldId(field.0 * 16 + part as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_numbers_are_distinct_and_ascend_with_fields_and_parts() {
        let mut last = None;
        for field in [0, 1, 2, u32::from(u16::MAX)] {
            for part in Part::ALL {
                let derived = id(FieldId(field), part);
                assert!(last < Some(derived), "{field} {part:?}");
                last = Some(derived);
            }
        }
    }
}
