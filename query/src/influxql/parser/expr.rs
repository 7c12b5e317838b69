//! Expressions, by precedence: `OR`, `AND`, comparisons, sums, products.

use regex::Regex;

use super::{Keyword, Lexed, OPERATORS_MAX, Parser, Result, Token, invalid_duration};
use crate::error::ParseError;
use crate::influxql::ast::{Expr, Op, VarKind};

/// What an operand may begin with, as messages say it.
const OPERAND: &str = "identifier, string, number, bool";

/// What binds two operands: the lists, or an operator.
enum Binder {
    Or,
    And,
    Op(Op),
}

impl Binder {
    fn precedence(&self) -> usize {
        use Op::*;
        match self {
            Binder::Or => 1,
            Binder::And => 2,
            Binder::Op(op) if op.compares() => 3,
            Binder::Op(Add | Sub | BitOr | BitXor) => 4,
            Binder::Op(_) => 5,
        }
    }

    fn of(token: &Token<'_>) -> Option<Binder> {
        Some(match token {
            Token::Keyword(Keyword::Or) => Binder::Or,
            Token::Keyword(Keyword::And) => Binder::And,
            Token::Sign(sign) => Binder::Op(match *sign {
                "+" => Op::Add,
                "-" => Op::Sub,
                "*" => Op::Mul,
                "/" => Op::Div,
                "%" => Op::Mod,
                "&" => Op::BitAnd,
                "|" => Op::BitOr,
                "^" => Op::BitXor,
                "=" => Op::Eq,
                "!=" => Op::Ne,
                "=~" => Op::Match,
                "!~" => Op::NotMatch,
                "<" => Op::Lt,
                "<=" => Op::Le,
                ">" => Op::Gt,
                ">=" => Op::Ge,
                _ => return None,
            }),
            _ => return None,
        })
    }

    fn join(self, left: Expr, right: Expr) -> Expr {
        match self {
            Binder::Or => Expr::Or(list(left, right, |e| match e {
                Expr::Or(items) => Ok(items),
                other => Err(other),
            })),
            Binder::And => Expr::And(list(left, right, |e| match e {
                Expr::And(items) => Ok(items),
                other => Err(other),
            })),
            Binder::Op(op) => Expr::Binary { op, left: Box::new(left), right: Box::new(right) },
        }
    }
}

/// `left` and `right` as one list; a list on the left goes on.
fn list(
    left: Expr,
    right: Expr,
    items: fn(Expr) -> std::result::Result<Vec<Expr>, Expr>,
) -> Vec<Expr> {
    let mut items = items(left).unwrap_or_else(|single| vec![single]);
    items.push(right);
    items
}

impl<'a> Parser<'a> {
    /// An expression.
    pub(super) fn expr(&mut self) -> Result<Expr> {
        if self.exprs == 0 {
            self.operators = 0;
        }
        self.exprs += 1;
        let expr = self.nested(|parser| parser.binary(1));
        self.exprs -= 1;
        expr
    }

    /// A chain of operators is as deep as it is long; lists and single comparisons are flat.
    fn count_operator(&mut self, at: usize) -> Result<()> {
        self.operators += 1;
        if self.operators > OPERATORS_MAX {
            return Err(self.error("too many operators in one expression", at));
        }
        Ok(())
    }

    /// An expression, or a pattern where one may stand alone.
    pub(super) fn expr_or_regex(&mut self) -> Result<Expr> {
        match self.regex()? {
            Some(regex) => Ok(Expr::Regex(regex)),
            None => self.expr(),
        }
    }

    /// Operands bound at least as tightly as `precedence_min`.
    fn binary(&mut self, precedence_min: usize) -> Result<Expr> {
        let mut left = self.unary()?;
        loop {
            let back = self.lexer;
            let lexed = self.next()?;
            let binder = Binder::of(&lexed.token).filter(|b| b.precedence() >= precedence_min);
            let Some(binder) = binder else {
                self.lexer = back;
                return Ok(left);
            };
            let right = match binder {
                Binder::Op(Op::Match | Op::NotMatch) => self.expect_regex()?,
                _ => self.nested(|parser| parser.binary(binder.precedence() + 1))?,
            };
            if let Binder::Op(op) = binder
                && (!op.compares() || matches!(&left, Expr::Binary { op, .. } if op.compares()))
            {
                self.count_operator(lexed.at)?;
            }
            left = binder.join(left, right);
        }
    }

    fn expect_regex(&mut self) -> Result<Expr> {
        if let Some(regex) = self.regex()? {
            return Ok(Expr::Regex(regex));
        }
        let lexed = self.next()?;
        match &lexed.token {
            Token::Regex(pattern) => Ok(Expr::Regex(self.compile(pattern, lexed.at)?)),
            _ => Err(self.unexpected(&lexed, "regex")),
        }
    }

    /// A pattern, if one comes next.
    pub(super) fn regex(&mut self) -> Result<Option<Regex>> {
        match self.lexer.regex() {
            None => Ok(None),
            Some(Ok((pattern, at))) => self.compile(&pattern, at).map(Some),
            Some(Err((_, at))) => Err(self.error("bad regex: ", at)),
        }
    }

    fn compile(&self, pattern: &str, at: usize) -> Result<Regex> {
        Regex::new(pattern).map_err(|error| {
            // The last line of the message says what is wrong; those before draw it.
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            self.error(&format!("error parsing regexp: {reason}: `{pattern}`"), at)
        })
    }

    fn unary(&mut self) -> Result<Expr> {
        let lexed = self.next()?;
        match &lexed.token {
            Token::Sign("(") => {
                let inner = self.expr()?;
                self.expect_sign(")")?;
                Ok(Expr::Paren(Box::new(inner)))
            }
            Token::Sign("+") => self.signed(1),
            Token::Sign("-") => self.signed(-1),
            Token::Sign("*") => Ok(Expr::Wildcard(self.wildcard_kind()?)),
            Token::Ident(name) => self.call_or_var(name.to_string()),
            Token::Keyword(Keyword::Distinct) => self.distinct(),
            Token::Keyword(Keyword::True) => Ok(Expr::Boolean(true)),
            Token::Keyword(Keyword::False) => Ok(Expr::Boolean(false)),
            Token::String(text) => Ok(Expr::String(text.to_string())),
            Token::Regex(pattern) => Ok(Expr::Regex(self.compile(pattern, lexed.at)?)),
            Token::Integer(_) | Token::Number(_) | Token::Duration(_) => self.number(&lexed),
            _ => Err(self.unexpected(&lexed, OPERAND)),
        }
    }

    fn number(&self, lexed: &Lexed<'_>) -> Result<Expr> {
        match &lexed.token {
            Token::Duration(text) => Ok(Expr::Duration(
                crate::influxql::duration::parse(text).ok_or_else(invalid_duration)?,
            )),
            Token::Integer(digits) => match digits.parse::<i64>() {
                Ok(number) => Ok(Expr::Integer(number)),
                Err(_) => digits
                    .parse()
                    .map(Expr::Unsigned)
                    .map_err(|_| self.error("unable to parse integer", lexed.at)),
            },
            Token::Number(digits) => digits
                .parse()
                .map(Expr::Number)
                .map_err(|_| self.error("unable to parse number", lexed.at)),
            _ => Err(self.unexpected(lexed, OPERAND)),
        }
    }

    /// What follows a sign.
    fn signed(&mut self, sign: i64) -> Result<Expr> {
        let back = self.lexer;
        let lexed = self.next()?;
        let operand = match &lexed.token {
            // The smallest integer has no positive twin.
            Token::Integer(digits) if sign < 0 && *digits == "9223372036854775808" => {
                return Ok(Expr::Integer(i64::MIN));
            }
            Token::Integer(_) | Token::Number(_) | Token::Duration(_) => self.number(&lexed)?,
            Token::Ident(_) | Token::Sign("(") => {
                self.lexer = back;
                self.nested(|parser| parser.unary())?
            }
            _ => return Err(self.unexpected(&lexed, "identifier, number, duration, (")),
        };
        Ok(match operand {
            operand if sign > 0 => operand,
            Expr::Integer(number) => Expr::Integer(-number),
            Expr::Number(number) => Expr::Number(-number),
            Expr::Duration(ns) => Expr::Duration(-ns),
            Expr::Unsigned(_) => return Err(self.error("constant overflows integer", lexed.at)),
            operand => Expr::Binary {
                op: Op::Mul,
                left: Box::new(Expr::Integer(-1)),
                right: Box::new(operand),
            },
        })
    }

    /// `*` may be followed by `::field` or `::tag`.
    fn wildcard_kind(&mut self) -> Result<VarKind> {
        if !self.accept_raw("::") {
            return Ok(VarKind::Any);
        }
        let lexed = self.lexer.token_or_blank();
        match lexed.token {
            Token::Keyword(Keyword::Field) => Ok(VarKind::Field),
            Token::Keyword(Keyword::Tag) => Ok(VarKind::Tag),
            _ => Err(self.unexpected(&lexed, "field, tag")),
        }
    }

    /// A sign that follows without a blank.
    fn accept_raw(&mut self, sign: &'static str) -> bool {
        let back = self.lexer;
        let found = self.lexer.token_or_blank().token == Token::Sign(sign);
        if !found {
            self.lexer = back;
        }
        found
    }

    fn call_or_var(&mut self, name: String) -> Result<Expr> {
        if self.accept_raw("(") {
            return self.call(name);
        }
        let mut name = name;
        while self.accept_raw(".") {
            name.push('.');
            name.push_str(&self.ident()?);
        }
        if !self.accept_raw("::") {
            return Ok(Expr::Var { name, kind: VarKind::Any });
        }
        let lexed = self.lexer.token_or_blank();
        let kind = match &lexed.token {
            Token::Keyword(Keyword::Field) => Some(VarKind::Field),
            Token::Keyword(Keyword::Tag) => Some(VarKind::Tag),
            Token::Ident(kind) => match kind.to_ascii_lowercase().as_str() {
                "float" => Some(VarKind::Float),
                "integer" => Some(VarKind::Integer),
                "unsigned" => Some(VarKind::Unsigned),
                "string" => Some(VarKind::String),
                "boolean" => Some(VarKind::Boolean),
                _ => None,
            },
            _ => None,
        };
        let kind = kind.ok_or_else(|| {
            self.unexpected(&lexed, "float, integer, unsigned, string, boolean, field, tag")
        })?;
        Ok(Expr::Var { name, kind })
    }

    /// A call, after its opening parenthesis.
    pub(super) fn call(&mut self, name: String) -> Result<Expr> {
        let name = name.to_ascii_lowercase();
        let mut args = Vec::new();
        if let Some(regex) = self.regex()? {
            args.push(Expr::Regex(regex));
        } else if self.accept_sign(")")? {
            return Ok(Expr::Call { name, args });
        } else {
            args.push(self.expr()?);
        }
        while self.accept_sign(",")? {
            args.push(self.expr_or_regex()?);
        }
        self.expect_sign(")")?;
        Ok(Expr::Call { name, args })
    }

    /// `DISTINCT v` or `DISTINCT(v)`, after the word.
    fn distinct(&mut self) -> Result<Expr> {
        let lexed = self.next()?;
        match lexed.token {
            Token::Sign("(") => self.call("distinct".into()),
            Token::Ident(name) => Ok(Expr::Distinct(name.into_owned())),
            _ if self.exprs > 1 => Err(self.unexpected(&lexed, "(, identifier")),
            _ => Err(self.unexpected(&lexed, "identifier")),
        }
    }
}

impl ParseError {
    /// Without a place.
    pub(super) fn plain(reason: impl Into<String>) -> ParseError {
        ParseError { reason: reason.into(), place: None }
    }
}
