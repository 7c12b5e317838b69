//! What a plan reads from where, decided before anything is read; and what is to be said of an
//! answer that is less than exact.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use firndb_tsdb::model::{TimeRange, Timestamp};
use firndb_tsdb::{Database, LevelCover};

use super::aggregate;
use super::resolve::{CallSlot, Resolved};
use super::rollup;
use super::spans::{self, From, Level, Need, Span};
use crate::error::Result;
use crate::plan::Plan;

/// What answers for which stretch of time.
#[derive(Debug)]
pub struct Division {
    /// The stretches, ascending.
    pub spans: Vec<Span>,
    /// The levels that they name.
    pub covers: Vec<LevelCover>,
    /// What the plan asks of them.
    pub need: Need,
}

/// What may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Points, and rollups where they stand for them.
    Rollups,
    /// Points alone.
    Points,
}

/// Which points are meant.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Where they are.
    pub database: &'a Database,
    /// Retention policy; `None`: the default one.
    pub policy: Option<&'a str>,
    /// Name of the measurement.
    pub measurement: &'a str,
}

impl Division {
    /// Divides what `plan` reads within `range`.
    pub fn new(
        target: Target<'_>,
        plan: &Plan,
        resolved: &Resolved,
        range: TimeRange,
    ) -> Result<Division> {
        let Target { database, policy, measurement } = target;
        // Of all time: a bucket that reaches out of the range must be known, or what is gone there
        // would be passed over in silence.
        let covers = database.rollup_cover(policy, measurement, TimeRange::ALL, plan.now)?;
        if covers.is_empty() {
            return Ok(Division::points(range));
        }
        let need = rollup::need(plan, resolved);
        let raw_from = database.raw_from(policy, measurement, plan.now);
        let level =
            |cover: &LevelCover| Level { every_ns: cover.every_ns, spans: cover.spans.clone() };
        let levels: Vec<Level> = covers.iter().map(level).collect();
        let spans = spans::divide(range, raw_from, &levels, &need);
        Ok(Division { spans, covers, need })
    }

    /// Points alone.
    pub fn points(range: TimeRange) -> Division {
        let spans = vec![Span { range, from: From::Raw }];
        Division { spans, covers: Vec::new(), need: Need::Rows }
    }

    /// Name and bucket length of a source, as they are written; `None`: points.
    pub fn source(&self, from: From) -> Option<(&str, &str)> {
        let From::Level { level, .. } = from else { return None };
        // The class of a level is `rollup:<name>:<every>`.
        let (_, rest) = self.covers[level].class.split_once(':')?;
        rest.rsplit_once(':')
    }

    /// Whether this source answers what the points would.
    pub fn is_exact(&self, from: From) -> bool {
        !matches!(from, From::Level { exact: false, .. })
    }

    /// Whether points answer everything.
    pub fn is_raw(&self) -> bool {
        self.spans.iter().all(|span| span.from == From::Raw)
    }

    /// A warning per level that answers what it cannot tell exactly.
    pub fn warnings(&self, plan: &Plan, resolved: &Resolved) -> Warnings {
        let of_level = |level: usize| {
            let inexact = From::Level { level, exact: false };
            let spans = self.spans.iter().filter(|span| span.from == inexact);
            let hull = spans
                .map(|span| span.range)
                .reduce(|a, b| TimeRange::new(a.start.min(b.start), a.end.max(b.end)))?;
            let (name, every) = self.source(inexact)?;
            let mut text = asked(plan, resolved);
            let _ = write!(
                text,
                " is not exact from {} to {}: its points are gone, buckets of {every} of rollup {name} \
                 stand for them",
                moment(hull.start),
                moment(hull.end),
            );
            Some(Warning { text, applies: AtomicBool::new(false) })
        };
        Warnings((0..self.covers.len()).map(of_level).collect())
    }
}

/// A moment as RFC 3339 has it.
pub fn moment(timestamp: Timestamp) -> String {
    let at = chrono::DateTime::from_timestamp_nanos(timestamp);
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// The functions that a plan asks for, in words.
fn asked(plan: &Plan, resolved: &Resolved) -> String {
    let call = |call: &CallSlot| {
        let field = call.field.map_or("", |field| resolved.fields[field].name.as_str());
        format!("{}({field})", aggregate::name(&call.function))
    };
    let calls: Vec<String> = resolved.calls.iter().map(call).collect();
    match calls.is_empty() {
        true => format!("what stands for rows of {}", plan.name),
        false => format!("{} of {}", calls.join(", "), plan.name),
    }
}

/// What an answer is to say about itself, once it is known to be so.
#[derive(Debug)]
struct Warning {
    text: String,
    applies: AtomicBool,
}

/// Where an answer is not exact, told as it is made.
#[derive(Debug, Clone, Default)]
pub struct Warnings(Arc<[Option<Warning>]>);

impl Warnings {
    /// What holds of the answer so far.
    pub fn so_far(&self) -> Vec<String> {
        let applies = |warning: &&Warning| warning.applies.load(Ordering::Relaxed);
        self.0.iter().flatten().filter(applies).map(|warning| warning.text.clone()).collect()
    }

    /// What may turn out to hold.
    pub fn possible(&self) -> Vec<String> {
        self.0.iter().flatten().map(|warning| warning.text.clone()).collect()
    }

    /// Says that this level has answered what it cannot tell.
    pub fn raise(&self, level: usize) {
        if let Some(warning) = &self.0[level] {
            warning.applies.store(true, Ordering::Relaxed);
        }
    }
}
