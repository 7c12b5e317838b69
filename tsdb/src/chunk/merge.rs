//! Merging rows of one series from several sources: the last write of each field and row wins.

use crate::model::Columns;

/// Merges sources given from oldest to newest. Rows are united by timestamp, columns by field;
/// where sources have a value for the same field and row, the newest source's counts. Columns
/// come out in the order of field numbers.
///
/// # Panics
/// When a field has two types: the schema does not let that happen.
pub fn merge_columns(older_to_newer: &[Columns]) -> Columns {
    let _ = older_to_newer;
    todo!()
}
