//! The footer of a table, and how a block is framed in the file.
//!
//! ```text
//! frame  := bytes (len) | compression tag u8 | crc u32
//! handle := offset u64 | len u32                        of a frame; len 0: there is none
//! footer := index handle | filter handle | properties handle | file number u64
//!         | format version u32 | crc u32 | magic u64    60 bytes, the last of the file
//! ```
//!
//! The checksum of a frame covers its bytes, its tag, the file's number and its own offset: a block
//! that was written or read at the wrong place, or in the wrong file, fails. That of the footer
//! covers everything before it. Later versions keep the last 16 bytes as they are, so that an old
//! build can tell a newer table from a damaged one.

use std::path::Path;

use crate::coding::{Decoder, put_u32, put_u64};
use crate::compress;
use crate::key::FileNumber;
use crate::{Error, Result};

/// Format version of the tables written by this build, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Last bytes of every table: "FIRNTBL1".
const MAGIC: u64 = u64::from_le_bytes(*b"FIRNTBL1");

/// Size of the footer.
pub(super) const FOOTER_BYTES: usize = 3 * 12 + 8 + 4 + 4 + 8;

/// Where the file's number lies in the footer.
const NUMBER_AT: usize = 3 * 12;

/// Bytes of a frame beside those of its block.
pub(super) const FRAME_BYTES: usize = 1 + 4;

/// Where the stored bytes of a block lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Handle {
    pub(super) offset: u64,
    pub(super) len: u32,
}

impl Handle {
    /// Where the frame ends.
    pub(super) fn end(self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.len) + FRAME_BYTES as u64)
    }

    fn put(self, out: &mut Vec<u8>) {
        put_u64(out, self.offset);
        put_u32(out, self.len);
    }
}

/// Where the parts of a table lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Footer {
    pub(super) index: Handle,
    pub(super) filter: Handle,
    pub(super) properties: Handle,
}

impl Footer {
    /// The bytes that end the file `number`.
    pub(super) fn encode(&self, number: FileNumber, out: &mut Vec<u8>) {
        let start = out.len();
        self.index.put(out);
        self.filter.put(out);
        self.properties.put(out);
        put_u64(out, number.0);
        put_u32(out, FORMAT_VERSION);
        let crc = crc32fast::hash(&out[start..]);
        put_u32(out, crc);
        put_u64(out, MAGIC);
    }

    /// Reads the footer from `bytes`, which lie at `offset`, the end of the file `number`.
    pub(super) fn decode(
        bytes: &[u8],
        path: &Path,
        number: FileNumber,
        offset: u64,
    ) -> Result<Footer> {
        let damaged = |reason: &str| Error::corrupt(path, offset, reason);
        let bytes: &[u8; FOOTER_BYTES] =
            bytes.try_into().map_err(|_| damaged("too short for a table"))?;
        let (covered, tail) = bytes.split_at(FOOTER_BYTES - 12);
        let mut tail = Decoder::new(tail);
        let crc = tail.u32().map_err(|e| e.at(path, offset))?;
        if tail.u64().map_err(|e| e.at(path, offset))? != MAGIC {
            return Err(damaged("no table: its last bytes are wrong"));
        }
        if crc32fast::hash(covered) != crc {
            return Err(damaged("footer checksum"));
        }
        let mut decoder = Decoder::new(covered);
        let mut handle = || -> std::result::Result<Handle, crate::coding::DecodeError> {
            Ok(Handle { offset: decoder.u64()?, len: decoder.u32()? })
        };
        let parts =
            (|| Ok(Footer { index: handle()?, filter: handle()?, properties: handle()? }))();
        let footer = parts.map_err(|e: crate::coding::DecodeError| e.at(path, offset))?;
        let found_number = decoder.u64().map_err(|e| e.at(path, offset))?;
        let version = decoder.u32().map_err(|e| e.at(path, offset))?;
        if version > FORMAT_VERSION {
            return Err(Error::Version {
                path: path.to_owned(),
                found: version,
                supported: FORMAT_VERSION,
            });
        }
        if found_number != number.0 {
            return Err(damaged("the footer names another file"));
        }
        footer.check(offset).map_err(damaged)?;
        Ok(footer)
    }

    /// The number that the footer in `bytes`, the end of a table, names: of a file of which nothing
    /// else is known. It is verified with the rest when the table is opened under it.
    pub(super) fn number_in(bytes: &[u8], path: &Path, offset: u64) -> Result<FileNumber> {
        let number = bytes
            .len()
            .checked_sub(FOOTER_BYTES)
            .and_then(|start| bytes[start + NUMBER_AT..].first_chunk::<8>());
        let number = number.ok_or_else(|| Error::corrupt(path, offset, "too short for a table"))?;
        Ok(FileNumber(u64::from_le_bytes(*number)))
    }

    /// Every part lies before the footer, the properties just before it: the file has the length it
    /// was written with.
    fn check(&self, footer_offset: u64) -> std::result::Result<(), &'static str> {
        for handle in [self.index, self.filter, self.properties] {
            let is_absent = handle == Handle::default();
            if !is_absent && handle.end().is_none_or(|end| end > footer_offset) {
                return Err("a part lies outside the file");
            }
        }
        if self.index.len == 0 || self.properties.len == 0 {
            return Err("a part is missing");
        }
        if self.properties.end() != Some(footer_offset) {
            return Err("the file is longer than the table");
        }
        Ok(())
    }
}

/// The checksum of a frame.
fn frame_crc(number: FileNumber, offset: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.0.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// Appends the frame of a block that will lie at `offset` of the file `number`.
pub(super) fn put_frame(
    out: &mut Vec<u8>,
    number: FileNumber,
    offset: u64,
    tag: u8,
    stored: &[u8],
) -> Handle {
    let start = out.len();
    out.extend_from_slice(stored);
    out.push(tag);
    let crc = frame_crc(number, offset, &out[start..]);
    put_u32(out, crc);
    Handle { offset, len: stored.len() as u32 }
}

/// The plain bytes of the block whose frame, read at `offset`, is `frame`.
pub(super) fn open_frame(
    mut frame: Vec<u8>,
    path: &Path,
    number: FileNumber,
    offset: u64,
) -> Result<Vec<u8>> {
    let damaged = |reason: &str| Error::corrupt(path, offset, reason);
    let (covered, crc) = frame.split_last_chunk::<4>().ok_or_else(|| damaged("no block"))?;
    if frame_crc(number, offset, covered) != u32::from_le_bytes(*crc) {
        return Err(damaged("block checksum"));
    }
    let (tag, stored) = covered.split_last().ok_or_else(|| damaged("no block"))?;
    if *tag == compress::TAG_PLAIN {
        frame.truncate(frame.len() - FRAME_BYTES);
        return Ok(frame);
    }
    compress::decompress(*tag, stored).map_err(damaged)
}
