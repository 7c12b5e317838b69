//! Several cursors as one.

use super::{Body, Cursor, Value};
use crate::Result;
use crate::key::{Kind, Seq};

/// Walks several cursors as one, in internal order. Of entries with equal key and sequence
/// number, that of the earlier input comes first.
pub struct MergingCursor {}

impl MergingCursor {
    /// A cursor over `inputs`, newest first.
    pub fn new(_inputs: Vec<Box<dyn Cursor>>) -> Self {
        todo!()
    }
}

impl Cursor for MergingCursor {
    fn seek_first(&mut self) -> Result<()> {
        todo!()
    }
    fn seek_last(&mut self) -> Result<()> {
        todo!()
    }
    fn seek(&mut self, _key: &[u8]) -> Result<()> {
        todo!()
    }
    fn seek_before(&mut self, _key: &[u8]) -> Result<()> {
        todo!()
    }
    fn next(&mut self) -> Result<()> {
        todo!()
    }
    fn prev(&mut self) -> Result<()> {
        todo!()
    }
    fn valid(&self) -> bool {
        todo!()
    }
    fn key(&self) -> &[u8] {
        todo!()
    }
    fn seq(&self) -> Seq {
        todo!()
    }
    fn kind(&self) -> Kind {
        todo!()
    }
    fn value(&self) -> &[u8] {
        todo!()
    }
    fn body(&self) -> Option<Body> {
        todo!()
    }
    fn pin(&self) -> Value {
        todo!()
    }
}
