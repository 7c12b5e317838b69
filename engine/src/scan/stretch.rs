//! A stretch: entries decoded at once, which a reader then takes one after the other.
//!
//! Most of what a scan meets lies in one block, is plain and is seen as it is. Taking such an entry
//! by itself costs more for asking whether it is one (of a block, a run, a merge, a reader) than
//! for decoding it; here that is asked once for many. What a stretch holds, by contract of
//! [`super::Cursor::next_stretch`]: puts of distinct keys, ascending, each the only version that
//! the reader sees of its key, with nothing that it sees between them.
//!
//! ```text
//! keys     key before | key 0 | key 1 | ... | room         each built from the one before it
//! entries  where key and value lie, sequence number
//! block    what the values lie in
//! ```
//!
//! A key is built in one go from the one before it and the bytes of the block that hold the rest of
//! it, both read where the key would begin and mixed by a mask. Where less is copied at a time, the
//! next key is read from what two writes have left, and the processor waits until both are done.

use std::ops::Range;
use std::sync::Arc;

use super::Value;
use crate::cache::BlockBytes;
use crate::key::{Seq, is_same};

/// The first stretch of a walk has this many entries, each next one twice as many: a walk of a
/// few keys does not pay for many.
const ENTRIES_MIN: usize = if cfg!(test) { 2 } else { 8 };
/// The longest stretch: all of most blocks, and little of a processor's nearest cache.
const ENTRIES_MAX: usize = 64;
/// Room in `keys` for each; longer keys make for fewer entries.
const KEY_BYTES: usize = 48;
/// Keys up to this long are built in one go.
const LANE_BYTES: usize = 32;

/// As many bytes are taken from the key before as there are set ones from where a mask begins.
static MASKS: [u8; 2 * LANE_BYTES] = {
    let mut masks = [0; 2 * LANE_BYTES];
    let mut at = 0;
    while at < LANE_BYTES {
        masks[at] = u8::MAX;
        at += 1;
    }
    masks
};

/// Entries decoded at once, and the one of them that a reader is at.
#[derive(Default)]
pub struct Stretch {
    keys: Vec<u8>,
    /// The first `len` hold entries.
    entries: Vec<Entry>,
    len: usize,
    at: usize,
    /// How many the next one may have; 0: the first of a walk.
    len_max: usize,
    block: Option<Arc<BlockBytes>>,
}

/// Where an entry's parts lie. A block is smaller than 4 GiB.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    key_at: u32,
    key_len: u32,
    value_at: u32,
    value_len: u32,
    seq: Seq,
}

impl Stretch {
    /// A walk begins somewhere else: the next stretch is a short one.
    pub fn restart(&mut self) {
        (self.len, self.at, self.len_max) = (0, 0, 0);
    }

    /// Becomes empty, to be filled with the entries after that of the key `before`.
    #[inline]
    pub fn fill(&mut self, before: &[u8]) -> Filling<'_> {
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); ENTRIES_MAX];
            self.keys = vec![0; ENTRIES_MAX * KEY_BYTES + LANE_BYTES];
        }
        self.len_max = (2 * self.len_max).clamp(ENTRIES_MIN, ENTRIES_MAX);
        (self.len, self.at) = (0, 0);
        // Nothing follows a key that is too long for the room.
        let is_room = before.len() + LANE_BYTES <= self.keys.len();
        if is_room {
            self.keys[..before.len()].copy_from_slice(before);
        }
        let entries_max = if is_room { self.len_max } else { 0 };
        let lane = lane(&self.keys);
        Filling {
            keys: &mut self.keys,
            entries: &mut self.entries[..entries_max],
            len: &mut self.len,
            block: &mut self.block,
            count: 0,
            last: 0..before.len(),
            lane,
        }
    }

    /// Moves to the next entry, if there is one.
    #[inline(always)]
    pub fn advance(&mut self) -> bool {
        let is_inside = self.at + 1 < self.len;
        self.at += usize::from(is_inside);
        is_inside
    }

    /// Moves to the first entry at or after `key`, if that lies between the first and the last.
    pub fn seek(&mut self, key: &[u8]) -> bool {
        let entries = &self.entries[..self.len];
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return false };
        let is_inside = self.key_of(first) <= key && key <= self.key_of(last);
        if is_inside {
            self.at = entries.partition_point(|entry| self.key_of(entry) < key);
        }
        is_inside
    }

    /// Its key. Only where it is filled, as all that follows.
    #[inline]
    pub fn key(&self) -> &[u8] {
        self.key_of(&self.entries[self.at])
    }

    /// Its sequence number.
    #[inline]
    pub fn seq(&self) -> Seq {
        self.entries[self.at].seq
    }

    /// Its value.
    #[inline]
    pub fn value(&self) -> &[u8] {
        let entry = &self.entries[self.at];
        let block: &[u8] = self.block.as_deref().map_or(&[], |block| block);
        &block[entry.value_at as usize..][..entry.value_len as usize]
    }

    /// Its value, kept alive without a copy.
    pub fn pin(&self) -> Value {
        let entry = &self.entries[self.at];
        match &self.block {
            Some(block) => {
                Value::shared(block.clone(), entry.value_at as usize, entry.value_len as usize)
            }
            None => Value::default(),
        }
    }

    #[inline(always)]
    fn key_of(&self, entry: &Entry) -> &[u8] {
        &self.keys[entry.key_at as usize..][..entry.key_len as usize]
    }
}

impl std::fmt::Debug for Stretch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stretch")
            .field("len", &self.len)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// A stretch while it is filled. What is not ended leaves it empty.
pub struct Filling<'a> {
    keys: &'a mut [u8],
    entries: &'a mut [Entry],
    len: &'a mut usize,
    block: &'a mut Option<Arc<BlockBytes>>,
    count: usize,
    /// Where the last key lies, or the one before the first.
    last: Range<usize>,
    /// Its first bytes, and what lies behind it.
    lane: [u8; LANE_BYTES],
}

impl<'a> Filling<'a> {
    /// The last key, or the one before the first.
    #[inline(always)]
    pub fn last_key(&self) -> &[u8] {
        &self.keys[self.last.clone()]
    }

    /// Whether one more may be added.
    #[inline(always)]
    pub fn has_room(&self) -> bool {
        self.count < self.entries.len()
    }

    /// Adds the entry whose key is the first `shared` bytes of the last one and the bytes `suffix`
    /// of `block`. `false`: there is no room, the key is the last one or shares more than there
    /// is.
    ///
    /// # Panics
    /// When the suffix is outside the block.
    #[inline(always)]
    pub fn push(
        &mut self,
        shared: usize,
        (block, suffix): (&[u8], Range<usize>),
        seq: Seq,
        value: Range<usize>,
    ) -> bool {
        let len = shared + suffix.len();
        let is_other = |rest: &[u8]| !is_same(rest, &block[suffix.clone()]);
        if self.last.end + len + LANE_BYTES > self.keys.len()
            || !self.last_key().get(shared..).is_some_and(is_other)
        {
            return false;
        }
        let end = self.last.end;
        self.keys.copy_within(self.last.start..self.last.start + shared, end);
        self.keys[end + shared..end + len].copy_from_slice(&block[suffix]);
        self.lane = lane(&self.keys[end..]);
        self.add(len, seq, value)
    }

    /// As `push`, for nearly all. `false`: it may be one that `push` adds.
    #[inline(always)]
    pub fn push_short(
        &mut self,
        shared: usize,
        (block, suffix): (&[u8], Range<usize>),
        seq: Seq,
        value: Range<usize>,
    ) -> bool {
        let (at, len) = (self.last.end, shared + suffix.len());
        // What lies in the block where the key would begin, were it whole there.
        let from = suffix.start.checked_sub(shared).and_then(|at| block.get(at..)?.first_chunk());
        let is_short = len <= LANE_BYTES && at + 2 * LANE_BYTES <= self.keys.len();
        let Some(from) = from.filter(|_| is_short && shared <= at - self.last.start) else {
            return false;
        };
        // All but those at a restart share what they can: the next byte tells them apart.
        if (shared == 0 || suffix.is_empty()) && !self.is_another(shared, &block[suffix]) {
            return false;
        }
        self.lane = mix(&lane(&MASKS[LANE_BYTES - shared..]), &self.lane, from);
        self.keys[at..at + LANE_BYTES].copy_from_slice(&self.lane);
        self.add(len, seq, value)
    }

    fn is_another(&self, shared: usize, suffix: &[u8]) -> bool {
        !is_same(&self.last_key()[shared..], suffix)
    }

    /// Adds the entry whose key of `len` bytes stands behind the last one.
    #[inline(always)]
    fn add(&mut self, len: usize, seq: Seq, value: Range<usize>) -> bool {
        let Some(entry) = self.entries.get_mut(self.count) else { return false };
        let key_at = self.last.end;
        *entry = Entry {
            key_at: key_at as u32,
            key_len: len as u32,
            value_at: value.start as u32,
            value_len: value.len() as u32,
            seq,
        };
        self.count += 1;
        self.last = key_at..key_at + len;
        true
    }

    /// Takes the last entry away again; nothing is added after it.
    #[inline(always)]
    pub fn pop(&mut self) {
        self.count -= 1;
    }

    /// The values lie in `block`. Gives key, number and value of the last entry, if there is any.
    #[inline]
    pub fn end(self, block: &Arc<BlockBytes>) -> Option<(&'a [u8], Seq, Range<usize>)> {
        *self.len = self.count;
        let last = self.entries[..self.count].last()?;
        if !self.block.as_ref().is_some_and(|old| Arc::ptr_eq(old, block)) {
            *self.block = Some(block.clone());
        }
        let key = &self.keys[last.key_at as usize..][..last.key_len as usize];
        let value_at = last.value_at as usize;
        Some((key, last.seq, value_at..value_at + last.value_len as usize))
    }
}

/// Of `last` the bytes that `mask` has set, of `from` the others.
#[inline(always)]
fn mix(
    mask: &[u8; LANE_BYTES],
    last: &[u8; LANE_BYTES],
    from: &[u8; LANE_BYTES],
) -> [u8; LANE_BYTES] {
    std::array::from_fn(|at| (last[at] & mask[at]) | (from[at] & !mask[at]))
}

#[inline(always)]
fn lane(bytes: &[u8]) -> [u8; LANE_BYTES] {
    *bytes.first_chunk().expect("there is room for a lane behind each key and mask")
}
