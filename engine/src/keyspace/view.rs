//! What readers hold: a pinned view of memtables and tables, and the walk over visible keys.

use std::sync::Arc;

use super::Picture;
use crate::Result;
use crate::hooks::Hooks;
use crate::key::Seq;
use crate::levels::Version;
use crate::memtable::Memtable;
use crate::scan::bounds::Bounds;
use crate::scan::merging::MergingCursor;
use crate::scan::visible::VisibleCursor;
use crate::scan::{Cursor, Value};

/// What a table of a view holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSummary {
    /// First user key.
    pub smallest: Arc<[u8]>,
    /// Last user key.
    pub largest: Arc<[u8]>,
    /// Entries.
    pub entries: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Newest sequence number.
    pub max_seq: Seq,
    /// Written by a final compaction.
    pub is_final: bool,
}

/// Memtables and tables of a keyspace at one moment; they stay readable while it lives.
pub struct View {
    /// Newest first: the active one, which may still grow, then the sealed ones.
    pub memtables: Vec<Arc<dyn Memtable>>,
    version: Arc<Version>,
    seq: Seq,
}

impl View {
    pub(crate) fn new(picture: &Picture, seq: Seq) -> Self {
        let memtables = picture.slots().map(|slot| slot.memtable.clone()).collect();
        View { memtables, version: picture.version.clone(), seq }
    }

    /// What was visible when the view was taken.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Walks the tables, merged, in internal order. Memtables are not part of it.
    pub fn cursor(&self, fill_cache: bool) -> Box<dyn Cursor> {
        let mut cursors = self.version.cursors(fill_cache);
        match cursors.pop() {
            Some(cursor) if cursors.is_empty() => cursor,
            last => {
                cursors.extend(last);
                Box::new(MergingCursor::new(cursors))
            }
        }
    }

    /// What the tables hold, newest run first.
    pub fn tables(&self) -> Vec<TableSummary> {
        let summary = |meta: &crate::manifest::TableMeta| TableSummary {
            smallest: meta.smallest.clone(),
            largest: meta.largest.clone(),
            entries: meta.entries,
            bytes: meta.bytes,
            max_seq: meta.max_seq,
            is_final: meta.is_final,
        };
        self.version.tables().map(|(_, table)| summary(&table.meta)).collect()
    }

    /// Whether the tables are one run that a final compaction wrote.
    pub fn is_final(&self) -> bool {
        self.version.is_final()
    }
}

/// Keys and values in order.
pub struct KvIterator {
    cursor: VisibleCursor,
    is_reverse: bool,
    is_started: bool,
    /// Keeps the table files.
    _version: Arc<Version>,
}

impl KvIterator {
    pub(crate) fn new(
        picture: &Picture,
        hooks: Arc<dyn Hooks>,
        seq: Seq,
        bounds: Bounds,
        is_reverse: bool,
        fill_cache: bool,
    ) -> Self {
        let slots = picture.slots().map(|slot| slot.memtable.clone().cursor());
        let cursors = slots.chain(picture.version.cursors_unpinned(fill_cache)).collect();
        let merged: Box<dyn Cursor> = Box::new(MergingCursor::new(cursors));
        let cursor = VisibleCursor::new(merged, hooks, seq, bounds);
        KvIterator { cursor, is_reverse, is_started: false, _version: picture.version.clone() }
    }

    /// Moves to the next pair; `false` at the end. Starts before the first.
    pub fn advance(&mut self) -> Result<bool> {
        match (self.is_started, self.is_reverse) {
            (false, false) => self.cursor.seek_first()?,
            (false, true) => self.cursor.seek_last()?,
            (true, false) => self.cursor.next()?,
            (true, true) => self.cursor.prev()?,
        }
        self.is_started = true;
        Ok(self.cursor.valid())
    }

    /// The key. Only after `advance` said `true`.
    pub fn key(&self) -> &[u8] {
        self.cursor.key()
    }

    /// The value. Only after `advance` said `true`.
    pub fn value(&self) -> &[u8] {
        self.cursor.value()
    }

    /// The value, kept alive past the next move; without a copy where it lies in a block. Only
    /// after `advance` said `true`.
    pub fn pin(&self) -> Value {
        self.cursor.pin()
    }

    /// The sequence number of the batch that put the value; `None` where it was merged, or in
    /// reverse. Only after `advance` said `true`.
    pub fn seq(&self) -> Option<Seq> {
        self.cursor.seq()
    }
}

impl Iterator for KvIterator {
    type Item = Result<(Vec<u8>, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        // Behind the end the cursor stands still.
        if self.is_started && !self.cursor.valid() {
            return None;
        }
        match self.advance() {
            Ok(false) => None,
            Ok(true) => Some(Ok((self.key().to_vec(), self.pin()))),
            Err(error) => Some(Err(error)),
        }
    }
}
