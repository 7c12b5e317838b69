//! Reads a table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::TableProperties;
use crate::Result;
use crate::cache::Cache;
use crate::fs::Fs;
use crate::key::{FileNumber, Kind, Seq};
use crate::scan::{Body, BodyFile, Cursor, Value};

/// An open table. Index, filter and properties are read on first use.
#[derive(Debug)]
pub struct Table {}

/// One version of a key, as [`Table::get`] shows it.
#[derive(Debug)]
pub struct TableVersion<'a> {
    /// Sequence number.
    pub seq: Seq,
    /// Kind.
    pub kind: Kind,
    /// Value, or the head of a split value.
    pub value: &'a [u8],
}

impl TableVersion<'_> {
    /// The value, kept alive without a copy.
    pub fn pin(&self) -> Value {
        todo!()
    }

    /// The body of a split value.
    pub fn body(&self) -> Option<Body> {
        todo!()
    }
}

/// What a check of a table has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableReport {
    /// Entries read.
    pub entries: u64,
    /// Data blocks read.
    pub blocks: u64,
    /// Bodies verified.
    pub bodies: u64,
    /// Bytes read, bodies included.
    pub bytes: u64,
}

impl Table {
    /// The table `number` at `path`. Nothing is read, the file need not be there yet.
    pub fn open(
        _fs: Arc<dyn Fs>,
        _path: PathBuf,
        _number: FileNumber,
        _cache: &Cache,
    ) -> Result<Arc<Table>> {
        todo!()
    }

    /// The number of the file.
    pub fn number(&self) -> FileNumber {
        todo!()
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        todo!()
    }

    /// What the table says about itself.
    pub fn properties(&self) -> Result<TableProperties> {
        todo!()
    }

    /// Whether the table may hold `key`; `false` is certain.
    pub fn may_contain(&self, _key_hash: u64) -> Result<bool> {
        todo!()
    }

    /// Visits the versions of `key` at or below `snapshot`, newest first, until `visit` says
    /// `false`; then the answer is `false` too. Does not allocate when all it needs is cached.
    pub fn get(
        self: &Arc<Self>,
        _key_hash: u64,
        _key: &[u8],
        _snapshot: Seq,
        _visit: &mut dyn FnMut(TableVersion<'_>) -> bool,
    ) -> Result<bool> {
        todo!()
    }

    /// A cursor over all entries. `fill_cache = false` is for jobs that read a table once, in
    /// order: blocks that miss the cache do not enter it, and reads are large.
    pub fn cursor(self: &Arc<Self>, _fill_cache: bool) -> Box<dyn Cursor> {
        todo!()
    }

    /// Reads the file from disk, not from the cache, and verifies every block, the order and
    /// count of entries and, when `deep`, every body.
    pub fn check(self: &Arc<Self>, _deep: bool) -> Result<TableReport> {
        todo!()
    }
}

impl BodyFile for Table {
    fn read_body(&self, _buf: &mut [u8], _offset: u64) -> Result<()> {
        todo!()
    }

    fn path(&self) -> &Path {
        todo!()
    }
}
