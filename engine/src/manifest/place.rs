//! What the manifest says about a table, and where in the levels it lies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::key::{FileNumber, Seq};
use crate::table::TableProperties;

/// Levels, level 0 included. Seven, as in LevelDB: 64 MiB times 10^5 is past any disk.
pub const LEVELS: usize = 7;

/// The last level.
pub const LEVEL_LAST: u8 = LEVELS as u8 - 1;

/// The run a table belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Level.
    pub level: u8,
    /// Age of the run: greater is newer. 0 below level 0, where there is one run.
    pub age: u64,
}

/// What the manifest says about a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMeta {
    /// Number of its file.
    pub number: FileNumber,
    /// Number that the file was written under, which its checksums are bound to: another one when
    /// it was imported.
    pub written_as: FileNumber,
    /// Size of its file.
    pub bytes: u64,
    /// Entries of every kind.
    pub entries: u64,
    /// Entries of kind `Delete`.
    pub deletes: u64,
    /// Bytes of keys and values, bodies included, before compression.
    pub raw_bytes: u64,
    /// Oldest sequence number.
    pub min_seq: Seq,
    /// Newest sequence number.
    pub max_seq: Seq,
    /// Written by a final compaction.
    pub is_final: bool,
    /// Range deletes up to this sequence number hide nothing in it: whoever wrote it left out what
    /// they hid.
    pub clean_seq: Seq,
    /// When the last of its entries expires, in milliseconds since the Unix epoch; `None` where
    /// some do not.
    pub expires_max_ms: Option<u64>,
    /// First user key.
    pub smallest: Arc<[u8]>,
    /// Last user key.
    pub largest: Arc<[u8]>,
}

impl TableMeta {
    /// What to record of a finished table.
    pub fn new(number: FileNumber, properties: &TableProperties, is_final: bool) -> Self {
        TableMeta {
            number,
            written_as: number,
            bytes: properties.bytes,
            entries: properties.entries,
            deletes: properties.deletes,
            raw_bytes: properties.raw_bytes + properties.body_bytes,
            min_seq: properties.min_seq,
            max_seq: properties.max_seq,
            is_final,
            clean_seq: 0,
            expires_max_ms: properties.expires_max_ms,
            smallest: properties.smallest.as_slice().into(),
            largest: properties.largest.as_slice().into(),
        }
    }

    /// Whether its range and `[smallest, largest]` share a key.
    pub fn overlaps(&self, smallest: &[u8], largest: &[u8]) -> bool {
        *self.smallest <= *largest && *smallest <= *self.largest
    }
}

/// Where the table `number` lies.
pub fn table_path(dir: &Path, number: FileNumber) -> PathBuf {
    dir.join(format!("{:06}.tbl", number.0))
}
