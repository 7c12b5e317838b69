//! The settings with their types, as the process uses them.

use std::path::PathBuf;

use firndb::engine::options::{Durability, OnCorruption};
use firndb::tsdb::rollup::RollupOptions;

use crate::standing::StandingRollups;

use super::value::{bool, count, duration_ns, percent, size};
use super::{Config, ConfigError};

/// Memtables beyond this bring nothing: 48 MiB are 500,000 rows of ten fields, whole chunks for
/// hundreds of series, and compaction makes the rest whole.
const MEMTABLE_AUTO_MAX: u64 = 48 << 20;

/// Half a day of ten thousand series of ten fields, decoded.
const COLUMN_CACHE_AUTO_MAX: u64 = 1 << 30;

/// Room for four million series; a database rarely writes to more at a time.
const SERIES_CACHE_AUTO_MAX: u64 = 256 << 20;
/// A log file holds at least a few records.
const WAL_SEGMENT_MIN: u64 = 64 << 10;
/// Blocks outside this range are a slip of the pen.
const BLOCK_BYTES: std::ops::RangeInclusive<usize> = 512..=1 << 20;

fn standing_of(config: &Config) -> Result<StandingRollups, ConfigError> {
    StandingRollups::parse(config.get("rollup.create"))
        .map_err(|error| ConfigError(format!("rollup.create: {error}")))
}

fn on_corruption_of(config: &Config) -> OnCorruption {
    match config.get("wal.on_corruption") {
        "salvage" => OnCorruption::Salvage,
        "truncate" => OnCorruption::Truncate,
        _ => OnCorruption::Stop,
    }
}

fn rolling_of(config: &Config) -> RollupOptions {
    let ns = |key| {
        let ns = duration_ns(config.get(key)).expect("durations are checked when set");
        i64::try_from(ns).unwrap_or(i64::MAX)
    };
    let rows = count(config.get("rollup.rows_per_tick")).expect("counts are checked when set");
    RollupOptions {
        delay_ns: ns("rollup.delay"),
        stride_ns: ns("rollup.stride").max(1),
        rows_per_call: rows.max(1),
    }
}

/// The limit that `memory.limit` says, of a machine with that much.
fn memory_of(config: &Config, machine_bytes: u64) -> u64 {
    let text = config.get("memory.limit");
    let in_bytes = || size(text).expect("sizes are checked when set");
    percent(text).map_or_else(in_bytes, |percent| machine_bytes / 100 * percent)
}

/// Every setting of the server.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // the table says it
pub struct Settings {
    pub data_dir: PathBuf,
    pub http_addr: String,
    pub body_bytes_max: u64,
    pub text_bytes_max: u64,
    pub http_threads: usize,
    pub body_idle_ns: Option<u64>,
    pub drain_ns: u64,
    pub influx_version: String,
    pub memory_bytes: u64,
    pub memtable_bytes: u64,
    pub cache_bytes: u64,
    pub block_bytes: usize,
    pub storage_threads: usize,
    pub durability: Durability,
    pub sync_interval_ns: u64,
    pub wal_segment_bytes: u64,
    pub wal_bytes_max: u64,
    pub wal_on_corruption: OnCorruption,
    pub auto_create: bool,
    pub series_max: Option<u64>,
    pub values_per_tag_max: Option<u64>,
    pub fields_per_measurement_max: usize,
    pub string_bytes_max: usize,
    pub series_cache_bytes: u64,
    pub column_cache_bytes: u64,
    pub close_delay_ns: i64,
    pub standing_rollups: StandingRollups,
    pub rolling: RollupOptions,
    pub v2_partial_writes: bool,
    pub query_threads: usize,
    pub query_timeout_ns: Option<u64>,
    pub query_memory_wait_ns: u64,
    pub query_rows_max: u64,
    pub query_series_max: u64,
    pub query_points_max: u64,
    pub query_buckets_max: u64,
    pub log_level: String,
    pub log_format: String,
    pub backup_dir: Option<PathBuf>,
}

impl Settings {
    /// The settings of a config, every value of which was checked when it was set.
    /// `machine_bytes` is the memory that percentages refer to.
    pub fn of(config: &Config, machine_bytes: u64) -> Result<Settings, ConfigError> {
        let text = |key| config.get(key).to_owned();
        let bytes = |key| size(config.get(key)).expect("sizes are checked when set");
        let number = |key| count(config.get(key)).expect("counts are checked when set");
        let truth = |key| bool(config.get(key)).expect("truth values are checked when set");
        let ns = |key| duration_ns(config.get(key)).expect("durations are checked when set");
        let auto = |key, default: u64| size(config.get(key)).unwrap_or(default);
        let or_none = |n: u64| (n > 0).then_some(n);
        let or_all = |n: u64| if n == 0 { u64::MAX } else { n };
        let narrow = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);

        let memory_bytes = memory_of(config, machine_bytes);
        let settings = Settings {
            data_dir: PathBuf::from(config.get("data.dir")),
            http_addr: text("http.addr"),
            body_bytes_max: or_all(bytes("http.body_bytes_max")),
            text_bytes_max: or_all(bytes("http.text_bytes_max")),
            http_threads: narrow(number("http.threads")),
            body_idle_ns: or_none(ns("http.body_idle_timeout")),
            drain_ns: ns("http.drain"),
            influx_version: text("http.influx_version"),
            memory_bytes,
            memtable_bytes: auto(
                "storage.memtable_bytes",
                (memory_bytes / 8).min(MEMTABLE_AUTO_MAX),
            ),
            cache_bytes: auto("storage.cache_bytes", memory_bytes / 4),
            block_bytes: narrow(bytes("storage.block_bytes")),
            storage_threads: narrow(number("storage.threads")).max(1),
            durability: match config.get("wal.sync") {
                "interval" => Durability::Interval,
                "os" => Durability::Os,
                _ => Durability::Always,
            },
            sync_interval_ns: ns("wal.sync_interval"),
            wal_segment_bytes: bytes("wal.segment_bytes"),
            wal_bytes_max: bytes("wal.bytes_max"),
            wal_on_corruption: on_corruption_of(config),
            auto_create: truth("database.auto_create"),
            series_max: or_none(number("database.series_max")),
            values_per_tag_max: or_none(number("database.values_per_tag_max")),
            fields_per_measurement_max: narrow(number("database.fields_per_measurement_max")),
            string_bytes_max: narrow(bytes("database.string_bytes_max")),
            series_cache_bytes: auto(
                "database.series_cache_bytes",
                (memory_bytes / 16).min(SERIES_CACHE_AUTO_MAX),
            ),
            column_cache_bytes: auto(
                "database.column_cache_bytes",
                (memory_bytes / 8).min(COLUMN_CACHE_AUTO_MAX),
            ),
            close_delay_ns: i64::try_from(ns("database.close_delay")).unwrap_or(i64::MAX),
            standing_rollups: standing_of(config)?,
            rolling: rolling_of(config),
            v2_partial_writes: truth("write.v2_partial"),
            query_threads: narrow(number("query.threads")),
            query_timeout_ns: or_none(ns("query.timeout")),
            query_memory_wait_ns: ns("query.memory_wait"),
            query_rows_max: number("query.rows_max"),
            query_series_max: or_all(number("query.series_max")),
            query_points_max: or_all(number("query.points_max")),
            query_buckets_max: or_all(number("query.buckets_max")),
            log_level: text("log.level"),
            log_format: text("log.format"),
            backup_dir: Some(text("backup.dir")).filter(|d| !d.is_empty()).map(PathBuf::from),
        };
        settings.check()?;
        Ok(settings)
    }

    /// What no single value shows.
    fn check(&self) -> Result<(), ConfigError> {
        let fixed = self.memtable_bytes.saturating_mul(2).saturating_add(self.cache_bytes);
        if fixed > self.memory_bytes {
            return Err(ConfigError(format!(
                "storage.memtable_bytes (twice, while one is flushed) and storage.cache_bytes \
                 need {fixed} bytes, more than memory.limit ({} bytes)\n  raise memory.limit, or \
                 lower them",
                self.memory_bytes
            )));
        }
        if self.backup_dir.as_ref().is_some_and(|dir| dir.starts_with(&self.data_dir)) {
            return Err(ConfigError(
                "backup.dir lies in data.dir: a lost disk would take both\n  name a folder \
                 elsewhere, best on another disk"
                    .to_owned(),
            ));
        }
        if self.wal_segment_bytes < WAL_SEGMENT_MIN {
            return Err(ConfigError("wal.segment_bytes must be at least 64KiB".to_owned()));
        }
        if !BLOCK_BYTES.contains(&self.block_bytes) {
            return Err(ConfigError(
                "storage.block_bytes must be between 512 bytes and 1MiB".to_owned(),
            ));
        }
        Ok(())
    }
}
