//! `SELECT` columns: wildcards and patterns spelled out, each column with its name.

use std::collections::{BTreeSet, HashMap};

use firndb_tsdb::model::FieldType;
use regex::Regex;

use super::Target;
use super::expression::{Resolver, takes};
use crate::error::Result;
use crate::influxql::ast::{Expr, Field, VarKind};
use crate::plan::{GroupTags, OutputColumn};

/// The columns of an answer, the same for every measurement.
pub struct Columns {
    /// Name of the time column.
    pub time: String,
    columns: Vec<(String, Expr)>,
}

/// A column that has no name yet.
struct Unnamed {
    expr: Expr,
    alias: Option<String>,
}

/// Spells out the columns of a statement over the measurements it reads.
pub fn expand(fields: &[Field], targets: &[Target], group: &GroupTags) -> Result<Columns> {
    let mut time = "time".to_string();
    let mut unnamed = Vec::new();
    let mut known: Option<Known> = None;
    for field in fields {
        if field.expr.is_time() {
            time = field.alias.clone().unwrap_or(time);
            continue;
        }
        if !has_wildcard(&field.expr) {
            unnamed.push(Unnamed { expr: field.expr.clone(), alias: field.alias.clone() });
        } else {
            let known = known.get_or_insert_with(|| Known::of(targets, group));
            known.expand(field, &mut unnamed);
        }
        if let Some(Unnamed { expr: Expr::Call { name, args }, .. }) = unnamed.last()
            && (name == "top" || name == "bottom")
        {
            let tags: Vec<Expr> =
                args[1..].iter().filter(|a| matches!(a, Expr::Var { .. })).cloned().collect();
            unnamed.extend(tags.into_iter().map(|expr| Unnamed { expr, alias: None }));
        }
    }
    Ok(Columns { time, columns: named(unnamed) })
}

impl Columns {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.columns.len()
    }

    /// The columns of the plan for the measurement of `resolver`.
    pub fn outputs(&self, resolver: &mut Resolver<'_>) -> Result<Vec<OutputColumn>> {
        self.columns
            .iter()
            .map(|(name, expr)| {
                Ok(OutputColumn { name: name.clone(), expr: resolver.column(expr)? })
            })
            .collect()
    }
}

fn has_wildcard(expr: &Expr) -> bool {
    match expr.bare() {
        Expr::Wildcard(_) | Expr::Regex(_) => true,
        Expr::Call { args, .. } => args.first().is_some_and(has_wildcard),
        _ => false,
    }
}

/// What names there are: fields with all their types, and tags that are not grouped by.
struct Known {
    names: BTreeSet<(String, Kind)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Field(u8),
    Tag,
}

impl Known {
    fn of(targets: &[Target], group: &GroupTags) -> Known {
        let mut names = BTreeSet::new();
        for target in targets {
            for field in &target.info.fields {
                names.insert((field.name.clone(), Kind::Field(field.field_type as u8)));
            }
            let grouped = |key: &String| match group {
                GroupTags::All => true,
                GroupTags::List(keys) => keys.contains(key),
            };
            for key in target.info.tag_keys.iter().filter(|key| !grouped(key)) {
                names.insert((key.clone(), Kind::Tag));
            }
        }
        Known { names }
    }

    /// Names that the wildcard or pattern `star` stands for, each kind of each name once.
    fn matching<'a>(
        &'a self,
        star: &'a Expr,
        call: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a str, VarKind)> {
        let wanted = move |name: &str, kind: Kind| match star.bare() {
            Expr::Regex(regex) => Regex::is_match(regex, name),
            Expr::Wildcard(VarKind::Field) => kind != Kind::Tag,
            Expr::Wildcard(VarKind::Tag) => kind == Kind::Tag,
            _ => true,
        };
        let mut last: Option<(&str, VarKind)> = None;
        self.names.iter().filter_map(move |(name, kind)| {
            let var_kind = match (kind, call) {
                (Kind::Tag, Some(_)) => return None,
                (Kind::Tag, None) => VarKind::Tag,
                (Kind::Field(byte), Some(call)) => {
                    takes(call, FieldType::from_byte(*byte)?).then_some(VarKind::Field)?
                }
                (Kind::Field(_), None) => VarKind::Field,
            };
            if !wanted(name, *kind) || last == Some((name, var_kind)) {
                return None;
            }
            last = Some((name, var_kind));
            last
        })
    }

    fn expand(&self, field: &Field, unnamed: &mut Vec<Unnamed>) {
        let Some((star, call)) = innermost(&field.expr) else { return };
        for (name, kind) in self.matching(star, call) {
            let var = Expr::Var { name: name.to_string(), kind };
            let alias = call.map(|_| {
                let prefix = field.alias.clone().unwrap_or_else(|| generated(&field.expr));
                format!("{prefix}_{name}")
            });
            unnamed.push(Unnamed { expr: replaced(&field.expr, &var), alias });
        }
    }
}

/// The wildcard of a column and the function right around it.
fn innermost(expr: &Expr) -> Option<(&Expr, Option<&str>)> {
    match expr.bare() {
        star @ (Expr::Wildcard(_) | Expr::Regex(_)) => Some((star, None)),
        Expr::Call { name, args } => {
            let (star, call) = innermost(args.first()?)?;
            Some((star, call.or(Some(name))))
        }
        _ => None,
    }
}

/// `expr` with `var` in place of its wildcard.
fn replaced(expr: &Expr, var: &Expr) -> Expr {
    match expr.bare() {
        Expr::Call { name, args } => {
            let mut args = args.clone();
            args[0] = replaced(&args[0], var);
            Expr::Call { name: name.clone(), args }
        }
        _ => var.clone(),
    }
}

/// The name of a column that is not given one: its function, or what it is made of.
fn generated(expr: &Expr) -> String {
    fn parts<'a>(expr: &'a Expr, names: &mut Vec<&'a str>) {
        match expr.bare() {
            Expr::Var { name, .. } | Expr::Call { name, .. } => names.push(name),
            Expr::Distinct(_) => names.push("distinct"),
            Expr::Binary { left, right, .. } => {
                parts(left, names);
                parts(right, names);
            }
            _ => {}
        }
    }
    let mut names = Vec::new();
    parts(expr, &mut names);
    names.join("_")
}

/// Gives each column a name of its own: aliases as they are, others with `_1`, `_2`, where taken.
fn named(columns: Vec<Unnamed>) -> Vec<(String, Expr)> {
    // A name, and the next number to try behind it.
    let mut taken: HashMap<String, usize> = HashMap::new();
    for alias in columns.iter().filter_map(|column| column.alias.as_ref()) {
        taken.insert(alias.clone(), 1);
    }
    let name = |column: Unnamed| {
        if let Some(alias) = column.alias {
            return (alias, column.expr);
        }
        let wanted = generated(&column.expr);
        let Some(mut number) = taken.get(&wanted).copied() else {
            taken.insert(wanted.clone(), 1);
            return (wanted, column.expr);
        };
        let free = loop {
            let candidate = format!("{wanted}_{number}");
            number += 1;
            if !taken.contains_key(&candidate) {
                break candidate;
            }
        };
        taken.insert(wanted, number);
        taken.insert(free.clone(), 1);
        (free, column.expr)
    };
    columns.into_iter().map(name).collect()
}
