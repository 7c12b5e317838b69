//! A segment's file, read through a buffer of about 1 MiB, or of the largest record.

use std::path::{Path, PathBuf};

use super::segment::{
    HEADER_BYTES, HeaderError, RECORD_HEADER_BYTES, RecordCrc, SegmentHeader, file_name,
};
use crate::fs::{File, Fs, read_exact_at};
use crate::key::FileNumber;
use crate::{Error, Result};

/// Bytes of one read.
pub(super) const READ_BYTES: usize = 1 << 20;

/// A segment's file, open.
pub(super) struct SegmentFile {
    pub number: FileNumber,
    pub path: PathBuf,
    pub file: Box<dyn File>,
    pub len: u64,
    pub header: Result<SegmentHeader, HeaderError>,
}

impl SegmentFile {
    /// Opens a segment and reads its header.
    pub(super) fn open(fs: &dyn Fs, dir: &Path, number: FileNumber) -> Result<SegmentFile> {
        let path = dir.join(file_name(number));
        let file = fs.open(&path).map_err(|e| Error::io(&path, "open", e))?;
        let len = file.len().map_err(|e| Error::io(&path, "read", e))?;
        let mut bytes = [0; HEADER_BYTES as usize];
        let count = bytes.len().min(len as usize);
        let bytes = &mut bytes[..count];
        read_exact_at(&*file, bytes, 0).map_err(|e| Error::io(&path, "read", e))?;
        let header = match SegmentHeader::decode(bytes) {
            Err(HeaderError::Version(found)) => {
                let supported = super::segment::FORMAT_VERSION;
                return Err(Error::Version { path, found, supported });
            }
            header => header,
        };
        Ok(SegmentFile { number, path, file, len, header })
    }

    pub(super) fn corrupt(&self, offset_bytes: u64, reason: impl Into<String>) -> Error {
        Error::corrupt(&self.path, offset_bytes, reason)
    }
}

/// Reads a file through a buffer.
pub(super) struct Source {
    pub file: SegmentFile,
    buffer: Vec<u8>,
    /// Where in the file the buffer starts.
    start: u64,
}

/// What lies behind a bad record.
pub(super) struct Ahead {
    /// Largest `durable_upto` of the records found; `None` if there are none.
    pub durable_upto: Option<u64>,
    /// Behind the last byte that is not zero; where the search began if all are.
    pub end: u64,
}

impl Source {
    pub(super) fn new(file: SegmentFile) -> Self {
        file.file.will_read(0, file.len);
        Source { file, buffer: Vec::new(), start: 0 }
    }

    /// The bytes `offset..offset + count`, fewer at the end of the file.
    pub(super) fn bytes(&mut self, offset: u64, count: u64) -> Result<&[u8]> {
        let count = count.min(self.file.len.saturating_sub(offset));
        let held = self.start..self.start + self.buffer.len() as u64;
        if offset < held.start || offset + count > held.end {
            let fill = count.max(READ_BYTES as u64).min(self.file.len - offset);
            self.buffer.resize(fill as usize, 0);
            self.buffer.shrink_to(READ_BYTES);
            self.start = offset;
            if let Err(e) = read_exact_at(&*self.file.file, &mut self.buffer, offset) {
                self.buffer.clear();
                return Err(Error::io(&self.file.path, "read", e));
            }
        }
        let at = (offset - self.start) as usize;
        Ok(&self.buffer[at..at + count as usize])
    }

    /// Searches from `offset` to the end of the file, to judge what lies at `offset`.
    pub(super) fn look_ahead(&mut self, offset: u64, crc: &RecordCrc) -> Result<Ahead> {
        let mut ahead = Ahead { durable_upto: None, end: offset };
        let mut at = offset;
        while at < self.file.len {
            let window = self.bytes(at, READ_BYTES as u64)?;
            if let Some(last) = window.iter().rposition(|byte| *byte != 0) {
                ahead.end = at + last as u64 + 1;
                for start in (0..window.len()).step_by(8) {
                    let Some(header) = window.get(start..start + RECORD_HEADER_BYTES) else {
                        break;
                    };
                    if let Ok((header, _)) = crc.decode(header) {
                        ahead.durable_upto = ahead.durable_upto.max(Some(header.durable_upto));
                    }
                }
            }
            // The windows overlap, so that a header on the border is seen.
            let count = window.len();
            at += if count < READ_BYTES { count } else { count - RECORD_HEADER_BYTES } as u64;
        }
        Ok(ahead)
    }
}
