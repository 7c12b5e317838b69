//! What a table says about itself.

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
}
