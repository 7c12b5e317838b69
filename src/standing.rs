//! Standing rollups: those that the settings ask for (`rollup.create`).
//!
//! They are statements as a client would send, and are made as soon as their database is there,
//! which may be when its first point comes. Who drops one without taking it out of the settings
//! gets it again; one that exists by its name stays as it is.

use firndb::query::influxql::ast::{RollupClauses, RollupStatement};
use firndb::query::influxql::{self, Scope, Statement};
use firndb::tsdb::{Error, Tsdb};

/// The rollups that the settings ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StandingRollups(Vec<RollupClauses>);

impl StandingRollups {
    /// Reads `CREATE ROLLUP` statements, parted by `;`.
    ///
    /// # Errors
    /// What is wrong with the text, for people.
    pub fn parse(text: &str) -> Result<StandingRollups, String> {
        if text.trim().is_empty() {
            return Ok(StandingRollups::default());
        }
        let statements =
            influxql::parse(text, &Default::default()).map_err(|error| error.to_string())?;
        let mut rollups = Vec::with_capacity(statements.len());
        for (statement, text) in statements {
            match statement {
                Statement::Rollup(RollupStatement::Create(clauses)) if clauses.name.is_some() => {
                    rollups.push(clauses);
                }
                Statement::Rollup(RollupStatement::Create(_)) => {
                    return Err(format!("`{text}` gives the rollup no name"));
                }
                _ => return Err(format!("`{text}` is no CREATE ROLLUP statement")),
            }
        }
        Ok(StandingRollups(rollups))
    }

    /// Makes those that do not exist and whose database does.
    ///
    /// # Errors
    /// Of the first that can't be made; the others are.
    pub fn make(&self, tsdb: &Tsdb, now: i64) -> Result<(), Error> {
        let mut outcome = Ok(());
        for clauses in &self.0 {
            let Some(database) = tsdb.database(&clauses.database) else { continue };
            let exists = |name: &String| database.rollups().iter().any(|of| of.name == *name);
            if clauses.name.as_ref().is_some_and(exists) {
                continue;
            }
            let scope = Scope { tsdb, database: None, policy: None, now };
            let statement = RollupStatement::Create(clauses.clone());
            if let Err(error) = influxql::rollup::rollup(&statement, &scope) {
                let reason = format!("rollup.create: {error}");
                outcome = outcome.and(Err(Error::Invalid { reason }));
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use firndb::engine::clock::ManualClock;
    use firndb::engine::fs::sim::SimFs;
    use firndb::engine::hooks::Plain;
    use firndb::engine::options::{Background, Options as EngineOptions};
    use firndb::tsdb::Options;

    use super::*;

    #[test]
    fn they_are_made_when_their_database_comes_and_again_when_dropped() {
        let (fs, clock) = (Arc::new(SimFs::new(1)), Arc::new(ManualClock::at(0)));
        let mut engine = EngineOptions::new("/db", fs, clock, Arc::new(Plain::new()));
        engine.background = Background::Inline;
        let tsdb = Tsdb::open(Options::new(engine)).expect("a store");
        let text = "CREATE ROLLUP hourly ON a EVERY 1h KEEP 5y; \
                    CREATE ROLLUP fine ON b FROM cpu EVERY 1m; CREATE ROLLUP bad ON b.none EVERY 1m";
        let standing = StandingRollups::parse(text).expect("three statements");
        standing.make(&tsdb, 0).expect("nothing to do yet");
        let names = |name: &str| -> Vec<String> {
            let rollups = tsdb.database(name).expect("made").rollups();
            rollups.into_iter().map(|rollup| rollup.name).collect()
        };
        let a = tsdb.create_database("a", None).expect("made");
        for _ in 0..2 {
            standing.make(&tsdb, 0).expect("made");
            assert_eq!(names("a"), ["hourly"]);
        }
        a.drop_rollup("hourly").expect("dropped");
        tsdb.create_database("b", None).expect("made");
        let error = standing.make(&tsdb, 0).expect_err("b has no such policy").to_string();
        assert!(error.contains("rollup.create") && error.contains("none"), "{error}");
        assert_eq!((names("a"), names("b")), (vec!["hourly".to_owned()], vec!["fine".to_owned()]));
    }

    #[test]
    fn other_texts_are_refused() {
        assert_eq!(StandingRollups::parse(" "), Ok(StandingRollups::default()));
        let cases = [
            ("CREATE ROLLUP ON a EVERY 1h", "no name"),
            ("DROP ROLLUP hourly ON a", "no CREATE ROLLUP"),
            ("CREATE ROLLUP x ON a EVERY", "expected"),
        ];
        for (text, expected) in cases {
            let error = StandingRollups::parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
