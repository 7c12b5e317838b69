//! `SHOW` statements.

use super::{Keyword, Parser, Result, Token};
use crate::influxql::ast::{Counted, KeyFilter, Name, Show, ShowWhat, Statement};

/// What may follow `SHOW`, as messages say it.
const SHOWN: &str = "CONTINUOUS, DATABASES, DIAGNOSTICS, FIELD, GRANTS, MEASUREMENT, \
                     MEASUREMENTS, QUERIES, RETENTION, SERIES, SHARD, SHARDS, STATS, \
                     SUBSCRIPTIONS, TAG, USERS";

impl<'a> Parser<'a> {
    /// A statement, after `SHOW`.
    pub(super) fn show(&mut self) -> Result<Statement> {
        let lexed = self.next()?;
        if lexed.token.is_word("ROLLUPS") {
            return self.show_rollups();
        }
        if lexed.token.is_word("DELETES") {
            return Ok(Statement::Show(Show {
                database: self.on()?,
                ..Show::new(ShowWhat::Deletes)
            }));
        }
        let Token::Keyword(keyword) = lexed.token else {
            return Err(self.unexpected(&lexed, SHOWN));
        };
        let plain = |what| Ok(Show::new(what));
        let show = match keyword {
            Keyword::Databases => plain(ShowWhat::Databases),
            Keyword::Queries => plain(ShowWhat::Queries),
            Keyword::Shards => plain(ShowWhat::Shards),
            Keyword::Subscriptions => plain(ShowWhat::Subscriptions),
            Keyword::Users => plain(ShowWhat::Users),
            Keyword::Stats => self.show_module(ShowWhat::Stats),
            Keyword::Diagnostics => self.show_module(ShowWhat::Diagnostics),
            Keyword::Continuous => {
                self.expect_keyword(Keyword::Queries)?;
                plain(ShowWhat::ContinuousQueries)
            }
            Keyword::Shard => {
                self.expect_keyword(Keyword::Groups)?;
                plain(ShowWhat::ShardGroups)
            }
            Keyword::Grants => {
                self.expect_keyword(Keyword::For)?;
                plain(ShowWhat::Grants(self.ident()?))
            }
            Keyword::Retention => self.show_retention(),
            Keyword::Measurements => self.show_measurements(),
            Keyword::Measurement => self.show_cardinality(|_| Ok(Counted::Measurements)),
            Keyword::Series => self.show_series(),
            Keyword::Field => self.show_field(),
            Keyword::Tag => self.show_tag(),
            _ => Err(self.unexpected(&lexed, SHOWN)),
        };
        show.map(Statement::Show)
    }

    /// `SHOW STATS` and `SHOW DIAGNOSTICS` may name a module, which is left aside.
    fn show_module(&mut self, what: ShowWhat) -> Result<Show> {
        if self.accept_keyword(Keyword::For)? {
            self.string()?;
        }
        Ok(Show::new(what))
    }

    pub(super) fn on(&mut self) -> Result<Option<String>> {
        match self.accept_keyword(Keyword::On)? {
            true => self.ident().map(Some),
            false => Ok(None),
        }
    }

    fn from(&mut self, show: &mut Show) -> Result<()> {
        if self.accept_keyword(Keyword::From)? {
            show.sources = self.measurements()?;
        }
        Ok(())
    }

    /// `WHERE`, `ORDER BY`, `LIMIT` and `OFFSET`.
    fn tail(&mut self, mut show: Show) -> Result<Show> {
        show.condition = self.condition()?;
        show.descending = self.order_by()?;
        show.limit = self.count(Keyword::Limit)?;
        show.offset = self.count(Keyword::Offset)?;
        Ok(show)
    }

    fn show_measurements(&mut self) -> Result<Show> {
        let database = self.on()?;
        let mut filter = None;
        if self.accept_keyword(Keyword::With)? {
            self.expect_keyword(Keyword::Measurement)?;
            let lexed = self.next()?;
            if !matches!(lexed.token, Token::Sign("=" | "=~")) {
                return Err(self.unexpected(&lexed, "=, =~"));
            }
            // Either sign takes either: the slashes decide.
            filter = Some(match self.regex()? {
                Some(regex) => Name::Matches(regex),
                None => Name::Is(self.ident()?),
            });
        }
        let show = Show { database, ..Show::new(ShowWhat::Measurements(filter)) };
        self.tail(show)
    }

    fn show_series(&mut self) -> Result<Show> {
        let back = self.lexer;
        let exact = self.accept_keyword(Keyword::Exact)?;
        if exact || self.accept_keyword(Keyword::Cardinality)? {
            self.lexer = back;
            return self.show_cardinality(|_| Ok(Counted::Series));
        }
        let mut show = Show::new(ShowWhat::Series);
        show.database = self.on()?;
        self.from(&mut show)?;
        self.tail(show)
    }

    fn show_field(&mut self) -> Result<Show> {
        let lexed = self.next()?;
        match lexed.token {
            Token::Keyword(Keyword::Key) => self.show_cardinality(|_| Ok(Counted::FieldKeys)),
            Token::Keyword(Keyword::Keys) => {
                let mut show = Show::new(ShowWhat::FieldKeys);
                show.database = self.on()?;
                self.from(&mut show)?;
                self.tail(show)
            }
            _ => Err(self.unexpected(&lexed, "KEY, KEYS")),
        }
    }

    fn show_tag(&mut self) -> Result<Show> {
        let lexed = self.next()?;
        match lexed.token {
            Token::Keyword(Keyword::Key) => self.show_cardinality(|_| Ok(Counted::TagKeys)),
            Token::Keyword(Keyword::Keys) => {
                let mut show = Show::new(ShowWhat::TagKeys);
                show.database = self.on()?;
                self.from(&mut show)?;
                let show = self.tail(show)?;
                self.count(Keyword::Slimit)?;
                self.count(Keyword::Soffset)?;
                Ok(show)
            }
            Token::Keyword(Keyword::Values) => {
                let back = self.lexer;
                let exact = self.accept_keyword(Keyword::Exact)?;
                if exact || self.accept_keyword(Keyword::Cardinality)? {
                    self.lexer = back;
                    return self.show_cardinality(|p| Ok(Counted::TagValues(p.with_key()?)));
                }
                let mut show = Show::new(ShowWhat::TagValues(KeyFilter::In(Vec::new())));
                show.database = self.on()?;
                self.from(&mut show)?;
                show.what = ShowWhat::TagValues(self.with_key()?);
                self.tail(show)
            }
            _ => Err(self.unexpected(&lexed, "KEY, KEYS, VALUES")),
        }
    }

    fn with_key(&mut self) -> Result<KeyFilter> {
        self.expect_keyword(Keyword::With)?;
        self.expect_keyword(Keyword::Key)?;
        let lexed = self.next()?;
        let sign = match lexed.token {
            Token::Keyword(Keyword::In) => {
                self.expect_sign("(")?;
                let keys = self.list(Self::ident)?;
                self.expect_sign(")")?;
                return Ok(KeyFilter::In(keys));
            }
            Token::Sign(sign @ ("=" | "!=" | "=~" | "!~")) => sign,
            _ => return Err(self.unexpected(&lexed, "IN, =, =~")),
        };
        match sign {
            "=" => Ok(KeyFilter::In(vec![self.ident()?])),
            "!=" => Ok(KeyFilter::NotIn(vec![self.ident()?])),
            sign => match self.regex()? {
                Some(regex) if sign == "=~" => Ok(KeyFilter::Matches(regex)),
                Some(regex) => Ok(KeyFilter::NotMatches(regex)),
                None => {
                    let lexed = self.next()?;
                    Err(self.unexpected(&lexed, "regex"))
                }
            },
        }
    }

    /// `[EXACT] CARDINALITY` and its clauses; `of` reads those that come before `WHERE`.
    fn show_cardinality(&mut self, of: impl FnOnce(&mut Self) -> Result<Counted>) -> Result<Show> {
        let exact = self.accept_keyword(Keyword::Exact)?;
        let lexed = self.next()?;
        if lexed.token != Token::Keyword(Keyword::Cardinality) {
            let expected = if exact { "CARDINALITY" } else { "EXACT, CARDINALITY" };
            return Err(self.unexpected(&lexed, expected));
        }
        let mut show = Show::new(ShowWhat::Databases);
        show.database = self.on()?;
        self.from(&mut show)?;
        show.what = ShowWhat::Cardinality { of: of(self)?, exact };
        show.condition = self.condition()?;
        show.dimensions = self.dimensions()?;
        show.limit = self.count(Keyword::Limit)?;
        show.offset = self.count(Keyword::Offset)?;
        Ok(show)
    }
}
