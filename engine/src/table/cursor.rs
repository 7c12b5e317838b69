//! Walks a table both ways: a cursor in the index, and one in the data block it points at.
//!
//! A reader that fills the cache takes blocks one by one through it. Once it is seen to go forward
//! it hints the file system, more each time; a next block that is in memory is looked up when the
//! one before is begun, and for each entry of that its own bytes are asked for at the same place:
//! all at once they would be waited for. A job that reads a table
//! once takes a window of the file at a time (blocks and the bodies between them) and leaves the
//! cache as it is.

use std::sync::Arc;

use super::ahead::Ahead;
use super::block::{BlockCursor, Damage};
use super::footer::{self, FRAME_BYTES, Handle};
use super::index;
use super::reader::Table;
use crate::cache::BlockBytes;
use crate::key::{Kind, Seq, is_same};
use crate::prefetch;
use crate::scan::stretch::Stretch;
use crate::scan::{Body, Cursor, Value};
use crate::{Error, Result};

/// A job reads this much at once: few enough calls that they cost nothing, small enough that a
/// merge of fifty tables holds little. Each such cursor holds one window.
pub const WINDOW_BYTES: usize = 256 << 10;

/// Steps that cost about as much as a search of the block.
const STEPS_MAX: u32 = 8;

/// Walks a table.
#[derive(Debug)]
pub struct TableCursor {
    table: Arc<Table>,
    index: BlockCursor,
    index_handle: Handle,
    is_open: bool,
    data: BlockCursor,
    /// The block in `data`.
    data_handle: Option<Handle>,
    /// The one after, where it is in memory and known to be read.
    ahead: Option<(Handle, Arc<BlockBytes>)>,
    /// The key that a block ended with, while the next one is begun.
    left_key: Vec<u8>,
    source: Source,
}

/// Where blocks come from.
#[derive(Debug)]
enum Source {
    Cache(Ahead),
    Window { start: u64, bytes: Vec<u8> },
}

impl TableCursor {
    pub(super) fn new(table: Arc<Table>, fill_cache: bool) -> Self {
        let source = if fill_cache {
            Source::Cache(Ahead::new())
        } else {
            Source::Window { start: 0, bytes: Vec::new() }
        };
        TableCursor {
            table,
            index: BlockCursor::empty(),
            index_handle: Handle::default(),
            is_open: false,
            data: BlockCursor::empty(),
            data_handle: None,
            ahead: None,
            left_key: Vec::new(),
            source,
        }
    }

    /// Reads the index at the first seek; invalid until the seek has succeeded.
    fn open(&mut self) -> Result<()> {
        self.data.invalidate();
        if !self.is_open {
            let (index, handle) = self.table.index()?;
            let index = Arc::clone(&index);
            self.index_handle = handle;
            self.index.set_block(index).map_err(|damage| self.table.damaged(handle, damage))?;
            self.is_open = true;
        }
        Ok(())
    }

    fn in_index<T>(&self, result: Result<T, Damage>) -> Result<T> {
        result.map_err(|damage| self.table.damaged(self.index_handle, damage))
    }

    /// The result of a move in the data block; after damage the cursor is at no entry.
    #[inline]
    fn in_data<T>(&mut self, result: Result<T, Damage>) -> Result<T> {
        result.map_err(|damage| {
            self.data.invalidate();
            self.table.damaged(self.data_handle.unwrap_or_default(), damage)
        })
    }

    /// Takes the block that the index stands at.
    fn load(&mut self) -> Result<()> {
        let handle = self.in_index(index::handle(self.index.value()))?;
        if self.data_handle == Some(handle) {
            return Ok(());
        }
        self.data_handle = None;
        let block = self.fetch(handle)?;
        let set = self.data.set_block(block);
        self.data_handle = Some(handle);
        if set.is_err() {
            self.data_handle = None;
        }
        set.map_err(|damage| self.table.damaged(handle, damage))?;
        self.look_ahead();
        Ok(())
    }

    /// Looks up the next block of a reader that is seen to go forward.
    fn look_ahead(&mut self) {
        if let Source::Cache(ahead) = &self.source
            && ahead.is_scan()
            && let Some(Ok(handle)) = self.index.next_value().map(index::handle)
        {
            self.ahead = self.table.block_ahead(handle).map(|block| (handle, block));
        }
    }

    fn fetch(&mut self, handle: Handle) -> Result<Arc<BlockBytes>> {
        match &mut self.source {
            Source::Cache(ahead) => {
                let ahead = ahead.at(handle.offset);
                match self.ahead.take() {
                    Some((known, block)) if known == handle => Ok(block),
                    _ => self.table.block(handle, ahead),
                }
            }
            Source::Window { .. } => match self.table.cached_block(handle) {
                Some(block) => Ok(block),
                None => self.fetch_from_window(handle),
            },
        }
    }

    fn fetch_from_window(&mut self, handle: Handle) -> Result<Arc<BlockBytes>> {
        let table = &self.table;
        let Source::Window { start, bytes } = &mut self.source else {
            unreachable!("called for windows only")
        };
        let data_end = table.data_end()?;
        let end = handle.end().filter(|end| *end <= data_end).ok_or_else(|| {
            Error::corrupt(table.path(), handle.offset, "a block lies outside the data")
        })?;
        if handle.offset < *start || end > *start + bytes.len() as u64 {
            let len = (WINDOW_BYTES as u64).max(end - handle.offset).min(data_end - handle.offset);
            bytes.clear();
            bytes.resize(len as usize, 0);
            if let Err(error) = table.read(bytes, handle.offset) {
                bytes.clear();
                return Err(error);
            }
            *start = handle.offset;
            // The next window, while the job works on this one.
            table.file()?.will_read(handle.offset + len, WINDOW_BYTES as u64);
        }
        let from = (handle.offset - *start) as usize;
        let frame = bytes[from..from + handle.len as usize + FRAME_BYTES].to_vec();
        let plain = footer::open_frame(frame, table.path(), table.written_as(), handle.offset)?;
        Ok(Arc::new(BlockBytes::new(plain)))
    }

    /// Goes on to `key`, which the current block or the start of the next one holds: by a few
    /// steps, else by a search of the block.
    fn seek_in_block(&mut self, key: &[u8]) -> Result<()> {
        for _ in 0..STEPS_MAX {
            let moved = self.data.next();
            self.in_data(moved)?;
            if !self.data.valid() || self.data.key() >= key {
                return self.skip_forward();
            }
        }
        let moved = self.data.seek(key, Seq::MAX);
        self.in_data(moved)?;
        self.skip_forward()
    }

    /// From past the last entry of a block to the first of the next.
    #[inline]
    fn skip_forward(&mut self) -> Result<()> {
        if self.data.valid() { Ok(()) } else { self.next_block() }
    }

    /// From past the last entry of a block to the first entry of another key.
    fn next_block_key(&mut self) -> Result<()> {
        // Only where the separator is the key itself can the next block hold versions of it.
        // The key that was left is still there.
        let is_straddling = is_same(self.data.key(), self.index.key());
        if is_straddling {
            self.left_key.clear();
            self.left_key.extend_from_slice(self.data.key());
        }
        self.next_block()?;
        while is_straddling && self.data.valid() && is_same(self.data.key(), &self.left_key) {
            self.next()?;
        }
        Ok(())
    }

    fn next_block(&mut self) -> Result<()> {
        while !self.data.valid() {
            let moved = self.index.next();
            self.in_index(moved)?;
            if !self.index.valid() {
                return Ok(());
            }
            let is_touched = self.ahead.is_some();
            self.load()?;
            if !is_touched {
                self.data.touch();
            }
            let moved = self.data.seek_first();
            self.in_data(moved)?;
        }
        Ok(())
    }

    /// From before the first entry of a block to the last of the one before.
    fn skip_backward(&mut self) -> Result<()> {
        while !self.data.valid() {
            let moved = self.index.prev();
            self.in_index(moved)?;
            if !self.index.valid() {
                return Ok(());
            }
            self.load()?;
            let moved = self.data.seek_last();
            self.in_data(moved)?;
        }
        Ok(())
    }
}

impl Cursor for TableCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.open()?;
        let moved = self.index.seek_first();
        self.in_index(moved)?;
        if !self.index.valid() {
            return Ok(());
        }
        self.load()?;
        self.data.touch();
        let moved = self.data.seek_first();
        self.in_data(moved)?;
        self.skip_forward()
    }

    fn seek_last(&mut self) -> Result<()> {
        self.open()?;
        let moved = self.index.seek_last();
        self.in_index(moved)?;
        if !self.index.valid() {
            return Ok(());
        }
        self.load()?;
        let moved = self.data.seek_last();
        self.in_data(moved)?;
        self.skip_backward()
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        // Separators are not below what they separate: the key is in this block, or first in the
        // next.
        if self.data.valid() && self.data.key() < key && key <= self.index.key() {
            return self.seek_in_block(key);
        }
        self.open()?;
        let moved = self.index.seek(key, Seq::MAX);
        self.in_index(moved)?;
        if !self.index.valid() {
            return Ok(());
        }
        self.load()?;
        let moved = self.data.seek(key, Seq::MAX);
        self.in_data(moved)?;
        self.skip_forward()
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        self.open()?;
        let moved = self.index.seek(key, Seq::MAX);
        self.in_index(moved)?;
        if !self.index.valid() {
            return self.seek_last();
        }
        self.load()?;
        let moved = self.data.seek(key, Seq::MAX);
        self.in_data(moved)?;
        let moved = if self.data.valid() { self.data.prev() } else { self.data.seek_last() };
        self.in_data(moved)?;
        self.skip_backward()
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        if !self.data.valid() {
            return Ok(());
        }
        let moved = self.data.next();
        self.in_data(moved)?;
        self.skip_forward()
    }

    #[inline]
    fn next_key(&mut self) -> Result<()> {
        if !self.data.valid() {
            return Ok(());
        }
        let moved = self.data.next_key();
        if let Some((_, ahead)) = &self.ahead {
            prefetch::bytes(ahead.get(self.data.entry_range()).unwrap_or_default());
        }
        self.in_data(moved)?;
        if self.data.valid() { Ok(()) } else { self.next_block_key() }
    }

    fn next_stretch(&mut self, snapshot: Seq, until: Option<&[u8]>, out: &mut Stretch) -> bool {
        // Separators are not below what they separate: one before `until` has nothing to look for.
        let until = until.filter(|until| self.data.valid() && *until <= self.index.key());
        let ahead = self.ahead.as_ref().map_or(&[][..], |(_, block)| block);
        self.data.next_stretch((snapshot, until), ahead, out)
    }

    fn prev(&mut self) -> Result<()> {
        if !self.data.valid() {
            return Ok(());
        }
        let moved = self.data.prev();
        self.in_data(moved)?;
        self.skip_backward()
    }

    #[inline]
    fn valid(&self) -> bool {
        self.data.valid()
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.data.key()
    }

    #[inline]
    fn seq(&self) -> Seq {
        self.data.seq()
    }

    #[inline]
    fn kind(&self) -> Kind {
        self.data.kind()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.data.value()
    }

    fn body(&self) -> Option<Body> {
        self.data.body().map(|handle| Body::File(self.table.clone(), handle))
    }

    fn pin(&self) -> Value {
        let range = self.data.value_range();
        let block = self.data.block().expect("called only while valid, in a block");
        Value::shared(block.clone(), range.start, range.len())
    }
}
