//! A column of an answer: typed values, some of them missing.

use std::sync::Arc;

use firndb_tsdb::model::Bitmap;

/// Values of one output column. Row `i` has one when `validity` is `None` or its bit `i` is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector {
    /// A value per row; rows without one hold anything.
    pub data: Data,
    /// `None`: every row has a value.
    pub validity: Option<Bitmap>,
}

/// Values of one type.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// 64-bit floats.
    Float(Vec<f64>),
    /// 64-bit signed integers.
    Integer(Vec<i64>),
    /// 64-bit unsigned integers.
    Unsigned(Vec<u64>),
    /// Truth values.
    Boolean(Vec<bool>),
    /// Text: `offsets[i]..offsets[i + 1]` of `bytes` is row `i`; valid UTF-8 at those cuts.
    String {
        /// One more than there are rows.
        offsets: Vec<u32>,
        /// All rows, one after another.
        bytes: Vec<u8>,
    },
    /// Tag values: row `i` is `words[codes[i]]`. A writer escapes each word once.
    Tag {
        /// Index into `words`, per row.
        codes: Vec<u32>,
        /// The different values; the same `Arc` in all parts of an answer.
        words: Arc<[String]>,
    },
    /// Every row is missing.
    Missing(usize),
}

impl Vector {
    /// A column with a value in every row.
    pub fn full(data: Data) -> Vector {
        Vector { data, validity: None }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Float(v) => v.len(),
            Data::Integer(v) => v.len(),
            Data::Unsigned(v) => v.len(),
            Data::Boolean(v) => v.len(),
            Data::String { offsets, .. } => offsets.len().saturating_sub(1),
            Data::Tag { codes, .. } => codes.len(),
            Data::Missing(n) => *n,
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether row `row` has a value.
    pub fn is_valid(&self, row: usize) -> bool {
        !matches!(self.data, Data::Missing(_)) && self.validity.as_ref().is_none_or(|v| v.get(row))
    }

    /// Appends the rows of `more`.
    pub fn append(&mut self, _more: &Vector) {
        todo!("Vector::append")
    }
}
