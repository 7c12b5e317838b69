//! The memory of one block of an arena, owned.
//!
//! The largest blocks are mapped one by one, each on a large page of the processor. From the
//! allocator of the process they would come out of memory that others have used, in small pages
//! for good: in the server three quarters of them did, and a search waits for that.
//!
//! On `unsafe`: the pointer comes from [`obtain`], belongs to this value alone, and goes back once,
//! with the same number of words. Nothing here makes a reference to what lies in it, which is not
//! initialised.

use std::alloc::Layout;
use std::ptr::NonNull;

/// Words of 8 bytes of the largest block: 2 MiB, a large page of the processor. A search goes all
/// over the memtable, and with small pages it also waits for the tables of pages.
pub(super) const WORDS_MAX: usize = 256 << 10;

/// Words of a small page.
const PAGE_WORDS: usize = 512;

/// Memory of some words, not initialised, given back when dropped.
#[derive(Debug)]
pub(super) struct Memory {
    words: NonNull<u64>,
    len: usize,
}

// SAFETY: it owns what it points to, and gives out no more than the pointer.
#[expect(unsafe_code, reason = "an allocation; see the module")]
unsafe impl Send for Memory {}

/// How so many words lie in memory.
fn layout(words: usize) -> Layout {
    Layout::array::<u64>(words).expect("a batch is bounded, and so is a block")
}

/// Memory of so many words, if there is any.
#[expect(unsafe_code, reason = "an allocation; see the module")]
fn obtain(words: usize) -> Option<NonNull<u64>> {
    assert!(words > 0, "a block has words");
    #[cfg(target_os = "linux")]
    if words == WORDS_MAX {
        return large_page::map();
    }
    // SAFETY: the size is not 0.
    NonNull::new(unsafe { std::alloc::alloc(layout(words)) }.cast())
}

/// Gives back what [`obtain`] gave for so many words.
///
/// # Safety
/// It came from there, with this number of words, was not given back, and nobody uses it.
#[expect(unsafe_code, reason = "an allocation; see the module")]
unsafe fn release(memory: NonNull<u64>, words: usize) {
    #[cfg(target_os = "linux")]
    if words == WORDS_MAX {
        // SAFETY: the caller's promise.
        return unsafe { large_page::unmap(memory) };
    }
    // SAFETY: allocated with this layout, and by the caller's promise not in use.
    unsafe { std::alloc::dealloc(memory.as_ptr().cast(), layout(words)) };
}

/// Memory of [`WORDS_MAX`] words straight from the system.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "mappings of memory; see the module")]
mod large_page {
    use std::ffi::c_void;
    use std::ptr::{NonNull, null_mut};

    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

    use super::WORDS_MAX;

    const BYTES: usize = 8 * WORDS_MAX;

    /// Maps a large page, if there is memory.
    pub(super) fn map() -> Option<NonNull<u64>> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // Twice as much holds one that lies where a large page can.
        // SAFETY: a new mapping, at a place that the system chooses: nobody else's memory.
        let start = unsafe { mmap_anonymous(null_mut(), 2 * BYTES, access, flags) }.ok()?;
        let before = start.align_offset(BYTES);
        let large = start.wrapping_byte_add(before);
        // SAFETY: both parts lie inside the mapping and around the large page: nobody uses them.
        unsafe {
            unmap_part(start, before);
            unmap_part(large.wrapping_byte_add(BYTES), BYTES - before);
        }
        // SAFETY: it was just mapped, and the advice does not change what it holds. Where there are
        // no large pages, small ones do.
        let _ = unsafe { madvise(large, BYTES, Advice::LinuxHugepage) };
        NonNull::new(large.cast())
    }

    /// Unmaps what [`map`] gave.
    ///
    /// # Safety
    /// It came from there, was not unmapped, and nobody uses it.
    pub(super) unsafe fn unmap(memory: NonNull<u64>) {
        // SAFETY: the caller's promise.
        unsafe { unmap_part(memory.as_ptr().cast(), BYTES) };
    }

    /// # Safety
    /// So many bytes from `start` on are mapped, by `map`, and nobody uses them.
    unsafe fn unmap_part(start: *mut c_void, bytes: usize) {
        if bytes > 0 {
            // SAFETY: the caller's promise.
            let unmapped = unsafe { munmap(start, bytes) };
            debug_assert!(unmapped.is_ok(), "whole pages of ours: {unmapped:?}");
        }
    }
}

#[expect(unsafe_code, reason = "an allocation; see the module")]
impl Memory {
    /// Memory of so many words, of which there is at least one.
    pub(super) fn new(words: usize) -> Self {
        Memory::try_new(words).unwrap_or_else(|| std::alloc::handle_alloc_error(layout(words)))
    }

    /// As `new`, unless there is none.
    fn try_new(len: usize) -> Option<Self> {
        obtain(len).map(|words| Memory { words, len })
    }

    /// Memory of a largest block that the system has found and cleared the pages of: whoever
    /// writes to it first does not wait for that.
    pub(super) fn touched() -> Option<Self> {
        let memory = Memory::try_new(WORDS_MAX)?;
        for at in (0..WORDS_MAX).step_by(PAGE_WORDS) {
            // SAFETY: inside the allocation, aligned to a word, and nobody else's.
            unsafe { memory.words.add(at).write_volatile(0) };
        }
        Some(memory)
    }

    /// The first word. All pieces are derived from this pointer.
    pub(super) fn words(&self) -> NonNull<u64> {
        self.words
    }

    /// Words.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[expect(unsafe_code, reason = "an allocation; see the module")]
impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: obtained with this length, and given back once; no piece is in use any more.
        unsafe { release(self.words, self.len) };
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "the test writes to its own memory")]
mod tests {
    use super::*;

    #[test]
    fn memory_is_there_from_the_first_word_to_the_last() {
        for words in [1, PAGE_WORDS, WORDS_MAX - 1, WORDS_MAX, WORDS_MAX + 1] {
            let blocks = [(); 3].map(|()| Memory::new(words));
            for block in &blocks {
                let (first, last) = (block.words(), words - 1);
                if words == WORDS_MAX && cfg!(target_os = "linux") {
                    assert_eq!(first.as_ptr() as usize % (8 * WORDS_MAX), 0, "a large page");
                }
                // SAFETY: the first and the last word of memory that is this block's alone.
                unsafe {
                    first.write(7);
                    first.add(last).write(8);
                    assert_eq!(first.add(last).read(), 8);
                }
            }
            let mut places = blocks.each_ref().map(|block| block.words().as_ptr() as usize);
            places.sort_unstable();
            assert!(places.windows(2).all(|pair| pair[0] + 8 * words <= pair[1]), "{words}");
        }
    }
}
