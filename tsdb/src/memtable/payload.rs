//! The payload of one append: rows as they travel in a batch, lie in the log and reach a memtable.
//!
//! ```text
//! payload    := version u8 | base timestamp i64 | row x n
//! row        := series varint | shape varint | [definition] | time varint | value x fields
//! definition := fields varint | (field id varint | type u8) x fields
//! value      := float u64 bits | integer varint | unsigned varint | boolean u8 | string slice
//! ```
//!
//! `series` and `time` are zigzag differences to the row before (the first row: to 0 and to the
//! base). A row's shape is the set of its fields; a shape is defined by the first row that has it,
//! and numbered in that order. Integers are zigzag, floats little-endian.
//!
//! Invariants, checked by [`decode`] with `CHECKED` before a payload is logged and again before a
//! replayed one is applied: field numbers of a shape ascend, timestamps are in the allowed range,
//! strings are UTF-8, nothing is left over. Whoever decodes a checked payload cannot fail.
//!
//! Why row by row and not in columns: a batch holds few rows of each series, and a row is applied
//! to one place in memory. Ten small integers take about 25 bytes.

use firndb_engine::coding::{DecodeError, put_slice, put_varint};

use crate::model::time::{TIMESTAMP_MAX, TIMESTAMP_MIN};
use crate::model::{FieldId, FieldType, FieldValue, SeriesId, Timestamp};

const VERSION: u8 = 1;

/// Longest string value in bytes: its length shares a word with its place.
pub const STRING_BYTES_LIMIT: usize = (1 << TEXT_LEN_BITS) - 1;

const TEXT_LEN_BITS: u32 = 28;

/// A field of a shape.
pub type ShapeField = (FieldId, FieldType);

/// Packs the place of a string into a slot.
pub fn text_slot(offset: usize, len: usize) -> u64 {
    debug_assert!(len <= STRING_BYTES_LIMIT, "string too long for a slot");
    (offset as u64) << TEXT_LEN_BITS | len as u64
}

/// The place that [`text_slot`] packed.
pub fn text_range(slot: u64) -> std::ops::Range<usize> {
    let offset = (slot >> TEXT_LEN_BITS) as usize;
    offset..offset + (slot as usize & STRING_BYTES_LIMIT)
}

/// Writes a payload row by row.
#[derive(Debug)]
pub struct PayloadWriter {
    bytes: Vec<u8>,
    shapes: u32,
    series: u32,
    timestamp: Timestamp,
    rows: u64,
}

impl PayloadWriter {
    /// An empty payload; timestamps near `base` come out small.
    pub fn new(base: Timestamp) -> Self {
        let mut bytes = Vec::with_capacity(4096);
        bytes.push(VERSION);
        bytes.extend_from_slice(&base.to_le_bytes());
        PayloadWriter { bytes, shapes: 0, series: 0, timestamp: base, rows: 0 }
    }

    /// Rows begun.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The payload.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Begins a row of a shape used before, by the number that [`Self::begin_new_shape`] gave.
    /// The values of the shape's fields must follow, in order.
    pub fn begin(&mut self, series: SeriesId, shape: u32, timestamp: Timestamp) {
        debug_assert!(shape < self.shapes, "shape not defined");
        self.begin_series(series, shape);
        self.put_time(timestamp);
    }

    /// Begins a row whose shape is new to the payload; returns the number of the shape.
    pub fn begin_new_shape(
        &mut self,
        series: SeriesId,
        shape: &[ShapeField],
        timestamp: Timestamp,
    ) -> u32 {
        let number = self.shapes;
        self.shapes += 1;
        self.begin_series(series, number);
        put_varint(&mut self.bytes, shape.len() as u64);
        for (field, field_type) in shape {
            put_varint(&mut self.bytes, u64::from(field.0));
            self.bytes.push(*field_type as u8);
        }
        self.put_time(timestamp);
        number
    }

    fn begin_series(&mut self, series: SeriesId, shape: u32) {
        self.bytes.reserve(32);
        put_small(&mut self.bytes, zigzag(i64::from(series.0) - i64::from(self.series)));
        put_small(&mut self.bytes, u64::from(shape));
        self.series = series.0;
        self.rows += 1;
    }

    fn put_time(&mut self, timestamp: Timestamp) {
        put_small(&mut self.bytes, zigzag(timestamp.wrapping_sub(self.timestamp)));
        self.timestamp = timestamp;
    }

    /// Adds the next value of the row.
    pub fn value(&mut self, value: &FieldValue<'_>) {
        match value {
            FieldValue::Float(v) => self.bytes.extend_from_slice(&v.to_bits().to_le_bytes()),
            FieldValue::Integer(v) => put_small(&mut self.bytes, zigzag(*v)),
            FieldValue::Unsigned(v) => put_small(&mut self.bytes, *v),
            FieldValue::Boolean(v) => self.bytes.push(u8::from(*v)),
            FieldValue::String(v) => put_slice(&mut self.bytes, v.as_bytes()),
        }
    }
}

/// Takes what [`decode`] finds.
pub trait RowSink {
    /// The next shape, numbered from 0.
    fn shape(&mut self, fields: &[ShapeField]);
    /// A row: `slots` holds the timestamp and a word per field of the shape; the word of a string
    /// is its place in `payload`, see [`text_range`].
    fn row(&mut self, series: SeriesId, shape: u32, slots: &[u64], payload: &[u8]);
}

/// A sink that takes nothing: for checking alone.
#[derive(Debug)]
pub struct NoSink;

impl RowSink for NoSink {
    fn shape(&mut self, _fields: &[ShapeField]) {}
    fn row(&mut self, _series: SeriesId, _shape: u32, _slots: &[u64], _payload: &[u8]) {}
}

/// Walks a payload. `CHECKED` adds the checks that cost time (UTF-8); all others are always made.
pub fn decode<const CHECKED: bool>(
    payload: &[u8],
    sink: &mut impl RowSink,
) -> Result<(), DecodeError> {
    let mut reader = Reader { bytes: payload, at: 0 };
    if reader.byte()? != VERSION {
        return Err(reader.error("unknown version of a payload"));
    }
    let mut timestamp = i64::from_le_bytes(reader.word()?.to_le_bytes());
    let mut series = 0u32;
    let mut shapes: Vec<Vec<ShapeField>> = Vec::new();
    let mut slots: Vec<u64> = Vec::new();
    while reader.at < payload.len() {
        let delta = unzigzag(reader.varint()?);
        series = i64::from(series)
            .checked_add(delta)
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| reader.error("series number out of range"))?;
        let shape = reader.varint()? as usize;
        if shape == shapes.len() {
            shapes.push(decode_shape(&mut reader)?);
            sink.shape(&shapes[shape]);
        }
        let fields = shapes.get(shape).ok_or_else(|| reader.error("shape not defined"))?;
        timestamp = timestamp.wrapping_add(unzigzag(reader.varint()?));
        if !(TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&timestamp) {
            return Err(reader.error("timestamp out of range"));
        }
        slots.clear();
        slots.push(timestamp as u64);
        for (_, field_type) in fields {
            slots.push(decode_value::<CHECKED>(&mut reader, *field_type)?);
        }
        sink.row(SeriesId(series), shape as u32, &slots, payload);
    }
    Ok(())
}

fn decode_shape(reader: &mut Reader<'_>) -> Result<Vec<ShapeField>, DecodeError> {
    let count = reader.varint()? as usize;
    if count == 0 || count > reader.bytes.len() - reader.at {
        return Err(reader.error("number of fields makes no sense"));
    }
    let mut fields: Vec<ShapeField> = Vec::with_capacity(count);
    for _ in 0..count {
        let id = u32::try_from(reader.varint()?)
            .map_err(|_| reader.error("field number out of range"))?;
        let field_type = FieldType::from_byte(reader.byte()?)
            .ok_or_else(|| reader.error("unknown type of a field"))?;
        if fields.last().is_some_and(|(last, _)| last.0 >= id) {
            return Err(reader.error("field numbers do not ascend"));
        }
        fields.push((FieldId(id), field_type));
    }
    Ok(fields)
}

fn decode_value<const CHECKED: bool>(
    reader: &mut Reader<'_>,
    field_type: FieldType,
) -> Result<u64, DecodeError> {
    match field_type {
        FieldType::Float => reader.word(),
        FieldType::Integer => Ok(unzigzag(reader.varint()?) as u64),
        FieldType::Unsigned => reader.varint(),
        FieldType::Boolean => match reader.byte()? {
            byte @ 0..=1 => Ok(u64::from(byte)),
            _ => Err(reader.error("not a truth value")),
        },
        FieldType::String => {
            let len = reader.varint()?;
            let (start, left) = (reader.at, reader.bytes.len() - reader.at);
            if len > left as u64 || len > STRING_BYTES_LIMIT as u64 {
                return Err(reader.error("string exceeds what is left"));
            }
            let len = len as usize;
            reader.at += len;
            if CHECKED && std::str::from_utf8(&reader.bytes[start..reader.at]).is_err() {
                return Err(reader.error("string is not UTF-8"));
            }
            Ok(text_slot(start, len))
        }
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// `put_varint` with the common cases of one and two bytes first.
#[inline]
fn put_small(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else if value < 0x4000 {
        out.extend_from_slice(&[value as u8 | 0x80, (value >> 7) as u8]);
    } else {
        put_varint(out, value);
    }
}

/// `coding::Decoder` cut down to what the rows need: this runs once per value written.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn error(&self, reason: &'static str) -> DecodeError {
        DecodeError { offset: self.at, reason }
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.error("ends early"))?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn word(&mut self) -> Result<u64, DecodeError> {
        let bytes = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<8>())
            .ok_or_else(|| self.error("ends early"))?;
        self.at += 8;
        Ok(u64::from_le_bytes(*bytes))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.bytes.get(self.at..) {
            Some([byte, ..]) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            Some([low, high, ..]) if *high < 0x80 => {
                self.at += 2;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for index in 0..10 {
            let byte = self.byte()?;
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error("varint exceeds 64 bits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Rows {
        shapes: Vec<Vec<ShapeField>>,
        rows: Vec<(u32, u32, Vec<u64>)>,
    }

    impl RowSink for Rows {
        fn shape(&mut self, fields: &[ShapeField]) {
            self.shapes.push(fields.to_vec());
        }
        fn row(&mut self, series: SeriesId, shape: u32, slots: &[u64], payload: &[u8]) {
            let mut slots = slots.to_vec();
            for (slot, (_, field_type)) in slots[1..].iter_mut().zip(&self.shapes[shape as usize]) {
                if *field_type == FieldType::String {
                    *slot = payload[text_range(*slot)].iter().map(|b| u64::from(*b)).sum();
                }
            }
            self.rows.push((series.0, shape, slots));
        }
    }

    #[test]
    fn rows_come_back() {
        let mut writer = PayloadWriter::new(1_000);
        let wide = [(FieldId(0), FieldType::Float), (FieldId(3), FieldType::String)];
        let narrow = [(FieldId(3), FieldType::Integer)];
        writer.begin_new_shape(SeriesId(7), &wide, 1_005);
        writer.value(&FieldValue::Float(-0.0));
        writer.value(&FieldValue::String("ab".into()));
        writer.begin_new_shape(SeriesId(3), &narrow, TIMESTAMP_MIN);
        writer.value(&FieldValue::Integer(i64::MIN));
        writer.begin(SeriesId(u32::MAX), 1, TIMESTAMP_MAX);
        writer.value(&FieldValue::Integer(-3));
        let mut rows = Rows::default();
        decode::<true>(writer.bytes(), &mut rows).unwrap();
        assert_eq!(rows.shapes, [wide.to_vec(), narrow.to_vec()]);
        let text = u64::from(b'a') + u64::from(b'b');
        assert_eq!(
            rows.rows,
            [
                (7, 0, vec![1_005, (-0.0f64).to_bits(), text]),
                (3, 1, vec![TIMESTAMP_MIN as u64, i64::MIN as u64]),
                (u32::MAX, 1, vec![TIMESTAMP_MAX as u64, -3i64 as u64]),
            ]
        );
        assert_eq!(writer.rows(), 3);
    }

    #[test]
    fn damage_is_refused() {
        let head = [&[VERSION][..], &0i64.to_le_bytes()].concat();
        let cases: [(&str, &[u8], &str); 9] = [
            ("shape not defined", &[0, 1], "shape not defined"),
            ("series below zero", &[1, 0, 1, 0, 1, 0], "series number out of range"),
            ("no fields", &[0, 0, 0, 0], "number of fields makes no sense"),
            ("more fields than bytes", &[0, 0, 9, 0], "number of fields makes no sense"),
            ("unknown type", &[0, 0, 1, 0, 9, 0], "unknown type of a field"),
            ("fields descend", &[0, 0, 2, 1, 2, 0, 2], "field numbers do not ascend"),
            ("cut in a float", &[0, 0, 1, 0, 1, 0, 1, 2], "ends early"),
            ("not a truth value", &[0, 0, 1, 0, 4, 0, 2], "not a truth value"),
            ("not UTF-8", &[0, 0, 1, 0, 5, 0, 1, 0xff], "string is not UTF-8"),
        ];
        for (name, rows, reason) in cases {
            let error = decode::<true>(&[&head[..], rows].concat(), &mut NoSink).unwrap_err();
            assert_eq!(error.reason, reason, "{name}");
        }
        assert!(decode::<true>(&[], &mut NoSink).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0u8..12, 0..200)) {
            let payload = [&[VERSION, 0, 0, 0, 0, 0, 0, 0, 0][..], &bytes].concat();
            let _ = decode::<true>(&payload, &mut Rows::default());
        }
    }
}
