//! A block: sorted entries, the unit of reading, caching and checksumming.
//!
//! [`builder`] draws its bytes, and what holds of them.
//!
//! How a key is found without building any key: a binary search over the heads, which lie side by
//! side (only where two are equal are whole keys compared), then entry by entry. `matched` bytes of
//! the target agree with the entry before. If the entry shares more than that with it, it differs
//! from the target at the same byte, in the same direction; else only its suffix is compared.
//!
//! A decoder here runs on verified bytes; it checks every length all the same and answers an error
//! for bytes that are no block.

pub(super) mod builder;
mod cursor;
mod key_buffer;
mod plain;

use std::cmp::Ordering;
use std::ops::Range;

use crate::coding::varint_at;
use crate::expiry::EXPIRY_BYTES;
use crate::key::{Kind, Seq, head};
use crate::prefetch;
use crate::scan::BodyHandle;
pub(super) use builder::BlockBuilder;
pub(super) use cursor::BlockCursor;

/// What is wrong with the bytes of a block.
pub(super) type Damage = &'static str;

/// Bytes of a head and a restart.
const RESTART_BYTES: usize = 8 + 4;
/// Entries that are read one after the other are fetched this far ahead: a block of the usual size.
const TOUCHED_BYTES_MAX: usize = 4 << 10;
/// Bytes after the prefix.
const TAIL_BYTES: usize = 4 + 4;

/// Bytes at the front that two keys have in common.
pub(crate) fn common_prefix_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// One entry as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) shared: usize,
    pub(super) suffix: &'a [u8],
    /// Where the suffix lies in the block.
    suffix_at: usize,
    pub(super) seq: Seq,
    pub(super) kind: Kind,
    /// Where the value lies in the block.
    pub(super) value: Range<usize>,
    pub(super) body: Option<BodyHandle>,
    /// Where the next entry starts.
    pub(super) next: usize,
}

/// Where a block's parts lie.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Layout {
    /// End of the entries, start of the heads.
    pub(super) entries_end: usize,
    pub(super) restart_count: usize,
    prefix_len: usize,
}

impl Layout {
    fn of(bytes: &[u8]) -> Result<Layout, Damage> {
        let tail_at = bytes.len().checked_sub(TAIL_BYTES).ok_or("block ends early")?;
        let prefix_len = u32_at(bytes, tail_at)? as usize;
        let restart_count = u32_at(bytes, tail_at + 4)? as usize;
        let entries_end = restart_count
            .checked_mul(RESTART_BYTES)
            .and_then(|restarts| restarts.checked_add(prefix_len))
            .and_then(|after_entries| tail_at.checked_sub(after_entries))
            .ok_or("too many restarts for the block")?;
        if (restart_count == 0) != (entries_end == 0) {
            return Err("restarts do not fit the entries");
        }
        Ok(Layout { entries_end, restart_count, prefix_len })
    }

    fn restarts_at(&self) -> usize {
        self.entries_end + 8 * self.restart_count
    }

    fn prefix(&self) -> Range<usize> {
        let start = self.restarts_at() + 4 * self.restart_count;
        start..start + self.prefix_len
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Damage> {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or("ends early")?;
    Ok(u32::from_le_bytes(*chunk))
}

/// A block to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockView<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

impl<'a> BlockView<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Damage> {
        Ok(BlockView { bytes, layout: Layout::of(bytes)? })
    }

    /// The bytes of an entry's value.
    pub(super) fn value(&self, entry: &Entry<'a>) -> &'a [u8] {
        &self.bytes[entry.value.clone()]
    }

    fn restart(&self, index: usize) -> Result<usize, Damage> {
        let at = u32_at(self.bytes, self.layout.restarts_at() + 4 * index)? as usize;
        if at < self.layout.entries_end { Ok(at) } else { Err("restart outside the entries") }
    }

    /// Where the entries from a restart on end: at the next one.
    fn restart_end(&self, index: usize) -> Result<usize, Damage> {
        let is_last = index + 1 == self.layout.restart_count;
        if is_last { Ok(self.layout.entries_end) } else { self.restart(index + 1) }
    }

    /// The entry at `at`. Always inlined: what it gives is taken apart at once, and its way through
    /// memory costs as much as the decoding.
    #[inline(always)]
    fn entry(&self, at: usize) -> Result<Entry<'a>, Damage> {
        let entries = &self.bytes[..self.layout.entries_end];
        let mut at = at;
        let (shared, unshared, value_len) = lengths(entries, &mut at)?;
        let tag = varint_at(entries, &mut at)?;
        let kind = Kind::of_table_bits(tag as u8);
        if kind == Kind::PutUntil && value_len < EXPIRY_BYTES {
            return Err("an expiring value without its moment");
        }
        let suffix_at = at;
        let value_at = at.checked_add(unshared).ok_or("key outside the block")?;
        let suffix = entries.get(at..value_at).ok_or("key outside the block")?;
        let value_end = value_at.checked_add(value_len).ok_or("value outside the block")?;
        if value_end > entries.len() {
            return Err("value outside the block");
        }
        at = value_end;
        let body = if tag & 4 == 0 { None } else { Some(body_handle(entries, &mut at)?) };
        let value = value_at..value_end;
        Ok(Entry { shared, suffix, suffix_at, seq: tag >> 3, kind, value, body, next: at })
    }

    /// The entry at `at`, which must store its key whole.
    fn restart_entry(&self, at: usize) -> Result<Entry<'a>, Damage> {
        let entry = self.entry(at)?;
        if entry.shared == 0 { Ok(entry) } else { Err("restart without a whole key") }
    }

    fn head(&self, index: usize) -> Result<u64, Damage> {
        let at = self.layout.entries_end + 8 * index;
        let head = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
        head.map(|bytes| u64::from_le_bytes(*bytes)).ok_or("ends early")
    }

    /// The last restart whose entry is before `(key, seq)`, else the first.
    fn restart_before(&self, key: &[u8], seq: Seq) -> Result<usize, Damage> {
        let prefix = &self.bytes[self.layout.prefix()];
        let Some(rest) = key.strip_prefix(prefix) else {
            let is_after_all = key > prefix;
            return Ok(if is_after_all { self.layout.restart_count.saturating_sub(1) } else { 0 });
        };
        let target = head(rest);
        let (mut low, mut high) = (0, self.layout.restart_count);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut order = self.head(middle)?.cmp(&target);
            if order.is_eq() {
                let entry = self.restart_entry(self.restart(middle)?)?;
                order = entry.suffix.cmp(key).then(seq.cmp(&entry.seq));
            }
            if order.is_lt() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.saturating_sub(1))
    }

    /// Verifies what searches and stretches rely on: prefix, heads and restarts are those of the
    /// keys, and each key shares all that it has in common with the one before.
    pub(super) fn check_search(&self) -> Result<(), Damage> {
        let prefix = &self.bytes[self.layout.prefix()];
        for index in 0..self.layout.restart_count {
            let entry = self.restart_entry(self.restart(index)?)?;
            let rest = entry.suffix.strip_prefix(prefix).ok_or("a key without the prefix")?;
            if self.head(index)? != head(rest) {
                return Err("a head is not that of its key");
            }
            self.check_shared(&entry, self.restart_end(index)?)?;
        }
        Ok(())
    }

    /// Verifies the entries behind one at a restart, up to `end`.
    fn check_shared(&self, restart: &Entry<'a>, end: usize) -> Result<(), Damage> {
        let (mut key, mut at) = (restart.suffix.to_vec(), restart.next);
        while at < end {
            let entry = self.entry(at)?;
            let left = key.get(entry.shared..).ok_or("more shared than there is")?;
            if !left.is_empty() && left.first() == entry.suffix.first() {
                return Err("a key shares less than it could");
            }
            key.truncate(entry.shared);
            key.extend_from_slice(entry.suffix);
            at = entry.next;
        }
        Ok(())
    }

    /// Brings entries that are about to be read into the processor's cache, all lines at once: one
    /// after the other each step would wait for memory.
    fn touch(&self, entries: Range<usize>) {
        let end = entries.end.min(entries.start + TOUCHED_BYTES_MAX);
        prefetch::bytes(self.bytes.get(entries.start..end).unwrap_or_default());
    }

    /// Stands at the first entry at or after `(key, seq)`.
    pub(super) fn find(&self, key: &'a [u8], seq: Seq) -> Result<Finder<'a>, Damage> {
        let mut finder = Finder::new(*self, key);
        if self.layout.restart_count > 0 {
            let restart = self.restart_before(key, seq)?;
            finder.at = self.restart(restart)?;
            self.touch(finder.at..self.restart_end(restart)?);
        }
        finder.next()?;
        while let Some(entry) = &finder.entry
            && finder.order.then(seq.cmp(&entry.seq)) == Ordering::Less
        {
            finder.next()?;
        }
        Ok(finder)
    }
}

/// Walks a block from the first entry at or after a target on, without building keys.
#[derive(Debug)]
pub(super) struct Finder<'a> {
    block: BlockView<'a>,
    target: &'a [u8],
    /// The entry it stands at; none past the last.
    entry: Option<Entry<'a>>,
    /// How the key of `entry` compares with the target.
    order: Ordering,
    /// Bytes at the front of the target that agree with the key of `entry`.
    matched: usize,
    /// Where the next entry starts.
    at: usize,
}

impl<'a> Finder<'a> {
    fn new(block: BlockView<'a>, target: &'a [u8]) -> Self {
        Finder { block, target, entry: None, order: Ordering::Less, matched: 0, at: 0 }
    }

    /// The entry it stands at; none past the last.
    pub(super) fn entry(&self) -> Option<&Entry<'a>> {
        self.entry.as_ref()
    }

    /// Whether the key of the entry is the target.
    pub(super) fn is_match(&self) -> bool {
        self.entry.is_some() && self.order == Ordering::Equal
    }

    /// Moves to the next entry.
    pub(super) fn next(&mut self) -> Result<(), Damage> {
        self.entry = None;
        if self.at >= self.block.layout.entries_end {
            return Ok(());
        }
        let entry = self.block.entry(self.at)?;
        if entry.shared <= self.matched {
            let rest = &self.target[entry.shared..];
            let common = common_prefix_len(entry.suffix, rest);
            self.matched = entry.shared + common;
            self.order = entry.suffix[common..].first().cmp(&rest[common..].first());
        } // else it differs where the entry before differed, in the same direction
        self.at = entry.next;
        self.entry = Some(entry);
        Ok(())
    }
}

/// How much an entry shares and does not share, and the length of its value. Nearly always a byte
/// each.
#[inline(always)]
fn lengths(bytes: &[u8], at: &mut usize) -> Result<(usize, usize, usize), Damage> {
    if let Some([shared, unshared, value_len]) = bytes.get(*at..).and_then(|b| b.first_chunk())
        && (shared | unshared | value_len) < 0x80
    {
        *at += 3;
        return Ok((usize::from(*shared), usize::from(*unshared), usize::from(*value_len)));
    }
    long_lengths(bytes, at)
}

#[inline(never)]
fn long_lengths(bytes: &[u8], at: &mut usize) -> Result<(usize, usize, usize), Damage> {
    let mut length = || varint_at(bytes, at).map(|length| length as usize);
    Ok((length()?, length()?, length()?))
}

#[inline(never)]
fn body_handle(bytes: &[u8], at: &mut usize) -> Result<BodyHandle, Damage> {
    let offset = varint_at(bytes, at)?;
    let len = u32::try_from(varint_at(bytes, at)?).map_err(|_| "body too long")?;
    let crc = u32_at(bytes, *at)?;
    *at += 4;
    Ok(BodyHandle { offset, len, crc })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::{put_u32, put_u64, put_varint};

    /// How much a key shares, and the rest of it.
    type Key = (u64, &'static [u8]);

    /// A block of one restart, of entries without values.
    fn block_of(entries: &[Key]) -> Vec<u8> {
        let mut block = Vec::new();
        for (shared, suffix) in entries {
            put_varint(&mut block, *shared);
            put_varint(&mut block, suffix.len() as u64);
            put_varint(&mut block, 0);
            put_varint(&mut block, 1 << 3);
            block.extend_from_slice(suffix);
        }
        put_u64(&mut block, head(entries[0].1));
        [0, 0, 1].iter().for_each(|field| put_u32(&mut block, *field)); // restart, prefix, count
        block
    }

    #[test]
    fn keys_that_share_less_than_they_could_are_damage() {
        let cases: [(&[Key], Result<(), Damage>); 6] = [
            (&[(0, b"ab"), (1, b"c")], Ok(())),
            (&[(0, b"ab"), (2, b"c"), (3, b""), (2, b"d")], Ok(())),
            (&[(0, b"ab"), (0, b"b")], Ok(())),
            (&[(0, b"ab"), (0, b"ac")], Err("a key shares less than it could")),
            (&[(0, b"ab"), (1, b"b")], Err("a key shares less than it could")),
            (&[(0, b"ab"), (3, b"c")], Err("more shared than there is")),
        ];
        for (entries, expected) in cases {
            let block = block_of(entries);
            assert_eq!(BlockView::new(&block).unwrap().check_search(), expected, "{entries:?}");
        }
    }
}
