//! Statements about rollups, as written.

/// A statement about rollups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollupStatement {
    /// `CREATE ROLLUP [name] ON db[.policy] [FROM m, ..] EVERY 1m KEEP 90d, .. [RAW 7d]`.
    Create(RollupClauses),
    /// `SHOW ROLLUPS [ON db]`.
    Show {
        /// `ON`.
        database: Option<String>,
    },
    /// `DROP ROLLUP name ON db`.
    Drop {
        /// Its name.
        name: String,
        /// Its database.
        database: String,
    },
}

/// What a rollup is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupClauses {
    /// Its name, when given.
    pub name: Option<String>,
    /// Its database.
    pub database: String,
    /// The retention policy whose points it sums up; `None`: the default one.
    pub policy: Option<String>,
    /// `FROM`; empty for all measurements.
    pub measurements: Vec<String>,
    /// `EVERY` and `KEEP` in nanoseconds, in the order written; a `KEEP` of `None` is for ever.
    pub levels: Vec<(i64, Option<i64>)>,
    /// `RAW`: how long raw points stay, in nanoseconds.
    pub raw_ns: Option<i64>,
}
