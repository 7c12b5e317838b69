//! Lower and upper bound of a scan.

use std::ops::Bound;

/// The keys `lower <= key < upper`; a missing side is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// First key that is inside.
    pub lower: Option<Vec<u8>>,
    /// First key that is no longer inside.
    pub upper: Option<Vec<u8>>,
}

impl Bounds {
    /// Every key.
    pub fn all() -> Self {
        Bounds::default()
    }

    /// The keys between two bounds of any kind.
    pub fn new(_lower: Bound<&[u8]>, _upper: Bound<&[u8]>) -> Self {
        todo!()
    }

    /// The keys that start with `prefix`.
    pub fn prefix(_prefix: &[u8]) -> Self {
        todo!()
    }

    /// Whether `key` is inside.
    pub fn contains(&self, _key: &[u8]) -> bool {
        todo!()
    }
}
