//! Where blocks were last put, so that the processor fetches them while the cache looks them up.
//!
//! A look-up goes through tables that the processor's cache holds as a rule; the block that it
//! finds lies in memory. To read the head of a search there are two waits, one after the other:
//! for the line with the block's reference count, and for that at the end of its bytes, which
//! its address comes from. With a hint both are asked for before the look-up begins.
//!
//! ```text
//! hint i := address of the `Arc`'s block | address of the last byte
//! i      := (mixed file number + offset / 4 KiB) mod hints      neighbours get neighbours
//! ```
//!
//! Invariants:
//! - nothing is read at an address from here: it is only handed to the processor, for which a stale
//!   one is as good as any other. So hints are written without order, one half at a time, and stay
//!   when their block goes;
//! - written where a block is read from its file, not where it is found: readers of blocks in
//!   memory share no written line.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::BlockBytes;
use crate::key::FileNumber;
use crate::prefetch;

/// Of the usual size of blocks, as a power of two.
const BLOCK_BITS: u32 = 12;
/// For each block that fits into the cache so many, or else every other one loses its hint to a
/// block that came by.
const HINTS_A_BLOCK: u64 = 2;
/// More would be waited for themselves: 4 MiB.
const HINTS_MAX: u64 = 1 << 18;
/// Bytes of a line of the processor's cache.
const LINE_BYTES: usize = 64;

#[derive(Debug, Default)]
struct Hint {
    block: AtomicUsize,
    last: AtomicUsize,
}

/// Where blocks were last put.
#[derive(Debug)]
pub(super) struct Hints(Box<[Hint]>);

impl Hints {
    /// For a cache of so many bytes.
    pub(super) fn new(bytes_max: u64) -> Self {
        let count = (bytes_max >> BLOCK_BITS).saturating_mul(HINTS_A_BLOCK).clamp(1, HINTS_MAX);
        Hints((0..count.next_power_of_two()).map(|_| Hint::default()).collect())
    }

    fn hint(&self, file: FileNumber, offset: u64) -> &Hint {
        let spread = file.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let at = spread.wrapping_add(offset >> BLOCK_BITS) as usize;
        &self.0[at & (self.0.len() - 1)]
    }

    /// Asks the processor for the reference count and the end of a block that is looked up next.
    #[inline]
    pub(super) fn fetch(&self, file: FileNumber, offset: u64) {
        let hint = self.hint(file, offset);
        let block = hint.block.load(Ordering::Relaxed);
        let last = hint.last.load(Ordering::Relaxed);
        for address in [block, last, last.wrapping_sub(LINE_BYTES)] {
            prefetch::address(ptr::without_provenance::<u8>(address));
        }
    }

    /// Takes note of where a block was put.
    pub(super) fn note(&self, file: FileNumber, offset: u64, block: &Arc<BlockBytes>) {
        let hint = self.hint(file, offset);
        hint.block.store(Arc::as_ptr(block).addr(), Ordering::Relaxed);
        hint.last.store(block.as_ptr_range().end.addr().saturating_sub(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hinted(hints: &Hints, file: u64, offset: u64) -> (usize, usize) {
        let hint = hints.hint(FileNumber(file), offset);
        (hint.block.load(Ordering::Relaxed), hint.last.load(Ordering::Relaxed))
    }

    #[test]
    fn a_hint_says_where_the_block_and_its_end_are() {
        let hints = Hints::new(1 << 20);
        assert_eq!(hinted(&hints, 3, 8192), (0, 0), "nothing was put anywhere");
        hints.fetch(FileNumber(3), 8192); // of nothing
        let blocks: Vec<_> = (0..256).map(|_| Arc::new(BlockBytes::new(vec![7; 100]))).collect();
        for (at, block) in blocks.iter().enumerate() {
            hints.note(FileNumber(3), 4100 * at as u64, block);
        }
        for (at, block) in blocks.iter().enumerate() {
            let last: *const u8 = block.last().unwrap();
            let expected = (Arc::as_ptr(block).addr(), last.addr());
            assert_eq!(hinted(&hints, 3, 4100 * at as u64), expected, "a cache full of one file");
            hints.fetch(FileNumber(3), 4100 * at as u64);
        }
        drop(blocks);
        hints.fetch(FileNumber(3), 4100); // where nothing is any more
    }

    #[test]
    fn any_size_and_any_place_has_a_hint() {
        let block = Arc::new(BlockBytes::new(Vec::new()));
        for bytes_max in [0, 1, 4096, 5000, 1 << 20, 100 << 20, u64::MAX] {
            let hints = Hints::new(bytes_max);
            for (file, offset) in [(0, 0), (u64::MAX, u64::MAX), (1, 1 << 40)] {
                hints.note(FileNumber(file), offset, &block);
                hints.fetch(FileNumber(file), offset);
                assert_eq!(hinted(&hints, file, offset).0, Arc::as_ptr(&block).addr());
            }
            assert!(hints.0.len() as u64 <= HINTS_MAX);
        }
    }
}
