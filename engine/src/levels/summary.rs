//! The levels of a keyspace as plain data: what decisions about them are made from.

use super::Run;
use crate::manifest::{Place, TableMeta};

/// The levels of a keyspace, as the picker sees them.
#[derive(Debug, Clone, Default)]
pub struct LevelsSummary<'a> {
    /// Runs of level 0, newest first.
    pub runs0: Vec<RunSummary<'a>>,
    /// The run of each level from level 1 on.
    pub levels: Vec<RunSummary<'a>>,
}

/// A run, as the picker sees it.
#[derive(Debug, Clone, Default)]
pub struct RunSummary<'a> {
    /// Its place.
    pub place: Place,
    /// Its tables, ascending.
    pub tables: Vec<&'a TableMeta>,
}

impl<'a> RunSummary<'a> {
    /// Sums up a run.
    pub(super) fn of(place: Place, run: &'a Run) -> Self {
        RunSummary { place, tables: run.tables.iter().map(|table| &table.meta).collect() }
    }

    /// Sizes of its files.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

impl<'a> LevelsSummary<'a> {
    /// Runs that hold tables, newest first.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &RunSummary<'a>> {
        self.runs0.iter().chain(&self.levels).filter(|run| !run.tables.is_empty())
    }

    /// The tables of a level from level 1 on.
    pub fn level(&self, level: u8) -> &[&'a TableMeta] {
        self.levels.get(level as usize - 1).map_or(&[], |run| &run.tables)
    }
}
