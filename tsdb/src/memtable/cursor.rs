//! Chunks of a memtable in key order: what a flush writes.
//!
//! Series come in the order of their numbers; the rows of one are sorted, cut into chunks and
//! encoded when the cursor reaches it, some chunks at a time, so that a flush holds the encoded
//! chunks of one series and the rows of a few of them. Every chunk has the sequence number of the
//! memtable's newest operation.

use std::ops::Range;
use std::sync::Arc;

use firndb_engine as engine;
use firndb_engine::key::{Kind, Seq};
use firndb_engine::scan::{Body, Cursor};

use crate::chunk::{self, Class, ROWS_MAX_HOT};
use crate::keys;
use crate::memtable::PointsMemtable;
use crate::model::{Columns, SeriesId, Values};

/// Most bytes of text in a chunk, unless one row alone has more: a reader of a chunk holds it
/// whole, and a body's length has 32 bits.
const CHUNK_TEXT_BYTES_MAX: usize = 4 << 20;

/// Rows taken from the memtable at once.
const SLICE_ROWS: usize = 8 * ROWS_MAX_HOT;

/// Cuts rows into chunks of at most `rows_max` rows.
pub fn cuts(columns: &Columns, rows_max: usize) -> Vec<Range<usize>> {
    let texts: Vec<&[u32]> = (columns.columns.iter())
        .filter_map(|column| match &column.values {
            Values::String { offsets, .. } => Some(&offsets[..]),
            _ => None,
        })
        .collect();
    let text_bytes = |rows: Range<usize>| -> usize {
        texts.iter().map(|offsets| (offsets[rows.end] - offsets[rows.start]) as usize).sum()
    };
    let mut cuts = Vec::new();
    let mut start = 0;
    while start < columns.rows() {
        let mut end = columns.rows().min(start + rows_max);
        while end - start > 1 && text_bytes(start..end) > CHUNK_TEXT_BYTES_MAX {
            end = start + (end - start) / 2;
        }
        cuts.push(start..end);
        start = end;
    }
    cuts
}

/// Walks the chunks of a memtable.
pub struct ChunkCursor {
    memtable: Arc<PointsMemtable>,
    seq: Seq,
    series: Vec<SeriesId>,
    /// Index of the series whose chunks are at hand; past the last: not at an entry.
    at: usize,
    chunks: Vec<Entry>,
    chunk: usize,
}

struct Entry {
    key: [u8; keys::CHUNK_KEY_BYTES],
    head: Vec<u8>,
    body: Arc<[u8]>,
}

impl ChunkCursor {
    /// A cursor before the first chunk.
    pub fn new(memtable: Arc<PointsMemtable>) -> Self {
        let (seq, series) = (memtable.seq_max(), memtable.series());
        let at = series.len();
        ChunkCursor { memtable, seq, series, at, chunks: Vec::new(), chunk: 0 }
    }

    /// Encodes the chunks of series `at`; past the end the cursor is not at an entry.
    fn load(&mut self, at: usize) {
        self.at = at;
        self.chunk = 0;
        self.chunks.clear();
        let Some(series) = self.series.get(at).copied() else { return };
        for slice in self.memtable.slices(series, SLICE_ROWS) {
            let columns = self.memtable.read_all(series, slice).expect("a slice has rows");
            self.encode(series, &columns);
        }
    }

    fn encode(&mut self, series: SeriesId, columns: &Columns) {
        for rows in cuts(columns, ROWS_MAX_HOT) {
            let first = columns.timestamps[rows.start];
            let encoded = if rows.len() == columns.rows() {
                chunk::encode(columns, Class::Hot)
            } else {
                chunk::encode(&columns.slice(rows), Class::Hot)
            };
            self.chunks.push(Entry {
                key: keys::chunk_key(series, first),
                head: encoded.head,
                body: encoded.body.into(),
            });
        }
    }

    fn entry(&self) -> &Entry {
        &self.chunks[self.chunk]
    }
}

impl Cursor for ChunkCursor {
    fn seek_first(&mut self) -> engine::Result<()> {
        self.load(0);
        Ok(())
    }

    fn seek_last(&mut self) -> engine::Result<()> {
        match self.series.len().checked_sub(1) {
            Some(last) => {
                self.load(last);
                self.chunk = self.chunks.len() - 1;
            }
            None => self.load(0),
        }
        Ok(())
    }

    fn seek(&mut self, key: &[u8]) -> engine::Result<()> {
        let at = self.series.partition_point(|s| keys::chunk_key(*s, i64::MAX).as_slice() < key);
        self.load(at);
        while self.valid() && self.key() < key {
            self.next()?;
        }
        Ok(())
    }

    fn seek_before(&mut self, key: &[u8]) -> engine::Result<()> {
        self.seek(key)?;
        if self.valid() { self.prev() } else { self.seek_last() }
    }

    fn next(&mut self) -> engine::Result<()> {
        assert!(self.valid(), "next after the end");
        self.chunk += 1;
        if self.chunk == self.chunks.len() {
            self.load(self.at + 1);
        }
        Ok(())
    }

    fn prev(&mut self) -> engine::Result<()> {
        assert!(self.valid(), "prev after the end");
        if self.chunk > 0 {
            self.chunk -= 1;
        } else if let Some(before) = self.at.checked_sub(1) {
            self.load(before);
            self.chunk = self.chunks.len() - 1;
        } else {
            self.load(self.series.len());
        }
        Ok(())
    }

    fn valid(&self) -> bool {
        self.at < self.series.len()
    }

    fn key(&self) -> &[u8] {
        &self.entry().key
    }

    fn seq(&self) -> Seq {
        self.seq
    }

    fn kind(&self) -> Kind {
        Kind::Put
    }

    fn value(&self) -> &[u8] {
        &self.entry().head
    }

    fn body(&self) -> Option<Body> {
        Some(Body::Memory(self.entry().body.clone()))
    }
}
