//! The memtable of plain KV: a skip list of versions in an arena.
//!
//! Links, key and value of a version lie side by side in blocks that are freed as a whole: nothing
//! is allocated for a version, and what the memtable holds is known to the byte. A read of one key
//! asks a filter first: in most memtables most keys are not.

mod atomics;
mod bump;
mod heads;
mod list;
mod memory;
mod spares;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::list::{Entry, HEIGHT_MAX, List, Walk};
pub use self::spares::Spares;
use super::Memtable;
use super::key_filter::KeyFilter;
use crate::Result;
use crate::bloom::key_hash;
use crate::key::{Kind, Op, Seq};
use crate::scan::{Body, Cursor};

/// The memtable of plain KV.
pub struct ArenaMemtable {
    list: Arc<List>,
    keys: KeyFilter,
    filter_bytes: AtomicUsize,
}

impl ArenaMemtable {
    /// An empty memtable; its largest blocks come from `spares` and go there.
    pub fn new(spares: Option<Arc<Spares>>) -> Self {
        let (list, keys) = (Arc::new(List::new(spares)), KeyFilter::default());
        ArenaMemtable { list, keys, filter_bytes: AtomicUsize::new(0) }
    }
}

/// Links of the next node: one in four has one more. Drawn from where the arena is, so that the
/// same history gives the same list, and from the key, so that threads draw apart.
fn height(key_hash: u64, arena_bytes: usize) -> usize {
    let mut drawn = key_hash ^ (arena_bytes as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    drawn = (drawn ^ drawn >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    drawn ^= drawn >> 32;
    1 + (drawn.trailing_zeros() as usize / 2).min(HEIGHT_MAX - 1)
}

impl Memtable for ArenaMemtable {
    fn apply(&self, seq: Seq, op: &Op<'_>) {
        let hash = key_hash(op.key);
        // Before the version is there: whoever may see the version sees the key in the filter.
        let grown = self.keys.add(hash);
        if grown > 0 {
            self.filter_bytes.fetch_add(grown, Ordering::Relaxed);
        }
        self.list.insert(seq, op.kind, op.key, op.value, height(hash, self.list.bytes()));
    }

    fn bytes(&self) -> usize {
        self.list.bytes() + self.filter_bytes.load(Ordering::Relaxed)
    }

    fn cursor(self: Arc<Self>) -> Box<dyn Cursor> {
        Box::new(ArenaCursor(Walk::new(self.list.clone())))
    }

    fn versions(
        &self,
        key: &[u8],
        snapshot: Seq,
        visit: &mut dyn FnMut(Seq, Kind, &[u8]) -> bool,
    ) -> Result<()> {
        if !self.keys.may_contain(key_hash(key)) {
            return Ok(());
        }
        let mut next = self.list.at_or_after(key, snapshot);
        while let Some(entry) = next
            && entry.key() == key
            && visit(entry.seq(), entry.kind(), entry.value())
        {
            next = entry.after();
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Walks the list, and keeps it alive.
struct ArenaCursor(Walk);

impl ArenaCursor {
    fn entry(&self) -> Entry<'_> {
        self.0.entry().expect("called at an entry only")
    }
}

impl Cursor for ArenaCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.0.seek_first();
        Ok(())
    }

    fn seek_last(&mut self) -> Result<()> {
        self.0.seek_last();
        Ok(())
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.0.seek(key);
        Ok(())
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        self.0.seek_before(key);
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        self.0.next();
        Ok(())
    }

    fn next_key(&mut self) -> Result<()> {
        self.0.next_key();
        Ok(())
    }

    fn prev(&mut self) -> Result<()> {
        self.0.prev();
        Ok(())
    }

    fn valid(&self) -> bool {
        self.0.entry().is_some()
    }

    fn key(&self) -> &[u8] {
        self.entry().key()
    }

    fn seq(&self) -> Seq {
        self.entry().seq()
    }

    fn kind(&self) -> Kind {
        self.entry().kind()
    }

    fn value(&self) -> &[u8] {
        self.entry().value()
    }

    fn body(&self) -> Option<Body> {
        None
    }
}
