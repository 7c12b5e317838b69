//! What range deletes hide from a scan.
//!
//! A scan asks of every version it meets whether it is hidden. The answer holds for a span of keys,
//! which is kept: neighbours cost two comparisons. Where a span hides, inputs that hold nothing
//! newer than its delete pass over it at once ([`super::Cursor::skip_hidden`]), so that a scan over
//! many deleted keys costs a few seeks.

use std::sync::Arc;

use super::{Body, Cursor, Value};
use crate::Result;
use crate::key::{Kind, Seq};
use crate::range_delete::{LiveRangeDeletes, RangeDeletes, Span};

/// Hidden entries in a row before the scan asks its inputs to pass over the rest: a few steps cost
/// less than a seek.
const STEPS_MIN: u32 = if cfg!(test) { 2 } else { 8 };

/// Keys whose versions below a number are hidden, and the way a scan goes.
#[derive(Debug, Clone, Copy)]
pub struct Hidden<'a> {
    /// Versions below this number are hidden.
    pub seq: Seq,
    /// First key.
    pub start: &'a [u8],
    /// First key that is no longer inside.
    pub end: &'a [u8],
    /// Whether the scan goes backward.
    pub is_backward: bool,
}

impl Hidden<'_> {
    /// Whether versions of `key` are hidden.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start <= key && key < self.end
    }
}

/// The range deletes that a reader at a snapshot knows of.
#[derive(Debug)]
pub struct HiddenKeys {
    snapshot: Seq,
    live: Vec<Arc<LiveRangeDeletes>>,
    flushed: Arc<RangeDeletes>,
    /// About the key that was asked for last.
    span: Span,
    is_known: bool,
    /// Hidden entries met in a row.
    steps: u32,
}

impl HiddenKeys {
    /// What memtables and manifest say.
    pub fn new(
        snapshot: Seq,
        live: Vec<Arc<LiveRangeDeletes>>,
        flushed: Arc<RangeDeletes>,
    ) -> Self {
        let (span, is_known, steps) = (Span::default(), false, 0);
        HiddenKeys { snapshot, live, flushed, span, is_known, steps }
    }

    /// Whether the version `seq` of `key` is hidden.
    pub fn hides(&mut self, key: &[u8], seq: Seq) -> bool {
        if !self.is_known || !self.span.contains(key) {
            self.span = self.flushed.span(key, self.snapshot);
            for live in &self.live {
                self.span.intersect(live.span(key, self.snapshot));
            }
            self.is_known = true;
            self.steps = 0;
        }
        seq < self.span.seq
    }

    /// Moves `cursor` on from a hidden entry.
    pub fn pass(&mut self, cursor: &mut dyn Cursor, is_backward: bool) -> Result<()> {
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_MIN)
            && let (Some(start), Some(end)) = (&self.span.start, &self.span.end)
        {
            let hidden = Hidden { seq: self.span.seq, start, end, is_backward };
            if cursor.skip_hidden(&hidden)? {
                return Ok(());
            }
        }
        if is_backward { cursor.prev() } else { cursor.next() }
    }
}

/// A cursor whose visible entries have no number above `seq_max`: it passes over what is hidden.
pub struct BoundedCursor {
    inner: Box<dyn Cursor>,
    seq_max: Seq,
}

impl BoundedCursor {
    /// `inner`, of whose entries none that the reader sees is newer than `seq_max`.
    pub fn new(inner: Box<dyn Cursor>, seq_max: Seq) -> Self {
        BoundedCursor { inner, seq_max }
    }
}

impl Cursor for BoundedCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.inner.seek_first()
    }
    fn seek_last(&mut self) -> Result<()> {
        self.inner.seek_last()
    }
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.inner.seek(key)
    }
    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        self.inner.seek_before(key)
    }
    fn next(&mut self) -> Result<()> {
        self.inner.next()
    }
    fn next_key(&mut self) -> Result<()> {
        self.inner.next_key()
    }
    fn prev(&mut self) -> Result<()> {
        self.inner.prev()
    }
    fn valid(&self) -> bool {
        self.inner.valid()
    }
    fn key(&self) -> &[u8] {
        self.inner.key()
    }
    fn seq(&self) -> Seq {
        self.inner.seq()
    }
    fn kind(&self) -> Kind {
        self.inner.kind()
    }
    fn value(&self) -> &[u8] {
        self.inner.value()
    }
    fn body(&self) -> Option<Body> {
        self.inner.body()
    }
    fn pin(&self) -> Value {
        self.inner.pin()
    }
    fn skip_hidden(&mut self, hidden: &Hidden<'_>) -> Result<bool> {
        let is_here = self.inner.valid() && hidden.contains(self.inner.key());
        if !is_here || self.seq_max >= hidden.seq {
            return Ok(false);
        }
        if hidden.is_backward {
            self.inner.seek_before(hidden.start)?;
        } else {
            self.inner.seek(hidden.end)?;
        }
        Ok(true)
    }
}
