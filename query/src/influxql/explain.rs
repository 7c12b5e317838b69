//! `EXPLAIN`: the plans of a query in words, and with `ANALYZE` what running them took.

use super::answer::{table, text};
use super::ast::Select;
use super::lower::{Scope, lower};
use crate::error::Result;
use crate::exec::{self, Context, Series};
use crate::plan::{Plan, Source};

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
