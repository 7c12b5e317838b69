//! What can go wrong in the time-series layer, worded as InfluxDB words it where it has words.

use firndb_engine as engine;

/// Result of a call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, grouped by what the caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine refused or failed; its kinds tell busy, read-only, damage and I/O apart.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// No database of this name.
    #[error("database not found: {name}")]
    DatabaseNotFound {
        /// The name asked for.
        name: String,
    },
    /// No retention policy of this name.
    #[error("retention policy not found: {name}")]
    PolicyNotFound {
        /// The name asked for; empty when the database has no default policy.
        name: String,
    },
    /// A retention policy of this name exists with other settings.
    #[error("retention policy already exists")]
    PolicyExists,
    /// No rollup of this name.
    #[error("rollup not found: {name}")]
    RollupNotFound {
        /// The name asked for.
        name: String,
    },
    /// A rollup of this name exists with other settings.
    #[error("rollup already exists")]
    RollupExists,
    /// `CREATE DATABASE` of an existing database with a policy that differs from its own.
    #[error("retention policy conflicts with an existing policy")]
    PolicyConflict,
    /// No retention rule of this number.
    #[error("retention rule not found: {id}")]
    RuleNotFound {
        /// The number asked for.
        id: u64,
    },
    /// Points would not live for an hour.
    #[error("retention policy duration must be at least 1h0m0s")]
    PolicyTooShort,
    /// A partition would outlive the points in it.
    #[error("retention policy duration must be greater than the shard duration")]
    PolicyShorterThanShard,
    /// A restore under the name of a database that there is.
    #[error(
        "database {name} exists: restore it under another name, or say that it is to be replaced"
    )]
    DatabaseExists {
        /// The name.
        name: String,
    },
    /// A name that cannot be one, or a number out of range.
    #[error("{reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// A limit of the options or of the format was reached.
    #[error("{what} limit exceeded: ({got}/{limit})")]
    Limit {
        /// Which limit.
        what: &'static str,
        /// What was asked for.
        got: u64,
        /// The limit.
        limit: u64,
    },
    /// Understood, but not to be had in this version.
    #[error("not supported: {what}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// Stored bytes are not what was written.
    #[error("{place} is corrupt: {reason}")]
    Corrupt {
        /// Keyspace and entry, or file.
        place: String,
        /// What did not hold.
        reason: String,
    },
}

impl Error {
    /// Damage in an entry of a keyspace.
    pub(crate) fn corrupt(place: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Corrupt { place: place.into(), reason: reason.into() }
    }

    /// Whether stored bytes were found damaged.
    pub fn is_corrupt(&self) -> bool {
        match self {
            Error::Engine(error) => error.is_corrupt(),
            Error::Corrupt { .. } => true,
            _ => false,
        }
    }
}
