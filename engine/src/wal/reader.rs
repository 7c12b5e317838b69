//! Replay: reads the segments back, in order, and tells a torn tail from damage.
//!
//! 1. Read all headers. Each segment names the one before it; a missing one is damage. Files
//!    without a header that nobody names were prepared and never used.
//! 2. Read every segment but the last up to its sealed length. Anything wrong there is damage.
//! 3. Read the last until zeros or the first bad record. Then look ahead, only to judge: a later
//!    record that says "this was on disk" (`durable_upto`) makes it damage; else the tail is torn,
//!    which is how a crash looks, and ends there.
//!
//! Nothing is written. Memory: one buffer of about 1 MiB, or of the largest record.

use std::path::{Path, PathBuf};

use super::segment::{
    HEADER_BYTES, HeaderError, Previous, RECORD_HEADER_BYTES, RecordCrc, RecordHeader, RecordKind,
    SegmentHeader, chain, chain_start, file_name, file_number, record_bytes,
};
use super::{RECORD_BYTES_MAX, SegmentInfo};
use crate::coding;
use crate::fs::{File, Fs, read_exact_at};
use crate::key::{FileNumber, Seq};
use crate::{Error, Result};

/// Bytes of one read.
const READ_BYTES: usize = 1 << 20;

/// Takes the records of the log: segment, sequence number, body.
pub type Visit<'a> = dyn FnMut(FileNumber, Seq, &[u8]) -> Result<()> + 'a;

/// What replay is told.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// Identity of the store.
    pub store_id: u128,
    /// Segments below this number are obsolete (the manifest says so) and are not read.
    pub from: FileNumber,
    /// Longest body of a record.
    pub record_bytes_max: u64,
}

impl ReplayOptions {
    /// Everything there is of the store.
    pub fn new(store_id: u128) -> Self {
        ReplayOptions { store_id, from: FileNumber(0), record_bytes_max: RECORD_BYTES_MAX }
    }
}

/// What replay found. `Replay::default()` is that of a new store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replay {
    /// Segments that were read, in order.
    pub segments: Vec<SegmentInfo>,
    /// Segments to remove: obsolete ones, and ones that were never used.
    /// [`super::Wal::create`] removes them.
    pub unused: Vec<FileNumber>,
    /// Largest sequence number, 0 when there was no record.
    pub last_seq: Seq,
    /// Data records.
    pub records: u64,
    /// Bytes of records and headers.
    pub bytes: u64,
    /// The tail that a crash left behind, cut.
    pub torn_tail: Option<TornTail>,
}

/// A tail that was written in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub segment: FileNumber,
    /// Where its last whole record ends.
    pub offset_bytes: u64,
    /// From there to the last byte that is not zero.
    pub bytes: u64,
}

/// Reads every record of the log in order. `visit` gets the segment, the sequence number and the
/// body; `progress` the bytes done and the bytes in all.
///
/// # Errors
/// `Corrupt` with file and offset for damage, `Version` for a later format, `Limit` for a record
/// over the limit, and what `visit` answers. Records before a damaged one have been visited then.
pub fn replay(
    fs: &dyn Fs,
    dir: &Path,
    options: &ReplayOptions,
    visit: &mut Visit<'_>,
    progress: &dyn Fn(u64, u64),
) -> Result<Replay> {
    let mut replay = Replay::default();
    let mut files = open_segments(fs, dir, options, &mut replay)?;
    let used = link_segments(options, &mut files, &mut replay)?;
    let total: u64 = used.iter().map(|(file, _)| file.len).sum();
    let mut done = 0;
    let sealed: Vec<Option<Previous>> = used.iter().skip(1).map(|(_, h)| h.previous).collect();
    for (index, (file, header)) in used.into_iter().enumerate() {
        let mut segment = Segment {
            info: SegmentInfo {
                number: header.number,
                bytes: HEADER_BYTES,
                first_seq: None,
                last_seq: None,
                chain: chain_start(&header.encode()),
            },
            crc: RecordCrc::new(header.store_id, header.number),
            source: Source::new(file),
            options,
        };
        let len = segment.source.file.len;
        let seal = sealed.get(index).copied().flatten();
        segment.read_records(seal, &mut replay, visit, &|at| progress(done + at, total))?;
        done += len;
        progress(done, total);
        replay.bytes += segment.info.bytes;
        replay.segments.push(segment.info);
    }
    Ok(replay)
}

/// A segment's file, open.
struct SegmentFile {
    number: FileNumber,
    path: PathBuf,
    file: Box<dyn File>,
    len: u64,
    header: Result<SegmentHeader, HeaderError>,
}

impl SegmentFile {
    fn corrupt(&self, offset_bytes: u64, reason: impl Into<String>) -> Error {
        Error::corrupt(&self.path, offset_bytes, reason)
    }
}

/// Opens the segments that are not obsolete, in order, and reads their headers.
fn open_segments(
    fs: &dyn Fs,
    dir: &Path,
    options: &ReplayOptions,
    replay: &mut Replay,
) -> Result<Vec<SegmentFile>> {
    let names = fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| file_number(name)).collect();
    numbers.sort();
    let mut files = Vec::new();
    for number in numbers {
        if number < options.from {
            replay.unused.push(number);
            continue;
        }
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
        files.push(SegmentFile { number, path, file, len, header });
    }
    Ok(files)
}

/// Checks that the segments form one chain; gives those that were used.
fn link_segments(
    options: &ReplayOptions,
    files: &mut Vec<SegmentFile>,
    replay: &mut Replay,
) -> Result<Vec<(SegmentFile, SegmentHeader)>> {
    let mut used: Vec<(SegmentFile, SegmentHeader)> = Vec::new();
    let mut headless: Vec<SegmentFile> = Vec::new();
    for file in files.drain(..) {
        let Ok(header) = file.header else {
            headless.push(file);
            continue;
        };
        if header.store_id != options.store_id || header.number != file.number {
            return Err(file.corrupt(16, "segment of another store or of another number"));
        }
        let before = used.last().map(|(file, _)| file.number);
        let named = header.previous.map(|previous| previous.number);
        if before.is_some() && named != before || named.is_some_and(|n| n >= header.number) {
            return Err(unlinked(&file, named, &headless));
        }
        // What the first one names must be obsolete.
        if before.is_none() && named.is_some_and(|named| named >= options.from) {
            return Err(unlinked(&file, named, &headless));
        }
        replay.unused.extend(headless.drain(..).map(|file| file.number));
        used.push((file, header));
    }
    // Behind the last used one: a segment whose first record was never written.
    for file in headless {
        let number = file.number;
        let crc = RecordCrc::new(options.store_id, number);
        let mut source = Source::new(file);
        let ahead = source.look_ahead(0, &crc)?;
        if ahead.durable_upto > 0 {
            let reason = match source.file.header {
                Err(HeaderError::Damaged(reason)) => reason,
                _ => "segment header is missing",
            };
            return Err(source.file.corrupt(0, reason));
        }
        if ahead.end > 0 {
            replay.torn_tail =
                Some(TornTail { segment: number, offset_bytes: 0, bytes: ahead.end });
        }
        replay.unused.push(number);
    }
    Ok(used)
}

fn unlinked(file: &SegmentFile, named: Option<FileNumber>, headless: &[SegmentFile]) -> Error {
    if let Some(damaged) = headless.iter().find(|other| Some(other.number) == named) {
        return damaged.corrupt(0, "segment header is damaged or missing");
    }
    let named = named.map_or("none".into(), file_name);
    file.corrupt(40, format!("the segment before this one is {named}, which is not there"))
}

/// Reads a file through a buffer.
struct Source {
    file: SegmentFile,
    buffer: Vec<u8>,
    /// Where in the file the buffer starts.
    start: u64,
}

/// What lies behind a bad record.
struct Ahead {
    /// Largest `durable_upto` of the records found, 0 if there are none.
    durable_upto: u64,
    /// Behind the last byte that is not zero; where the search began if all are.
    end: u64,
}

impl Source {
    fn new(file: SegmentFile) -> Self {
        file.file.will_read(0, file.len);
        Source { file, buffer: Vec::new(), start: 0 }
    }

    /// The bytes `offset..offset + count`, fewer at the end of the file.
    fn bytes(&mut self, offset: u64, count: u64) -> Result<&[u8]> {
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
    fn look_ahead(&mut self, offset: u64, crc: &RecordCrc) -> Result<Ahead> {
        let mut ahead = Ahead { durable_upto: 0, end: offset };
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
                        ahead.durable_upto = ahead.durable_upto.max(header.durable_upto);
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

/// What lies where a record may start.
enum Found {
    Record(RecordHeader, u32),
    /// Zeros, or the end of the file.
    End,
    Bad(&'static str),
}

struct Segment<'a> {
    info: SegmentInfo,
    crc: RecordCrc,
    source: Source,
    options: &'a ReplayOptions,
}

impl Segment<'_> {
    /// Reads the records behind the header. `seal`: what the next segment says of this one.
    fn read_records(
        &mut self,
        seal: Option<Previous>,
        replay: &mut Replay,
        visit: &mut Visit<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<()> {
        let sealed_bytes = seal.map(|seal| seal.bytes);
        if sealed_bytes.is_some_and(|bytes| bytes < HEADER_BYTES || bytes > self.source.file.len) {
            let end = self.source.file.len;
            return Err(self.source.file.corrupt(end, "segment is not as long as it was sealed"));
        }
        let mut reported = 0;
        while sealed_bytes != Some(self.info.bytes) {
            let at = self.info.bytes;
            match self.find(at)? {
                Found::Record(header, crc) => {
                    self.info.bytes += record_bytes(u64::from(header.len));
                    self.info.chain = chain(self.info.chain, crc);
                    match header.kind {
                        RecordKind::Data => self.visit_record(at, &header, replay, visit)?,
                        RecordKind::Seal => break,
                    }
                }
                Found::End if seal.is_none() => {
                    return self.judge_tail("record is missing", replay);
                }
                Found::Bad(reason) if seal.is_none() => return self.judge_tail(reason, replay),
                Found::End => return Err(self.source.file.corrupt(at, "record is missing")),
                Found::Bad(reason) => return Err(self.source.file.corrupt(at, reason)),
            }
            if at - reported >= READ_BYTES as u64 {
                reported = at;
                progress(at);
            }
        }
        let is_as_sealed =
            |seal: Previous| (seal.bytes, seal.chain) == (self.info.bytes, self.info.chain);
        if seal.is_some_and(|seal| !is_as_sealed(seal)) {
            let reason = "records are not those that were sealed";
            return Err(self.source.file.corrupt(self.info.bytes, reason));
        }
        Ok(())
    }

    /// Looks at the record at `offset`; leaves its body in the buffer.
    fn find(&mut self, offset: u64) -> Result<Found> {
        let limit = self.options.record_bytes_max;
        let header = self.source.bytes(offset, RECORD_HEADER_BYTES as u64)?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(Found::End);
        }
        let (header, crc) = match self.crc.decode(header) {
            Ok(found) => found,
            Err(error) => return Ok(Found::Bad(error.reason)),
        };
        if u64::from(header.len) > limit {
            let got = u64::from(header.len);
            return Err(Error::Limit { what: "bytes of a log record", limit, got });
        }
        let size = record_bytes(u64::from(header.len));
        let record = self.source.bytes(offset, size)?;
        if (record.len() as u64) < size {
            return Ok(Found::Bad("record ends behind the end of the file"));
        }
        let (body, padding) = record[RECORD_HEADER_BYTES..].split_at(header.len as usize);
        if coding::crc(body) != header.body_crc || padding.iter().any(|byte| *byte != 0) {
            return Ok(Found::Bad("checksum of the record body"));
        }
        Ok(Found::Record(header, crc))
    }

    fn visit_record(
        &mut self,
        offset: u64,
        header: &RecordHeader,
        replay: &mut Replay,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        if header.seq < replay.last_seq {
            return Err(self.source.file.corrupt(offset, "sequence numbers descend"));
        }
        replay.last_seq = header.seq;
        replay.records += 1;
        self.info.first_seq.get_or_insert(header.seq);
        self.info.last_seq = Some(header.seq);
        let body_offset = offset + RECORD_HEADER_BYTES as u64;
        let body = self.source.bytes(body_offset, u64::from(header.len))?;
        visit(self.info.number, header.seq, body)
    }

    /// Decides what the end of the last segment is: clean, torn, or damaged.
    fn judge_tail(&mut self, reason: &'static str, replay: &mut Replay) -> Result<()> {
        let offset = self.info.bytes;
        let ahead = self.source.look_ahead(offset, &self.crc)?;
        if ahead.durable_upto > offset {
            return Err(self.source.file.corrupt(offset, reason));
        }
        if ahead.end > offset {
            let (segment, bytes) = (self.info.number, ahead.end - offset);
            replay.torn_tail = Some(TornTail { segment, offset_bytes: offset, bytes });
        }
        Ok(())
    }
}
