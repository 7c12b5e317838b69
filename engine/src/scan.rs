//! The cursor: how sorted entries are walked, whoever holds them.

pub mod bounds;
pub mod hidden;
pub mod merging;
pub mod stretch;
pub mod value;
pub mod visible;

pub use hidden::Hidden;
pub use stretch::Stretch;
pub use value::Value;

use crate::Result;
use crate::key::{FileNumber, Kind, Seq};

/// Walks entries in internal order (key ascending, sequence number descending), both ways.
///
/// A cursor is created before the first entry (`valid()` is false). `key`, `seq`, `kind` and
/// `value` may be called only while `valid()`; the slices live until the cursor moves.
pub trait Cursor: Send {
    /// Moves to the first entry.
    fn seek_first(&mut self) -> Result<()>;
    /// Moves to the last entry.
    fn seek_last(&mut self) -> Result<()>;
    /// Moves to the first entry whose user key is at or after `key`.
    fn seek(&mut self, key: &[u8]) -> Result<()>;
    /// Moves to the last entry whose user key is before `key`.
    fn seek_before(&mut self, key: &[u8]) -> Result<()>;
    /// Moves to the next entry.
    fn next(&mut self) -> Result<()>;
    /// Moves past every version of the current key, which a cursor that knows its neighbours does
    /// without a copy of it.
    fn next_key(&mut self) -> Result<()> {
        if self.valid() {
            let key = self.key().to_vec();
            while self.valid() && self.key() == key {
                self.next()?;
            }
        }
        Ok(())
    }
    /// Fills `out` with the entries that follow, and moves to the last of them: puts without a
    /// body, each of another key than the entry before, numbered `snapshot` or below, before
    /// `until`, and right at hand: nothing has to be read for them and nothing can fail. Where
    /// there is none that it knows of it stays, and `out` is empty or as it was. How many there
    /// are is its own choice, within the room of `out`.
    fn next_stretch(&mut self, _snapshot: Seq, _until: Option<&[u8]>, _out: &mut Stretch) -> bool {
        false
    }
    /// Moves to the previous entry.
    fn prev(&mut self) -> Result<()>;
    /// Whether the cursor is at an entry.
    fn valid(&self) -> bool;
    /// User key.
    fn key(&self) -> &[u8];
    /// Sequence number.
    fn seq(&self) -> Seq;
    /// Kind.
    fn kind(&self) -> Kind;
    /// The value, or the head of a split value.
    fn value(&self) -> &[u8];
    /// The body of a split value: bytes that lie outside the blocks and are read by range.
    fn body(&self) -> Option<Body>;
    /// The value, kept alive past the next move; without a copy where it lies in a block.
    fn pin(&self) -> Value {
        Value::copy(self.value())
    }
    /// From a hidden entry, going the way `hidden` says: passes over hidden entries where that
    /// costs less than walking them, and over nothing else. Says whether it moved.
    fn skip_hidden(&mut self, _hidden: &Hidden<'_>) -> Result<bool> {
        Ok(false)
    }
}

impl<C: Cursor + ?Sized> Cursor for Box<C> {
    fn seek_first(&mut self) -> Result<()> {
        (**self).seek_first()
    }
    fn seek_last(&mut self) -> Result<()> {
        (**self).seek_last()
    }
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        (**self).seek(key)
    }
    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        (**self).seek_before(key)
    }
    fn next(&mut self) -> Result<()> {
        (**self).next()
    }
    fn next_key(&mut self) -> Result<()> {
        (**self).next_key()
    }
    fn next_stretch(&mut self, snapshot: Seq, until: Option<&[u8]>, out: &mut Stretch) -> bool {
        (**self).next_stretch(snapshot, until, out)
    }
    fn prev(&mut self) -> Result<()> {
        (**self).prev()
    }
    fn valid(&self) -> bool {
        (**self).valid()
    }
    fn key(&self) -> &[u8] {
        (**self).key()
    }
    fn seq(&self) -> Seq {
        (**self).seq()
    }
    fn kind(&self) -> Kind {
        (**self).kind()
    }
    fn value(&self) -> &[u8] {
        (**self).value()
    }
    fn body(&self) -> Option<Body> {
        (**self).body()
    }
    fn pin(&self) -> Value {
        (**self).pin()
    }
    fn skip_hidden(&mut self, hidden: &Hidden<'_>) -> Result<bool> {
        (**self).skip_hidden(hidden)
    }
}

/// The part of a split value that is stored outside the blocks of its table (or, before the
/// flush, in memory), so that a reader may fetch a range of it without reading the rest.
#[derive(Debug, Clone)]
pub enum Body {
    /// Bytes in memory.
    Memory(std::sync::Arc<[u8]>),
    /// Bytes of a table file.
    File(std::sync::Arc<dyn BodyFile>, BodyHandle),
}

/// Where a body lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyHandle {
    /// Offset of the first byte in the file.
    pub offset: u64,
    /// Length in bytes.
    pub len: u32,
    /// CRC-32 of the whole body; partial reads are verified by their owner's own checksums.
    pub crc: u32,
}

/// A file that holds bodies.
pub trait BodyFile: Send + Sync + std::fmt::Debug {
    /// Reads exactly `buf.len()` bytes at `offset` of the file.
    fn read_body(&self, buf: &mut [u8], offset: u64) -> Result<()>;
    /// The file, for errors.
    fn path(&self) -> &std::path::Path;
    /// Its number, never reused: names what a reader keeps of it.
    fn number(&self) -> FileNumber;
}

impl Body {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Body::Memory(bytes) => bytes.len(),
            Body::File(_, handle) => handle.len as usize,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// File and offset, which name these bytes for ever; `None` for bytes in memory.
    pub fn place(&self) -> Option<(FileNumber, u64)> {
        match self {
            Body::Memory(_) => None,
            Body::File(file, handle) => Some((file.number(), handle.offset)),
        }
    }

    /// Appends the bytes `range` of the body to `out`. The caller verifies its own checksums.
    ///
    /// # Panics
    /// When the range leaves the body: ranges come from a verified head.
    pub fn read_range(&self, range: std::ops::Range<usize>, out: &mut Vec<u8>) -> Result<()> {
        assert!(range.start <= range.end && range.end <= self.len(), "range outside the body");
        match self {
            Body::Memory(bytes) => out.extend_from_slice(&bytes[range]),
            Body::File(file, handle) => {
                let start = out.len();
                out.resize(start + range.len(), 0);
                file.read_body(&mut out[start..], handle.offset + range.start as u64)?;
            }
        }
        Ok(())
    }

    /// Reads the whole body and verifies its checksum.
    pub fn read_all(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.read_range(0..self.len(), &mut out)?;
        if let Body::File(file, handle) = self
            && crc32fast::hash(&out) != handle.crc
        {
            return Err(crate::Error::corrupt(file.path(), handle.offset, "body checksum"));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
