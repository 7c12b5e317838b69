//! Every setting: key, kind, default, reason. `config example` and the documents are made of it.

use super::value::Kind;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Section and name.
    pub key: &'static str,
    /// What its values look like.
    pub kind: Kind,
    /// Default, as it would be written.
    pub default: &'static str,
    /// What it does and why it is so.
    pub help: &'static str,
}

impl Setting {
    /// Name in the environment: `http.addr` is `FIRNDB_HTTP_ADDR`.
    pub fn env_name(&self) -> String {
        format!("FIRNDB_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }
}

const fn setting(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { key, kind, default, help }
}

/// All settings, section by section.
pub const SETTINGS: &[Setting] = &[
    setting("data.dir", Kind::Text, "firndb-data", "Folder of the data; created when missing."),
    setting(
        "http.addr",
        Kind::Text,
        "127.0.0.1:8086",
        "Address and port to listen on. There is no authentication yet: keep to loopback, or put \
         a proxy in front.",
    ),
    setting(
        "http.body_bytes_max",
        Kind::Size,
        "25MB",
        "Longest request body as received; 0: no limit. The limit of InfluxDB 1.x.",
    ),
    setting(
        "http.text_bytes_max",
        Kind::Size,
        "100MB",
        "Longest request body after decompression: a small gzip can hold gigabytes.",
    ),
    setting(
        "http.body_idle_timeout",
        Kind::Duration,
        "30s",
        "How long a request body may send nothing before it is answered 408 and its memory given \
         back; 0s: for ever. Ten times the pause of a lost packet sent again; clients that go on \
         sending, however slowly, are not cut off.",
    ),
    setting("http.threads", Kind::Count, "0", "Threads that serve connections; 0: one a core."),
    setting(
        "http.drain",
        Kind::Duration,
        "10s",
        "How long requests under way may take to finish when the server is told to stop.",
    ),
    setting(
        "http.influx_version",
        Kind::Text,
        "1.8.10",
        "Version told to InfluxDB clients, some of which compare it.",
    ),
    setting(
        "memory.limit",
        Kind::Memory,
        "50%",
        "Memory of the process: memtables, caches, series, compactions, queries, request bodies and \
         all else, in bytes or percent of the machine's (or container's). Over it writes get a 503 \
         and queries an error. A container needs 32 MiB and a sixteenth of it more.",
    ),
    setting(
        "storage.memtable_bytes",
        Kind::AutoSize,
        "auto",
        "Memory of points not yet in tables; full, it is flushed. auto: an eighth of \
         memory.limit, 48 MiB at most.",
    ),
    setting(
        "storage.cache_bytes",
        Kind::AutoSize,
        "auto",
        "Cache of table blocks. auto: a quarter of memory.limit.",
    ),
    setting(
        "storage.block_bytes",
        Kind::Size,
        "4KiB",
        "Uncompressed bytes of a table block: one page of the disk.",
    ),
    setting("storage.threads", Kind::Count, "2", "Threads for flushes and compactions."),
    setting(
        "wal.sync",
        Kind::Choice(&["always", "interval", "os"]),
        "always",
        "When a write is acknowledged. always: after the fsync of its log record. interval: at \
         once, with an fsync every wal.sync_interval. os: when the operating system has it.",
    ),
    setting("wal.sync_interval", Kind::Duration, "1s", "Time between two syncs of `interval`."),
    setting("wal.segment_bytes", Kind::Size, "64MiB", "Length of a log file."),
    setting(
        "wal.bytes_max",
        Kind::Size,
        "512MiB",
        "Log kept for memtables; more of it makes the oldest one be flushed. Bounds the time of \
         recovery.",
    ),
    setting(
        "wal.on_corruption",
        Kind::Choice(&["stop", "salvage", "truncate"]),
        "stop",
        "What a start does about a log that is damaged inside (an unfinished last record is cut in \
         any case). stop: refuses and says what to run. salvage: keeps every whole record, sets \
         the damaged files aside in quarantine/, logs and counts what is lost. truncate: does so, \
         but keeps only what lies before the first loss.",
    ),
    setting(
        "database.auto_create",
        Kind::Bool,
        "true",
        "Whether a write to an unknown database creates it.",
    ),
    setting(
        "database.series_max",
        Kind::Count,
        "0",
        "Most series of a database; 0: no limit. Points of known series are always taken.",
    ),
    setting(
        "database.values_per_tag_max",
        Kind::Count,
        "0",
        "Most distinct values of a tag key in a measurement; 0: no limit.",
    ),
    setting(
        "database.fields_per_measurement_max",
        Kind::Count,
        "32768",
        "Most fields of a measurement: more of them is data put into field keys.",
    ),
    setting("database.string_bytes_max", Kind::Size, "1MiB", "Longest string value."),
    setting(
        "database.series_cache_bytes",
        Kind::AutoSize,
        "auto",
        "Look-up cache of series, for each database. auto: a sixteenth of memory.limit, 256 MiB \
         at most.",
    ),
    setting(
        "database.column_cache_bytes",
        Kind::AutoSize,
        "auto",
        "Decoded columns of closed partitions, over all databases: who asks again does not decode \
         again. auto: an eighth of memory.limit, 1 GiB at most.",
    ),
    setting(
        "database.close_delay",
        Kind::Duration,
        "10m",
        "How long no point must have come before a partition whose time is over is compacted to \
         its final form.",
    ),
    setting(
        "rollup.delay",
        Kind::Duration,
        "1m",
        "How long after its end a bucket of a rollup is built, and how long an hour with late points \
         rests before it is built again.",
    ),
    setting(
        "rollup.create",
        Kind::OptionalText,
        "",
        "CREATE ROLLUP statements, parted by semicolons: these rollups are made as soon as their \
         database is there, and again when they were dropped.",
    ),
    setting(
        "rollup.stride",
        Kind::Duration,
        "6h",
        "Buckets are built in stretches of this length; younger points are read as points. Six \
         hours cost half of what one costs.",
    ),
    setting(
        "rollup.rows_per_tick",
        Kind::Count,
        "1000000",
        "Points read for rollups per tick of maintenance, about: what ingest must bear at once.",
    ),
    setting(
        "write.v2_partial",
        Kind::Bool,
        "false",
        "Whether /api/v2/write stores the good lines of a body with bad ones. InfluxDB 2 stores \
         none.",
    ),
    setting("query.threads", Kind::Count, "0", "Threads of queries; 0: one a core."),
    setting("query.timeout", Kind::Duration, "60s", "Longest time of a query; 0s: no limit."),
    setting(
        "query.memory_wait",
        Kind::Duration,
        "5s",
        "Longest time that a query waits to begin while the memory is full; then it is refused. \
         What a burst took is free again within seconds.",
    ),
    setting(
        "query.rows_max",
        Kind::Count,
        "0",
        "Most rows of an answer that is not chunked; 0: no limit.",
    ),
    setting("query.series_max", Kind::Count, "0", "Most series of a SELECT; 0: no limit."),
    setting("query.points_max", Kind::Count, "0", "Most values a SELECT may read; 0: no limit."),
    setting(
        "query.buckets_max",
        Kind::Count,
        "10000000",
        "Most windows of GROUP BY time over all series of an answer; 0: no limit. A mistyped \
         interval would fill the memory with them.",
    ),
    setting(
        "backup.dir",
        Kind::OptionalText,
        "",
        "Folder of backups, the one place that requests may have the server write to beside \
         data.dir; empty: no backups. Best on another disk.",
    ),
    setting(
        "log.level",
        Kind::Text,
        "info",
        "error, warn, info, debug or trace; also by module, as in `info,firndb::serve=debug`.",
    ),
    setting(
        "log.format",
        Kind::Choice(&["auto", "text", "json"]),
        "auto",
        "auto: text on a terminal, JSON elsewhere.",
    ),
];
