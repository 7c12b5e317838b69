//! Which days of which measurements may have rows: from the heads of chunks, without reading any.

use std::collections::BTreeSet;

use firndb_tsdb::model::{TimeRange, Timestamp};

use super::{Request, each_series};
use crate::error::Result;
use crate::exec::Context;

const DAY_NS: i64 = 86_400_000_000_000;

/// A day of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// The measurement.
    pub measurement: String,
    /// The day in UTC, `2026-01-31`.
    pub date: String,
    /// The day, cut to what was asked for.
    pub range: TimeRange,
}

impl Day {
    /// The Hive-style path of its file. Characters that a folder's name cannot carry (`/`, `=`,
    /// `%`, control characters, ...) are written as `%41`, which readers of such folders decode.
    pub fn path(&self) -> String {
        format!("measurement={}/date={}/part-0.parquet", escaped(&self.measurement), self.date)
    }
}

fn escaped(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
    let mut out = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        if is_plain(c) && !(c == '.' && at == 0) {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

/// Days within `range` that may have rows, of one measurement or of all, in order. A day inside
/// a chunk whose series paused that day is listed although it has none.
pub fn days(
    context: &Context,
    database: &str,
    policy: Option<&str>,
    measurement: Option<&str>,
    range: TimeRange,
    now: Timestamp,
) -> Result<Vec<Day>> {
    let found = super::database(context, database)?;
    found.policy(policy)?;
    let measurements = match measurement {
        Some(one) => vec![one.to_owned()],
        None => found.measurements(&Default::default())?,
    };
    let mut days = Vec::new();
    for measurement in measurements {
        let request = Request {
            database: database.to_owned(),
            policy: policy.map(str::to_owned),
            measurement: measurement.clone(),
            range,
            now,
        };
        let mut numbers = BTreeSet::new();
        each_series(context, &request, &[], |scan, series| {
            context.check()?;
            let mut pieces = scan.series(series)?;
            while let Some(piece) = pieces.next_piece()? {
                let span = match piece {
                    firndb_tsdb::Piece::Chunk(chunk) => chunk.time_range(),
                    firndb_tsdb::Piece::Rows(rows) => {
                        numbers.extend(rows.timestamps.iter().map(|time| time.div_euclid(DAY_NS)));
                        continue;
                    }
                };
                let span = span.intersect(&range);
                numbers.extend(span.start.div_euclid(DAY_NS)..=span.end.div_euclid(DAY_NS));
            }
            Ok(true)
        })?;
        days.extend(numbers.into_iter().map(|number| day(&measurement, number, range)));
    }
    Ok(days)
}

fn day(measurement: &str, number: i64, range: TimeRange) -> Day {
    let start = number.saturating_mul(DAY_NS);
    let whole = TimeRange::new(start, start.saturating_add(DAY_NS - 1));
    let date = chrono::DateTime::from_timestamp_nanos(start).format("%Y-%m-%d").to_string();
    Day { measurement: measurement.to_owned(), date, range: whole.intersect(&range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_hold_any_name() {
        let path = |measurement: &str| day(measurement, 20_454, TimeRange::ALL).path();
        assert_eq!(path("cpu"), "measurement=cpu/date=2026-01-01/part-0.parquet");
        assert_eq!(path("../a=b"), "measurement=%2E.%2Fa%3Db/date=2026-01-01/part-0.parquet");
        assert_eq!(path("a%b"), "measurement=a%25b/date=2026-01-01/part-0.parquet");
    }
}
