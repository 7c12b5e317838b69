//! `SELECT`, clause by clause, in the one order the language has for them.

use super::{Keyword, Parser, Result, Token};
use crate::error::ParseError;
use crate::influxql::ast::{Expr, Field, Fill, Measurement, Name, Op, Select, Source, Statement};

impl<'a> Parser<'a> {
    /// `EXPLAIN [ANALYZE] SELECT`, after `EXPLAIN`.
    pub(super) fn explain(&mut self) -> Result<Statement> {
        let start = self.skip_blanks()?;
        if self.accept_keyword(Keyword::Delete)? {
            return self.explain_delete(start);
        }
        let analyze = self.accept_keyword(Keyword::Analyze)?;
        self.expect_keyword(Keyword::Select)?;
        Ok(Statement::Explain { analyze, select: Box::new(self.select()?) })
    }

    /// A query, after `SELECT`.
    pub(super) fn select(&mut self) -> Result<Select> {
        self.nested(Self::clauses)
    }

    fn clauses(&mut self) -> Result<Select> {
        let fields = self.list(Self::field)?;
        let into = match self.accept_keyword(Keyword::Into)? {
            true => Some(self.target()?),
            false => None,
        };
        self.expect_keyword(Keyword::From)?;
        let sources = self.list(|parser| parser.source(true))?;
        let condition = self.condition()?;
        let dimensions = self.dimensions()?;
        let fill = self.fill()?;
        let descending = self.order_by()?;
        Ok(Select {
            fields,
            into,
            sources,
            condition,
            dimensions,
            fill,
            descending,
            limit: self.count(Keyword::Limit)?,
            offset: self.count(Keyword::Offset)?,
            slimit: self.count(Keyword::Slimit)?,
            soffset: self.count(Keyword::Soffset)?,
            tz: self.tz()?,
        })
    }

    /// One or more, separated by commas.
    pub(super) fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.accept_sign(",")? {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn field(&mut self) -> Result<Field> {
        let at = self.skip_blanks()?;
        let expr = self.expr_or_regex()?;
        if let Some(sign) = comparison(&expr) {
            let reason = format!("invalid operator {sign} in SELECT clause");
            let error = self.error(&reason, at);
            let reason = format!("{error}; operator is intended for WHERE clause");
            return Err(ParseError::plain(reason));
        }
        let alias = match self.accept_keyword(Keyword::As)? {
            true => Some(self.ident()?),
            false => None,
        };
        Ok(Field { expr, alias })
    }

    /// The target of `INTO`. `:MEASUREMENT` stands for the names of the sources.
    fn target(&mut self) -> Result<Measurement> {
        let mut segments = vec![self.ident()?];
        while segments.len() < 3 && self.accept_sign(".")? {
            if self.accept_sign(":")? {
                self.expect_keyword(Keyword::Measurement)?;
                segments.push(String::new());
                break;
            }
            let empty = { self.lexer }.token().token == Token::Sign(".");
            segments.push(if empty { String::new() } else { self.ident()? });
        }
        measurement(segments, None).ok_or_else(|| self.error("too many segments", 0))
    }

    /// Measurements of a statement that reads no fields.
    pub(super) fn measurements(&mut self) -> Result<Vec<Measurement>> {
        let sources = self.list(|parser| parser.source(false))?;
        Ok(sources
            .into_iter()
            .filter_map(|source| match source {
                Source::Measurement(measurement) => Some(measurement),
                Source::Subquery(_) => None,
            })
            .collect())
    }

    fn source(&mut self, subqueries: bool) -> Result<Source> {
        if let Some(regex) = self.regex()? {
            let name = Name::Matches(regex);
            return Ok(Source::Measurement(Measurement { database: None, policy: None, name }));
        }
        if subqueries && self.accept_sign("(")? {
            self.expect_keyword(Keyword::Select)?;
            let select = self.select()?;
            self.expect_sign(")")?;
            return Ok(Source::Subquery(Box::new(select)));
        }
        let mut segments = vec![self.ident()?];
        let mut regex = None;
        while self.accept_sign(".")? {
            if let Some(found) = self.regex()? {
                regex = Some(found);
                break;
            }
            let empty = segments.len() == 1 && { self.lexer }.token().token == Token::Sign(".");
            segments.push(if empty { String::new() } else { self.ident()? });
        }
        let shown = segments.clone();
        measurement(segments, regex).map(Source::Measurement).ok_or_else(|| {
            let (last, first) =
                shown.split_last().map_or((String::new(), &[][..]), |(l, f)| (l.clone(), f));
            let quoted: String = first.iter().map(|s| format!("\"{s}\".")).collect();
            self.error(&format!("too many segments in {quoted}{last}"), 0)
        })
    }

    /// `WHERE`, if it comes next.
    pub(super) fn condition(&mut self) -> Result<Option<Expr>> {
        match self.accept_keyword(Keyword::Where)? {
            true => self.expr().map(Some),
            false => Ok(None),
        }
    }

    /// `GROUP BY`, if it comes next.
    pub(super) fn dimensions(&mut self) -> Result<Vec<Expr>> {
        if !self.accept_keyword(Keyword::Group)? {
            return Ok(Vec::new());
        }
        self.expect_keyword(Keyword::By)?;
        self.list(Self::expr_or_regex)
    }

    /// The arguments of a clause that looks like a call of `name`, if it comes next.
    fn clause_call(&mut self, name: &str) -> Result<Option<Vec<Expr>>> {
        if !self.accept(|t| matches!(t, Token::Ident(i) if i.eq_ignore_ascii_case(name)))? {
            return Ok(None);
        }
        let back = self.lexer;
        if self.lexer.token_or_blank().token != Token::Sign("(") {
            self.lexer = back;
            return Err(ParseError::plain(format!("{name} must be a function call")));
        }
        match self.call(name.into())? {
            Expr::Call { args, .. } => Ok(Some(args)),
            _ => Ok(None),
        }
    }

    fn fill(&mut self) -> Result<Fill> {
        let Some(args) = self.clause_call("fill")? else { return Ok(Fill::Null) };
        let [arg] = args.as_slice() else {
            let reason = "fill requires an argument, e.g.: 0, null, none, previous, linear";
            return Err(ParseError::plain(reason));
        };
        match arg {
            Expr::Integer(number) => Ok(Fill::Integer(*number)),
            Expr::Number(number) => Ok(Fill::Float(*number)),
            Expr::Var { name, .. } => match name.to_ascii_lowercase().as_str() {
                "null" => Ok(Fill::Null),
                "none" => Ok(Fill::None),
                "previous" => Ok(Fill::Previous),
                "linear" => Ok(Fill::Linear),
                _ => Err(ParseError::plain("expected number argument in fill()")),
            },
            _ => Err(ParseError::plain("expected number argument in fill()")),
        }
    }

    /// `ORDER BY`, if it comes next: whether it says descending.
    pub(super) fn order_by(&mut self) -> Result<bool> {
        if !self.accept_keyword(Keyword::Order)? {
            return Ok(false);
        }
        self.expect_keyword(Keyword::By)?;
        let lexed = self.next()?;
        let descending = match &lexed.token {
            Token::Keyword(Keyword::Asc) => false,
            Token::Keyword(Keyword::Desc) => true,
            Token::Ident(name) => {
                let time = name.eq_ignore_ascii_case("time");
                let descending = self.accept_keyword(Keyword::Desc)?;
                if !descending {
                    self.accept_keyword(Keyword::Asc)?;
                }
                if !time {
                    return Err(order_by_time());
                }
                descending
            }
            _ => return Err(self.unexpected(&lexed, "identifier, ASC, DESC")),
        };
        match self.accept_sign(",")? {
            true => Err(order_by_time()),
            false => Ok(descending),
        }
    }

    /// The number of `LIMIT` and its kin, if it comes next; 0 is as good as none.
    pub(super) fn count(&mut self, keyword: Keyword) -> Result<Option<u64>> {
        match self.accept_keyword(keyword)? {
            true => Ok(Some(self.unsigned()?).filter(|n| *n > 0)),
            false => Ok(None),
        }
    }

    fn tz(&mut self) -> Result<Option<chrono_tz::Tz>> {
        let Some(args) = self.clause_call("tz")? else { return Ok(None) };
        match args.as_slice() {
            [Expr::String(name)] => name
                .parse()
                .map(Some)
                .map_err(|_| ParseError::plain(format!("unable to find time zone {name}"))),
            [_] => Err(ParseError::plain("expected string argument in tz()")),
            _ => Err(ParseError::plain("tz requires exactly one argument")),
        }
    }
}

fn order_by_time() -> ParseError {
    ParseError::plain("only ORDER BY time supported at this time")
}

/// `[db.][rp.]name` of its segments; a pattern takes the place of the name.
fn measurement(mut segments: Vec<String>, regex: Option<regex::Regex>) -> Option<Measurement> {
    let name = match regex {
        Some(regex) => Name::Matches(regex),
        None => Name::Is(segments.pop()?),
    };
    let mut rest = segments.into_iter().rev().map(|s| Some(s).filter(|s| !s.is_empty()));
    let (policy, database) = (rest.next().flatten(), rest.next().flatten());
    rest.next().is_none().then_some(Measurement { database, policy, name })
}

/// An operator of conditions in `expr`.
fn comparison(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::And(_) => Some("AND"),
        Expr::Or(_) => Some("OR"),
        Expr::Paren(inner) => comparison(inner),
        Expr::Call { args, .. } => args.iter().find_map(comparison),
        Expr::Binary { op, left, right } => match op {
            Op::Eq => Some("="),
            op if op.compares() => Some(op.sign()),
            _ => comparison(left).or_else(|| comparison(right)),
        },
        _ => None,
    }
}
