//! A set of keys, kept as ranges that do not touch.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::scan::bounds::Bounds;

/// A set of keys: disjoint ranges by their first key, each with the first key behind it (`None`:
/// open). The empty key comes before all others, so it stands for "from the first".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRanges {
    by_start: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Bytes of the keys that stand for them.
    bytes: usize,
}

impl KeyRanges {
    /// Adds the keys within `bounds`.
    pub fn insert(&mut self, bounds: Bounds) {
        let mut lower = bounds.lower.unwrap_or_default();
        let mut upper = bounds.upper;
        if upper.as_ref().is_some_and(|upper| *upper <= lower) {
            return;
        }
        // A range that begins before and reaches up to here.
        if let Some((start, end)) = self.at_or_before(&lower)
            && end.is_none_or(|end| *end >= *lower)
        {
            lower = start.to_vec();
        }
        // Every range that begins inside, or where this one ends.
        while let Some((start, end)) = self.by_start.range(lower.clone()..).next()
            && upper.as_ref().is_none_or(|upper| *start <= *upper)
        {
            let (start, end) = (start.clone(), end.clone());
            upper = match (upper, end) {
                (Some(a), Some(b)) => Some(a.max(b)),
                _ => None,
            };
            self.remove(&start);
        }
        self.bytes += lower.len() + upper.as_ref().map_or(0, Vec::len);
        self.by_start.insert(lower, upper);
    }

    fn remove(&mut self, start: &[u8]) {
        if let Some(end) = self.by_start.remove(start) {
            self.bytes -= start.len() + end.map_or(0, |end| end.len());
        }
    }

    /// How many ranges there are, and the bytes of the keys that stand for them.
    pub fn size(&self) -> (usize, usize) {
        (self.by_start.len(), self.bytes)
    }

    /// Makes one range of all, from the first key to the end of the last.
    pub fn join(&mut self) {
        let first = self.by_start.first_key_value().map(|(start, _)| start.clone());
        let last = self.by_start.last_key_value().map(|(_, end)| end.clone());
        if let (Some(lower), Some(upper)) = (first, last) {
            self.insert(Bounds { lower: Some(lower), upper });
        }
    }

    /// Whether `key` is in the set.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.around(key).is_some()
    }

    /// The range that `key` lies in: its first key, and the first key behind it.
    pub fn around(&self, key: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
        self.at_or_before(key).filter(|(_, end)| end.is_none_or(|end| key < end))
    }

    /// Whether a key from `start` to before `end` is in the set.
    pub fn overlaps(&self, start: &[u8], end: &[u8]) -> bool {
        let inside = (Bound::Included(start), Bound::Excluded(end));
        start < end
            && (self.contains(start) || self.by_start.range::<[u8], _>(inside).next().is_some())
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], Option<&[u8]>)> {
        self.by_start.iter().map(|(start, end)| (&**start, end.as_deref()))
    }

    fn at_or_before(&self, key: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
        let before = (Bound::Unbounded, Bound::Included(key));
        let (start, end) = self.by_start.range::<[u8], _>(before).next_back()?;
        Some((start, end.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn key(at: u8) -> Vec<u8> {
        if at == 0 { Vec::new() } else { vec![at] }
    }

    proptest! {
        /// Against a set that holds each key by itself.
        #[test]
        fn a_set_of_ranges_is_a_set_of_keys(
            ranges in prop::collection::vec((0..20u8, prop::option::of(0..20u8)), 0..12),
        ) {
            let (mut set, mut model) = (KeyRanges::default(), BTreeSet::new());
            for (start, end) in ranges {
                let bounds = Bounds { lower: Some(key(start)), upper: end.map(key) };
                set.insert(bounds);
                model.extend(start..end.unwrap_or(25));
            }
            for at in 0..25 {
                prop_assert_eq!(set.contains(&key(at)), model.contains(&at), "{}", at);
                for end in 0..25 {
                    let expected = (at..end).any(|at| model.contains(&at));
                    prop_assert_eq!(set.overlaps(&key(at), &key(end)), expected);
                }
            }
            let all: Vec<_> = set.iter().collect();
            let bytes = all.iter().map(|(start, end)| start.len() + end.map_or(0, <[u8]>::len));
            prop_assert_eq!(set.size(), (all.len(), bytes.sum()));
            for pair in all.windows(2) {
                prop_assert!(pair[0].1.is_some_and(|end| end < pair[1].0), "they do not touch");
            }
        }
    }
}
