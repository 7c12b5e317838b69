//! Blocks of tables in memory, and open table files: bounded, shared, charged to the budget.
//!
//! Three things live here, and hints for the processor where blocks lie (`hints`):
//! - **blocks** that come and go: scan-resistant (S3-FIFO), found by file number and offset; of
//!   several readers that miss the same block one reads it and the others wait for it;
//! - **pins**: indexes and filters that stay as long as their table is open, at most half of the
//!   cache, so that a point read neither looks them up nor touches a shared counter. What does
//!   not fit there is an ordinary block;
//! - **files**: at most so many open at once.
//!
//! Invariants:
//! - file numbers are never reused, so a block found under (number, offset) is that block;
//! - blocks and pins together stay below the cache's size, and every byte of them is held in
//!   [`Share::Caches`] until its last reader lets go of it. Where the budget refuses, the block
//!   is read, used and not kept.

mod counters;
mod hints;
pub(crate) mod spare;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use quick_cache::sync::{Cache as QuickCache, GuardResult};
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, UnitWeighter, Weighter};

use crate::budget::{Budget, Reservation, Share};
use crate::fs::File;
use crate::key::FileNumber;
use crate::{Error, Result};
pub use counters::Counter;
use counters::Counters;
use hints::Hints;

/// Bytes a cached block costs beside its own: the cache's slot, the `Arc`, the allocation, hints.
const BLOCK_OVERHEAD_BYTES: u64 = 128;
/// A shard holds at least this much, so that a large index still fits into one.
const SHARD_BYTES_MIN: u64 = 4 << 20;

/// Blocks of tables and open table files, shared by all tables of a store. Clones share.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    blocks: QuickCache<BlockKey, Arc<BlockBytes>, BlockWeighter, DefaultHashBuilder, OnEvict>,
    files: QuickCache<FileNumber, Arc<dyn File>, UnitWeighter>,
    bytes_max: AtomicU64,
    pinned_bytes: Mutex<u64>,
    budget: Budget,
    counters: Arc<Counters>,
    hints: Hints,
}

impl Inner {
    fn bytes_max(&self) -> u64 {
        self.bytes_max.load(Ordering::Relaxed)
    }
}

type BlockKey = (FileNumber, u64);

#[derive(Clone)]
struct BlockWeighter;

impl Weighter<BlockKey, Arc<BlockBytes>> for BlockWeighter {
    fn weight(&self, _: &BlockKey, block: &Arc<BlockBytes>) -> u64 {
        block.held_bytes()
    }
}

/// Counts what is pushed out, and frees it outside the lock of its shard.
#[derive(Clone)]
struct OnEvict(Arc<Counters>);

impl Lifecycle<BlockKey, Arc<BlockBytes>> for OnEvict {
    type RequestState = Option<Arc<BlockBytes>>;

    fn on_evict(&self, state: &mut Self::RequestState, _: BlockKey, block: Arc<BlockBytes>) {
        self.0.add(Counter::Evictions, 1);
        *state = Some(block);
    }
}

/// Counters of a cache; they only grow, but for the last two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Look-ups that found their block.
    pub hits: u64,
    /// Look-ups that had to read.
    pub misses: u64,
    /// Bytes of blocks read for the cache.
    pub read_bytes: u64,
    /// Blocks pushed out, or too large to be let in.
    pub evictions: u64,
    /// Filter probes that spared a table.
    pub filter_negative: u64,
    /// Filter probes that let through a key that was there.
    pub filter_true_positive: u64,
    /// Filter probes that let through a key that was not there.
    pub filter_false_positive: u64,
    /// Bytes held by blocks that may be evicted.
    pub cached_bytes: u64,
    /// Bytes held by indexes and filters that stay while their table is open.
    pub pinned_bytes: u64,
}

impl Cache {
    /// A cache of at most `bytes_max` of blocks, and of 1000 open files.
    pub fn new(bytes_max: u64, budget: Budget) -> Self {
        Cache::with_files(bytes_max, 1000, budget)
    }

    /// A cache of at most `bytes_max` of blocks and `files_max` open files.
    pub fn with_files(bytes_max: u64, files_max: usize, budget: Budget) -> Self {
        let counters = Arc::new(Counters::default());
        let shards = (bytes_max / SHARD_BYTES_MIN).clamp(1, 64) as usize;
        let options = OptionsBuilder::new()
            .shards(shards)
            .weight_capacity(bytes_max)
            .estimated_items_capacity((bytes_max / 4096) as usize + 1)
            .build()
            .expect("both required options are set");
        Cache(Arc::new(Inner {
            blocks: QuickCache::with_options(
                options,
                BlockWeighter,
                DefaultHashBuilder::default(),
                OnEvict(counters.clone()),
            ),
            files: QuickCache::new(files_max.max(1)),
            bytes_max: AtomicU64::new(bytes_max),
            pinned_bytes: Mutex::new(0),
            budget,
            counters,
            hints: Hints::new(bytes_max),
        }))
    }

    /// Changes how much it holds. What is over is evicted; pins stay while their tables are open.
    pub fn set_bytes_max(&self, bytes_max: u64) {
        let pinned = self.0.pinned_bytes.lock();
        self.0.bytes_max.store(bytes_max, Ordering::Relaxed);
        self.0.blocks.set_capacity(bytes_max.saturating_sub(*pinned));
    }

    /// The block at `offset` of `file`, from memory or by `load`, which then enters the cache.
    pub fn block(
        &self,
        file: FileNumber,
        offset: u64,
        load: impl FnOnce() -> Result<BlockBytes>,
    ) -> Result<Arc<BlockBytes>> {
        self.0.hints.fetch(file, offset);
        let guard = match self.0.blocks.get_value_or_guard(&(file, offset), None) {
            GuardResult::Value(block) => {
                self.count(Counter::Hits, 1);
                return Ok(block);
            }
            GuardResult::Guard(guard) => guard,
            GuardResult::Timeout => return Err(Error::Cancelled), // no time-out was given
        };
        self.count(Counter::Misses, 1);
        let mut block = load()?;
        self.count(Counter::ReadBytes, block.len() as u64);
        block.charge = self.0.budget.try_reserve(Share::Caches, block.held_bytes());
        let is_charged = block.charge.is_some();
        let block = Arc::new(block);
        if is_charged {
            // Refused only when the block was removed meanwhile; the caller has it all the same.
            let mut evicted = None;
            self.0.hints.note(file, offset, &block);
            let _ = guard.insert_with_lifecycle(block.clone(), &mut evicted);
            if let Some(block) = evicted.and_then(Arc::into_inner) {
                spare::give(block.buffer);
            }
        }
        Ok(block)
    }

    /// The block at `offset` of `file` if it is in memory.
    pub fn cached(&self, file: FileNumber, offset: u64) -> Option<Arc<BlockBytes>> {
        self.0.hints.fetch(file, offset);
        let block = self.0.blocks.get(&(file, offset))?;
        self.count(Counter::Hits, 1);
        Some(block)
    }

    /// The block at `offset` of `file` if it is in memory; counts neither as a hit nor as use.
    pub fn peek(&self, file: FileNumber, offset: u64) -> Option<Arc<BlockBytes>> {
        self.0.blocks.peek(&(file, offset))
    }

    /// Takes a block out of the part that may be evicted, if the share for pins has room; the
    /// caller then holds both the block and the pin.
    pub fn pin(&self, file: FileNumber, offset: u64, block: &Arc<BlockBytes>) -> Option<Pin> {
        block.charge.as_ref()?;
        let bytes = block.held_bytes();
        let mut pinned = self.0.pinned_bytes.lock();
        if *pinned + bytes > self.0.bytes_max() / 2 {
            return None;
        }
        *pinned += bytes;
        self.0.blocks.remove(&(file, offset));
        self.0.blocks.set_capacity(self.0.bytes_max().saturating_sub(*pinned));
        Some(Pin { cache: self.clone(), bytes })
    }

    /// The open file `number`, opening it by `open` when it is not.
    pub fn file(
        &self,
        number: FileNumber,
        open: impl FnOnce() -> Result<Box<dyn File>>,
    ) -> Result<Arc<dyn File>> {
        self.0.files.get_or_insert_with(&number, || Ok(Arc::from(open()?)))
    }

    /// Closes the file `number`, once nobody reads it: its table is gone. The blocks of it that
    /// are still here are never asked for again and leave in their turn.
    pub fn close_file(&self, number: FileNumber) {
        self.0.files.remove(&number);
    }

    /// Adds to a counter.
    pub fn count(&self, counter: Counter, more: u64) {
        self.0.counters.add(counter, more);
    }

    /// The counters now.
    pub fn stats(&self) -> CacheStats {
        let sum = |counter| self.0.counters.sum(counter);
        CacheStats {
            hits: sum(Counter::Hits),
            misses: sum(Counter::Misses),
            read_bytes: sum(Counter::ReadBytes),
            evictions: sum(Counter::Evictions),
            filter_negative: sum(Counter::FilterNegative),
            filter_true_positive: sum(Counter::FilterTruePositive),
            filter_false_positive: sum(Counter::FilterFalsePositive),
            cached_bytes: self.0.blocks.weight(),
            pinned_bytes: *self.0.pinned_bytes.lock(),
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Room taken in the share for pins; given back when dropped.
#[derive(Debug)]
pub struct Pin {
    cache: Cache,
    bytes: u64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let inner = &self.cache.0;
        let mut pinned = inner.pinned_bytes.lock();
        *pinned -= self.bytes;
        inner.blocks.set_capacity(inner.bytes_max().saturating_sub(*pinned));
    }
}

/// The bytes of one block after its checksum was verified and its compression undone.
#[derive(Debug)]
pub struct BlockBytes {
    buffer: Vec<u8>,
    start: usize,
    charge: Option<Reservation>,
}

impl BlockBytes {
    /// A block of these bytes.
    pub fn new(buffer: Vec<u8>) -> Self {
        BlockBytes { buffer, start: 0, charge: None }
    }

    /// A copy of `bytes` that starts at a cache line of the processor.
    pub fn aligned(bytes: &[u8]) -> Self {
        const LINE_BYTES: usize = 64;
        let mut buffer = Vec::<u8>::with_capacity(bytes.len() + LINE_BYTES - 1);
        let start = buffer.as_ptr().align_offset(LINE_BYTES).min(LINE_BYTES - 1);
        buffer.resize(start, 0);
        buffer.extend_from_slice(bytes);
        BlockBytes { buffer, start, charge: None }
    }

    /// Bytes of memory held.
    fn held_bytes(&self) -> u64 {
        self.buffer.capacity() as u64 + BLOCK_OVERHEAD_BYTES
    }
}

impl Deref for BlockBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

impl AsRef<[u8]> for BlockBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests;
