//! Keys that part a table into pieces of like size, from its index alone.

use super::block::BlockCursor;
use super::{Table, index};
use crate::Result;

impl Table {
    /// Keys in the order of the table, each with the bytes of blocks and bodies behind it, up to
    /// the next one: about `step` bytes. What lies before the first key is not among them. The
    /// keys need not be in the table.
    pub fn anchors(&self, step: u64) -> Result<Vec<(Vec<u8>, u64)>> {
        let (held, handle) = self.index()?;
        let damaged = |damage| self.damaged(handle, damage);
        let mut cursor = BlockCursor::empty();
        cursor.set_block(held.clone()).map_err(damaged)?;
        cursor.seek_first().map_err(damaged)?;
        let (mut anchors, mut start) = (Vec::<(Vec<u8>, u64)>::new(), 0);
        while cursor.valid() {
            let block = index::handle(cursor.value()).map_err(damaged)?;
            let end = block.offset + u64::from(block.len);
            if let Some((_, bytes)) = anchors.last_mut() {
                *bytes = end - start;
            }
            if end - start >= step {
                anchors.push((cursor.key().to_vec(), 0));
                start = end;
            }
            cursor.next().map_err(damaged)?;
        }
        // Behind the separator of the last block there is nothing.
        anchors.retain(|(_, bytes)| *bytes > 0);
        Ok(anchors)
    }
}
