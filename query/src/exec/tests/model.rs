//! What a plan means, evaluated row by row in the plainest way: the other side of the
//! comparison. Knows calls of one field, plain fields and tags, fixed windows, the fills `null`,
//! `none` and numbers, and one condition on a field.

use std::collections::BTreeMap;

use firndb_tsdb::model::TimeRange;

use super::rows::{Made, Row};
use super::{Answer, text};
use crate::exec::Cell;
use crate::plan::*;

type Value<'a> = (i64, Cell<'a>);

fn cell<'a>(row: &Row, name: &str) -> Cell<'a> {
    match name {
        "i" => row.i.map_or(Cell::Missing, Cell::Integer),
        "f" => row.f.map_or(Cell::Missing, Cell::Float),
        "u" => row.u.map_or(Cell::Missing, Cell::Unsigned),
        "b" => row.b.map_or(Cell::Missing, Cell::Boolean),
        "s" => row.s.map_or(Cell::Missing, Cell::String),
        _ => Cell::Missing,
    }
}

fn float(cell: Cell<'_>) -> f64 {
    match cell {
        Cell::Float(v) => v,
        Cell::Integer(v) => v as f64,
        Cell::Unsigned(v) => v as f64,
        Cell::Boolean(v) => f64::from(u8::from(v)),
        _ => panic!("not a number"),
    }
}

fn kept(plan: &Plan, row: &Row) -> bool {
    let Some(Expr::Binary(operator, left, right)) = &plan.filter else { return true };
    let (Expr::Field(name), Expr::Literal(Literal::Integer(limit))) = (&**left, &**right) else {
        panic!("the model knows field < integer only")
    };
    match (cell(row, name), operator) {
        (Cell::Missing, _) => false,
        (value, Operator::Greater) => float(value) > *limit as f64,
        (value, _) => float(value) <= *limit as f64,
    }
}

/// The answer to `plan`.
pub fn answer(plan: &Plan, made: &[Made]) -> Answer {
    type Group<'a> = Vec<(&'a Made, &'a Row)>;
    let mut groups: BTreeMap<Vec<(String, String)>, Group<'_>> = BTreeMap::new();
    let mut sorted: Vec<&Made> = made.iter().collect();
    sorted.sort_by(|a, b| a.tags.cmp(&b.tags));
    for made in sorted {
        let GroupTags::List(by) = &plan.group else { panic!("the model knows lists only") };
        let value = |key: &str| made.tags.iter().find(|(k, _)| *k == key).map_or("", |(_, v)| v);
        let tags = by.iter().map(|key| (key.clone(), value(key).to_owned())).collect();
        let rows = made.rows.iter().filter(|r| plan.range.contains(r.time) && kept(plan, r));
        groups.entry(tags).or_default().extend(rows.map(|row| (made, row)));
    }
    let mut out = Vec::new();
    for (tags, rows) in groups {
        let is_raw = !plan.columns.iter().any(|column| matches!(column.expr, Expr::Call(_)));
        let mut rows = if is_raw { raw(plan, rows) } else { windowed(plan, &rows) };
        if plan.descending {
            rows.reverse();
        }
        let limit = plan.limit.unwrap_or(u64::MAX) as usize;
        let rows: Vec<_> = rows.into_iter().skip(plan.offset as usize).take(limit).collect();
        if !rows.is_empty() {
            let tags: Vec<String> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
            out.push((tags.join(","), rows));
        }
    }
    out
}

fn raw(plan: &Plan, mut rows: Vec<(&Made, &Row)>) -> Vec<(i64, Vec<String>)> {
    rows.sort_by_key(|(_, row)| row.time);
    let mut out = Vec::new();
    for (made, row) in rows {
        let mut has_field = false;
        let mut value = |expr: &Expr| match expr {
            Expr::Field(name) => {
                has_field |= cell(row, name) != Cell::Missing;
                text(cell(row, name))
            }
            Expr::Tag(key) => {
                let tag = made.tags.iter().find(|(k, _)| k == key);
                tag.map_or("-".to_owned(), |(_, v)| (*v).to_owned())
            }
            _ => panic!("not in the model"),
        };
        let cells = plan.columns.iter().map(|column| value(&column.expr)).collect();
        if has_field {
            out.push((row.time, cells));
        }
    }
    out
}

fn windowed(plan: &Plan, rows: &[(&Made, &Row)]) -> Vec<(i64, Vec<String>)> {
    let every = plan.window.as_ref().map(|w| w.every_ns);
    let is_open = plan.range.start <= TimeRange::ALL.start;
    let whole = if is_open { 0 } else { plan.range.start };
    let bucket = |time: i64| every.map_or(whole, |every| time.div_euclid(every) * every);
    let mut buckets: BTreeMap<i64, Vec<Vec<Value<'_>>>> = BTreeMap::new();
    for (column, output) in plan.columns.iter().enumerate() {
        let Expr::Call(call) = &output.expr else { panic!("not in the model") };
        for (_, row) in rows {
            let value = cell(row, &call.field);
            if value != Cell::Missing {
                let at = buckets
                    .entry(bucket(row.time))
                    .or_insert_with(|| vec![Vec::new(); plan.columns.len()]);
                at[column].push((row.time, value));
            }
        }
    }
    let mut rows: BTreeMap<i64, Vec<(String, Option<i64>)>> = BTreeMap::new();
    for (start, columns) in buckets {
        let cells = columns.into_iter().zip(&plan.columns).map(|(mut values, output)| {
            let Expr::Call(call) = &output.expr else { panic!("not in the model") };
            values.sort_by_key(|(time, _)| *time);
            aggregate(&call.function, &values)
        });
        let cells: Vec<_> = cells.collect();
        if cells.iter().any(|(cell, _)| cell != "-") {
            rows.insert(start, cells);
        }
    }
    let Some((first, _)) = rows.first_key_value() else { return Vec::new() };
    if let (Some(every), false) = (every, plan.fill == Fill::None) {
        let mut at = if is_open { *first } else { bucket(plan.range.start) };
        let end = plan.range.end.min(plan.now);
        while at <= end {
            rows.entry(at).or_insert_with(|| vec![("-".into(), None); plan.columns.len()]);
            at += every;
        }
    }
    let row = |(start, cells): (i64, Vec<(String, Option<i64>)>)| {
        let time = match cells.as_slice() {
            [(_, at)] if every.is_none() => at.unwrap_or(start),
            _ => start,
        };
        let cells = cells.into_iter().zip(&plan.columns).map(|((cell, _), output)| {
            let Expr::Call(call) = &output.expr else { panic!("not in the model") };
            let is_count = call.function == Function::Count;
            match (&plan.fill, cell.as_str()) {
                (Fill::Null, "-") if is_count => "0i".into(),
                (_, "-") if is_count && every.is_none() => "0i".into(),
                (Fill::Value(Literal::Integer(fill)), "-") if every.is_some() => {
                    filled(*fill, call)
                }
                _ => cell,
            }
        });
        (time, cells.collect())
    };
    rows.into_iter().map(row).collect()
}

fn filled(fill: i64, call: &Call) -> String {
    let keeps = !matches!(call.function, Function::Mean | Function::Median);
    match call.field.as_str() {
        _ if call.function == Function::Count => format!("{fill}i"),
        "i" if keeps => format!("{fill}i"),
        "u" if keeps => format!("{fill}u"),
        "b" | "s" => "-".into(),
        _ => format!("{:?}", fill as f64),
    }
}

/// The value, and the time of a selector's.
fn aggregate(function: &Function, values: &[Value<'_>]) -> (String, Option<i64>) {
    if values.is_empty() {
        return ("-".into(), None);
    }
    let order = |a: &Cell<'_>, b: &Cell<'_>| match (a, b) {
        (Cell::String(a), Cell::String(b)) => a.cmp(b),
        (a, b) => float(*a).total_cmp(&float(*b)),
    };
    let sum = || values.iter().map(|(_, v)| float(*v)).sum::<f64>();
    let plain = |v: &Value<'_>| (text(v.1), Some(v.0));
    let earliest = |values: &mut dyn Iterator<Item = &Value<'_>>| plain(values.next().unwrap());
    match function {
        Function::Count => (format!("{}i", values.len()), None),
        Function::Sum => match values[0].1 {
            Cell::Integer(_) => (format!("{}i", sum() as i64), None),
            Cell::Unsigned(_) => (format!("{}u", sum() as u64), None),
            _ => (format!("{:?}", sum()), None),
        },
        Function::Mean => (format!("{:?}", sum() / values.len() as f64), None),
        Function::Max => {
            let best = values.iter().map(|(_, v)| v).max_by(|a, b| order(a, b)).unwrap();
            earliest(&mut values.iter().filter(|(_, v)| v == best))
        }
        Function::Min => {
            let best = values.iter().map(|(_, v)| v).min_by(|a, b| order(a, b)).unwrap();
            earliest(&mut values.iter().filter(|(_, v)| v == best))
        }
        Function::First | Function::Last => {
            let edge =
                if *function == Function::First { values[0].0 } else { values.last().unwrap().0 };
            let at = values.iter().filter(|(time, _)| *time == edge);
            plain(at.max_by(|a, b| order(&a.1, &b.1)).unwrap())
        }
        Function::Median => {
            let mut sorted: Vec<f64> = values.iter().map(|(_, v)| float(*v)).collect();
            sorted.sort_by(f64::total_cmp);
            let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
            (format!("{:?}", low + (high - low) / 2.0), None)
        }
        Function::Percentile(percent) => {
            let mut sorted: Vec<&Value<'_>> = values.iter().collect();
            sorted.sort_by(|a, b| order(&a.1, &b.1).then(a.0.cmp(&b.0)));
            let rank = (sorted.len() as f64 * percent / 100.0 + 0.5).floor() - 1.0;
            match sorted.get(rank as usize) {
                Some(value) if rank >= 0.0 => plain(value),
                _ => ("-".into(), None),
            }
        }
        Function::Mode => {
            let mut tally: BTreeMap<String, (usize, i64)> = BTreeMap::new();
            for (time, value) in values {
                tally.entry(text(*value)).or_insert((0, *time)).0 += 1;
            }
            let most = tally.values().map(|(times, _)| *times).max().unwrap();
            let first =
                tally.values().filter(|(t, _)| *t == most).map(|(_, at)| *at).min().unwrap();
            let mut best: Vec<Cell<'_>> = values
                .iter()
                .filter(|(_, v)| tally[&text(*v)] == (most, first))
                .map(|(_, v)| *v)
                .collect();
            best.sort_by(|a, b| order(a, b));
            (text(best[0]), None)
        }
        other => panic!("{other:?} is not in the model"),
    }
}
