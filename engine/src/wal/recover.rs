//! Recovery: before the log is replayed, what is read is made certain to be on disk.
//!
//! What a reader sees at the end of the log may be in the page cache only, and a sync does not
//! help: after one that failed the kernel holds the pages to be clean, so that the next one says
//! yes and writes nothing, also for the next process. So what no later record says to have been on
//! disk is copied to a new segment, be it the end of one segment or several that were never synced.
//!
//! ```text
//! 000004.log   header | proved | not proved | seal              before
//! 000007.log   header (000004, unsynced) | not proved | torn
//! 000009.log   header (000004 ends behind "proved") | copy of "not proved" of both | seal
//! ```
//!
//! Order: the copy is written and synced under a temporary name and then renamed, so that it is
//! there in whole or not at all; until then the old segments are the last ones, as before. The seal
//! says that all before it is on disk, which is true whenever it is seen under its name. Segments
//! that were copied in whole are removed once the log goes on ([`super::Wal::create`]).

use std::path::{Path, PathBuf};

use super::SegmentInfo;
use super::chain::Chain;
use super::reader::{
    Found, Place, Replay, ReplayOptions, Segment, TornTail, Visit, read_chain, replay,
};
use super::segment::{
    HEADER_BYTES, Previous, RecordCrc, RecordHeader, RecordKind, SegmentHeader, file_name,
    file_number, record_bytes,
};
use super::source::{READ_BYTES, SegmentFile};
use crate::fs::{File, Fs, write_all_at};
use crate::key::{FileNumber, Seq};
use crate::{Error, Result};

/// What the name of a segment ends with while it is written.
pub(super) const NEW: &str = ".new";

/// As [`replay`], for a store that goes on from there: first makes every record durable that it
/// will visit. `number` gives the number of the segment that this may need.
///
/// # Errors
/// As [`replay`]; `Io` when the copy cannot be made.
pub fn recover(
    fs: &dyn Fs,
    dir: &Path,
    options: &ReplayOptions,
    number: &dyn Fn() -> FileNumber,
    visit: &mut Visit<'_>,
    progress: &dyn Fn(u64, u64),
) -> Result<Replay> {
    let torn_tail = prove_tail(fs, dir, options, number)?;
    let mut replay = replay(fs, dir, options, visit, progress)?;
    replay.torn_tail = torn_tail.or(replay.torn_tail);
    Ok(replay)
}

/// Copies what the end of the log holds unproved; gives the torn tail behind it.
fn prove_tail(
    fs: &dyn Fs,
    dir: &Path,
    options: &ReplayOptions,
    number: &dyn Fn() -> FileNumber,
) -> Result<Option<TornTail>> {
    remove_unfinished(fs, dir)?;
    let mut chain = Chain::find(fs, dir, options)?;
    if chain.seal_of_last.is_some_and(|seal| seal.is_synced) {
        return Ok(None);
    }
    // What lies before is proved by a header, and read once, by the replay.
    let is_on_durable =
        |(_, header): &(_, SegmentHeader)| header.is_on_durable(options.bounds.from);
    let first = chain.segments.iter().rposition(is_on_durable).unwrap_or(0);
    chain.segments.drain(..first);
    let (found, proved) = read_chain(chain, options, &mut |_, _, _| Ok(()), &|_, _| {})?;
    let Some(proved) = proved else { return Ok(None) };
    copy_rest(fs, dir, options, &found, proved, number())?;
    Ok(found.torn_tail)
}

/// Removes copies that were not finished.
pub(super) fn remove_unfinished(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let names = fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    let is_ours = |name: &&String| name.strip_suffix(NEW).is_some_and(|n| file_number(n).is_some());
    for name in names.iter().filter(is_ours) {
        let path = dir.join(name);
        fs.remove_file(&path).map_err(|e| Error::io(&path, "remove", e))?;
    }
    Ok(())
}

/// Writes the records of `found` behind `proved` to the segment `number`.
fn copy_rest(
    fs: &dyn Fs,
    dir: &Path,
    options: &ReplayOptions,
    found: &Replay,
    proved: Place,
    number: FileNumber,
) -> Result<()> {
    let chain = Chain::find(fs, dir, options)?;
    let is_unproved = |file: &SegmentFile| file.number >= proved.segment;
    let unproved = chain.segments.into_iter().filter(|(file, _)| is_unproved(file));
    let ends = found.segments.iter().filter(|info| info.number >= proved.segment);
    let name = file_name(number);
    let mut copy: Option<Copy> = None;
    for ((file, header), end) in unproved.zip(ends) {
        let mut segment = Segment::new(file, &header, options);
        let copy = match &mut copy {
            Some(copy) => copy,
            None => {
                let previous = Some(read_proved(&mut segment, proved.offset)?);
                let header = SegmentHeader { store_id: options.store_id, number, previous };
                copy.insert(Copy::create(fs, dir.join(format!("{name}{NEW}")), &header)?)
            }
        };
        copy.push_rest(&mut segment, end.bytes)?;
    }
    let mut copy = copy.expect("what is proved ends in a segment that was read");
    copy.push(RecordKind::Seal, found.last_seq, 0, &[])?;
    copy.finish(fs, dir, &name)
}

/// Reads what is proved of `segment`: what the segment behind it says of it.
fn read_proved(segment: &mut Segment<'_>, proved_bytes: u64) -> Result<Previous> {
    while segment.info.bytes < proved_bytes {
        let Found::Record(_) = segment.next(false)? else { break };
    }
    let SegmentInfo { number, bytes, chain, .. } = segment.info;
    if bytes != proved_bytes {
        let reason = "what was on disk does not end with a record";
        return Err(segment.source.file.corrupt(proved_bytes, reason));
    }
    Ok(Previous { number, bytes, chain, is_synced: true })
}

/// A segment being written in one go.
pub(super) struct Copy {
    file: Box<dyn File>,
    path: PathBuf,
    crc: RecordCrc,
    /// Bytes not written yet, and where they go.
    buffer: Vec<u8>,
    offset: u64,
}

impl Copy {
    pub(super) fn create(fs: &dyn Fs, path: PathBuf, header: &SegmentHeader) -> Result<Copy> {
        let file = fs.create(&path).map_err(|e| Error::io(&path, "create", e))?;
        let crc = RecordCrc::new(header.store_id, header.number);
        Ok(Copy { file, path, crc, buffer: header.encode().to_vec(), offset: 0 })
    }

    /// Adds the records that `segment` has up to `end` and has not read yet.
    fn push_rest(&mut self, segment: &mut Segment<'_>, end: u64) -> Result<()> {
        while segment.info.bytes < end {
            let at = segment.info.bytes;
            let Found::Record(header) = segment.next(false)? else { break };
            if header.kind == RecordKind::Data {
                let body = segment.body(at, &header)?;
                self.push(RecordKind::Data, header.seq, header.body_crc, body)?;
            }
        }
        Ok(())
    }

    pub(super) fn push(
        &mut self,
        kind: RecordKind,
        seq: Seq,
        body_crc: u32,
        body: &[u8],
    ) -> Result<()> {
        // All that comes before is on disk when the file gets its name.
        let durable_upto = self.offset + self.buffer.len() as u64;
        debug_assert!(durable_upto >= HEADER_BYTES);
        let len = u32::try_from(body.len()).expect("it was read with such a length");
        let header = RecordHeader { len, body_crc, kind, durable_upto, seq };
        let end = self.buffer.len() + record_bytes(u64::from(len)) as usize;
        self.buffer.extend_from_slice(&self.crc.encode(&header).0);
        self.buffer.extend_from_slice(body);
        self.buffer.resize(end, 0);
        if self.buffer.len() >= READ_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        write_all_at(&*self.file, &self.buffer, self.offset)
            .map_err(|e| Error::io(&self.path, "write", e))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    pub(super) fn finish(mut self, fs: &dyn Fs, dir: &Path, name: &str) -> Result<()> {
        self.write()?;
        self.file.sync().map_err(|e| Error::io(&self.path, "sync", e))?;
        let path = dir.join(name);
        fs.rename(&self.path, &path).map_err(|e| Error::io(&path, "rename", e))?;
        fs.sync_dir(dir).map_err(|e| Error::io(dir, "sync", e))
    }
}
