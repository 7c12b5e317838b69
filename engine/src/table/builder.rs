//! Writes a table, from front to back, holding one block at a time.
//!
//! 1. Each entry goes into the data block; its body goes to the file at once.
//! 2. A full data block is compressed and written; its index entry waits for the first key of the
//!    next block, to be as short as it can be.
//! 3. At the end follow filter, index, properties and footer, then the file is synced.
//!
//! Held in memory: the block, the index so far, eight bytes for each key for the filter, and the
//! bytes not yet written.

use std::path::PathBuf;

use super::TableProperties;
use super::block::BlockBuilder;
use super::filter::{FilterBuilder, FilterKind};
use super::footer::{self, FOOTER_BYTES, Footer, Handle};
use super::index::{self, INDEX_RESTART_INTERVAL};
use crate::compress::{BLOCK_BYTES_MAX, Compression, Compressor};
use crate::expiry::Expiries;
use crate::fs::{File, write_all_at};
use crate::key::{FileNumber, Kind, SEQ_MAX, Seq, internal_cmp};
use crate::scan::BodyHandle;
use crate::{Error, Result};

/// Bytes are handed to the file system in pieces of this size, each at a multiple of it. The system
/// keeps what it is given at once in its memory as one large page, if it lies like one; a later
/// read of a block finds it sooner than one of many small pages.
pub(super) const WRITE_BYTES: usize = 512 << 10;
/// Room to begin with: most tables of a store with many keyspaces are small.
const PENDING_BYTES_MIN: usize = WRITE_BYTES / 2;

/// How a table is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOptions {
    /// A data block is closed once it holds this many bytes, before compression.
    pub block_bytes: usize,
    /// Every how many entries a key is stored whole.
    pub restart_interval: usize,
    /// Compression of data blocks and of the index.
    pub compression: Compression,
    /// Bits of the filter for each key; 0: no filter.
    pub filter_bits_per_key: u32,
    /// Which filter.
    pub filter_kind: FilterKind,
}

impl Default for TableOptions {
    fn default() -> Self {
        TableOptions {
            block_bytes: 4096,
            restart_interval: 16,
            compression: Compression::None,
            filter_bits_per_key: 10,
            filter_kind: FilterKind::Bloom,
        }
    }
}

/// Writes one table from entries in strictly ascending internal order.
#[derive(Debug)]
pub struct TableBuilder {
    file: Box<dyn File>,
    path: PathBuf,
    number: FileNumber,
    block_bytes: usize,
    compressor: Compressor,
    /// Bytes that belong at `pending_offset` of the file.
    pending: Vec<u8>,
    pending_offset: u64,
    block: BlockBuilder,
    index: BlockBuilder,
    /// The data block written last, until the next key is known.
    last_block: Option<Handle>,
    last_key: Vec<u8>,
    last_seq: Seq,
    filter: FilterBuilder,
    properties: TableProperties,
    expiries: Expiries,
}

impl TableBuilder {
    /// Starts a table in the empty `file`, which lies at `path`.
    pub fn new(
        file: Box<dyn File>,
        path: PathBuf,
        number: FileNumber,
        options: &TableOptions,
    ) -> Self {
        TableBuilder {
            file,
            path,
            number,
            block_bytes: options.block_bytes,
            compressor: Compressor::new(options.compression),
            pending: Vec::with_capacity(PENDING_BYTES_MIN + 2 * options.block_bytes),
            pending_offset: 0,
            block: BlockBuilder::new(options.restart_interval),
            index: BlockBuilder::new(INDEX_RESTART_INTERVAL),
            last_block: None,
            last_key: Vec::new(),
            last_seq: 0,
            filter: FilterBuilder::new(options.filter_kind, options.filter_bits_per_key),
            properties: TableProperties::default(),
            expiries: Expiries::default(),
        }
    }

    /// Adds one entry; `body` makes it a split value.
    ///
    /// # Errors
    /// `Invalid` when the entry does not come after the one before: a table out of order would
    /// give wrong answers later, so the job that wants to write it fails now.
    pub fn add(
        &mut self,
        key: &[u8],
        seq: Seq,
        kind: Kind,
        value: &[u8],
        body: Option<&[u8]>,
    ) -> Result<()> {
        self.admit(key, seq, kind, value, body)?;
        if let Some(block) = self.last_block.take() {
            index::separate(&mut self.last_key, &mut self.last_seq, key);
            self.add_index_entry(block);
        }
        let body = match body {
            None => None,
            Some(bytes) => Some(self.write_body(bytes)?),
        };
        self.block.add(key, seq, kind, value, body);
        self.filter.add(key);
        self.note(key, seq, kind, value);
        if self.block.len() >= self.block_bytes { self.write_block() } else { Ok(()) }
    }

    /// Refuses what must not be in a table.
    fn admit(
        &self,
        key: &[u8],
        seq: Seq,
        kind: Kind,
        value: &[u8],
        body: Option<&[u8]>,
    ) -> Result<()> {
        let is_after = self.properties.entries == 0
            || internal_cmp((&self.last_key, self.last_seq), (key, seq)).is_lt();
        if !is_after {
            return Err(Error::Invalid {
                reason: format!("entries of {} out of order", self.path.display()),
            });
        }
        if kind.table_bits().is_none() || seq > SEQ_MAX {
            return Err(Error::Invalid { reason: format!("a table takes no {kind:?} at {seq}") });
        }
        // A block may hold its other entries as well, hence half.
        let limit = BLOCK_BYTES_MAX as u64 / 2;
        let got = (key.len() + value.len()).max(body.map_or(0, <[u8]>::len)) as u64;
        if got > limit {
            return Err(Error::Limit { what: "bytes of an entry", limit, got });
        }
        Ok(())
    }

    /// Counts an entry that was added.
    fn note(&mut self, key: &[u8], seq: Seq, kind: Kind, value: &[u8]) {
        let properties = &mut self.properties;
        if properties.entries == 0 {
            properties.smallest = key.to_vec();
            properties.min_seq = seq;
        }
        properties.entries += 1;
        properties.deletes += u64::from(kind == Kind::Delete);
        properties.merges += u64::from(kind == Kind::Merge);
        properties.min_seq = properties.min_seq.min(seq);
        properties.max_seq = properties.max_seq.max(seq);
        properties.raw_bytes += (key.len() + value.len()) as u64;
        self.expiries.note(kind, value);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.last_seq = seq;
    }

    /// Entries added so far.
    pub fn entries(&self) -> u64 {
        self.properties.entries
    }

    /// About how many bytes the file would have if it were finished now.
    pub fn bytes(&self) -> u64 {
        let tail = self.block.len() + self.index.len() + self.filter.len() + FOOTER_BYTES;
        self.offset() + tail as u64
    }

    /// About how many bytes of memory the builder holds, for the budget.
    pub fn memory_bytes(&self) -> u64 {
        (self.pending.capacity() + self.block.len() + self.index.len()) as u64
            + 8 * self.properties.entries
    }

    /// Writes index, filter, properties and footer and syncs the file. The entry of the file in
    /// its folder is the caller's to sync.
    pub fn finish(mut self) -> Result<TableProperties> {
        if !self.block.is_empty() {
            self.write_block()?;
        }
        if let Some(block) = self.last_block.take() {
            self.add_index_entry(block);
        }
        self.properties.largest =
            if self.entries() == 0 { Vec::new() } else { self.last_key.clone() };
        let none = FilterBuilder::new(FilterKind::Bloom, 0);
        let filter = std::mem::replace(&mut self.filter, none).finish();
        let filter = match filter {
            None => Handle::default(),
            Some(bytes) => self.write_frame(crate::compress::TAG_PLAIN, &bytes)?,
        };
        let offset = self.offset();
        let (tag, stored) = self.compressor.compress(self.index.finish());
        let index = footer::put_frame(&mut self.pending, self.number, offset, tag, stored);
        self.properties.index_bytes = index.len.into();
        self.properties.filter_bytes = filter.len.into();
        self.properties.expires_max_ms = self.expiries.all_by_ms();
        let properties = self.properties.encode();
        let properties = self.write_frame(crate::compress::TAG_PLAIN, &properties)?;
        Footer { index, filter, properties }.encode(self.number, &mut self.pending);
        self.write_pending(self.pending.len())?;
        self.properties.bytes = self.offset();
        self.file.sync().map_err(|e| Error::io(&self.path, "sync", e))?;
        Ok(self.properties)
    }

    /// Where the next byte goes.
    fn offset(&self) -> u64 {
        self.pending_offset + self.pending.len() as u64
    }

    fn write_body(&mut self, bytes: &[u8]) -> Result<BodyHandle> {
        let handle = BodyHandle {
            offset: self.offset(),
            len: bytes.len() as u32,
            crc: crc32fast::hash(bytes),
        };
        self.properties.bodies += 1;
        self.properties.body_bytes += bytes.len() as u64;
        self.pending.extend_from_slice(bytes);
        self.flush_when_full()?;
        Ok(handle)
    }

    fn write_block(&mut self) -> Result<()> {
        let offset = self.offset();
        let (tag, stored) = self.compressor.compress(self.block.finish());
        let handle = footer::put_frame(&mut self.pending, self.number, offset, tag, stored);
        self.block.reset();
        self.last_block = Some(handle);
        self.properties.blocks += 1;
        self.flush_when_full()
    }

    fn write_frame(&mut self, tag: u8, stored: &[u8]) -> Result<Handle> {
        let offset = self.offset();
        let handle = footer::put_frame(&mut self.pending, self.number, offset, tag, stored);
        self.flush_when_full()?;
        Ok(handle)
    }

    /// Points at `block`, whose separator is in `last_key` and `last_seq`.
    fn add_index_entry(&mut self, block: Handle) {
        let mut value = Vec::with_capacity(16);
        index::put_handle(&mut value, block);
        self.index.add(&self.last_key, self.last_seq, Kind::Put, &value, None);
    }

    /// Hands on whole pieces; what is left of the last one stays.
    fn flush_when_full(&mut self) -> Result<()> {
        let whole = self.pending.len() / WRITE_BYTES * WRITE_BYTES;
        if whole == 0 { Ok(()) } else { self.write_pending(whole) }
    }

    /// Writes so many of the pending bytes.
    fn write_pending(&mut self, len: usize) -> Result<()> {
        write_all_at(&*self.file, &self.pending[..len], self.pending_offset)
            .map_err(|e| Error::io(&self.path, "write", e))?;
        self.pending_offset += len as u64;
        self.pending.drain(..len);
        Ok(())
    }
}
