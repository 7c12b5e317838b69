//! Building again what late points and deletes touched.
//!
//! 1. *Take*, while the gate is held for writing: the marks of the oldest slots that rested, those
//!    of one bucket of the coarsest level together, of some series. From then on writers mark
//!    these anew; readers go on to see them marked.
//! 2. Build the buckets of those series that touch their slots.
//! 3. *Remove* the marks, while the gate is held for writing, but for series marked meanwhile.
//!
//! So the cost is that of the marked series and slots, and of the bucket around them. A crash
//! before the marks are removed leaves them: the same is built once more.

use std::collections::BTreeMap;

use croaring::Bitmap;
use firndb_engine::batch::WriteBatch;

use super::block::{Block, Want, Work};
use super::span;
use super::state::{Durable, Progress, Running};
use crate::Result;
use crate::database::{Database, Life};
use crate::index::entries;
use crate::index::postings::Postings;
use crate::model::{MeasurementId, SeriesId, TimeRange, Timestamp};

/// Series taken at once.
const SERIES_AT_ONCE: u64 = 4096;

/// Series built while the gate is held.
const BLOCK_SERIES: usize = 128;

impl Progress {
    /// Whether marks in a slot have rested by `now`; a clock that was set back makes no mark wait.
    fn is_due(&self, slot: i64, now: Timestamp, delay_ns: i64) -> bool {
        self.dirty.get(&slot).is_some_and(|dirty| {
            now < dirty.marked_at || now.saturating_sub(dirty.marked_at) >= delay_ns
        })
    }

    fn first_due(&self, now: Timestamp, delay_ns: i64) -> Option<i64> {
        self.dirty.keys().copied().find(|slot| self.is_due(*slot, now, delay_ns))
    }

    /// Moves marks that have rested to those being repaired.
    fn take_due(&mut self, now: Timestamp, delay_ns: i64, coarsest_ns: i64) {
        let Some(first) = self.first_due(now, delay_ns) else { return };
        let around = span::touched(span::slot_range(first), coarsest_ns.max(span::SLOT_NS));
        let slots: Vec<i64> = (self.dirty.range(first..))
            .map(|(slot, _)| *slot)
            .take_while(|slot| span::slot_range(*slot).end <= around.end)
            .filter(|slot| self.is_due(*slot, now, delay_ns))
            .collect();
        let mut all = Bitmap::new();
        for slot in &slots {
            all.or_inplace(&self.dirty[slot].series);
        }
        let taken: Bitmap = all.iter().take(SERIES_AT_ONCE as usize).collect();
        for slot in slots {
            let Some(dirty) = self.dirty.get_mut(&slot) else { continue };
            self.repairing.insert(slot, dirty.series.and(&taken));
            dirty.series.andnot_inplace(&taken);
            if dirty.series.is_empty() {
                self.dirty.remove(&slot);
            }
        }
    }
}

impl Database {
    /// Repairs some slots that rested; returns how many.
    pub(super) fn repair(&self, running: &Running, work: &mut Work) -> Result<u64> {
        let (now, delay_ns) = (work.now, self.rolling.delay_ns);
        if running.progress.read().first_due(now, delay_ns).is_none() {
            return Ok(0);
        }
        let (durable, taken) = {
            let _gate = self.gate.write();
            let mut progress = running.progress.write();
            let Some(durable) = &mut progress.durable else { return Ok(0) };
            durable.latest = durable.latest.max(now);
            let durable = durable.clone();
            progress.take_due(now, delay_ns, running.rollup.coarsest_ns());
            (durable, progress.repairing.clone())
        };
        let done = self.repair_slots(running, &durable, &taken, work);
        match done.and_then(|()| self.remove_marks(running, &taken)) {
            Ok(()) => Ok(taken.len() as u64),
            Err(error) => {
                running.progress.write().put_back();
                Err(error)
            }
        }
    }

    fn repair_slots(
        &self,
        running: &Running,
        durable: &Durable,
        slots: &BTreeMap<i64, Bitmap>,
        work: &mut Work,
    ) -> Result<()> {
        let Some(hull) = slots.keys().next().zip(slots.keys().next_back()) else { return Ok(()) };
        let hull = TimeRange::new(span::slot_range(*hull.0).start, span::slot_range(*hull.1).end);
        let every = |level: usize| running.rollup.levels[level].every_ns;
        let is_built = |level: usize, start: Timestamp| {
            start >= durable.from && start.saturating_add(every(level)) <= durable.built[level]
        };
        let levels: Vec<usize> = (0..running.classes.len())
            .filter(|at| is_built(*at, span::floor(hull.start.max(durable.from), every(*at))))
            .collect();
        let Some(coarsest) = levels.last() else { return Ok(()) };
        let alive_from: Vec<Timestamp> =
            running.classes.iter().map(|class| class.alive_from(durable.latest)).collect();
        let wants = |series: SeriesId, level: usize, start: Timestamp| {
            let end = start.saturating_add(every(level) - 1);
            let mut touched = slots.range(span::slot_of(start)..=span::slot_of(end));
            let is_wanted = is_built(level, start)
                && start >= alive_from[level]
                && touched.any(|(_, marked)| marked.contains(series.0));
            if is_wanted { Want::Again } else { Want::No }
        };
        let range = span::touched(hull, every(*coarsest));
        for (measurement, series) in self.by_measurement(slots)? {
            for series in series.chunks(BLOCK_SERIES) {
                let gate = self.gate.read();
                let Some(info) = self.schema.by_id(measurement) else { break };
                if *gate == Life::Dropped || running.is_dropped() {
                    return Ok(());
                }
                let (info, levels, wants) = (&*info, &levels[..], &wants);
                let block = Block { running, info, series, levels, range, rewrites: true, wants };
                self.build_block(&block, work)?;
            }
        }
        Ok(())
    }

    /// The live series of marks.
    fn by_measurement(
        &self,
        slots: &BTreeMap<i64, Bitmap>,
    ) -> Result<BTreeMap<MeasurementId, Vec<SeriesId>>> {
        let mut all = Bitmap::new();
        slots.values().for_each(|series| all.or_inplace(series));
        let mut by_measurement: BTreeMap<MeasurementId, Vec<SeriesId>> = BTreeMap::new();
        for id in all.iter().map(SeriesId) {
            if let Some((measurement, _)) = self.index.key(id)? {
                by_measurement.entry(measurement).or_default().push(id);
            }
        }
        Ok(by_measurement)
    }

    fn remove_marks(&self, running: &Running, taken: &BTreeMap<i64, Bitmap>) -> Result<()> {
        let gate = self.gate.write();
        if *gate == Life::Dropped || running.is_dropped() {
            return Ok(());
        }
        let mut progress = running.progress.write();
        let mut batch = WriteBatch::new();
        if let Some(durable) = &progress.durable {
            self.put_progress(running, durable, &mut batch);
        }
        for (slot, series) in taken {
            let key = entries::rollup_mark(&running.rollup.name, *slot);
            match progress.dirty.get(slot) {
                None => batch.delete(self.index.keyspace(), &key),
                Some(dirty) => {
                    let done = Postings::removing(series.andnot(&dirty.series)).encode();
                    batch.merge(self.index.keyspace(), &key, &done);
                }
            }
        }
        self.write_soon(&batch)?;
        progress.repairing.clear();
        Ok(())
    }
}
