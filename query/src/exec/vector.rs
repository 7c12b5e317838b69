//! A column of an answer: typed values, some of them missing.

use std::sync::Arc;

use firndb_tsdb::model::{Bitmap, Column, Values};

use super::mask;

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

/// One value of a vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Missing,
    /// 64-bit float.
    Float(f64),
    /// 64-bit signed integer.
    Integer(i64),
    /// 64-bit unsigned integer.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
    /// Text of a field or a tag.
    String(&'a str),
}

impl From<Column> for Vector {
    fn from(column: Column) -> Vector {
        let data = match column.values {
            Values::Float(v) => Data::Float(v),
            Values::Integer(v) => Data::Integer(v),
            Values::Unsigned(v) => Data::Unsigned(v),
            Values::Boolean(v) => Data::Boolean(v),
            Values::String { offsets, bytes } => Data::String { offsets, bytes },
            Values::Missing(n) => Data::Missing(n),
        };
        Vector { data, validity: column.validity }
    }
}

impl Vector {
    /// A column with a value in every row.
    pub fn full(data: Data) -> Vector {
        Vector { data, validity: None }
    }

    /// A column without a value.
    pub fn missing(rows: usize) -> Vector {
        Vector { data: Data::Missing(rows), validity: None }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether row `row` has a value.
    pub fn is_valid(&self, row: usize) -> bool {
        !matches!(self.data, Data::Missing(_)) && self.validity.as_ref().is_none_or(|v| v.get(row))
    }

    /// The value of row `row`; for tests and small answers.
    pub fn cell(&self, row: usize) -> Cell<'_> {
        if !self.is_valid(row) {
            return Cell::Missing;
        }
        match &self.data {
            Data::Float(v) => Cell::Float(v[row]),
            Data::Integer(v) => Cell::Integer(v[row]),
            Data::Unsigned(v) => Cell::Unsigned(v[row]),
            Data::Boolean(v) => Cell::Boolean(v[row]),
            Data::String { offsets, bytes } => {
                let text = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
                std::str::from_utf8(text).map_or(Cell::Missing, Cell::String)
            }
            Data::Tag { codes, words } => Cell::String(&words[codes[row] as usize]),
            Data::Missing(_) => Cell::Missing,
        }
    }

    /// Which rows have a value; `None`: all.
    pub fn mask(&self) -> Option<Bitmap> {
        match self.data {
            Data::Missing(n) => Some(Bitmap::filled(n, false)),
            _ => self.validity.clone(),
        }
    }

    /// Rows `start..end`.
    pub fn slice(&self, start: usize, end: usize) -> Vector {
        if start == 0 && end == self.len() {
            return self.clone();
        }
        let rows: Vec<u32> = (start as u32..end as u32).collect();
        self.take(&rows)
    }

    /// These rows, in this order.
    pub fn take(&self, rows: &[u32]) -> Vector {
        let at = |row: &u32| *row as usize;
        let data = match &self.data {
            Data::Float(v) => Data::Float(rows.iter().map(|r| v[at(r)]).collect()),
            Data::Integer(v) => Data::Integer(rows.iter().map(|r| v[at(r)]).collect()),
            Data::Unsigned(v) => Data::Unsigned(rows.iter().map(|r| v[at(r)]).collect()),
            Data::Boolean(v) => Data::Boolean(rows.iter().map(|r| v[at(r)]).collect()),
            Data::String { offsets, bytes } => {
                let mut out = TextBuilder::default();
                for row in rows {
                    out.push(&bytes[offsets[at(row)] as usize..offsets[at(row) + 1] as usize]);
                }
                out.finish()
            }
            Data::Tag { codes, words } => Data::Tag {
                codes: rows.iter().map(|r| codes[at(r)]).collect(),
                words: words.clone(),
            },
            Data::Missing(_) => Data::Missing(rows.len()),
        };
        let validity = self
            .validity
            .as_ref()
            .map(|bits| mask::from_fn(rows.len(), |i| bits.get(at(&rows[i]))));
        Vector { data, validity }
    }

    /// Appends the rows of `more`, which is of the same type or missing throughout.
    pub fn append(&mut self, more: &Vector) {
        let (rows, added) = (self.len(), more.len());
        if self.validity.is_some() || more.validity.is_some() || self.differs_in_missing(more) {
            let mut bits = self.mask().unwrap_or_else(|| Bitmap::filled(rows, true));
            (0..added).for_each(|row| bits.push(more.is_valid(row)));
            self.validity = Some(bits);
        }
        if let (Data::Missing(n), false) = (&self.data, matches!(more.data, Data::Missing(_))) {
            self.data = more.data.defaults(*n);
        }
        self.data.append(&more.data);
    }

    fn differs_in_missing(&self, more: &Vector) -> bool {
        matches!(self.data, Data::Missing(_)) != matches!(more.data, Data::Missing(_))
    }

    /// Bytes held, near enough for the budget.
    pub fn memory_bytes(&self) -> usize {
        self.data.memory_bytes() + self.len() / 8
    }
}

impl Data {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
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

    /// `n` rows of this type that hold nothing in particular.
    pub fn defaults(&self, n: usize) -> Data {
        match self {
            Data::Float(_) => Data::Float(vec![0.0; n]),
            Data::Integer(_) => Data::Integer(vec![0; n]),
            Data::Unsigned(_) => Data::Unsigned(vec![0; n]),
            Data::Boolean(_) => Data::Boolean(vec![false; n]),
            Data::String { .. } => Data::String { offsets: vec![0; n + 1], bytes: Vec::new() },
            Data::Tag { words, .. } => Data::Tag { codes: vec![0; n], words: words.clone() },
            Data::Missing(_) => Data::Missing(n),
        }
    }

    /// Appends rows of the same type, or missing ones (whose values are then anything).
    fn append(&mut self, more: &Data) {
        let filler = match more {
            Data::Missing(n) if !matches!(self, Data::Missing(_)) => Some(self.defaults(*n)),
            _ => None,
        };
        match (self, filler.as_ref().unwrap_or(more)) {
            (Data::Float(a), Data::Float(b)) => a.extend_from_slice(b),
            (Data::Integer(a), Data::Integer(b)) => a.extend_from_slice(b),
            (Data::Unsigned(a), Data::Unsigned(b)) => a.extend_from_slice(b),
            (Data::Boolean(a), Data::Boolean(b)) => a.extend_from_slice(b),
            (Data::Tag { codes: a, .. }, Data::Tag { codes: b, .. }) => a.extend_from_slice(b),
            (
                Data::String { offsets: a, bytes },
                Data::String { offsets: b, bytes: more_bytes },
            ) => {
                let base = bytes.len() as u32;
                a.extend(b.iter().skip(1).map(|offset| base + offset));
                bytes.extend_from_slice(more_bytes);
            }
            (Data::Missing(a), Data::Missing(b)) => *a += b,
            _ => panic!("parts of one column are of one type"),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Data::Float(v) => v.len() * 8,
            Data::Integer(v) => v.len() * 8,
            Data::Unsigned(v) => v.len() * 8,
            Data::Boolean(v) => v.len(),
            Data::String { offsets, bytes } => offsets.len() * 4 + bytes.len(),
            Data::Tag { codes, .. } => codes.len() * 4,
            Data::Missing(_) => 0,
        }
    }
}

/// Builds a text column row by row.
#[derive(Debug)]
pub struct TextBuilder {
    offsets: Vec<u32>,
    bytes: Vec<u8>,
}

impl Default for TextBuilder {
    fn default() -> Self {
        TextBuilder { offsets: vec![0], bytes: Vec::new() }
    }
}

impl TextBuilder {
    /// Appends a row.
    ///
    /// # Panics
    /// When the column passes 4 GiB; parts of answers are bounded far below.
    pub fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.offsets.push(u32::try_from(self.bytes.len()).expect("parts are below 4 GiB"));
    }

    /// The column.
    pub fn finish(self) -> Data {
        Data::String { offsets: self.offsets, bytes: self.bytes }
    }
}
