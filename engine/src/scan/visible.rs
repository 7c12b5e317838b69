//! What a reader at a snapshot sees of all the versions.

use std::sync::Arc;

use super::bounds::Bounds;
use super::{Cursor, Value};
use crate::Result;
use crate::hooks::Hooks;
use crate::key::Seq;

/// Walks the keys that exist at a snapshot, each with its value, both ways, within bounds.
pub struct VisibleCursor<C: Cursor = Box<dyn Cursor>> {
    _inner: C,
}

impl<C: Cursor> VisibleCursor<C> {
    /// The keys of `inner` that a reader at `snapshot` sees within `bounds`. Stands before the
    /// first key; seek first.
    pub fn new(_inner: C, _hooks: Arc<dyn Hooks>, _snapshot: Seq, _bounds: Bounds) -> Self {
        todo!()
    }

    /// Moves to the first key inside the bounds.
    pub fn seek_first(&mut self) -> Result<()> {
        todo!()
    }

    /// Moves to the last key inside the bounds.
    pub fn seek_last(&mut self) -> Result<()> {
        todo!()
    }

    /// Moves to the first key at or after `key`, inside the bounds.
    pub fn seek(&mut self, _key: &[u8]) -> Result<()> {
        todo!()
    }

    /// Moves to the last key before `key`, inside the bounds.
    pub fn seek_before(&mut self, _key: &[u8]) -> Result<()> {
        todo!()
    }

    /// Moves to the next key.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<()> {
        todo!()
    }

    /// Moves to the previous key.
    pub fn prev(&mut self) -> Result<()> {
        todo!()
    }

    /// Whether the cursor is at a key.
    pub fn valid(&self) -> bool {
        todo!()
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        todo!()
    }

    /// Its value.
    pub fn value(&self) -> &[u8] {
        todo!()
    }

    /// Its value, kept alive; without a copy where it lies in a block.
    pub fn pin(&self) -> Value {
        todo!()
    }
}

/// Collects what a point read meets, newest first, until the value is known.
#[derive(Debug)]
pub struct Lookup<'a> {
    _key: &'a [u8],
}

impl<'a> Lookup<'a> {
    /// A point read of `key`.
    pub fn new(_key: &'a [u8]) -> Self {
        todo!()
    }

    /// Takes the next older version; `pin` is called when its value matters. `false`: enough.
    pub fn add(&mut self, _kind: crate::key::Kind, _pin: impl FnOnce() -> Value) -> bool {
        todo!()
    }

    /// The value, merge operands folded.
    pub fn finish(self, _hooks: &dyn Hooks) -> Result<Option<Value>> {
        todo!()
    }
}
