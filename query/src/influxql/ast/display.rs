//! Expressions and statements as text again: in messages and plans, and in the parser's tests.

use std::fmt::{self, Display, Formatter, Write};

use super::*;
use crate::influxql::{duration, keyword::Keyword};

impl Op {
    /// The operator as written.
    pub fn sign(self) -> &'static str {
        match self {
            Op::Add => "+",
            Op::Sub => "-",
            Op::Mul => "*",
            Op::Div => "/",
            Op::Mod => "%",
            Op::BitAnd => "&",
            Op::BitOr => "|",
            Op::BitXor => "^",
            Op::Eq => "=",
            Op::Ne => "!=",
            Op::Match => "=~",
            Op::NotMatch => "!~",
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Gt => ">",
            Op::Ge => ">=",
        }
    }
}

impl VarKind {
    /// The words after the name.
    fn suffix(self) -> &'static str {
        match self {
            VarKind::Any => "",
            VarKind::Field => "::field",
            VarKind::Tag => "::tag",
            VarKind::Float => "::float",
            VarKind::Integer => "::integer",
            VarKind::Unsigned => "::unsigned",
            VarKind::String => "::string",
            VarKind::Boolean => "::boolean",
        }
    }
}

/// A name, in quotes where it needs them.
pub struct Quoted<'a>(pub &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let letters = self.0.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let begins = self.0.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if letters && begins && Keyword::of(self.0).is_none() {
            return f.write_str(self.0);
        }
        escaped(f, '"', self.0)
    }
}

fn escaped(f: &mut Formatter<'_>, quote: char, text: &str) -> fmt::Result {
    f.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\n' => f.write_str("\\n")?,
            c if c == '\\' || c == quote => write!(f, "\\{c}")?,
            c => f.write_char(c)?,
        }
    }
    f.write_char(quote)
}

fn joined<T: Display>(f: &mut Formatter<'_>, items: &[T], between: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

struct Slashed<'a>(&'a Regex);

impl Display for Slashed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.0.as_str().replace('/', "\\/"))
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Var { name, kind } => write!(f, "{}{}", Quoted(name), kind.suffix()),
            Expr::Wildcard(kind) => write!(f, "*{}", kind.suffix()),
            Expr::Regex(regex) => Slashed(regex).fmt(f),
            Expr::Number(number) => write!(f, "{number:?}"),
            Expr::Integer(number) => number.fmt(f),
            Expr::Unsigned(number) => number.fmt(f),
            Expr::Duration(ns) => f.write_str(&duration::literal(*ns)),
            Expr::String(text) => escaped(f, '\'', text),
            Expr::Boolean(value) => value.fmt(f),
            Expr::Call { name, args } => {
                write!(f, "{name}(")?;
                joined(f, args, ", ")?;
                f.write_char(')')
            }
            Expr::Distinct(name) => write!(f, "DISTINCT {}", Quoted(name)),
            Expr::Binary { op, left, right } => write!(f, "{left} {} {right}", op.sign()),
            Expr::And(items) => joined(f, items, " AND "),
            Expr::Or(items) => joined(f, items, " OR "),
            Expr::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)?;
        match &self.alias {
            Some(alias) => write!(f, " AS {}", Quoted(alias)),
            None => Ok(()),
        }
    }
}

impl Display for Measurement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(f, "{}.", Quoted(database))?;
        }
        match &self.policy {
            Some(policy) => write!(f, "{}.", Quoted(policy))?,
            None if self.database.is_some() => f.write_char('.')?,
            None => {}
        }
        match &self.name {
            Name::Is(name) => Quoted(name).fmt(f),
            Name::Matches(regex) => Slashed(regex).fmt(f),
        }
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Source::Measurement(measurement) => measurement.fmt(f),
            Source::Subquery(select) => write!(f, "({select})"),
        }
    }
}

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        joined(f, &self.fields, ", ")?;
        if let Some(target) = &self.into {
            write!(f, " INTO {target}")?;
        }
        f.write_str(" FROM ")?;
        joined(f, &self.sources, ", ")?;
        if let Some(condition) = &self.condition {
            write!(f, " WHERE {condition}")?;
        }
        if !self.dimensions.is_empty() {
            f.write_str(" GROUP BY ")?;
            joined(f, &self.dimensions, ", ")?;
        }
        match self.fill {
            Fill::Null => {}
            Fill::None => f.write_str(" fill(none)")?,
            Fill::Previous => f.write_str(" fill(previous)")?,
            Fill::Linear => f.write_str(" fill(linear)")?,
            Fill::Float(number) => write!(f, " fill({number:?})")?,
            Fill::Integer(number) => write!(f, " fill({number})")?,
        }
        if self.descending {
            f.write_str(" ORDER BY time DESC")?;
        }
        let counts = [
            ("LIMIT", self.limit),
            ("OFFSET", self.offset),
            ("SLIMIT", self.slimit),
            ("SOFFSET", self.soffset),
        ];
        for (word, count) in counts {
            if let Some(count) = count {
                write!(f, " {word} {count}")?;
            }
        }
        match self.tz {
            Some(tz) => write!(f, " TZ('{tz}')"),
            None => Ok(()),
        }
    }
}
