//! How far ahead of a reader the file system should read.
//!
//! A reader that takes blocks in ascending order, one after the other, is taken for a scan.

use super::cursor::WINDOW_BYTES;

/// A reader that took this many blocks in ascending order is told to be a scan: the file system
/// then reads ahead.
const ASCENTS_MIN: u32 = 4;

/// The first such hint is for this much, each next one for twice that, up to a window: a short scan
/// costs little that it does not read, a long one waits seldom.
const HINT_BYTES_MIN: u64 = 8 << 10;

/// How far a reader has come, and how far the file system was told to read.
#[derive(Debug)]
pub(super) struct Ahead {
    last: u64,
    ascents: u32,
    hinted_to: u64,
    hint_bytes: u64,
}

impl Ahead {
    pub(super) fn new() -> Self {
        Ahead { last: 0, ascents: 0, hinted_to: 0, hint_bytes: HINT_BYTES_MIN }
    }

    /// Whether it is seen to go forward.
    pub(super) fn is_scan(&self) -> bool {
        self.ascents >= ASCENTS_MIN
    }

    /// Takes note of the block at `offset`; what should be read ahead now, if anything.
    pub(super) fn at(&mut self, offset: u64) -> Option<(u64, u64)> {
        if offset <= self.last {
            *self = Ahead { last: offset, ..Ahead::new() };
            return None;
        }
        (self.last, self.ascents) = (offset, self.ascents + 1);
        // Half of what was asked for is still ahead: the rest comes while that is read.
        if !self.is_scan() || offset + self.hint_bytes / 4 < self.hinted_to {
            return None;
        }
        let (from, len) = (self.hinted_to.max(offset), self.hint_bytes);
        self.hinted_to = from + len;
        self.hint_bytes = (2 * len).min(WINDOW_BYTES as u64);
        Some((from, len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_double_and_stop_where_a_reader_turns() {
        let mut ahead = Ahead::new();
        let block = 4096;
        let hints: Vec<_> = (1..400u64).filter_map(|at| ahead.at(at * block)).collect();
        let first = u64::from(ASCENTS_MIN);
        assert_eq!(hints[0], (first * block, HINT_BYTES_MIN), "after a few blocks in order");
        for pair in hints.windows(2) {
            assert_eq!(pair[0].0 + pair[0].1, pair[1].0, "nothing twice, nothing left out");
            assert_eq!(pair[1].1, (2 * pair[0].1).min(WINDOW_BYTES as u64));
        }
        assert_eq!(ahead.at(5 * block), None);
        for at in 6..5 + first {
            assert_eq!(ahead.at(at * block), None);
        }
        let again = (5 + first) * block;
        assert_eq!(ahead.at(again), Some((again, HINT_BYTES_MIN)), "a new scan");
    }
}
