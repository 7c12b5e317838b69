//! Replay: reads the segments back, in order, and tells a torn tail from damage.
//!
//! 1. Find the chain of segments ([`super::chain`]).
//! 2. Read every segment that was synced when it was sealed, as the next header or the manifest of
//!    a closed store says, up to its sealed length. Anything wrong there is damage.
//! 3. Read the others, the last one among them, until their seal, zeros or the first bad record.
//!    Then look ahead, only to judge: a later record or header that says "this was on disk" makes
//!    it damage; else the tail is torn, which is how a crash looks. The log ends there, and the
//!    segments behind it are dropped.
//!
//! Nothing is written here; [`super::recover`] does, before it replays.

use std::path::Path;

use super::chain::Chain;
use super::segment::{
    HEADER_BYTES, Previous, RECORD_HEADER_BYTES, RecordCrc, RecordHeader, RecordKind,
    SegmentHeader, chain, chain_start, record_bytes,
};
use super::source::{READ_BYTES, SegmentFile, Source};
use super::{LogBounds, RECORD_BYTES_MAX, SegmentInfo};
use crate::coding;
use crate::fs::Fs;
use crate::key::{FileNumber, Seq};
use crate::{Error, Result};

/// Takes the records of the log: segment, sequence number, body.
pub type Visit<'a> = dyn FnMut(FileNumber, Seq, &[u8]) -> Result<()> + 'a;

/// What replay is told.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// Identity of the store.
    pub store_id: u128,
    /// Which part of it is read.
    pub bounds: LogBounds,
    /// Longest body of a record.
    pub record_bytes_max: u64,
}

impl ReplayOptions {
    /// Everything there is of the store.
    pub fn new(store_id: u128) -> Self {
        ReplayOptions { store_id, bounds: LogBounds::ALL, record_bytes_max: RECORD_BYTES_MAX }
    }
}

/// What replay found. `Replay::default()` is that of a new store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replay {
    /// Segments that were read, in order.
    pub segments: Vec<SegmentInfo>,
    /// Segments to remove: obsolete ones, ones without a record, and ones behind a torn tail.
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
    /// From there to the last byte that is not zero, those of the segments behind it counted in.
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
    let chain = Chain::find(fs, dir, options)?;
    read_chain(chain, options, visit, progress).map(|(replay, _)| replay)
}

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub segment: FileNumber,
    pub offset: u64,
}

/// As [`replay`], of the segments of `chain`; gives the end of what is proved to be on disk, too,
/// if records lie behind it.
pub(super) fn read_chain(
    chain: Chain,
    options: &ReplayOptions,
    visit: &mut Visit<'_>,
    progress: &dyn Fn(u64, u64),
) -> Result<(Replay, Option<Place>)> {
    let mut replay =
        Replay { unused: chain.unused, torn_tail: chain.torn_tail, ..Replay::default() };
    let total: u64 = chain.segments.iter().map(|(file, _)| file.len).sum();
    let seals = chain.segments.iter().skip(1).map(|(_, header)| header.previous);
    let seals: Vec<_> = seals.chain([chain.seal_of_last]).collect();
    let is_all_proved = chain.seal_of_last.is_some_and(|seal| seal.is_synced);
    let mut done = 0;
    let mut proved = None;
    let mut rest = chain.segments.into_iter().zip(seals);
    while let Some(((file, header), seal)) = rest.next() {
        let mut segment = Segment::new(file, &header, options);
        let len = segment.source.file.len;
        let end =
            segment.read_records(seal, &mut replay, visit, &|at| progress(done + at, total))?;
        proved = segment.proved(is_all_proved).or(proved);
        if let End::Open(reason) = end {
            let behind: Vec<_> = rest.by_ref().map(|(segment, _)| segment).collect();
            segment.judge_tail(reason, is_all_proved, behind, &mut replay)?;
        }
        done += len;
        progress(done, total);
        replay.bytes += segment.info.bytes;
        replay.segments.push(segment.info);
    }
    let end = replay.segments.last().map(|last| Place { segment: last.number, offset: last.bytes });
    Ok((replay, proved.filter(|proved| Some(*proved) != end)))
}

/// What lies where a record may start.
pub(super) enum Found {
    Record(RecordHeader),
    /// Zeros, or the end of the file.
    End,
    Bad(&'static str),
}

/// How the records of a segment end.
enum End {
    /// As they were sealed.
    Sealed,
    /// For this reason, before the seal or where none is known.
    Open(&'static str),
}

/// A segment being read.
pub(super) struct Segment<'a> {
    /// What was read so far.
    pub info: SegmentInfo,
    /// Largest `durable_upto` of what was read: up to there all of it was on disk, and all before
    /// it. 0 while nothing says so.
    durable_upto: u64,
    pub source: Source,
    crc: RecordCrc,
    options: &'a ReplayOptions,
}

impl<'a> Segment<'a> {
    pub(super) fn new(
        file: SegmentFile,
        header: &SegmentHeader,
        options: &'a ReplayOptions,
    ) -> Self {
        let info = SegmentInfo {
            number: header.number,
            bytes: HEADER_BYTES,
            first_seq: None,
            last_seq: None,
            chain: chain_start(&header.encode()),
        };
        let is_on_durable = header.is_on_durable(options.bounds.from);
        Segment {
            info,
            durable_upto: if is_on_durable { HEADER_BYTES } else { 0 },
            source: Source::new(file),
            crc: RecordCrc::new(header.store_id, header.number),
            options,
        }
    }

    /// The end of what is proved to be on disk, if it lies in this segment.
    fn proved(&self, is_all_proved: bool) -> Option<Place> {
        let offset = if is_all_proved { self.info.bytes } else { self.durable_upto };
        (offset > 0).then_some(Place { segment: self.info.number, offset })
    }

    /// Reads the records behind the header. `seal`: what the next segment says of this one.
    fn read_records(
        &mut self,
        seal: Option<Previous>,
        replay: &mut Replay,
        visit: &mut Visit<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<End> {
        let sealed_bytes = seal.map(|seal| seal.bytes);
        let must_be_whole = seal.is_some_and(|seal| seal.is_synced);
        let is_too_long = |bytes| must_be_whole && bytes > self.source.file.len;
        if sealed_bytes.is_some_and(|bytes| bytes < HEADER_BYTES || is_too_long(bytes)) {
            let end = self.source.file.len;
            return Err(self.source.file.corrupt(end, "segment is not as long as it was sealed"));
        }
        let mut reported = 0;
        while sealed_bytes != Some(self.info.bytes) {
            let at = self.info.bytes;
            let reason = match self.next(seal.is_none())? {
                Found::Record(header) if header.kind == RecordKind::Data => {
                    self.visit_record(at, &header, replay, visit)?;
                    if at - reported >= READ_BYTES as u64 {
                        reported = at;
                        progress(at);
                    }
                    continue;
                }
                Found::Record(_) => break,
                Found::End => "record is missing",
                Found::Bad(reason) => reason,
            };
            if must_be_whole {
                return Err(self.source.file.corrupt(at, reason));
            }
            return Ok(End::Open(reason));
        }
        let found = (self.info.bytes, self.info.chain);
        if seal.is_some_and(|seal| (seal.bytes, seal.chain) != found) {
            let reason = "records are not those that were sealed";
            return Err(self.source.file.corrupt(self.info.bytes, reason));
        }
        Ok(End::Sealed)
    }

    /// Reads the record behind those read so far. The seal of the last segment is not counted in:
    /// nothing says that it is on disk, and nothing that matters is in it.
    pub(super) fn next(&mut self, is_last: bool) -> Result<Found> {
        let at = self.info.bytes;
        let (header, crc) = match self.find(at)? {
            Ok(found) => found,
            Err(nothing) => return Ok(nothing),
        };
        if header.durable_upto > at {
            return Ok(Found::Bad("record says that what is behind it was on disk"));
        }
        self.durable_upto = self.durable_upto.max(header.durable_upto);
        if !is_last || header.kind != RecordKind::Seal {
            self.info.bytes += record_bytes(u64::from(header.len));
            self.info.chain = chain(self.info.chain, crc);
        }
        Ok(Found::Record(header))
    }

    /// The body of the record at `offset`.
    pub(super) fn body(&mut self, offset: u64, header: &RecordHeader) -> Result<&[u8]> {
        self.source.bytes(offset + RECORD_HEADER_BYTES as u64, u64::from(header.len))
    }

    /// Looks at the record at `offset`; leaves its body in the buffer.
    fn find(&mut self, offset: u64) -> Result<Result<(RecordHeader, u32), Found>> {
        let limit = self.options.record_bytes_max;
        let header = self.source.bytes(offset, RECORD_HEADER_BYTES as u64)?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(Err(Found::End));
        }
        let (header, crc) = match self.crc.decode(header) {
            Ok(found) => found,
            Err(error) => return Ok(Err(Found::Bad(error.reason))),
        };
        if u64::from(header.len) > limit {
            let got = u64::from(header.len);
            return Err(Error::Limit { what: "bytes of a log record", limit, got });
        }
        let size = record_bytes(u64::from(header.len));
        let record = self.source.bytes(offset, size)?;
        if (record.len() as u64) < size {
            return Ok(Err(Found::Bad("record ends behind the end of the file")));
        }
        let (body, padding) = record[RECORD_HEADER_BYTES..].split_at(header.len as usize);
        if coding::crc(body) != header.body_crc || padding.iter().any(|byte| *byte != 0) {
            return Ok(Err(Found::Bad("checksum of the record body")));
        }
        Ok(Ok((header, crc)))
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
        let number = self.info.number;
        visit(number, header.seq, self.body(offset, header)?)
    }

    /// Decides what the end of the log is that was found here: clean, torn, or damaged. `behind`:
    /// the segments that were written behind this one.
    fn judge_tail(
        &mut self,
        reason: &'static str,
        is_all_proved: bool,
        behind: Vec<(SegmentFile, SegmentHeader)>,
        replay: &mut Replay,
    ) -> Result<()> {
        let offset = self.info.bytes;
        let ahead = self.source.look_ahead(offset, &self.crc)?;
        let mut was_on_disk = is_all_proved || ahead.durable_upto > Some(offset);
        let mut bytes = ahead.end - offset;
        let is_torn = bytes > 0 || !behind.is_empty();
        for (at, (file, header)) in behind.into_iter().enumerate() {
            let is_on_durable = header.previous.is_some_and(|previous| previous.is_synced);
            let crc = RecordCrc::new(header.store_id, header.number);
            replay.unused.push(header.number);
            let ahead = Source::new(file).look_ahead(HEADER_BYTES, &crc)?;
            was_on_disk |= (at > 0 && is_on_durable) || ahead.durable_upto > Some(0);
            bytes += ahead.end - HEADER_BYTES;
        }
        if was_on_disk {
            return Err(self.source.file.corrupt(offset, reason));
        }
        if is_torn {
            let segment = self.info.number;
            replay.torn_tail = Some(TornTail { segment, offset_bytes: offset, bytes });
        }
        Ok(())
    }
}
