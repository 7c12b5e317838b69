//! Lower and upper bound of a scan.

use std::ops::Bound;

use crate::key::key_cmp;

/// The keys `lower <= key < upper`; a missing side is open.
///
/// Every kind of bound can be said this way: the next key after `k` is `k` and a zero byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// First key that is inside.
    pub lower: Option<Vec<u8>>,
    /// First key that is no longer inside.
    pub upper: Option<Vec<u8>>,
}

impl Bounds {
    /// Every key.
    pub fn all() -> Self {
        Bounds::default()
    }

    /// The keys between two bounds of any kind.
    pub fn new(lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Self {
        let after = |key: &[u8]| [key, &[0]].concat();
        Bounds {
            lower: match lower {
                Bound::Included(key) => Some(key.to_vec()),
                Bound::Excluded(key) => Some(after(key)),
                Bound::Unbounded => None,
            },
            upper: match upper {
                Bound::Included(key) => Some(after(key)),
                Bound::Excluded(key) => Some(key.to_vec()),
                Bound::Unbounded => None,
            },
        }
    }

    /// The keys that start with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        // The first key past the prefix: its last byte that can grow, grown, and nothing after.
        let grown = prefix.iter().rposition(|byte| *byte < u8::MAX).map(|at| {
            let mut upper = prefix[..=at].to_vec();
            upper[at] += 1;
            upper
        });
        Bounds { lower: Some(prefix.to_vec()), upper: grown }
    }

    /// Whether `key` is inside.
    pub fn contains(&self, key: &[u8]) -> bool {
        !self.is_below(key) && !self.is_above(key)
    }

    /// Whether `key` comes before the first key inside.
    pub fn is_below(&self, key: &[u8]) -> bool {
        self.lower.as_deref().is_some_and(|lower| key < lower)
    }

    /// Whether `key` comes after the last key inside.
    #[inline]
    pub fn is_above(&self, key: &[u8]) -> bool {
        self.upper.as_deref().is_some_and(|upper| key_cmp(key, upper).is_ge())
    }

    /// Whether a run of keys from `smallest` to `largest`, both included, has any inside.
    pub fn overlap(&self, smallest: &[u8], largest: &[u8]) -> bool {
        !self.is_below(largest) && !self.is_above(smallest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_any_kind() {
        use Bound::{Excluded, Included, Unbounded};
        let keys: [&[u8]; 6] = [b"", b"a", b"a\0", b"ab", b"b", b"\xff\xff"];
        type Kind = fn(&'static [u8]) -> Bound<&'static [u8]>;
        let kinds: [Kind; 3] = [Included, Excluded, |_| Unbounded];
        for lower in keys {
            for upper in keys {
                for lower in kinds.map(|kind| kind(lower)) {
                    for upper in kinds.map(|kind| kind(upper)) {
                        let bounds = Bounds::new(lower, upper);
                        for key in keys {
                            let inside = (lower, upper);
                            let inside = std::ops::RangeBounds::<[u8]>::contains(&inside, key);
                            assert_eq!(bounds.contains(key), inside, "{bounds:?} {key:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn prefixes() {
        let keys: [&[u8]; 7] = [b"", b"a", b"a\0", b"a\xff", b"a\xff\xff", b"b", b"\xff\xffz"];
        for prefix in [&b""[..], b"a", b"a\xff", b"\xff", b"\xff\xff", b"b"] {
            for key in keys {
                let is_inside = Bounds::prefix(prefix).contains(key);
                assert_eq!(is_inside, key.starts_with(prefix), "{prefix:?} {key:?}");
            }
        }
    }

    #[test]
    fn overlaps() {
        let bounds = Bounds { lower: Some(b"d".to_vec()), upper: Some(b"g".to_vec()) };
        let cases: [(&[u8], &[u8], bool); 6] = [
            (b"a", b"c", false),
            (b"a", b"d", true),
            (b"e", b"f", true),
            (b"a", b"z", true),
            (b"f", b"z", true),
            (b"g", b"z", false),
        ];
        for (smallest, largest, expected) in cases {
            assert_eq!(bounds.overlap(smallest, largest), expected, "{smallest:?} {largest:?}");
        }
        assert!(Bounds::all().overlap(b"", b""));
    }
}
