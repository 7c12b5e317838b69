//! `CREATE ROLLUP`, `SHOW ROLLUPS`, `DROP ROLLUP`.
//!
//! ```text
//! CREATE ROLLUP [name] ON db[.policy] [ [(] FROM m, m [)] ]
//!     EVERY 1m [KEEP 90d], EVERY 1h .. [RAW 7d]
//! ```
//!
//! The word `EVERY` may be left out from the second level on. Durations are those of InfluxQL and
//! years (`5y`) of 365 days; `INF` is for ever. The words of this family that InfluxQL does not
//! have (`ROLLUP`, `KEEP`, `RAW`) stay names everywhere else.

use super::{Keyword, Parser, Result, Token, invalid_duration};
use crate::influxql::ast::{RollupClauses, RollupStatement, Statement};
use crate::influxql::duration;

impl Parser<'_> {
    /// A statement, after `CREATE ROLLUP`.
    pub(super) fn create_rollup(&mut self) -> Result<Statement> {
        let name = match self.accept_keyword(Keyword::On)? {
            true => None,
            false => {
                let name = self.ident()?;
                self.expect_keyword(Keyword::On)?;
                Some(name)
            }
        };
        let database = self.ident()?;
        let policy = match self.accept_sign(".")? {
            true => Some(self.ident()?),
            false => None,
        };
        let measurements = self.rollup_sources()?;
        self.expect_keyword(Keyword::Every)?;
        let mut levels = vec![self.rollup_level()?];
        while self.accept_sign(",")? {
            self.accept_keyword(Keyword::Every)?;
            levels.push(self.rollup_level()?);
        }
        let raw_ns = match self.accept_word("RAW")? {
            true => self.long_duration()?,
            false => None,
        };
        let clauses = RollupClauses { name, database, policy, measurements, levels, raw_ns };
        Ok(Statement::Rollup(RollupStatement::Create(clauses)))
    }

    /// A statement, after `SHOW ROLLUPS`.
    pub(super) fn show_rollups(&mut self) -> Result<Statement> {
        let database = match self.accept_keyword(Keyword::On)? {
            true => Some(self.ident()?),
            false => None,
        };
        Ok(Statement::Rollup(RollupStatement::Show { database }))
    }

    /// A statement, after `DROP ROLLUP`.
    pub(super) fn drop_rollup(&mut self) -> Result<Statement> {
        let name = self.ident()?;
        self.expect_keyword(Keyword::On)?;
        let database = self.ident()?;
        Ok(Statement::Rollup(RollupStatement::Drop { name, database }))
    }

    /// `FROM m, m`, in parentheses or not, if it is there.
    fn rollup_sources(&mut self) -> Result<Vec<String>> {
        let in_parentheses = self.accept_sign("(")?;
        let mut names = Vec::new();
        if in_parentheses {
            self.expect_keyword(Keyword::From)?;
        } else if !self.accept_keyword(Keyword::From)? {
            return Ok(names);
        }
        loop {
            names.push(self.ident()?);
            if !self.accept_sign(",")? {
                break;
            }
        }
        if in_parentheses {
            self.expect_sign(")")?;
        }
        Ok(names)
    }

    /// `1m [KEEP 90d]`.
    fn rollup_level(&mut self) -> Result<(i64, Option<i64>)> {
        let lexed = self.next()?;
        let Token::Duration(text) = &lexed.token else {
            return Err(self.unexpected(&lexed, "duration"));
        };
        let every_ns = duration::parse_long(text).ok_or_else(invalid_duration)?;
        let keep_ns = match self.accept_word("KEEP")? {
            true => self.long_duration()?,
            false => None,
        };
        Ok((every_ns, keep_ns))
    }

    /// A duration that may have years; `INF` is `None`.
    fn long_duration(&mut self) -> Result<Option<i64>> {
        let lexed = self.next()?;
        match &lexed.token {
            Token::Duration(text) => {
                duration::parse_long(text).map(Some).ok_or_else(invalid_duration)
            }
            Token::Keyword(Keyword::Inf) => Ok(None),
            _ => Err(self.unexpected(&lexed, "duration")),
        }
    }
}
