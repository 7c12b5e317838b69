//! Deletes: points gone by time, tag, field and value.
//!
//! 1. Rows that meet conditions on values are found by a scan, while writes go on. The rest comes
//!    with no write in flight: what was written since the scan is looked at again, conditions on
//!    tags are asked of the index, and all becomes groups of series, spans of time and fields.
//! 2. One batch holds the record of the delete and, for every partition that has rows in memory, an
//!    operation that takes them out of there. Its sequence number is the delete's. From then on
//!    scans and merges leave out what older sources hold; what is written later stays.
//! 3. Maintenance purges: it rewrites the partitions that hold such rows, one a call. Then the
//!    record goes, and an entry for the list stays.
//!
//! Modules in order; each may use those above it: `memory` (what they hold), `entry` (the list and
//! how it is stored), `watch` (what is written during a scan), `rows` (conditions on values),
//! `resolve` (requests into groups), `log` (making a delete), `count` (the dry run), `purge`.
//!
//! Invariant: a record goes only when no source in a partition that it means is older than it and
//! was not rewritten since.

mod count;
mod entry;
mod log;
mod memory;
mod purge;
mod resolve;
mod rows;
mod watch;

use std::sync::Arc;

use crate::index::TagPredicate;
use crate::model::{RowPredicate, TimeRange};

pub use count::DeleteCount;
pub(crate) use entry::DeleteList;
pub use entry::{DeleteInfo, DeleteState};
pub(crate) use watch::{Notes, Watches};

/// What is to be deleted.
#[derive(Debug, Clone)]
pub struct DeleteRequest {
    /// Retention policy; `None`: all of them.
    pub policy: Option<String>,
    /// Measurements, each with its own conditions; names of none are passed over.
    pub targets: Vec<DeleteTarget>,
    /// Span of time.
    pub range: TimeRange,
    /// Keys of fields; `None`: whole rows.
    pub fields: Option<Vec<String>>,
    /// How the delete is listed.
    pub statement: String,
}

/// What is to be deleted of one measurement.
#[derive(Debug, Clone)]
pub struct DeleteTarget {
    /// Its name.
    pub measurement: String,
    /// Which series; `None`: all.
    pub tags: Option<TagPredicate>,
    /// Which rows; `None`: all.
    pub rows: Option<Arc<dyn RowPredicate>>,
}

/// What a delete did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteReport {
    /// Its number in the list; `None`: it met nothing, and there is no entry.
    pub id: Option<u64>,
    /// Series that it means.
    pub series: u64,
    /// Partitions that it means.
    pub partitions: u64,
}

#[cfg(test)]
mod tests;
