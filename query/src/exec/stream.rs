//! The parts of an answer, pulled: output series one after another, each in as many parts as it
//! takes.
//!
//! Where output series are many and small they are made by all threads, a wave at a time; a
//! large one is made part by part, and the threads share the work within it.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use rayon::prelude::*;

use super::Series;
use super::division::Warnings;
use super::fold::WORTH_THREADS;
use super::raw::RawRun;
use super::shared::Shared;
use super::windowed::GroupRun;
use crate::error::Result;

/// Output series of a wave, per thread.
const WAVE: usize = 8;
/// Rows that one output series may have to be made whole in a wave.
const WAVE_ROWS: u64 = 16 * 1024;

/// Rows of a part from which on it pays to make the next one while this one is written out.
const AHEAD_ROWS: usize = 2048;

/// The parts of an answer, in order. After an error there are no more.
///
/// While the caller writes a long part out, a thread of the pool makes the next one.
pub struct SeriesStream {
    source: Source,
    /// A part is held back until it is known whether its series goes on.
    held: Option<Series>,
    skip: u64,
    left: u64,
    warnings: Warnings,
}

/// Where the next part comes from.
enum Source {
    /// There are no more.
    Done,
    /// It is made when it is asked for.
    Idle(Box<Producer>),
    /// It is being made.
    Ahead(Receiver<Made>),
}

type Made = (Box<Producer>, Result<Option<Series>>);

/// Makes part after part, whichever series they belong to.
struct Producer {
    shared: Arc<Shared>,
    next_group: usize,
    current: Option<Run>,
    ready: VecDeque<Series>,
}

enum Run {
    Windowed(GroupRun),
    Raw(RawRun),
}

impl Run {
    fn new(shared: &Shared, group: usize) -> Run {
        match shared.resolved.is_raw() {
            true => Run::Raw(RawRun::new(shared, group)),
            false => Run::Windowed(GroupRun::new(shared, group)),
        }
    }

    fn next(&mut self, shared: &Shared) -> Result<Option<Series>> {
        match self {
            Run::Windowed(run) => run.next(shared),
            Run::Raw(run) => run.next(shared),
        }
    }
}

impl Producer {
    /// Makes the next part on a thread of the pool, if there is one.
    fn ahead(mut self: Box<Self>) -> Source {
        let Some(pool) = self.shared.means.pool.clone() else { return Source::Idle(self) };
        let (sender, made) = mpsc::sync_channel(1);
        pool.spawn(move || {
            // A panic is one of our bugs: it ends this answer, not the process. The sender goes
            // with it, and whoever waits for the part panics in turn.
            let made = std::panic::catch_unwind(AssertUnwindSafe(move || {
                let part = self.pull();
                (self, part)
            }));
            if let Ok(made) = made {
                let _ = sender.send(made); // nobody may want it any more
            }
        });
        Source::Ahead(made)
    }

    /// The next part, whichever series it belongs to.
    fn pull(&mut self) -> Result<Option<Series>> {
        let shared = &*self.shared.clone();
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Ok(Some(part));
            }
            if let Some(run) = &mut self.current {
                if let Some(part) = run.next(shared)? {
                    return Ok(Some(part));
                }
                self.current = None;
            }
            if self.next_group == shared.groups.len() {
                return Ok(None);
            }
            let wave = self.wave(shared);
            if wave <= 1 {
                self.current = Some(Run::new(shared, self.next_group));
                self.next_group += 1;
                continue;
            }
            let whole = |group| -> Result<Vec<Series>> {
                let mut run = Run::new(shared, group);
                let mut parts = Vec::new();
                while let Some(part) = run.next(shared)? {
                    parts.push(part);
                }
                Ok(parts)
            };
            let groups = self.next_group..self.next_group + wave;
            self.next_group += wave;
            let pool = shared.means.pool.as_ref().expect("a wave has threads");
            let made: Result<Vec<Vec<Series>>> =
                pool.install(|| groups.into_par_iter().map(whole).collect());
            self.ready.extend(made?.into_iter().flatten());
        }
    }

    /// How many output series to make at once; the first one is made alone and tells what the
    /// others will cost.
    fn wave(&self, shared: &Shared) -> usize {
        let left = shared.groups.len() - self.next_group;
        let Some(pool) = &shared.means.pool else { return 1 };
        let plan = &shared.plan;
        let rows = match (plan.limit, shared.resolved.is_raw()) {
            (Some(limit), _) => limit,
            (None, true) => u64::MAX,
            (None, false) if shared.is_open_start() && plan.window.is_some() => u64::MAX,
            (None, false) => shared.buckets.count_between(plan.range.start, plan.range.end),
        };
        let cost = shared.points() / self.next_group.max(1) as u64 + 5_000;
        let is_worth = self.next_group > 0 && cost.saturating_mul(left as u64) >= WORTH_THREADS;
        if rows > WAVE_ROWS || !is_worth {
            return 1;
        }
        left.min(pool.current_num_threads() * WAVE)
    }
}

impl SeriesStream {
    /// An answer without rows.
    pub(super) fn empty() -> SeriesStream {
        let warnings = Warnings::default();
        SeriesStream { source: Source::Done, held: None, skip: 0, left: 0, warnings }
    }

    /// The answer of a prepared query.
    pub(super) fn new(shared: Shared, warnings: Warnings) -> SeriesStream {
        let (skip, left) =
            (shared.plan.series_offset, shared.plan.series_limit.unwrap_or(u64::MAX));
        let shared = Arc::new(shared);
        let producer = Producer { shared, next_group: 0, current: None, ready: VecDeque::new() };
        SeriesStream { source: Source::Idle(Box::new(producer)), held: None, skip, left, warnings }
    }

    /// Where the answer is not exact; complete once the last part was given.
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// The next part, whichever series it belongs to.
    fn pull(&mut self) -> Result<Option<Series>> {
        let (producer, part) = match std::mem::replace(&mut self.source, Source::Done) {
            Source::Done => return Ok(None),
            Source::Idle(mut producer) => {
                let part = producer.pull();
                (producer, part)
            }
            Source::Ahead(made) => made.recv().expect("a part is made or its thread panics"),
        };
        let part = part?;
        self.source = match &part {
            None => Source::Done,
            Some(part) if part.times.len() >= AHEAD_ROWS => producer.ahead(),
            Some(_) => Source::Idle(producer),
        };
        Ok(part)
    }

    /// Counts output series; whether this part is shown, or `None` when the answer is complete.
    fn admit(&mut self, is_new: bool) -> Option<bool> {
        if is_new {
            if self.skip > 0 {
                self.skip -= 1;
                return Some(false);
            }
            if self.left == 0 {
                return None;
            }
            self.left -= 1;
        }
        Some(true)
    }

    fn advance(&mut self) -> Result<Option<Series>> {
        let mut skipped: Option<Series> = None;
        loop {
            let Some(part) = self.pull()? else { return Ok(self.held.take()) };
            let last = self.held.as_ref().or(skipped.as_ref());
            let is_new = last.is_none_or(|last| !Arc::ptr_eq(&last.head, &part.head));
            if !is_new && skipped.is_some() {
                continue;
            }
            match self.admit(is_new) {
                None => {
                    self.source = Source::Done;
                    return Ok(self.held.take());
                }
                Some(false) => skipped = Some(part),
                Some(true) => {
                    skipped = None;
                    if let Some(mut held) = self.held.replace(part) {
                        held.partial = !is_new;
                        return Ok(Some(held));
                    }
                }
            }
        }
    }
}

impl Iterator for SeriesStream {
    type Item = Result<Series>;

    fn next(&mut self) -> Option<Result<Series>> {
        let next = self.advance();
        if next.is_err() {
            self.source = Source::Done;
            self.held = None;
        }
        next.transpose()
    }
}
