//! Range deletes: what is known of keys that went by the range, and how readers ask for it.
//!
//! A range delete belongs to its keyspace, not to a table. It hides every version of its keys with
//! a lower sequence number, wherever that lies. What is unflushed hangs on its memtable
//! ([`LiveRangeDeletes`]) and comes back from the log; the rest is in the manifest.
//!
//! ```text
//! deletes     9: [b .............. m)
//!             5:         [f ........... q)
//! fragments   [b . f) [f ...... m) [m . q)
//! numbers      9       9 5          5
//! ```
//!
//! Overlapping ranges are cut into disjoint fragments, each with the numbers of the deletes that
//! cover it, newest first: any question about a key is then one search.
//!
//! Of the memory budget they hold a part: those of a memtable with it, the others on their own,
//! until the last reader of their version lets go of it.
//!
//! A version whose number equals that of a range delete is of the same batch and was written after
//! it: earlier operations that a range delete of their own batch covers are never applied (see
//! [`crate::batch`]).

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use crate::budget::{Budget, Reservation, Share};
use crate::key::Seq;
use crate::sync::RwLock;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What a fragment costs beside its two keys: places in the tree and in a list of numbers.
const FRAGMENT_BYTES: usize = 96;

/// The keys from `start` up to, not including, `end` that were written before `seq` are gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RangeDelete {
    /// Its place in the order of all writes.
    pub seq: Seq,
    /// First key that is gone.
    pub start: Arc<[u8]>,
    /// First key that is no longer inside.
    pub end: Arc<[u8]>,
}

impl RangeDelete {
    /// Whether its range and the keys from `smallest` to `largest`, both included, meet.
    pub fn overlaps(&self, smallest: &[u8], largest: &[u8]) -> bool {
        *self.start <= *largest && *smallest < *self.end
    }
}

/// What an edit changes of the range deletes of a keyspace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Taken in.
    pub added: Vec<RangeDelete>,
    /// No longer needed.
    pub dropped: Vec<RangeDelete>,
}

/// Keys that one answer holds for: from `start` up to, not including, `end`; a missing side is
/// open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    /// Versions of its keys below this number are gone; 0: none is.
    pub seq: Seq,
    /// First key inside.
    pub start: Option<Arc<[u8]>>,
    /// First key no longer inside.
    pub end: Option<Arc<[u8]>>,
}

impl Span {
    /// Whether the answer holds for `key`.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_deref().is_none_or(|start| start <= key)
            && self.end.as_deref().is_none_or(|end| key < end)
    }

    /// What holds where both hold: the newer number, on the keys of both.
    pub fn intersect(&mut self, other: Span) {
        self.seq = self.seq.max(other.seq);
        // A missing start is least as it is; a missing end is greatest.
        self.start = self.start.take().max(other.start);
        self.end = match (self.end.take(), other.end) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

/// A piece of ranges that the same deletes cover.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fragment {
    end: Arc<[u8]>,
    /// Descending.
    seqs: Vec<Seq>,
}

/// Range deletes, and the fragments they are cut into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeDeletes {
    list: Vec<RangeDelete>,
    /// By first key.
    fragments: BTreeMap<Arc<[u8]>, Fragment>,
    charge: Charge,
}

/// What range deletes hold of the memory budget; given back with them.
#[derive(Debug, Default)]
struct Charge(Option<Reservation>);

/// A copy is charged when it is kept.
impl Clone for Charge {
    fn clone(&self) -> Self {
        Charge(None)
    }
}

/// Equal deletes are equal, whoever pays for them.
impl PartialEq for Charge {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Charge {}

impl RangeDeletes {
    /// Charges what they hold to `budget`, past its limit if need be: without them deleted keys
    /// would come back.
    pub fn charged(mut self, budget: &Budget) -> Self {
        self.charge = Charge(Some(budget.reserve_anyway(Share::Memtables, self.bytes())));
        self
    }

    /// What they hold of a budget.
    pub fn charged_bytes(&self) -> u64 {
        self.charge.0.as_ref().map_or(0, Reservation::bytes)
    }

    /// About how many bytes they hold.
    fn bytes(&self) -> u64 {
        let keys = |delete: &RangeDelete| delete.start.len() + delete.end.len();
        let list: usize = self.list.iter().map(|d| size_of::<RangeDelete>() + keys(d)).sum();
        let numbers = |fragment: &Fragment| fragment.seqs.len() * size_of::<Seq>();
        let fragments: usize = self.fragments.values().map(|f| FRAGMENT_BYTES + numbers(f)).sum();
        (list + fragments) as u64
    }

    /// The deletes of `list` that any reader may still ask for, that at one of the live `snapshots`
    /// (ascending) or newer than every delete: the others lie below newer ones.
    pub fn pruned(list: Vec<RangeDelete>, snapshots: &[Seq]) -> Self {
        let mut deletes = RangeDeletes::new(list, snapshots);
        let mut list = std::mem::take(&mut deletes.list);
        list.retain(|delete| deletes.asks_for(delete));
        deletes.list = list;
        deletes
    }

    /// All of `list`, ready for what readers at `snapshots` (ascending), or newer than every
    /// delete, may ask.
    pub fn new(mut list: Vec<RangeDelete>, snapshots: &[Seq]) -> Self {
        list.sort();
        list.dedup();
        let mut edges: BTreeMap<&Arc<[u8]>, Vec<(Seq, bool)>> = BTreeMap::new();
        for delete in &list {
            edges.entry(&delete.start).or_default().push((delete.seq, true));
            edges.entry(&delete.end).or_default().push((delete.seq, false));
        }
        let mut fragments: BTreeMap<Arc<[u8]>, Fragment> = BTreeMap::new();
        let mut open: BTreeMap<Seq, usize> = BTreeMap::new();
        let mut from: Option<&Arc<[u8]>> = None;
        for (at, changes) in edges {
            if let Some(start) = from.filter(|_| !open.is_empty()) {
                let seqs = asked_for(&open, snapshots);
                fragments.insert(start.clone(), Fragment { end: at.clone(), seqs });
            }
            for (seq, begins) in changes {
                let count = open.entry(seq).or_default();
                *count = if begins { *count + 1 } else { *count - 1 };
                if *count == 0 {
                    open.remove(&seq);
                }
            }
            from = Some(at);
        }
        RangeDeletes { list, fragments, charge: Charge::default() }
    }

    /// Whether a fragment of its range has its number.
    fn asks_for(&self, delete: &RangeDelete) -> bool {
        let mut inside = self.fragments.range(delete.start.clone()..delete.end.clone());
        inside.any(|(_, fragment)| fragment.seqs.contains(&delete.seq))
    }

    /// Takes in one more; gives about how many bytes it costs.
    pub fn add(&mut self, delete: RangeDelete) -> usize {
        let before = self.fragments.len();
        self.cut(&delete.start);
        self.cut(&delete.end);
        let mut gaps = Vec::new();
        let mut at = &delete.start;
        let mut numbers = 0;
        let inside = self.fragments.range_mut(delete.start.clone()..delete.end.clone());
        for (start, fragment) in inside {
            if at < start {
                gaps.push((at.clone(), start.clone()));
            }
            // Batches are applied beside each other, so it need not be the newest.
            let place = fragment.seqs.partition_point(|seq| *seq > delete.seq);
            if fragment.seqs.get(place) != Some(&delete.seq) {
                fragment.seqs.insert(place, delete.seq);
                numbers += 1;
            }
            at = &fragment.end;
        }
        if *at < delete.end {
            gaps.push((at.clone(), delete.end.clone()));
        }
        for (start, end) in gaps {
            self.fragments.insert(start, Fragment { end, seqs: vec![delete.seq] });
        }
        let keys = delete.start.len() + delete.end.len();
        self.list.push(delete);
        let fragments = self.fragments.len() - before;
        2 * FRAGMENT_BYTES + keys + fragments * FRAGMENT_BYTES + numbers * size_of::<Seq>()
    }

    /// Makes `at` the first key of a fragment where one reaches over it.
    fn cut(&mut self, at: &Arc<[u8]>) {
        let before = self.fragments.range_mut::<[u8], _>((Unbounded, Excluded(&**at))).next_back();
        if let Some((_, fragment)) = before.filter(|(_, fragment)| fragment.end > *at) {
            let right = fragment.clone();
            fragment.end = at.clone();
            self.fragments.insert(at.clone(), right);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The deletes themselves.
    pub fn list(&self) -> &[RangeDelete] {
        &self.list
    }

    /// The fragment that covers `key`.
    fn fragment(&self, key: &[u8]) -> Option<(&Arc<[u8]>, &Fragment)> {
        let before = self.fragments.range::<[u8], _>((Unbounded, Included(key))).next_back();
        before.filter(|(_, fragment)| key < &*fragment.end)
    }

    /// Below which number versions of `key` are gone for a reader at `snapshot`; 0: none is.
    pub fn hidden_below(&self, key: &[u8], snapshot: Seq) -> Seq {
        self.fragment(key).map_or(0, |(_, fragment)| fragment.newest(snapshot))
    }

    /// As [`RangeDeletes::hidden_below`], with keys about `key` that it holds for.
    pub fn span(&self, key: &[u8], snapshot: Seq) -> Span {
        if let Some((start, fragment)) = self.fragment(key) {
            let (start, end) = (Some(start.clone()), Some(fragment.end.clone()));
            return Span { seq: fragment.newest(snapshot), start, end };
        }
        let before = self.fragments.range::<[u8], _>((Unbounded, Included(key))).next_back();
        let after = self.fragments.range::<[u8], _>((Excluded(key), Unbounded)).next();
        Span {
            seq: 0,
            start: before.map(|(_, fragment)| fragment.end.clone()),
            end: after.map(|(start, _)| start.clone()),
        }
    }

    /// Numbers of the deletes that cover `key`, newest first.
    pub fn covering(&self, key: &[u8]) -> &[Seq] {
        self.fragment(key).map_or(&[], |(_, fragment)| &fragment.seqs)
    }

    /// Up to which number range deletes hide nothing in what a job writes that leaves out what
    /// these hide from everybody but the live `snapshots` (ascending). What a snapshot that is
    /// older than a delete made it keep, the delete hides; what an older delete hides, no newer
    /// snapshot sees. 0: nothing is left out.
    pub fn clean_seq(&self, snapshots: &[Seq]) -> Seq {
        let newest = self.list.iter().map(|delete| delete.seq).max().unwrap_or(0);
        snapshots.first().map_or(newest, |oldest| newest.min(*oldest))
    }

    /// Whether no reader can see any version from `smallest` to `largest`, both included, with a
    /// number from `min_seq` to `max_seq`: a newer delete covers each key, and none of the live
    /// `snapshots` (ascending) lies between.
    pub fn hide_all(
        &self,
        (smallest, largest): (&[u8], &[u8]),
        (min_seq, max_seq): (Seq, Seq),
        snapshots: &[Seq],
    ) -> bool {
        let mut at = smallest;
        loop {
            let Some((_, fragment)) = self.fragment(at) else { return false };
            let newer = fragment.seqs.iter().rev().find(|seq| **seq > max_seq);
            let is_hidden = newer.is_some_and(|newer| is_erased(&[*newer], snapshots, min_seq));
            if !is_hidden {
                return false;
            }
            at = &fragment.end;
            if largest < at {
                return true;
            }
        }
    }
}

impl Fragment {
    /// The newest number that a reader at `snapshot` knows of; 0: none.
    fn newest(&self, snapshot: Seq) -> Seq {
        let at = self.seqs.partition_point(|seq| *seq > snapshot);
        self.seqs.get(at).copied().unwrap_or(0)
    }
}

/// The newest of `open`, and for each snapshot the newest that it knows of; descending.
fn asked_for(open: &BTreeMap<Seq, usize>, snapshots: &[Seq]) -> Vec<Seq> {
    let newest = open.keys().next_back().copied();
    let seen =
        snapshots.iter().rev().filter_map(|s| open.range(..=*s).next_back().map(|(s, _)| *s));
    let mut seqs: Vec<Seq> = newest.into_iter().chain(seen).collect();
    seqs.dedup();
    seqs
}

/// Whether no reader can see a version with number `seq` of a key that deletes with the numbers
/// `covering` (newest first) cover: one is newer, and none of the live `snapshots` (ascending) sees
/// the version without it.
pub fn is_erased(covering: &[Seq], snapshots: &[Seq], seq: Seq) -> bool {
    let stripe = |seq: Seq| snapshots.partition_point(|snapshot| *snapshot < seq);
    let newer = covering.iter().rev().find(|covering| **covering > seq);
    newer.is_some_and(|newer| stripe(*newer) == stripe(seq))
}

/// The range deletes of a memtable, taken in while readers ask.
#[derive(Debug, Default)]
pub struct LiveRangeDeletes {
    deletes: RwLock<RangeDeletes>,
    is_used: AtomicBool,
    bytes: AtomicUsize,
}

impl LiveRangeDeletes {
    /// Takes in one more. Whoever sees a batch published sees its range deletes.
    pub fn add(&self, delete: RangeDelete) {
        let bytes = self.deletes.write().add(delete);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.is_used.store(true, Ordering::Release);
    }

    /// Whether there are none: all that a reader of other keyspaces pays.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.is_used.load(Ordering::Acquire)
    }

    /// About how many bytes they hold.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The deletes so far.
    pub fn list(&self) -> Vec<RangeDelete> {
        self.deletes.read().list.clone()
    }

    /// See [`RangeDeletes::hidden_below`].
    pub fn hidden_below(&self, key: &[u8], snapshot: Seq) -> Seq {
        self.deletes.read().hidden_below(key, snapshot)
    }

    /// See [`RangeDeletes::span`]. What is taken in later is not visible at `snapshot`, so that
    /// the answer stays true.
    pub fn span(&self, key: &[u8], snapshot: Seq) -> Span {
        self.deletes.read().span(key, snapshot)
    }
}

#[cfg(test)]
mod tests;
