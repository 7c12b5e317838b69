//! A Bloom filter that grows with its memtable and is written by several threads without a lock.
//!
//! It is a row of segments, each eight times the one before, made when the one before has as many
//! keys as it is good for; a look-up asks each there is. So a memtable of a few keys holds 1 KiB,
//! and one of half a million asks four lines.
//!
//! Why no answer can be wrong: a thread sets the bits of a key before it puts the version into the
//! list, and a reader looks only for versions whose batch was published after both, by a
//! release that the reader acquired. Bits are never cleared.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::bloom::{LINE_BYTES, bits, line_count, line_index, probes};

const BITS_PER_KEY: u32 = 10;

/// Keys that each segment is good for. The last is past any memtable: 4 M entries of 100 bytes are
/// 800 MB.
const SEGMENT_KEYS: [usize; 5] = [1 << 10, 1 << 13, 1 << 16, 1 << 19, 1 << 22];

/// One line of the processor's cache.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; LINE_BYTES / 8]);

/// A Bloom filter that grows.
#[derive(Debug, Default)]
pub(super) struct KeyFilter {
    segments: [OnceLock<Box<[Line]>>; SEGMENT_KEYS.len()],
    /// Keys added, not counting those that were let through already.
    keys: AtomicUsize,
}

impl KeyFilter {
    /// Adds a key; answers how many bytes the filter grew by.
    pub(super) fn add(&self, hash: u64) -> usize {
        if self.may_contain(hash) {
            return 0;
        }
        let mut place = self.keys.fetch_add(1, Ordering::Relaxed);
        let mut index = 0;
        while index + 1 < SEGMENT_KEYS.len() && place >= SEGMENT_KEYS[index] {
            place -= SEGMENT_KEYS[index];
            index += 1;
        }
        let mut grown = 0;
        let lines = self.segments[index].get_or_init(|| {
            let count = line_count(SEGMENT_KEYS[index], BITS_PER_KEY);
            grown = count * LINE_BYTES;
            (0..count).map(|_| Line::default()).collect()
        });
        let line = &lines[line_index(hash, lines.len())];
        for bit in bits(hash, probes(BITS_PER_KEY)) {
            line.0[bit / 64].fetch_or(1 << (bit % 64), Ordering::Relaxed);
        }
        grown
    }

    /// Whether the key with this hash may have been added; `false` is certain.
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        // Segments are made in order of size, but by threads that may overtake each other.
        self.segments.iter().filter_map(OnceLock::get).any(|lines| {
            let line = &lines[line_index(hash, lines.len())];
            bits(hash, probes(BITS_PER_KEY))
                .all(|bit| line.0[bit / 64].load(Ordering::Relaxed) & (1 << (bit % 64)) != 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bloom::key_hash;

    #[test]
    fn it_grows_and_forgets_nothing() {
        let filter = KeyFilter::default();
        assert!(!filter.may_contain(key_hash(b"key")));
        let hash = |number: u64| key_hash(&number.to_be_bytes());
        let keys = 100_000;
        let mut bytes = 0;
        for number in 0..keys {
            bytes += filter.add(hash(number));
            assert_eq!(filter.add(hash(number)), 0, "a key that is there changes nothing");
        }
        assert!((0..keys).all(|number| filter.may_contain(hash(number))));
        let through = (keys..2 * keys).filter(|number| filter.may_contain(hash(*number))).count();
        assert!(through < keys as usize / 30, "{through} of {keys} absent keys");
        let made: usize =
            filter.segments.iter().filter_map(OnceLock::get).map(|lines| lines.len()).sum();
        assert_eq!(bytes, made * LINE_BYTES);
    }
}
