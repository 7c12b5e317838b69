//! `GROUP BY`: windows of time and tags.

use std::collections::BTreeSet;

use chrono_tz::Tz;
use firndb_tsdb::model::Timestamp;
use regex::Regex;

use super::Target;
use crate::error::{Error, Result};
use crate::influxql::ast::Expr;
use crate::plan::{GroupTags, Window};

/// What `GROUP BY` says, before measurements are known.
pub struct Dimensions {
    /// `time(...)`.
    pub window: Option<Window>,
    tags: Vec<Tags>,
}

enum Tags {
    Is(String),
    Matches(Regex),
    All,
}

/// Reads the dimensions of a statement.
pub fn read(dimensions: &[Expr], now: Timestamp) -> Result<Dimensions> {
    let mut window = None;
    let mut tags = Vec::new();
    for dimension in dimensions {
        match dimension.bare() {
            Expr::Call { name, args } if name == "time" => {
                if window.is_some() {
                    return Err(Error::invalid("multiple time dimensions not allowed"));
                }
                window = Some(time(args, now)?);
            }
            Expr::Call { .. } => {
                return Err(Error::invalid("only time() calls allowed in dimensions"));
            }
            dimension if dimension.is_time() => {
                let text = "time() is a function and expects at least one argument";
                return Err(Error::invalid(text));
            }
            Expr::Var { name, .. } => tags.push(Tags::Is(name.clone())),
            Expr::Regex(regex) => tags.push(Tags::Matches(regex.clone())),
            Expr::Wildcard(_) => tags.push(Tags::All),
            _ => return Err(Error::invalid("only time and tag dimensions allowed")),
        }
    }
    // A length of zero stands for no windows at all.
    Ok(Dimensions { window: window.filter(|w| w.every_ns > 0), tags })
}

/// The arguments of `time(length [, offset])`.
fn time(args: &[Expr], now: Timestamp) -> Result<Window> {
    let (length, offset) = match args {
        [length] => (length, None),
        [length, offset] => (length, Some(offset)),
        _ => return Err(Error::invalid("time dimension expected 1 or 2 arguments")),
    };
    let Expr::Duration(every_ns) = *length.bare() else {
        return Err(Error::invalid("time dimension must have duration argument"));
    };
    let offset_ns = match offset.map(Expr::bare) {
        None => 0,
        Some(Expr::Duration(ns)) => *ns,
        Some(Expr::Call { name, args }) if name == "now" && args.is_empty() => now,
        Some(_) => {
            return Err(Error::invalid("time dimension offset must be duration or now()"));
        }
    };
    let offset_ns = if every_ns > 0 { offset_ns.rem_euclid(every_ns) } else { 0 };
    Ok(Window { every_ns, offset_ns, zone: None })
}

impl Dimensions {
    /// The windows, aligned to the clocks of `zone`.
    pub fn window_in(&self, zone: Option<Tz>) -> Option<Window> {
        self.window.clone().map(|window| Window { zone, ..window })
    }

    /// The tags to group by, over all measurements that are read.
    pub fn group(&self, targets: &[Target]) -> GroupTags {
        let mut names = BTreeSet::new();
        for tags in &self.tags {
            let keys = targets.iter().flat_map(|target| &target.info.tag_keys);
            match tags {
                Tags::Is(name) => {
                    names.insert(name.clone());
                }
                Tags::Matches(regex) => names.extend(keys.filter(|k| regex.is_match(k)).cloned()),
                // All tags of one measurement are its own; of several, those of any.
                Tags::All if targets.len() == 1 => return GroupTags::All,
                Tags::All => names.extend(keys.cloned()),
            }
        }
        GroupTags::List(names.into_iter().collect())
    }
}
