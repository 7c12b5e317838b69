//! `EXPLAIN`: the plans of a query in words, and with `ANALYZE` what running them took.

use super::answer::{table, text};
use super::ast::Select;
use super::lower::{Scope, lower};
use crate::error::Result;
use crate::exec::{self, Context, Series, moment};
use crate::plan::{Plan, Source};

/// Spans of one plan that are told one by one.
const SPANS_MAX: usize = 100;

/// Explains a query.
pub fn explain(
    select: &Select,
    analyze: bool,
    scope: &Scope<'_>,
    context: &Context,
) -> Result<Vec<Series>> {
    let query = lower(select, scope)?;
    let mut lines = Vec::new();
    for plan in &query.plans {
        describe(plan, &mut lines);
        spans(context, plan, &mut lines)?;
        if analyze {
            let start_ns = context.clock.monotonic_ns();
            let (mut series, mut rows) = (0, 0);
            for part in exec::stream(context, plan)? {
                let part = part?;
                series += usize::from(!part.partial);
                rows += part.times.len();
            }
            let took_us = context.clock.monotonic_ns().saturating_sub(start_ns) / 1000;
            lines.push(format!("ANSWER: {series} series, {rows} rows in {took_us} us"));
        }
    }
    if query.plans.is_empty() {
        lines.push("NOTHING TO READ".to_string());
    }
    let column = if analyze { "EXPLAIN ANALYZE" } else { "QUERY PLAN" };
    Ok(vec![table("", &[column], vec![text(lines)])])
}

/// What answers which stretch of time, `to` excluded.
fn spans(context: &Context, plan: &Plan, lines: &mut Vec<String>) -> Result<()> {
    let Some(division) = exec::division(context, plan)? else { return Ok(()) };
    for span in division.spans.iter().take(SPANS_MAX) {
        let (from, to) = (span.range.start, span.range.end.saturating_add(1));
        let source = match division.source(span.from) {
            None => "raw".to_owned(),
            Some((name, every)) => {
                let note = if division.is_exact(span.from) { "" } else { ", not exact" };
                format!("rollup {name} {every}{note}")
            }
        };
        lines.push(format!("SPAN: {} to {} FROM {source}", moment(from), moment(to)));
    }
    if let Some(more) = division.spans.len().checked_sub(SPANS_MAX).filter(|more| *more > 0) {
        lines.push(format!("SPAN: {more} more"));
    }
    Ok(())
}

fn describe(plan: &Plan, lines: &mut Vec<String>) {
    if let Source::Measurement { database, policy, measurement } = &plan.source {
        let policy = policy.as_deref().unwrap_or("default");
        lines.push(format!("MEASUREMENT: {database}.{policy}.{measurement}"));
    }
    lines.push(format!("TIME: {} to {}", plan.range.start, plan.range.end));
    lines.push(format!("TAGS: {:?}", plan.tags));
    if let Some(filter) = &plan.filter {
        lines.push(format!("FILTER: {filter:?}"));
    }
    for column in &plan.columns {
        lines.push(format!("COLUMN: {} = {:?}", column.name, column.expr));
    }
    lines.push(format!("GROUP: {:?}", plan.group));
    if let Some(window) = &plan.window {
        lines.push(format!("WINDOW: {window:?}, fill {:?}", plan.fill));
    }
}
