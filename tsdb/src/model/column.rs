//! Columns: decoded values of one field over a run of rows, as chunks and memtables give them.

use std::ops::Range;

use super::series::FieldId;
use super::time::Timestamp;
use super::value::FieldType;

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

impl Columns {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.timestamps.len()
    }

    /// A copy of some of the rows, all columns.
    pub fn slice(&self, rows: Range<usize>) -> Columns {
        Columns {
            timestamps: self.timestamps[rows.clone()].to_vec(),
            columns: self.columns.iter().map(|c| c.slice(rows.clone())).collect(),
        }
    }

    /// A copy of the rows in `runs`, which ascend and do not overlap.
    pub fn keep(&self, runs: &[Range<usize>]) -> Columns {
        let kept = runs.iter().flat_map(|run| &self.timestamps[run.clone()]);
        Columns {
            timestamps: kept.copied().collect(),
            columns: self.columns.iter().map(|column| column.keep(runs)).collect(),
        }
    }
}

impl Column {
    /// A column of no known type without a value in any of `rows` rows.
    pub fn missing(field: FieldId, rows: usize) -> Column {
        Column { field, values: Values::Missing(rows), validity: None }
    }

    /// Whether row `row` has a value.
    pub fn is_valid(&self, row: usize) -> bool {
        !matches!(self.values, Values::Missing(_))
            && self.validity.as_ref().is_none_or(|bitmap| bitmap.get(row))
    }

    /// Number of rows that have a value.
    pub fn count(&self) -> usize {
        match (&self.values, &self.validity) {
            (Values::Missing(_), _) => 0,
            (values, None) => values.len(),
            (_, Some(bitmap)) => bitmap.count(),
        }
    }

    /// A copy of some of the rows.
    pub fn slice(&self, rows: Range<usize>) -> Column {
        Column {
            field: self.field,
            values: self.values.slice(rows.clone()),
            validity: self.validity.as_ref().map(|bitmap| bitmap.slice(rows)),
        }
    }

    /// A copy of the rows in `runs`, which ascend and do not overlap.
    fn keep(&self, runs: &[Range<usize>]) -> Column {
        let validity = self.validity.as_ref().map(|bitmap| {
            let mut kept = Bitmap::default();
            runs.iter().cloned().flatten().for_each(|row| kept.push(bitmap.get(row)));
            kept
        });
        Column { field: self.field, values: self.values.keep(runs), validity }
    }

    /// Takes the values of the rows in `runs`, which ascend and do not overlap. A column that is
    /// left without any becomes a missing one.
    pub fn clear(&mut self, runs: &[Range<usize>]) {
        let rows = self.values.len();
        if matches!(self.values, Values::Missing(_)) {
            return;
        }
        let validity = self.validity.get_or_insert_with(|| Bitmap::filled(rows, true));
        runs.iter().cloned().flatten().for_each(|row| validity.set(row, false));
        match validity.count() {
            0 => *self = Column::missing(self.field, rows),
            _ => self.values.clear(runs),
        }
    }
}

impl Values {
    /// `rows` defaults of a type: zero, false, the empty string.
    pub fn defaults(field_type: FieldType, rows: usize) -> Values {
        match field_type {
            FieldType::Float => Values::Float(vec![0.0; rows]),
            FieldType::Integer => Values::Integer(vec![0; rows]),
            FieldType::Unsigned => Values::Unsigned(vec![0; rows]),
            FieldType::Boolean => Values::Boolean(vec![false; rows]),
            FieldType::String => Values::String { offsets: vec![0; rows + 1], bytes: Vec::new() },
        }
    }

    /// The type, unless every row is missing.
    pub fn field_type(&self) -> Option<FieldType> {
        match self {
            Values::Float(_) => Some(FieldType::Float),
            Values::Integer(_) => Some(FieldType::Integer),
            Values::Unsigned(_) => Some(FieldType::Unsigned),
            Values::Boolean(_) => Some(FieldType::Boolean),
            Values::String { .. } => Some(FieldType::String),
            Values::Missing(_) => None,
        }
    }

    /// A copy of some of the rows.
    pub fn slice(&self, rows: Range<usize>) -> Values {
        match self {
            Values::Float(v) => Values::Float(v[rows].to_vec()),
            Values::Integer(v) => Values::Integer(v[rows].to_vec()),
            Values::Unsigned(v) => Values::Unsigned(v[rows].to_vec()),
            Values::Boolean(v) => Values::Boolean(v[rows].to_vec()),
            Values::String { offsets, bytes } => {
                let cuts = &offsets[rows.start..=rows.end];
                let (start, end) = (cuts[0], cuts[cuts.len() - 1]);
                Values::String {
                    offsets: cuts.iter().map(|cut| cut - start).collect(),
                    bytes: bytes[start as usize..end as usize].to_vec(),
                }
            }
            Values::Missing(n) => {
                assert!(rows.start <= rows.end && rows.end <= *n, "rows outside the column");
                Values::Missing(rows.len())
            }
        }
    }

    fn keep(&self, runs: &[Range<usize>]) -> Values {
        fn fixed<T: Copy>(values: &[T], runs: &[Range<usize>]) -> Vec<T> {
            runs.iter().flat_map(|run| &values[run.clone()]).copied().collect()
        }
        match self {
            Values::Float(v) => Values::Float(fixed(v, runs)),
            Values::Integer(v) => Values::Integer(fixed(v, runs)),
            Values::Unsigned(v) => Values::Unsigned(fixed(v, runs)),
            Values::Boolean(v) => Values::Boolean(fixed(v, runs)),
            Values::String { offsets, bytes } => {
                let (mut kept_offsets, mut kept) = (vec![0], Vec::new());
                for row in runs.iter().cloned().flatten() {
                    kept.extend_from_slice(
                        &bytes[offsets[row] as usize..offsets[row + 1] as usize],
                    );
                    kept_offsets.push(kept.len() as u32);
                }
                Values::String { offsets: kept_offsets, bytes: kept }
            }
            Values::Missing(_) => Values::Missing(runs.iter().map(Range::len).sum()),
        }
    }

    /// Gives the rows in `runs` the default of the type.
    fn clear(&mut self, runs: &[Range<usize>]) {
        let runs = runs.iter().cloned();
        match self {
            Values::Float(v) => runs.for_each(|run| v[run].fill(0.0)),
            Values::Integer(v) => runs.for_each(|run| v[run].fill(0)),
            Values::Unsigned(v) => runs.for_each(|run| v[run].fill(0)),
            Values::Boolean(v) => runs.for_each(|run| v[run].fill(false)),
            Values::String { offsets, bytes } => {
                // From the back, so that earlier places stay where they are.
                for run in runs.rev() {
                    let (start, end) = (offsets[run.start], offsets[run.end]);
                    bytes.drain(start as usize..end as usize);
                    offsets[run.start..=run.end].fill(start);
                    offsets[run.end + 1..].iter_mut().for_each(|offset| *offset -= end - start);
                }
            }
            Values::Missing(_) => {}
        }
    }

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
            && !self.len.is_multiple_of(64)
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
        if self.len.is_multiple_of(64) {
            self.words.push(0);
        }
        self.len += 1;
        self.set(self.len - 1, set);
    }

    /// A copy of some of the bits.
    pub fn slice(&self, bits: Range<usize>) -> Bitmap {
        assert!(bits.start <= bits.end && bits.end <= self.len, "bits outside the bitmap");
        let (word, shift) = (bits.start / 64, bits.start % 64);
        let words = (word..word + bits.len().div_ceil(64))
            .map(|at| {
                let high = self.words.get(at + 1).copied().unwrap_or(0);
                // Two steps, as a shift by 64 is none.
                self.words[at] >> shift | (high << 1) << (63 - shift)
            })
            .collect();
        Bitmap::from_words(words, bits.len())
    }

    /// Number of set bits.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Number of set bits before `index`, which may be the length.
    pub fn count_before(&self, index: usize) -> usize {
        assert!(index <= self.len, "bit outside the bitmap");
        let whole: u32 = self.words[..index / 64].iter().map(|word| word.count_ones()).sum();
        let part = match index % 64 {
            0 => 0,
            bits => (self.words[index / 64] & ((1 << bits) - 1)).count_ones(),
        };
        (whole + part) as usize
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
