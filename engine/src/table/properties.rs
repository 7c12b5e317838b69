//! What a table says about itself.
//!
//! ```text
//! properties := field*
//! field      := id varint | length varint | bytes      a number is a varint in the bytes
//! ```
//!
//! Unknown fields are skipped, so that a later build may add some; known ones must all be there.
//! The ids are on disk: do not change them.

use crate::coding::{DecodeError, Decoder, put_slice, put_varint};
use crate::key::Seq;

/// What a table says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableProperties {
    /// Entries of every kind.
    pub entries: u64,
    /// Entries of kind `Delete`.
    pub deletes: u64,
    /// Entries of kind `Merge`.
    pub merges: u64,
    /// First user key; empty in an empty table.
    pub smallest: Vec<u8>,
    /// Last user key; empty in an empty table.
    pub largest: Vec<u8>,
    /// Oldest sequence number; 0 in an empty table.
    pub min_seq: Seq,
    /// Newest sequence number; 0 in an empty table.
    pub max_seq: Seq,
    /// Size of the file.
    pub bytes: u64,
    /// Data blocks.
    pub blocks: u64,
    /// Bytes of keys and values, bodies not counted, before any compression.
    pub raw_bytes: u64,
    /// Bytes of bodies.
    pub body_bytes: u64,
    /// Entries with a body.
    pub bodies: u64,
    /// Stored bytes of the index block.
    pub index_bytes: u64,
    /// Stored bytes of the filter block.
    pub filter_bytes: u64,
    /// When the last entry expires, in milliseconds since the Unix epoch; `None` where some do not,
    /// and in tables of earlier builds.
    pub expires_max_ms: Option<u64>,
}

const SMALLEST: u64 = 1;
const LARGEST: u64 = 2;
/// A number that only tables have whose entries all expire.
const EXPIRES_MAX: u64 = 3;
/// The numbers have the ids from here on, in the order of `numbers`.
const NUMBERS: u64 = 16;

impl TableProperties {
    /// Everything but `bytes`, which the file itself knows.
    fn numbers(&mut self) -> [&mut u64; 11] {
        [
            &mut self.entries,
            &mut self.deletes,
            &mut self.merges,
            &mut self.min_seq,
            &mut self.max_seq,
            &mut self.blocks,
            &mut self.raw_bytes,
            &mut self.body_bytes,
            &mut self.bodies,
            &mut self.index_bytes,
            &mut self.filter_bytes,
        ]
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (id, key) in [(SMALLEST, &self.smallest), (LARGEST, &self.largest)] {
            put_varint(&mut out, id);
            put_slice(&mut out, key);
        }
        let mut copy = self.clone();
        let expires = self.expires_max_ms.map(|number| (EXPIRES_MAX, number));
        let numbers = (NUMBERS..).zip(copy.numbers()).map(|(id, number)| (id, *number));
        for (id, number) in expires.into_iter().chain(numbers) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            put_varint(&mut out, id);
            put_slice(&mut out, &bytes);
        }
        out
    }

    /// Reads the properties of a file of `file_bytes`.
    pub(super) fn decode(bytes: &[u8], file_bytes: u64) -> Result<Self, DecodeError> {
        let mut properties = TableProperties { bytes: file_bytes, ..Default::default() };
        let mut numbers_seen = 0u32;
        let mut keys_seen = 0u32;
        let mut decoder = Decoder::new(bytes);
        while !decoder.is_empty() {
            let id = decoder.varint()?;
            let field = decoder.slice()?;
            let mut numbers = properties.numbers();
            if let Some(index) = id.checked_sub(NUMBERS)
                && let Some(number) = numbers.get_mut(index as usize)
            {
                let mut field = Decoder::new(field);
                **number = field.varint()?;
                field.finish()?;
                numbers_seen |= 1 << index;
            } else if id == EXPIRES_MAX {
                let mut field = Decoder::new(field);
                properties.expires_max_ms = Some(field.varint()?);
                field.finish()?;
            } else if id == SMALLEST {
                properties.smallest = field.to_vec();
                keys_seen |= 1;
            } else if id == LARGEST {
                properties.largest = field.to_vec();
                keys_seen |= 2;
            }
        }
        let all_numbers = (1 << properties.numbers().len()) - 1;
        if keys_seen != 3 || numbers_seen != all_numbers {
            return Err(decoder.error("a property is missing"));
        }
        Ok(properties)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_come_back() {
        let mut properties = TableProperties {
            smallest: b"a".to_vec(),
            largest: vec![0xff; 300],
            bytes: 77,
            expires_max_ms: Some(1 << 60),
            ..Default::default()
        };
        for (index, number) in properties.numbers().into_iter().enumerate() {
            *number = 1 << (5 * index);
        }
        let mut bytes = properties.encode();
        assert_eq!(TableProperties::decode(&bytes, 77).as_ref(), Ok(&properties));
        for len in 0..bytes.len() {
            assert!(TableProperties::decode(&bytes[..len], 77).is_err(), "cut at {len}");
        }
        put_varint(&mut bytes, 1000);
        put_slice(&mut bytes, b"of a later build");
        assert_eq!(TableProperties::decode(&bytes, 77), Ok(properties));
    }
}
