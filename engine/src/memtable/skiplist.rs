//! The memtable of plain KV: a skip list of versions.

use std::any::Any;
use std::sync::Arc;

use super::Memtable;
use crate::Result;
use crate::key::{Kind, Op, Seq};
use crate::scan::Cursor;

/// The memtable of plain KV.
#[derive(Debug, Default)]
pub struct SkipListMemtable {}

impl SkipListMemtable {
    /// An empty memtable.
    pub fn new() -> Self {
        SkipListMemtable::default()
    }
}

impl Memtable for SkipListMemtable {
    fn apply(&self, _seq: Seq, _op: &Op<'_>) {
        todo!()
    }

    fn bytes(&self) -> usize {
        todo!()
    }

    fn cursor(self: Arc<Self>) -> Box<dyn Cursor> {
        todo!()
    }

    fn versions(
        &self,
        _key: &[u8],
        _snapshot: Seq,
        _visit: &mut dyn FnMut(Seq, Kind, &[u8]) -> bool,
    ) -> Result<()> {
        todo!()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
