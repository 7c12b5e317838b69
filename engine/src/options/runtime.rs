//! Options that may change while a store is open.
//!
//! A copy of these of [`Options`] is what the open store goes by; [`RuntimeOptions`] is all of
//! them at one moment. What the way of every write asks for is kept in atomics beside it, so that
//! writers share no lock for it.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Durability, Options};
use crate::compress::Compression;
use crate::table::FilterKind;
use crate::{Error, Result};

/// Options that may change while the store is open, by [`crate::store::Store::set_options`].
///
/// | option | from when on |
/// |---|---|
/// | `durability` | the next write |
/// | `memtable_bytes_max`, `memtable_bytes_hard` | at once: memtables over the limit are sealed |
/// | `stall_ms_max` | the next write |
/// | `runs0_slow`, `runs0_hard`, `pending_bytes_slow`, `pending_bytes_hard` | at once |
/// | `memtable_age_ms_max` | the next [`crate::store::Store::maintain`] |
/// | `wal_bytes_max` | at once: memtables that pin more log are sealed |
/// | `block_bytes`, `restart_interval`, `table_bytes_max` | tables begun from then on |
/// | `filter_bits_per_key`, `filter_last` | tables begun from then on |
/// | `compression_upper`, `compression_last` | tables begun from then on |
/// | `cache_bytes` | at once: what is over is evicted, but for pinned indexes and filters |
/// | `compactions_max`, `subcompactions_max` | the next job; running ones end |
/// | `compaction_bytes_per_s` | the next read of a compaction |
/// | `transaction_history_bytes` | the next write while a transaction is open |
///
/// Tables written before stay as they are: all kinds are read side by side.
///
/// Changed by calls of their own: the policy of a keyspace ([`crate::store::Store::set_policy`]).
///
/// Not while the store is open: `dir`, `fs`, `clock`, `budget`, `hooks` (what readers and jobs hold
/// rests on them), `background` (threads), `memtable` and `wal_segment_bytes` (memtables and
/// segments in use), `files_open_max` (a table of fixed size), `policy` (keyspaces took it when
/// they were opened), `batch_bytes_max`, `key_bytes_max`, `keyspaces_max` (writers were promised
/// them).
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "each is that of `Options` of the same name")]
pub struct RuntimeOptions {
    pub durability: Durability,
    pub memtable_bytes_max: u64,
    pub memtable_bytes_hard: u64,
    pub runs0_slow: usize,
    pub runs0_hard: usize,
    pub pending_bytes_slow: u64,
    pub pending_bytes_hard: u64,
    pub memtable_age_ms_max: u64,
    pub stall_ms_max: u64,
    pub wal_bytes_max: u64,
    pub block_bytes: usize,
    pub restart_interval: usize,
    pub filter_bits_per_key: u32,
    pub filter_last: FilterKind,
    pub cache_bytes: u64,
    pub compression_upper: Compression,
    pub compression_last: Compression,
    pub table_bytes_max: u64,
    pub compactions_max: usize,
    pub subcompactions_max: usize,
    pub compaction_bytes_per_s: u64,
    pub transaction_history_bytes: u64,
}

impl RuntimeOptions {
    /// Those of `options`.
    pub fn of(options: &Options) -> Self {
        RuntimeOptions {
            durability: options.durability,
            memtable_bytes_max: options.memtable_bytes_max,
            memtable_bytes_hard: options.memtable_bytes_hard,
            runs0_slow: options.runs0_slow,
            runs0_hard: options.runs0_hard,
            pending_bytes_slow: options.pending_bytes_slow,
            pending_bytes_hard: options.pending_bytes_hard,
            memtable_age_ms_max: options.memtable_age_ms_max,
            stall_ms_max: options.stall_ms_max,
            wal_bytes_max: options.wal_bytes_max,
            block_bytes: options.block_bytes,
            restart_interval: options.restart_interval,
            filter_bits_per_key: options.filter_bits_per_key,
            filter_last: options.filter_last,
            cache_bytes: options.cache_bytes,
            compression_upper: options.compression_upper,
            compression_last: options.compression_last,
            table_bytes_max: options.table_bytes_max,
            compactions_max: options.compactions_max,
            subcompactions_max: options.subcompactions_max,
            compaction_bytes_per_s: options.compaction_bytes_per_s,
            transaction_history_bytes: options.transaction_history_bytes,
        }
    }

    /// Whether a store may go by them.
    ///
    /// # Errors
    /// `Invalid` with the reason.
    pub fn check(&self) -> Result<()> {
        let wrong = [
            (
                self.memtable_bytes_hard < self.memtable_bytes_max,
                "memtable_bytes_hard is below memtable_bytes_max",
            ),
            (self.block_bytes == 0, "block_bytes is 0"),
            (self.restart_interval == 0, "restart_interval is 0"),
            (self.table_bytes_max == 0, "table_bytes_max is 0"),
            (self.compactions_max == 0, "compactions_max is 0"),
        ];
        match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, reason)) => Err(Error::Invalid { reason: (*reason).to_owned() }),
            None => Ok(()),
        }
    }
}

/// What an open store goes by.
#[derive(Debug)]
pub(crate) struct Runtime {
    all: Mutex<RuntimeOptions>,
    durability: AtomicU64,
    memtable_bytes_max: AtomicU64,
    memtable_bytes_hard: AtomicU64,
    stall_ms_max: AtomicU64,
    transaction_history_bytes: AtomicU64,
}

impl Runtime {
    pub fn new(options: RuntimeOptions) -> Self {
        let runtime = Runtime {
            all: Mutex::new(options),
            durability: AtomicU64::new(0),
            memtable_bytes_max: AtomicU64::new(0),
            memtable_bytes_hard: AtomicU64::new(0),
            stall_ms_max: AtomicU64::new(0),
            transaction_history_bytes: AtomicU64::new(0),
        };
        runtime.store(&options);
        runtime
    }

    /// All of them.
    pub fn all(&self) -> RuntimeOptions {
        *self.all.lock()
    }

    /// Changes some, or none where the outcome would not do. Gives all before and after.
    pub fn change(
        &self,
        change: impl FnOnce(&mut RuntimeOptions),
    ) -> Result<(RuntimeOptions, RuntimeOptions)> {
        let mut all = self.all.lock();
        let (before, mut after) = (*all, *all);
        change(&mut after);
        after.check()?;
        *all = after;
        self.store(&after);
        Ok((before, after))
    }

    fn store(&self, options: &RuntimeOptions) {
        let durability = Durability::ALL.iter().position(|d| *d == options.durability);
        let pairs = [
            (&self.durability, durability.expect("all are listed") as u64),
            (&self.memtable_bytes_max, options.memtable_bytes_max),
            (&self.memtable_bytes_hard, options.memtable_bytes_hard),
            (&self.stall_ms_max, options.stall_ms_max),
            (&self.transaction_history_bytes, options.transaction_history_bytes),
        ];
        pairs.iter().for_each(|(place, value)| place.store(*value, Ordering::Relaxed));
    }

    pub fn durability(&self) -> Durability {
        Durability::ALL[self.durability.load(Ordering::Relaxed) as usize]
    }

    pub fn memtable_bytes_max(&self) -> u64 {
        self.memtable_bytes_max.load(Ordering::Relaxed)
    }

    pub fn memtable_bytes_hard(&self) -> u64 {
        self.memtable_bytes_hard.load(Ordering::Relaxed)
    }

    pub fn stall_ms_max(&self) -> u64 {
        self.stall_ms_max.load(Ordering::Relaxed)
    }

    pub fn transaction_history_bytes(&self) -> u64 {
        self.transaction_history_bytes.load(Ordering::Relaxed)
    }
}
