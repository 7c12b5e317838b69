//! Blocked Bloom filters: which line and which bits of it a key sets.
//!
//! A filter is an array of lines of 64 bytes, one line of the processor's cache. The lower half of
//! a key's hash chooses the line, the upper half the bits: nine bits at a time from the top,
//! multiplying by an odd constant in between. So a look-up costs one cache miss, whatever the
//! number of probes. With 10 bits for each key about one in a hundred absent keys gets through.
//!
//! Filters of tables are on disk: this must not change.

/// Bytes of a line.
pub const LINE_BYTES: usize = 64;

/// More probes than this cost time and gain nothing.
pub const PROBES_MAX: u32 = 16;

/// The hash of a user key that filters are asked with: computed once for each get.
#[inline]
pub fn key_hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

/// The best number of probes: ln 2 times the bits for each key.
pub fn probes(bits_per_key: u32) -> u32 {
    (bits_per_key * 69 / 100).clamp(1, PROBES_MAX)
}

/// Lines for so many keys.
pub fn line_count(keys: usize, bits_per_key: u32) -> usize {
    (keys * bits_per_key as usize).div_ceil(8 * LINE_BYTES).max(1)
}

/// The line of a key.
#[inline]
pub fn line_index(hash: u64, lines: usize) -> usize {
    ((u64::from(hash as u32) * lines as u64) >> 32) as usize
}

/// The bits of a key in its line, each below 512.
#[inline]
pub fn bits(hash: u64, probes: u32) -> impl Iterator<Item = usize> {
    let mut state = (hash >> 32) as u32;
    (0..probes).map(move |_| {
        let bit = state >> 23;
        state = state.wrapping_mul(0x9e37_79b9);
        bit as usize
    })
}
