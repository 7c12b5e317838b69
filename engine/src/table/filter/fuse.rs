//! A binary fuse filter: nine bits a key for four false positives in a thousand.
//!
//! ```text
//! +-------------------------------------------+--------------+----------------+---------+------+
//! | fingerprints ((segments + 2) << bits) x u8 | segments u32 | segment bits u8 | seed u8 | kind |
//! +-------------------------------------------+--------------+----------------+---------+------+
//! ```
//!
//! A key has three slots, one in each of three neighbouring segments of `1 << bits` slots; the
//! fingerprints in them, combined by exclusive or, give the fingerprint of a key that was added.
//! Graf and Lemire, "Binary Fuse Filters: Fast and Smaller Than Xor Filters" (2022), whose sizes
//! these are.
//!
//! Building needs all keys at once. A slot that one key alone has is that key's to set, whatever
//! the others say; so it is taken away, which leaves other slots with one key. When all keys are
//! gone, they are set in the reverse order. Where some stay, another seed is tried; keys with equal
//! hashes never go, so those are made one after the first try that fails.
//!
//! Filters are on disk: this must not change.

use crate::prefetch;

/// The last byte of the filter.
pub(super) const KIND: u8 = 0x80;

/// Bytes behind the fingerprints.
const TAIL_BYTES: usize = 4 + 1 + 1 + 1;

/// Each try fails with a few in a hundred at most, small sets more often.
const TRIES: u8 = 100;

/// A segment of more slots than this gains nothing.
const SEGMENT_BITS_MAX: u32 = 18;

/// How many slots there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    segment_bits: u32,
    /// Segments that the first slot of a key may be in.
    segments: u32,
}

impl Shape {
    /// The shape for so many keys.
    fn of(keys: usize) -> Shape {
        let count = keys.max(2) as f64;
        let segment_bits =
            ((count.ln() / 3.33f64.ln() + 2.25).floor() as u32).min(SEGMENT_BITS_MAX);
        let factor = (0.875 + 0.25 * 1e6f64.ln() / count.ln()).max(1.125);
        let slots = (count * factor).round() as usize;
        let segments = slots.div_ceil(1 << segment_bits).saturating_sub(2).max(1);
        Shape { segment_bits, segments: segments as u32 }
    }

    /// Slots, which are bytes.
    fn slots(self) -> usize {
        (self.segments as usize + 2) << self.segment_bits
    }

    /// The slots of a key.
    #[inline]
    fn slots_of(self, mixed: u64) -> [usize; 3] {
        let starts = u64::from(self.segments) << self.segment_bits;
        let first = ((u128::from(mixed) * u128::from(starts)) >> 64) as usize;
        let (segment, mask) = (1 << self.segment_bits, (1 << self.segment_bits) - 1);
        let second = (first + segment) ^ (mixed >> 18) as usize & mask;
        let third = (first + 2 * segment) ^ mixed as usize & mask;
        [first, second, third]
    }
}

/// The hash of a key under a seed.
#[inline]
fn mix(hash: u64, seed: u8) -> u64 {
    let mut mixed = hash.wrapping_add(u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ mixed >> 33
}

#[inline]
fn fingerprint(mixed: u64) -> u8 {
    (mixed ^ mixed >> 32) as u8
}

/// Bytes of a filter of so many keys.
pub(super) fn len(keys: usize) -> usize {
    Shape::of(keys).slots() + TAIL_BYTES
}

/// The filter of the keys with these hashes; none when no seed fits. Equal hashes may be made one.
pub(super) fn build(hashes: &mut Vec<u64>) -> Option<Vec<u8>> {
    let shape = Shape::of(hashes.len());
    for seed in 0..TRIES {
        if let Some(mut bytes) = try_build(hashes, shape, seed) {
            bytes.extend_from_slice(&shape.segments.to_le_bytes());
            bytes.extend_from_slice(&[shape.segment_bits as u8, seed, KIND]);
            return Some(bytes);
        }
        if seed == 0 {
            hashes.sort_unstable();
            hashes.dedup();
        }
    }
    None
}

fn try_build(hashes: &[u64], shape: Shape, seed: u8) -> Option<Vec<u8>> {
    let slots = shape.slots();
    // Of the keys that have a slot: how many there are, and their hashes combined.
    let (mut counts, mut sums) = (vec![0u8; slots], vec![0u64; slots]);
    for mixed in by_segment(hashes, shape, seed) {
        for slot in shape.slots_of(mixed) {
            counts[slot] = counts[slot].checked_add(1)?;
            sums[slot] ^= mixed;
        }
    }
    let mut alone: Vec<u32> =
        (0..slots as u32).rev().filter(|slot| counts[*slot as usize] == 1).collect();
    let mut taken: Vec<(u64, u32)> = Vec::with_capacity(hashes.len());
    while let Some(slot) = alone.pop() {
        if counts[slot as usize] != 1 {
            continue; // its key went with another of its slots
        }
        let mixed = sums[slot as usize];
        taken.push((mixed, slot));
        for other in shape.slots_of(mixed) {
            counts[other] -= 1;
            sums[other] ^= mixed;
            if counts[other] == 1 {
                alone.push(other as u32);
            }
        }
    }
    if taken.len() < hashes.len() {
        return None;
    }
    let mut bytes = Vec::with_capacity(slots + TAIL_BYTES);
    bytes.resize(slots, 0u8);
    for (mixed, slot) in taken.into_iter().rev() {
        // The slot itself is still 0.
        let others = shape.slots_of(mixed).iter().fold(0, |sum, slot| sum ^ bytes[*slot]);
        bytes[slot as usize] = fingerprint(mixed) ^ others;
    }
    Some(bytes)
}

/// The mixed hashes by the segment of their first slot: what follows then stays in the processor's
/// cache.
fn by_segment(hashes: &[u64], shape: Shape, seed: u8) -> Vec<u64> {
    let segment = |mixed: u64| ((u128::from(mixed) * u128::from(shape.segments)) >> 64) as usize;
    let mut ends = vec![0usize; shape.segments as usize + 1];
    for hash in hashes {
        ends[segment(mix(*hash, seed)) + 1] += 1;
    }
    for index in 1..ends.len() {
        ends[index] += ends[index - 1];
    }
    let mut sorted = vec![0; hashes.len()];
    for hash in hashes {
        let mixed = mix(*hash, seed);
        let next = &mut ends[segment(mixed)];
        sorted[*next] = mixed;
        *next += 1;
    }
    sorted
}

/// The fingerprints of the filter `bytes`, whose last is [`KIND`], the slots of the key with this
/// hash, and what they combine to where it was added.
#[inline]
fn probe(bytes: &[u8], hash: u64) -> Option<(&[u8], [usize; 3], u8)> {
    let (fingerprints, tail) = bytes.split_last_chunk::<TAIL_BYTES>()?;
    let [a, b, c, d, segment_bits, seed, _kind] = *tail;
    let segments = u32::from_le_bytes([a, b, c, d]);
    let shape = Shape { segment_bits: segment_bits.into(), segments };
    if shape.segment_bits > SEGMENT_BITS_MAX || segments == 0 || shape.slots() != fingerprints.len()
    {
        return None;
    }
    let mixed = mix(hash, seed);
    Some((fingerprints, shape.slots_of(mixed), fingerprint(mixed)))
}

/// Whether the filter `bytes`, whose last is [`KIND`], lets the key with this hash through.
#[inline]
pub(super) fn may_contain(bytes: &[u8], hash: u64) -> Result<bool, &'static str> {
    let (fingerprints, slots, expected) = probe(bytes, hash).ok_or("no filter")?;
    Ok(slots.iter().fold(expected, |sum, slot| sum ^ fingerprints[*slot]) == 0)
}

/// Asks the processor for what `may_contain` reads.
#[inline]
pub(super) fn fetch(bytes: &[u8], hash: u64) {
    if let Some((fingerprints, slots, _)) = probe(bytes, hash) {
        slots.iter().for_each(|slot| prefetch::address(&raw const fingerprints[*slot]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bloom::key_hash;

    fn hashes(keys: std::ops::Range<u64>) -> Vec<u64> {
        keys.map(|key| key_hash(&key.to_be_bytes())).collect()
    }

    #[test]
    fn every_size_has_no_false_negatives_and_few_false_positives() {
        for count in (0..200).chain([500, 1000, 3333, 10_000, 100_000]) {
            let bytes = build(&mut hashes(0..count)).unwrap();
            assert_eq!(bytes.len(), len(count as usize));
            for hash in hashes(0..count) {
                assert!(may_contain(&bytes, hash).unwrap(), "{count} keys");
            }
            let absent = 20_000;
            let through = hashes(count..count + absent)
                .into_iter()
                .filter(|hash| may_contain(&bytes, *hash).unwrap())
                .count();
            assert!(through < absent as usize / 120, "{count} keys: {through} of {absent}");
        }
        let bits = 8.0 * len(1_000_000) as f64 / 1e6;
        assert!(bits < 9.2, "{bits} bits a key");
    }

    #[test]
    fn equal_hashes_count_once() {
        let mut twice = [hashes(0..1000), hashes(500..1500), vec![7; 300]].concat();
        let bytes = build(&mut twice).unwrap();
        assert!(hashes(0..1500).iter().all(|hash| may_contain(&bytes, *hash).unwrap()));
        assert!(may_contain(&bytes, 7).unwrap());
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let bytes = build(&mut hashes(0..100)).unwrap();
        for len in 0..bytes.len() {
            assert!(may_contain(&bytes[bytes.len() - len..], 42).is_err(), "{len} bytes");
        }
        for at in 1..6 {
            let mut damaged = bytes.clone();
            let place = damaged.len() - 1 - at;
            damaged[place] = 0xff;
            // The seed may be anything: it gives other answers, which the checksum rules out.
            assert!(at == 1 || may_contain(&damaged, 42).is_err(), "byte {at} from the end");
        }
    }
}
