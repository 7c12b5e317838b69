//! A statement becomes an answer: at once for what is small, part by part for a query.

use std::sync::Arc;

use chrono_tz::Tz;

use super::ast::{Select, Statement};
use super::lower::{Query, Scope, lower};
use super::{ddl, delete, explain, retain, rollup, show};
use crate::error::{Error, Result};
use crate::exec::{self, Context, Data, Series, SeriesHead, SeriesStream, Vector};
use crate::plan::Plan;

/// The answer to one statement: an iterator of parts of series. Getting a part may block.
pub struct Answer {
    time: Option<TimeColumn>,
    parts: Parts,
    /// Of the plans before the current one: where they are not exact.
    warnings: Vec<String>,
}

/// The first column of the answer to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeColumn {
    /// Its name.
    pub name: String,
    /// The zone in which times are written; `None`: UTC.
    pub zone: Option<Tz>,
}

enum Parts {
    Ready(std::vec::IntoIter<Series>),
    /// The stream of one plan, and the plans after it.
    Running {
        context: Box<Context>,
        current: Option<Box<SeriesStream>>,
        plans: std::vec::IntoIter<Plan>,
    },
}

/// Runs a statement. `context` bounds what it may use.
pub fn answer(statement: &Statement, scope: &Scope<'_>, context: &Context) -> Result<Answer> {
    match statement {
        Statement::Select(select) => self::select(select, scope, context),
        Statement::Explain { analyze, select } => {
            explain::explain(select, *analyze, scope, context).map(Answer::ready)
        }
        Statement::ExplainDelete(deleted) => delete::explain(deleted, scope).map(Answer::ready),
        Statement::Show(what) => show::show(what, scope).map(Answer::ready),
        Statement::Rollup(statement) => rollup::rollup(statement, scope).map(Answer::ready),
        Statement::Retain(rule) => retain::retain(rule, scope).map(Answer::ready),
        Statement::Unsupported(what) => Err(Error::Unsupported((*what).into())),
        change => ddl::change(change, scope).map(|()| Answer::ready(Vec::new())),
    }
}

fn select(select: &Select, scope: &Scope<'_>, context: &Context) -> Result<Answer> {
    let Query { plans, time_column, zone, held: _held } = lower(select, scope)?;
    let mut parts = Parts::Running {
        context: Box::new(context.clone()),
        current: None,
        plans: plans.into_iter(),
    };
    parts.start_next()?; // what is wrong with a plan is known before its first part
    let time = Some(TimeColumn { name: time_column, zone });
    Ok(Answer { time, parts, warnings: Vec::new() })
}

impl Answer {
    /// An answer that is there.
    fn ready(series: Vec<Series>) -> Answer {
        let parts = Parts::Ready(series.into_iter());
        Answer { time: None, parts, warnings: Vec::new() }
    }

    /// The time column, which only queries have.
    pub fn time(&self) -> Option<&TimeColumn> {
        self.time.as_ref()
    }

    /// Where the parts given so far are not exact, in words.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        if let Parts::Running { current: Some(current), .. } = &self.parts {
            warnings.extend(current.warnings().so_far());
        }
        warnings
    }
}

impl Parts {
    /// Starts the next plan, if there is one.
    fn start_next(&mut self) -> Result<()> {
        if let Parts::Running { context, current, plans } = self {
            *current = match plans.next() {
                Some(plan) => Some(Box::new(exec::stream(context, &plan)?)),
                None => None,
            };
        }
        Ok(())
    }
}

impl Iterator for Answer {
    type Item = Result<Series>;

    fn next(&mut self) -> Option<Result<Series>> {
        loop {
            match &mut self.parts {
                Parts::Ready(series) => return series.next().map(Ok),
                Parts::Running { current, .. } => {
                    if let Some(part) = current.as_mut()?.next() {
                        return Some(part);
                    }
                }
            }
            self.warnings = self.warnings();
            if let Err(error) = self.parts.start_next() {
                self.parts = Parts::Ready(Vec::new().into_iter());
                return Some(Err(error));
            }
        }
    }
}

/// A series that is not of time: a table.
pub fn table(name: &str, columns: &[&str], values: Vec<Vector>) -> Series {
    let head = SeriesHead {
        name: name.to_string(),
        tags: Vec::new(),
        columns: columns.iter().map(|column| column.to_string()).collect(),
    };
    Series { head: Arc::new(head), times: Vec::new(), values, partial: false }
}

/// A column of text.
pub fn text<T: AsRef<str>>(rows: impl IntoIterator<Item = T>) -> Vector {
    let (mut offsets, mut bytes) = (vec![0], Vec::new());
    for row in rows {
        bytes.extend_from_slice(row.as_ref().as_bytes());
        offsets.push(bytes.len() as u32);
    }
    Vector::full(Data::String { offsets, bytes })
}
