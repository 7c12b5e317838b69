//! The key a block cursor stands at, built from the one before it.
//!
//! Most suffixes are a few bytes long. They are copied a whole chunk at a time, with what lies
//! behind them in the block: a copy of a known length is two instructions, one of a few bytes is a
//! call. For that the buffer keeps a chunk of room behind the key.

use super::Damage;
use crate::key::is_same;

/// Bytes copied at once.
const CHUNK_BYTES: usize = 16;

/// A key that is built from the front of the one before and a suffix.
#[derive(Debug, Default)]
pub(super) struct KeyBuffer {
    /// The key, then room.
    bytes: Vec<u8>,
    len: usize,
}

impl KeyBuffer {
    /// The key.
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Becomes the empty key.
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Becomes `key`.
    pub(super) fn set(&mut self, key: &[u8]) {
        self.len = 0;
        self.append(key);
    }

    /// Whether the key that `build` would make is the one that is there.
    #[inline(always)]
    pub(super) fn is_same(&self, shared: usize, suffix: &[u8]) -> bool {
        self.key().get(shared..).is_some_and(|rest| is_same(rest, suffix))
    }

    /// Keeps `shared` bytes of the key and appends `suffix`, which `block` starts with: what
    /// follows it there may be copied too.
    #[inline(always)]
    pub(super) fn build(
        &mut self,
        shared: usize,
        suffix: &[u8],
        block: &[u8],
    ) -> Result<(), Damage> {
        if shared > self.len {
            return Err("key shares more than there is");
        }
        self.len = shared;
        if suffix.len() <= CHUNK_BYTES
            && let Some(from) = block.first_chunk::<CHUNK_BYTES>()
            && let Some(to) = self.bytes[shared..].first_chunk_mut::<CHUNK_BYTES>()
        {
            *to = *from;
            self.len += suffix.len();
        } else {
            self.append(suffix);
        }
        Ok(())
    }

    #[inline(never)]
    fn append(&mut self, suffix: &[u8]) {
        self.bytes.truncate(self.len);
        self.bytes.extend_from_slice(suffix);
        self.len = self.bytes.len();
        self.bytes.resize(self.len + CHUNK_BYTES, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_fronts_and_suffixes(
            steps in vec((any::<Index>(), vec(0..3u8, 0..40), 0..40usize), 0..30),
        ) {
            let (mut buffer, mut model) = (KeyBuffer::default(), Vec::new());
            for (shared, suffix, behind) in steps {
                let shared = shared.index(model.len() + 1);
                let made = [&model[..shared], &suffix].concat();
                prop_assert_eq!(buffer.is_same(shared, &suffix), made == model);
                let block = [suffix.as_slice(), &[0xee; 40][..behind]].concat();
                prop_assert!(buffer.build(shared, &suffix, &block).is_ok());
                model = made;
                prop_assert_eq!(buffer.key(), &model);
                prop_assert!(!buffer.is_same(model.len() + 1, b""));
                prop_assert!(buffer.build(model.len() + 1, b"", b"").is_err());
            }
            buffer.set(b"set");
            prop_assert_eq!(buffer.key(), b"set");
            buffer.clear();
            prop_assert_eq!(buffer.key(), b"");
        }
    }
}
