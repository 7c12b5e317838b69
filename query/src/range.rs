//! `/api/v1/range`: rows or windows of one measurement, asked for by plain parameters.
//!
//! | parameter | meaning |
//! |---|---|
//! | `db`, `rp` | database; retention policy (default: the database's) |
//! | `measurement` | required |
//! | `field` | repeatable, or a comma-separated list; default: all fields |
//! | `tag.KEY=VALUE` | only series with this tag; the same key again: or; another key: and |
//! | `from`, `to` | `[from, to)`: RFC 3339, integer nanoseconds, `1700000000s`, `now`, `now-1h` |
//! | `every` | window length, `1m`; needs `fn` |
//! | `fn` | `count sum mean median min max first last spread stddev mode` or `p95`, `p99.9` |
//! | `group_by` | tag keys, comma-separated, or `*`; default: one series |
//! | `fill` | of empty windows: `none` (default), `null`, `previous`, `linear`, a number |
//! | `limit`, `order` | rows per series; `asc` (default) or `desc` |
//! | `format` | `json` (default), `csv`, `arrow` (IPC stream), `parquet` |
//! | `unit` | of times in JSON: `ns`, `us`, `ms` (default), `s` |
//!
//! JSON is column by column, as charts want it:
//!
//! ```json
//! {"unit":"ms","series":[{"name":"cpu","tags":{"host":"a"},"time":[1700000000000],
//!   "fields":{"usage_user":[58]}}]}
//! ```
//!
//! A missing value is `null`. Series are sorted by their tags.

mod write;

use std::collections::BTreeMap;

use firndb_tsdb::Tsdb;
use firndb_tsdb::model::{TagPredicate, TimeRange, Timestamp};

use crate::error::{Error, Result};
use crate::influxql::{duration, time};
use crate::plan::{
    Call, Expr, Fill, Function, GroupTags, Literal, OutputColumn, Plan, Source, Window,
};

pub use write::{write_arrow, write_csv, write_json, write_parquet};

/// Form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, as above.
    Json,
    /// CSV: a column per group tag, RFC 3339 times.
    Csv,
    /// Arrow IPC stream.
    Arrow,
    /// Parquet file.
    Parquet,
}

/// A request, understood.
#[derive(Debug, Clone)]
pub struct RangeRequest {
    /// What is run.
    pub plan: Plan,
    /// Form of the answer.
    pub format: Format,
    /// Nanoseconds of a unit of time in JSON, and its name.
    pub unit: (i64, &'static str),
}

const UNITS: [(i64, &str); 4] = [(1, "ns"), (1_000, "us"), (1_000_000, "ms"), (1_000_000_000, "s")];

fn bad(name: &str, reason: impl std::fmt::Display) -> Error {
    Error::invalid(format!("parameter {name:?}: {reason}"))
}

/// Understands the parameters of a request; an error names the parameter.
pub fn parse(pairs: &[(String, String)], tsdb: &Tsdb, now: Timestamp) -> Result<RangeRequest> {
    check_names(pairs)?;
    let parameters = Parameters(pairs);
    let database = parameters.required("db")?;
    let measurement = parameters.required("measurement")?;
    let found = tsdb.database(database);
    let found = found.ok_or_else(|| Error::DatabaseNotFound(database.to_owned()))?;
    let every_ns = every(&parameters)?;
    let function = parameters.one("fn").map(function).transpose()?;
    if every_ns.is_some() && function.is_none() {
        return Err(bad("every", "needs fn"));
    }
    let mut fields = parameters.list("field");
    if fields.is_empty() {
        let info = found.measurement(measurement);
        let all = info.iter().flat_map(|info| &info.fields).map(|field| field.name.clone());
        fields = all.collect();
        fields.sort();
    }
    let column = |name: String| OutputColumn {
        expr: match &function {
            None => Expr::Field(name.clone()),
            Some(function) => Expr::Call(Call { function: function.clone(), field: name.clone() }),
        },
        name,
    };
    let groups = parameters.list("group_by");
    let plan = Plan {
        source: Source::Measurement {
            database: database.to_owned(),
            policy: parameters.one("rp").map(str::to_owned),
            measurement: measurement.to_owned(),
        },
        name: measurement.to_owned(),
        tags: parameters.tags(),
        filter: None,
        range: parameters.range(now)?,
        columns: fields.into_iter().map(column).collect(),
        group: match groups.iter().any(|key| key == "*") {
            true => GroupTags::All,
            false => GroupTags::List(groups),
        },
        window: every_ns.map(|every_ns| Window { every_ns, offset_ns: 0, zone: None }),
        fill: parameters.fill()?,
        descending: match parameters.one("order") {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(bad("order", "asc or desc")),
        },
        limit: parameters.limit()?,
        offset: 0,
        series_limit: None,
        series_offset: 0,
        now,
    };
    Ok(RangeRequest { plan, format: parameters.format()?, unit: parameters.unit()? })
}

/// Parameters that are taken; `tag.KEY` too.
const KNOWN: [&str; 16] = [
    "db",
    "rp",
    "measurement",
    "field",
    "from",
    "to",
    "every",
    "fn",
    "group_by",
    "fill",
    "limit",
    "order",
    "format",
    "unit",
    "u",
    "p",
];

fn check_names(pairs: &[(String, String)]) -> Result<()> {
    let is_known = |name: &str| KNOWN.contains(&name) || name.starts_with("tag.");
    match pairs.iter().find(|(name, _)| !is_known(name)) {
        Some((name, _)) => {
            Err(bad(name, "unknown; see the list in the documentation of /api/v1/range"))
        }
        None => Ok(()),
    }
}

fn every(parameters: &Parameters<'_>) -> Result<Option<i64>> {
    let Some(text) = parameters.one("every") else { return Ok(None) };
    let every = duration::parse(text).filter(|every| *every > 0);
    every.map(Some).ok_or_else(|| bad("every", "not a duration, such as 10s or 1m"))
}

struct Parameters<'a>(&'a [(String, String)]);

impl<'a> Parameters<'a> {
    fn one(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(key, value)| key == name && !value.is_empty())?;
        Some(value)
    }

    fn required(&self, name: &str) -> Result<&'a str> {
        self.one(name).ok_or_else(|| bad(name, "missing"))
    }

    /// All values of `name`, which may be lists themselves, each once.
    fn list(&self, name: &str) -> Vec<String> {
        let mut list: Vec<String> = Vec::new();
        let values = self.0.iter().filter(|(key, _)| key == name);
        for word in values.flat_map(|(_, value)| value.split(',')).map(str::trim) {
            if !word.is_empty() && !list.iter().any(|known| known == word) {
                list.push(word.to_owned());
            }
        }
        list
    }

    fn tags(&self) -> TagPredicate {
        let mut by_key: BTreeMap<&str, Vec<TagPredicate>> = BTreeMap::new();
        for (name, value) in self.0 {
            if let Some(key) = name.strip_prefix("tag.") {
                let equal = TagPredicate::Equal(key.to_owned(), value.clone());
                by_key.entry(key).or_default().push(equal);
            }
        }
        if by_key.is_empty() {
            return TagPredicate::True;
        }
        TagPredicate::And(by_key.into_values().map(TagPredicate::Or).collect())
    }

    fn range(&self, now: Timestamp) -> Result<TimeRange> {
        let mut range = TimeRange::ALL;
        if let Some(text) = self.one("from") {
            range.start = moment(text, now).ok_or_else(|| bad("from", MOMENT))?;
        }
        if let Some(text) = self.one("to") {
            let to = moment(text, now).ok_or_else(|| bad("to", MOMENT))?;
            range.end = to.saturating_sub(1);
        }
        Ok(range)
    }

    fn fill(&self) -> Result<Fill> {
        Ok(match self.one("fill") {
            None | Some("none") => Fill::None,
            Some("null") => Fill::Null,
            Some("previous") => Fill::Previous,
            Some("linear") => Fill::Linear,
            Some(text) => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(number), _) => Fill::Value(Literal::Integer(number)),
                (_, Ok(number)) => Fill::Value(Literal::Float(number)),
                _ => return Err(bad("fill", "none, null, previous, linear or a number")),
            },
        })
    }

    fn limit(&self) -> Result<Option<u64>> {
        let Some(text) = self.one("limit") else { return Ok(None) };
        let limit = text.parse().ok().filter(|limit| *limit > 0);
        limit.map(Some).ok_or_else(|| bad("limit", "a whole number above 0"))
    }

    fn format(&self) -> Result<Format> {
        Ok(match self.one("format") {
            None | Some("json") => Format::Json,
            Some("csv") => Format::Csv,
            Some("arrow") => Format::Arrow,
            Some("parquet") => Format::Parquet,
            Some(_) => return Err(bad("format", "json, csv, arrow or parquet")),
        })
    }

    fn unit(&self) -> Result<(i64, &'static str)> {
        let name = self.one("unit").unwrap_or("ms");
        let unit = UNITS.into_iter().find(|(_, known)| *known == name);
        unit.ok_or_else(|| bad("unit", "ns, us, ms or s"))
    }
}

/// What a moment may look like, for messages.
pub const MOMENT: &str = "a time: RFC 3339, integer nanoseconds, 1700000000s, now or now-1h";

/// A moment as parameters write it.
pub fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(shift) = text.strip_prefix("now") {
        return match shift.trim().split_at_checked(1) {
            None => Some(now),
            Some(("-", by)) => now.checked_sub(duration::parse(by.trim())?),
            // A plus sign that was not escaped arrives as a blank.
            Some(("+" | " ", by)) => now.checked_add(duration::parse(by.trim())?),
            Some(_) => None,
        };
    }
    if let Ok(ns) = text.parse::<i64>() {
        return Some(ns);
    }
    if let time::Parsed::Time(ns) = time::parse(text, None) {
        return Some(ns);
    }
    match text.strip_prefix('-') {
        Some(text) => duration::parse(text).map(|ns| -ns),
        None => duration::parse(text),
    }
}

fn function(name: &str) -> Result<Function> {
    let percentile = |text: &str| text.parse().ok().filter(|p| (0.0..=100.0).contains(p));
    Ok(match name {
        "count" => Function::Count,
        "sum" => Function::Sum,
        "mean" => Function::Mean,
        "median" => Function::Median,
        "min" => Function::Min,
        "max" => Function::Max,
        "first" => Function::First,
        "last" => Function::Last,
        "spread" => Function::Spread,
        "stddev" => Function::Stddev,
        "mode" => Function::Mode,
        other => match other.strip_prefix('p').and_then(percentile) {
            Some(percent) => Function::Percentile(percent),
            None => {
                let names = "count, sum, mean, median, min, max, first, last, spread, stddev, \
                             mode, or a percentile such as p95";
                return Err(bad("fn", format!("{other:?} is none of {names}")));
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let now = 10_000_000_000;
        let cases = [
            ("5", Some(5)),
            ("-5", Some(-5)),
            ("2s", Some(2_000_000_000)),
            ("-2s", Some(-2_000_000_000)),
            ("1970-01-01T00:00:01Z", Some(1_000_000_000)),
            ("1970-01-01", Some(0)),
            ("now", Some(now)),
            ("now-1s", Some(now - 1_000_000_000)),
            ("now - 1s", Some(now - 1_000_000_000)),
            ("now+1s", Some(now + 1_000_000_000)),
            ("now 1s", None),
            ("yesterday", None),
            ("", None),
            ("now-", None),
        ];
        for (text, expected) in cases {
            assert_eq!(moment(text, now), expected, "{text:?}");
        }
    }

    #[test]
    fn functions_by_name() {
        assert_eq!(function("p99.9").ok(), Some(Function::Percentile(99.9)));
        assert_eq!(function("max").ok(), Some(Function::Max));
        for name in ["p101", "p", "average", ""] {
            assert!(function(name).is_err(), "{name:?}");
        }
    }
}
