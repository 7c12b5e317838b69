//! The keys written while transactions are open, in the order of sequence numbers.
//!
//! ```text
//! oldest open transaction     every other open one       now
//!          |                        |      |              |
//!   [ chunk ][ chunk ][ chunk ][ chunk ][ chunk ][ newest chunk ...
//!   gone once no open transaction is older than its last write
//! ```
//!
//! Chunks are written once and shared with whoever compares; only the newest grows, and that one is
//! never shared. Beyond its limit, or where the budget refuses, the history forgets its oldest
//! chunk: transactions that began before are then refused at their commit.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Reads;
use crate::batch::WriteBatch;
use crate::budget::{Budget, Reservation, Share};
use crate::key::{KeyspaceId, Kind, Op, Seq};
use crate::{Error, Result};

/// Bytes at which a chunk is full: what a commit compares under the commit lock.
const CHUNK_BYTES: usize = 64 << 10;

/// A write to a key, to a range, or to who knows what.
#[derive(Debug)]
struct Written {
    seq: Seq,
    keyspace: KeyspaceId,
    kind: Kind,
    /// Where the key ends in the chunk's keys; it starts where the write before ends.
    key_end: u32,
    /// Where the write ends there: behind its key, or behind the end of the range it deletes.
    end: u32,
}

/// Writes in a row.
#[derive(Debug, Default)]
pub struct Chunk {
    writes: Vec<Written>,
    keys: Vec<u8>,
}

impl Chunk {
    fn bytes(&self) -> usize {
        self.keys.len() + self.writes.len() * size_of::<Written>()
    }

    fn last_seq(&self) -> Seq {
        self.writes.last().map_or(0, |written| written.seq)
    }

    fn push(&mut self, seq: Seq, keyspace: KeyspaceId, op: &Op<'_>) {
        let len = |keys: &[u8]| u32::try_from(keys.len()).expect("a chunk stays below 4 GiB");
        self.keys.extend_from_slice(op.key);
        let key_end = len(&self.keys);
        if op.kind == Kind::DeleteRange {
            self.keys.extend_from_slice(op.value);
        }
        let end = len(&self.keys);
        self.writes.push(Written { seq, keyspace, kind: op.kind, key_end, end });
    }

    /// Compares what was written after `after` with what was read.
    ///
    /// # Errors
    /// `Conflict` with the first write that was read.
    pub fn check(&self, reads: &Reads, after: Seq) -> Result<()> {
        let first = self.writes.partition_point(|written| written.seq <= after);
        let mut start = first.checked_sub(1).map_or(0, |before| self.writes[before].end as usize);
        for written in &self.writes[first..] {
            let key = &self.keys[start..written.key_end as usize];
            let range_end = &self.keys[written.key_end as usize..written.end as usize];
            start = written.end as usize;
            let is_read = match written.kind {
                Kind::Append => reads.has_any(written.keyspace),
                Kind::Put | Kind::PutUntil | Kind::Delete | Kind::Merge => {
                    reads.has_key(written.keyspace, key)
                }
                Kind::DeleteRange => reads.has_range(written.keyspace, key, range_end),
            };
            if is_read {
                let keyspace = written.keyspace.0;
                let reason =
                    format!("\"{}\" of keyspace {keyspace} was written since", key.escape_ascii());
                return Err(Error::Conflict { reason });
            }
        }
        Ok(())
    }
}

/// The keys written while transactions are open.
#[derive(Debug)]
pub struct History {
    /// How many transactions are open since each sequence number.
    open: BTreeMap<Seq, usize>,
    /// Oldest first; the last one is being written.
    chunks: VecDeque<Arc<Chunk>>,
    /// Of all chunks but the last.
    bytes: u64,
    /// Writes up to here may be missing though a transaction is older.
    forgotten: Seq,
    reserved: Reservation,
}

impl History {
    /// An empty history whose bytes are drawn from `budget`.
    pub fn new(budget: &Budget) -> Self {
        History {
            open: BTreeMap::new(),
            chunks: VecDeque::new(),
            bytes: 0,
            forgotten: 0,
            reserved: budget.reserve_anyway(Share::Memtables, 0),
        }
    }

    /// A transaction begins that sees everything up to `seq`, the last one given out.
    pub fn open(&mut self, seq: Seq) {
        *self.open.entry(seq).or_default() += 1;
    }

    /// A transaction that began at `seq` ended. Gives what nobody needs any more, to be freed
    /// under no lock.
    pub fn close(&mut self, seq: Seq) -> Vec<Arc<Chunk>> {
        let count = self.open.get_mut(&seq).expect("a transaction is counted while it is open");
        *count -= 1;
        if *count == 0 {
            self.open.remove(&seq);
        }
        let mut gone = Vec::new();
        match self.open.first_key_value() {
            None => {
                gone.extend(self.chunks.drain(..));
                self.bytes = 0;
            }
            Some((oldest, _)) => {
                let oldest = *oldest;
                while self.chunks.len() > 1 && self.chunks[0].last_seq() <= oldest {
                    gone.extend(self.pop());
                }
            }
        }
        self.reserved.resize_anyway(self.bytes);
        gone
    }

    /// Whether writes are to be recorded.
    pub fn is_recording(&self) -> bool {
        !self.open.is_empty()
    }

    /// Open transactions.
    pub fn open_count(&self) -> usize {
        self.open.values().sum()
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.chunks.back().map_or(0, |chunk| chunk.bytes() as u64)
    }

    /// Takes note of what `batch` writes, forgetting the oldest beyond `limit_bytes`.
    pub fn record(&mut self, seq: Seq, batch: &WriteBatch, limit_bytes: u64) {
        for op in batch.iter() {
            let (keyspace, op) = op.expect("decoded before it was logged");
            if self.chunks.back().is_none_or(|chunk| chunk.bytes() >= CHUNK_BYTES) {
                self.start_chunk(limit_bytes);
            }
            let newest = self.chunks.back_mut().and_then(Arc::get_mut);
            newest.expect("the newest chunk is there and not shared").push(seq, keyspace, &op);
        }
    }

    fn start_chunk(&mut self, limit_bytes: u64) {
        let full_bytes = self.chunks.back().map_or(0, |chunk| chunk.bytes() as u64);
        self.bytes += full_bytes;
        self.chunks.push_back(Arc::default());
        if !self.reserved.try_grow(full_bytes) {
            self.forget_oldest();
        }
        while self.bytes > limit_bytes && self.chunks.len() > 1 {
            self.forget_oldest();
        }
        self.reserved.resize_anyway(self.bytes);
    }

    fn forget_oldest(&mut self) {
        if let Some(chunk) = self.pop() {
            self.forgotten = self.forgotten.max(chunk.last_seq());
        }
    }

    /// Takes out the oldest chunk, unless it is being written.
    fn pop(&mut self) -> Option<Arc<Chunk>> {
        let chunk = if self.chunks.len() > 1 { self.chunks.pop_front() } else { None }?;
        self.bytes -= chunk.bytes() as u64;
        Some(chunk)
    }

    /// The full chunks with writes after `after`, to compare under no lock, and up to where the
    /// history is then compared.
    pub fn full_chunks(&self, after: Seq) -> (Vec<Arc<Chunk>>, Seq) {
        let count = self.chunks.len().saturating_sub(1);
        let full = self.chunks.range(..count).filter(|chunk| chunk.last_seq() > after);
        // A batch may go on in the next chunk: its number is not done with.
        let checked = match self.chunks.back().and_then(|chunk| chunk.writes.first()) {
            Some(written) if count > 0 => after.max(written.seq - 1),
            _ => after,
        };
        (full.cloned().collect(), checked)
    }

    /// Whether writes are missing that a transaction would have to be compared with that began at
    /// `began`.
    pub fn has_forgotten(&self, began: Seq) -> bool {
        began < self.forgotten
    }

    /// Compares what was written after `after` with what a transaction read that began at `began`.
    ///
    /// # Errors
    /// `Conflict` when something read was written, or when that is not known any more.
    pub fn check(&self, reads: &Reads, began: Seq, after: Seq) -> Result<()> {
        if self.has_forgotten(began) {
            let reason = "more was written since it began than is kept".to_owned();
            return Err(Error::Conflict { reason });
        }
        let mut newer = self.chunks.iter().rev().take_while(|chunk| chunk.last_seq() > after);
        newer.try_for_each(|chunk| chunk.check(reads, after))
    }
}

#[cfg(test)]
mod tests;
