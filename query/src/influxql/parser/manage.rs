//! Statements that change databases, retention policies, series and users.

use super::{Keyword, Parser, Result, Token};
use crate::influxql::ast::{PolicyClauses, Statement};

impl<'a> Parser<'a> {
    /// A statement, after `CREATE`.
    pub(super) fn create(&mut self) -> Result<Statement> {
        let lexed = self.next()?;
        match lexed.token {
            Token::Keyword(Keyword::Continuous) => self.create_continuous_query(),
            Token::Keyword(Keyword::Database) => self.create_database(),
            Token::Keyword(Keyword::User) => self.create_user(),
            Token::Keyword(Keyword::Retention) => self.create_policy(),
            Token::Keyword(Keyword::Subscription) => self.create_subscription(),
            token if token.is_word("ROLLUP") => self.create_rollup(),
            _ => {
                Err(self.unexpected(&lexed, "CONTINUOUS, DATABASE, USER, RETENTION, SUBSCRIPTION"))
            }
        }
    }

    fn create_database(&mut self) -> Result<Statement> {
        let name = self.ident()?;
        if !self.accept_keyword(Keyword::With)? {
            return Ok(Statement::CreateDatabase { name, policy: None });
        }
        let back = self.lexer;
        let lexed = self.next()?;
        use Keyword::{Duration, Name, Replication, Shard};
        if !matches!(lexed.token, Token::Keyword(Duration | Name | Replication | Shard)) {
            return Err(self.unexpected(&lexed, "DURATION, NAME, REPLICATION, SHARD"));
        }
        self.lexer = back;
        let mut clauses = PolicyClauses::default();
        if self.accept_keyword(Duration)? {
            clauses.duration_ns = Some(self.duration()?);
        }
        if self.accept_keyword(Replication)? {
            clauses.replication = Some(self.replication()?);
        }
        if self.accept_keyword(Shard)? {
            self.expect_keyword(Duration)?;
            clauses.shard_duration_ns = Some(self.duration()?);
        }
        if self.accept_keyword(Name)? {
            clauses.name = Some(self.ident()?);
        }
        Ok(Statement::CreateDatabase { name, policy: Some(clauses) })
    }

    /// How many copies: stored and shown, though there is only one.
    fn replication(&mut self) -> Result<u32> {
        let lexed = self.next()?;
        let Token::Integer(digits) = &lexed.token else {
            return Err(self.unexpected(&lexed, "integer"));
        };
        digits.parse().ok().filter(|n| (1..=i32::MAX as u32).contains(n)).ok_or_else(|| {
            let reason = format!("invalid value {digits}: must be 1 <= n <= {}", i32::MAX);
            self.error(&reason, lexed.at)
        })
    }

    /// `POLICY name ON database`.
    fn policy_on(&mut self) -> Result<(String, String)> {
        self.expect_keyword(Keyword::Policy)?;
        let lexed = self.next()?;
        let name = match lexed.token {
            Token::Ident(name) => name.into_owned(),
            Token::Keyword(Keyword::Default) => "default".into(),
            _ => return Err(self.unexpected(&lexed, "identifier")),
        };
        self.expect_keyword(Keyword::On)?;
        Ok((name, self.ident()?))
    }

    fn create_policy(&mut self) -> Result<Statement> {
        let (name, database) = self.policy_on()?;
        let mut clauses = PolicyClauses::default();
        self.expect_keyword(Keyword::Duration)?;
        clauses.duration_ns = Some(self.duration()?);
        self.expect_keyword(Keyword::Replication)?;
        clauses.replication = Some(self.replication()?);
        if self.accept_keyword(Keyword::Shard)? {
            self.expect_keyword(Keyword::Duration)?;
            clauses.shard_duration_ns = Some(self.duration()?);
        }
        clauses.is_default = self.accept_keyword(Keyword::Default)?;
        Ok(Statement::CreatePolicy { name, database, clauses })
    }

    /// A statement, after `ALTER`: its clauses come in any order, each once.
    pub(super) fn alter(&mut self) -> Result<Statement> {
        self.expect_keyword(Keyword::Retention)?;
        let (name, database) = self.policy_on()?;
        let mut clauses = PolicyClauses::default();
        let mut seen = Vec::new();
        loop {
            let back = self.lexer;
            let lexed = self.next()?;
            use Keyword::{Default, Duration, Replication, Shard};
            let Token::Keyword(keyword @ (Duration | Replication | Shard | Default)) = lexed.token
            else {
                if seen.is_empty() {
                    return Err(self.unexpected(&lexed, "DURATION, REPLICATION, SHARD, DEFAULT"));
                }
                self.lexer = back;
                return Ok(Statement::AlterPolicy { name, database, clauses });
            };
            if seen.contains(&keyword) {
                let reason = format!("found duplicate {} option", keyword.text());
                return Err(self.error(&reason, lexed.at));
            }
            seen.push(keyword);
            match keyword {
                Duration => clauses.duration_ns = Some(self.duration()?),
                Replication => clauses.replication = Some(self.replication()?),
                Shard => {
                    self.expect_keyword(Duration)?;
                    clauses.shard_duration_ns = Some(self.duration()?);
                }
                _ => clauses.is_default = true,
            }
        }
    }

    /// A statement, after `DROP`.
    pub(super) fn drop_something(&mut self) -> Result<Statement> {
        let lexed = self.next()?;
        match lexed.token {
            Token::Keyword(Keyword::Database) => {
                Ok(Statement::DropDatabase { name: self.ident()? })
            }
            Token::Keyword(Keyword::Measurement) => {
                Ok(Statement::DropMeasurement { name: self.ident()? })
            }
            Token::Keyword(Keyword::Retention) => {
                if self.accept_word("RULE")? {
                    return self.drop_rule();
                }
                let (name, database) = self.policy_on()?;
                Ok(Statement::DropPolicy { name, database })
            }
            Token::Keyword(Keyword::Series) => Ok(Statement::DropSeries(self.deletion()?)),
            Token::Keyword(Keyword::Continuous) => {
                self.expect_keyword(Keyword::Query)?;
                self.name_on()?;
                Ok(Statement::Unsupported("DROP CONTINUOUS QUERY"))
            }
            Token::Keyword(Keyword::Shard) => {
                self.unsigned()?;
                Ok(Statement::Unsupported("DROP SHARD"))
            }
            Token::Keyword(Keyword::Subscription) => {
                self.name_on()?;
                self.expect_sign(".")?;
                self.ident()?;
                Ok(Statement::Unsupported("DROP SUBSCRIPTION"))
            }
            Token::Keyword(Keyword::User) => {
                self.ident()?;
                Ok(Statement::Unsupported("DROP USER"))
            }
            token if token.is_word("ROLLUP") => self.drop_rollup(),
            _ => Err(self.unexpected(
                &lexed,
                "CONTINUOUS, DATABASE, MEASUREMENT, RETENTION, SERIES, SHARD, SUBSCRIPTION, USER",
            )),
        }
    }

    /// `name ON database`.
    fn name_on(&mut self) -> Result<()> {
        self.ident()?;
        self.expect_keyword(Keyword::On)?;
        self.ident().map(drop)
    }

    fn create_continuous_query(&mut self) -> Result<Statement> {
        self.expect_keyword(Keyword::Query)?;
        self.name_on()?;
        if self.accept_keyword(Keyword::Resample)? {
            if self.accept_keyword(Keyword::Every)? {
                self.duration()?;
            }
            if self.accept_keyword(Keyword::For)? {
                self.duration()?;
            }
        }
        self.expect_keyword(Keyword::Begin)?;
        self.expect_keyword(Keyword::Select)?;
        self.select()?;
        self.expect_keyword(Keyword::End)?;
        Ok(Statement::Unsupported("CREATE CONTINUOUS QUERY"))
    }

    fn create_subscription(&mut self) -> Result<Statement> {
        self.name_on()?;
        self.expect_sign(".")?;
        self.ident()?;
        self.expect_keyword(Keyword::Destinations)?;
        let lexed = self.next()?;
        if !matches!(lexed.token, Token::Keyword(Keyword::All | Keyword::Any)) {
            return Err(self.unexpected(&lexed, "ALL, ANY"));
        }
        self.list(Self::string)?;
        Ok(Statement::Unsupported("CREATE SUBSCRIPTION"))
    }

    fn create_user(&mut self) -> Result<Statement> {
        self.ident()?;
        self.expect_keyword(Keyword::With)?;
        self.expect_keyword(Keyword::Password)?;
        self.string()?;
        if self.accept_keyword(Keyword::With)? {
            self.expect_keyword(Keyword::All)?;
            self.expect_keyword(Keyword::Privileges)?;
        }
        Ok(Statement::Unsupported("CREATE USER"))
    }

    /// A statement, after `GRANT` or `REVOKE`.
    pub(super) fn grant_or_revoke(&mut self, grant: bool) -> Result<Statement> {
        let lexed = self.next()?;
        let Token::Keyword(right @ (Keyword::Read | Keyword::Write | Keyword::All)) = lexed.token
        else {
            return Err(self.unexpected(&lexed, "READ, WRITE, ALL [PRIVILEGES]"));
        };
        let (to, what) = if grant { (Keyword::To, "GRANT") } else { (Keyword::From, "REVOKE") };
        if right == Keyword::All {
            self.accept_keyword(Keyword::Privileges)?;
            let lexed = self.next()?;
            match lexed.token {
                Token::Keyword(Keyword::On) => {
                    self.ident()?;
                    self.expect_keyword(to)?;
                }
                Token::Keyword(keyword) if keyword == to => {}
                _ => return Err(self.unexpected(&lexed, &format!("ON, {}", to.text()))),
            }
        } else {
            self.expect_keyword(Keyword::On)?;
            self.ident()?;
            self.expect_keyword(to)?;
        }
        self.ident()?;
        Ok(Statement::Unsupported(what))
    }

    /// A statement, after `SET`.
    pub(super) fn set_password(&mut self) -> Result<Statement> {
        self.expect_keyword(Keyword::Password)?;
        self.expect_keyword(Keyword::For)?;
        self.ident()?;
        self.expect_sign("=")?;
        self.string()?;
        Ok(Statement::Unsupported("SET PASSWORD"))
    }

    /// A statement, after `KILL`.
    pub(super) fn kill(&mut self) -> Result<Statement> {
        self.expect_keyword(Keyword::Query)?;
        self.unsigned()?;
        if self.accept_keyword(Keyword::On)? {
            self.ident()?;
        }
        Ok(Statement::Unsupported("KILL QUERY"))
    }
}
