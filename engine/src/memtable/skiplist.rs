//! The other memtable of plain KV: a skip list of versions on crossbeam's, written by several
//! threads without a lock.
//!
//! Order: key ascending, sequence number descending, then order of application descending. All
//! operations of one batch share a sequence number; the thread that applies the batch gives each
//! a number of its own, ever higher, so that
//! - of several puts and deletes of one key in one batch the last one is met first, and wins;
//! - every merge operand of the batch is there and counts, in order.
//!
//! Key and value of a version lie in one allocation; the first eight bytes of the key lie in the
//! node as well, where most comparisons end. A read of one key asks a filter first: in most
//! memtables most keys are not.
//!
//! On `unsafe`: a cursor owns the list it walks and an entry of it, a borrow that the language
//! cannot express. `extend` states why it holds; nothing else here is unsafe.

use std::any::Any;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering as Memory};

use crossbeam_skiplist::SkipMap;
use crossbeam_skiplist::map::Entry;

use super::Memtable;
use super::key_filter::KeyFilter;
use crate::Result;
use crate::bloom::key_hash;
use crate::key::{Kind, Op, Seq, head};
use crate::scan::{Body, Cursor};

/// What a version costs beside its key and value: 40 bytes of `Version`, the node's header and two
/// links on average, and what the allocator adds to two allocations.
const VERSION_OVERHEAD_BYTES: usize = 104;

/// The memtable of plain KV.
#[derive(Debug, Default)]
pub struct SkipListMemtable {
    versions: SkipMap<Version, ()>,
    keys: KeyFilter,
    bytes: AtomicUsize,
    /// Operations applied. A memtable has a bounded size: it is flushed long before this wraps.
    applied: AtomicU32,
}

/// One version of a key.
#[derive(Debug)]
struct Version {
    /// The first bytes of the key, as a number that compares as they do.
    head: u64,
    /// Key, then value.
    bytes: Box<[u8]>,
    key_len: u32,
    /// Place in the order of application, for versions with one sequence number.
    place: u32,
    /// Sequence number, then kind in the lowest byte.
    tag: u64,
}

impl Version {
    fn new(seq: Seq, place: u32, op: &Op<'_>) -> Self {
        let mut bytes = Vec::with_capacity(op.key.len() + op.value.len());
        bytes.extend_from_slice(op.key);
        bytes.extend_from_slice(op.value);
        Version {
            head: head(op.key),
            bytes: bytes.into_boxed_slice(),
            key_len: u32::try_from(op.key.len()).expect("the store bounds keys"),
            place,
            tag: seq << 8 | op.kind as u64,
        }
    }

    fn kind(&self) -> Kind {
        Kind::from_byte(self.tag as u8).expect("stored from a kind")
    }

    fn value(&self) -> &[u8] {
        &self.bytes[self.key_len as usize..]
    }
}

/// Where a version stands in the list; also asked for without there being one.
trait Position {
    fn head(&self) -> u64;
    fn key(&self) -> &[u8];
    fn seq(&self) -> Seq;
    fn place(&self) -> u32;
}

impl Position for Version {
    fn head(&self) -> u64 {
        self.head
    }
    fn key(&self) -> &[u8] {
        &self.bytes[..self.key_len as usize]
    }
    fn seq(&self) -> Seq {
        self.tag >> 8
    }
    fn place(&self) -> u32 {
        self.place
    }
}

/// The position before the versions of a key at or below a sequence number.
struct Target<'a> {
    head: u64,
    key: &'a [u8],
    seq: Seq,
}

impl Position for Target<'_> {
    fn head(&self) -> u64 {
        self.head
    }
    fn key(&self) -> &[u8] {
        self.key
    }
    fn seq(&self) -> Seq {
        self.seq
    }
    fn place(&self) -> u32 {
        u32::MAX
    }
}

fn compare<P: Position + ?Sized>(a: &P, b: &P) -> Ordering {
    a.head()
        .cmp(&b.head())
        .then_with(|| a.key().cmp(b.key()))
        .then_with(|| b.seq().cmp(&a.seq()))
        .then_with(|| b.place().cmp(&a.place()))
}

impl Ord for dyn Position + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self, other)
    }
}

impl PartialOrd for dyn Position + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Position + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn Position + '_ {}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self, other)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl<'a> Borrow<dyn Position + 'a> for Version {
    fn borrow(&self) -> &(dyn Position + 'a) {
        self
    }
}

impl SkipListMemtable {
    /// An empty memtable.
    pub fn new() -> Self {
        SkipListMemtable::default()
    }

    /// The first version of `key` at or below `seq`, or what comes after.
    fn at_or_after(&self, key: &[u8], seq: Seq) -> Option<Entry<'_, Version, ()>> {
        let target: &dyn Position = &Target { head: head(key), key, seq };
        self.versions.lower_bound(Bound::Included(target))
    }

    /// The last version before those of `key`.
    fn before(&self, key: &[u8]) -> Option<Entry<'_, Version, ()>> {
        let target: &dyn Position = &Target { head: head(key), key, seq: Seq::MAX };
        self.versions.upper_bound(Bound::Excluded(target))
    }
}

impl Memtable for SkipListMemtable {
    fn apply(&self, seq: Seq, op: &Op<'_>) {
        let place = self.applied.fetch_add(1, Memory::Relaxed);
        let version = Version::new(seq, place, op);
        // Before the version is there: whoever may see the version sees the key in the filter.
        let filter_bytes = self.keys.add(key_hash(op.key));
        let bytes = version.bytes.len() + VERSION_OVERHEAD_BYTES + filter_bytes;
        self.versions.insert(version, ());
        self.bytes.fetch_add(bytes, Memory::Relaxed);
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Memory::Relaxed)
    }

    fn cursor(self: Arc<Self>) -> Box<dyn Cursor> {
        Box::new(SkipListCursor { entry: None, list: self })
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
        let mut next = self.at_or_after(key, snapshot);
        while let Some(mut entry) = next {
            let version = entry.key();
            let goes_on =
                version.key() == key && visit(version.seq(), version.kind(), version.value());
            next = if goes_on && entry.move_next() { Some(entry) } else { None };
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Walks the list, and keeps it alive.
struct SkipListCursor {
    // Dropped before `list`, which it borrows: fields are dropped in order.
    entry: Option<Entry<'static, Version, ()>>,
    list: Arc<SkipListMemtable>,
}

/// Lets an entry live as long as the list it is of is kept alive by other means.
///
/// # Safety
/// The caller keeps the [`SkipListMemtable`] that `entry` borrows alive and unmoved, and drops the
/// result before it.
#[expect(unsafe_code, reason = "a cursor that owns what it borrows; see the module")]
unsafe fn extend(entry: Option<Entry<'_, Version, ()>>) -> Option<Entry<'static, Version, ()>> {
    // SAFETY: only the lifetime changes; that it holds is the caller's promise.
    unsafe { std::mem::transmute(entry) }
}

impl SkipListCursor {
    fn stand_at(
        &mut self,
        find: impl FnOnce(&SkipListMemtable) -> Option<Entry<'_, Version, ()>>,
    ) -> Result<()> {
        let entry = find(&self.list);
        // SAFETY: the entry is of `self.list`: an `Arc` that this cursor never replaces, whose
        // target does not move, and that is dropped after `self.entry`.
        #[expect(unsafe_code, reason = "a cursor that owns what it borrows; see the module")]
        let entry = unsafe { extend(entry) };
        self.entry = entry;
        Ok(())
    }

    fn version(&self) -> &Version {
        self.entry.as_ref().expect("called at an entry only").key()
    }
}

impl Cursor for SkipListCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.stand_at(|list| list.versions.front())
    }

    fn seek_last(&mut self) -> Result<()> {
        self.stand_at(|list| list.versions.back())
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.stand_at(|list| list.at_or_after(key, Seq::MAX))
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        self.stand_at(|list| list.before(key))
    }

    fn next(&mut self) -> Result<()> {
        if self.entry.as_mut().is_some_and(|entry| !entry.move_next()) {
            self.entry = None;
        }
        Ok(())
    }

    fn prev(&mut self) -> Result<()> {
        if self.entry.as_mut().is_some_and(|entry| !entry.move_prev()) {
            self.entry = None;
        }
        Ok(())
    }

    fn valid(&self) -> bool {
        self.entry.is_some()
    }

    fn key(&self) -> &[u8] {
        self.version().key()
    }

    fn seq(&self) -> Seq {
        self.version().seq()
    }

    fn kind(&self) -> Kind {
        self.version().kind()
    }

    fn value(&self) -> &[u8] {
        self.version().value()
    }

    fn body(&self) -> Option<Body> {
        None
    }
}
