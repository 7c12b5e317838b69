//! Which files make up the log: from the newest segment with a record back along the names of
//! predecessors.
//!
//! A segment without a record may be there or not: it was prepared and not used, or the machine
//! stopped, or the sync of its header failed, before its first record. What its header says of the
//! segment before it is true all the same: how long it was sealed, and whether it was synced.
//!
//! A chain may fork where a tail was torn. Segments that were begun before the one before them was
//! on disk are dropped by a recovery: what it writes names an earlier one, and they stay for a
//! moment. Such a segment, with records and named by nobody, is no damage.
//!
//! A store that was closed says in its manifest what the last segment was, as a segment behind it
//! would. A log that begins behind it and names none before was begun anew, by a salvage.

use std::path::Path;

use super::inspect::SegmentLink;
use super::reader::{ReplayOptions, TornTail};
use super::segment::{HEADER_BYTES, HeaderError, Previous, RecordCrc, SegmentHeader, file_name};
use super::segment::{RECORD_HEADER_BYTES, file_number};
use super::source::{SegmentFile, Source};
use crate::fs::Fs;
use crate::key::FileNumber;
use crate::{Error, Result};

/// The segments of a log.
#[derive(Default)]
pub(super) struct Chain {
    /// Those with records, in order.
    pub segments: Vec<(SegmentFile, SegmentHeader)>,
    /// What a later segment, itself without records, or the manifest says of the last.
    pub seal_of_last: Option<Previous>,
    /// Obsolete, or without a record.
    pub unused: Vec<FileNumber>,
    /// Bytes that are no record in a segment without records.
    pub torn_tail: Option<TornTail>,
    /// A record in there says that what lies before it was on disk.
    is_proved_by_unused: bool,
}

impl Chain {
    /// Finds the segments in `dir`.
    pub(super) fn find(fs: &dyn Fs, dir: &Path, options: &ReplayOptions) -> Result<Chain> {
        let names = fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
        let mut numbers: Vec<_> = names.iter().filter_map(|name| file_number(name)).collect();
        numbers.sort();
        let mut chain = Chain::default();
        let mut named: Option<Previous> = None;
        let mut is_first = true;
        let end = options.bounds.end_needed().map(previous);
        for number in numbers.into_iter().rev() {
            if number < options.bounds.from {
                chain.unused.push(number);
                continue;
            }
            if is_first && end.is_some_and(|end| number <= end.number) {
                (named, is_first) = (end, false);
            }
            let file = SegmentFile::open(fs, dir, number)?;
            let expected = named.map(|previous| previous.number);
            if expected.is_some_and(|expected| expected > number) {
                return Err(missing(dir, named, &chain, &file));
            }
            match (file.header, expected == Some(number)) {
                (Ok(header), is_named) => {
                    check_identity(&file, &header, options)?;
                    let was_first = std::mem::replace(&mut is_first, false);
                    let Some(file) = chain.with_records(file, is_named, was_first, options)? else {
                        if was_first {
                            named = header.previous;
                            let is_proved = chain.is_proved_by_unused;
                            named.iter_mut().for_each(|named| named.is_synced |= is_proved);
                        }
                        continue;
                    };
                    if !is_named && !was_first {
                        if header.previous.is_some_and(|previous| !previous.is_synced) {
                            chain.unused.push(number);
                            continue;
                        }
                        return Err(file.corrupt(0, "segment has records but is not in the chain"));
                    }
                    if chain.segments.is_empty() {
                        chain.seal_of_last = named;
                    }
                    named = header.previous;
                    chain.segments.push((file, header));
                }
                (Err(_), true) => {
                    return Err(file.corrupt(0, "segment header is damaged or missing"));
                }
                // A later one names another.
                (Err(_), false) if !is_first => chain.unused.push(number),
                (Err(error), false) => chain.check_headless(file, error, options)?,
            }
        }
        chain.segments.reverse();
        if is_first {
            named = end;
        }
        match named.filter(|previous| previous.number >= options.bounds.from) {
            Some(previous) => {
                let path = dir.join(file_name(previous.number));
                Err(Error::corrupt(&path, 0, "segment is missing"))
            }
            None => Ok(chain),
        }
    }

    /// Gives the file back when it has records, or must have; else it is unused.
    fn with_records(
        &mut self,
        file: SegmentFile,
        is_named: bool,
        is_newest: bool,
        options: &ReplayOptions,
    ) -> Result<Option<SegmentFile>> {
        // A named segment has what its successor says of it, which is checked when it is read.
        if is_named {
            return Ok(Some(file));
        }
        let number = file.number;
        let crc = RecordCrc::new(options.store_id, number);
        let mut source = Source::new(file);
        let first = source.bytes(HEADER_BYTES, RECORD_HEADER_BYTES as u64)?;
        if crc.decode(first).is_ok() {
            return Ok(Some(source.file));
        }
        if !is_newest {
            self.unused.push(number); // a later one names another
            return Ok(None);
        }
        let ahead = source.look_ahead(HEADER_BYTES, &crc)?;
        if ahead.durable_upto > Some(HEADER_BYTES) {
            return Err(source.file.corrupt(HEADER_BYTES, "first record"));
        }
        self.is_proved_by_unused = ahead.durable_upto == Some(HEADER_BYTES);
        self.unused(number, HEADER_BYTES, ahead.end);
        Ok(None)
    }

    /// A file without a header that nobody names must not have records: a header is on disk before
    /// the first of them.
    fn check_headless(
        &mut self,
        file: SegmentFile,
        error: HeaderError,
        options: &ReplayOptions,
    ) -> Result<()> {
        let number = file.number;
        let mut source = Source::new(file);
        let ahead = source.look_ahead(0, &RecordCrc::new(options.store_id, number))?;
        if ahead.durable_upto.is_some() {
            let reason = match error {
                HeaderError::Damaged(reason) => reason,
                _ => "segment header is missing",
            };
            return Err(source.file.corrupt(0, reason));
        }
        self.unused(number, 0, ahead.end);
        Ok(())
    }

    fn unused(&mut self, segment: FileNumber, offset_bytes: u64, end: u64) {
        if end > offset_bytes {
            self.torn_tail = Some(TornTail { segment, offset_bytes, bytes: end - offset_bytes });
        }
        self.unused.push(segment);
    }
}

fn previous(link: SegmentLink) -> Previous {
    let SegmentLink { number, bytes, chain } = link;
    Previous { number, bytes, chain, is_synced: true }
}

fn check_identity(
    file: &SegmentFile,
    header: &SegmentHeader,
    options: &ReplayOptions,
) -> Result<()> {
    if header.store_id != options.store_id || header.number != file.number {
        return Err(file.corrupt(16, "segment of another store or of another number"));
    }
    if header.previous.is_some_and(|previous| previous.number >= header.number) {
        return Err(file.corrupt(40, "segment names a later one as the one before it"));
    }
    Ok(())
}

fn missing(dir: &Path, named: Option<Previous>, chain: &Chain, older: &SegmentFile) -> Error {
    let path = named.map_or(older.path.clone(), |named| dir.join(file_name(named.number)));
    let behind = chain.segments.last().map(|(file, _)| file_name(file.number));
    let why = match behind {
        Some(behind) => format!("{behind} was written behind it"),
        None => "it was the last".to_owned(),
    };
    Error::corrupt(&path, 0, format!("segment is missing, {why}"))
}
