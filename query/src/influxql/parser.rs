//! Tokens to statements, by recursive descent.
//!
//! The messages of a text that is not InfluxQL are those of InfluxDB 1.x: `found X, expected Y at
//! line N, char M`. A text that nests deeper than `DEPTH_MAX` or chains more than
//! `OPERATORS_MAX` operators is refused, so that no text can exhaust the stack.

mod delete;
mod expr;
mod manage;
mod retain;
mod rollup;
mod select;
mod show;

use std::collections::HashMap;

use super::ast::Statement;
use super::keyword::Keyword;
use super::lexer::{Lexed, Lexer, Token, place};
use crate::error::ParseError;

/// How deep parentheses, calls and sub-queries may nest.
const DEPTH_MAX: usize = 200;

/// How many operators of arithmetic one expression may chain.
const OPERATORS_MAX: usize = 500;

/// Values of `$name`, as a request gives them.
pub type Params = HashMap<String, Param>;

/// A value of `$name`.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// A number with a point.
    Number(f64),
    /// A whole number.
    Integer(i64),
    /// Text.
    String(String),
    /// True or false.
    Boolean(bool),
    /// A pattern.
    Regex(String),
    /// A duration, as written.
    Duration(String),
    /// A name.
    Identifier(String),
}

type Result<T> = std::result::Result<T, ParseError>;

/// The statements of `text`, separated by `;`, each with the bytes it was read from.
pub fn parse(text: &str, params: &Params) -> Result<Vec<(Statement, String)>> {
    let mut parser = Parser {
        text,
        lexer: Lexer::new(text),
        params,
        last: None,
        depth: 0,
        exprs: 0,
        operators: 0,
    };
    let mut statements = Vec::new();
    loop {
        while parser.accept_sign(";")? {}
        let start = parser.skip_blanks()?;
        if parser.accept(|t| *t == Token::End)? {
            return Ok(statements);
        }
        let statement = parser.statement()?;
        let source = text[start..parser.lexer.offset()].trim_end().to_string();
        statements.push((statement, source));
        let next = parser.next()?;
        if !matches!(next.token, Token::Sign(";") | Token::End) {
            return Err(parser.unexpected(&next, ";"));
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    params: &'a Params,
    /// The token that was read last, where its reading began, and the lexer after it: clauses
    /// that may be absent look at the same token one after another.
    last: Option<(usize, Lexed<'a>, Lexer<'a>)>,
    depth: usize,
    /// Expressions that are being read, one within another.
    exprs: usize,
    /// Operators of the outermost of them so far.
    operators: usize,
}

impl<'a> Parser<'a> {
    fn statement(&mut self) -> Result<Statement> {
        let first = self.next()?;
        match first.token {
            Token::Keyword(Keyword::Select) => Ok(Statement::Select(Box::new(self.select()?))),
            Token::Keyword(Keyword::Delete) => self.delete(first.at),
            Token::Keyword(Keyword::Show) => self.show(),
            Token::Keyword(Keyword::Create) => self.create(),
            Token::Keyword(Keyword::Drop) => self.drop_something(),
            Token::Keyword(Keyword::Explain) => self.explain(),
            Token::Keyword(Keyword::Grant) => self.grant_or_revoke(true),
            Token::Keyword(Keyword::Revoke) => self.grant_or_revoke(false),
            Token::Keyword(Keyword::Alter) => self.alter(),
            Token::Keyword(Keyword::Set) => self.set_password(),
            Token::Keyword(Keyword::Kill) => self.kill(),
            token if token.is_word("RETAIN") => self.retain(),
            _ => Err(self.unexpected(
                &first,
                "SELECT, DELETE, SHOW, CREATE, DROP, EXPLAIN, GRANT, REVOKE, ALTER, SET, KILL",
            )),
        }
    }

    /// The next token, a parameter replaced by its value.
    fn next(&mut self) -> Result<Lexed<'a>> {
        let offset = self.lexer.offset();
        let lexed = match &self.last {
            Some((at, lexed, after)) if *at == offset => {
                self.lexer = *after;
                lexed.clone()
            }
            _ => {
                let lexed = self.lexer.token();
                if !self.lexer.end_was_read() {
                    self.last = Some((offset, lexed.clone(), self.lexer));
                }
                lexed
            }
        };
        let Token::Parameter(name) = &lexed.token else { return Ok(lexed) };
        let params = self.params;
        let reason = match params.get(name.as_ref()) {
            Some(value) => return Ok(Lexed { token: substitute(value), at: lexed.at }),
            None if name.is_empty() => "empty bound parameter".to_string(),
            None => format!("missing parameter: {name}"),
        };
        Err(ParseError { reason, place: None })
    }

    /// Takes the next token if `wanted`, else stays.
    fn accept(&mut self, wanted: impl FnOnce(&Token<'a>) -> bool) -> Result<bool> {
        let back = self.lexer;
        let found = wanted(&self.next()?.token);
        if !found {
            self.lexer = back;
        }
        Ok(found)
    }

    fn accept_keyword(&mut self, keyword: Keyword) -> Result<bool> {
        self.accept(|token| *token == Token::Keyword(keyword))
    }

    /// Takes the next token if it is the name `word`, in any case: a word that only some statements
    /// know, and that is a name everywhere else.
    fn accept_word(&mut self, word: &str) -> Result<bool> {
        self.accept(|token| token.is_word(word))
    }

    fn accept_sign(&mut self, sign: &'static str) -> Result<bool> {
        self.accept(|token| *token == Token::Sign(sign))
    }

    /// The offset at which the next token begins.
    fn skip_blanks(&mut self) -> Result<usize> {
        let back = self.lexer;
        let at = self.lexer.token().at;
        self.lexer = back;
        Ok(at.min(self.text.len()))
    }

    fn expect_keyword(&mut self, keyword: Keyword) -> Result<()> {
        let lexed = self.next()?;
        if lexed.token == Token::Keyword(keyword) {
            return Ok(());
        }
        Err(self.unexpected(&lexed, keyword.text()))
    }

    fn expect_sign(&mut self, sign: &'static str) -> Result<()> {
        let lexed = self.next()?;
        if lexed.token == Token::Sign(sign) {
            return Ok(());
        }
        Err(self.unexpected(&lexed, sign))
    }

    /// A name.
    fn ident(&mut self) -> Result<String> {
        let lexed = self.next()?;
        match lexed.token {
            Token::Ident(name) => Ok(name.into_owned()),
            _ => Err(self.unexpected(&lexed, "identifier")),
        }
    }

    /// Text in single quotes.
    fn string(&mut self) -> Result<String> {
        let lexed = self.next()?;
        match lexed.token {
            Token::String(text) => Ok(text.into_owned()),
            _ => Err(self.unexpected(&lexed, "string")),
        }
    }

    /// A whole number, not negative.
    fn unsigned(&mut self) -> Result<u64> {
        let lexed = self.next()?;
        let Token::Integer(digits) = &lexed.token else {
            return Err(self.unexpected(&lexed, "integer"));
        };
        digits.parse().map_err(|_| self.error("unable to parse integer", lexed.at))
    }

    /// `SHARD DURATION` and `DURATION`: nanoseconds, `INF` is 0.
    fn duration(&mut self) -> Result<i64> {
        let lexed = self.next()?;
        match &lexed.token {
            Token::Duration(text) => super::duration::parse(text).ok_or_else(invalid_duration),
            Token::Keyword(Keyword::Inf) => Ok(0),
            _ => Err(self.unexpected(&lexed, "duration")),
        }
    }

    fn unexpected(&self, lexed: &Lexed<'_>, expected: &str) -> ParseError {
        let reason = format!("found {}, expected {expected}", lexed.token.found());
        self.error(&reason, lexed.at)
    }

    fn error(&self, reason: &str, at: usize) -> ParseError {
        ParseError { reason: reason.to_string(), place: Some(place(self.text, at)) }
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEPTH_MAX {
            return Err(self.error("nested too deeply", self.lexer.offset()));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }
}

fn invalid_duration() -> ParseError {
    ParseError { reason: "invalid duration".into(), place: None }
}

fn substitute<'a>(value: &'a Param) -> Token<'a> {
    match value {
        Param::Number(number) => Token::Number(number.to_string().into()),
        Param::Integer(number) => Token::Integer(number.to_string().into()),
        Param::String(text) => Token::String(text.as_str().into()),
        Param::Boolean(true) => Token::Keyword(Keyword::True),
        Param::Boolean(false) => Token::Keyword(Keyword::False),
        Param::Regex(pattern) => Token::Regex(pattern.clone()),
        Param::Duration(text) => Token::Duration(text.as_str().into()),
        Param::Identifier(name) => Token::Ident(name.as_str().into()),
    }
}
