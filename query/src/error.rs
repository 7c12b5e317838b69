//! What can go wrong while a question is answered, grouped by what the asker can do about it.
//!
//! The text of an error reaches users as it stands: InfluxQL clients look for some of these words
//! (`database not found: x`), so they are part of the HTTP contract.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not InfluxQL. Nothing was run; the whole request is refused.
    #[error("error parsing query: {0}")]
    Parse(#[from] ParseError),
    /// The statement cannot be answered as it is written; the text says why.
    #[error("{0}")]
    Invalid(String),
    /// The statement is InfluxQL, and this version does not answer it.
    #[error("{0} is not supported yet")]
    Unsupported(String),
    /// No such database.
    #[error("database not found: {0}")]
    DatabaseNotFound(String),
    /// The statement needs a database and neither it nor the request names one.
    #[error("database name required")]
    DatabaseRequired,
    /// No such retention policy.
    #[error("retention policy not found: {0}")]
    PolicyNotFound(String),
    /// The databases refused or failed; the kinds of the cause tell more.
    #[error(transparent)]
    Tsdb(#[from] firndb_tsdb::Error),
    /// Whoever takes the output does not take it.
    #[error("writing the output: {0}")]
    Output(#[from] std::io::Error),
    /// A limit of the configuration was reached: ask for less.
    #[error("{name} limit exceeded: ({found}/{limit})")]
    Limit {
        /// The configuration's name of the limit.
        name: &'static str,
        /// What the query would need.
        found: u64,
        /// What it may have.
        limit: u64,
    },
    /// The query would hold more memory than is left: ask for less, or again later.
    #[error("query memory limit exceeded: {needed_bytes} more bytes are needed")]
    Memory {
        /// What was asked for when the budget refused.
        needed_bytes: u64,
    },
    /// The query ran past its deadline.
    #[error("query-timeout limit exceeded")]
    Deadline,
    /// The asker went away, or somebody stopped the query.
    #[error("query interrupted")]
    Canceled,
}

impl Error {
    /// An [`Error::Invalid`] of this text.
    pub fn invalid(text: impl Into<String>) -> Error {
        Error::Invalid(text.into())
    }
}

/// Where and why a text is not InfluxQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What was found and what was expected, or what is wrong with a value.
    pub reason: String,
    /// Line and character, both from 1; some reasons need no place.
    pub place: Option<(usize, usize)>,
}

impl std::error::Error for ParseError {}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.place {
            Some((line, char)) => write!(f, "{} at line {line}, char {char}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}
