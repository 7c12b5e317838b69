//! Columns: tables of several runs that hang together because their ranges overlap.
//!
//! ```text
//! run 3     [a..c]            [k..m]
//! run 2        [c..e] [f..g]           two columns under runs 3 and 2: a..e and f..g, k..m ...
//! run 1                  [g..l]        ... and with run 1 as well: a..e, and f..m
//! ```
//!
//! No table outside a column shares a key with its span. So a column may be merged without the
//! rest, whatever the rest is: no version of a key of it is left out.

use std::collections::HashSet;

use crate::levels::RunSummary;
use crate::manifest::{Place, TableMeta};

/// Tables of one run.
pub(super) type Part<'a> = (Place, Vec<&'a TableMeta>);

/// Tables that hang together, by run, newest run first.
#[derive(Debug, Clone)]
pub(super) struct Column<'a> {
    pub parts: Vec<Part<'a>>,
}

impl<'a> Column<'a> {
    /// Everything in one column.
    pub(super) fn whole(runs: &[&RunSummary<'a>]) -> Column<'a> {
        Column { parts: runs.iter().map(|run| (run.place, run.tables.clone())).collect() }
    }

    /// Of all its tables only these.
    pub(super) fn only(&self, tables: &[&'a TableMeta]) -> Column<'a> {
        let numbers: HashSet<_> = tables.iter().map(|table| table.number).collect();
        let part = |(place, run): &Part<'a>| {
            let is_in = |table: &&&TableMeta| numbers.contains(&table.number);
            (*place, run.iter().filter(is_in).copied().collect::<Vec<_>>())
        };
        let parts = self.parts.iter().map(part).filter(|(_, tables)| !tables.is_empty());
        Column { parts: parts.collect() }
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &'a TableMeta> {
        self.parts.iter().flat_map(|(_, tables)| tables.iter().copied())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.tables().map(|table| table.bytes).sum()
    }
}

/// Sizes of the tables of one run.
pub(super) fn part_bytes((_, tables): &Part<'_>) -> u64 {
    tables.iter().map(|table| table.bytes).sum()
}

/// The columns of `parts` (newest first), ascending. A key counts as far as `prefix` goes: tables
/// whose ranges share no key but a first part of that length hang together too.
pub(super) fn columns<'a>(parts: &[Part<'a>], prefix: Option<usize>) -> Vec<Column<'a>> {
    let cut = |key: &'a [u8]| &key[..prefix.map_or(key.len(), |bytes| bytes.min(key.len()))];
    let mut tables: Vec<(&'a TableMeta, usize)> = Vec::new();
    for (index, (_, run)) in parts.iter().enumerate() {
        tables.extend(run.iter().map(|table| (*table, index)));
    }
    tables.sort_by(|(a, i), (b, j)| cut(&a.smallest).cmp(cut(&b.smallest)).then(i.cmp(j)));
    let mut columns: Vec<Vec<(&TableMeta, usize)>> = Vec::new();
    let mut end: Option<&[u8]> = None;
    for (table, index) in tables {
        if end.is_none_or(|end| cut(&table.smallest) > end) {
            columns.push(Vec::new());
        }
        end = end.max(Some(cut(&table.largest)));
        if let Some(column) = columns.last_mut() {
            column.push((table, index));
        }
    }
    columns.into_iter().map(|tables| by_run(parts, &tables)).collect()
}

fn by_run<'a>(parts: &[Part<'a>], tables: &[(&'a TableMeta, usize)]) -> Column<'a> {
    let part = |(index, (place, _)): (usize, &Part<'a>)| {
        let mut own: Vec<_> = tables.iter().filter(|(_, run)| *run == index).collect();
        own.sort_by(|(a, _), (b, _)| a.smallest.cmp(&b.smallest));
        (*place, own.into_iter().map(|(table, _)| *table).collect::<Vec<_>>())
    };
    let parts = parts.iter().enumerate().map(part);
    Column { parts: parts.filter(|(_, tables)| !tables.is_empty()).collect() }
}
