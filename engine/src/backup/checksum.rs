//! SHA-256 in hexadecimal: the name of an object.
//!
//! Why SHA-256: equal names must mean equal bytes also where somebody chose the bytes, processors
//! have instructions for it, and `sha256sum` checks a repository without us.

use std::fmt::{self, Display};

use sha2::{Digest, Sha256};

/// A SHA-256 in the making or made.
#[derive(Debug, Clone, Default)]
pub(super) struct Sha256Hex(Sha256);

impl Sha256Hex {
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = Sha256Hex::default();
        hash.update(bytes);
        hash
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

impl Display for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.clone().finalize().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
