//! Runs a [`Plan`]: series to column slices to windows to the rows of an answer.
//!
//! The answer is columns, never cells, and comes in parts: [`stream`] gives the next part when it
//! is asked for, so a large answer is neither held in memory nor late with its first byte.
//! Parts of one output series follow each other; series come sorted by their tags.
//!
//! Work is spread over the pool by series when there is enough of it; a small query runs on the
//! calling thread. The answer does not depend on the number of threads.
//!
//! Modules in order; each may use those above it: what a query may use and what it gives
//! (`context`, `vector`, `mask`), loops over columns (`kernels`, `window`, `expr`, `aggregate`,
//! `transform`, `fill`), which source answers which stretch of time (`spans`), the bound plan
//! (`resolve`), what is read (`rollup`, `input`, `division`, `source`), its guards (`shared`,
//! `filter`), and the two ways through it, `fold` -> `companions` -> `windowed` and `raw`, pulled
//! by `stream` and started by `scan`.

pub mod context;
pub mod vector;

mod aggregate;
mod companions;
mod condition;
mod division;
mod expr;
mod fill;
mod filter;
mod fold;
mod input;
mod kernels;
mod mask;
mod raw;
mod resolve;
mod rollup;
mod scan;
mod shared;
mod source;
mod spans;
mod stream;
mod transform;
mod window;
mod windowed;

use std::sync::Arc;

use firndb_engine::budget::Share;
use firndb_tsdb::model::Timestamp;

use crate::error::{Error, Result};
use crate::plan::{Plan, Source};

use division::Use;

pub use condition::RowCondition;
pub use context::{Cancel, Context, Limits};
pub use division::Warnings;
pub(crate) use division::moment;
pub use stream::SeriesStream;
pub use vector::{Cell, Data, Vector};

/// What all parts of one output series share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesHead {
    /// The measurement.
    pub name: String,
    /// The values of the group's tags, sorted by key; empty without GROUP BY on tags.
    pub tags: Vec<(String, String)>,
    /// Names of the columns after the time.
    pub columns: Vec<String>,
}

/// An output series, or a part of one.
#[derive(Debug, Clone)]
pub struct Series {
    /// Name, tags, columns; the same `Arc` in all parts of a series.
    pub head: Arc<SeriesHead>,
    /// Time of each row, in the order of the plan.
    pub times: Vec<Timestamp>,
    /// The columns; each as long as `times`.
    pub values: Vec<Vector>,
    /// Whether the next part goes on with the same series.
    pub partial: bool,
}

/// A whole answer; see [`run`].
#[derive(Debug, Clone, Default)]
pub struct QueryResult {
    /// Output series, sorted by tags; each whole.
    pub series: Vec<Series>,
    /// Where it is not exact.
    pub warnings: Warnings,
}

/// Runs `plan` and collects the whole answer, which is charged to the budget while it is built.
/// For answers known to be small; others: [`stream`].
pub fn run(context: &Context, plan: &Plan) -> Result<QueryResult> {
    let mut result = QueryResult::default();
    let mut held = shared::reserve(&context.means(), 0)?;
    let mut bytes = 0;
    let mut parts = stream(context, plan)?;
    for part in &mut parts {
        let part = part?;
        bytes += part.times.len() * 8;
        bytes += part.values.iter().map(|column| column.memory_bytes()).sum::<usize>();
        shared::grow(&mut held, bytes as u64)?;
        if bytes > u32::MAX as usize {
            return Err(Error::Memory { needed_bytes: bytes as u64 });
        }
        match result.series.last_mut() {
            Some(last) if last.partial => {
                last.times.extend_from_slice(&part.times);
                for (column, more) in last.values.iter_mut().zip(&part.values) {
                    column.append(more);
                }
                last.partial = part.partial;
            }
            _ => result.series.push(part),
        }
    }
    result.warnings = parts.warnings().clone();
    Ok(result)
}

/// Which sources would answer `plan`; `None` when there is nothing to read.
pub(crate) fn division(context: &Context, plan: &Plan) -> Result<Option<division::Division>> {
    match &plan.source {
        Source::Measurement { database, policy, measurement } if !plan.range.is_empty() => {
            scan::division(context, plan, database, policy.as_deref(), measurement)
        }
        Source::Measurement { .. } | Source::Plan(_) => Ok(None),
    }
}

/// Starts `plan`. The caller pulls parts; pulling blocks, so an async caller does it on a thread
/// that may block. After an error there are no more parts.
pub fn stream(context: &Context, plan: &Plan) -> Result<SeriesStream> {
    start(context, plan, Use::Rollups)
}

/// As [`stream`], from points alone: for answers that are kept as points, and to hold rollups
/// against.
pub fn stream_points(context: &Context, plan: &Plan) -> Result<SeriesStream> {
    start(context, plan, Use::Points)
}

fn start(context: &Context, plan: &Plan, what: Use) -> Result<SeriesStream> {
    context.check()?;
    if plan.range.is_empty() {
        return Ok(SeriesStream::empty());
    }
    if plan.window.as_ref().is_some_and(|window| window.every_ns <= 0) {
        return Err(Error::invalid("GROUP BY time() needs a positive interval"));
    }
    match &plan.source {
        Source::Measurement { database, policy, measurement } => {
            scan::start(context, plan, database, policy.as_deref(), measurement, what)
        }
        Source::Plan(_) => Err(Error::Unsupported("a subquery".into())),
    }
}

/// The shares of the budget that queries draw on.
const SHARE: Share = Share::Queries;

#[cfg(test)]
mod tests;
