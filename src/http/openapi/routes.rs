//! The table of routes that `/openapi.json` is made from, in the order of their groups.

use super::Operation;

/// Groups, with what they are for.
pub(super) const TAGS: [(&str, &str); 6] = [
    ("write", "Line protocol in."),
    ("query", "InfluxQL, ranges and files out."),
    ("databases", "Rollups, deletes, retention, backups."),
    ("kv", "Keys and values: any bytes, in order, under conditions."),
    ("storage", "What the storage looks like, does, and is told to do."),
    ("process", "Probes, metrics, and this description."),
];

const JSON: &str = "application/json";
const OCTETS: &str = "application/octet-stream";
const LINES: &str = "application/x-ndjson";
const TEXT: &str = "text/plain";

/// An operation that says nothing more; the table fills in the rest.
const PLAIN: Operation = Operation {
    method: "get",
    path: "",
    tag: "",
    summary: "",
    query: &[],
    headers: &[],
    body: None,
    answers: &[],
};

/// What a name in a path means.
pub(super) fn path_parameter(name: &str) -> &'static str {
    match name {
        "keyspace" => "Name of the keyspace; made by its first write.",
        _ => "The key, percent-encoded: any bytes, slashes too.",
    }
}

/// All operations.
pub(super) fn all() -> impl Iterator<Item = &'static Operation> {
    [WRITE, QUERY, DATABASES, KV, STORAGE, PROCESS].into_iter().flatten()
}

const DB: (&str, bool, &str) = ("db", true, "Database.");
const FROM: (&str, bool, &str) = ("from", false, "First moment.");
const TO: (&str, bool, &str) = ("to", false, "Moment to stop before.");
const PRECISION: (&str, bool, &str) = ("precision", false, "Unit of the timestamps.");

const WRITE: &[Operation] = &[
    Operation {
        method: "post",
        path: "/write",
        tag: "write",
        summary: "Write line protocol, as InfluxDB 1.x takes it.",
        query: &[DB, ("rp", false, "Retention policy."), PRECISION],
        body: Some((TEXT, "Line protocol, plain or gzip.")),
        answers: &[(204, "", "Written.")],
        ..PLAIN
    },
    Operation {
        method: "post",
        path: "/api/v2/write",
        tag: "write",
        summary: "Write line protocol, as InfluxDB 2.x takes it.",
        query: &[("bucket", true, "Database, or database/policy."), PRECISION],
        body: Some((TEXT, "Line protocol, plain or gzip.")),
        answers: &[(204, "", "Written.")],
        ..PLAIN
    },
    Operation {
        method: "post",
        path: "/api/v3/write_lp",
        tag: "write",
        summary: "Write line protocol, as InfluxDB 3 takes it.",
        query: &[DB, PRECISION],
        body: Some((TEXT, "Line protocol, plain or gzip.")),
        answers: &[(204, "", "Written.")],
        ..PLAIN
    },
];

const QUERY: &[Operation] = &[
    Operation {
        path: "/query",
        tag: "query",
        summary: "Run InfluxQL that only reads.",
        query: &[
            ("q", true, "Statements."),
            ("db", false, "Database."),
            ("epoch", false, "Times as numbers in this unit."),
        ],
        answers: &[(200, JSON, "Results, one for each statement.")],
        ..PLAIN
    },
    Operation {
        method: "post",
        path: "/query",
        tag: "query",
        summary: "Run InfluxQL.",
        query: &[("db", false, "Database."), ("epoch", false, "Times as numbers in this unit.")],
        body: Some(("application/x-www-form-urlencoded", "The key q holds the statements.")),
        answers: &[(200, JSON, "Results, one for each statement.")],
        ..PLAIN
    },
    Operation {
        path: "/api/v1/range",
        tag: "query",
        summary: "Series over a span, thinned for a chart.",
        query: &[
            DB,
            ("measurement", true, "Measurement."),
            ("field", false, "Fields, with commas; without it all."),
            FROM,
            TO,
            ("fn", false, "Function over windows: mean, max, .."),
            ("every", false, "Length of a window."),
            ("group_by", false, "Tags, with commas; *: all."),
            ("format", false, "json, csv, arrow or parquet."),
        ],
        answers: &[(200, JSON, "Series.")],
        ..PLAIN
    },
    Operation {
        path: "/api/v1/export",
        tag: "query",
        summary: "A measurement as a file: Parquet, Arrow or CSV.",
        query: &[
            DB,
            ("measurement", true, "Measurement."),
            FROM,
            TO,
            ("format", false, "parquet, arrow or csv."),
        ],
        answers: &[(200, OCTETS, "The file.")],
        ..PLAIN
    },
    Operation {
        path: "/api/v1/export/days",
        tag: "query",
        summary: "The days on which a database has points, by measurement.",
        query: &[DB, ("measurement", false, "Measurement."), FROM, TO],
        answers: &[(200, JSON, "Days.")],
        ..PLAIN
    },
];

const DATABASES: &[Operation] = &[
    Operation {
        path: "/api/v1/rollups",
        tag: "databases",
        summary: "Rollups of a database.",
        query: &[DB],
        answers: &[(200, JSON, "Rollups, by name.")],
        ..PLAIN
    },
    Operation {
        method: "post",
        path: "/api/v1/rollups",
        tag: "databases",
        summary: "Make a rollup.",
        query: &[DB],
        body: Some((JSON, "The rollup; levels with every is all that must be there.")),
        answers: &[(200, JSON, "The rollup as it is now.")],
        ..PLAIN
    },
    Operation {
        method: "delete",
        path: "/api/v1/rollups",
        tag: "databases",
        summary: "Drop a rollup and its rows.",
        query: &[DB, ("name", true, "The rollup.")],
        answers: &[(204, "", "Dropped.")],
        ..PLAIN
    },
    Operation {
        method: "post",
        path: "/api/v1/delete",
        tag: "databases",
        summary: "Delete points with an InfluxQL DELETE.",
        query: &[DB, ("q", true, "The statement."), ("dry_run", false, "Only count.")],
        answers: &[(200, JSON, "What is deleted, or would be.")],
        ..PLAIN
    },
    Operation {
        path: "/api/v1/deletes",
        tag: "databases",
        summary: "Deletes that are under way.",
        query: &[DB],
        answers: &[(200, JSON, "Deletes.")],
        ..PLAIN
    },
    Operation {
        method: "post",
        path: "/api/v2/delete",
        tag: "databases",
        summary: "Delete points, as InfluxDB 2.x does.",
        query: &[("bucket", true, "Database, or database/policy.")],
        body: Some((JSON, "start, stop and predicate.")),
        answers: &[(204, "", "Deleted.")],
        ..PLAIN
    },
    Operation {
        path: "/api/v1/retention/plan",
        tag: "databases",
        summary: "What goes when.",
        query: &[("db", false, "Database; without it all.")],
        answers: &[(200, JSON, "Partitions and rules.")],
        ..PLAIN
    },
    Operation {
        method: "post",
        path: "/api/v1/backup",
        tag: "databases",
        summary: "Back databases up.",
        body: Some((JSON, "database, full; each may be left out.")),
        answers: &[(200, LINES, "Progress, then the outcome.")],
        ..PLAIN
    },
    Operation {
        path: "/api/v1/backups",
        tag: "databases",
        summary: "Backups that there are.",
        answers: &[(200, JSON, "Backups.")],
        ..PLAIN
    },
    Operation {
        method: "post",
        path: "/api/v1/backup/verify",
        tag: "databases",
        summary: "Read backups and compare their checksums.",
        body: Some((JSON, "id; without it all.")),
        answers: &[(200, LINES, "Progress, then the outcome.")],
        ..PLAIN
    },
    Operation {
        method: "post",
        path: "/api/v1/backup/prune",
        tag: "databases",
        summary: "Remove old backups.",
        body: Some((JSON, "keep: how many stay.")),
        answers: &[(200, LINES, "Progress, then the outcome.")],
        ..PLAIN
    },
    Operation {
        method: "post",
        path: "/api/v1/restore",
        tag: "databases",
        summary: "Bring databases back from a backup.",
        body: Some((JSON, "id, database, as, on_conflict.")),
        answers: &[(200, LINES, "Progress, then the outcome.")],
        ..PLAIN
    },
];

const CONDITIONS: &[(&str, &str)] = &[
    ("If-Match", "Only while the value has one of these tags; *: while there is one."),
    ("If-None-Match", "Only while it has none of these tags; *: while there is no value."),
];

const KV: &[Operation] = &[
    Operation {
        path: "/kv/{keyspace}",
        tag: "kv",
        summary: "Entries in key order, in pages.",
        query: &[
            ("prefix", false, "Keys that begin so."),
            ("start", false, "First key."),
            ("end", false, "Key to stop before."),
            ("limit", false, "Entries of a page, 100 unless told, 10000 at most."),
            ("cursor", false, "That of the page before."),
        ],
        answers: &[(200, JSON, "entries (key, value in base64, etag) and cursor.")],
        ..PLAIN
    },
    Operation {
        method: "post",
        path: "/kv/{keyspace}/_batch",
        tag: "kv",
        summary: "Puts and deletes, together or not at all.",
        body: Some((JSON, "operations: op, key, value (base64), ttl, if_match, if_none_match.")),
        answers: &[(204, "", "Done."), (412, JSON, "A condition does not hold; nothing is done.")],
        ..PLAIN
    },
    Operation {
        path: "/kv/{keyspace}/{key}",
        tag: "kv",
        summary: "The value of a key.",
        headers: CONDITIONS,
        answers: &[
            (200, OCTETS, "The value; ETag is its tag."),
            (304, "", "It has a tag of If-None-Match."),
            (404, JSON, "There is none."),
        ],
        ..PLAIN
    },
    Operation {
        method: "put",
        path: "/kv/{keyspace}/{key}",
        tag: "kv",
        summary: "Set the value of a key.",
        query: &[("ttl", false, "Time after which it goes by itself: 500ms, 60s, 7d.")],
        headers: CONDITIONS,
        body: Some((OCTETS, "The value.")),
        answers: &[
            (204, "", "Set; ETag is its new tag."),
            (412, JSON, "The condition does not hold."),
        ],
    },
    Operation {
        method: "delete",
        path: "/kv/{keyspace}/{key}",
        tag: "kv",
        summary: "Remove a key; no error when there is none.",
        headers: CONDITIONS,
        answers: &[(204, "", "Removed."), (412, JSON, "The condition does not hold.")],
        ..PLAIN
    },
];

const STORAGE: &[Operation] = &[
    Operation {
        path: "/api/v1/status/lsm",
        tag: "storage",
        summary: "Levels, memtables, log and jobs, as `firndb lsm show` prints them.",
        answers: &[(200, JSON, "The state.")],
        ..PLAIN
    },
    Operation {
        path: "/api/v1/status/schedule",
        tag: "storage",
        summary: "Flushes and compactions that run, and those that are due.",
        answers: &[(200, JSON, "Jobs.")],
        ..PLAIN
    },
    Operation {
        path: "/api/v1/status/events",
        tag: "storage",
        summary: "What the storage did lately.",
        query: &[("since", false, "The last event that is known already.")],
        answers: &[(200, JSON, "events, and next: what to ask for next.")],
        ..PLAIN
    },
    Operation {
        method: "post",
        path: "/api/v1/flush",
        tag: "storage",
        summary: "Flush all memtables, and wait.",
        answers: &[(204, "", "Flushed.")],
        ..PLAIN
    },
    Operation {
        method: "post",
        path: "/api/v1/compact",
        tag: "storage",
        summary: "Compact everything into its final form, and wait.",
        answers: &[(204, "", "Compacted.")],
        ..PLAIN
    },
];

const fn probe(path: &'static str, summary: &'static str) -> Operation {
    Operation { path, tag: "process", summary, answers: &[(200, JSON, "Yes.")], ..PLAIN }
}

const PROCESS: &[Operation] = &[
    Operation {
        answers: &[(204, "", "It is.")],
        ..probe("/ping", "Whether the process is there.")
    },
    Operation { answers: &[(204, "", "It is.")], ..probe("/status", "The same, as clients ask.") },
    probe("/health", "State of memtables, log, tables, disk and folder."),
    probe("/ready", "Whether reads and writes work; 503 while the log is replayed."),
    probe("/readyz", "As /ready."),
    probe("/-/ready", "As /ready."),
    probe("/livez", "Whether the process answers."),
    probe("/-/healthy", "As /livez."),
    Operation {
        answers: &[(200, TEXT, "Metrics in the text format of Prometheus.")],
        ..probe("/metrics", "Metrics.")
    },
    probe("/openapi.json", "This description."),
];
