//! Building the buckets of some series of one measurement: read, fold, write.
//!
//! Shared by steps forward (`build`) and repairs (`repair`), who say which buckets they want.
//!
//! 1. Fields are taken some at a time: rows of different fields of one bucket are one row in the
//!    end, and memory stays small however wide a measurement is.
//! 2. Rows of a series are read in the order of time, whatever their age, and folded.
//! 3. Buckets that had a row and have no value any more get a row that counts to 0.
//! 4. A batch goes out when it is large; a bucket half written is written again by whoever goes on.
//!
//! Invariant: the gate is held for reading from the first row read of a block to its last row
//! written, so that no delete or drop comes between.

use std::collections::BTreeSet;

use firndb_engine::batch::WriteBatch;
use firndb_engine::store::WriteOptions;

use super::fold::{BucketSink, Folded, SeriesFold};
use super::rows::BucketRows;
use super::state::Running;
use crate::database::Database;
use crate::model::{FieldId, SeriesId, TimeRange, Timestamp};
use crate::scan::{Piece, ScanRequest, SeriesScan};
use crate::schema::{FieldInfo, MeasurementInfo};
use crate::{Error, Result};

/// Fields built at once: 64 columns of the longest chunk are 4 MiB.
const FIELDS_AT_ONCE: usize = 64;

/// Bytes at which a batch goes out.
const BATCH_BYTES_TARGET: usize = 1 << 20;

/// What a visit of a series costs, in rows: a seek and the heads of its chunks.
const VISIT_ROWS: u64 = 16;

/// Most memory that building takes at a time: columns of a piece and of what it is merged from, a
/// batch, and the rows on the way into it.
pub const MEMORY_BYTES: u64 = 16 << 20;

/// Whether a bucket is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Not this one.
    No,
    /// It has no row yet.
    New,
    /// It may have a row.
    Again,
}

/// What to build.
pub struct Block<'a> {
    pub running: &'a Running,
    pub info: &'a MeasurementInfo,
    pub series: &'a [SeriesId],
    /// Levels to build, ascending.
    pub levels: &'a [usize],
    /// Time of the points to read: whole buckets of the coarsest of the levels.
    pub range: TimeRange,
    /// Whether any bucket may have a row already.
    pub rewrites: bool,
    /// Which buckets of a series to write: series, level, start.
    pub wants: &'a dyn Fn(SeriesId, usize, Timestamp) -> Want,
}

/// Work that may still be done, and what was done.
#[derive(Debug)]
pub struct Work {
    pub now: Timestamp,
    /// Rows that may still be read.
    pub left: u64,
    /// Rows of buckets written.
    pub rows: u64,
}

impl Work {
    fn spend(&mut self, rows: u64) {
        self.left = self.left.saturating_sub(rows);
    }
}

/// Finished buckets of one series on their way into rows.
struct Sink<'a, 'd> {
    block: &'a Block<'a>,
    rows: &'a mut BucketRows<'d>,
    series: SeriesId,
    fields: &'a [FieldInfo],
    /// Buckets that have a row and were not met yet, per level of the block.
    stored: Vec<BTreeSet<Timestamp>>,
    failed: Option<Error>,
}

impl BucketSink for Sink<'_, '_> {
    fn bucket(&mut self, at: usize, start: Timestamp, values: &[Option<Folded>]) {
        let level = self.block.levels[at];
        let want = (self.block.wants)(self.series, level, start);
        self.stored[at].remove(&start);
        if want != Want::No && self.failed.is_none() {
            let place = (level, start);
            let rewrites = want == Want::Again;
            let pushed = self.rows.push(place, self.series, self.fields, values, rewrites);
            self.failed = pushed.err();
        }
    }
}

impl Database {
    /// Builds the buckets of a block. The caller holds the gate.
    pub(super) fn build_block(&self, block: &Block<'_>, work: &mut Work) -> Result<()> {
        let every_ns: Vec<i64> =
            block.levels.iter().map(|at| block.running.rollup.levels[*at].every_ns).collect();
        let mut rows = BucketRows::new(&self.partitions, &block.running.classes, work.now);
        let policy = &block.running.rollup.policy;
        let mut left_out = self.left_out.for_scan(policy);
        self.leave_out_of_build(block.running, work.now, &mut left_out);
        for fields in block.info.fields.chunks(FIELDS_AT_ONCE) {
            let ids: Vec<FieldId> = fields.iter().map(|field| field.id).collect();
            let request = ScanRequest {
                policy: Some(policy),
                measurement: block.info.id,
                series: block.series,
                fields: &ids,
                range: block.range,
                descending: false,
                now: work.now,
            };
            let scan = self.scan_any_age(policy, &request, left_out.clone())?;
            for (at, series) in block.series.iter().enumerate() {
                let stored = self.stored_buckets(block, *series, work)?;
                let mut sink =
                    Sink { block, rows: &mut rows, series: *series, fields, stored, failed: None };
                let mut fold = SeriesFold::new(&every_ns, fields.len());
                let mut pieces = scan.series(at)?;
                work.spend(VISIT_ROWS);
                while let Some(columns) = next_columns(&mut pieces, fields.len())? {
                    work.spend(columns.rows() as u64);
                    fold.push(&columns, &mut sink);
                    if sink.rows.bytes() > BATCH_BYTES_TARGET {
                        self.write_buckets(sink.rows)?;
                    }
                }
                fold.finish(&mut sink);
                sink.put_emptied();
                if let Some(error) = sink.failed {
                    return Err(error);
                }
            }
            self.write_buckets(&mut rows)?;
        }
        work.rows += rows.rows();
        Ok(())
    }

    /// Buckets that have a row, per level of the block, where there may be any.
    fn stored_buckets(
        &self,
        block: &Block<'_>,
        series: SeriesId,
        work: &mut Work,
    ) -> Result<Vec<BTreeSet<Timestamp>>> {
        let mut stored = vec![BTreeSet::new(); block.levels.len()];
        if !block.rewrites {
            return Ok(stored);
        }
        for (level, starts) in block.levels.iter().zip(&mut stored) {
            let class = &block.running.classes[*level];
            let request = ScanRequest {
                policy: Some(&class.name),
                measurement: block.info.id,
                series: &[series],
                fields: &[],
                range: block.range,
                descending: false,
                now: work.now,
            };
            let left_out = self.left_out.for_scan(&class.name);
            let scan = self.scan_any_age(&class.name, &request, left_out)?;
            let mut pieces = scan.series(0)?;
            work.spend(VISIT_ROWS);
            while let Some(columns) = next_columns(&mut pieces, 0)? {
                starts.extend(columns.timestamps);
            }
        }
        Ok(stored)
    }

    /// Writes without waiting for the disk: what a crash takes is built again. Who drops points
    /// that were rolled up makes all of it durable first.
    pub(super) fn write_soon(&self, batch: &WriteBatch) -> Result<()> {
        let _commit = self.store.write_no_wait(batch, WriteOptions::default())?;
        Ok(())
    }

    fn write_buckets(&self, rows: &mut BucketRows<'_>) -> Result<()> {
        let mut batch = WriteBatch::new();
        rows.drain_into(&mut batch);
        if !batch.is_empty() {
            self.write_soon(&batch)?;
        }
        Ok(())
    }
}

impl Sink<'_, '_> {
    /// Writes a row that counts to 0 for the buckets that had one and have no value any more.
    fn put_emptied(&mut self) {
        let nothing = vec![None; self.fields.len()];
        for (at, starts) in std::mem::take(&mut self.stored).into_iter().enumerate() {
            let level = self.block.levels[at];
            for start in starts {
                if (self.block.wants)(self.series, level, start) == Want::Again
                    && self.failed.is_none()
                {
                    let place = (level, start);
                    let pushed = self.rows.push(place, self.series, self.fields, &nothing, true);
                    self.failed = pushed.err();
                }
            }
        }
    }
}

fn next_columns(
    pieces: &mut SeriesScan<'_>,
    fields: usize,
) -> Result<Option<crate::model::Columns>> {
    Ok(match pieces.next_piece()? {
        None => None,
        Some(Piece::Rows(columns)) => Some(columns),
        Some(Piece::Chunk(chunk)) => {
            let all: Vec<usize> = (0..fields).collect();
            Some(chunk.load(&all, TimeRange::ALL)?)
        }
    })
}
