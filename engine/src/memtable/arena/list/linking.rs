//! How nodes get into the list: several at once, their searches side by side.
//!
//! ```text
//! insert 1 ... insert 16         waiting: [node 1 .. node 16]
//! the last, or a reader before:  | search 1: ask for a node | search 2: ask ... | search 1: look
//!                                then link node 1, node 2, ... in the order of their inserts
//! ```
//!
//! Why: a search waits for memory at ten nodes one after the other, most of what a put costs.
//! Sixteen of them wait for it together.
//!
//! Steps of an insert: the node is written in full; under the lock it joins those that wait, and if
//! they are enough all are linked. Steps of a reader: if any wait, they are linked under the lock;
//! then it searches. So a reader sees every version whose insert ended before its search began, as
//! if the insert had linked it.
//!
//! Invariants:
//! - nodes are linked under the lock, so that links have one writer at a time;
//! - nodes are linked in the order of their inserts: of equal ones the later comes first;
//! - `count` is set under the lock: nothing but the nodes waiting then, and 0 by a `Release` after
//!   the last of them was linked. Whoever loads 0 by an `Acquire` finds them in the list.

use super::*;
use crate::memtable::arena::atomics::Lock;

/// Searches side by side: as many as a processor has requests for memory under way, and a few that
/// find theirs answered. With 8 a load took 8 % more CPU; each more makes the put that links
/// longer.
const WAITING_MAX: usize = 16;

/// A node that is written and that no link leads to.
struct Unlinked<A: Atomics> {
    node: *mut Node<A>,
    height: usize,
}

// SAFETY: the node lies in the list that holds this value too, and that threads may share.
#[expect(unsafe_code, reason = "nodes in an arena; the list says why it is sound")]
unsafe impl<A: Atomics> Send for Unlinked<A> {}

/// Nodes that wait to be linked.
pub(super) struct Waiting<A: Atomics> {
    nodes: A::Lock<Vec<Unlinked<A>>>,
    count: A::Count,
}

impl<A: Atomics> Default for Waiting<A> {
    fn default() -> Self {
        Waiting { nodes: A::Lock::default(), count: A::Count::new(0) }
    }
}

/// Where a node goes, for each of its links: what comes before and after it.
struct Splice<A: Atomics> {
    before: [*mut Node<A>; HEIGHT_MAX],
    after: [*mut Node<A>; HEIGHT_MAX],
}

/// A search for the place of a node, as far as it got.
struct Search<'a, A: Atomics> {
    node: *mut Node<A>,
    height: usize,
    target: Target<'a>,
    splice: Splice<A>,
    level: usize,
    /// The last node known to be before the target.
    before: *mut Node<A>,
    /// What comes after it on this level: to be looked at next.
    after: *mut Node<A>,
    /// A node that is not before the target, or null.
    known_after: *mut Node<A>,
    is_over: bool,
}

impl<A: Atomics> List<A> {
    /// Inserts a version with `height` links, before all that are not less.
    pub(in super::super) fn insert(
        &self,
        seq: Seq,
        kind: Kind,
        key: &[u8],
        value: &[u8],
        height: usize,
    ) {
        self.heads.learn(key);
        let node = self.make(&self.target(key, seq), kind, value, height);
        self.waiting.nodes.with(|nodes| {
            nodes.push(Unlinked { node, height });
            self.waiting.count.store(nodes.len(), Release);
            if nodes.len() == WAITING_MAX {
                self.link_all(nodes);
            }
        });
    }

    /// Links the nodes that wait: for whoever is about to search.
    #[inline]
    pub(super) fn settle(&self) {
        if self.waiting.count.load(Acquire) > 0 {
            self.waiting.nodes.with(|nodes| self.link_all(nodes));
        }
    }

    fn link_all(&self, nodes: &mut Vec<Unlinked<A>>) {
        let mut searches: [Option<Search<'_, A>>; WAITING_MAX] =
            std::array::from_fn(|at| nodes.get(at).map(|node| self.begin(node)));
        let mut left = searches.iter().flatten().filter(|search| !search.is_over).count();
        while left > 0 {
            for search in searches.iter_mut().flatten().filter(|search| !search.is_over) {
                self.go_on(search);
                left -= usize::from(search.is_over);
            }
        }
        searches.into_iter().flatten().for_each(|search| self.enter(search));
        nodes.clear();
        self.waiting.count.store(0, Release);
    }

    fn begin(&self, unlinked: &Unlinked<A>) -> Search<'_, A> {
        let Unlinked { node, height } = *unlinked;
        let entry: Entry<'_, A> = Entry { node, list: PhantomData };
        let content = entry.content();
        let head = (content.key_len & NO_HEAD == 0).then_some(content.head);
        let mut search = Search {
            node,
            height,
            target: Target { head, key: entry.bytes(&content).0, seq: content.tag >> 8 },
            splice: Splice { before: [null_mut(); HEIGHT_MAX], after: [null_mut(); HEIGHT_MAX] },
            level: self.height.load(Relaxed) - 1,
            before: null_mut(),
            after: null_mut(),
            known_after: null_mut(),
            is_over: false,
        };
        self.ask(&mut search);
        search
    }

    /// Looks at the node that was asked for, and asks for the next.
    #[inline]
    fn go_on(&self, search: &mut Search<'_, A>) {
        let after = self.entry(search.after).expect("only what is there is asked for");
        if after.is_before(&search.target) {
            search.before = search.after;
        } else {
            search.known_after = search.after;
        }
        self.ask(search);
    }

    /// Asks the processor for the next node to look at; going down where that is the known one.
    #[inline]
    fn ask(&self, search: &mut Search<'_, A>) {
        loop {
            let (before, level) = (search.before, search.level);
            let after = self.link(before, level).load(Acquire);
            if after != search.known_after && !after.is_null() {
                search.after = after;
                prefetch::address(after);
                prefetch::address(self.link(after, level));
                return;
            }
            (search.splice.before[level], search.splice.after[level]) = (before, after);
            if level == 0 {
                search.is_over = true;
                return;
            }
            search.level -= 1;
        }
    }

    /// Links the node of a search that is over. Under the lock.
    fn enter(&self, search: Search<'_, A>) {
        let Search { node, height, target, splice, .. } = search;
        for level in 0..height {
            let (mut before, mut after) = (splice.before[level], splice.after[level]);
            // One that waited beside it may have gone in between: look on from there.
            while self.link(before, level).load(Relaxed) != after {
                (before, after) = self.step(level, before, &target, null_mut());
            }
            self.link(node, level).store(after, Relaxed);
            self.link(before, level).store(node, Release);
        }
        if height > self.height.load(Relaxed) {
            self.height.store(height, Relaxed);
        }
    }
}
