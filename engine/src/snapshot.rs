//! A pinned moment: the versions it sees are kept until it is dropped.

use crate::key::Seq;

/// A pinned moment. While it lives, every version it sees is kept.
#[derive(Debug)]
pub struct Snapshot {
    seq: Seq,
}

impl Snapshot {
    /// Its place in the order of all writes.
    pub fn seq(&self) -> Seq {
        self.seq
    }
}
