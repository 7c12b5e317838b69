//! What readers hold: a pinned view of memtables and tables, and the walk over visible keys.

use std::sync::Arc;

use super::Picture;
use super::input::Input;
use crate::Result;
use crate::hooks::Hooks;
use crate::key::Seq;
use crate::levels::Version;
use crate::memtable::Memtable;
use crate::scan::bounds::Bounds;
use crate::scan::hidden::BoundedCursor;
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

    /// Walks the tables, merged, in internal order. Memtables are not part of it, and what range
    /// deletes hide is.
    pub fn cursor(&self, fill_cache: bool) -> Box<dyn Cursor> {
        let mut cursors: Vec<_> = self.version.cursors(fill_cache).collect();
        match cursors.pop() {
            Some(cursor) if cursors.is_empty() => Box::new(cursor),
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
///
/// A walk has a direction, that of its [`crate::store::ScanOptions`]: `advance` goes that way and
/// `retreat` the other. It may be sent to any key at any time, which is cheap forward over a short
/// distance: inputs that are there already stay, and a block that holds the key is not looked up.
pub struct KvIterator {
    cursor: VisibleCursor<MergingCursor<Input>>,
    is_reverse: bool,
    stand: Stand,
}

/// Where a walk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    BeforeFirst,
    AtKey,
    AfterLast,
    /// A move failed.
    Nowhere,
}

impl KvIterator {
    pub(crate) fn new(
        picture: &Picture,
        hooks: Arc<dyn Hooks>,
        (seq, now_ms): (Seq, u64),
        bounds: Bounds,
        is_reverse: bool,
        fill_cache: bool,
    ) -> Self {
        let hidden = picture.hidden_keys(seq);
        let can_skip = hidden.is_some();
        let slots = picture.slots().map(|slot| {
            let cursor = slot.memtable.clone().cursor();
            Input::Memtable(if can_skip {
                Box::new(BoundedCursor::new(cursor, slot.last_entry_seq()))
            } else {
                cursor
            })
        });
        let tables = picture.version.cursors(fill_cache).map(Input::Run);
        let merged = MergingCursor::new(slots.chain(tables).collect());
        let cursor = VisibleCursor::new(merged, hooks, seq, bounds);
        let cursor = cursor.without(hidden).at_ms(now_ms);
        let stand = if is_reverse { Stand::AfterLast } else { Stand::BeforeFirst };
        KvIterator { cursor, is_reverse, stand }
    }

    /// Moves to the next pair; `false` at the end. Starts before the first.
    #[inline]
    pub fn advance(&mut self) -> Result<bool> {
        if self.is_reverse { self.step_back() } else { self.step_on() }
    }

    /// Moves against the direction of the walk; `false` where there is no more. From behind the
    /// end it moves to the last pair.
    pub fn retreat(&mut self) -> Result<bool> {
        if self.is_reverse { self.step_on() } else { self.step_back() }
    }

    /// Moves to the first key at or after `key` within the bounds, whatever the direction; `false`
    /// where there is none.
    pub fn seek(&mut self, key: &[u8]) -> Result<bool> {
        self.moved(Stand::AfterLast, |cursor| cursor.seek(key))
    }

    /// Moves to the last key before `key` within the bounds, whatever the direction; `false` where
    /// there is none.
    pub fn seek_before(&mut self, key: &[u8]) -> Result<bool> {
        self.moved(Stand::BeforeFirst, |cursor| cursor.seek_before(key))
    }

    /// Moves to the least key within the bounds, whatever the direction.
    pub fn seek_first(&mut self) -> Result<bool> {
        self.moved(Stand::AfterLast, VisibleCursor::seek_first)
    }

    /// Moves to the greatest key within the bounds, whatever the direction.
    pub fn seek_last(&mut self) -> Result<bool> {
        self.moved(Stand::BeforeFirst, VisibleCursor::seek_last)
    }

    #[inline]
    fn step_on(&mut self) -> Result<bool> {
        if self.stand == Stand::AtKey && self.cursor.next_at_hand() {
            return Ok(true);
        }
        self.step_far()
    }

    #[inline(never)]
    fn step_far(&mut self) -> Result<bool> {
        match self.stand {
            Stand::BeforeFirst => self.seek_first(),
            Stand::AtKey => self.moved(Stand::AfterLast, VisibleCursor::next),
            Stand::AfterLast | Stand::Nowhere => Ok(false),
        }
    }

    fn step_back(&mut self) -> Result<bool> {
        match self.stand {
            Stand::AfterLast => self.seek_last(),
            Stand::AtKey => self.moved(Stand::BeforeFirst, VisibleCursor::prev),
            Stand::BeforeFirst | Stand::Nowhere => Ok(false),
        }
    }

    /// Moves the cursor; `past` is where it stands when it meets no key.
    #[inline]
    fn moved(
        &mut self,
        past: Stand,
        seek: impl FnOnce(&mut VisibleCursor<MergingCursor<Input>>) -> Result<()>,
    ) -> Result<bool> {
        self.stand = Stand::Nowhere;
        seek(&mut self.cursor)?;
        self.stand = if self.cursor.valid() { Stand::AtKey } else { past };
        Ok(self.cursor.valid())
    }

    /// Whether it stands at a pair.
    #[inline]
    pub fn valid(&self) -> bool {
        self.stand == Stand::AtKey
    }

    /// The key. Only while `valid`.
    #[inline]
    pub fn key(&self) -> &[u8] {
        self.cursor.key()
    }

    /// The value. Only while `valid`.
    #[inline]
    pub fn value(&self) -> &[u8] {
        self.cursor.value()
    }

    /// The value, kept alive past the next move; without a copy where it lies in a block. Only
    /// while `valid`.
    pub fn pin(&self) -> Value {
        self.cursor.pin()
    }

    /// The sequence number of the batch that put the value; `None` where it was merged, or in
    /// reverse. Only while `valid`.
    pub fn seq(&self) -> Option<Seq> {
        self.cursor.seq()
    }
}

impl Iterator for KvIterator {
    type Item = Result<(Vec<u8>, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(false) => None,
            Ok(true) => Some(Ok((self.key().to_vec(), self.pin()))),
            Err(error) => Some(Err(error)),
        }
    }
}
