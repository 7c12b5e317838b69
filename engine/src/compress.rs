//! Compression of blocks.
//!
//! ```text
//! plain (tag 0) := the bytes
//! zstd  (tag 1) := raw_len u32 | zstd frame
//! ```
//!
//! The tag is stored beside the bytes and covered by their checksum. A block that gains less than
//! an eighth stays plain: decompressing it at every read would cost more than the space saves.

use std::cell::RefCell;

/// How the blocks of a table are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Stored as they are.
    None,
    /// Zstandard at this level; a block that gains less than an eighth is stored plain.
    Zstd(i32),
}

/// Tag of bytes stored as they are. On disk: do not change.
pub const TAG_PLAIN: u8 = 0;
/// Tag of a zstd frame. On disk: do not change.
pub const TAG_ZSTD: u8 = 1;

/// No block is larger than this once decompressed: above the largest value an entry may have,
/// and a bound on what a damaged length can make us allocate.
pub const BLOCK_BYTES_MAX: usize = 1 << 30;

/// Compresses one block after the other, keeping its working memory.
pub struct Compressor {
    context: Option<zstd::bulk::Compressor<'static>>,
    packed: Vec<u8>,
}

impl Compressor {
    /// A compressor of the given kind.
    pub fn new(compression: Compression) -> Self {
        let context = match compression {
            Compression::None => None,
            // Without memory for a context blocks are stored plain: larger, not wrong.
            Compression::Zstd(level) => zstd::bulk::Compressor::new(level).ok(),
        };
        Compressor { context, packed: Vec::new() }
    }

    /// The bytes to store for `plain`, and their tag.
    pub fn compress<'a>(&'a mut self, plain: &'a [u8]) -> (u8, &'a [u8]) {
        let Some(context) = &mut self.context else { return (TAG_PLAIN, plain) };
        let Ok(raw_len) = u32::try_from(plain.len()) else { return (TAG_PLAIN, plain) };
        let packed_max = plain.len() - plain.len() / 8;
        self.packed.resize(4 + zstd::zstd_safe::compress_bound(plain.len()), 0);
        self.packed[..4].copy_from_slice(&raw_len.to_le_bytes());
        match context.compress_to_buffer(plain, &mut self.packed[4..]) {
            Ok(len) if 4 + len < packed_max => (TAG_ZSTD, &self.packed[..4 + len]),
            _ => (TAG_PLAIN, plain),
        }
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").field("zstd", &self.context.is_some()).finish_non_exhaustive()
    }
}

thread_local! {
    /// A zstd context costs more to make than a 4 KiB block to decompress.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        const { RefCell::new(None) };
}

/// The plain bytes of `stored`, or what is wrong with it.
pub fn decompress(tag: u8, stored: &[u8]) -> Result<Vec<u8>, &'static str> {
    match tag {
        TAG_PLAIN => Ok(stored.to_vec()),
        TAG_ZSTD => {
            let (raw_len, frame) = stored.split_first_chunk::<4>().ok_or("no raw length")?;
            let raw_len = u32::from_le_bytes(*raw_len) as usize;
            if raw_len > BLOCK_BYTES_MAX {
                return Err("raw length above the limit");
            }
            decompress_zstd(frame, raw_len)
        }
        _ => Err("unknown compression"),
    }
}

/// The `raw_len` bytes that a zstd frame holds, which the caller knows to be a sane length.
pub fn decompress_zstd(frame: &[u8], raw_len: usize) -> Result<Vec<u8>, &'static str> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = zstd::bulk::Decompressor::new().ok();
        }
        let context = slot.as_mut().ok_or("no memory to decompress")?;
        let mut plain = Vec::with_capacity(raw_len);
        match context.decompress_to_buffer(frame, &mut plain) {
            Ok(len) if len == raw_len => Ok(plain),
            _ => Err("zstd frame does not decompress"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let mut noise = vec![0u8; 5000];
        let mut state = 1u64;
        for byte in &mut noise {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *byte = (state >> 56) as u8;
        }
        let cases: [(&str, Compression, &[u8], u8); 5] = [
            ("none", Compression::None, &[7; 5000], TAG_PLAIN),
            ("zstd", Compression::Zstd(3), &[7; 5000], TAG_ZSTD),
            ("zstd without gain", Compression::Zstd(3), &noise, TAG_PLAIN),
            ("zstd of little", Compression::Zstd(1), b"abc", TAG_PLAIN),
            ("zstd of nothing", Compression::Zstd(1), b"", TAG_PLAIN),
        ];
        for (name, compression, plain, expected_tag) in cases {
            let mut compressor = Compressor::new(compression);
            for _ in 0..2 {
                let (tag, stored) = compressor.compress(plain);
                assert_eq!(tag, expected_tag, "{name}");
                assert_eq!(decompress(tag, stored).as_deref(), Ok(plain), "{name}");
            }
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let mut compressor = Compressor::new(Compression::Zstd(1));
        let (_, stored) = compressor.compress(&[9; 4096]);
        let cases: [(&str, u8, Vec<u8>); 6] = [
            ("unknown tag", 2, stored.to_vec()),
            ("no length", TAG_ZSTD, vec![1, 2]),
            ("no frame", TAG_ZSTD, stored[..4].to_vec()),
            ("cut frame", TAG_ZSTD, stored[..stored.len() - 1].to_vec()),
            ("too short a length", TAG_ZSTD, [&[1, 0, 0, 0], &stored[4..]].concat()),
            ("huge length", TAG_ZSTD, [&[0xff; 4], &stored[4..]].concat()),
        ];
        for (name, tag, bytes) in cases {
            assert!(decompress(tag, &bytes).is_err(), "{name}");
        }
    }
}
