//! Blocked Bloom filter over the user keys of a table.

/// The hash of a user key that filters are asked with: computed once for each get.
pub fn key_hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}
