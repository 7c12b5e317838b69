//! A keyspace: a named ordered map with memtables and tables of its own.

use std::sync::Arc;

use crate::Result;
use crate::key::{KeyspaceId, Seq};
use crate::memtable::Memtable;
use crate::scan::{Cursor, Value};

/// A keyspace by name and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyspace {
    /// Its number, which batches name.
    pub id: KeyspaceId,
    /// Its name.
    pub name: Arc<str>,
}

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
    seq: Seq,
}

impl View {
    /// What was visible when the view was taken.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Walks the tables, merged, in internal order. Memtables are not part of it.
    pub fn cursor(&self, _fill_cache: bool) -> Box<dyn Cursor> {
        todo!()
    }

    /// What the tables hold, newest run first.
    pub fn tables(&self) -> Vec<TableSummary> {
        todo!()
    }
}

/// Keys and values in order.
pub struct KvIterator {}

impl KvIterator {
    /// Moves to the next pair; `false` at the end. Starts before the first.
    pub fn advance(&mut self) -> Result<bool> {
        todo!()
    }

    /// The key. Only after `advance` said `true`.
    pub fn key(&self) -> &[u8] {
        todo!()
    }

    /// The value. Only after `advance` said `true`.
    pub fn value(&self) -> &[u8] {
        todo!()
    }
}

impl Iterator for KvIterator {
    type Item = Result<(Vec<u8>, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
