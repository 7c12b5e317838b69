//! The state of the storage as JSON: one shape, whether a running server tells it or a folder that
//! nobody has open.
//!
//! ```text
//! levels     [{class, level, runs, files, bytes, target_bytes, score}]     levels with files
//! classes    [{class, keyspaces, entries, read_amplification, pending_bytes}]
//! jobs       [{id, kind, state, keyspace, reason, from_level, to_level, input_files, done_bytes,
//!              total_bytes, seconds}]                      running first, then what is due
//! events     [{id, time, type, keyspace, ..}]              oldest first
//! ```

use std::collections::BTreeMap;

use firndb::engine::events::{Event, EventKind};
use firndb::engine::inspect::Shape;
use firndb::engine::jobs::JobInfo;
use firndb::engine::manifest::LEVELS;
use firndb::engine::metrics::{ClassMetrics, StoreMetrics};
use serde_json::{Map, Value, json};

/// A moment as RFC 3339.
pub fn time_of(unix_ns: i64) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(unix_ns);
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// The class that a keyspace is counted under: its name up to the first slash.
pub fn class_of(keyspace: &str) -> &str {
    keyspace.split('/').next().unwrap_or(keyspace)
}

/// Adds the levels of one keyspace to those of its class.
pub fn add_shape(
    classes: &mut BTreeMap<String, (ClassMetrics, [u64; LEVELS])>,
    name: &str,
    of: &Shape,
) {
    let (class, targets) = classes.entry(class_of(name).to_owned()).or_default();
    class.keyspaces += 1;
    class.entries += of.entries;
    class.read_amplification = class.read_amplification.max(of.read_amplification);
    class.pending_bytes += of.pending_bytes;
    for (level, (sum, found)) in class.levels.iter_mut().zip(&of.levels).enumerate() {
        sum.tables += found.tables;
        sum.runs += found.runs;
        sum.bytes += found.bytes;
        sum.score = sum.score.max(found.score);
        targets[level] += of.target_bytes[level];
    }
}

/// Levels and classes.
pub fn levels<'a>(
    classes: impl Iterator<Item = (&'a str, &'a ClassMetrics, Option<&'a [u64; LEVELS]>)>,
) -> (Vec<Value>, Vec<Value>) {
    let (mut levels, mut sums) = (Vec::new(), Vec::new());
    for (name, class, targets) in classes {
        for (level, of) in class.levels.iter().enumerate().filter(|(_, of)| of.tables > 0) {
            levels.push(json!({
                "class": name,
                "level": level,
                "runs": of.runs,
                "files": of.tables,
                "bytes": of.bytes,
                "target_bytes": targets.map(|targets| targets[level]).filter(|bytes| *bytes > 1),
                "score": of.score,
            }));
        }
        sums.push(json!({
            "class": name,
            "keyspaces": class.keyspaces,
            "entries": class.entries,
            "read_amplification": class.read_amplification,
            "pending_bytes": class.pending_bytes,
        }));
    }
    (levels, sums)
}

/// The whole state of a running store.
pub fn of_store(metrics: &StoreMetrics, jobs: &[JobInfo], is_paused: bool, now_ns: u64) -> Value {
    let classes = metrics.classes.iter().map(|(name, class)| (name.as_str(), class, None));
    let (levels, classes) = levels(classes);
    let flushed = metrics.flush_bytes;
    let compacted: u64 = metrics.compactions.iter().map(|(_, sum)| sum.written_bytes).sum();
    let whole = metrics.amplification();
    json!({
        "levels": levels,
        "classes": classes,
        "jobs": jobs.iter().map(|job| of_job(job, now_ns)).collect::<Vec<_>>(),
        "paused": is_paused,
        "memtables": {
            "active": metrics.memtables_active,
            "active_bytes": metrics.memtable_active_bytes,
            "sealed": metrics.memtables_sealed,
            "sealed_bytes": metrics.memtable_sealed_bytes,
        },
        "wal": { "segments": metrics.wal_segments, "bytes": metrics.wal_bytes },
        "visible_seq": metrics.visible_seq,
        "snapshots": metrics.snapshots,
        "flushed_bytes": flushed,
        "compacted_bytes": compacted,
        "user_bytes": whole.user_bytes,
        "write_amplification": (flushed > 0).then(|| (flushed + compacted) as f64 / flushed as f64),
        "space_amplification": whole.space(),
        "filters": {
            "negative": metrics.cache.filter_negative,
            "true_positive": metrics.cache.filter_true_positive,
            "false_positive": metrics.cache.filter_false_positive,
        },
        "index_and_filter_bytes": metrics.cache.pinned_bytes,
        "stalls": metrics.stalls,
        "stall_seconds": metrics.stall_ns as f64 / 1e9,
        "delays": metrics.delays,
        "delay_seconds": metrics.delay_ns as f64 / 1e9,
        "read_only": metrics.read_only.as_ref().map(ToString::to_string),
    })
}

/// A job that runs or waits.
pub fn of_job(job: &JobInfo, now_ns: u64) -> Value {
    let files: usize = job.inputs.iter().map(|input| input.tables.len()).sum();
    json!({
        "id": (job.id > 0).then_some(job.id),
        "kind": job.kind.name(),
        "state": job.state.name(),
        "keyspace": job.keyspace.as_ref(),
        "reason": job.reason,
        "from_level": job.inputs.first().map(|input| input.place.level),
        "to_level": job.output.map(|place| place.level),
        "input_files": files,
        "done_bytes": job.done_bytes,
        "total_bytes": job.total_bytes,
        "seconds": job.start_ns.map(|start| now_ns.saturating_sub(start) as f64 / 1e9),
    })
}

/// An event of the journal.
pub fn of_event(event: &Event) -> Value {
    let mut out = Map::new();
    let mut set = |name: &str, value: Value| _ = out.insert(name.to_owned(), value);
    set("id", json!(event.id));
    set("time", json!(time_of(event.unix_ns)));
    set("type", json!(event.kind.name()));
    set("keyspace", json!(event.keyspace.as_ref()));
    set("seconds", json!(event.ns as f64 / 1e9));
    match &event.kind {
        EventKind::Flush { job, reason, tables, bytes } => {
            set("job", json!(job));
            set("reason", json!(reason));
            set("output_files", json!(tables));
            set("output_bytes", json!(bytes));
        }
        EventKind::Compaction {
            job,
            reason,
            from,
            to,
            input_tables,
            input_bytes,
            tables,
            bytes,
        } => {
            set("job", json!(job));
            set("reason", json!(reason));
            set("from_level", json!(from.level));
            set("to_level", json!(to.level));
            set("input_files", json!(input_tables));
            set("input_bytes", json!(input_bytes));
            set("output_files", json!(tables));
            set("output_bytes", json!(bytes));
        }
        EventKind::Move { job, reason, from, to, tables, bytes } => {
            set("job", json!(job));
            set("reason", json!(reason));
            set("from_level", json!(from.level));
            set("to_level", json!(to.level));
            set("output_files", json!(tables));
            set("output_bytes", json!(bytes));
        }
        EventKind::WritesSlowed { reason }
        | EventKind::WritesFree { reason }
        | EventKind::WritesStopped { reason } => set("reason", json!(reason)),
        other => set("detail", json!(format!("{other:?}"))),
    }
    Value::Object(out)
}
