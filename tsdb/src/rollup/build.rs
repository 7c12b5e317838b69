//! Building forward: steps that move how far the levels are built.
//!
//! 1. *Plan*, while the gate is held for writing: which stretch comes next. It is stored and seen
//!    from then on that it is being built, so that a point written into it marks its slot. Whoever
//!    wrote before is through, so its points are read.
//! 2. *Go on*: series by series, a block at a time, over as many calls as it takes.
//! 3. *Finish*: how far the levels are built is stored, then seen.
//!
//! A stretch ends where a partition does, widened to whole buckets of the coarsest level that has
//! something to do, so that no bucket is read twice. Stretches without a partition are skipped. A
//! crash within a step leaves rows that nobody takes for built; the next step writes them again.

use firndb_engine as engine;
use firndb_engine::batch::WriteBatch;
use firndb_engine::budget::Share;

use super::block::{Block, MEMORY_BYTES, Want, Work};
use super::span;
use super::state::{Durable, Progress, Running};
use crate::database::{Database, Life};
use crate::index::entries;
use crate::maintenance::MaintenanceReport;
use crate::model::time::TIMESTAMP_MIN;
use crate::model::{MeasurementId, SeriesId, TimeRange, Timestamp};
use crate::retention::RetentionPolicy;
use crate::{Error, Result};

/// Series built while the gate is held.
const BLOCK_SERIES: usize = 128;

/// How rollups are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollupOptions {
    /// How long after the end of a bucket it is built at the earliest, and how long a slot marked
    /// by a late point rests before its buckets are built again. A minute: most points that come
    /// late come within seconds.
    pub delay_ns: i64,
    /// Buckets are built in stretches that end at multiples of this. An hour: the points since are
    /// read as points, fast, while visiting every series each minute would cost more than all else.
    pub stride_ns: i64,
    /// Points read per call of [`crate::Tsdb::maintain`], about: a second's work at most.
    pub rows_per_call: u64,
}

impl Default for RollupOptions {
    fn default() -> Self {
        RollupOptions {
            delay_ns: 60_000_000_000,
            stride_ns: 6 * 3_600_000_000_000,
            rows_per_call: 1_000_000,
        }
    }
}

/// A stretch that is being built.
#[derive(Debug)]
pub struct Step {
    /// Per level: starts of the first bucket to build and of the first one no more.
    stretch: Vec<(Timestamp, Timestamp)>,
    /// Per level: buckets before this may have rows.
    written: Vec<Timestamp>,
    /// Levels to build, ascending; those beside have nothing to do.
    levels: Vec<usize>,
    /// Time of the points to read.
    range: TimeRange,
    /// The series to go on with.
    next: (MeasurementId, u32),
}

impl Database {
    /// Builds what is due at `now`, up to an amount of work.
    pub(crate) fn roll(&self, now: Timestamp, report: &mut MaintenanceReport) -> Result<()> {
        let running = self.running.read().clone();
        if running.is_empty() {
            return Ok(());
        }
        let Some(_memory) = self.budget.try_reserve(Share::Compaction, MEMORY_BYTES) else {
            return Ok(()); // later, when there is room
        };
        let left = self.rolling.rows_per_call / running.len() as u64;
        for running in &*running {
            let mut work = Work { now, left: left.max(1), rows: 0 };
            let done = self.roll_one(running, &mut work, report);
            report.rollup_rows += work.rows;
            match done {
                Err(Error::Engine(engine::Error::Busy { .. })) => return Ok(()), // as above
                done => done?,
            }
        }
        Ok(())
    }

    fn roll_one(
        &self,
        running: &Running,
        work: &mut Work,
        report: &mut MaintenanceReport,
    ) -> Result<()> {
        let Some(mut step) = running.step.try_lock() else { return Ok(()) };
        while work.left > 0 && !running.is_dropped() {
            let mut repaired = 0;
            if step.is_none() {
                repaired = self.repair(running, work)?;
                report.rollup_slots_repaired += repaired;
                *step = self.plan(running, work.now)?;
            }
            let is_done = match &mut *step {
                None if repaired == 0 => return Ok(()),
                None => true,
                Some(next) => self.go_on(running, next, work)?,
            };
            if is_done {
                *step = None;
            }
        }
        Ok(())
    }

    /// The next stretch, if there is one.
    fn plan(&self, running: &Running, now: Timestamp) -> Result<Option<Step>> {
        let ready = now.saturating_sub(self.rolling.delay_ns);
        let ready = span::floor(ready, self.rolling.stride_ns.max(1));
        if running.is_built_until(ready) {
            return Ok(None); // without waiting for writers
        }
        let gate = self.gate.write();
        if *gate == Life::Dropped || running.is_dropped() {
            return Ok(None);
        }
        let policy = self.policy(Some(&running.rollup.policy))?;
        let mut progress = running.progress.write();
        let Progress { durable, .. } = &mut *progress;
        let before = durable.clone();
        let mut next = before.clone().unwrap_or_else(|| self.begin(running, &policy, now, ready));
        let step = self.next_stretch(running, &mut next, now, ready);
        if before.as_ref() != Some(&next) {
            let mut batch = WriteBatch::new();
            self.put_progress(running, &next, &mut batch);
            self.write_soon(&batch)?;
            *durable = Some(next);
        }
        Ok(step)
    }

    /// Where a rollup begins: at the oldest points there are. Those that the age of another rollup
    /// had dropped are gone: no bucket of theirs can be told.
    fn begin(
        &self,
        running: &Running,
        policy: &RetentionPolicy,
        now: Timestamp,
        ready: Timestamp,
    ) -> Durable {
        let coarsest_ns = running.rollup.coarsest_ns();
        let alive_from = policy.alive_from(now).max(self.rules.alive_from(&policy.name, now));
        let others = self.running.read().clone();
        let gone_before = (others.iter())
            .filter(|other| other.rollup.name != running.rollup.name)
            .filter(|other| other.rollup.policy == policy.name)
            .filter_map(|other| Some(other.progress.read().durable.as_ref()?.raw_floor))
            .fold(TIMESTAMP_MIN, Timestamp::max);
        let from = span::ceil(alive_from.max(gone_before), coarsest_ns);
        let all = self.partitions.overlapping(&policy.name, TimeRange::ALL);
        let oldest = all.first().map_or(ready, |partition| partition.range.start.min(ready));
        let start = |every_ns| span::floor(oldest.max(from), every_ns);
        Durable::new(from, running.rollup.levels.iter().map(|l| start(l.every_ns)).collect())
    }

    /// Plans a stretch: moves what is built past what is empty or expired, and what is being built
    /// to the stretch's end.
    fn next_stretch(
        &self,
        running: &Running,
        next: &mut Durable,
        now: Timestamp,
        ready: Timestamp,
    ) -> Option<Step> {
        let levels = &running.rollup.levels;
        let every = |level: usize| levels[level].every_ns;
        let goals: Vec<Timestamp> =
            (0..levels.len()).map(|at| span::floor(ready, every(at)).max(next.built[at])).collect();
        let skip_to = |next: &mut Durable, level: usize, start: Timestamp| {
            next.built[level] = start.clamp(next.built[level], goals[level]);
            next.building[level] = next.building[level].max(next.built[level]);
        };
        let pending = |next: &Durable| -> Vec<usize> {
            (0..levels.len()).filter(|at| next.built[*at] < goals[*at]).collect()
        };
        next.latest = next.latest.max(now);
        for (level, class) in running.classes.iter().enumerate() {
            let alive_from = class.alive_from(next.latest);
            skip_to(next, level, span::ceil(alive_from, every(level)));
        }
        let behind = pending(next);
        let first = behind.iter().map(|at| next.built[*at]).min()?;
        let unbuilt = TimeRange::new(first, ready.saturating_sub(1));
        let partitions = self.partitions.overlapping(&running.rollup.policy, unbuilt);
        let oldest = partitions.first().map(|partition| partition.range);
        for level in behind {
            let start = oldest.map_or(goals[level], |range| range.start);
            skip_to(next, level, span::floor(start, every(level)));
        }
        let behind = pending(next);
        let coarsest_ns = behind.last().map(|at| every(*at))?;
        let end = span::ceil(oldest?.end.saturating_add(1), coarsest_ns);
        let written = next.building.clone();
        let mut stretch = Vec::with_capacity(levels.len());
        for (level, goal) in goals.iter().enumerate() {
            let start = next.built[level];
            let end = span::floor(end, every(level)).clamp(start, start.max(*goal));
            next.building[level] = next.building[level].max(end);
            stretch.push((start, end));
        }
        let levels: Vec<usize> =
            behind.into_iter().filter(|at| stretch[*at].0 < stretch[*at].1).collect();
        let start = levels.iter().map(|at| stretch[*at].0).min()?;
        let end = levels.iter().map(|at| stretch[*at].1).max()?;
        let range = TimeRange::new(start, end - 1);
        Some(Step { stretch, written, levels, range, next: (MeasurementId(0), 0) })
    }

    /// Goes on with a step; says whether it is done.
    fn go_on(&self, running: &Running, step: &mut Step, work: &mut Work) -> Result<bool> {
        while work.left > 0 {
            let gate = self.gate.read();
            if *gate == Life::Dropped || running.is_dropped() {
                return Ok(true);
            }
            let Some((info, series)) = self.next_series(running, step.next)? else {
                drop(gate);
                self.finish(running, step)?;
                return Ok(true);
            };
            let wants = |_: SeriesId, level: usize, start: Timestamp| match step.stretch[level] {
                (from, end) if start < from || start >= end => Want::No,
                _ if start < step.written[level] => Want::Again,
                _ => Want::New,
            };
            let block = Block {
                running,
                info: &info,
                series: &series,
                levels: &step.levels,
                range: step.range,
                rewrites: step.levels.iter().any(|at| step.stretch[*at].0 < step.written[*at]),
                wants: &wants,
            };
            self.build_block(&block, work)?;
            let last = series.last().expect("a block has series");
            step.next = (info.id, last.0.saturating_add(1));
        }
        Ok(false)
    }

    /// Some series from a place on, in the order of measurements and numbers.
    fn next_series(
        &self,
        running: &Running,
        (measurement, series): (MeasurementId, u32),
    ) -> Result<Option<(std::sync::Arc<crate::MeasurementInfo>, Vec<SeriesId>)>> {
        let mut infos = self.schema.all();
        infos.retain(|info| info.id >= measurement && running.rollup.includes(&info.name));
        infos.sort_by_key(|info| info.id);
        for info in infos {
            let all = self.index.all(info.id)?;
            let mut ids = all.iter();
            if info.id == measurement {
                ids.reset_at_or_after(series);
            }
            let block: Vec<SeriesId> = ids.take(BLOCK_SERIES).map(SeriesId).collect();
            if !block.is_empty() {
                return Ok(Some((info, block)));
            }
        }
        Ok(None)
    }

    fn finish(&self, running: &Running, step: &Step) -> Result<()> {
        let gate = self.gate.write();
        if *gate == Life::Dropped || running.is_dropped() {
            return Ok(());
        }
        let mut progress = running.progress.write();
        let Some(durable) = &mut progress.durable else { return Ok(()) };
        let mut next = durable.clone();
        for (level, (_, end)) in step.stretch.iter().enumerate() {
            next.built[level] = *end;
        }
        let mut batch = WriteBatch::new();
        self.put_progress(running, &next, &mut batch);
        self.write_soon(&batch)?;
        *durable = next;
        Ok(())
    }

    pub(super) fn put_progress(
        &self,
        running: &Running,
        durable: &Durable,
        batch: &mut WriteBatch,
    ) {
        let key = entries::rollup_state(&running.rollup.name);
        batch.put(self.index.keyspace(), &key, &entries::to_json(durable));
    }
}
