//! Statements about retention rules: `RETAIN`, `DROP RETENTION RULE`, `SHOW RETENTION RULES`.
//!
//! ```text
//! RETAIN 7d ON db[.policy] [FROM measurement] [WHERE condition on tags]
//! RETAIN 50GB ON db[.policy]
//! DROP RETENTION RULE 3 ON db
//! SHOW RETENTION RULES [ON db]
//! ```
//!
//! `RETAIN`, `RULE` and `RULES` are words here only: elsewhere they stay names that need no quotes.

use super::{Keyword, Parser, Result, Token};
use crate::influxql::ast::{Keep, Retain, Show, ShowWhat, Statement};
use crate::influxql::duration;

impl<'a> Parser<'a> {
    /// A statement, after `RETAIN`.
    pub(super) fn retain(&mut self) -> Result<Statement> {
        let keep = self.keep()?;
        self.expect_keyword(Keyword::On)?;
        let database = self.ident()?;
        let policy = if self.accept_sign(".")? { Some(self.ident()?) } else { None };
        let from = self.accept_keyword(Keyword::From)?;
        let measurement = if from { Some(self.ident()?) } else { None };
        let condition = self.condition()?;
        Ok(Statement::Retain(Box::new(Retain { keep, database, policy, measurement, condition })))
    }

    /// How long, or how many bytes.
    fn keep(&mut self) -> Result<Keep> {
        let lexed = self.next()?;
        let Token::Duration(text) = &lexed.token else {
            return Err(self.unexpected(&lexed, "duration or size"));
        };
        if let Some(ns) = duration::parse_long(text) {
            return Ok(Keep::For(ns));
        }
        match bytes(text) {
            Some(bytes) => Ok(Keep::Bytes(bytes)),
            None => {
                let reason = "expected a duration like 7d or 1y, or a size like 50GB";
                Err(self.error(reason, lexed.at))
            }
        }
    }

    /// A statement, after `DROP RETENTION RULE`.
    pub(super) fn drop_rule(&mut self) -> Result<Statement> {
        let id = self.unsigned()?;
        self.expect_keyword(Keyword::On)?;
        Ok(Statement::DropRule { id, database: self.ident()? })
    }

    /// What `SHOW RETENTION` shows.
    pub(super) fn show_retention(&mut self) -> Result<Show> {
        let what = match self.accept_word("RULES")? {
            true => ShowWhat::Rules,
            false => {
                self.expect_keyword(Keyword::Policies)?;
                ShowWhat::Policies
            }
        };
        Ok(Show { database: self.on()?, ..Show::new(what) })
    }
}

/// Bytes of `text`: a whole number with a unit, `KB` of 1000 or `KiB` of 1024 bytes.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (letter, step) = match unit.to_ascii_lowercase().as_bytes() {
        [b'b'] => return number.parse().ok(),
        [letter, b'b'] => (*letter, 1000u64),
        [letter, b'i', b'b'] => (*letter, 1024),
        _ => return None,
    };
    let power = b"kmgtp".iter().position(|known| *known == letter)? as u32 + 1;
    number.parse::<u64>().ok()?.checked_mul(step.checked_pow(power)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("0B", Some(0)),
            ("4096b", Some(4096)),
            ("50GB", Some(50_000_000_000)),
            ("50GiB", Some(50 << 30)),
            ("2kb", Some(2000)),
            ("3MB", Some(3_000_000)),
            ("1TiB", Some(1 << 40)),
            ("20000PB", None),
            ("99999999999999999999B", None),
            ("50G", None),
            ("50XB", None),
            ("5d", None),
            ("B", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
