//! Every knob of a store, with unit, default and reason; and what may be chosen per keyspace.
//!
//! Options come from the process. Nothing here is read from a file and nothing is global.

pub mod policy;
pub mod runtime;

use std::path::PathBuf;
use std::sync::Arc;

use crate::budget::Budget;
use crate::clock::Clock;
use crate::compress::Compression;
use crate::fs::Fs;
use crate::hooks::{Hooks, Plain};
use crate::memtable::MemtableKind;
use crate::table::FilterKind;
use crate::wal::salvage::Scope;

pub use policy::{LazyLeveled, Leveled, Policy, Tiered, TimeWindow};
pub use runtime::RuntimeOptions;

/// Finds the hooks of a keyspace by its name, when it is created and at every open.
pub trait HookResolver: Send + Sync + std::fmt::Debug {
    /// The hooks of the keyspace called `keyspace_name`.
    fn hooks(&self, keyspace_name: &str) -> Arc<dyn Hooks>;
}

/// Every keyspace alike: for stores of keys and values alone.
impl HookResolver for Plain {
    fn hooks(&self, _keyspace_name: &str) -> Arc<dyn Hooks> {
        Arc::new(self.clone())
    }
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After its log record was fsynced: survives power loss.
    #[default]
    Always,
    /// At once; somebody calls [`crate::store::Store::sync`] on a tick. Loses at most that much.
    Interval,
    /// After its log record was handed to the operating system: survives a crash of the process.
    /// After a crash of the machine a prefix of what was written is there, which holds what was
    /// flushed, and what was synced ([`crate::store::Store::sync`]). The log itself is not synced,
    /// so most of it never reaches the disk.
    Os,
}

impl Durability {
    /// All of them.
    pub const ALL: [Durability; 3] = [Durability::Always, Durability::Interval, Durability::Os];
}

/// How one write is done.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions {
    /// When it is acknowledged; `None`: as the store's options say.
    pub durability: Option<Durability>,
}

/// What opening does about a log that is damaged where a crash does not damage it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCorruption {
    /// Refuses with `Corrupt`. `firndb wal check` shows what is lost, `firndb wal repair` keeps the
    /// rest.
    #[default]
    Stop,
    /// Keeps every whole record and sets the damaged segments aside in `quarantine/`, as the repair
    /// does; the metrics and events say what was lost.
    Salvage,
    /// As `Salvage`, but keeps only what lies before the first record that is lost: the log of some
    /// moment, for those who would rather lose more than have a gap. What was flushed stays.
    Truncate,
}

impl OnCorruption {
    /// What is kept of a damaged log, if it is opened at all.
    pub(crate) fn scope(self) -> Option<Scope> {
        match self {
            OnCorruption::Stop => None,
            OnCorruption::Salvage => Some(Scope::All),
            OnCorruption::Truncate => Some(Scope::Prefix),
        }
    }
}

/// Who runs flushes and compactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// The calling thread, at the end of the call that made the job due: the same history gives
    /// the same file operations, which the simulation tests need.
    Inline,
    /// This many threads of the store's own; at least one.
    Threads(usize),
}

/// What may be chosen for one keyspace.
#[derive(Debug, Clone, Default)]
pub struct KeyspaceOptions {
    /// Compaction; `None`: the store's default.
    pub policy: Option<Policy>,
    /// Compression of every table; `None`: the store's defaults by level.
    pub compression: Option<Compression>,
    /// How long a put lasts that does not say it, in milliseconds from when it is written; `None`:
    /// for ever. Operands of merges last for ever.
    pub ttl_ms: Option<u64>,
}

/// Every knob of a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder. Created when missing.
    pub dir: PathBuf,
    /// Where the folder lies.
    pub fs: Arc<dyn Fs>,
    /// Time for the manifest's records, ages and durations.
    pub clock: Arc<dyn Clock>,
    /// Memory shared with the rest of the process.
    pub budget: Budget,
    /// Hooks by keyspace name.
    pub hooks: Arc<dyn HookResolver>,
    /// When a write is acknowledged, unless the write says otherwise.
    pub durability: Durability,
    /// Who runs flushes and compactions.
    pub background: Background,
    /// What the memtables of plain keyspaces are made of.
    pub memtable: MemtableKind,
    /// Bytes of all active memtables together at which the largest is sealed and flushed.
    pub memtable_bytes_max: u64,
    /// Bytes of all memtables, sealed ones included, at which writers stall.
    pub memtable_bytes_hard: u64,
    /// Runs in level 0 beyond which writes to the keyspace are delayed, a little more for each run:
    /// ingest meets compaction half way instead of a wall. Six times the trigger.
    pub runs0_slow: usize,
    /// Runs in level 0 at which delays are longest. Nine times the trigger.
    pub runs0_hard: usize,
    /// Bytes of a keyspace that wait for their compaction beyond which writes to it are delayed, a
    /// little more for each byte. 64 GiB: ten minutes of a disk's work, as in RocksDB.
    pub pending_bytes_slow: u64,
    /// Bytes that wait for their compaction at which delays are longest.
    pub pending_bytes_hard: u64,
    /// Age at which [`crate::store::Store::maintain`] flushes a memtable, in milliseconds.
    pub memtable_age_ms_max: u64,
    /// How long a writer stalls before it is refused with `Busy`, in milliseconds.
    pub stall_ms_max: u64,
    /// Length of a log segment.
    pub wal_segment_bytes: u64,
    /// Bytes of log kept for memtables at which the keyspace that pins the oldest is flushed.
    pub wal_bytes_max: u64,
    /// What opening does about a log that is damaged inside. A record that was never finished is
    /// cut either way. Stop: acknowledged writes are gone, which nobody should learn from a metric.
    pub wal_on_corruption: OnCorruption,
    /// Uncompressed bytes of a table block. 4 KiB: one page of the disk.
    pub block_bytes: usize,
    /// Entries between two whole keys in a block.
    pub restart_interval: usize,
    /// Bits of filter per key; 0: no filters. 10 give 1 % false positives.
    pub filter_bits_per_key: u32,
    /// Filters of tables that a compaction writes to the bottom, where most keys lie. All others
    /// are Bloom filters: they are soon rewritten.
    pub filter_last: FilterKind,
    /// Bytes of block cache.
    pub cache_bytes: u64,
    /// Compression of tables in the upper levels, which are soon rewritten.
    pub compression_upper: Compression,
    /// Compression of tables in the last level, where most bytes lie.
    pub compression_last: Compression,
    /// Table files kept open.
    pub files_open_max: usize,
    /// Bytes at which a compaction starts another output table.
    pub table_bytes_max: u64,
    /// Policy of keyspaces that choose none.
    pub policy: Policy,
    /// Compactions running at once.
    pub compactions_max: usize,
    /// Parts of one compaction that are merged side by side, each on a thread of its own. Only
    /// jobs of more than a table's bytes per part are cut, and only where the keyspace's hooks
    /// bring no merge of their own.
    pub subcompactions_max: usize,
    /// How far behind other threads the parts of a compaction stand for the processor, in steps of
    /// `nice(1)`, 0 to 19; Linux only. 10, a tenth of the weight: where cores are short, a put that
    /// has to make room for a merge waits 4 ms for its turn. Merges that get too little delay
    /// writers by what they are behind; flushes and merges of hooks stand with all others.
    pub compaction_nice: u8,
    /// Bytes a second that all compactions together may read; 0: no limit. Flushes are not held.
    pub compaction_bytes_per_s: u64,
    /// Bytes of one batch.
    pub batch_bytes_max: usize,
    /// Bytes of one key.
    pub key_bytes_max: usize,
    /// Bytes of keys remembered while transactions are open, to find conflicts. Beyond them the
    /// transactions that are open longest are refused at their commit. 64 MiB: a million keys.
    pub transaction_history_bytes: u64,
    /// Keyspaces of the store.
    pub keyspaces_max: usize,
}

impl Options {
    /// Defaults for a store in `dir` of `fs`.
    pub fn new(
        dir: impl Into<PathBuf>,
        fs: Arc<dyn Fs>,
        clock: Arc<dyn Clock>,
        hooks: Arc<dyn HookResolver>,
    ) -> Self {
        Options {
            dir: dir.into(),
            fs,
            clock,
            budget: Budget::unlimited(),
            hooks,
            durability: Durability::Always,
            background: Background::Threads(2),
            memtable: MemtableKind::default(),
            memtable_bytes_max: 64 << 20,
            memtable_bytes_hard: 128 << 20,
            runs0_slow: 24,
            runs0_hard: 36,
            pending_bytes_slow: 64 << 30,
            pending_bytes_hard: 256 << 30,
            memtable_age_ms_max: 3_600_000,
            stall_ms_max: 1000,
            wal_segment_bytes: 64 << 20,
            wal_bytes_max: 512 << 20,
            wal_on_corruption: OnCorruption::default(),
            block_bytes: 4096,
            restart_interval: 8,
            filter_bits_per_key: 10,
            filter_last: FilterKind::Fuse,
            cache_bytes: 128 << 20,
            compression_upper: Compression::None,
            compression_last: Compression::None,
            files_open_max: 1000,
            table_bytes_max: 64 << 20,
            policy: Policy::default(),
            compactions_max: 2,
            subcompactions_max: 2,
            compaction_nice: 10,
            compaction_bytes_per_s: 0,
            batch_bytes_max: 64 << 20,
            key_bytes_max: 64 << 10,
            transaction_history_bytes: 64 << 20,
            keyspaces_max: 100_000,
        }
    }
}
