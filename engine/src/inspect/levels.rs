//! The levels of a keyspace as the manifest names them, and what the picker would do with them.
//!
//! The decisions are those of the engine ([`crate::compaction::pick()`], a pure function); only the
//! outputs are made up: a merge is taken to write as many bytes as it reads, in tables of full size
//! whose keys are cut where those of its inputs are. No table is read.

use std::path::Path;
use std::sync::Arc;

use crate::Result;
use crate::budget::Budget;
use crate::cache::Cache;
use crate::compaction::pick::{debt_bytes, scores, targets};
use crate::compaction::{InFlight, Plan, pick};
use crate::fs::Fs;
use crate::key::{FileNumber, KeyspaceId};
use crate::levels::{Graveyard, TableFile, Version};
use crate::manifest::{KeyspaceRecord, LEVELS, Place, TableMeta};
use crate::metrics::LevelMetrics;
use crate::options::Policy;

/// Numbers of the files that a simulation makes up: above all that a store gives out.
const MADE_UP_FROM: u64 = 1 << 48;

/// Levels of one keyspace.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The levels.
    pub levels: [LevelMetrics; LEVELS],
    /// Bytes that each level may hold before it is due; 0 where that is not by bytes.
    pub target_bytes: [u64; LEVELS],
    /// Entries in its tables.
    pub entries: u64,
    /// Sorted runs that a point read looks at.
    pub read_amplification: u64,
    /// Estimate of the bytes that have to be compacted until nothing is due.
    pub pending_bytes: u64,
}

/// One compaction that would be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What and why.
    pub plan: Plan,
    /// Score of the level that it is about, before.
    pub score: f64,
    /// The levels once it is done.
    pub after: Shape,
}

/// The tables of one keyspace, ready to be asked about.
pub struct Levels {
    version: Version,
    policy: Policy,
    table_bytes_max: u64,
    cache: Cache,
    graveyard: Arc<Graveyard>,
    made_up: u64,
}

impl Levels {
    /// The tables of `record`, a keyspace of the folder `dir`. `policy` is for keyspaces that chose
    /// none, `table_bytes_max` the size at which an output is cut.
    ///
    /// # Errors
    /// `Invalid` when the tables do not form levels.
    pub fn of(
        fs: &Arc<dyn Fs>,
        dir: &Path,
        record: &KeyspaceRecord,
        policy: Policy,
        table_bytes_max: u64,
    ) -> Result<Levels> {
        let cache = Cache::with_files(0, 1, Budget::unlimited());
        let graveyard = Graveyard::new(fs.clone(), dir, Box::new(|| {}));
        let mut levels = Levels {
            version: Version::default(),
            policy: record.policy.unwrap_or(policy),
            table_bytes_max,
            cache,
            graveyard,
            made_up: MADE_UP_FROM,
        };
        let mut added = Vec::with_capacity(record.tables.len());
        for (place, meta) in record.tables.values() {
            added.push((*place, levels.table(meta.clone())?));
        }
        levels.edit(&[], &added)?;
        Ok(levels)
    }

    fn table(&self, meta: TableMeta) -> Result<Arc<TableFile>> {
        TableFile::open(meta, &self.cache, &self.graveyard)
    }

    fn edit(&mut self, removed: &[FileNumber], added: &[(Place, Arc<TableFile>)]) -> Result<()> {
        let next = self.version.edited(removed, added);
        self.version = next.map_err(|reason| crate::Error::Invalid { reason })?;
        Ok(())
    }

    /// What there is now.
    pub fn shape(&self) -> Shape {
        let summary = self.version.summary();
        let none = InFlight::default();
        let scores = scores(&summary, &self.policy, &none);
        let target_bytes = match &self.policy {
            Policy::Leveled(leveled) => targets(&summary, leveled).1,
            _ => [0; LEVELS], // by runs alone, or by windows
        };
        let mut shape = Shape {
            levels: [LevelMetrics::default(); LEVELS],
            target_bytes,
            entries: 0,
            read_amplification: summary.runs().count() as u64,
            pending_bytes: debt_bytes(&summary, &self.policy),
        };
        for run in summary.runs() {
            let level = &mut shape.levels[run.place.level as usize];
            level.runs += 1;
            level.tables += run.tables.len() as u64;
            level.bytes += run.bytes();
            shape.entries += run.tables.iter().map(|table| table.entries).sum::<u64>();
        }
        for (level, score) in shape.levels.iter_mut().zip(scores) {
            level.score = score;
        }
        shape
    }

    /// What the picker would do next, as if it were done; `None` when nothing is due.
    ///
    /// # Errors
    /// `Invalid` when what it would do does not fit the levels, which is a bug.
    pub fn step(&mut self) -> Result<Option<Step>> {
        let plan = pick(KeyspaceId(0), &self.version.summary(), &self.policy, &InFlight::default());
        let Some(plan) = plan else { return Ok(None) };
        let from = plan.inputs.first().map_or(0, |input| input.place.level as usize);
        let score = self.shape().levels[from].score;
        let removed: Vec<_> = plan.tables().collect();
        let tables =
            self.version.tables().filter(|(_, table)| removed.contains(&table.meta.number));
        let inputs: Vec<_> = tables.map(|(_, table)| table.meta.clone()).collect();
        let outputs = if plan.is_move { inputs } else { self.merged(inputs) };
        let mut added = Vec::with_capacity(outputs.len());
        for meta in outputs {
            added.push((plan.output, self.table(meta)?));
        }
        self.edit(&removed, &added)?;
        Ok(Some(Step { plan, score, after: self.shape() }))
    }

    /// What a merge of these tables may write.
    fn merged(&mut self, mut inputs: Vec<TableMeta>) -> Vec<TableMeta> {
        inputs.sort_by(|a, b| a.smallest.cmp(&b.smallest));
        let mut outputs: Vec<TableMeta> = Vec::new();
        for input in inputs {
            let joins = |last: &TableMeta| {
                last.bytes < self.table_bytes_max || *input.smallest <= *last.largest
            };
            match outputs.last_mut().filter(|last| joins(last)) {
                Some(last) => {
                    last.bytes += input.bytes;
                    last.entries += input.entries;
                    last.deletes += input.deletes;
                    last.raw_bytes += input.raw_bytes;
                    last.min_seq = last.min_seq.min(input.min_seq);
                    last.max_seq = last.max_seq.max(input.max_seq);
                    if *input.largest > *last.largest {
                        last.largest = input.largest;
                    }
                }
                None => {
                    self.made_up += 1;
                    outputs.push(TableMeta { number: FileNumber(self.made_up), ..input });
                }
            }
        }
        outputs
    }
}
