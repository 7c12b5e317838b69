//! What a transaction read, and so depends on: keys and ranges of keys, by keyspace.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::KeyRanges;
use crate::budget::{Budget, Reservation, Share};
use crate::key::KeyspaceId;
use crate::scan::bounds::Bounds;

/// Bytes of keys at which the reads of each keyspace become one range: a transaction that reads
/// more than a hundred thousand keys one by one conflicts with nearly everything anyway.
const KEY_BYTES_MAX: usize = 16 << 20;

/// What a key costs beside its bytes.
const KEY_OVERHEAD_BYTES: usize = 48;

/// The budget is asked for so many bytes at a time.
const CHARGE_BYTES: usize = 4 << 10;

/// What a transaction depends on.
#[derive(Debug, Default)]
pub struct Reads {
    keyspaces: BTreeMap<KeyspaceId, KeyspaceReads>,
    /// Bounds of the scans that go on: until they say what they walked, all of it counts.
    scans: Vec<(KeyspaceId, Bounds)>,
    /// Of the keys that stand alone, and of those that ranges begin and end with.
    key_bytes: usize,
    /// What of the memory budget stands for them; `None`: nothing is charged.
    charged: Option<Reservation>,
}

#[derive(Debug, Default)]
struct KeyspaceReads {
    keys: BTreeSet<Box<[u8]>>,
    ranges: KeyRanges,
}

impl KeyspaceReads {
    fn range_bytes(&self) -> usize {
        let (count, bytes) = self.ranges.size();
        count * 2 * KEY_OVERHEAD_BYTES + bytes
    }
}

impl Reads {
    /// Nothing yet; what comes is drawn from `budget`. Where that refuses, the reads of each
    /// keyspace become one range.
    pub fn charged(budget: &Budget) -> Self {
        let charged = Some(budget.reserve_anyway(Share::Memtables, 0));
        Reads { charged, ..Reads::default() }
    }

    /// Depends on `key`.
    pub fn add_key(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        let reads = self.keyspaces.entry(keyspace).or_default();
        if reads.keys.contains(key) || reads.ranges.contains(key) {
            return;
        }
        reads.keys.insert(key.into());
        self.key_bytes += key.len() + KEY_OVERHEAD_BYTES;
        self.charge();
    }

    /// Depends on every key within `bounds`, those that are not there included.
    pub fn add_range(&mut self, keyspace: KeyspaceId, bounds: Bounds) {
        let reads = self.keyspaces.entry(keyspace).or_default();
        let before = reads.range_bytes();
        reads.ranges.insert(bounds);
        self.key_bytes = self.key_bytes + reads.range_bytes() - before;
        self.charge();
    }

    /// Keeps within the limit and the budget.
    fn charge(&mut self) {
        let held = self.charged.as_ref().map_or(usize::MAX, |charged| charged.bytes() as usize);
        let is_refused = self.key_bytes > held
            && self.charged.as_mut().is_some_and(|charged| {
                let more = (self.key_bytes - held).next_multiple_of(CHARGE_BYTES);
                !charged.try_grow(more as u64)
            });
        if is_refused || self.key_bytes > KEY_BYTES_MAX {
            self.coarsen();
        }
    }

    /// A scan begins: all of its bounds count until it ends.
    pub fn begin_scan(&mut self, keyspace: KeyspaceId, bounds: &Bounds) {
        self.scans.push((keyspace, bounds.clone()));
    }

    /// A scan of these bounds ended, and walked those, if any.
    pub fn end_scan(&mut self, keyspace: KeyspaceId, bounds: &Bounds, walked: Option<Bounds>) {
        let is_it = |scan: &(KeyspaceId, Bounds)| scan.0 == keyspace && scan.1 == *bounds;
        if let Some(at) = self.scans.iter().position(is_it) {
            self.scans.swap_remove(at);
        }
        if let Some(walked) = walked {
            self.add_range(keyspace, walked);
        }
    }

    /// All of it, for comparison: scans that never ended count whole.
    pub fn settle(mut self) -> Reads {
        for (keyspace, bounds) in std::mem::take(&mut self.scans) {
            self.add_range(keyspace, bounds);
        }
        self
    }

    /// Whether it depends on `key`.
    pub fn has_key(&self, keyspace: KeyspaceId, key: &[u8]) -> bool {
        let reads = self.keyspaces.get(&keyspace);
        reads.is_some_and(|reads| reads.keys.contains(key) || reads.ranges.contains(key))
    }

    /// Whether it depends on a key from `start` to before `end`.
    pub fn has_range(&self, keyspace: KeyspaceId, start: &[u8], end: &[u8]) -> bool {
        let Some(reads) = self.keyspaces.get(&keyspace) else { return false };
        let inside = (Bound::Included(start), Bound::Excluded(end));
        start < end
            && (reads.ranges.overlaps(start, end)
                || reads.keys.range::<[u8], _>(inside).next().is_some())
    }

    /// Whether it depends on anything in the keyspace.
    pub fn has_any(&self, keyspace: KeyspaceId) -> bool {
        self.keyspaces.contains_key(&keyspace)
    }

    /// Turns the keys and ranges of each keyspace into the one range that holds them.
    fn coarsen(&mut self) {
        self.key_bytes = 0;
        for reads in self.keyspaces.values_mut() {
            let keys = std::mem::take(&mut reads.keys);
            if let (Some(first), Some(last)) = (keys.first(), keys.last()) {
                let (first, last) = (first.to_vec(), [&**last, &[0]].concat());
                reads.ranges.insert(Bounds { lower: Some(first), upper: Some(last) });
            }
            reads.ranges.join();
            self.key_bytes += reads.range_bytes();
        }
        if let Some(charged) = &mut self.charged {
            charged.resize_anyway(self.key_bytes as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYSPACE: KeyspaceId = KeyspaceId(1);

    #[test]
    fn keys_and_ranges_are_found_one_by_one_and_by_range() {
        let mut reads = Reads::default();
        reads.add_key(KEYSPACE, b"b");
        reads.add_range(KEYSPACE, Bounds::prefix(b"k"));
        let keys: [(&[u8], bool); 5] =
            [(b"a", false), (b"b", true), (b"b\0", false), (b"k9", true), (b"l", false)];
        for (key, expected) in keys {
            assert_eq!(reads.has_key(KEYSPACE, key), expected, "{key:?}");
        }
        let ranges: [(&[u8], &[u8], bool); 6] = [
            (b"a", b"b", false),
            (b"a", b"b\0", true),
            (b"c", b"k", false),
            (b"c", b"ka", true),
            (b"kx", b"ky", true),
            (b"z", b"a", false),
        ];
        for (start, end, expected) in ranges {
            assert_eq!(reads.has_range(KEYSPACE, start, end), expected, "{start:?}..{end:?}");
        }
        assert!(reads.has_any(KEYSPACE) && !reads.has_any(KeyspaceId(2)));
        assert!(!reads.has_key(KeyspaceId(2), b"b"));
    }

    #[test]
    fn what_the_budget_refuses_becomes_coarser_and_is_given_back() {
        let budget = Budget::new(64 << 10);
        let mut reads = Reads::charged(&budget);
        let key = |i: u32| i.to_be_bytes();
        (0..10).for_each(|i| reads.add_key(KEYSPACE, &key(i * 2)));
        assert_eq!(budget.total_bytes(), CHARGE_BYTES as u64);
        assert!(!reads.has_key(KEYSPACE, &key(7)));
        (10..5000).for_each(|i| reads.add_key(KEYSPACE, &key(i * 2)));
        assert!(budget.total_bytes() <= budget.limit_bytes(), "{}", budget.total_bytes());
        assert!((0..5000).all(|i| reads.has_key(KEYSPACE, &key(i * 2))));
        assert!(reads.has_key(KEYSPACE, &key(7)), "between two of them");
        for i in 0..5000 {
            let lower = key(100_000 + i * 2);
            let bounds =
                Bounds { lower: Some(lower.to_vec()), upper: Some([&lower[..], b"~"].concat()) };
            reads.add_range(KEYSPACE, bounds);
        }
        assert!(budget.total_bytes() <= budget.limit_bytes(), "{}", budget.total_bytes());
        assert!((0..5000).all(|i| reads.has_key(KEYSPACE, &key(100_000 + i * 2))));
        let mut again = Reads::charged(&budget);
        (0..10_000).for_each(|_| again.add_range(KEYSPACE, Bounds::prefix(b"k")));
        assert!(again.key_bytes < 1000, "a range that is walked again costs nothing more");
        drop((reads, again));
        assert_eq!(budget.total_bytes(), 0);
    }

    #[test]
    fn too_many_keys_become_a_range_that_holds_them() {
        let mut reads = Reads::default();
        let key = |i: usize| [&(i as u32).to_be_bytes()[..], &[b'x'; 1000]].concat();
        let count = KEY_BYTES_MAX / 1000 + 1;
        (0..count).for_each(|i| reads.add_key(KEYSPACE, &key(i * 2)));
        assert!(reads.key_bytes < KEY_BYTES_MAX / 2, "{}", reads.key_bytes);
        assert!((0..count).all(|i| reads.has_key(KEYSPACE, &key(i * 2))));
        assert!(reads.has_key(KEYSPACE, &key(7)), "between two of them");
        assert!(!reads.has_key(KEYSPACE, &key(count * 2 + 1)));
    }
}
