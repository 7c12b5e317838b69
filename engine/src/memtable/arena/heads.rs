//! Where in the keys of one memtable to take the eight bytes that tell most of them apart.
//!
//! Keys of one kind tend to begin alike ("user:0000..."); their first eight bytes then tell nothing,
//! and every comparison has to fetch the key. So the first keys of a memtable have no head; once
//! there are a few, what they have in common at the front is fixed, and the head of a key is the
//! eight bytes behind that. A key that does not begin so is before or after all that do: its head
//! is the least or the greatest number.
//!
//! Invariant: where two heads differ, the keys compare as they do. Equal heads say nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::key::head;
use crate::table::common_prefix_len;

/// So many keys, drawn from all there are, rarely have more in common than all.
const KEYS: u32 = 32;

/// What the keys of a memtable have in common at the front.
#[derive(Debug, Default)]
pub(super) struct Heads {
    prefix: OnceLock<Box<[u8]>>,
    /// Keys seen, up to those that fix the prefix.
    seen: AtomicU32,
    /// What those seen have in common.
    common: Mutex<Option<Vec<u8>>>,
}

impl Heads {
    /// Looks at a key that is inserted, as long as the prefix is not fixed.
    #[inline]
    pub(super) fn learn(&self, key: &[u8]) {
        if self.seen.load(Ordering::Relaxed) < KEYS {
            self.learn_anew(key);
        }
    }

    #[cold]
    fn learn_anew(&self, key: &[u8]) {
        let mut common = self.common.lock();
        let seen = self.seen.load(Ordering::Relaxed) + 1;
        if seen > KEYS {
            return;
        }
        match &mut *common {
            None => *common = Some(key.to_vec()),
            Some(common) => common.truncate(common_prefix_len(common, key)),
        }
        if seen == KEYS {
            let prefix = common.take().unwrap_or_default().into_boxed_slice();
            assert!(self.prefix.set(prefix).is_ok(), "fixed once, under the lock");
        }
        self.seen.store(seen, Ordering::Relaxed);
    }

    /// The head of a key; none while the prefix is not fixed.
    #[inline]
    pub(super) fn head(&self, key: &[u8]) -> Option<u64> {
        let prefix = self.prefix.get()?;
        Some(match key.get(..prefix.len()) {
            Some(start) if start == &**prefix => head(&key[prefix.len()..]),
            _ if key < &**prefix => 0,
            _ => u64::MAX,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_keys_fix_what_is_in_common() {
        let heads = Heads::default();
        for number in 0..KEYS as u8 {
            assert_eq!(heads.head(b"key:"), None);
            heads.learn(&[b"key:", &[number][..]].concat());
        }
        heads.learn(b"another");
        assert_eq!(heads.head(b"key:\x01"), Some(1 << 56));
        assert_eq!(heads.head(b"key:"), Some(0));
        assert_eq!(heads.head(b"ke"), Some(0));
        assert_eq!(heads.head(b"another"), Some(0));
        assert_eq!(heads.head(b"kez"), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn heads_compare_as_keys_do(
            prefix in "[ab]{0,3}",
            keys in prop::collection::vec(prop::collection::vec(97u8..100, 0..14), 2..30),
        ) {
            let heads = Heads::default();
            (0..KEYS).for_each(|at| heads.learn(&[prefix.as_bytes(), &[at as u8]].concat()));
            for a in &keys {
                for b in &keys {
                    let (x, y) = (heads.head(a).unwrap(), heads.head(b).unwrap());
                    prop_assert!(x == y || x.cmp(&y) == a.cmp(b), "{:?} {:?}", a, b);
                }
            }
        }
    }
}
