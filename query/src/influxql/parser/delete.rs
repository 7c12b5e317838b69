//! `DELETE`, `EXPLAIN DELETE`, and what `DROP SERIES` shares with them.
//!
//! ```text
//! DELETE [FROM m, /re/] [WHERE condition on time, tags and fields]
//! DELETE FIELD f, g FROM m [WHERE ..]
//! EXPLAIN DELETE ..
//! ```

use super::{Keyword, Parser, Result, Token};
use crate::influxql::ast::{Delete, Deletion, Statement};

impl<'a> Parser<'a> {
    /// A statement, after `DELETE`, which begins at `start`.
    pub(super) fn delete(&mut self, start: usize) -> Result<Statement> {
        self.deleted(start).map(Statement::Delete)
    }

    /// A statement, after `EXPLAIN DELETE`; `DELETE` begins at `start`.
    pub(super) fn explain_delete(&mut self, start: usize) -> Result<Statement> {
        self.deleted(start).map(Statement::ExplainDelete)
    }

    fn deleted(&mut self, start: usize) -> Result<Delete> {
        let fields = match self.accept_keyword(Keyword::Field)? {
            true => self.list(Self::ident)?,
            false => Vec::new(),
        };
        let deletion = match fields.is_empty() {
            true => self.deletion()?,
            // Fields belong to measurements: of which ones must be said.
            false => {
                self.expect_keyword(Keyword::From)?;
                Deletion { sources: self.measurements()?, condition: self.condition()? }
            }
        };
        let text = self.text[start..self.lexer.offset()].trim_end().to_string();
        Ok(Delete { fields, deletion, text })
    }

    /// `FROM`, `WHERE` or both.
    pub(super) fn deletion(&mut self) -> Result<Deletion> {
        let back = self.lexer;
        let lexed = self.next()?;
        let sources = match lexed.token {
            Token::Keyword(Keyword::From) => self.measurements()?,
            Token::Keyword(Keyword::Where) => {
                self.lexer = back;
                Vec::new()
            }
            _ => return Err(self.unexpected(&lexed, "FROM, WHERE")),
        };
        Ok(Deletion { sources, condition: self.condition()? })
    }
}
