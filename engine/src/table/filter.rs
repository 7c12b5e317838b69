//! The filter of a table over its user keys. The last byte says which kind it is: up to 16, a
//! blocked Bloom filter, which is fast to build and to ask; 0x80, a binary fuse filter ([`fuse`]),
//! which is smaller and lets less through, for tables of the last level, where most keys are.
//!
//! ```text
//! +-----------------+-----+-----------------+------------+
//! | line 0: 64 bytes| ... | line n-1        | probes u8  |       Bloom; `crate::bloom` says which
//! +-----------------+-----+-----------------+------------+       bits a key sets
//! ```
//!
//! A filter may only spare work: no answer depends on it, and bytes that are no filter are an
//! error, not an answer.

mod fuse;

pub use crate::bloom::key_hash;
use crate::bloom::{LINE_BYTES, PROBES_MAX, bits, line_count, line_index, probes};
use crate::prefetch;

/// Which filter a table gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FilterKind {
    /// Blocked Bloom: one line of the processor's cache a look-up, no work to build.
    #[default]
    Bloom,
    /// Binary fuse: nine bits a key and 0.4 % false positives, where a Bloom filter of ten bits has
    /// 1 %. Takes about a tenth of a microsecond a key to build.
    Fuse,
}

/// Bits of a key in a fuse filter. Who allows fewer gets a Bloom filter of fewer.
const FUSE_BITS: u32 = 9;

/// Collects the keys of a table in order.
#[derive(Debug)]
pub(super) struct FilterBuilder {
    kind: FilterKind,
    bits_per_key: u32,
    hashes: Vec<u64>,
}

impl FilterBuilder {
    /// A filter of `bits_per_key`; 0: no filter.
    pub(super) fn new(kind: FilterKind, bits_per_key: u32) -> Self {
        let kind = if bits_per_key < FUSE_BITS { FilterKind::Bloom } else { kind };
        FilterBuilder { kind, bits_per_key, hashes: Vec::new() }
    }

    /// Adds a key; versions of one key come one after the other and count once.
    pub(super) fn add(&mut self, key: &[u8]) {
        if self.bits_per_key == 0 {
            return;
        }
        let hash = key_hash(key);
        if self.hashes.last() != Some(&hash) {
            self.hashes.push(hash);
        }
    }

    /// Bytes of the finished filter.
    pub(super) fn len(&self) -> usize {
        match (self.bits_per_key, self.kind) {
            (0, _) => 0,
            (bits, FilterKind::Bloom) => line_count(self.hashes.len(), bits) * LINE_BYTES + 1,
            (_, FilterKind::Fuse) => fuse::len(self.hashes.len()),
        }
    }

    /// The bytes of the filter; none when there is no filter.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        if self.bits_per_key == 0 {
            return None;
        }
        if self.kind == FilterKind::Fuse
            && let Some(bytes) = fuse::build(&mut self.hashes)
        {
            return Some(bytes);
        }
        let lines = line_count(self.hashes.len(), self.bits_per_key);
        let probes = probes(self.bits_per_key);
        let mut bytes = vec![0; lines * LINE_BYTES + 1];
        for hash in self.hashes {
            let start = line_index(hash, lines) * LINE_BYTES;
            let line = &mut bytes[start..start + LINE_BYTES];
            for bit in bits(hash, probes) {
                line[bit / 8] |= 1 << (bit % 8);
            }
        }
        bytes[lines * LINE_BYTES] = probes as u8;
        Some(bytes)
    }
}

/// The line of the key with this hash in a Bloom filter, and the number of probes.
#[inline]
fn bloom_line(bytes: &[u8], hash: u64) -> Option<(&[u8; LINE_BYTES], u32)> {
    let (probes, lines) = bytes.split_last()?;
    let probes = u32::from(*probes);
    let line_count = lines.len() / LINE_BYTES;
    if !lines.len().is_multiple_of(LINE_BYTES)
        || line_count == 0
        || line_count > u32::MAX as usize
        || !(1..=PROBES_MAX).contains(&probes)
    {
        return None;
    }
    let start = line_index(hash, line_count) * LINE_BYTES;
    Some((lines.get(start..)?.first_chunk()?, probes))
}

/// Whether the filter `bytes` lets the key with this hash through.
#[inline]
pub(super) fn may_contain(bytes: &[u8], hash: u64) -> Result<bool, &'static str> {
    if bytes.last() == Some(&fuse::KIND) {
        return fuse::may_contain(bytes, hash);
    }
    let (line, probes) = bloom_line(bytes, hash).ok_or("no filter")?;
    Ok(bits(hash, probes).all(|bit| line[bit / 8] & (1 << (bit % 8)) != 0))
}

/// Asks the processor for what `may_contain` reads, to be there when it is called.
#[inline]
pub(super) fn fetch(bytes: &[u8], hash: u64) {
    if bytes.last() == Some(&fuse::KIND) {
        fuse::fetch(bytes, hash);
    } else if let Some((line, _)) = bloom_line(bytes, hash) {
        prefetch::address(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(keys: std::ops::Range<u64>, bits_per_key: u32) -> Option<Vec<u8>> {
        let mut builder = FilterBuilder::new(FilterKind::Bloom, bits_per_key);
        for key in keys {
            builder.add(&key.to_be_bytes());
        }
        let len = builder.len();
        let bytes = builder.finish();
        assert_eq!(bytes.as_ref().map_or(0, Vec::len), len);
        bytes
    }

    #[test]
    fn false_positives_stay_in_bounds_and_there_are_no_false_negatives() {
        for (bits_per_key, rate_max) in [(5, 0.12), (8, 0.03), (10, 0.013), (16, 0.0025)] {
            let keys = 20_000;
            let bytes = build(0..keys, bits_per_key).unwrap();
            for key in 0..keys {
                assert!(may_contain(&bytes, key_hash(&key.to_be_bytes())).unwrap());
            }
            let through = (keys..11 * keys)
                .filter(|key| may_contain(&bytes, key_hash(&key.to_be_bytes())).unwrap())
                .count();
            let rate = through as f64 / (10 * keys) as f64;
            assert!(rate < rate_max, "{bits_per_key} bits: {rate}");
        }
    }

    #[test]
    fn a_filter_is_of_the_kind_that_was_asked_for_where_it_fits() {
        let cases = [
            (FilterKind::Bloom, 10, 6),
            (FilterKind::Fuse, 10, fuse::KIND),
            (FilterKind::Fuse, 8, 5),
        ];
        for (kind, bits_per_key, last) in cases {
            let mut builder = FilterBuilder::new(kind, bits_per_key);
            (0..1000u64).for_each(|key| builder.add(&key.to_be_bytes()));
            let len = builder.len();
            let bytes = builder.finish().unwrap();
            assert_eq!((bytes.len(), bytes[len - 1]), (len, last), "{kind:?} {bits_per_key}");
            (0..3000u64).for_each(|key| fetch(&bytes, key_hash(&key.to_be_bytes())));
            let is_in = |key: u64| may_contain(&bytes, key_hash(&key.to_be_bytes())).unwrap();
            assert!((0..1000).all(is_in));
            assert!((1000..3000).filter(|key| is_in(*key)).count() < 150);
        }
    }

    #[test]
    fn edges() {
        assert_eq!(build(0..100, 0), None, "no filter asked for");
        let empty = build(0..0, 10).unwrap();
        assert!(!may_contain(&empty, 42).unwrap(), "nothing is in an empty filter");
        for bytes in [&[][..], &[3], &[0; 64], &[0; 65], &[17; 65], &[3; 66]] {
            assert!(may_contain(bytes, 42).is_err(), "{} bytes", bytes.len());
            fetch(bytes, 42); // of nothing
        }
    }
}
