//! Columns: decoded values of one field over a run of rows, as chunks and memtables give them.

use super::series::FieldId;
use super::time::Timestamp;

/// Rows of one series: timestamps strictly ascending, and a column per asked field.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    /// Strictly ascending.
    pub timestamps: Vec<Timestamp>,
    /// One per asked field, in the order asked; each as long as `timestamps`.
    pub columns: Vec<Column>,
}

/// Values of one field. Row `i` has a value when `validity` is `None` or its bit `i` is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The field.
    pub field: FieldId,
    /// A value per row; rows without a value hold the type's default.
    pub values: Values,
    /// `None`: every row has a value.
    pub validity: Option<Bitmap>,
}

/// Values of one type.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
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
    /// The series has no such field here: every row is missing.
    Missing(usize),
}

impl Values {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Values::Float(v) => v.len(),
            Values::Integer(v) => v.len(),
            Values::Unsigned(v) => v.len(),
            Values::Boolean(v) => v.len(),
            Values::String { offsets, .. } => offsets.len().saturating_sub(1),
            Values::Missing(n) => *n,
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A bit per row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// `len` bits, all set or all clear.
    pub fn filled(len: usize, set: bool) -> Self {
        let mut bitmap = Bitmap { words: vec![if set { !0 } else { 0 }; len.div_ceil(64)], len };
        bitmap.clear_tail();
        bitmap
    }

    fn clear_tail(&mut self) {
        if let Some(last) = self.words.last_mut()
            && self.len % 64 != 0
        {
            *last &= (1 << (self.len % 64)) - 1;
        }
    }

    /// Number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bit `index`.
    pub fn get(&self, index: usize) -> bool {
        assert!(index < self.len, "bit outside the bitmap");
        self.words[index / 64] >> (index % 64) & 1 == 1
    }

    /// Sets bit `index` to `set`.
    pub fn set(&mut self, index: usize, set: bool) {
        assert!(index < self.len, "bit outside the bitmap");
        let mask = 1 << (index % 64);
        if set {
            self.words[index / 64] |= mask;
        } else {
            self.words[index / 64] &= !mask;
        }
    }

    /// Appends a bit.
    pub fn push(&mut self, set: bool) {
        if self.len % 64 == 0 {
            self.words.push(0);
        }
        self.len += 1;
        self.set(self.len - 1, set);
    }

    /// Number of set bits.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// The bits, 64 to a word, lowest first; bits past the end are clear.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// A bitmap of `len` bits from words; bits past the end are dropped.
    ///
    /// # Panics
    /// When `words` is not exactly as long as `len` bits need.
    pub fn from_words(words: Vec<u64>, len: usize) -> Self {
        assert_eq!(words.len(), len.div_ceil(64), "words do not match the length");
        let mut bitmap = Bitmap { words, len };
        bitmap.clear_tail();
        bitmap
    }
}
