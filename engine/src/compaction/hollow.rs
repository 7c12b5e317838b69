//! Tables that range deletes hide in large part: they are written anew where they lie.
//!
//! A range delete costs one record, and what it hides stays on disk until a compaction comes by. In
//! levels that are in shape none does. So where nothing else is due, a table of which a good part
//! is hidden is rewritten for that alone.
//!
//! The part is estimated: the index says where pieces of like size begin, and a piece counts when
//! it is hidden as a whole. No block is read.
//!
//! Why it ends: only deletes count that every live snapshot sees, so that what is written is clean
//! of them ([`crate::manifest::TableMeta::clean_seq`]), and a table is not looked at again for
//! deletes that it is clean of.

use std::sync::Arc;

use crate::key::{FileNumber, Seq};
use crate::levels::{TableFile, Version};

/// A table is rewritten when one byte in this many, or more, is hidden. The rewrite writes what is
/// left: at a quarter three bytes for each that is given back, which is no more than what a level
/// costs. Below that the next compaction that comes by is cheaper.
const HIDDEN_PART: u64 = 4;

/// Pieces that a table is looked at in. Those at the edges of a delete do not count, so that the
/// estimate is low by two of them at most.
const PIECES: u64 = 16;

/// The tables of `version` of which a good part is hidden from everybody, and how many bytes of
/// each; most first. `snapshots` are live, ascending.
pub fn hollow_tables(version: &Version, snapshots: &[Seq]) -> Vec<(FileNumber, u64)> {
    let deletes = &version.range_deletes;
    if deletes.is_empty() {
        return Vec::new();
    }
    let clean_seq = deletes.clean_seq(snapshots);
    let is_newer = |table: &TableFile| {
        table.meta.clean_seq < clean_seq
            && deletes.list().iter().any(|delete| {
                delete.seq <= clean_seq
                    && delete.seq > table.meta.max_seq
                    && delete.overlaps(&table.meta.smallest, &table.meta.largest)
            })
    };
    let tables = version.tables().map(|(_, table)| table).filter(|table| is_newer(table));
    let hidden = tables.map(|table| (table, hidden_bytes(version, table, snapshots)));
    let hollow = hidden.filter(|(table, hidden)| *hidden >= table.meta.bytes / HIDDEN_PART);
    let mut hollow: Vec<_> = hollow.map(|(table, bytes)| (table.meta.number, bytes)).collect();
    hollow.sort_by_key(|(number, bytes)| (std::cmp::Reverse(*bytes), *number));
    hollow
}

/// About how many bytes of `table` nobody sees. What cannot be read is found by whoever needs it.
fn hidden_bytes(version: &Version, table: &Arc<TableFile>, snapshots: &[Seq]) -> u64 {
    let meta = &table.meta;
    let step = (meta.bytes / PIECES).max(1);
    let Ok(anchors) = table.table.anchors(step) else { return 0 };
    let before: u64 = anchors.iter().map(|(_, bytes)| bytes).sum();
    let first = (&*meta.smallest, meta.bytes.saturating_sub(before));
    let starts: Vec<_> =
        std::iter::once(first).chain(anchors.iter().map(|(key, bytes)| (&**key, *bytes))).collect();
    let ends = starts.iter().skip(1).map(|(key, _)| *key).chain([&*meta.largest]);
    let is_hidden = |range: (&[u8], &[u8])| {
        range.0 <= range.1
            && version.range_deletes.hide_all(range, (meta.min_seq, meta.max_seq), snapshots)
    };
    let pieces = starts.iter().zip(ends).filter(|((start, _), end)| is_hidden((start, end)));
    pieces.map(|((_, bytes), _)| bytes).sum()
}
