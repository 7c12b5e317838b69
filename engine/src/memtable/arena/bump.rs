//! Memory that is handed out front to back by several threads without a lock, and freed as a whole.
//!
//! ```text
//! current -> [ block: used | free ] -> [ full block ] -> ... -> null      each four times the one
//! large   -> [ one allocation ] -> ... -> null                           before, up to 2 MiB
//! ```
//!
//! A thread takes its piece of the current block by adding to `used`: pieces are disjoint. Who
//! finds the block full makes the next one and swaps it in; of several that do, one wins and the
//! others free theirs. What would waste more than a quarter of a block gets a block of its own.
//!
//! On `unsafe`. A block is leaked into a raw pointer when it is made, and owns its memory. It
//! is reachable from exactly one of the two lists or, before that, by its maker alone; it leaves
//! neither list before the [`Bump`] is dropped, when nobody holds a piece any more: pieces
//! are used by [`super::list`] alone, which owns the `Bump` and frees it last. `previous` is set
//! before the block is published by a release, and never changes after.

use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::atomics::{Atomics, Count, Pointer};
use super::memory::{Memory, WORDS_MAX};
use super::spares::Spares;

/// Words of 8 bytes of the first block: 4 KiB, for the many keyspaces that hold little.
const BLOCK_WORDS_MIN: usize = 512;

struct Block<A: Atomics> {
    /// The block before; null for the first.
    previous: *mut Block<A>,
    /// Words used in all blocks before.
    used_before: usize,
    /// Words asked for; more than there are once it is full.
    used: A::Count,
    memory: Memory,
}

impl<A: Atomics> Block<A> {
    fn new(previous: *mut Self, used_before: usize, memory: Memory, used: usize) -> *mut Self {
        let used = A::Count::new(used);
        Box::into_raw(Box::new(Block { previous, used_before, used, memory }))
    }

    /// Words used here and before.
    fn used_in_all(&self) -> usize {
        self.used_before + self.used.load(Relaxed).min(self.memory.len())
    }
}

/// Memory handed out front to back.
pub(super) struct Bump<A: Atomics> {
    current: A::Pointer<Block<A>>,
    large: A::Pointer<Block<A>>,
    /// Where largest blocks come from and go to.
    spares: Option<Arc<Spares>>,
}

// SAFETY: blocks are shared between threads by design: their fields but for `used`, which is
// atomic, do not change once a block is published, and pieces are handed out disjoint.
#[expect(unsafe_code, reason = "shared memory handed out in pieces; see the module")]
unsafe impl<A: Atomics> Send for Bump<A> {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "shared memory handed out in pieces; see the module")]
unsafe impl<A: Atomics> Sync for Bump<A> {}

#[expect(unsafe_code, reason = "shared memory handed out in pieces; see the module")]
impl<A: Atomics> Bump<A> {
    pub(super) fn new(spares: Option<Arc<Spares>>) -> Self {
        let (current, large) = (A::Pointer::new(null_mut()), A::Pointer::new(null_mut()));
        Bump { current, large, spares }
    }

    /// Memory for a block.
    fn memory(&self, words: usize) -> Memory {
        let spares = self.spares.as_ref().filter(|_| words == WORDS_MAX);
        spares.and_then(|spares| spares.take()).unwrap_or_else(|| Memory::new(words))
    }

    /// The block at `pointer`, which came out of one of the two lists.
    fn block(&self, pointer: *mut Block<A>) -> Option<&Block<A>> {
        // SAFETY: null, or a published block: blocks are freed only when `self` is dropped, and
        // nothing but `used`, an atomic, changes in them.
        unsafe { pointer.as_ref() }
    }

    /// The memory of a block that nobody uses.
    fn give_back(&self, memory: Memory) {
        if let Some(spares) = self.spares.as_ref().filter(|_| memory.len() == WORDS_MAX) {
            spares.give(memory);
        }
    }

    /// Memory of `words` words that is nobody else's, aligned to a word, not initialised.
    pub(super) fn take(&self, words: usize) -> NonNull<u64> {
        if words > WORDS_MAX / 4 {
            return self.take_large(words);
        }
        let mut current = self.current.load(Acquire);
        loop {
            let mut next_words = BLOCK_WORDS_MIN;
            let mut used_before = 0;
            if let Some(block) = self.block(current) {
                let at = block.used.fetch_add(words, Relaxed);
                if at + words <= block.memory.len() {
                    // SAFETY: `at..at + words` lies in the block, and the addition gave it to
                    // this call alone.
                    return unsafe { block.memory.words().add(at) };
                }
                next_words = (block.memory.len() * 4).min(WORDS_MAX);
                // Another thread may have made the next one while this one looked.
                let now = self.current.load(Acquire);
                if now != current {
                    current = now;
                    continue;
                }
                // The rest of it is lost, and counts as used.
                used_before = block.used_before + block.memory.len();
            }
            let next_words = next_words.max(words.next_power_of_two());
            let next = Block::new(current, used_before, self.memory(next_words), words);
            match self.current.compare_exchange(current, next, Release, Acquire) {
                // SAFETY: the block was just made, its first `words` words were taken by its
                // maker, and it has at least that many.
                Ok(_) => return unsafe { (*next).memory.words() },
                Err(other) => {
                    // SAFETY: nobody has seen the block: the exchange did not take place.
                    self.give_back(unsafe { Box::from_raw(next) }.memory);
                    current = other;
                }
            }
        }
    }

    /// A block of its own for one large piece.
    fn take_large(&self, words: usize) -> NonNull<u64> {
        let mut previous = self.large.load(Acquire);
        loop {
            let used_before = self.block(previous).map_or(0, Block::used_in_all);
            let block = Block::new(previous, used_before, Memory::new(words), words);
            match self.large.compare_exchange(previous, block, Release, Acquire) {
                // SAFETY: the block was just made and is this call's alone.
                Ok(_) => return unsafe { (*block).memory.words() },
                Err(other) => {
                    // SAFETY: nobody has seen the block: the exchange did not take place.
                    drop(unsafe { Box::from_raw(block) });
                    previous = other;
                }
            }
        }
    }

    /// Bytes handed out, with what was left over at the end of full blocks.
    pub(super) fn bytes(&self) -> usize {
        let lists = [self.current.load(Acquire), self.large.load(Acquire)];
        8 * lists.iter().map(|list| self.block(*list).map_or(0, Block::used_in_all)).sum::<usize>()
    }
}

#[expect(unsafe_code, reason = "shared memory handed out in pieces; see the module")]
impl<A: Atomics> Drop for Bump<A> {
    fn drop(&mut self) {
        for list in [&self.current, &self.large] {
            let mut next = list.load(Acquire);
            while !next.is_null() {
                // SAFETY: `&mut self`: no piece is in use, and each block is in one list, once.
                let Block { previous, memory, .. } = *unsafe { Box::from_raw(next) };
                self.give_back(memory);
                next = previous;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::atomics::Native;
    use super::*;
    use crate::budget::Budget;

    #[test]
    fn pieces_are_disjoint_and_counted() {
        let bump = Bump::<Native>::new(None);
        assert_eq!(bump.bytes(), 0);
        let mut pieces = Vec::new();
        for round in 0..4000 {
            let words = match round % 1000 {
                999 => WORDS_MAX / 4 + 1 + round,
                500 => WORDS_MAX / 4,
                _ => 1 + round % 40,
            };
            let before = bump.bytes();
            pieces.push((bump.take(words).as_ptr() as usize, 8 * words));
            assert!(bump.bytes() >= before + 8 * words, "round {round}");
        }
        let asked: usize = pieces.iter().map(|(_, bytes)| bytes).sum();
        assert!(bump.bytes() < asked + asked / 4, "{} of {asked}", bump.bytes());
        pieces.sort_unstable();
        assert!(pieces.iter().all(|(at, _)| at % 8 == 0));
        assert!(pieces.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
    }

    #[test]
    fn largest_blocks_go_from_one_list_to_the_next() {
        let budget = Budget::unlimited();
        let spares = Spares::new(&budget, Box::new(|| ()));
        let fill = || {
            let bump = Bump::<Native>::new(Some(spares.clone()));
            // As many largest blocks as there are pieces, up to a few at the front.
            let pieces = (0..40).map(|_| bump.take(WORDS_MAX / 4).as_ptr() as usize);
            let blocks = pieces.map(|at| at / (8 * WORDS_MAX)).collect::<BTreeSet<_>>();
            (bump, blocks)
        };
        let (first, blocks) = fill();
        assert_eq!(spares.bytes(), 0);
        drop(first);
        let kept = spares.bytes();
        assert!(kept > 0 && kept == budget.total_bytes());
        let (_second, again) = fill();
        assert!(again.intersection(&blocks).count() as u64 >= kept / (8 * WORDS_MAX as u64));
        assert_eq!((spares.bytes(), budget.total_bytes()), (0, 0));
    }
}
