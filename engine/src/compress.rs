//! Compression of blocks.

/// How the blocks of a table are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Stored as they are.
    None,
    /// Zstandard at this level; a block that gains less than an eighth is stored plain.
    Zstd(i32),
}
