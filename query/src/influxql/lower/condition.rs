//! `WHERE`: the span of time, the condition on tags, and the filter of rows.

use std::sync::Arc;

use chrono_tz::Tz;
use firndb_tsdb::MeasurementInfo;
use firndb_tsdb::model::{TagPredicate, TimeRange, Timestamp};
use regex::Regex;

use super::expression::Resolver;
use crate::error::{Error, Result};
use crate::influxql::ast::{Expr, Op, VarKind};
use crate::influxql::time::{Parsed, parse};
use crate::plan;

/// Takes comparisons with `time` out of a condition: the span they leave, and the rest.
pub fn split(
    condition: Option<&Expr>,
    now: Timestamp,
    zone: Option<Tz>,
) -> Result<(TimeRange, Option<Expr>)> {
    let mut splitter = Splitter { range: TimeRange::ALL, now, zone, rest: Vec::new() };
    if let Some(condition) = condition {
        splitter.take(condition)?;
    }
    let rest = match splitter.rest.len() {
        0 | 1 => splitter.rest.pop(),
        _ => Some(Expr::And(splitter.rest)),
    };
    Ok((splitter.range, rest))
}

struct Splitter {
    range: TimeRange,
    now: Timestamp,
    zone: Option<Tz>,
    rest: Vec<Expr>,
}

impl Splitter {
    fn take(&mut self, expr: &Expr) -> Result<()> {
        match expr {
            Expr::Paren(inner) if asks_time(inner) => self.take(inner),
            Expr::And(items) => items.iter().try_for_each(|item| self.take(item)),
            Expr::Or(_) if asks_time(expr) => Err(Error::Unsupported("OR with time".into())),
            Expr::Binary { op, left, right } if op.compares() && left.is_time() => {
                self.compare(*op, right)
            }
            Expr::Binary { op, left, right } if op.compares() && right.is_time() => {
                self.compare(mirrored(*op), left)
            }
            other => {
                check(other)?;
                self.rest.push(other.clone());
                Ok(())
            }
        }
    }

    /// Narrows the span by `time <op> <value>`.
    fn compare(&mut self, op: Op, value: &Expr) -> Result<()> {
        let moment = self.moment(value)?;
        let bound = TimeRange::ALL;
        let span = match op {
            Op::Eq => TimeRange::new(moment, moment),
            Op::Lt => TimeRange::new(bound.start, moment.saturating_sub(1)),
            Op::Le => TimeRange::new(bound.start, moment),
            Op::Gt => TimeRange::new(moment.saturating_add(1), bound.end),
            Op::Ge => TimeRange::new(moment, bound.end),
            _ => {
                let text = format!("invalid time comparison operator: {}", op.sign());
                return Err(Error::Invalid(text));
            }
        };
        self.range = self.range.intersect(&span);
        Ok(())
    }

    /// The time that `expr` stands for.
    fn moment(&self, expr: &Expr) -> Result<Timestamp> {
        let incompatible = || {
            let kind = kind(expr);
            Error::Invalid(format!("invalid operation: time and {kind} are not compatible"))
        };
        let (_, ns) = self.value(expr)?.ok_or_else(incompatible)?;
        // What is out of range is past the earliest or latest point there can be.
        Ok(ns.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// Whether `expr` is a moment (else a number of nanoseconds), and its value.
    fn value(&self, expr: &Expr) -> Result<Option<(bool, i128)>> {
        Ok(match expr {
            Expr::Paren(inner) => self.value(inner)?,
            Expr::Integer(number) => Some((false, (*number).into())),
            Expr::Unsigned(number) => Some((false, (*number).into())),
            Expr::Number(number) => Some((false, *number as i128)),
            Expr::Duration(ns) => Some((false, (*ns).into())),
            Expr::Call { name, args } if name == "now" && args.is_empty() => {
                Some((true, self.now.into()))
            }
            Expr::String(text) => match parse(text, self.zone) {
                Parsed::Time(ns) => Some((true, ns.into())),
                Parsed::Other => None,
                Parsed::OutOfRange(early) => {
                    let how = if early { "under" } else { "over" };
                    return Err(Error::Invalid(format!("time {text} {how}flows time literal")));
                }
            },
            Expr::Binary { op, left, right } => {
                let (Some(left), Some(right)) = (self.value(left)?, self.value(right)?) else {
                    return Ok(None);
                };
                arithmetic(*op, left, right)
            }
            _ => None,
        })
    }
}

fn arithmetic(op: Op, left: (bool, i128), right: (bool, i128)) -> Option<(bool, i128)> {
    let moments = (left.0, right.0);
    let (left, right) = (left.1, right.1);
    let value = match (op, moments) {
        (Op::Add, (true, true)) => return None,
        (Op::Add, _) => left.saturating_add(right),
        (Op::Sub, (false, true)) => return None,
        (Op::Sub, (true, true)) => return Some((false, left.saturating_sub(right))),
        (Op::Sub, _) => left.saturating_sub(right),
        (Op::Mul, (false, false)) => left.saturating_mul(right),
        (Op::Div, (false, false)) => left.checked_div(right)?,
        _ => return None,
    };
    // Far beyond any time, and small enough for the next step.
    Some((moments.0 || moments.1, value.clamp(-(1 << 100), 1 << 100)))
}

/// The name that InfluxDB has for a kind of expression.
fn kind(expr: &Expr) -> &'static str {
    match expr {
        Expr::Var { .. } => "*influxql.VarRef",
        Expr::String(_) => "*influxql.StringLiteral",
        Expr::Boolean(_) => "*influxql.BooleanLiteral",
        Expr::Regex(_) => "*influxql.RegexLiteral",
        Expr::Call { .. } => "*influxql.Call",
        Expr::Paren(inner) => kind(inner),
        _ => "*influxql.BinaryExpr",
    }
}

fn mirrored(op: Op) -> Op {
    match op {
        Op::Lt => Op::Gt,
        Op::Le => Op::Ge,
        Op::Gt => Op::Lt,
        Op::Ge => Op::Le,
        op => op,
    }
}

/// Whether a comparison with `time` is anywhere inside.
pub fn asks_time(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(inner) => asks_time(inner),
        Expr::And(items) | Expr::Or(items) => items.iter().any(asks_time),
        Expr::Binary { op, left, right } => op.compares() && (left.is_time() || right.is_time()),
        _ => false,
    }
}

/// Whether `expr` is true or false, as conditions are.
fn check(expr: &Expr) -> Result<()> {
    match expr {
        Expr::Paren(inner) => check(inner),
        Expr::And(items) | Expr::Or(items) => items.iter().try_for_each(check),
        Expr::Binary { op, .. } if op.compares() => Ok(()),
        Expr::Boolean(_) => Ok(()),
        other => Err(Error::Invalid(format!("invalid condition expression: {other}"))),
    }
}

/// What a condition without time asks of the series of a measurement, and of their rows.
pub fn for_measurement(
    condition: Option<&Expr>,
    info: &MeasurementInfo,
) -> Result<(TagPredicate, Option<plan::Expr>)> {
    let mut tags = Vec::new();
    let mut rows = Vec::new();
    if let Some(condition) = condition {
        let is_field = |name: &str| info.field(name).is_some();
        divide(condition, &is_field, &mut tags, &mut rows);
    }
    let tags = match tags.len() {
        0 => TagPredicate::True,
        1 => tags.remove(0),
        _ => TagPredicate::And(tags),
    };
    if rows.is_empty() {
        return Ok((tags, None));
    }
    let mut resolver = Resolver::new(info, None);
    let rows = rows.into_iter().map(|row| filter(row, &mut resolver)).collect::<Result<_>>()?;
    Ok((tags, Some(joined(rows, plan::Operator::And))))
}

/// Parts of a conjunction: those that ask for tags alone, and the others.
fn divide<'a>(
    expr: &'a Expr,
    is_field: &dyn Fn(&str) -> bool,
    tags: &mut Vec<TagPredicate>,
    rows: &mut Vec<&'a Expr>,
) {
    match expr.bare() {
        Expr::And(items) => items.iter().for_each(|item| divide(item, is_field, tags, rows)),
        expr => match predicate(expr, is_field) {
            Some(predicate) => tags.push(predicate),
            None => rows.push(expr),
        },
    }
}

/// What is left of a condition without its comparisons with `time`.
pub fn without_time(condition: Option<&Expr>) -> Option<Expr> {
    match condition? {
        Expr::Paren(inner) => without_time(Some(inner)),
        expr if !asks_time(expr) => Some(expr.clone()),
        Expr::And(items) => {
            let rest: Vec<Expr> = items.iter().filter_map(|i| without_time(Some(i))).collect();
            (!rest.is_empty()).then_some(Expr::And(rest))
        }
        _ => None,
    }
}

/// A condition that may ask for tags alone, as in `SHOW` and `DROP SERIES`; names are tags.
pub fn tag_condition(condition: Option<&Expr>) -> Result<Option<TagPredicate>> {
    fn texts_only(expr: &Expr) -> bool {
        match expr.bare() {
            Expr::And(items) | Expr::Or(items) => items.iter().all(texts_only),
            Expr::Binary { op: Op::Eq | Op::Ne | Op::Match | Op::NotMatch, left, right } => {
                let number = |side: &Expr| {
                    matches!(side.bare(), Expr::Number(_) | Expr::Integer(_) | Expr::Boolean(_))
                };
                number(left) == number(right)
            }
            Expr::Binary { .. } => false,
            _ => true,
        }
    }
    let Some(condition) = condition else { return Ok(None) };
    let predicate = predicate(condition, &|_| false).filter(|_| texts_only(condition));
    predicate.map(Some).ok_or_else(|| Error::invalid("invalid tag comparison operator"))
}

/// The condition on tags that `expr` is, if it is that alone. A name that is no field is a tag.
fn predicate(expr: &Expr, is_field: &dyn Fn(&str) -> bool) -> Option<TagPredicate> {
    let all = |items: &[Expr]| -> Option<Vec<_>> {
        items.iter().map(|item| predicate(item, is_field)).collect()
    };
    let tag = |expr: &Expr| match expr.bare() {
        Expr::Var { name, kind: VarKind::Tag } => Some(name.clone()),
        Expr::Var { name, kind: VarKind::Any } if !is_field(name) => Some(name.clone()),
        _ => None,
    };
    match expr.bare() {
        Expr::And(items) => Some(TagPredicate::And(all(items)?)),
        Expr::Or(items) => Some(TagPredicate::Or(all(items)?)),
        Expr::Boolean(true) => Some(TagPredicate::True),
        Expr::Boolean(false) => Some(TagPredicate::False),
        Expr::Binary { op, left, right } => match (tag(left), tag(right)) {
            (Some(_), Some(_)) => None,
            (Some(key), None) => compared(key, *op, right.bare()),
            (None, Some(key)) => compared(key, mirrored(*op), left.bare()),
            (None, None) => constant(*op, left.bare(), right.bare()),
        },
        _ => None,
    }
}

/// A tag compared with `value`: tags are text and have no order.
fn compared(key: String, op: Op, value: &Expr) -> Option<TagPredicate> {
    Some(match (op, value) {
        (Op::Eq, Expr::String(text)) => TagPredicate::Equal(key, text.clone()),
        (Op::Ne, Expr::String(text)) => TagPredicate::NotEqual(key, text.clone()),
        (Op::Match, Expr::Regex(regex)) => matches(key, regex, false),
        (Op::NotMatch, Expr::Regex(regex)) => matches(key, regex, true),
        (_, Expr::Var { .. } | Expr::Call { .. } | Expr::Binary { .. }) => return None,
        _ => TagPredicate::False,
    })
}

/// The longest list of words that is looked up one by one instead of matching every value.
const WORDS_MAX: usize = 1000;

/// `=~ /^(a|b)$/`, which Grafana writes for every variable, asks for words and not for a pattern.
fn matches(key: String, regex: &Regex, negated: bool) -> TagPredicate {
    let Some(words) = words(regex.as_str()) else {
        return match negated {
            false => TagPredicate::Matches(key, regex.clone()),
            true => TagPredicate::NotMatches(key, regex.clone()),
        };
    };
    let equal = |word: &str| (key.clone(), word.to_string());
    if negated {
        let all = words.into_iter().map(equal).map(|(k, w)| TagPredicate::NotEqual(k, w));
        return TagPredicate::And(all.collect());
    }
    TagPredicate::Or(words.into_iter().map(equal).map(|(k, w)| TagPredicate::Equal(k, w)).collect())
}

/// The words of `^(a|b)$` or `^a$`, when it has nothing else.
fn words(pattern: &str) -> Option<Vec<&str>> {
    let inner = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let inner = match inner.strip_prefix('(') {
        Some(inner) => inner.strip_suffix(')')?,
        None if inner.contains('|') => return None, // anchors bind tighter than `|`
        None => inner,
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-:/@ |".contains(&b) || b >= 0x80;
    if !inner.bytes().all(plain) {
        return None;
    }
    let words: Vec<&str> = inner.split('|').collect();
    (words.len() <= WORDS_MAX).then_some(words)
}

/// Whether two constants compare; `WHERE 1 = 1` is what some programs begin with.
fn constant(op: Op, left: &Expr, right: &Expr) -> Option<TagPredicate> {
    let equal = match (left, right) {
        (Expr::Integer(left), Expr::Integer(right)) => left == right,
        (Expr::String(left), Expr::String(right)) => left == right,
        _ => return None,
    };
    match op {
        Op::Eq if equal => Some(TagPredicate::True),
        Op::Ne if !equal => Some(TagPredicate::True),
        Op::Eq | Op::Ne => Some(TagPredicate::False),
        _ => None,
    }
}

/// The condition on a row that `expr` is.
fn filter(expr: &Expr, resolver: &mut Resolver<'_>) -> Result<plan::Expr> {
    let mut all = |items: &[Expr]| -> Result<Vec<plan::Expr>> {
        items.iter().map(|item| filter(item, resolver)).collect()
    };
    match expr.bare() {
        Expr::And(items) => Ok(joined(all(items)?, plan::Operator::And)),
        Expr::Or(items) => Ok(joined(all(items)?, plan::Operator::Or)),
        Expr::Boolean(value) => Ok(plan::Expr::Literal(plan::Literal::Boolean(*value))),
        Expr::Binary { op: op @ (Op::Match | Op::NotMatch), left, right } => {
            let Expr::Regex(regex) = right.bare() else {
                return Err(Error::Invalid(format!("invalid condition expression: {expr}")));
            };
            Ok(plan::Expr::Matches {
                expr: Box::new(resolver.row(left)?),
                regex: Arc::new(regex.clone()),
                negated: *op == Op::NotMatch,
            })
        }
        Expr::Binary { op, left, right } => Ok(plan::Expr::Binary(
            operator(*op),
            Box::new(resolver.row(left)?),
            Box::new(resolver.row(right)?),
        )),
        other => Err(Error::Invalid(format!("invalid condition expression: {other}"))),
    }
}

/// Two or more conditions as one: a balanced tree, so that many are not deep.
fn joined(mut items: Vec<plan::Expr>, operator: plan::Operator) -> plan::Expr {
    while items.len() > 1 {
        let mut pairs = Vec::with_capacity(items.len().div_ceil(2));
        let mut rest = items.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => plan::Expr::Binary(operator, Box::new(left), Box::new(right)),
                None => left,
            });
        }
        items = pairs;
    }
    items.pop().unwrap_or(plan::Expr::Literal(plan::Literal::Boolean(true)))
}

/// The plan's operator; patterns have an expression of their own.
pub fn operator(op: Op) -> plan::Operator {
    match op {
        Op::Add => plan::Operator::Add,
        Op::Sub => plan::Operator::Sub,
        Op::Mul => plan::Operator::Mul,
        Op::Div => plan::Operator::Div,
        Op::Mod => plan::Operator::Mod,
        Op::BitAnd => plan::Operator::BitAnd,
        Op::BitOr => plan::Operator::BitOr,
        Op::BitXor => plan::Operator::BitXor,
        Op::Eq | Op::Match => plan::Operator::Equal,
        Op::Ne | Op::NotMatch => plan::Operator::NotEqual,
        Op::Lt => plan::Operator::Less,
        Op::Le => plan::Operator::LessOrEqual,
        Op::Gt => plan::Operator::Greater,
        Op::Ge => plan::Operator::GreaterOrEqual,
    }
}
