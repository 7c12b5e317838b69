//! The end of the log in memory: records that were appended and not yet written.
//!
//! Everything a segment will hold, its header and seal included, is decided here under one small
//! lock and without I/O; the leader ([`super::writer`]) later writes what it finds, in order.
//!
//! ```text
//! append -> Tail: run of segment 4 (sealed) | run of segment 9 (open) -> taken by the leader
//! ```

use super::segment::{
    HEADER_BYTES, Previous, RecordCrc, RecordHeader, RecordKind, SegmentHeader, chain, chain_start,
    record_bytes,
};
use super::{LogPosition, SegmentInfo};
use crate::fs::File;
use crate::key::{FileNumber, Seq};

/// Room that is kept for the seal.
const SEAL_BYTES: u64 = 32;
/// A buffer that grew past this for one large record is not kept for the next group.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// Bytes to write to one segment.
#[derive(Debug)]
pub(super) struct Run {
    /// The segment must be put to use first.
    pub opens: Option<Opening>,
    /// Where in the segment the bytes go.
    pub offset: u64,
    pub bytes: Vec<u8>,
    /// The last record is the seal.
    pub seals: bool,
    /// The next segment's header says that this one is on disk: it must be, before that is written.
    pub syncs: bool,
    /// Position of the log behind the bytes.
    pub end: u64,
    pub records: u64,
}

/// A segment to put to use.
#[derive(Debug)]
pub(super) struct Opening {
    pub number: FileNumber,
    pub header: [u8; HEADER_BYTES as usize],
    /// The file, when it was prepared ahead of time.
    pub prepared: Option<Box<dyn File>>,
}

/// The segment that is appended to.
#[derive(Debug)]
struct Current {
    info: SegmentInfo,
    /// Position of the log at its first byte.
    base: u64,
    crc: RecordCrc,
    /// Its header says that all segments before it are on disk.
    is_on_durable: bool,
    /// Its file was filled ahead of time: it takes room that holds no record yet.
    is_filled: bool,
}

impl Current {
    /// What a record says when the log is on disk up to `durable`.
    fn durable_upto(&self, durable: u64) -> u64 {
        if !self.is_on_durable && durable < self.base {
            return 0;
        }
        // The header is on disk before any record is written.
        durable.saturating_sub(self.base).max(HEADER_BYTES)
    }

    fn new(header: &SegmentHeader, bytes: &[u8; HEADER_BYTES as usize], base: u64) -> Self {
        let info = SegmentInfo {
            number: header.number,
            bytes: HEADER_BYTES,
            first_seq: None,
            last_seq: None,
            chain: chain_start(bytes),
        };
        let crc = RecordCrc::new(header.store_id, header.number);
        let is_on_durable = header.previous.is_none_or(|previous| previous.is_synced);
        Current { info, base, crc, is_on_durable, is_filled: false }
    }
}

/// The end of the log in memory.
#[derive(Debug)]
pub(super) struct Tail {
    store_id: u128,
    segment_bytes: u64,
    current: Current,
    runs: Vec<Run>,
    /// Allocation of the last group, for the next.
    spare: Vec<u8>,
    /// Sealed segments that were not removed, with the position where each ends.
    pub sealed: Vec<(SegmentInfo, u64)>,
    last_seq: Seq,
    /// The next segment, if it is ready.
    pub next: Option<(FileNumber, Box<dyn File>)>,
    /// Whether the next segment was asked for; once a segment, so that a full disk is not
    /// hammered.
    pub next_asked: bool,
    pub closed: bool,
}

impl Tail {
    /// The tail of a log whose first segment has just been created with `header`.
    pub(super) fn new(
        header: &SegmentHeader,
        segment_bytes: u64,
        last_seq: Seq,
        sealed: Vec<(SegmentInfo, u64)>,
    ) -> Self {
        Tail {
            store_id: header.store_id,
            segment_bytes,
            current: Current::new(header, &header.encode(), 0),
            runs: Vec::new(),
            spare: Vec::new(),
            sealed,
            last_seq,
            next: None,
            next_asked: false,
            closed: false,
        }
    }

    /// Position behind the last record.
    pub(super) fn end(&self) -> LogPosition {
        LogPosition(self.current.base + self.current.info.bytes)
    }

    /// The segment that is appended to.
    pub(super) fn current(&self) -> &SegmentInfo {
        &self.current.info
    }

    /// Whether the current segment takes more room than its header.
    pub(super) fn holds_room(&self) -> bool {
        self.current.is_filled || self.current.info.bytes > HEADER_BYTES
    }

    /// Whether a record of `bytes` belongs into a new segment.
    pub(super) fn is_full_for(&self, bytes: u64) -> bool {
        let info = &self.current.info;
        info.bytes > HEADER_BYTES && info.bytes + bytes + SEAL_BYTES > self.segment_bytes
    }

    /// Whether it is time to prepare the next segment; true once a segment. A quarter full leaves
    /// the background the time in which three quarters are written.
    pub(super) fn ask_for_next(&mut self) -> bool {
        let is_time = self.current.info.bytes >= self.segment_bytes / 4;
        let ask = is_time && self.next.is_none() && !self.next_asked;
        self.next_asked |= ask;
        ask
    }

    /// Adds a data record. `durable` is the position up to which the log is on disk.
    pub(super) fn append(
        &mut self,
        seq: Seq,
        body: &[&[u8]],
        len: u32,
        body_crc: u32,
        durable: u64,
    ) -> LogPosition {
        assert!(seq >= self.last_seq, "records are appended in the order of sequence numbers");
        self.last_seq = seq;
        let info = &mut self.current.info;
        info.first_seq.get_or_insert(seq);
        info.last_seq = Some(seq);
        self.push(RecordKind::Data, seq, body, len, body_crc, durable);
        self.end()
    }

    fn push(
        &mut self,
        kind: RecordKind,
        seq: Seq,
        body: &[&[u8]],
        len: u32,
        body_crc: u32,
        durable: u64,
    ) {
        let durable_upto = self.current.durable_upto(durable);
        let header = RecordHeader { len, body_crc, kind, durable_upto, seq };
        let (bytes, crc) = self.current.crc.encode(&header);
        let info = &mut self.current.info;
        if self.runs.last().is_none_or(|run| run.seals) {
            let bytes = std::mem::take(&mut self.spare);
            let (offset, end) = (info.bytes, self.current.base + info.bytes);
            let run =
                Run { opens: None, offset, bytes, seals: false, syncs: false, end, records: 0 };
            self.runs.push(run);
        }
        let run = self.runs.last_mut().expect("one was pushed if there was none");
        let size = record_bytes(u64::from(len));
        let start = run.bytes.len();
        run.bytes.extend_from_slice(&bytes);
        for part in body {
            run.bytes.extend_from_slice(part);
        }
        run.bytes.resize(start + size as usize, 0);
        run.records += u64::from(kind == RecordKind::Data);
        run.end += size;
        info.bytes += size;
        info.chain = chain(info.chain, crc);
    }

    /// Ends the current segment with a seal; `syncs`: it goes to disk before anything behind it is
    /// written.
    pub(super) fn seal(&mut self, durable: u64, syncs: bool) {
        self.push(RecordKind::Seal, self.last_seq, &[], 0, 0, durable);
        let run = self.runs.last_mut().expect("the seal was just pushed");
        (run.seals, run.syncs) = (true, syncs);
        self.sealed.push((self.current.info.clone(), self.end().0));
    }

    /// Seals the current segment and starts the one behind it: the prepared one, or a file called
    /// `number()`.
    pub(super) fn start_next(
        &mut self,
        durable: u64,
        syncs: bool,
        number: impl FnOnce() -> FileNumber,
    ) {
        self.seal(durable, syncs);
        let (number, prepared) = match self.next.take() {
            Some((number, file)) => (number, Some(file)),
            None => (number(), None),
        };
        let last = &self.current.info;
        assert!(number > last.number, "file numbers ascend");
        let SegmentInfo { number: before, bytes, chain, .. } = *last;
        let previous = Previous { number: before, bytes, chain, is_synced: syncs };
        let header = SegmentHeader { store_id: self.store_id, number, previous: Some(previous) };
        let (bytes, base) = (header.encode(), self.end().0);
        self.current = Current::new(&header, &bytes, base);
        self.current.is_filled = prepared.is_some();
        self.next_asked = false;
        self.runs.push(Run {
            opens: Some(Opening { number, header: bytes, prepared }),
            offset: HEADER_BYTES,
            bytes: Vec::new(),
            seals: false,
            syncs: false,
            end: base + HEADER_BYTES,
            records: 0,
        });
    }

    /// Hands over everything that is to be written.
    pub(super) fn take(&mut self) -> Vec<Run> {
        std::mem::take(&mut self.runs)
    }

    /// Takes back the buffer of a run that was written.
    pub(super) fn give_back(&mut self, mut bytes: Vec<u8>) {
        if bytes.capacity() > self.spare.capacity() && bytes.capacity() <= SPARE_BYTES_MAX {
            bytes.clear();
            self.spare = bytes;
        }
    }
}
