//! Runs a [`Plan`]: series to column slices to windows to the rows of an answer.
//!
//! The answer is columns, never cells, and comes in parts: [`stream`] gives the next part when it
//! is asked for, so a large answer is neither held in memory nor late with its first byte.
//! Parts of one output series follow each other; series come sorted by their tags.
//!
//! Work is spread over the pool by series when there is enough of it; a small query runs on the
//! calling thread. The answer does not depend on the number of threads.

pub mod context;
pub mod vector;

mod aggregate;
mod expr;
mod input;
mod kernels;
mod mask;
mod window;

use std::sync::Arc;

use firndb_tsdb::model::Timestamp;

use crate::error::Result;
use crate::plan::Plan;

pub use context::{Cancel, Context, Limits};
pub use vector::{Data, Vector};

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
}

/// Runs `plan` and collects the whole answer, which is charged to the budget while it is built.
/// For answers known to be small; others: [`stream`].
pub fn run(context: &Context, plan: &Plan) -> Result<QueryResult> {
    let mut result = QueryResult::default();
    for part in stream(context, plan)? {
        let part = part?;
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
    Ok(result)
}

/// Starts `plan`. The caller pulls parts; pulling blocks, so an async caller does it on a thread
/// that may block. After an error there are no more parts.
pub fn stream(_context: &Context, _plan: &Plan) -> Result<SeriesStream> {
    todo!("exec::stream")
}

/// The parts of an answer, in order.
pub struct SeriesStream {
    _private: (),
}

impl Iterator for SeriesStream {
    type Item = Result<Series>;

    fn next(&mut self) -> Option<Result<Series>> {
        todo!("exec::SeriesStream")
    }
}
