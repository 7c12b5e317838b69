//! Columns to Arrow: with [`crate::export`] the only place that knows Arrow's types.
//!
//! ```text
//! time                 timestamp, UTC, microseconds or nanoseconds
//! tag                  dictionary of int32 to utf8; missing tags are null
//! field                float64 | int64 | uint64 | boolean | utf8
//! ```
//!
//! Microseconds are the rule because many readers know nothing finer (Spark and Sail refuse
//! files with nanoseconds); nanoseconds are used where a timestamp has some, and the schema says
//! so: key `firndb.time_unit`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use firndb_tsdb::model::{Bitmap, FieldType, Timestamp};

use crate::error::{Error, Result};
use crate::exec::{Data, Vector};

/// Metadata key that names the unit of `time`.
pub const TIME_UNIT_KEY: &str = "firndb.time_unit";

/// Unit of the `time` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Every timestamp is a whole microsecond.
    Microsecond,
    /// Some are not.
    Nanosecond,
}

impl Unit {
    /// The coarsest unit that holds all of `times`.
    pub fn of(times: &[Timestamp]) -> Unit {
        // One accumulator of remainders, no early exit: the compiler vectorises nothing with one.
        match times.iter().any(|time| time % 1000 != 0) {
            true => Unit::Nanosecond,
            false => Unit::Microsecond,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Unit::Microsecond => "us",
            Unit::Nanosecond => "ns",
        }
    }

    fn data_type(self) -> DataType {
        let unit = match self {
            Unit::Microsecond => TimeUnit::Microsecond,
            Unit::Nanosecond => TimeUnit::Nanosecond,
        };
        DataType::Timestamp(unit, Some("UTC".into()))
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Values of a tag.
    Tag,
    /// Values of a field.
    Field(FieldType),
}

impl Kind {
    /// The kind of a column of an answer; `None` when it has no value at all.
    pub fn of(column: &Vector) -> Option<Kind> {
        Some(match column.data {
            Data::Float(_) => Kind::Field(FieldType::Float),
            Data::Integer(_) => Kind::Field(FieldType::Integer),
            Data::Unsigned(_) => Kind::Field(FieldType::Unsigned),
            Data::Boolean(_) => Kind::Field(FieldType::Boolean),
            Data::String { .. } => Kind::Field(FieldType::String),
            Data::Tag { .. } => Kind::Tag,
            Data::Missing(_) => return None,
        })
    }

    fn data_type(self) -> DataType {
        match self {
            Kind::Tag => DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into()),
            Kind::Field(FieldType::Float) => DataType::Float64,
            Kind::Field(FieldType::Integer) => DataType::Int64,
            Kind::Field(FieldType::Unsigned) => DataType::UInt64,
            Kind::Field(FieldType::Boolean) => DataType::Boolean,
            Kind::Field(FieldType::String) => DataType::Utf8,
        }
    }
}

/// Makes record batches of one schema.
#[derive(Debug)]
pub struct Batches {
    schema: SchemaRef,
    unit: Unit,
    kinds: Vec<Kind>,
    /// Per column the dictionary that was made last, with the words it was made of.
    dictionaries: Vec<Option<(Arc<[String]>, ArrayRef)>>,
}

impl Batches {
    /// Batches of `time` and these columns.
    pub fn new(columns: &[(String, Kind)], unit: Unit) -> Batches {
        let mut fields = vec![Field::new("time", unit.data_type(), false)];
        let field = |(name, kind): &(String, Kind)| Field::new(name, kind.data_type(), true);
        fields.extend(columns.iter().map(field));
        let metadata = [(TIME_UNIT_KEY.to_owned(), unit.name().to_owned())].into();
        Batches {
            schema: Arc::new(Schema::new_with_metadata(fields, metadata)),
            unit,
            kinds: columns.iter().map(|(_, kind)| *kind).collect(),
            dictionaries: vec![None; columns.len()],
        }
    }

    /// The schema of all batches.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// A batch of these rows; columns in the order of the schema.
    pub fn batch(&mut self, times: &[Timestamp], columns: &[Vector]) -> Result<RecordBatch> {
        let time: ArrayRef = match self.unit {
            Unit::Microsecond => {
                let times: Vec<i64> = times.iter().map(|time| time.div_euclid(1000)).collect();
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
            }
            Unit::Nanosecond => {
                Arc::new(TimestampNanosecondArray::from(times.to_vec()).with_timezone("UTC"))
            }
        };
        let mut arrays = vec![time];
        for (at, column) in columns.iter().enumerate() {
            arrays.push(self.array(at, column)?);
        }
        RecordBatch::try_new(self.schema.clone(), arrays)
            .map_err(|error| Error::invalid(format!("record batch: {error}")))
    }

    fn array(&mut self, at: usize, column: &Vector) -> Result<ArrayRef> {
        let nulls = column.validity.as_ref().map(nulls);
        Ok(match &column.data {
            Data::Float(v) => Arc::new(Float64Array::new(ScalarBuffer::from(v.clone()), nulls)),
            Data::Integer(v) => Arc::new(Int64Array::new(ScalarBuffer::from(v.clone()), nulls)),
            Data::Unsigned(v) => Arc::new(UInt64Array::new(ScalarBuffer::from(v.clone()), nulls)),
            Data::Boolean(v) => Arc::new(BooleanArray::new(v.as_slice().into(), nulls)),
            Data::String { offsets, bytes } => {
                let offsets: Vec<i32> = offsets.iter().map(|offset| *offset as i32).collect();
                if offsets.iter().any(|offset| *offset < 0) {
                    return Err(Error::invalid("text of one batch passes 2 GiB"));
                }
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let text = StringArray::try_new(offsets, Buffer::from(bytes.as_slice()), nulls);
                Arc::new(text.map_err(|error| Error::invalid(format!("text column: {error}")))?)
            }
            Data::Tag { codes, words } => {
                let keys: Vec<i32> = codes.iter().map(|code| *code as i32).collect();
                let keys = Int32Array::new(ScalarBuffer::from(keys), nulls);
                let dictionary = self.dictionary(at, words);
                let array = DictionaryArray::try_new(keys, dictionary);
                Arc::new(array.map_err(|error| Error::invalid(format!("tag column: {error}")))?)
            }
            Data::Missing(rows) => new_null_array(&self.kinds[at].data_type(), *rows),
        })
    }

    fn dictionary(&mut self, at: usize, words: &Arc<[String]>) -> ArrayRef {
        if let Some((of, array)) = &self.dictionaries[at]
            && Arc::ptr_eq(of, words)
        {
            return array.clone();
        }
        let array: ArrayRef = Arc::new(StringArray::from_iter_values(words.iter()));
        self.dictionaries[at] = Some((words.clone(), array.clone()));
        array
    }
}

fn nulls(validity: &Bitmap) -> NullBuffer {
    let words = Buffer::from_vec(validity.words().to_vec());
    NullBuffer::new(BooleanBuffer::new(words, 0, validity.len()))
}

/// Names of output columns beside `time`, made distinct: the first keeps its name, later ones get
/// `_1`, `_2`, ...
pub fn distinct_names(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken = std::collections::HashSet::from(["time".to_owned()]);
    let distinct = |name: String| {
        let numbered = (1u32..).map(|n| format!("{name}_{n}"));
        let mut tried = std::iter::once(name.clone()).chain(numbered);
        tried.find(|name| taken.insert(name.clone())).unwrap_or(name)
    };
    names.map(distinct).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;

    #[test]
    fn names_become_distinct() {
        let names = ["a", "time", "a", "a_1", "a"].map(str::to_owned);
        let distinct = distinct_names(names.into_iter());
        assert_eq!(distinct, ["a", "time_1", "a_1", "a_1_1", "a_2"]);
    }

    #[test]
    fn units() {
        let cases = [
            (vec![], Unit::Microsecond),
            (vec![0, 1000, -2000], Unit::Microsecond),
            (vec![0, 1001], Unit::Nanosecond),
            (vec![-1], Unit::Nanosecond),
        ];
        for (times, unit) in cases {
            assert_eq!(Unit::of(&times), unit, "{times:?}");
        }
    }

    #[test]
    fn missing_values_and_times_before_the_epoch() {
        let mut validity = Bitmap::filled(3, true);
        validity.set(1, false);
        let columns = [
            ("tag".to_owned(), Kind::Tag),
            ("f".to_owned(), Kind::Field(FieldType::Float)),
            ("gone".to_owned(), Kind::Field(FieldType::String)),
        ];
        let mut batches = Batches::new(&columns, Unit::Microsecond);
        let words: Arc<[String]> = ["x".to_owned()].into();
        let vectors = [
            Vector { data: Data::Tag { codes: vec![0; 3], words }, validity: None },
            Vector { data: Data::Float(vec![1.0, 2.0, 3.0]), validity: Some(validity) },
            Vector::missing(3),
        ];
        let batch = batches.batch(&[-2000, 0, 1000], &vectors).unwrap();
        let time = batch.column(0).as_any().downcast_ref::<TimestampMicrosecondArray>().unwrap();
        assert_eq!(time.values(), &[-2, 0, 1]);
        assert!(batch.column(2).is_null(1) && batch.column(2).is_valid(0));
        assert_eq!(batch.column(3).null_count(), 3);
        assert_eq!(batch.schema().metadata()[TIME_UNIT_KEY], "us");
    }
}
