//! Block cache and open-file cache, charged to the memory budget.

use crate::budget::Budget;

/// Blocks of tables and open table files, shared by all tables of a store. Clones share.
#[derive(Debug, Clone)]
pub struct Cache(std::sync::Arc<Budget>);

/// Counters of a cache; they only grow, but for the last two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Look-ups that found their block.
    pub hits: u64,
    /// Look-ups that had to read.
    pub misses: u64,
    /// Bytes of blocks read for the cache.
    pub read_bytes: u64,
    /// Blocks pushed out.
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
    /// A cache of at most `bytes` of blocks, and of 1000 open files.
    pub fn new(bytes: u64, budget: Budget) -> Self {
        Cache::with_files(bytes, 1000, budget)
    }

    /// A cache of at most `bytes` of blocks and `files_max` open files.
    pub fn with_files(_bytes: u64, _files_max: usize, _budget: Budget) -> Self {
        todo!()
    }

    /// The counters now.
    pub fn stats(&self) -> CacheStats {
        todo!()
    }
}
