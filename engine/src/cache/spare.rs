//! Memory of evicted blocks, kept for the next ones.
//!
//! A read that misses the cache pushes a block out and reads one of about its size. To take its
//! memory instead of giving it back and asking for more spares the allocator's work, and that of
//! zeroing what is about to be overwritten. Each thread keeps a few buffers of its own; they are
//! small and few, and not charged to the budget.

use std::cell::RefCell;

/// Buffers kept by a thread. Blocks differ in length by an entry: of a few buffers one is long
/// enough.
const BUFFERS_MAX: usize = 4;
/// Larger buffers are not kept: 64 KiB and four of them for each thread that reads.
const BUFFER_BYTES_MAX: usize = 64 << 10;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of `len` bytes of no meaning.
pub fn buffer(len: usize) -> Vec<u8> {
    let is_fit = |buffer: &Vec<u8>| (len..=2 * len).contains(&buffer.capacity());
    // A thread that is being torn down keeps nothing.
    let kept = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        let at = spare.iter().position(is_fit)?;
        Some(spare.swap_remove(at))
    });
    match kept.ok().flatten() {
        Some(mut buffer) => {
            buffer.resize(len, 0);
            buffer
        }
        None => vec![0; len],
    }
}

/// Keeps the memory of a block that nobody reads any more.
pub fn give(buffer: Vec<u8>) {
    if buffer.capacity() > BUFFER_BYTES_MAX {
        return;
    }
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        spare.push(buffer);
        if spare.len() > BUFFERS_MAX {
            let least = (0..spare.len()).min_by_key(|at| spare[*at].capacity()).unwrap_or(0);
            spare.swap_remove(least);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_where_it_fits() {
        let cases = [
            ("as long", 4000, 4000, true),
            ("a little shorter", 4000, 3900, true),
            ("longer", 4000, 4001, false),
            ("much shorter", 4000, 100, false),
            ("too large to be kept", BUFFER_BYTES_MAX + 1, BUFFER_BYTES_MAX + 1, false),
        ];
        for (name, given, asked, is_kept) in cases {
            give(vec![7; given]);
            let taken = buffer(asked);
            assert_eq!(taken.len(), asked, "{name}");
            assert_eq!(taken[0] == 7, is_kept, "{name}");
            SPARE.with_borrow_mut(Vec::clear);
        }
    }

    #[test]
    fn few_are_kept() {
        for len in 1000..1100 {
            give(vec![7; len]);
        }
        SPARE.with_borrow(|spare| assert_eq!(spare.len(), BUFFERS_MAX));
        assert!(buffer(1000).capacity() >= 1096, "the longest are");
    }
}
