//! Reads a table.
//!
//! A [`Table`] is made without touching its file. The footer is read at first use and kept; index
//! and filter are read at first use through the [`Cache`], which pins them while it has room. A
//! point read asks, in this order, the filter, the index, one data block (the next ones only while
//! versions of the key straddle them), and allocates nothing when these are in memory.
//!
//! Bytes reach a decoder only after their checksum was verified. Whatever is wrong with them is an
//! [`Error::Corrupt`] that names the file and the offset of the block.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::TableProperties;
use super::block::BlockView;
use super::cursor::TableCursor;
use super::filter;
use super::footer::{self, FOOTER_BYTES, FRAME_BYTES, Footer, Handle};
use super::index;
use crate::cache::{BlockBytes, Cache, Counter, Pin, spare};
use crate::fs::{File, Fs, read_exact_at};
use crate::key::{FileNumber, Kind, Seq};
use crate::scan::{Body, BodyFile, BodyHandle, Value};
use crate::{Error, Result};

/// An open table. Footer, index, filter and properties are read on first use.
#[derive(Debug)]
pub struct Table {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    number: FileNumber,
    /// The number in its checksums.
    written_as: FileNumber,
    cache: Cache,
    footer: OnceLock<FooterInFile>,
    index: OnceLock<Pinned>,
    filter: OnceLock<Pinned>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct FooterInFile {
    pub(super) footer: Footer,
    pub(super) file_bytes: u64,
}

/// A block that stays as long as the table is open.
#[derive(Debug)]
struct Pinned {
    block: Arc<BlockBytes>,
    _pin: Pin,
}

/// A block, pinned or not.
pub(super) enum Held<'a> {
    Pinned(&'a Arc<BlockBytes>),
    Cached(Arc<BlockBytes>),
}

impl std::ops::Deref for Held<'_> {
    type Target = Arc<BlockBytes>;

    fn deref(&self) -> &Arc<BlockBytes> {
        match self {
            Held::Pinned(block) => block,
            Held::Cached(block) => block,
        }
    }
}

/// One version of a key, as [`Table::get`] shows it.
#[derive(Debug)]
pub struct TableVersion<'a> {
    /// Sequence number.
    pub seq: Seq,
    /// Kind.
    pub kind: Kind,
    /// Value, or the head of a split value.
    pub value: &'a [u8],
    value_at: usize,
    body: Option<BodyHandle>,
    block: &'a Arc<BlockBytes>,
    table: &'a Arc<Table>,
}

impl TableVersion<'_> {
    /// The value, kept alive without a copy.
    pub fn pin(&self) -> Value {
        Value::shared(self.block.clone(), self.value_at, self.value.len())
    }

    /// The body of a split value.
    pub fn body(&self) -> Option<Body> {
        self.body.map(|handle| Body::File(self.table.clone(), handle))
    }
}

impl Table {
    /// The table `number` at `path`. Nothing is read, the file need not be there yet.
    pub fn open(
        fs: Arc<dyn Fs>,
        path: PathBuf,
        number: FileNumber,
        cache: &Cache,
    ) -> Result<Arc<Table>> {
        Table::open_written_as(fs, path, number, number, cache)
    }

    /// As [`Table::open`], of a file that was written under another number, in this store or
    /// another, and then copied or linked.
    pub fn open_written_as(
        fs: Arc<dyn Fs>,
        path: PathBuf,
        number: FileNumber,
        written_as: FileNumber,
        cache: &Cache,
    ) -> Result<Arc<Table>> {
        Ok(Arc::new(Table {
            fs,
            path,
            number,
            written_as,
            cache: cache.clone(),
            footer: OnceLock::new(),
            index: OnceLock::new(),
            filter: OnceLock::new(),
        }))
    }

    /// The number of the file.
    pub fn number(&self) -> FileNumber {
        self.number
    }

    /// The number that its checksums are bound to.
    pub(super) fn written_as(&self) -> FileNumber {
        self.written_as
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number that the table at `path` was written under, as its footer says.
    pub fn number_in_footer(fs: &dyn Fs, path: &Path) -> Result<FileNumber> {
        let file = fs.open(path).map_err(|e| Error::io(path, "open", e))?;
        let len = file.len().map_err(|e| Error::io(path, "stat", e))?;
        let offset = len.saturating_sub(FOOTER_BYTES as u64);
        let mut bytes = vec![0; (len - offset) as usize];
        read_exact_at(&*file, &mut bytes, offset).map_err(|e| Error::io(path, "read", e))?;
        Footer::number_in(&bytes, path, offset)
    }

    /// What the table says about itself. Read anew at every call: the store keeps what it needs.
    pub fn properties(&self) -> Result<TableProperties> {
        let FooterInFile { footer, file_bytes } = self.footer()?;
        let bytes = self.read_block(footer.properties)?;
        TableProperties::decode(&bytes, file_bytes)
            .map_err(|e| self.damaged(footer.properties, e.reason))
    }

    /// Whether the table may hold the key with this hash; `false` is certain.
    pub fn may_contain(&self, key_hash: u64) -> Result<bool> {
        let FooterInFile { footer, .. } = self.footer()?;
        if footer.filter == Handle::default() {
            return Ok(true);
        }
        let filter = self.held(&self.filter, footer.filter, BlockBytes::aligned)?;
        filter::may_contain(&filter, key_hash).map_err(|damage| self.damaged(footer.filter, damage))
    }

    /// Asks the processor for what [`Table::may_contain`] reads, where that is in memory for good:
    /// it is called soon.
    #[inline]
    pub fn fetch_filter(&self, key_hash: u64) {
        if let Some(filter) = self.filter.get() {
            filter::fetch(&filter.block, key_hash);
        }
    }

    /// Visits the versions of `key` at or below `snapshot`, newest first, until `visit` says
    /// `false`; then the answer is `false` too. Does not allocate when all it needs is cached.
    pub fn get(
        self: &Arc<Self>,
        key_hash: u64,
        key: &[u8],
        snapshot: Seq,
        visit: &mut dyn FnMut(TableVersion<'_>) -> bool,
    ) -> Result<bool> {
        if !self.may_contain(key_hash)? {
            self.cache.count(Counter::FilterNegative, 1);
            return Ok(true);
        }
        let (is_found, goes_on) = self.get_unfiltered(key, snapshot, visit)?;
        let outcome =
            if is_found { Counter::FilterTruePositive } else { Counter::FilterFalsePositive };
        self.cache.count(outcome, 1);
        Ok(goes_on)
    }

    /// Whether a version was found, and whether the visitor wants more.
    fn get_unfiltered(
        self: &Arc<Self>,
        key: &[u8],
        snapshot: Seq,
        visit: &mut dyn FnMut(TableVersion<'_>) -> bool,
    ) -> Result<(bool, bool)> {
        let (index, index_handle) = self.index()?;
        let in_index = |damage| self.damaged(index_handle, damage);
        let index_view = BlockView::new(&index).map_err(in_index)?;
        let mut blocks = index_view.find(key, snapshot).map_err(in_index)?;
        let mut is_found = false;
        while let Some(entry) = blocks.entry() {
            let handle = index::handle(index_view.value(entry)).map_err(in_index)?;
            let block = self.block(handle, None)?;
            let in_block = |damage| self.damaged(handle, damage);
            let view = BlockView::new(&block).map_err(in_block)?;
            let mut versions = view.find(key, snapshot).map_err(in_block)?;
            while versions.is_match()
                && let Some(entry) = versions.entry()
            {
                is_found = true;
                let version = TableVersion {
                    seq: entry.seq,
                    kind: entry.kind,
                    value: view.value(entry),
                    value_at: entry.value.start,
                    body: entry.body,
                    block: &block,
                    table: self,
                };
                if !visit(version) {
                    return Ok((true, false));
                }
                versions.next().map_err(in_block)?;
            }
            // Only where the separator is the key itself can the next block hold versions of it.
            if versions.entry().is_some() || !blocks.is_match() {
                break;
            }
            blocks.next().map_err(in_index)?;
        }
        Ok((is_found, true))
    }

    /// A cursor over all entries. `fill_cache = false` is for jobs that read a table once, in
    /// order: blocks that miss the cache do not enter it, and reads are large.
    pub fn cursor(self: &Arc<Self>, fill_cache: bool) -> TableCursor {
        TableCursor::new(self.clone(), fill_cache)
    }

    /// The index and where it lies.
    pub(super) fn index(&self) -> Result<(Held<'_>, Handle)> {
        let FooterInFile { footer, .. } = self.footer()?;
        Ok((
            self.held(&self.index, footer.index, |bytes| BlockBytes::new(bytes.to_vec()))?,
            footer.index,
        ))
    }

    /// A data block through the cache. Where it has to be read, the file system is told to read
    /// the bytes `ahead` too: an offset and a length.
    pub(super) fn block(
        &self,
        handle: Handle,
        ahead: Option<(u64, u64)>,
    ) -> Result<Arc<BlockBytes>> {
        self.cache.block(self.number, handle.offset, || {
            if let Some((from, len)) = ahead {
                self.file()?.will_read(from, len);
            }
            Ok(BlockBytes::new(self.read_block(handle)?))
        })
    }

    /// A data block that will be read next, if it is in memory.
    pub(super) fn block_ahead(&self, handle: Handle) -> Option<Arc<BlockBytes>> {
        self.cache.cached(self.number, handle.offset)
    }

    /// A data block if it is in memory.
    pub(super) fn cached_block(&self, handle: Handle) -> Option<Arc<BlockBytes>> {
        self.cache.peek(self.number, handle.offset)
    }

    /// Where the data blocks and bodies end.
    pub(super) fn data_end(&self) -> Result<u64> {
        let FooterInFile { footer, .. } = self.footer()?;
        Ok(if footer.filter == Handle::default() { footer.index } else { footer.filter }.offset)
    }

    /// A block that stays once the cache let it be pinned.
    fn held<'a>(
        &self,
        slot: &'a OnceLock<Pinned>,
        handle: Handle,
        place: impl FnOnce(&[u8]) -> BlockBytes,
    ) -> Result<Held<'a>> {
        if let Some(pinned) = slot.get() {
            return Ok(Held::Pinned(&pinned.block));
        }
        let block = self
            .cache
            .block(self.number, handle.offset, || Ok(place(&self.read_block(handle)?)))?;
        match self.cache.pin(self.number, handle.offset, &block) {
            None => Ok(Held::Cached(block)),
            Some(pin) => Ok(Held::Pinned(&slot.get_or_init(|| Pinned { block, _pin: pin }).block)),
        }
    }

    /// Reads and verifies a block.
    pub(super) fn read_block(&self, handle: Handle) -> Result<Vec<u8>> {
        let mut frame = spare::buffer(handle.len as usize + FRAME_BYTES);
        self.read(&mut frame, handle.offset)?;
        footer::open_frame(frame, &self.path, self.written_as, handle.offset)
    }

    /// Fills `buf` from `offset` of the file.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let file = self.file()?;
        read_exact_at(&*file, buf, offset).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::corrupt(&self.path, offset, "the file ends early")
            }
            _ => Error::io(&self.path, "read", e),
        })
    }

    pub(super) fn file(&self) -> Result<Arc<dyn File>> {
        self.cache.file(self.number, || {
            self.fs.open(&self.path).map_err(|e| Error::io(&self.path, "open", e))
        })
    }

    /// Opens its file, so that it may be read when its name is gone.
    pub fn hold(&self) -> Result<()> {
        self.file().map(drop)
    }

    fn footer(&self) -> Result<FooterInFile> {
        if let Some(footer) = self.footer.get() {
            return Ok(*footer);
        }
        let footer = self.read_footer()?;
        Ok(*self.footer.get_or_init(|| footer))
    }

    /// Reads and verifies the footer.
    pub(super) fn read_footer(&self) -> Result<FooterInFile> {
        let file_bytes = self.file()?.len().map_err(|e| Error::io(&self.path, "stat", e))?;
        let offset = file_bytes.saturating_sub(FOOTER_BYTES as u64);
        let mut bytes = vec![0; (file_bytes - offset) as usize];
        self.read(&mut bytes, offset)?;
        let footer = Footer::decode(&bytes, &self.path, self.written_as, offset)?;
        Ok(FooterInFile { footer, file_bytes })
    }

    /// Damage in the block at `handle`.
    pub(super) fn damaged(&self, handle: Handle, reason: &'static str) -> Error {
        Error::corrupt(&self.path, handle.offset, reason)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.cache.close_file(self.number);
    }
}

impl BodyFile for Table {
    fn read_body(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.read(buf, offset)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn number(&self) -> FileNumber {
        self.number
    }
}
