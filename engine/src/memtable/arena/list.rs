//! A skip list in an arena: readers go on beside inserts, and nothing is removed.
//!
//! ```text
//! a node in the arena, 8-byte words                 v a pointer to a node points here
//! +----------+-----+--------+--------+--------------+---------+--------+-------------------+
//! | link h-1 | ... | link 1 | link 0 | head u64     | tag u64 | lens   | key | value | pad |
//! +----------+-----+--------+--------+--------------+---------+--------+-------------------+
//! ```
//!
//! `head` is the first bytes of the key as a number, where most comparisons end (see `heads.rs`);
//! `tag` is the sequence number and the kind; `lens` are those of key and value, and whether there
//! is a head. Link `i` points to the next node that has a link `i`.
//!
//! Order: key ascending, sequence number descending; of equal ones the one inserted last comes
//! first, since an insert goes before all that are not less. Whoever inserts equal ones (the
//! operations of one batch) does so from one thread.
//!
//! An insert writes its node and leaves it to wait; every few of them are linked at once, and a
//! reader links those that wait before it searches ([`linking`]).
//!
//! Links are pointers, not offsets of 32 bits: these would save five bytes a node, and cost a look
//! into a table of blocks at every step and a bound on the size.
//!
//! On `unsafe`, why it is sound:
//! - A node is written in full, links included, into memory that the arena gave to its writer
//!   alone; then link 0 of its predecessor is set to it with `Release`, then link 1, and so on.
//!   Whoever reaches a node has loaded a link to it with `Acquire`, so sees all that was written.
//!   Link `i` of a node is read only by those who reached it over a link `i` or above, which
//!   exists only after link `i` was written.
//! - After that nothing of a node changes but its links, which are atomic. So shared references to
//!   contents and bytes are never aliased by writes.
//! - Nodes lie in the arena, which frees nothing before the list is dropped. What is handed out
//!   borrows the list ([`Entry`]) or owns it ([`Walk`]).
//! - Pointers to nodes come from the arena's pointers to whole blocks, by offsets inside the node's
//!   own piece: links lie below the pointer, contents and bytes at it and above.
//!
//! `tests.rs` walks small cases through a model checker, with every interleaving and every order in
//! which the processor may show writes.

mod linking;

use std::marker::PhantomData;
use std::mem::size_of;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use self::linking::Waiting;
use super::atomics::{Atomics, Count, Native, Once, Pointer};
use super::bump::Bump;
use super::heads::Heads;
use super::spares::Spares;
use crate::key::{Kind, Seq};
use crate::prefetch;

/// Links of the highest node. With one node in four a link higher, that is enough for 16 M nodes.
pub(super) const HEIGHT_MAX: usize = 12;

/// What a node says beside its bytes.
#[derive(Clone, Copy)]
struct Content {
    head: u64,
    /// Sequence number, then kind in the lowest byte.
    tag: u64,
    /// Length of the key; the highest bit: the node has no head.
    key_len: u32,
    value_len: u32,
}

/// The bit of a node without a head.
const NO_HEAD: u32 = 1 << 31;

/// A node; its links lie before it, its bytes behind it.
#[repr(C, align(8))]
struct Node<A: Atomics> {
    content: A::Once<Content>,
}

type Link<A> = <A as Atomics>::Pointer<Node<A>>;

/// A skip list of versions.
pub(super) struct List<A: Atomics = Native> {
    /// The links of what comes before the first node.
    first: [Link<A>; HEIGHT_MAX],
    /// Links of the highest node; may lag.
    height: A::Count,
    heads: Heads,
    waiting: Waiting<A>,
    arena: Bump<A>,
}

/// A place in the order: before the versions of `key` at or below `seq`.
struct Target<'a> {
    /// None while the list has not seen enough keys to know where they differ.
    head: Option<u64>,
    key: &'a [u8],
    seq: Seq,
}

/// A version in the list.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a, A: Atomics = Native> {
    node: *mut Node<A>,
    list: PhantomData<&'a List<A>>,
}

#[expect(unsafe_code, reason = "nodes in an arena; the module says why it is sound")]
impl<A: Atomics> List<A> {
    pub(super) fn new(spares: Option<Arc<Spares>>) -> Self {
        let first = std::array::from_fn(|_| Link::<A>::new(null_mut()));
        let (waiting, arena) = (Waiting::default(), Bump::new(spares));
        List { first, height: A::Count::new(1), heads: Heads::default(), waiting, arena }
    }

    /// Bytes taken of memory.
    pub(super) fn bytes(&self) -> usize {
        self.arena.bytes()
    }

    fn target<'k>(&self, key: &'k [u8], seq: Seq) -> Target<'k> {
        Target { head: self.heads.head(key), key, seq }
    }

    /// Link `level` of `node`; null is what comes before the first node.
    #[inline]
    fn link(&self, node: *mut Node<A>, level: usize) -> &Link<A> {
        if node.is_null() {
            return &self.first[level];
        }
        // SAFETY: a node of this list that was reached over a link of `level` or above, or is
        // being inserted by the caller with more than `level` links: so link `level` is there,
        // initialised, and lives as long as the list.
        unsafe { &*node.cast::<Link<A>>().sub(level + 1) }
    }

    /// The node behind a link, if there is one.
    #[inline]
    fn entry(&self, node: *mut Node<A>) -> Option<Entry<'_, A>> {
        (!node.is_null()).then_some(Entry { node, list: PhantomData })
    }

    /// The last node before `target`, going by links of `level` from `before`, and the one after.
    #[inline]
    fn step(
        &self,
        level: usize,
        mut before: *mut Node<A>,
        target: &Target<'_>,
        known_after: *mut Node<A>,
    ) -> (*mut Node<A>, *mut Node<A>) {
        loop {
            let after = self.link(before, level).load(Acquire);
            if level > 0 {
                // Where the search goes on should `after` not be before the target.
                prefetch::address(self.link(before, level - 1).load(Relaxed));
            }
            // One that was met a level above is known not to be less.
            let Some(entry) = self.entry(after).filter(|_| after != known_after) else {
                return (before, after);
            };
            if !entry.is_before(target) {
                return (before, after);
            }
            before = after;
        }
    }

    /// The last node before `target` and the first that is not.
    fn find(&self, target: &Target<'_>) -> (*mut Node<A>, *mut Node<A>) {
        let (mut before, mut after) = (null_mut(), null_mut());
        for level in (0..self.height.load(Relaxed)).rev() {
            (before, after) = self.step(level, before, target, after);
        }
        (before, after)
    }

    /// A node in memory of its own, that nothing points to yet.
    fn make(&self, target: &Target<'_>, kind: Kind, value: &[u8], height: usize) -> *mut Node<A> {
        assert!((1..=HEIGHT_MAX).contains(&height), "the height is within the list's");
        let key = target.key;
        let key_len = u32::try_from(key.len()).ok().filter(|len| len & NO_HEAD == 0);
        let content = Content {
            head: target.head.unwrap_or_default(),
            tag: target.seq << 8 | kind as u64,
            key_len: key_len.expect("the store bounds keys")
                | if target.head.is_none() { NO_HEAD } else { 0 },
            value_len: u32::try_from(value.len()).expect("the store bounds batches"),
        };
        let links_bytes = height * size_of::<Link<A>>();
        let bytes = links_bytes + size_of::<Node<A>>() + key.len() + value.len();
        let start = self.arena.take(bytes.div_ceil(8)).as_ptr().cast::<u8>();
        // SAFETY: the piece is this call's alone, aligned to 8 and of at least `bytes` bytes. Links
        // (pointers, or the model's of a multiple of 8 bytes) come first, then the content, whose
        // alignment is 8 and whose size a multiple of it, then key and value; each is written here
        // before anyone else can reach the node.
        unsafe {
            let node = start.add(links_bytes).cast::<Node<A>>();
            for level in 0..height {
                node.cast::<Link<A>>().sub(level + 1).write(Link::<A>::new(null_mut()));
            }
            node.write(Node { content: A::Once::new(content) });
            let key_at = node.add(1).cast::<u8>();
            key_at.copy_from_nonoverlapping(key.as_ptr(), key.len());
            key_at.add(key.len()).copy_from_nonoverlapping(value.as_ptr(), value.len());
            node
        }
    }

    /// The first version of `key` at or below `seq`, or what comes after.
    pub(super) fn at_or_after(&self, key: &[u8], seq: Seq) -> Option<Entry<'_, A>> {
        self.settle();
        self.entry(self.find(&self.target(key, seq)).1)
    }

    /// What comes before `entry`, which is of this list.
    fn before(&self, entry: Entry<'_, A>) -> Option<Entry<'_, A>> {
        let (mut before, mut after) = self.find(&self.target(entry.key(), entry.seq()));
        while after != entry.node {
            // Equal ones, that were inserted later.
            before = after;
            after = self.link(before, 0).load(Acquire);
        }
        self.entry(before)
    }

    /// The last version.
    fn last(&self) -> Option<Entry<'_, A>> {
        let mut before = null_mut();
        for level in (0..self.height.load(Relaxed)).rev() {
            loop {
                let after = self.link(before, level).load(Acquire);
                if after.is_null() {
                    break;
                }
                before = after;
            }
        }
        self.entry(before)
    }
}

#[expect(unsafe_code, reason = "nodes in an arena; the module says why it is sound")]
impl<'a, A: Atomics> Entry<'a, A> {
    #[inline]
    fn content(&self) -> Content {
        // SAFETY: the node was written before it could be reached, its content never changes, and
        // the list that holds it outlives `'a`.
        unsafe { (*self.node).content.get() }
    }

    /// Key and value.
    #[inline]
    fn bytes(&self, content: &Content) -> (&'a [u8], &'a [u8]) {
        let (key_len, value_len) =
            ((content.key_len & !NO_HEAD) as usize, content.value_len as usize);
        // SAFETY: key and value were written behind the node before it could be reached, with
        // these lengths, never change, and the list that holds them outlives `'a`.
        unsafe {
            let key = self.node.add(1).cast::<u8>();
            let value = key.add(key_len);
            (std::slice::from_raw_parts(key, key_len), std::slice::from_raw_parts(value, value_len))
        }
    }

    #[inline]
    fn is_before(&self, target: &Target<'_>) -> bool {
        let content = self.content();
        if let Some(head) = target.head
            && content.key_len & NO_HEAD == 0
            && content.head != head
        {
            return content.head < head;
        }
        let key = self.bytes(&content).0;
        key.cmp(target.key).then_with(|| target.seq.cmp(&(content.tag >> 8))).is_lt()
    }

    /// What comes after it.
    #[inline]
    pub(super) fn after(&self) -> Option<Entry<'a, A>> {
        // SAFETY: every node has a link 0, written before the node could be reached.
        let node = unsafe { &*self.node.cast::<Link<A>>().sub(1) }.load(Acquire);
        (!node.is_null()).then_some(Entry { node, list: PhantomData })
    }

    /// Its key.
    pub(super) fn key(&self) -> &'a [u8] {
        self.bytes(&self.content()).0
    }

    /// Its value.
    pub(super) fn value(&self) -> &'a [u8] {
        self.bytes(&self.content()).1
    }

    /// Its sequence number.
    pub(super) fn seq(&self) -> Seq {
        self.content().tag >> 8
    }

    /// Its kind.
    pub(super) fn kind(&self) -> Kind {
        Kind::from_byte(self.content().tag as u8).expect("stored from a kind")
    }
}

/// Walks a list, and keeps it alive.
pub(super) struct Walk<A: Atomics = Native> {
    list: Arc<List<A>>,
    node: *mut Node<A>,
}

// SAFETY: the node lies in the list, which `Walk` owns a share of and which threads may share.
#[expect(unsafe_code, reason = "nodes in an arena; the module says why it is sound")]
unsafe impl<A: Atomics> Send for Walk<A> where List<A>: Send + Sync {}

impl<A: Atomics> Walk<A> {
    /// Stands nowhere.
    pub(super) fn new(list: Arc<List<A>>) -> Self {
        Walk { list, node: null_mut() }
    }

    /// Where it stands.
    #[inline]
    pub(super) fn entry(&self) -> Option<Entry<'_, A>> {
        self.list.entry(self.node)
    }

    fn stand_at(&mut self, find: impl FnOnce(&List<A>) -> Option<Entry<'_, A>>) {
        self.node = find(&self.list).map_or(null_mut(), |entry| entry.node);
    }

    /// As `stand_at`, once all is linked that was inserted by now. A step from where it stands does
    /// without: what came since then is not meant to be seen.
    fn go_to(&mut self, find: impl FnOnce(&List<A>) -> Option<Entry<'_, A>>) {
        self.list.settle();
        self.stand_at(find);
    }

    /// To the first version.
    pub(super) fn seek_first(&mut self) {
        self.go_to(|list| list.entry(list.first[0].load(Acquire)));
    }

    /// To the last version.
    pub(super) fn seek_last(&mut self) {
        self.go_to(List::last);
    }

    /// To the first version at or after `key`.
    pub(super) fn seek(&mut self, key: &[u8]) {
        self.go_to(|list| list.at_or_after(key, Seq::MAX));
    }

    /// To the last version before those of `key`.
    pub(super) fn seek_before(&mut self, key: &[u8]) {
        self.go_to(|list| list.entry(list.find(&list.target(key, Seq::MAX)).0));
    }

    /// To what comes after.
    pub(super) fn next(&mut self) {
        let node = self.node;
        self.stand_at(|list| {
            let after = list.entry(node)?.after()?;
            // The one after that, while the caller looks at this one.
            prefetch::address(list.link(after.node, 0).load(Relaxed));
            Some(after)
        });
    }

    /// To the first version of another key.
    pub(super) fn next_key(&mut self) {
        let node = self.node;
        self.stand_at(|list| {
            let entry = list.entry(node)?;
            let mut after = entry.after()?;
            prefetch::address(list.link(after.node, 0).load(Relaxed));
            while after.key() == entry.key() {
                after = after.after()?;
            }
            Some(after)
        });
    }

    /// To what comes before.
    pub(super) fn prev(&mut self) {
        let node = self.node;
        self.stand_at(|list| list.entry(node).and_then(|entry| list.before(entry)));
    }
}

#[cfg(test)]
mod tests;
