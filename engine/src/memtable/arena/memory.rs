//! The memory of one block of an arena, owned.
//!
//! On `unsafe`: the pointer comes from the allocator with the layout that `layout` gives for
//! `words`, belongs to this value alone, and goes back once, with the same layout. Nothing here
//! makes a reference to what lies in it, which is not initialised.

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

/// How so many words lie in memory: the largest block on a large page.
fn layout(words: usize) -> Layout {
    let align = if words == WORDS_MAX { 8 * WORDS_MAX } else { align_of::<u64>() };
    Layout::from_size_align(8 * words, align).expect("a batch is bounded, and so is a block")
}

#[expect(unsafe_code, reason = "an allocation; see the module")]
impl Memory {
    /// Memory of so many words, of which there is at least one.
    pub(super) fn new(words: usize) -> Self {
        Memory::try_new(words).unwrap_or_else(|| std::alloc::handle_alloc_error(layout(words)))
    }

    /// As `new`, unless there is none.
    fn try_new(len: usize) -> Option<Self> {
        assert!(len > 0, "a block has words");
        // SAFETY: the size is not 0.
        let memory = unsafe { std::alloc::alloc(layout(len)) };
        let words = NonNull::new(memory.cast::<u64>())?;
        #[cfg(target_os = "linux")]
        if len == WORDS_MAX {
            let advice = rustix::mm::Advice::LinuxHugepage;
            // SAFETY: the memory was just allocated with this size, and the advice does not change
            // what it holds. Where there are no large pages, small ones do.
            let _ = unsafe { rustix::mm::madvise(memory.cast(), layout(len).size(), advice) };
        }
        Some(Memory { words, len })
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
        // SAFETY: allocated with this layout, and given back once; no piece is in use any more.
        unsafe { std::alloc::dealloc(self.words.as_ptr().cast(), layout(self.len)) };
    }
}
