//! Saves what is whole of a damaged log.
//!
//! ```text
//! 000004.log  r r x r      r: whole record    x: damage       before
//! 000007.log  r x r
//! 000009.log  header (no segment before it) | r r r r r | seal        after
//! quarantine/000004.log, quarantine/000007.log
//! ```
//!
//! Steps: every whole record of the segments that the store needs is found, in the order of
//! sequence numbers, each number once; those that are to be kept are copied to one new segment,
//! which is synced under another name and then renamed; then the old segments are moved to
//! `quarantine/`.
//!
//! Invariants:
//! - nothing is removed: the old segments are in `quarantine/` as they were;
//! - stopped between any two steps the folder opens as before or not at all, never with less than
//!   was to be saved: the new segment names none before it, so that old ones beside it are refused.
//!   A second run ends what the first began;
//! - a record of a segment that was sealed before it is not saved: it was never acknowledged.

use std::collections::BTreeMap;
use std::path::Path;

use super::LogBounds;
use super::inspect::{LogReport, RecordView, SegmentBytes, SegmentState, report};
use super::recover::{Copy, NEW, remove_unfinished};
use super::segment::{
    Previous, RECORD_HEADER_BYTES, RecordKind, SegmentHeader, file_name, record_bytes,
};
use crate::coding;
use crate::fs::Fs;
use crate::key::{FileNumber, Seq};
use crate::{Error, Result};

/// What is kept of a damaged log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every whole record.
    All,
    /// The whole records before the first that is lost: what the log held at some moment.
    Prefix,
}

/// What a salvage did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvage {
    /// Records that are kept.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What could not be kept, in the order of the log.
    pub lost: Vec<LostSpan>,
    /// Segments that are set aside.
    pub set_aside: Vec<FileNumber>,
    /// The segment with what was kept; `None` when nothing was and none is missed, or nothing
    /// needed to be done.
    pub segment: Option<FileNumber>,
}

impl Salvage {
    /// Whether the log is left as it is.
    pub fn is_nothing(&self) -> bool {
        self.set_aside.is_empty() && self.segment.is_none()
    }

    /// Bytes of records that were there and could not be kept.
    pub fn lost_bytes(&self) -> u64 {
        self.lost.iter().map(|span| span.bytes).sum()
    }
}

/// Bytes of a segment that hold no whole record although some was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostSpan {
    /// The segment.
    pub segment: FileNumber,
    /// Where they start.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
    /// What is wrong with them.
    pub reason: String,
    /// Sequence number of the last whole record before them, in this segment or one before it.
    pub seq_before: Option<Seq>,
    /// Sequence number of the first whole record behind them.
    pub seq_after: Option<Seq>,
}

/// Where a record to be kept lies.
#[derive(Clone, Copy)]
struct Kept {
    segment: FileNumber,
    offset: u64,
    len: usize,
}

/// Saves what `scope` says of the log in `dir`, as far as it is needed, into the segment `number`.
/// With `is_dry` nothing is changed. A log that a store would open is left as it is.
///
/// # Errors
/// I/O; `Version` when a segment is of a later format.
pub fn salvage(
    fs: &dyn Fs,
    dir: &Path,
    store_id: u128,
    bounds: LogBounds,
    number: FileNumber,
    scope: Scope,
    is_dry: bool,
) -> Result<Salvage> {
    let from = bounds.from;
    let mut found: BTreeMap<FileNumber, Vec<(Seq, Kept, bool)>> = BTreeMap::new();
    let log = report(fs, dir, Some(store_id), bounds, &mut |record| {
        found.entry(record.segment).or_default().push(place_of(&record));
        Ok(())
    })?;
    if let Err(error @ Error::Version { .. }) = log.verdict {
        return Err(error);
    }
    if log.is_readable() {
        return Ok(Salvage::default());
    }
    let mut kept = BTreeMap::new();
    for segment in log.segments.iter().filter(|segment| segment.number >= from) {
        for (seq, place, is_seal) in found.remove(&segment.number).unwrap_or_default() {
            if !is_seal {
                kept.entry(seq).or_insert(place);
            }
        }
    }
    let mut lost = lost(&log, bounds);
    lost.sort_by_key(|span| (span.segment, span.offset));
    if scope == Scope::Prefix {
        lost.append(&mut cut(&mut kept, &lost));
    }
    let salvage = Salvage {
        records: kept.len() as u64,
        bytes: kept.values().map(|place| record_bytes(place.len as u64)).sum(),
        lost,
        set_aside: log.segments.iter().map(|s| s.number).filter(|n| *n >= from).collect(),
        // Without a log that begins anew the last segment would be missed.
        segment: (!kept.is_empty() || bounds.end_needed().is_some()).then_some(number),
    };
    if !is_dry {
        remove_unfinished(fs, dir)?;
        if salvage.segment.is_some() {
            write(fs, dir, store_id, number, &kept)?;
        }
        set_aside(fs, dir, salvage.set_aside.iter().map(|number| file_name(*number)))?;
    }
    Ok(salvage)
}

fn place_of(record: &RecordView<'_>) -> (Seq, Kept, bool) {
    let (segment, offset, len) = (record.segment, record.offset, record.body.len());
    (record.seq, Kept { segment, offset, len }, record.is_seal)
}

/// Leaves out what lies behind the first place of `lost`; gives what that is, segment by segment.
fn cut(kept: &mut BTreeMap<Seq, Kept>, lost: &[LostSpan]) -> Vec<LostSpan> {
    let Some(first) = lost.first().map(|span| (span.segment, span.offset)) else {
        return Vec::new();
    };
    let is_before = |place: &Kept| (place.segment, place.offset) < first;
    let seq_before = kept.iter().filter(|(_, place)| is_before(place)).map(|(seq, _)| *seq).max();
    let mut spans: BTreeMap<FileNumber, LostSpan> = BTreeMap::new();
    kept.retain(|_, place| {
        if is_before(place) {
            return true;
        }
        let span = spans.entry(place.segment).or_insert_with(|| LostSpan {
            segment: place.segment,
            offset: place.offset,
            bytes: 0,
            reason: "whole records behind lost ones".to_owned(),
            seq_before,
            seq_after: None,
        });
        span.bytes += record_bytes(place.len as u64);
        false
    });
    spans.into_values().collect()
}

/// What is lost: gaps between records, what is missing of sealed segments, and whole segments.
fn lost(log: &LogReport, bounds: LogBounds) -> Vec<LostSpan> {
    let from = bounds.from;
    let mut spans = Vec::new();
    let mut seq_before = None;
    let live: Vec<_> = log.segments.iter().filter(|segment| segment.number >= from).collect();
    for (at, segment) in live.iter().enumerate() {
        let behind = live[at + 1..].iter().find_map(|segment| segment.first_seq);
        let mut push = |offset, bytes, reason: &str, seq_after| {
            let (segment, reason) = (segment.number, reason.to_owned());
            spans.push(LostSpan { segment, offset, bytes, reason, seq_before, seq_after });
        };
        for gap in segment.gaps.iter().filter(|gap| !gap.is_whole_record) {
            push(gap.offset, gap.bytes, &gap.reason, gap.seq_after.or(behind));
        }
        match segment.sealed {
            Some(sealed) if sealed.bytes > segment.end_bytes => {
                let missing = sealed.bytes - segment.end_bytes;
                push(segment.end_bytes, missing, "sealed records are missing", behind);
            }
            None => {
                if let SegmentState::Damaged(damage) = &segment.state
                    && segment.gaps.is_empty()
                {
                    push(damage.offset, segment.tail_bytes(), &damage.reason, behind);
                }
            }
            Some(_) => {}
        }
        seq_before = segment.last_seq.or(seq_before);
    }
    let previous = log.segments.iter().filter_map(|segment| segment.previous);
    let named: BTreeMap<_, _> =
        bounds.end.into_iter().chain(previous).map(|link| (link.number, link)).collect();
    for link in named.into_values() {
        let is_there = log.segments.iter().any(|segment| segment.number == link.number);
        if link.number >= from && !is_there {
            let before = live.iter().rev().filter(|s| s.number < link.number);
            let behind = live.iter().filter(|s| s.number > link.number);
            spans.push(LostSpan {
                segment: link.number,
                offset: 0,
                bytes: link.bytes,
                reason: "segment is missing".to_owned(),
                seq_before: before.filter_map(|segment| segment.last_seq).next(),
                seq_after: behind.filter_map(|segment| segment.first_seq).next(),
            });
        }
    }
    spans
}

/// Writes the records that are kept to the segment `number`.
fn write(
    fs: &dyn Fs,
    dir: &Path,
    store_id: u128,
    number: FileNumber,
    kept: &BTreeMap<Seq, Kept>,
) -> Result<()> {
    let no_segment: Option<Previous> = None;
    let header = SegmentHeader { store_id, number, previous: no_segment };
    let name = file_name(number);
    let mut copy = Copy::create(fs, dir.join(format!("{name}{NEW}")), &header)?;
    let mut source: Option<SegmentBytes> = None;
    let mut last_seq = 0;
    for (seq, place) in kept {
        let held = source.take().filter(|held| held.number() == place.segment);
        let held = match held {
            Some(held) => held,
            None => SegmentBytes::read(fs, dir, place.segment)?,
        };
        let body = held.slice(place.offset as usize + RECORD_HEADER_BYTES, place.len);
        copy.push(RecordKind::Data, *seq, coding::crc(body), body)?;
        last_seq = *seq;
        source = Some(held);
    }
    copy.push(RecordKind::Seal, last_seq, 0, &[])?;
    copy.finish(fs, dir, &name)
}

/// Moves files of `dir` to its quarantine.
pub(crate) fn set_aside(
    fs: &dyn Fs,
    dir: &Path,
    names: impl IntoIterator<Item = String>,
) -> Result<()> {
    let quarantine = dir.join(crate::folder::QUARANTINE);
    fs.create_dir_all(&quarantine).map_err(|e| Error::io(&quarantine, "create", e))?;
    for name in names {
        let from = dir.join(&name);
        let free = |count: u32| match count {
            0 => quarantine.join(&name),
            _ => quarantine.join(format!("{name}.{count}")),
        };
        let mut count = 0;
        while fs.exists(&free(count)).map_err(|e| Error::io(&quarantine, "look into", e))? {
            count += 1;
        }
        fs.rename(&from, &free(count)).map_err(|e| Error::io(&from, "set aside", e))?;
    }
    fs.sync_dir(&quarantine).map_err(|e| Error::io(&quarantine, "sync", e))?;
    fs.sync_dir(dir).map_err(|e| Error::io(dir, "sync", e))
}
