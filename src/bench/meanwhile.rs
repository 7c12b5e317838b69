//! What the store did in the slowest second of a bench: ties a spike to its cause.
//!
//! An event of the store's journal carries the moment when it ended and how long it took; a job
//! that still runs, how long it has run. Both are by the wall clock, as are the seconds of the
//! bench: on two machines whose clocks are a second apart the wrong job is named.
//!
//! The journal is bounded. Of a run so long that what it held of that second is gone, nothing is
//! said.

use chrono::DateTime;
use serde_json::{Value, json};

/// A span of time, milliseconds since the Unix epoch: from the first up to, not including, the
/// second.
pub type Span = (i64, i64);

/// When an event or a job began and ended; `None` where it does not say.
fn span_of(work: &Value, now_ms: i64) -> Option<Span> {
    let end_ms = match work["time"].as_str() {
        Some(time) => DateTime::parse_from_rfc3339(time).ok()?.timestamp_millis(),
        None => now_ms,
    };
    let took_ms = (work["seconds"].as_f64()? * 1e3).ceil() as i64;
    Some((end_ms - took_ms, end_ms))
}

/// Of `events`, oldest first, and of `jobs`, as the store tells both at `now_ms`, what went on in
/// `second`.
pub fn work_in(second: Span, events: &[Value], jobs: &[Value], now_ms: i64) -> Vec<Value> {
    let is_in = |work: &&Value| {
        let (begin_ms, end_ms) = span_of(work, now_ms)?;
        (begin_ms < second.1 && end_ms >= second.0).then_some(())
    };
    let running = jobs.iter().filter(|job| job["id"].is_u64() && job["seconds"].is_f64());
    let running = running.filter(|job| is_in(job).is_some()).map(|job| {
        json!({
            "type": job["kind"],
            "job": job["id"],
            "keyspace": job["keyspace"],
            "reason": job["reason"],
            "from_level": job["from_level"],
            "to_level": job["to_level"],
            "seconds": job["seconds"],
        })
    });
    events.iter().filter(|event| is_in(event).is_some()).cloned().chain(running).collect()
}

/// The work in words, to stand behind "while"; empty when there was none.
pub fn words(work: &[Value]) -> String {
    let one = |work: &Value| {
        let (kind, reason) = (work["type"].as_str()?, work["reason"].as_str().unwrap_or_default());
        Some(match kind {
            "writes_slowed" | "writes_free" => format!("writers were slowed ({reason})"),
            "writes_stopped" => format!("a writer was stopped ({reason})"),
            "flush" | "compaction" | "move" => {
                let job = work["job"].as_u64()?;
                let levels = work["from_level"].as_u64().zip(work["to_level"].as_u64());
                let levels = levels.map(|(from, to)| format!(" L{from} to L{to}"));
                format!("{kind} #{job}{} ran", levels.unwrap_or_default())
            }
            _ => return None,
        })
    };
    let mut words: Vec<String> = work.iter().filter_map(one).collect();
    words.dedup();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: &str, took: f64, rest: Value) -> Value {
        let mut event = json!({ "time": format!("2026-01-01T00:00:{second}Z"), "seconds": took });
        for (name, value) in rest.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        event
    }

    #[test]
    fn only_what_overlaps_the_second_is_named() {
        let start = DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z").unwrap();
        let at = |seconds: i64| start.timestamp_millis() + seconds * 1000;
        let second = (at(10), at(11));
        let compaction = json!({"type": "compaction", "job": 31, "from_level": 0, "to_level": 1});
        let flush = json!({"type": "flush", "job": 32});
        let slowed = json!({"type": "writes_free", "reason": "level0"});
        let cases = [
            ("ended before", vec![event("09.900", 3.0, compaction.clone())], ""),
            ("began after", vec![event("12.000", 0.9, compaction.clone())], ""),
            (
                "ended in it",
                vec![event("10.200", 5.0, compaction.clone())],
                "compaction #31 L0 to L1 ran",
            ),
            ("lasted all of it", vec![event("20.000", 15.0, flush.clone())], "flush #32 ran"),
            ("began in it", vec![event("11.500", 0.6, flush.clone())], "flush #32 ran"),
            (
                "several",
                vec![event("10.500", 1.0, flush), event("10.700", 0.1, slowed)],
                "flush #32 ran, writers were slowed (level0)",
            ),
            ("no job", vec![event("10.500", 0.0, json!({"type": "policy", "name": "tiered"}))], ""),
            (
                "no time that can be read",
                vec![json!({"type": "flush", "job": 1, "time": "now"})],
                "",
            ),
        ];
        for (name, events, expected) in cases {
            assert_eq!(words(&work_in(second, &events, &[], at(60))), expected, "{name}");
        }
    }

    #[test]
    fn a_job_that_still_runs_is_named_and_one_that_is_due_is_not() {
        let job = |seconds: Value| json!({"id": 7, "kind": "compaction", "from_level": 1, "to_level": 2, "seconds": seconds});
        let named = |seconds| words(&work_in((10_000, 11_000), &[], &[job(seconds)], 20_000));
        assert_eq!(named(json!(9.5)), "compaction #7 L1 to L2 ran");
        assert_eq!(named(json!(8.0)), "", "it began later");
        assert_eq!(named(json!(null)), "", "it has not begun");
    }
}
