//! Writes a table.

use std::path::PathBuf;

use super::TableProperties;
use crate::Result;
use crate::compress::Compression;
use crate::fs::File;
use crate::key::{FileNumber, Kind, Seq};

/// How a table is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOptions {
    /// A data block is closed once it holds this many bytes, before compression.
    pub block_bytes: usize,
    /// Every how many entries a key is stored whole.
    pub restart_interval: usize,
    /// Compression of data blocks.
    pub compression: Compression,
    /// Bits of the filter for each key; 0: no filter.
    pub filter_bits_per_key: u32,
}

impl Default for TableOptions {
    fn default() -> Self {
        TableOptions {
            block_bytes: 4096,
            restart_interval: 16,
            compression: Compression::None,
            filter_bits_per_key: 10,
        }
    }
}

/// Writes one table from entries in strictly ascending internal order.
#[derive(Debug)]
pub struct TableBuilder {}

impl TableBuilder {
    /// Starts a table in the empty `file`, which lies at `path`.
    pub fn new(
        _file: Box<dyn File>,
        _path: PathBuf,
        _number: FileNumber,
        _options: &TableOptions,
    ) -> Self {
        todo!()
    }

    /// Adds one entry; `body` makes it a split value.
    pub fn add(
        &mut self,
        _key: &[u8],
        _seq: Seq,
        _kind: Kind,
        _value: &[u8],
        _body: Option<&[u8]>,
    ) -> Result<()> {
        todo!()
    }

    /// Entries added so far.
    pub fn entries(&self) -> u64 {
        todo!()
    }

    /// About how many bytes the file would have if it were finished now.
    pub fn bytes(&self) -> u64 {
        todo!()
    }

    /// Writes index, filter, properties and footer and syncs the file. The entry of the file in
    /// its folder is the caller's to sync.
    pub fn finish(self) -> Result<TableProperties> {
        todo!()
    }
}
