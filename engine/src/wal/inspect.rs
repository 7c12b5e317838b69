//! Looks into the log for people and tools: every segment, every record, and what lies between
//! records that is none.
//!
//! Replay stops at the first damage; this passes over it. A record is known by the checksum of its
//! header, which names store and segment, at any multiple of 8, so that records behind damage are
//! found again. What replay makes of the whole is told beside it, as the verdict.

use std::path::{Path, PathBuf};

use super::LogBounds;
use super::reader::{Replay, ReplayOptions, replay};
use super::segment::{
    FORMAT_VERSION, HEADER_BYTES, HeaderError, Previous, RECORD_HEADER_BYTES, RecordCrc,
    RecordHeader, RecordKind, SegmentHeader, chain, chain_start, file_name, file_number,
    record_bytes,
};
use super::source::SegmentFile;
use crate::coding;
use crate::fs::{Fs, read_all};
use crate::key::{FileNumber, Seq};
use crate::{Error, Result};

/// A record as it lies in its segment.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    /// The segment.
    pub segment: FileNumber,
    /// Where it starts.
    pub offset: u64,
    /// Its bytes, header and padding included.
    pub bytes: u64,
    /// Its sequence number.
    pub seq: Seq,
    /// Whether it is the seal that ends a segment.
    pub is_seal: bool,
    /// Bytes of the segment that were on disk when it was written.
    pub durable_upto: u64,
    /// The batch.
    pub body: &'a [u8],
}

/// Bytes of a segment that are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Where they start.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
    /// Why they are none.
    pub reason: String,
    /// They are a whole record, but not one that belongs here.
    pub is_whole_record: bool,
    /// Sequence number of the whole record behind them, if there is one in the segment.
    pub seq_after: Option<Seq>,
}

impl Gap {
    fn new(offset: u64, bytes: u64, reason: impl Into<String>) -> Gap {
        Gap { offset, bytes, reason: reason.into(), is_whole_record: false, seq_after: None }
    }
}

/// What a segment says of the one before it, or the manifest of a closed store of the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentLink {
    /// Its number.
    pub number: FileNumber,
    /// Its length when it was sealed.
    pub bytes: u64,
    /// Its chain of checksums.
    pub chain: u32,
}

/// What a segment is found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentState {
    /// All is well.
    Whole,
    /// It holds no record.
    Empty,
    /// The manifest says that it is not needed any more.
    Obsolete,
    /// It ends in a record that was not finished: never synced, cut when the store opens.
    TornTail(Gap),
    /// It was written behind a torn tail, or is what a recovery left of such a one: removed when
    /// the store opens.
    Dropped,
    /// It is damaged, here first.
    Damaged(Gap),
}

/// What a segment holds.
#[derive(Debug, Clone)]
pub struct SegmentReport {
    /// Its number.
    pub number: FileNumber,
    /// Size of its file.
    pub file_bytes: u64,
    /// What it is found to be.
    pub state: SegmentState,
    /// What it says of the segment before it.
    pub previous: Option<SegmentLink>,
    /// What the segment behind it, or the manifest, says of this one.
    pub sealed: Option<SegmentLink>,
    /// Data records that are whole.
    pub records: u64,
    /// Where the last whole record ends; the length of the header when there is none.
    pub end_bytes: u64,
    /// Sequence number of the first record.
    pub first_seq: Option<Seq>,
    /// Sequence number of the last record.
    pub last_seq: Option<Seq>,
    /// What lies between whole records and is none.
    pub gaps: Vec<Gap>,
    /// Store that its header names; `None` when the header is damaged.
    pub store_id: Option<u128>,
    header: Result<(), HeaderError>,
    chain: u32,
    tail: Option<Gap>,
}

/// What the log of a folder holds.
#[derive(Debug)]
pub struct LogReport {
    /// Segments in order.
    pub segments: Vec<SegmentReport>,
    /// What replay makes of it; an error is what the store would refuse to open with.
    pub verdict: Result<Replay>,
}

impl LogReport {
    /// Whether a store would open it as it is. A torn tail is no damage.
    pub fn is_readable(&self) -> bool {
        self.verdict.is_ok()
    }
}

/// Reads the log in `dir`. `store_id` is that of the manifest; without one the first header that is
/// whole gives it. `visit` sees every whole record of every
/// segment, in the order of segments and offsets, but for what lies behind the end that a later
/// segment says this one had: a recovery cut it, and its numbers were given out again.
///
/// # Errors
/// I/O, and what `visit` answers. Damage is in the report.
pub fn report(
    fs: &dyn Fs,
    dir: &Path,
    store_id: Option<u128>,
    bounds: LogBounds,
    visit: &mut dyn FnMut(RecordView<'_>) -> Result<()>,
) -> Result<LogReport> {
    let numbers = segments(fs, dir)?;
    let mut headers = Vec::with_capacity(numbers.len());
    for number in &numbers {
        headers.extend(SegmentFile::open(fs, dir, *number).ok().and_then(|file| file.header.ok()));
    }
    let store_id = store_id.or(headers.first().map(|header| header.store_id));
    let previous = headers.iter().filter_map(|header| header.previous).map(link);
    let links: Vec<_> = bounds.end_needed().into_iter().chain(previous).collect();
    let mut segments = Vec::with_capacity(numbers.len());
    for number in numbers {
        let sealed = links.iter().rev().find(|link| link.number == number).copied();
        let file = SegmentBytes::read(fs, dir, number)?;
        segments.push(file.scan(store_id, sealed, visit)?);
    }
    let verdict = match store_id {
        Some(store_id) => {
            let options = ReplayOptions { bounds, ..ReplayOptions::new(store_id) };
            replay(fs, dir, &options, &mut |_, _, _| Ok(()), &|_, _| {})
        }
        None if segments.is_empty() => Ok(Replay::default()),
        None => Err(Error::corrupt(dir, 0, "no segment of the log has a header")),
    };
    judge(&mut segments, bounds.from, &verdict);
    Ok(LogReport { segments, verdict })
}

/// Numbers of the segments in `dir`, ascending.
pub fn segments(fs: &dyn Fs, dir: &Path) -> Result<Vec<FileNumber>> {
    let names = fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| file_number(name)).collect();
    numbers.sort();
    Ok(numbers)
}

/// A segment in memory.
pub(super) struct SegmentBytes {
    number: FileNumber,
    bytes: Vec<u8>,
}

impl SegmentBytes {
    pub(super) fn read(fs: &dyn Fs, dir: &Path, number: FileNumber) -> Result<SegmentBytes> {
        let path = dir.join(file_name(number));
        let bytes = read_all(fs, &path).map_err(|e| Error::io(&path, "read", e))?;
        Ok(SegmentBytes { number, bytes })
    }

    pub(super) fn number(&self) -> FileNumber {
        self.number
    }

    /// Bytes of it that were found to be there.
    pub(super) fn slice(&self, offset: usize, len: usize) -> &[u8] {
        &self.bytes[offset..offset + len]
    }

    fn header(&self) -> Result<SegmentHeader, HeaderError> {
        let len = self.bytes.len().min(HEADER_BYTES as usize);
        SegmentHeader::decode(&self.bytes[..len])
    }

    /// Finds every whole record.
    fn scan(
        &self,
        store_id: Option<u128>,
        sealed: Option<SegmentLink>,
        visit: &mut dyn FnMut(RecordView<'_>) -> Result<()>,
    ) -> Result<SegmentReport> {
        let header = self.header();
        let previous = header.ok().and_then(|header| header.previous);
        let mut report = SegmentReport {
            number: self.number,
            file_bytes: self.bytes.len() as u64,
            state: SegmentState::Whole,
            previous: previous.map(link),
            sealed,
            records: 0,
            end_bytes: HEADER_BYTES,
            first_seq: None,
            last_seq: None,
            gaps: Vec::new(),
            store_id: header.ok().map(|header| header.store_id),
            header: header.map(|_| ()),
            chain: header.map_or(0, |header| chain_start(&header.encode())),
            tail: None,
        };
        if let Some(store_id) = report.store_id.or(store_id) {
            self.scan_records(store_id, &mut report, visit)?;
        }
        Ok(report)
    }

    fn scan_records(
        &self,
        store_id: u128,
        report: &mut SegmentReport,
        visit: &mut dyn FnMut(RecordView<'_>) -> Result<()>,
    ) -> Result<()> {
        let crc = RecordCrc::new(store_id, self.number);
        let mut at = HEADER_BYTES;
        let mut bad: Option<(u64, &'static str)> = None;
        let sealed_bytes = report.sealed.map_or(u64::MAX, |sealed| sealed.bytes);
        let upto = sealed_bytes.min(report.file_bytes);
        while at < upto {
            match record_at(&self.bytes, at, &crc) {
                Err(reason) => {
                    bad.get_or_insert((at, reason));
                    at += 8;
                }
                Ok((header, header_crc, body)) => {
                    if let Some((offset, reason)) = bad.take() {
                        let seq_after = Some(header.seq);
                        let gap = Gap::new(offset, at - offset, reason);
                        report.gaps.push(Gap { seq_after, ..gap });
                    }
                    let bytes = record_bytes(u64::from(header.len));
                    report.note(at, &header);
                    report.chain = chain(report.chain, header_crc);
                    visit(RecordView {
                        segment: self.number,
                        offset: at,
                        bytes,
                        seq: header.seq,
                        is_seal: header.kind == RecordKind::Seal,
                        durable_upto: header.durable_upto,
                        body,
                    })?;
                    at += bytes;
                    report.end_bytes = at;
                }
            }
        }
        let bytes = &self.bytes[..upto as usize];
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        if end > report.end_bytes {
            let (offset, reason) = bad.unwrap_or((report.end_bytes, "no record"));
            report.tail = Some(Gap::new(offset, end.saturating_sub(offset), reason));
        }
        Ok(())
    }
}

/// The record at `at` with the checksum of its header, or why there is none.
fn record_at<'a>(
    bytes: &'a [u8],
    at: u64,
    crc: &RecordCrc,
) -> Result<(RecordHeader, u32, &'a [u8]), &'static str> {
    let rest = &bytes[at as usize..];
    let Some(header) = rest.get(..RECORD_HEADER_BYTES) else { return Err("no record") };
    if header.iter().all(|byte| *byte == 0) {
        return Err("zeros where a record should be");
    }
    let (header, header_crc) = crc.decode(header).map_err(|error| error.reason)?;
    let size = record_bytes(u64::from(header.len)) as usize;
    let Some(record) = rest.get(..size) else {
        return Err("record ends behind the end of the file");
    };
    let (body, padding) = record[RECORD_HEADER_BYTES..].split_at(header.len as usize);
    if coding::crc(body) != header.body_crc || padding.iter().any(|byte| *byte != 0) {
        return Err("checksum of the record body");
    }
    Ok((header, header_crc, body))
}

impl SegmentReport {
    /// Counts a whole record; one that does not belong here is a gap all the same.
    fn note(&mut self, at: u64, header: &RecordHeader) {
        let bytes = record_bytes(u64::from(header.len));
        let mut misplaced = |reason: &str| {
            let gap = Gap::new(at, bytes, reason);
            self.gaps.push(Gap { is_whole_record: true, ..gap });
        };
        if header.durable_upto > at {
            misplaced("record says that what is behind it was on disk");
        } else if self.last_seq.is_some_and(|last| header.seq < last) {
            misplaced("sequence numbers descend");
        }
        if header.kind == RecordKind::Data {
            self.records += 1;
            self.first_seq.get_or_insert(header.seq);
            self.last_seq = Some(header.seq);
        }
    }

    /// Bytes behind the last whole record that are none.
    pub(super) fn tail_bytes(&self) -> u64 {
        self.tail.as_ref().map_or(0, |tail| tail.bytes)
    }

    /// The first thing that is wrong, whatever the rest of the log says.
    fn damage(&self) -> Option<Gap> {
        let gap = |offset, bytes, reason: &str| Some(Gap::new(offset, bytes, reason));
        match self.header {
            Err(HeaderError::Damaged(reason)) if self.records > 0 || self.sealed.is_some() => {
                return gap(0, HEADER_BYTES, reason);
            }
            Err(HeaderError::Blank) if self.records > 0 || self.sealed.is_some() => {
                return gap(0, HEADER_BYTES, "segment header is missing");
            }
            Err(HeaderError::Version(found)) => {
                let reason = format!("format version {found}, this build reads {FORMAT_VERSION}");
                return gap(8, 4, &reason);
            }
            _ => {}
        }
        if let Some(first) = self.gaps.first() {
            return Some(first.clone());
        }
        let sealed = self.sealed?;
        if sealed.bytes > self.end_bytes {
            let missing = sealed.bytes - self.end_bytes;
            let tail = self.tail.as_ref().map_or("records are missing", |tail| &tail.reason);
            return gap(self.end_bytes, missing, tail);
        }
        (sealed.bytes == self.end_bytes && sealed.chain != self.chain)
            .then(|| Gap::new(HEADER_BYTES, 0, "records are not those that were sealed"))
    }
}

fn link(previous: Previous) -> SegmentLink {
    let Previous { number, bytes, chain, is_synced: _ } = previous;
    SegmentLink { number, bytes, chain }
}

/// Gives every segment its state.
fn judge(segments: &mut [SegmentReport], from: FileNumber, verdict: &Result<Replay>) {
    for segment in segments.iter_mut() {
        let refused = match verdict {
            Err(Error::Corrupt { path, offset_bytes, reason })
                if path.ends_with(file_name(segment.number)) =>
            {
                Some(Gap::new(*offset_bytes, 0, reason))
            }
            _ => None,
        };
        let torn = verdict.as_ref().ok().and_then(|replay| replay.torn_tail.as_ref());
        let torn = torn.filter(|torn| torn.segment == segment.number);
        let is_unused =
            verdict.as_ref().is_ok_and(|replay| replay.unused.contains(&segment.number));
        segment.state = if segment.number < from {
            SegmentState::Obsolete
        } else if let Some(torn) = torn {
            let tail = segment.gaps.first().or(segment.tail.as_ref());
            let reason = tail.map_or("no record", |tail| &tail.reason);
            SegmentState::TornTail(Gap::new(torn.offset_bytes, torn.bytes, reason))
        } else if is_unused && segment.records > 0 {
            SegmentState::Dropped
        } else if let Some(damage) = segment.damage().or(refused) {
            SegmentState::Damaged(damage)
        } else if segment.records == 0 {
            SegmentState::Empty
        } else {
            SegmentState::Whole
        };
    }
}

/// Where the segment `number` of the store in `dir` lies.
pub fn segment_path(dir: &Path, number: FileNumber) -> PathBuf {
    dir.join(file_name(number))
}
