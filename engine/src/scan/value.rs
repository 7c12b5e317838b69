//! A value that outlives the cursor it was read through.
//!
//! A value that lies in a cached block keeps that block alive and is not copied; a merged or
//! memtable value is owned.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Bytes that are owned, or lie in something shared that is kept alive.
#[derive(Clone)]
pub struct Value(Repr);

#[derive(Clone)]
enum Repr {
    Owned(Vec<u8>),
    Shared { owner: Arc<dyn AsRef<[u8]> + Send + Sync>, start: usize, len: usize },
}

impl Value {
    /// A copy of `bytes`.
    pub fn copy(bytes: &[u8]) -> Self {
        Value(Repr::Owned(bytes.to_vec()))
    }

    /// `len` bytes of `owner` from `start` on.
    ///
    /// # Panics
    /// When they do not lie inside: the caller has just read them there.
    pub fn shared(owner: Arc<dyn AsRef<[u8]> + Send + Sync>, start: usize, len: usize) -> Self {
        assert!(
            start.checked_add(len).is_some_and(|end| end <= (*owner).as_ref().len()),
            "value outside its owner"
        );
        Value(Repr::Shared { owner, start, len })
    }

    /// The same without its first `count` bytes.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn without_front(self, count: usize) -> Self {
        assert!(count <= self.len(), "a value shorter than its front");
        Value(match self.0 {
            Repr::Owned(mut bytes) => {
                bytes.drain(..count);
                Repr::Owned(bytes)
            }
            Repr::Shared { owner, start, len } => {
                Repr::Shared { owner, start: start + count, len: len - count }
            }
        })
    }

    /// The bytes, copied only when they are shared.
    pub fn into_vec(self) -> Vec<u8> {
        match self.0 {
            Repr::Owned(bytes) => bytes,
            Repr::Shared { .. } => self.to_vec(),
        }
    }
}

impl Default for Value {
    fn default() -> Self {
        Value(Repr::Owned(Vec::new()))
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Owned(bytes) => bytes,
            Repr::Shared { owner, start, len } => &(**owner).as_ref()[*start..*start + *len],
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Value(Repr::Owned(bytes))
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Value {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Value").field(&self.escape_ascii().to_string()).finish()
    }
}
