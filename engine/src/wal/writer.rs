//! Appending, writing and syncing: many callers, one fsync.
//!
//! ```text
//! append   append lock: checksum of 28 bytes, copy into the tail. No I/O
//! sync_to  already durable? done. Somebody leads? wait. Else lead:
//!            take the tail -> write -> (of a new segment: sync its header first) -> sync
//!            -> say how far -> wake all
//! ```
//!
//! A sealed segment is synced before the next is begun if there was a sync while it was written,
//! and the next one says so. In a log that nobody syncs it waits for the first sync or for its
//! removal ([`super::files`]), and the records behind it say of nothing that it is on disk.
//!
//! The leader is one of the waiters, not a thread of its own: a lone writer pays no hand-over, and
//! while one group is synced the next one gathers in the tail, so concurrent writers share syncs.
//!
//! Lock order: `lead` before `tail` before nothing; `progress` is held by no one who takes
//! another lock.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};

use super::files::{Files, Output};
use super::inspect::SegmentLink;
use super::segment::{HEADER_BYTES, Previous, SegmentHeader, record_bytes};
use super::tail::{Opening, Run, Tail};
use super::waiting::{Ticket, Waiting};
use super::{Replay, SegmentInfo, WalMetrics, WalOptions};
use crate::clock::Clock;
use crate::coding;
use crate::fs::Fs;
use crate::key::{FileNumber, Seq};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::{Error, Result};

/// A place in the log: bytes over all segments of this [`Wal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPosition(pub u64);

/// Gives out file numbers, ascending. Called under the append lock: an atomic, no more.
pub type Numbers = Arc<dyn Fn() -> FileNumber + Send + Sync>;

/// A segment is worth filling ahead of time when no more than this is written between syncs:
/// filling writes every byte of the log twice, and small writes into a filled file cost more (the
/// page cache holds what was written at once as one large page). A log that is not synced gains
/// nothing.
const PREPARE_SYNC_BYTES: u64 = 64 << 10;

/// Times a leader lets others append before it writes.
const GATHER_ROUNDS_MAX: u32 = 16;

/// How far the log got. Positions only grow.
#[derive(Debug, Default)]
struct Progress {
    /// Somebody is writing.
    led: bool,
    /// Callers that wait for a write, not for a sync.
    waiting_for_write: u32,
}

/// What the leader holds.
#[derive(Debug)]
struct Lead {
    /// The segment being written.
    output: Output,
    /// Records of the last group write: more than one tells of concurrent writers.
    last_group_records: u64,
}

/// The log, open for appending.
pub struct Wal {
    files: Files,
    options: WalOptions,
    metrics: Arc<WalMetrics>,
    numbers: Numbers,
    tail: Mutex<Tail>,
    /// The next segment is wanted and nobody works on it.
    wants_next: AtomicBool,
    lead: Mutex<Lead>,
    progress: Mutex<Progress>,
    progressed: Condvar,
    /// Those who wait without a thread.
    waiting: Waiting,
    /// Position up to which the operating system has the log.
    written: AtomicU64,
    /// Position up to which the disk has the log.
    durable: AtomicU64,
    /// Syncs asked for since the segment being written was put to use.
    segment_syncs: AtomicU64,
    /// What stopped the log, if anything did.
    failure: OnceLock<Arc<Error>>,
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wal").field("dir", &self.files.dir()).finish_non_exhaustive()
    }
}

impl Wal {
    /// Starts a new segment behind what [`super::recover`] found and removes what it found unused.
    pub fn create(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: WalOptions,
        replayed: &Replay,
        clock: Arc<dyn Clock>,
        metrics: Arc<WalMetrics>,
        numbers: Numbers,
    ) -> Result<Wal> {
        let last = replayed.segments.last();
        // Recovery made it durable.
        let is_synced = true;
        let previous = last.map(|last| {
            let SegmentInfo { number, bytes, chain, .. } = *last;
            Previous { number, bytes, chain, is_synced }
        });
        let header = SegmentHeader { store_id: options.store_id, number: numbers(), previous };
        assert!(last.is_none_or(|last| last.number < header.number), "file numbers ascend");
        let files = Files::new(fs, dir, options.segment_bytes, clock, metrics.clone());
        let opening = Opening { number: header.number, header: header.encode(), prepared: None };
        let output = files.begin(opening)?;
        for number in &replayed.unused {
            // One that stays is found unused again at the next open.
            let _ = files.remove(*number);
        }
        let sealed = replayed.segments.iter().map(|segment| (segment.clone(), 0)).collect();
        let tail = Tail::new(&header, options.segment_bytes, replayed.last_seq, sealed);
        Ok(Wal {
            files,
            options,
            metrics,
            numbers,
            tail: Mutex::new(tail),
            wants_next: AtomicBool::new(false),
            lead: Mutex::new(Lead { output, last_group_records: 0 }),
            progress: Mutex::default(),
            progressed: Condvar::new(),
            waiting: Waiting::default(),
            written: AtomicU64::new(HEADER_BYTES),
            durable: AtomicU64::new(HEADER_BYTES),
            segment_syncs: AtomicU64::new(0),
            failure: OnceLock::new(),
        })
    }

    /// Adds a record to the log; `body` is the concatenation of the parts.
    ///
    /// Call order is log order; sequence numbers do not descend. No I/O, unless the buffer is full:
    /// then this waits for a write, or does it.
    ///
    /// # Errors
    /// `Limit` for a body over the limit; `ReadOnly` after a failure; `Closed`.
    pub fn append(&self, seq: Seq, body: &[&[u8]]) -> Result<LogPosition> {
        let len = body.iter().map(|part| part.len() as u64).sum::<u64>();
        let limit = self.options.record_bytes_max.min(u64::from(u32::MAX));
        if len > limit {
            return Err(Error::Limit { what: "bytes of a log record", limit, got: len });
        }
        let (size, body_crc) = (record_bytes(len), coding::crc_of_parts(body));
        loop {
            self.check()?;
            let mut tail = self.tail.lock();
            if tail.closed {
                return Err(Error::Closed);
            }
            let end = tail.end();
            let buffered = end.0 - self.written.load(Ordering::Acquire);
            if buffered > 0 && buffered + size > self.options.buffer_bytes_max as u64 {
                drop(tail);
                self.metrics.buffer_waits.fetch_add(1, Ordering::Relaxed);
                self.write_to(end)?;
                continue;
            }
            if tail.is_full_for(size) {
                self.start_next(&mut tail);
            }
            let durable = self.durable.load(Ordering::Acquire);
            let position = tail.append(seq, body, len as u32, body_crc, durable);
            let syncs = self.segment_syncs.load(Ordering::Relaxed);
            let is_worth = syncs.saturating_mul(PREPARE_SYNC_BYTES) >= tail.current().bytes;
            if self.options.prepare && is_worth && tail.ask_for_next() {
                self.wants_next.store(true, Ordering::Relaxed);
            }
            drop(tail);
            self.metrics.appended_bytes.fetch_add(size, Ordering::Relaxed);
            self.metrics.records.fetch_add(1, Ordering::Relaxed);
            return Ok(position);
        }
    }

    fn start_next(&self, tail: &mut Tail) {
        // A log that is synced tells damage from a torn tail better.
        let syncs = self.segment_syncs.load(Ordering::Relaxed) > 0;
        tail.start_next(self.durable.load(Ordering::Acquire), syncs, || (self.numbers)());
    }

    /// Returns when everything before `position` was handed to the operating system.
    ///
    /// # Errors
    /// `ReadOnly` when that failed, now or earlier.
    pub fn write_to(&self, position: LogPosition) -> Result<()> {
        self.advance(position, false)
    }

    /// Returns when everything before `position` is on disk.
    ///
    /// # Errors
    /// `ReadOnly` when that failed, now or earlier. The records may or may not be on disk.
    pub fn sync_to(&self, position: LogPosition) -> Result<()> {
        self.advance(position, true)
    }

    fn advance(&self, position: LogPosition, sync: bool) -> Result<()> {
        let reached = if sync { &self.durable } else { &self.written };
        let is_there = || reached.load(Ordering::Acquire) >= position.0;
        if is_there() {
            return Ok(());
        }
        debug_assert!(position <= self.end(), "the position is of this log");
        let mut progress = self.progress.lock();
        loop {
            if is_there() {
                return Ok(());
            }
            self.check()?;
            if progress.led {
                progress.waiting_for_write += u32::from(!sync);
                self.progressed.wait(&mut progress);
                progress.waiting_for_write -= u32::from(!sync);
                continue;
            }
            progress.led = true;
            drop(progress);
            let result = self.lead(sync);
            progress = self.progress.lock();
            progress.led = false;
            if let Err(error) = result {
                // Nobody else can have set it: one leads at a time.
                let _ = self.failure.set(Arc::new(error));
            }
            self.progressed.notify_all();
            drop(progress);
            self.wake_waiting();
            progress = self.progress.lock();
        }
    }

    /// Wakes those whose position is on disk; all of them when the log has failed.
    fn wake_waiting(&self) {
        let has_failed = self.failure.get().is_some();
        let durable = self.durable.load(Ordering::Acquire);
        self.waiting.wake(if has_failed { u64::MAX } else { durable });
    }

    /// Whether everything before `position` is on disk; if not, `waker` is woken once it is, or
    /// once the log has failed. Somebody has to call [`Wal::sync_to`].
    ///
    /// # Errors
    /// `ReadOnly` as [`Wal::sync_to`].
    pub fn poll_durable(
        &self,
        position: LogPosition,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
    ) -> Poll<Result<()>> {
        let look = || {
            if self.durable.load(Ordering::Acquire) >= position.0 {
                return Poll::Ready(Ok(()));
            }
            self.check().map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending)
        };
        if look().is_pending() {
            self.waiting.enter(position.0, ticket, waker);
        }
        look()
    }

    /// Wakes everybody who waits without a thread.
    pub fn wake_all(&self) {
        self.waiting.wake(u64::MAX);
    }

    /// Whoever holds `ticket` does not wait any more.
    pub fn stop_waiting(&self, ticket: Ticket) {
        self.waiting.leave(ticket);
    }

    /// Whether anybody waits without a thread.
    pub fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Lets those whom the last sync woke append what they have next, as long as some do: without
    /// it, writers split in two groups that take turns (measured: 16 writers, 30 % more commits).
    fn gather(&self) {
        let mut end = self.end();
        for _ in 0..GATHER_ROUNDS_MAX {
            crate::sync::thread::yield_now();
            let before = std::mem::replace(&mut end, self.end());
            if before == end {
                return;
            }
        }
    }

    /// Writes everything appended so far, and syncs it if asked to.
    fn lead(&self, sync: bool) -> Result<()> {
        let mut lead = self.lead.lock();
        if sync && lead.last_group_records > 1 {
            self.gather();
        }
        let runs = self.tail.lock().take();
        let mut end = self.written.load(Ordering::Acquire);
        let mut records = 0;
        for mut run in runs {
            self.write_run(&mut lead.output, &mut run)?;
            (end, records) = (run.end, records + run.records);
            self.tail.lock().give_back(run.bytes);
        }
        lead.last_group_records = records;
        if records > 0 {
            self.metrics.group_records.record(records);
        }
        self.written.store(end, Ordering::Release);
        if sync {
            self.segment_syncs.fetch_add(1, Ordering::Relaxed);
            if self.progress.lock().waiting_for_write > 0 {
                self.progressed.notify_all();
            }
            self.files.sync(&mut lead.output)?;
            self.durable.store(end, Ordering::Release);
        }
        Ok(())
    }

    fn write_run(&self, output: &mut Output, run: &mut Run) -> Result<()> {
        if let Some(opening) = run.opens.take() {
            self.segment_syncs.store(0, Ordering::Relaxed);
            let sealed = std::mem::replace(output, self.files.begin(opening)?);
            self.files.leave(sealed);
        }
        if !run.bytes.is_empty() {
            output.write(&run.bytes, run.offset)?;
        }
        if run.syncs {
            self.files.sync(output)?;
            self.durable.store(run.end, Ordering::Release);
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        match self.failure.get() {
            Some(cause) => Err(Error::ReadOnly { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Position behind the last record.
    pub fn end(&self) -> LogPosition {
        self.tail.lock().end()
    }

    /// Position up to which the log is on disk.
    pub fn durable(&self) -> LogPosition {
        LogPosition(self.durable.load(Ordering::Acquire))
    }

    #[cfg(test)]
    pub(super) fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// The segment being appended to. The next record goes there or to a later one.
    pub fn segment(&self) -> FileNumber {
        self.tail.lock().current().number
    }

    /// Whether the next segment should be prepared now. Cheap: ask after every append.
    pub fn needs_prepare(&self) -> bool {
        self.wants_next.load(Ordering::Relaxed)
    }

    /// Creates the next segment, fills it with zeros and syncs it; for a background job. Filled
    /// blocks halve the cost of a sync, which then has no size and no extents to record.
    ///
    /// # Errors
    /// `Io`: the log goes on without, and asks again with the segment after.
    pub fn prepare_next(&self) -> Result<()> {
        if !self.wants_next.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let number = (self.numbers)();
        let file = match self.files.create_filled(number) {
            Ok(file) => file,
            Err(error) => {
                // Never used; one that stays is removed at the next open.
                let _ = self.files.remove(number);
                return Err(error);
            }
        };
        let mut tail = self.tail.lock();
        // The log may have gone on meanwhile, to a segment with a larger number or to its end.
        if number > tail.current().number && tail.next.is_none() && !tail.closed {
            tail.next = Some((number, file));
            return Ok(());
        }
        drop(tail);
        self.files.remove(number)
    }

    /// Ends the current segment, so that the next record starts a new one. No I/O; does nothing to
    /// an empty segment.
    pub fn rotate(&self) -> Result<()> {
        self.check()?;
        let mut tail = self.tail.lock();
        if tail.closed {
            return Err(Error::Closed);
        }
        if tail.current().bytes > HEADER_BYTES {
            self.start_next(&mut tail);
        }
        Ok(())
    }

    /// Gives back the room an idle log holds ahead of its records: the prepared segment goes, and a
    /// new, sparse segment is started. For a store that has just flushed everything; the sealed
    /// segments then go by [`Wal::remove_before`].
    pub fn shrink(&self) -> Result<()> {
        self.check()?;
        let unused = {
            let mut tail = self.tail.lock();
            if tail.closed {
                return Err(Error::Closed);
            }
            let unused = tail.next.take();
            if tail.holds_room() {
                self.start_next(&mut tail);
            }
            unused
        };
        if let Some((number, _)) = unused {
            self.files.remove(number)?;
        }
        // Begins the new segment; the old one may go then.
        self.write_to(self.end())
    }

    /// Segments that were not removed, oldest first; the last is being appended to.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let tail = self.tail.lock();
        let mut segments: Vec<_> = tail.sealed.iter().map(|(info, _)| info.clone()).collect();
        if !tail.closed {
            segments.push(tail.current().clone());
        }
        segments
    }

    /// The segment being appended to, as it is now; of a closed log the last.
    pub fn last_segment(&self) -> SegmentLink {
        let tail = self.tail.lock();
        let SegmentInfo { number, bytes, chain, .. } = *tail.current();
        SegmentLink { number, bytes, chain }
    }

    /// Removes sealed segments below `keep_from`. Only after the manifest edit that says so is
    /// durable. One that is not yet written to its end stays until the next call.
    ///
    /// # Errors
    /// `Io` of the first that could not be removed; it stays in [`Wal::segments`], the others go.
    pub fn remove_before(&self, keep_from: FileNumber) -> Result<()> {
        self.files.forget_before(keep_from);
        let written = self.written.load(Ordering::Acquire);
        let is_due = |(info, end): &(SegmentInfo, u64)| info.number < keep_from && *end <= written;
        let due: Vec<_> = self.tail.lock().sealed.iter().filter(|s| is_due(s)).cloned().collect();
        let mut result = Ok(());
        for (info, _) in due {
            match self.files.remove(info.number) {
                Ok(()) => self.tail.lock().sealed.retain(|(kept, _)| kept.number != info.number),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    /// Syncs and seals the log; every later call is refused. The seal says that all of it was on
    /// disk, so any damage found later is damage and no torn tail.
    pub fn close(&self) -> Result<()> {
        self.sync_to(self.end())?;
        let (bytes, end, next) = {
            let mut tail = self.tail.lock();
            if tail.closed {
                return Ok(());
            }
            tail.closed = true;
            tail.seal(self.durable.load(Ordering::Acquire), true);
            (tail.current().bytes, tail.end(), tail.next.take())
        };
        self.sync_to(end)?;
        // Tidying that may be left undone: the zeros behind the seal, and a segment never used.
        self.lead.lock().output.cut(bytes);
        if let Some((number, _)) = next {
            let _ = self.files.remove(number);
        }
        Ok(())
    }
}
