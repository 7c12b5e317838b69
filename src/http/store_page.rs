//! The part of `/metrics` that speaks of the store: memtables, log, levels, compactions, cache.
//!
//! Levels are told by class of keyspace (`points`, `index`, `catalog`, `kv`), not by keyspace:
//! there may be thousands.

use firndb::engine::metrics::{Amplification, LevelMetrics, StoreMetrics};
use firndb::tsdb::Tsdb;

use crate::metrics::text::Text;

/// Writes the numbers of the store.
pub fn render(tsdb: &Tsdb, out: &mut Text) {
    let metrics = tsdb.store().metrics();
    memtables(&metrics, out);
    log(&metrics, out);
    levels(&metrics, out);
    amplification(&metrics, out);
    compactions(&metrics, out);
    cache(&metrics, out);
    transactions(&metrics, out);
    disk(tsdb, &metrics, out);
    let names = tsdb.databases();
    let series = names.iter().filter_map(|name| tsdb.database(name)).map(|d| d.series_count());
    out.gauge("firndb_series", "Series in the index.", series.sum::<u64>());
    out.gauge("firndb_databases", "Databases.", names.len());
}

/// Bytes on the disk by what they are for.
fn disk(tsdb: &Tsdb, metrics: &StoreMetrics, out: &mut Text) {
    let databases = tsdb.databases().into_iter().filter_map(|name| tsdb.database(&name));
    // Of a database that fails to tell, rollups count as points.
    let status = databases.flat_map(|database| database.rollup_status().unwrap_or_default());
    let rollups: u64 = status.flat_map(|of| of.levels).map(|level| level.bytes).sum();
    let name = "firndb_disk_bytes";
    out.head(name, "gauge", "Bytes of files by what they hold.");
    for (class, of_class) in &metrics.classes {
        let bytes: u64 = of_class.levels.iter().map(|level| level.bytes).sum();
        if class == "points" {
            out.sample(name, &[("kind", "points")], bytes.saturating_sub(rollups));
            out.sample(name, &[("kind", "rollups")], rollups.min(bytes));
        } else {
            out.sample(name, &[("kind", class.as_str())], bytes);
        }
    }
    out.sample(name, &[("kind", "log")], metrics.wal_bytes);
    out.sample(name, &[("kind", "manifest")], metrics.manifest_bytes);
}

fn memtables(metrics: &StoreMetrics, out: &mut Text) {
    let states = |active: u64, sealed: u64| [("active", active), ("immutable", sealed)];
    let name = "firndb_memtable_bytes";
    out.head(name, "gauge", "Memtable memory.");
    for (state, bytes) in states(metrics.memtable_active_bytes, metrics.memtable_sealed_bytes) {
        out.sample(name, &[("state", state)], bytes);
    }
    let name = "firndb_memtables";
    out.head(name, "gauge", "Memtables held.");
    for (state, count) in states(metrics.memtables_active, metrics.memtables_sealed) {
        out.sample(name, &[("state", state)], count);
    }
    let name = "firndb_flushes_total";
    out.head(name, "counter", "Memtables flushed to tables.");
    for (reason, count) in &metrics.flushes {
        out.sample(name, &[("reason", reason)], count);
    }
    let name = "firndb_flush_duration_seconds";
    out.head(name, "histogram", "Time to flush one memtable.");
    out.seconds(name, &[], &metrics.flush_ns);
    out.counter("firndb_flush_bytes_total", "Table bytes written by flushes.", metrics.flush_bytes);
    let help = "Times writers were stopped because flushes were behind.";
    out.counter("firndb_write_stalls_total", help, metrics.stalls);
    let seconds = metrics.stall_ns as f64 / 1e9;
    out.counter("firndb_write_stall_seconds_total", "Time writers spent stopped.", seconds);
    let name = "firndb_writes_slowed_total";
    out.head(name, "counter", "Writes slowed by debt, by what is behind.");
    for (reason, count) in &metrics.slowed {
        out.sample(name, &[("reason", reason)], count);
    }
    let name = "firndb_write_delay_seconds";
    out.head(name, "histogram", "Time a slowed write was held.");
    out.seconds(name, &[], &metrics.delay_histogram_ns);
    let help = "Bytes a second that merges were seen to drain lately; slowed writes get as much.";
    out.gauge("firndb_drain_bytes_per_second", help, metrics.drain_bytes_per_s);
    let help = "Writes refused because flushes were behind.";
    out.counter("firndb_writes_refused_total", help, metrics.refused_busy);
}

fn log(metrics: &StoreMetrics, out: &mut Text) {
    out.gauge("firndb_wal_size_bytes", "Bytes in log files on disk.", metrics.wal_bytes);
    out.gauge("firndb_wal_segments", "Log files on disk.", metrics.wal_segments);
    let appended = metrics.wal.appended_bytes;
    out.counter("firndb_wal_appended_bytes_total", "Bytes appended to the log.", appended);
    out.counter("firndb_wal_records_total", "Records appended to the log.", metrics.wal.records);
    let name = "firndb_wal_fsync_duration_seconds";
    out.head(name, "histogram", "Time of one fsync of the log.");
    out.seconds(name, &[], &metrics.wal.sync_ns);
    let name = "firndb_wal_group_commit_writes";
    out.head(name, "histogram", "Writes covered by one write of the log.");
    out.counts(name, &[], &metrics.wal.group_records);
    let records = metrics.wal_recovered_records;
    let help = "Log records replayed at the last start.";
    out.counter("firndb_wal_recovered_records_total", help, records);
    let help = "Bytes of an unfinished write that were cut off the log at the last start.";
    out.gauge("firndb_wal_torn_tail_bytes", help, metrics.wal_torn_bytes);
    let help = "Records kept of a log that was damaged inside at the last start.";
    out.gauge("firndb_wal_salvaged_records", help, metrics.wal_salvaged_records);
    let help = "Places of that log where acknowledged records were lost.";
    out.gauge("firndb_wal_lost_spans", help, metrics.wal_lost_spans);
    let help = "Bytes of what was lost of that log.";
    out.gauge("firndb_wal_lost_bytes", help, metrics.wal_lost_bytes);
    out.gauge("firndb_manifest_bytes", "Length of the manifest.", metrics.manifest_bytes);
}

fn levels(metrics: &StoreMetrics, out: &mut Text) {
    let classes = &metrics.classes;
    let each = |out: &mut Text, name: &str, help: &str, of: &dyn Fn(&LevelMetrics) -> f64| {
        out.head(name, "gauge", help);
        for (class, metrics) in classes {
            for (level, metrics) in metrics.levels.iter().enumerate() {
                let value = of(metrics);
                if value > 0.0 {
                    let level = level.to_string();
                    out.sample(name, &[("class", class), ("level", &level)], value);
                }
            }
        }
    };
    each(out, "firndb_sstables", "Tables in each level.", &|level| level.tables as f64);
    each(out, "firndb_level_bytes", "Table bytes in each level.", &|level| level.bytes as f64);
    let help = "Compaction score of each level; from 1 on the level is due.";
    each(out, "firndb_level_score", help, &|level| level.score);
    let by_class = |out: &mut Text, name: &str, help: &str, of: &dyn Fn(&str) -> u64| {
        out.head(name, "gauge", help);
        for class in classes.keys() {
            out.sample(name, &[("class", class)], of(class));
        }
    };
    by_class(out, "firndb_keyspaces", "Keyspaces.", &|class| classes[class].keyspaces);
    let help = "Range deletes whose keys are not all compacted away.";
    by_class(out, "firndb_range_deletes", help, &|class| classes[class].range_deletes);
    let help = "Bytes that range deletes hold in memory.";
    by_class(out, "firndb_range_delete_bytes", help, &|class| classes[class].range_delete_bytes);
    by_class(out, "firndb_entries", "Entries in tables.", &|class| classes[class].entries);
    let help = "Sorted runs a point read may have to look at.";
    by_class(out, "firndb_read_amplification", help, &|class| classes[class].read_amplification);
    let help = "Estimated bytes that must be compacted until every score is below 1.";
    by_class(out, "firndb_compaction_pending_bytes", help, &|class| classes[class].pending_bytes);
}

/// What a byte written, read and kept costs, as measured since the start.
fn amplification(metrics: &StoreMetrics, out: &mut Text) {
    let mut each = |name: &str, help: &str, of: fn(&Amplification) -> Option<f64>| {
        out.head(name, "gauge", help);
        for (class, metrics) in &metrics.classes {
            if let Some(value) = of(&metrics.amplification) {
                out.sample(name, &[("class", class)], value);
            }
        }
    };
    let help = "Bytes of tables written for each byte put; the log is not among them.";
    each("firndb_write_amplification", help, Amplification::write);
    each("firndb_get_runs", "Sorted runs that a point read looks at, sampled.", Amplification::get);
    each("firndb_seek_runs", "Sorted runs that a scan merges, sampled.", Amplification::seek);
    let help = "Bytes of tables for each live one, estimated.";
    each("firndb_space_amplification", help, Amplification::space);
}

fn transactions(metrics: &StoreMetrics, out: &mut Text) {
    let of = &metrics.transactions;
    out.gauge("firndb_transactions_open", "Transactions open now.", of.open);
    let help = "Bytes of keys written while transactions are open, kept to find conflicts.";
    out.gauge("firndb_transaction_history_bytes", help, of.history_bytes);
    out.counter("firndb_transactions_begun_total", "Transactions begun.", of.begun);
    out.counter("firndb_transactions_committed_total", "Transactions committed.", of.committed);
    let name = "firndb_transaction_conflicts_total";
    out.head(name, "counter", "Commits refused: what was read was written, or too much was.");
    for (reason, count) in &of.conflicts {
        out.sample(name, &[("reason", reason)], count);
    }
}

fn compactions(metrics: &StoreMetrics, out: &mut Text) {
    let running = metrics.compactions_running.len();
    out.gauge("firndb_compactions_running", "Compactions running now.", running);
    let sums = |out: &mut Text, name: &str, help: &str, value: &dyn Fn(usize) -> f64| {
        out.head(name, "counter", help);
        for (index, (kind, _)) in metrics.compactions.iter().enumerate() {
            let (from, to) = (kind.from_level.to_string(), kind.to_level.to_string());
            let labels = [
                ("from_level", from.as_str()),
                ("to_level", to.as_str()),
                ("reason", kind.reason),
                ("status", kind.status),
            ];
            out.sample(name, &labels, value(index));
        }
    };
    let of = |index: usize| &metrics.compactions[index].1;
    sums(out, "firndb_compactions_total", "Compactions finished.", &|i| of(i).count as f64);
    let help = "Bytes read by compactions.";
    sums(out, "firndb_compaction_read_bytes_total", help, &|i| of(i).read_bytes as f64);
    let help = "Bytes written by compactions.";
    sums(out, "firndb_compaction_written_bytes_total", help, &|i| of(i).written_bytes as f64);
    let help = "Time spent in compactions.";
    sums(out, "firndb_compaction_seconds_total", help, &|i| of(i).ns as f64 / 1e9);
    let help = "Flushes and compactions that failed.";
    out.counter("firndb_background_failures_total", help, metrics.job_failures);
}

fn cache(metrics: &StoreMetrics, out: &mut Text) {
    let cache = &metrics.cache;
    let block = [("cache", "block")];
    let mut one = |name: &str, kind: &str, help: &str, value: u64| {
        out.head(name, kind, help);
        out.sample(name, &block, value);
    };
    let hits = "firndb_cache_hits_total";
    one(hits, "counter", "Look-ups answered from a cache.", cache.hits);
    let misses = "firndb_cache_misses_total";
    one(misses, "counter", "Look-ups not found in a cache.", cache.misses);
    let evictions = "firndb_cache_evictions_total";
    one(evictions, "counter", "Entries evicted from a cache.", cache.evictions);
    let size = cache.cached_bytes + cache.pinned_bytes;
    one("firndb_cache_size_bytes", "gauge", "Memory held by a cache.", size);
    let capacity = metrics.cache_capacity_bytes;
    one("firndb_cache_capacity_bytes", "gauge", "Memory limit of a cache.", capacity);
    let name = "firndb_bloom_checks_total";
    out.head(name, "counter", "Filter checks.");
    for (result, count) in [
        ("negative", cache.filter_negative),
        ("true_positive", cache.filter_true_positive),
        ("false_positive", cache.filter_false_positive),
    ] {
        out.sample(name, &[("result", result)], count);
    }
}
