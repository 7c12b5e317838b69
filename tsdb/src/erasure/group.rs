//! Erasures as bytes: in the record of a delete, and in the payload that a memtable applies.
//!
//! ```text
//! record := version u8 | seq varint | group x n
//! group  := scope | series | spans varint | span x n | fields varint | field varint x n
//! scope  := len varint | retention policy; empty: every one that clients may write to
//! series := n varint, 1 to 4 | id varint x n
//!         | 0 u8 | len varint | bitmap
//! span   := gap varint | length varint
//! ```
//!
//! A `seq` of 0 is that of the entry itself: it is not known before the batch is in the log. A
//! span's gap is counted from the nanosecond after the span before it (the first one's from the
//! earliest timestamp, as all others modulo 2^64), its length is last minus first. Fields of 0 are
//! all fields. Bitmaps are in the portable roaring format.
//!
//! Invariants, checked when decoded: a group has a series and a span, spans ascend without
//! touching the one before, fields ascend.

use std::sync::Arc;

use croaring::{Bitmap, Portable};
use firndb_engine::coding::{DecodeError, Decoder, put_slice, put_varint};
use firndb_engine::key::Seq;

use super::Erasure;
use crate::model::time::{TIMESTAMP_MAX, TIMESTAMP_MIN};
use crate::model::{FieldId, TimeRange};

const VERSION: u8 = 1;

/// Most ids written one by one.
const FEW_MAX: u64 = 4;

/// An erasure as a delete states it: before it has a number, and where it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The retention policy that it holds for; `None`: every one that clients may write to.
    pub policy: Option<Arc<str>>,
    /// As of [`Erasure`].
    pub series: Arc<Bitmap>,
    /// As of [`Erasure`].
    pub ranges: Arc<[TimeRange]>,
    /// As of [`Erasure`].
    pub fields: Option<Arc<[FieldId]>>,
}

impl Group {
    /// The erasure of what was written before `seq`.
    pub fn erasure(&self, seq: Seq) -> Erasure {
        let (series, ranges) = (self.series.clone(), self.ranges.clone());
        Erasure { seq, series, ranges, fields: self.fields.clone() }
    }

    /// From its first to its last nanosecond.
    pub fn span(&self) -> TimeRange {
        let start = self.ranges.first().map_or(TIMESTAMP_MAX, |range| range.start);
        let end = self.ranges.last().map_or(TIMESTAMP_MIN, |range| range.end);
        TimeRange::new(start, end)
    }

    /// The part of it that lies in `range`; `None` when there is none.
    pub fn within(&self, range: &TimeRange) -> Option<Group> {
        let cut = self.ranges.iter().map(|own| own.intersect(range));
        let ranges: Arc<[TimeRange]> = cut.filter(|own| !own.is_empty()).collect();
        (!ranges.is_empty()).then(|| Group { ranges, ..self.clone() })
    }
}

/// What the entry of a delete holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The delete's number, unless it is that of the entry.
    pub seq: Option<Seq>,
    /// What it takes.
    pub groups: Vec<Group>,
}

impl Record {
    /// The record as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.seq.unwrap_or(0));
        encode_groups(&self.groups, &mut out);
        out
    }

    /// The record that [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        if decoder.u8()? != VERSION {
            return Err(decoder.error("unknown version of a delete"));
        }
        let seq = Some(decoder.varint()?).filter(|seq| *seq > 0);
        Ok(Record { seq, groups: decode_groups(decoder)? })
    }
}

/// Appends groups to `out`.
pub fn encode_groups(groups: &[Group], out: &mut Vec<u8>) {
    for group in groups {
        put_slice(out, group.policy.as_deref().unwrap_or_default().as_bytes());
        put_series(&group.series, out);
        put_varint(out, group.ranges.len() as u64);
        let mut at = TIMESTAMP_MIN;
        for range in group.ranges.iter() {
            put_varint(out, range.start.wrapping_sub(at) as u64);
            put_varint(out, range.end.wrapping_sub(range.start) as u64);
            at = range.end.wrapping_add(1);
        }
        let fields = group.fields.as_deref().unwrap_or_default();
        put_varint(out, fields.len() as u64);
        fields.iter().for_each(|field| put_varint(out, u64::from(field.0)));
    }
}

fn put_series(series: &Bitmap, out: &mut Vec<u8>) {
    let count = series.cardinality();
    if (1..=FEW_MAX).contains(&count) {
        put_varint(out, count);
        series.iter().for_each(|id| put_varint(out, u64::from(id)));
        return;
    }
    let mut series = series.clone();
    series.run_optimize();
    out.push(0);
    put_slice(out, &series.serialize::<Portable>());
}

/// All groups that are left in `decoder`.
pub fn decode_groups(mut decoder: Decoder<'_>) -> Result<Vec<Group>, DecodeError> {
    let mut groups = Vec::new();
    while !decoder.is_empty() {
        let policy = Some(decoder.str()?).filter(|policy| !policy.is_empty()).map(Arc::from);
        let series = Arc::new(decode_series(&mut decoder)?);
        let ranges = decode_ranges(&mut decoder)?;
        let fields = decode_fields(&mut decoder)?;
        groups.push(Group { policy, series, ranges, fields });
    }
    Ok(groups)
}

fn decode_series(decoder: &mut Decoder<'_>) -> Result<Bitmap, DecodeError> {
    let count = decoder.varint()?;
    if count > FEW_MAX {
        return Err(decoder.error("number of series"));
    }
    let mut series = Bitmap::new();
    for _ in 0..count {
        series.add(decoder.varint_u32()?);
    }
    if count == 0 {
        let error = decoder.error("no bitmap");
        series = Bitmap::try_deserialize::<Portable>(decoder.slice()?).ok_or(error)?;
        // Deserialising only keeps within the bytes; this makes sure of the inside.
        series.internal_validate().map_err(|_| error)?;
    }
    if series.is_empty() {
        return Err(decoder.error("an erasure without series"));
    }
    Ok(series)
}

fn decode_ranges(decoder: &mut Decoder<'_>) -> Result<Arc<[TimeRange]>, DecodeError> {
    let count = decoder.varint_usize()?;
    if count == 0 || count > decoder.remaining() {
        return Err(decoder.error("number of spans makes no sense"));
    }
    let mut ranges: Vec<TimeRange> = Vec::with_capacity(count);
    let mut at = i128::from(TIMESTAMP_MIN);
    for _ in 0..count {
        let start = at + i128::from(decoder.varint()?);
        let end = start + i128::from(decoder.varint()?);
        if end > i128::from(TIMESTAMP_MAX) {
            return Err(decoder.error("span out of range"));
        }
        ranges.push(TimeRange::new(start as i64, end as i64));
        at = end + 1;
    }
    Ok(ranges.into())
}

fn decode_fields(decoder: &mut Decoder<'_>) -> Result<Option<Arc<[FieldId]>>, DecodeError> {
    let count = decoder.varint_usize()?;
    if count > decoder.remaining() {
        return Err(decoder.error("number of fields makes no sense"));
    }
    let mut fields: Vec<FieldId> = Vec::with_capacity(count);
    for _ in 0..count {
        let id = decoder.varint()?.try_into();
        let field = FieldId(id.map_err(|_| decoder.error("field number out of range"))?);
        if fields.last().is_some_and(|last| *last >= field) {
            return Err(decoder.error("field numbers do not ascend"));
        }
        fields.push(field);
    }
    Ok((!fields.is_empty()).then(|| fields.into()))
}
