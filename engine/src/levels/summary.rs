//! The levels of a keyspace as plain data: what decisions about them are made from.

use std::collections::BTreeMap;

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

    /// Estimate of the bytes that nothing newer replaces: of the tables that share keys the oldest
    /// one, since most keys of the younger ones are likely to be there already.
    pub fn live_bytes(&self) -> u64 {
        let mut counted: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
        let mut bytes = 0;
        for table in self.runs().rev().flat_map(|run| &run.tables) {
            let (smallest, largest): (&[u8], &[u8]) = (&table.smallest, &table.largest);
            let before = counted.range(..=largest).next_back();
            if before.is_none_or(|(_, end)| *end < smallest) {
                counted.insert(smallest, largest);
                bytes += table.bytes;
            }
        }
        bytes
    }

    /// The tables of a level from level 1 on.
    pub fn level(&self, level: u8) -> &[&'a TableMeta] {
        self.levels.get(level as usize - 1).map_or(&[], |run| &run.tables)
    }
}
