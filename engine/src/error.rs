//! What can go wrong in the engine, grouped by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Result of an engine call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in the engine, grouped by what the caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused one operation.
    #[error("{op} {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done: `read`, `write`, `sync`, `create`, ...
        op: &'static str,
        /// The operating system's answer.
        source: Arc<io::Error>,
    },
    /// Stored bytes are not what was written. Restore this file from a backup, or repair.
    #[error("{path} is corrupt at byte {offset_bytes}: {reason}")]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in the file.
        offset_bytes: u64,
        /// What did not hold.
        reason: String,
    },
    /// A limit of the options was reached. Nothing was stored; ask for less.
    #[error("{what}: {got} exceeds the limit of {limit}")]
    Limit {
        /// Which limit, with its unit.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// What was asked for.
        got: u64,
    },
    /// The store is behind or out of its memory share. Nothing was stored; retry later.
    #[error("busy: {reason}; retry after {retry_after_ms} ms")]
    Busy {
        /// What is behind.
        reason: &'static str,
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// A transaction read what another one wrote since. Nothing was stored; run it again.
    #[error("conflict: {reason}; run the transaction again")]
    Conflict {
        /// What was written, where that is known.
        reason: String,
    },
    /// Writing stopped after a failure, or was never meant; reads go on. Reopen once the cause is
    /// gone.
    #[error("the store is read-only: {cause}")]
    ReadOnly {
        /// The failure that stopped it.
        cause: Arc<Error>,
    },
    /// Why a store that was opened to be read is read-only.
    #[error("it was opened to be read only")]
    OpenedReadOnly,
    /// Another process has the directory open.
    #[error("{path} is locked by another process{}", .pid.map(|p| format!(" (pid {p})")).unwrap_or_default())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Its holder, where known.
        pid: Option<u32>,
    },
    /// The directory was written by a newer or different format.
    #[error("{path} has format version {found}, this build reads up to {supported}")]
    Version {
        /// The file that says so.
        path: PathBuf,
        /// Version found.
        found: u32,
        /// Newest version this build reads.
        supported: u32,
    },
    /// A keyspace, snapshot or table that does not exist (any more).
    #[error("{what} not found")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// A call that can never succeed as given.
    #[error("invalid: {reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// An I/O failure of `op` on `path`.
    pub fn io(path: &Path, op: &'static str, source: io::Error) -> Self {
        Error::Io { path: path.to_owned(), op, source: Arc::new(source) }
    }

    /// Damage in `path` at `offset_bytes`.
    pub fn corrupt(path: &Path, offset_bytes: u64, reason: impl Into<String>) -> Self {
        Error::Corrupt { path: path.to_owned(), offset_bytes, reason: reason.into() }
    }

    /// Whether the cause is a full disk or quota.
    pub fn is_no_space(&self) -> bool {
        match self {
            Error::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Error::ReadOnly { cause } => cause.is_no_space(),
            _ => false,
        }
    }

    /// Whether stored bytes were found damaged.
    pub fn is_corrupt(&self) -> bool {
        match self {
            Error::Corrupt { .. } => true,
            Error::ReadOnly { cause } => cause.is_corrupt(),
            _ => false,
        }
    }
}
