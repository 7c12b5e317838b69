//! The picture of a keyspace's tables: which run and level each lies in. Immutable; an edit makes
//! the next one.
//!
//! ```text
//! level 0   run (age 9)   run (age 7)   run (age 4)      newest first, may overlap
//! level 1   one run: [a..f] [g..m] [n..z]                older than all of level 0
//! ...
//! level 6   one run, older still
//! ```
//!
//! Invariants, checked whenever an edit makes a new version:
//! - tables of one run are disjoint and ascend; all versions of a user key lie in one table of a
//!   run, because neighbours may not share a key;
//! - runs of level 0 have distinct ages; every run is older than those before it;
//! - a table is in one place.
//!
//! Why ages: the order of runs is stored, never derived from sequence numbers. A flush takes the
//! next age; a merge of neighbours takes the age of its newest input, whose place it fills.

mod retire;
pub mod run_cursor;
pub mod summary;
pub mod table_file;

use std::collections::HashSet;
use std::sync::Arc;

pub use run_cursor::RunCursor;
pub use summary::{LevelsSummary, RunSummary};
pub use table_file::{Graveyard, TableFile};

use crate::Result;
use crate::key::{FileNumber, Seq};
use crate::manifest::{LEVELS, Place};
use crate::range_delete::RangeDeletes;
use crate::table::{TableVersion, key_hash};

/// Disjoint tables in ascending order.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// See [`Place::age`].
    pub age: u64,
    /// The tables.
    pub tables: Vec<Arc<TableFile>>,
}

impl Run {
    /// Sizes of its files.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.meta.bytes).sum()
    }

    /// The table whose range covers `key`.
    pub fn table_for(&self, key: &[u8]) -> Option<&Arc<TableFile>> {
        let at = self.tables.partition_point(|table| *table.meta.largest < *key);
        self.tables.get(at).filter(|table| *table.meta.smallest <= *key)
    }
}

/// All tables of a keyspace at one moment.
#[derive(Debug, Clone)]
pub struct Version {
    /// Runs of level 0, newest first.
    pub runs0: Vec<Arc<Run>>,
    /// The run of each level from level 1 on; may be empty.
    pub levels: [Arc<Run>; LEVELS - 1],
    /// What range deletes hide of them.
    pub range_deletes: Arc<RangeDeletes>,
    /// When the first of the tables expires of which all entries do; never: [`u64::MAX`].
    pub expires_first_ms: u64,
}

impl Default for Version {
    fn default() -> Self {
        let empty = Arc::new(Run::default());
        let levels = std::array::from_fn(|_| empty.clone());
        let (range_deletes, expires_first_ms) = (Arc::default(), u64::MAX);
        Version { runs0: Vec::new(), levels, range_deletes, expires_first_ms }
    }
}

impl Version {
    /// The version after an edit.
    ///
    /// # Errors
    /// What would not hold. That is a bug of whoever made the edit, or damage in a manifest.
    pub fn edited(
        &self,
        removed: &[FileNumber],
        added: &[(Place, Arc<TableFile>)],
    ) -> std::result::Result<Version, String> {
        let mut next = self.clone();
        let mut removed_count = 0;
        let gone: HashSet<_> = removed.iter().collect();
        let mut retain = |run: &mut Arc<Run>| {
            if run.tables.iter().any(|table| gone.contains(&table.meta.number)) {
                let run = Arc::make_mut(run);
                let before = run.tables.len();
                run.tables.retain(|table| !gone.contains(&table.meta.number));
                removed_count += before - run.tables.len();
            }
        };
        next.runs0.iter_mut().chain(&mut next.levels).for_each(&mut retain);
        if removed_count != removed.len() {
            return Err(format!("{} of {} tables to remove", removed_count, removed.len()));
        }
        next.runs0.retain(|run| !run.tables.is_empty());
        for (place, table) in added {
            next.add(*place, table.clone())?;
        }
        next.check()?;
        let moments = next.tables().filter_map(|(_, table)| table.meta.expires_max_ms);
        next.expires_first_ms = moments.min().unwrap_or(u64::MAX);
        Ok(next)
    }

    fn add(&mut self, place: Place, table: Arc<TableFile>) -> std::result::Result<(), String> {
        let run = match place.level {
            0 => {
                let at = self.runs0.partition_point(|run| run.age > place.age);
                if self.runs0.get(at).is_none_or(|run| run.age != place.age) {
                    let run = Run { age: place.age, tables: Vec::new() };
                    self.runs0.insert(at, Arc::new(run));
                }
                &mut self.runs0[at]
            }
            level => match self.levels.get_mut(level as usize - 1) {
                Some(run) => run,
                None => return Err(format!("level {level}")),
            },
        };
        let run = Arc::make_mut(run);
        let at = run.tables.partition_point(|other| other.meta.smallest < table.meta.smallest);
        run.tables.insert(at, table);
        Ok(())
    }

    fn check(&self) -> std::result::Result<(), String> {
        for run in self.runs() {
            for pair in run.tables.windows(2) {
                let (left, right) = (&pair[0].meta, &pair[1].meta);
                if left.largest >= right.smallest {
                    return Err(format!(
                        "tables {} and {} of one run overlap",
                        left.number.0, right.number.0
                    ));
                }
            }
        }
        Ok(())
    }

    /// Runs that hold tables, newest first.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Arc<Run>> {
        self.runs0.iter().chain(&self.levels).filter(|run| !run.tables.is_empty())
    }

    /// Tables with their place, newest run first.
    pub fn tables(&self) -> impl Iterator<Item = (Place, &Arc<TableFile>)> {
        let upper = self.runs0.iter().map(|run| (Place { level: 0, age: run.age }, run));
        let lower = self.levels.iter().enumerate().map(|(index, run)| {
            let place = Place { level: index as u8 + 1, age: 0 };
            (place, run)
        });
        upper.chain(lower).flat_map(|(place, run)| run.tables.iter().map(move |t| (place, t)))
    }

    /// What the picker sees.
    pub fn summary(&self) -> LevelsSummary<'_> {
        let mut summary = LevelsSummary::default();
        for run in &self.runs0 {
            summary.runs0.push(RunSummary::of(Place { level: 0, age: run.age }, run));
        }
        for (index, run) in self.levels.iter().enumerate() {
            summary.levels.push(RunSummary::of(Place { level: index as u8 + 1, age: 0 }, run));
        }
        summary
    }

    /// Whether there are no tables.
    pub fn is_empty(&self) -> bool {
        self.runs().next().is_none()
    }

    /// Whether all tables form one run that a final compaction wrote.
    pub fn is_final(&self) -> bool {
        let mut runs = self.runs();
        let is_final = runs.next().is_some_and(|r| r.tables.iter().all(|t| t.meta.is_final));
        is_final && runs.next().is_none()
    }

    /// Visits the versions of `key` at or below `snapshot`, newest first, until `visit` says
    /// `false`; then the answer is `false` too.
    pub fn get(
        &self,
        key: &[u8],
        snapshot: Seq,
        visit: &mut dyn FnMut(TableVersion<'_>) -> bool,
    ) -> Result<bool> {
        let hash = key_hash(key);
        let mut tables = self.runs().filter_map(|run| run.table_for(key)).peekable();
        while let Some(table) = tables.next() {
            // A key lies in the oldest table as a rule; what the filters before say takes less time
            // than what is asked of the next one takes to come.
            if let Some(next) = tables.peek() {
                next.table.fetch_filter(hash);
            }
            if !table.table.get(hash, key, snapshot, visit)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A cursor for each run, newest first. They keep their files, so they may outlive `self`.
    pub fn cursors(&self, fill_cache: bool) -> impl Iterator<Item = RunCursor> {
        self.runs().map(move |run| RunCursor::new(run.clone(), fill_cache))
    }
}

#[cfg(test)]
mod tests;
