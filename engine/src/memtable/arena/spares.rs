//! Largest blocks of arenas, kept and made ready for the next memtable of the store.
//!
//! ```text
//! memtable dropped ----> +--------+ ----> memtable takes its next block
//! worker, ahead of time ->| spares | ----> nobody took any for a while: back to the system
//!                         +--------+
//! ```
//!
//! Why: before a new block can be written to, the system has to find and clear 2 MiB. Some put in
//! 14,000 would wait for that, a millisecond and more where memory is in pieces: of the 200 slowest
//! puts among two million it was a third. A block that comes from here was written to before.
//!
//! Steps. Who takes a block when few are left wishes for more, and wakes a worker, which makes them
//! one at a time. The wish grows with every block taken, up to [`MADE_MAX`], and is forgotten
//! when none was taken for [`IDLE_NS`]: a store that writes little keeps little.
//!
//! Invariants: every block kept, and every one being made, is charged to [`Share::Caches`]; where
//! the budget refuses, none is kept. No lock is held while memory is asked for, given back or
//! touched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::memory::{Memory, WORDS_MAX};
use crate::budget::{Budget, Reservation, Share};

/// Blocks kept at most, 64 MiB: those of a memtable that was flushed. What goes back to the system
/// has to be found and cleared again.
const KEPT_MAX: usize = 32;

/// Blocks made ahead of time at most, 16 MiB: what a writer fills in the first moments of a flush;
/// then the blocks of the memtable that is flushed come back.
const MADE_MAX: usize = 8;

/// Bytes of a block.
const BLOCK_BYTES: u64 = 8 * WORDS_MAX as u64;

/// None was taken for so long: they go.
const IDLE_NS: u64 = 3_000_000_000;

struct Kept {
    blocks: Vec<Memory>,
    /// How many should be there.
    wished: usize,
    /// For `blocks`, and for those that are being made.
    charged: Reservation,
    /// One was taken since the last [`Spares::trim`].
    was_used: bool,
    /// When it was last seen that one was taken.
    used_ns: u64,
}

impl Kept {
    /// Takes the charge for one more block.
    fn try_charge(&mut self, count_max: usize) -> bool {
        self.charged.bytes() < count_max as u64 * BLOCK_BYTES && self.charged.try_grow(BLOCK_BYTES)
    }

    fn uncharge(&mut self, count: usize) {
        self.charged.resize_anyway(self.charged.bytes() - count as u64 * BLOCK_BYTES);
    }
}

/// Blocks for the next memtables of a store.
pub struct Spares {
    kept: Mutex<Kept>,
    /// Fewer are there than should be.
    is_due: AtomicBool,
    /// Wakes a worker.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Spares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spares").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Spares {
    /// None yet. `wake` is called when [`Spares::make`] has something to do.
    pub fn new(budget: &Budget, wake: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        let kept = Kept {
            blocks: Vec::new(),
            wished: 0,
            charged: budget.reserve_anyway(Share::Caches, 0),
            was_used: false,
            used_ns: 0,
        };
        Arc::new(Spares { kept: Mutex::new(kept), is_due: AtomicBool::new(false), wake })
    }

    /// Bytes kept or being made.
    pub fn bytes(&self) -> u64 {
        self.kept.lock().charged.bytes()
    }

    /// A largest block that was written to before, if there is one.
    pub(super) fn take(&self) -> Option<Memory> {
        let mut kept = self.kept.lock();
        let block = kept.blocks.pop();
        if block.is_some() {
            kept.uncharge(1);
        }
        kept.was_used = true;
        kept.wished = (kept.wished * 2).clamp(1, MADE_MAX);
        // Not for each block: to wake a worker costs.
        let is_due = kept.blocks.len() <= kept.wished / 2;
        drop(kept);
        if is_due && !self.is_due.swap(true, Ordering::Relaxed) {
            (self.wake)();
        }
        block
    }

    /// Keeps a block that nobody uses any more, or gives it back.
    pub(super) fn give(&self, block: Memory) {
        assert_eq!(block.len(), WORDS_MAX, "largest blocks only");
        let mut kept = self.kept.lock();
        if kept.wished > 0 && kept.try_charge(KEPT_MAX) {
            kept.blocks.push(block);
        }
    }

    /// Makes a block ready, if there are fewer than there should be; says whether it did.
    pub fn make(&self) -> bool {
        if !self.is_due.load(Ordering::Relaxed) {
            return false;
        }
        let mut kept = self.kept.lock();
        let wished = kept.wished;
        if !kept.try_charge(wished) {
            self.is_due.store(false, Ordering::Relaxed);
            return false;
        }
        drop(kept);
        let block = Memory::touched();
        let mut kept = self.kept.lock();
        let is_made = block.is_some();
        match block {
            Some(block) => kept.blocks.push(block),
            None => {
                kept.uncharge(1);
                self.is_due.store(false, Ordering::Relaxed);
            }
        }
        is_made
    }

    /// Gives them back to the system where none was taken for a while. Called on a tick.
    pub fn trim(&self, now_ns: u64) {
        let mut kept = self.kept.lock();
        let is_idle = now_ns.saturating_sub(kept.used_ns) >= IDLE_NS;
        if std::mem::take(&mut kept.was_used) {
            kept.used_ns = now_ns;
        } else if is_idle && (kept.wished > 0 || kept.charged.bytes() > 0) {
            drop(kept);
            self.clear();
        }
    }

    /// Gives all of them back to the system: memory is short, or nobody writes.
    pub fn clear(&self) {
        let mut kept = self.kept.lock();
        kept.wished = 0;
        let blocks = std::mem::take(&mut kept.blocks);
        kept.uncharge(blocks.len());
        drop(kept);
        self.is_due.store(false, Ordering::Relaxed);
        drop(blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn spares(budget: &Budget) -> (Arc<Spares>, Arc<AtomicUsize>) {
        let woken = Arc::new(AtomicUsize::new(0));
        let counted = woken.clone();
        let wake = Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        (Spares::new(budget, wake), woken)
    }

    fn make_all(spares: &Spares) -> usize {
        std::iter::from_fn(|| spares.make().then_some(())).count()
    }

    #[test]
    fn the_wish_grows_with_what_is_taken_and_is_forgotten() {
        let budget = Budget::unlimited();
        let (spares, woken) = spares(&budget);
        assert_eq!(make_all(&spares), 0, "nobody wished for any");
        let mut kept = 0;
        for wished in [1, 2, 4, 8, 8, 8, 8] {
            assert_eq!(spares.take().is_some(), kept > 0);
            kept = kept.max(1) - 1;
            make_all(&spares);
            kept = if kept <= wished / 2 { wished } else { kept };
            assert_eq!(spares.bytes(), kept as u64 * BLOCK_BYTES, "{wished} wished for");
            assert_eq!(budget.held_bytes(Share::Caches), spares.bytes());
        }
        assert_eq!(woken.load(Ordering::Relaxed), 4, "not when enough are there");
        for (now_ns, is_kept) in [(10, true), (9 + IDLE_NS, true), (10 + IDLE_NS, false)] {
            spares.trim(now_ns);
            assert_eq!(spares.bytes() > 0, is_kept, "at {now_ns}");
        }
        assert_eq!((make_all(&spares), budget.total_bytes()), (0, 0));
    }

    #[test]
    fn a_block_given_back_is_the_next_one_taken() {
        let budget = Budget::unlimited();
        let (spares, _) = spares(&budget);
        let blocks = [(); 3].map(|()| {
            assert!(spares.take().is_none());
            Memory::new(WORDS_MAX)
        });
        let places = [0, 1, 2].map(|at: usize| blocks[at].words());
        blocks.into_iter().for_each(|block| spares.give(block));
        assert_eq!(spares.bytes(), 3 * BLOCK_BYTES);
        let taken = [(); 3].map(|()| spares.take().expect("kept"));
        assert!(taken.iter().all(|block| places.contains(&block.words())));
        assert_eq!((spares.bytes(), budget.total_bytes()), (0, 0));
        // No more are kept than a memtable has.
        (0..100).for_each(|_| spares.give(Memory::new(WORDS_MAX)));
        assert_eq!(spares.bytes(), KEPT_MAX as u64 * BLOCK_BYTES);
        spares.clear();
        spares.give(Memory::new(WORDS_MAX));
        assert_eq!(budget.total_bytes(), 0, "nobody wishes for any");
    }

    #[test]
    fn where_the_budget_refuses_none_is_kept() {
        // Caches get three quarters.
        let budget = Budget::new(4 * BLOCK_BYTES);
        let (spares, _) = spares(&budget);
        (0..5).for_each(|_| assert!(spares.take().is_none()));
        assert_eq!(make_all(&spares), 3);
        spares.give(Memory::new(WORDS_MAX));
        assert_eq!(spares.bytes(), 3 * BLOCK_BYTES);
    }
}
