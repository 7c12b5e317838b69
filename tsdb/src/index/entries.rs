//! Keys and values of a database's index keyspace.
//!
//! ```text
//! N                                           next numbers, JSON
//! M measurement u32                           name, JSON
//! F measurement u32 | field u16               key and type of a field, JSON
//! T measurement u32 | tag key                 (empty)
//! A measurement u32                           posting list: all its series
//! P measurement u32 | len u16 | key | value   posting list: series with this tag
//! I series u32                                series key
//! K hash 16                                   series ids u32 x n, little-endian
//! D                                           posting list: series ever dropped
//! X                                           posting list: dropped series still to be swept
//! Z measurement u32                           (empty) a dropped measurement still to be swept
//! e delete u64                                a delete as it is listed, JSON
//! E delete u64                                what a delete took (erasure); its sequence
//!                                             number counts
//! p len u16 | policy | start i64              purged up to this delete: sequence number u64
//! R name                                      how far a rollup is, JSON (rollup/state)
//! Y len u16 | name | slot i64                 posting list: series of a rollup to be built again
//!                                             in an hour; the sign bit of the slot is flipped
//!
//! series key := measurement u32 | (len varint | tag key | len varint | tag value) x n, sorted
//! ```
//!
//! Numbers in keys are big-endian. `K` holds the series whose keys have this XXH3-128 hash, in
//! practice one; the key behind `I` decides. So a new series costs its key once in the log and in
//! the tables, not twice.

use firndb_engine::coding::{Decoder, put_slice};
use firndb_engine::scan::bounds::Bounds;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::model::{FieldId, FieldType, MeasurementId, SeriesId, TagSet};
use crate::{Error, Result};

/// Key of [`Counters`].
pub const COUNTERS: &[u8] = b"N";
/// Key of the list of series ever dropped.
pub const DROPPED: &[u8] = b"D";
/// Key of the list of dropped series whose entries are still there.
pub const UNSWEPT: &[u8] = b"X";

/// The numbers that the next new series and measurement get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Next series.
    pub series: u32,
    /// Next measurement.
    pub measurement: u32,
}

/// Value of a measurement's entry.
#[derive(Debug, Serialize, Deserialize)]
pub struct MeasurementEntry {
    /// Its name.
    pub name: String,
    /// No new field gets a number below this; written where fields were deleted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub next_field: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Value of a field's entry.
#[derive(Debug, Serialize, Deserialize)]
pub struct FieldEntry {
    /// Its key.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub field_type: FieldType,
}

fn tagged(tag: u8, measurement: MeasurementId, rest: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![tag];
    key.extend_from_slice(&measurement.0.to_be_bytes());
    for part in rest {
        key.extend_from_slice(part);
    }
    key
}

/// Key of a measurement.
pub fn measurement(id: MeasurementId) -> Vec<u8> {
    tagged(b'M', id, &[])
}

/// Key of a field.
pub fn field(measurement: MeasurementId, field: FieldId) -> Vec<u8> {
    let number = u16::try_from(field.0).expect("fields of users fit 16 bits");
    tagged(b'F', measurement, &[&number.to_be_bytes()])
}

/// Key of a tag key.
pub fn tag_key(measurement: MeasurementId, key: &str) -> Vec<u8> {
    tagged(b'T', measurement, &[key.as_bytes()])
}

/// Key of the list of all series of a measurement.
pub fn all_series(measurement: MeasurementId) -> Vec<u8> {
    tagged(b'A', measurement, &[])
}

/// Key of the list of a measurement's series that have a tag. Keys and values of tags are at most
/// [`crate::limits::KEY_BYTES_MAX`] bytes long.
pub fn tag_pair(measurement: MeasurementId, key: &str, value: &str) -> Vec<u8> {
    let len = u16::try_from(key.len()).expect("a tag key within the limit");
    tagged(b'P', measurement, &[&len.to_be_bytes(), key.as_bytes(), value.as_bytes()])
}

/// The keys of all lists of one tag key; the value follows the prefix.
pub fn tag_pair_prefix(measurement: MeasurementId, key: &str) -> Vec<u8> {
    tag_pair(measurement, key, "")
}

/// Key of a series' key.
pub fn series(id: SeriesId) -> [u8; 5] {
    let mut key = *b"I\0\0\0\0";
    key[1..].copy_from_slice(&id.0.to_be_bytes());
    key
}

/// Key under which the number of a series key is found.
pub fn series_hash(series_key: &[u8]) -> [u8; 17] {
    let mut key = [b'K'; 17];
    key[1..].copy_from_slice(&xxh3_128(series_key).to_be_bytes());
    key
}

/// Key of the mark of a dropped measurement.
pub fn unswept_measurement(id: MeasurementId) -> Vec<u8> {
    tagged(b'Z', id, &[])
}

/// Key of a delete in the list.
pub fn delete(id: u64) -> [u8; 9] {
    numbered(b'e', id)
}

/// Key of what a delete took.
pub fn delete_record(id: u64) -> [u8; 9] {
    numbered(b'E', id)
}

fn numbered(tag: u8, id: u64) -> [u8; 9] {
    let mut key = [tag; 9];
    key[1..].copy_from_slice(&id.to_be_bytes());
    key
}

/// The delete in a key of [`delete`] or [`delete_record`].
pub fn split_delete(key: &[u8]) -> Result<u64> {
    let id = key.get(1..).and_then(|id| id.try_into().ok());
    id.map(u64::from_be_bytes).ok_or_else(|| damaged("number of a delete"))
}

/// Key of the mark of a partition that was purged.
pub fn purged(policy: &str, start_s: i64) -> Vec<u8> {
    let len = u16::try_from(policy.len()).expect("names of policies are short");
    [&b"p"[..], &len.to_be_bytes(), policy.as_bytes(), &start_s.to_be_bytes()].concat()
}

/// Policy and start of the window in a key of [`purged`].
pub fn split_purged(key: &[u8]) -> Result<(String, i64)> {
    let parts = key.get(1..).and_then(|rest| {
        let (len, rest) = rest.split_first_chunk::<2>()?;
        rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
    });
    let (policy, start) = parts.ok_or_else(|| damaged("mark of a purge"))?;
    let start = start.try_into().map_err(|_| damaged("mark of a purge"))?;
    Ok((text(policy)?.to_owned(), i64::from_be_bytes(start)))
}

/// Key of what is known of how far a rollup is.
pub fn rollup_state(name: &str) -> Vec<u8> {
    [b"R", name.as_bytes()].concat()
}

/// The keys of all marks of a rollup.
pub fn rollup_marks(name: &str) -> Vec<u8> {
    let len = u16::try_from(name.len()).expect("a rollup's name is short");
    [b"Y", &len.to_be_bytes()[..], name.as_bytes()].concat()
}

/// Key of the mark of one slot of a rollup.
pub fn rollup_mark(name: &str, slot: i64) -> Vec<u8> {
    let mut key = rollup_marks(name);
    key.extend_from_slice(&(slot as u64 ^ 1 << 63).to_be_bytes());
    key
}

/// The name and slot in a mark's key.
pub fn split_rollup_mark(key: &[u8]) -> Result<(&str, i64)> {
    let short = || damaged("key of a rollup's mark");
    let (len, rest) = key.get(1..).and_then(|k| k.split_first_chunk::<2>()).ok_or_else(short)?;
    let (name, slot) =
        rest.split_at_checked(usize::from(u16::from_be_bytes(*len))).ok_or_else(short)?;
    let slot: [u8; 8] = slot.try_into().map_err(|_| short())?;
    Ok((text(name)?, (u64::from_be_bytes(slot) ^ 1 << 63) as i64))
}

/// All entries of one kind of a measurement, or of all.
pub fn bounds(tag: u8, measurement: Option<MeasurementId>) -> Bounds {
    match measurement {
        None => Bounds::prefix(&[tag]),
        Some(id) => Bounds::prefix(&tagged(tag, id, &[])),
    }
}

/// The measurement in a key, and what follows it.
pub fn split_measurement(key: &[u8]) -> Result<(MeasurementId, &[u8])> {
    let rest = key.get(1..).and_then(|rest| rest.split_first_chunk::<4>());
    let (id, rest) = rest.ok_or_else(|| damaged("key too short"))?;
    Ok((MeasurementId(u32::from_be_bytes(*id)), rest))
}

/// The field in a field's key.
pub fn split_field(rest: &[u8]) -> Result<FieldId> {
    let id: [u8; 2] = rest.try_into().map_err(|_| damaged("field number"))?;
    Ok(FieldId(u32::from(u16::from_be_bytes(id))))
}

/// The ids behind a hash.
pub fn hash_ids(value: &[u8]) -> impl Iterator<Item = SeriesId> {
    value.chunks_exact(4).map(|id| SeriesId(u32::from_le_bytes(id.try_into().expect("four"))))
}

/// Text of a key or value.
pub fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| damaged("text is not UTF-8"))
}

/// A JSON value.
pub fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| damaged(&error.to_string()))
}

/// A value as JSON.
pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain structs have a JSON form")
}

/// Damage in the index.
pub fn damaged(reason: &str) -> Error {
    Error::corrupt("index", reason)
}

/// Appends the series key of sorted tags to `out`.
pub fn put_series_key<'t>(
    out: &mut Vec<u8>,
    measurement: MeasurementId,
    tags: impl Iterator<Item = (&'t str, &'t str)>,
) {
    out.extend_from_slice(&measurement.0.to_be_bytes());
    for (key, value) in tags {
        put_slice(out, key.as_bytes());
        put_slice(out, value.as_bytes());
    }
}

/// Measurement and tags of a series key.
pub fn parse_series_key(bytes: &[u8]) -> Result<(MeasurementId, TagSet)> {
    let (id, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| damaged("series key"))?;
    let mut decoder = Decoder::new(rest);
    let mut pairs = Vec::new();
    while !decoder.is_empty() {
        let mut next = || decoder.str().map_err(|error| damaged(error.reason));
        let pair = (next()?.to_owned(), next()?.to_owned());
        if pairs.last().is_some_and(|(key, _)| *key >= pair.0) {
            return Err(damaged("tags of a series key out of order"));
        }
        pairs.push(pair);
    }
    Ok((MeasurementId(u32::from_be_bytes(*id)), TagSet::new(pairs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_keys_come_back() {
        let tags = [("a", "1"), ("b", "\u{e9},=")];
        let mut key = Vec::new();
        put_series_key(&mut key, MeasurementId(7), tags.into_iter());
        let (id, set) = parse_series_key(&key).unwrap();
        assert_eq!((id, set.iter().collect::<Vec<_>>()), (MeasurementId(7), tags.to_vec()));
        assert!(parse_series_key(&key[..key.len() - 1]).is_err());
        assert!(parse_series_key(&key[..3]).is_err());
    }

    #[test]
    fn a_series_key_with_a_tag_twice_or_out_of_order_is_damaged() {
        for tags in [[("a", "1"), ("a", "2")], [("b", "1"), ("a", "1")]] {
            let mut key = Vec::new();
            put_series_key(&mut key, MeasurementId(7), tags.into_iter());
            assert!(parse_series_key(&key).is_err(), "{tags:?}");
        }
    }

    #[test]
    fn marks_of_a_rollup_come_back_in_the_order_of_slots() {
        let keys: Vec<_> = [i64::MIN, -1, 0, 7].map(|slot| rollup_mark("r:1", slot)).to_vec();
        assert!(keys.is_sorted() && keys.iter().all(|key| key.starts_with(&rollup_marks("r:1"))));
        assert_eq!(split_rollup_mark(&keys[1]).unwrap(), ("r:1", -1));
        assert!(!rollup_mark("r:12", 0).starts_with(&rollup_marks("r:1")));
        for len in 0..keys[0].len() {
            assert!(split_rollup_mark(&keys[0][..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn values_of_a_tag_key_share_a_prefix_with_no_other() {
        let id = MeasurementId(1);
        let prefix = tag_pair_prefix(id, "ho");
        assert!(tag_pair(id, "ho", "st").starts_with(&prefix));
        assert!(!tag_pair(id, "host", "").starts_with(&prefix));
        assert_eq!(split_measurement(&prefix).unwrap().0, id);
    }
}
