//! Which range deletes a version still needs.
//!
//! A range delete goes once no table holds anything in its range that is older than it, but for
//! tables that were written with it in mind and left out what it hides. The tables
//! of the version that an edit makes decide, in the same edit: inputs of a running job are among
//! them until its outputs take their place, so that nothing older can come back from a job. The
//! memtables need no look: deletes come into a version with the flush of their memtable, and those
//! are flushed in order.

use std::sync::Arc;

use super::Version;
use crate::budget::Budget;
use crate::key::Seq;
use crate::range_delete::{RangeDelete, RangeDeletes, Settled};

impl Version {
    /// Takes in the deletes of a memtable whose tables are in the version, and lets go of those
    /// that hide nothing any more. `snapshots` are live, ascending. What stays is charged to
    /// `budget`.
    pub fn settle_range_deletes(
        &mut self,
        new: Vec<RangeDelete>,
        snapshots: &[Seq],
        budget: &Budget,
    ) -> Settled {
        if new.is_empty() && self.range_deletes.is_empty() {
            return Settled::default();
        }
        let before = self.range_deletes.clone();
        let mut list = [before.list(), &new].concat();
        list.retain(|delete| self.has_older(delete));
        let after = RangeDeletes::pruned(list, snapshots);
        // Both lists ascend.
        let is_in = |list: &[RangeDelete], delete: &RangeDelete| list.binary_search(delete).is_ok();
        let added = after.list().iter().filter(|delete| !is_in(before.list(), delete)).cloned();
        let dropped = before.list().iter().filter(|delete| !is_in(after.list(), delete)).cloned();
        let settled = Settled { added: added.collect(), dropped: dropped.collect() };
        if settled != Settled::default() {
            self.range_deletes = Arc::new(after.charged(budget));
        }
        settled
    }

    /// Whether a table holds something older than `delete` in its range.
    fn has_older(&self, delete: &RangeDelete) -> bool {
        self.runs().any(|run| {
            let from = run.tables.partition_point(|table| *table.meta.largest < *delete.start);
            let tables = run.tables[from..].iter().map(|table| &table.meta);
            let mut inside = tables.take_while(|table| *table.smallest < *delete.end);
            inside.any(|table| table.min_seq < delete.seq && table.clean_seq < delete.seq)
        })
    }
}
