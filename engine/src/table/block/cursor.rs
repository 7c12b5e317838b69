//! Walks a block both ways, building keys in one reused buffer.
//!
//! Forward, a key is the kept part of the key before and a suffix. Backward there is no key
//! before, so the entries from the nearest restart up to the current one are read once and their
//! keys kept ("behind"): going back through them is then a step each, not a new scan each.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::key_buffer::KeyBuffer;
use super::{BlockView, Damage, Layout};
use crate::cache::BlockBytes;
use crate::key::{Kind, Seq};
use crate::scan::BodyHandle;
use crate::scan::stretch::Stretch;

/// Stands at an entry of a block, or at none.
#[derive(Debug)]
pub(in crate::table) struct BlockCursor {
    block: Option<Arc<BlockBytes>>,
    layout: Layout,
    is_valid: bool,
    /// Where the current entry starts, and the next.
    at: usize,
    next: usize,
    key: KeyBuffer,
    seq: Seq,
    kind: Kind,
    value: Range<usize>,
    body: Option<BodyHandle>,
    behind: Behind,
}

/// Entries between a restart and the current entry, the nearest last.
#[derive(Debug, Default)]
struct Behind {
    /// Where each starts in the block, and where its key starts in `keys`.
    entries: Vec<(usize, usize)>,
    keys: Vec<u8>,
}

impl Behind {
    fn clear(&mut self) {
        self.entries.clear();
        self.keys.clear();
    }
}

impl BlockCursor {
    /// Stands at no entry of no block.
    pub(in crate::table) fn empty() -> Self {
        BlockCursor {
            block: None,
            layout: Layout::default(),
            is_valid: false,
            at: 0,
            next: 0,
            key: KeyBuffer::default(),
            seq: 0,
            kind: Kind::Put,
            value: 0..0,
            body: None,
            behind: Behind::default(),
        }
    }

    /// Stands at no entry of `block`, keeping the memory of the block before.
    pub(in crate::table) fn set_block(&mut self, block: Arc<BlockBytes>) -> Result<(), Damage> {
        self.is_valid = false;
        self.behind.clear();
        self.layout = Layout::of(&block)?;
        self.block = Some(block);
        Ok(())
    }

    /// The block, where it stands in one.
    pub(in crate::table) fn block(&self) -> Option<&Arc<BlockBytes>> {
        self.block.as_ref()
    }

    #[inline]
    pub(in crate::table) fn valid(&self) -> bool {
        self.is_valid
    }

    pub(in crate::table) fn invalidate(&mut self) {
        self.is_valid = false;
    }

    /// Its key; past the last entry that of the last.
    #[inline]
    pub(in crate::table) fn key(&self) -> &[u8] {
        self.key.key()
    }

    #[inline]
    pub(in crate::table) fn seq(&self) -> Seq {
        self.seq
    }

    #[inline]
    pub(in crate::table) fn kind(&self) -> Kind {
        self.kind
    }

    #[inline]
    pub(in crate::table) fn value(&self) -> &[u8] {
        &self.view().bytes[self.value.clone()]
    }

    /// Where the entry lies in the block.
    #[inline]
    pub(in crate::table) fn entry_range(&self) -> Range<usize> {
        self.at..self.next
    }

    /// Where the value lies in the block.
    pub(in crate::table) fn value_range(&self) -> Range<usize> {
        self.value.clone()
    }

    pub(in crate::table) fn body(&self) -> Option<BodyHandle> {
        self.body
    }

    #[inline]
    fn view(&self) -> BlockView<'_> {
        view(&self.block, self.layout)
    }

    /// Moves to the first entry.
    pub(in crate::table) fn seek_first(&mut self) -> Result<(), Damage> {
        self.behind.clear();
        self.next = 0;
        self.key.clear();
        self.advance()
    }

    /// Asks the processor for all entries, which will be read one after the other.
    pub(in crate::table) fn touch(&self) {
        self.view().touch(0..self.layout.entries_end);
    }

    /// Moves to the last entry.
    pub(in crate::table) fn seek_last(&mut self) -> Result<(), Damage> {
        self.is_valid = false;
        self.behind.clear();
        if self.layout.restart_count == 0 {
            return Ok(());
        }
        self.at = self.layout.entries_end;
        self.step_back()
    }

    /// Moves to the first entry at or after `(key, seq)`.
    pub(in crate::table) fn seek(&mut self, key: &[u8], seq: Seq) -> Result<(), Damage> {
        self.behind.clear();
        self.key.clear();
        self.next = match self.layout.restart_count {
            0 => 0,
            _ => self.view().restart(self.view().restart_before(key, seq)?)?,
        };
        self.view().touch(self.next..self.layout.entries_end);
        self.advance()?;
        while self.is_valid && self.key.key().cmp(key).then(seq.cmp(&self.seq)) == Ordering::Less {
            self.advance()?;
        }
        Ok(())
    }

    /// Moves to the next entry.
    #[inline]
    pub(in crate::table) fn next(&mut self) -> Result<(), Damage> {
        self.behind.clear();
        self.advance()
    }

    /// Moves to the next entry with another key.
    #[inline]
    pub(in crate::table) fn next_key(&mut self) -> Result<(), Damage> {
        self.behind.clear();
        while !self.step(true)? {}
        Ok(())
    }

    /// Fills `out` with the entries that follow in the block as long as they are puts of other
    /// keys, before `until` and numbered `snapshot` or below, and moves to the last of them. It
    /// stays where there is none, also where the next entry is damaged.
    pub(in crate::table) fn next_stretch(
        &mut self,
        (snapshot, until): (Seq, Option<&[u8]>),
        ahead: &[u8],
        out: &mut Stretch,
    ) -> bool {
        let Some(block) = self.block.as_ref().filter(|_| self.is_valid) else { return false };
        if block.len() > u32::MAX as usize {
            return false; // a stretch has no places that far
        }
        let view = BlockView { bytes: block, layout: self.layout };
        let from = (self.at, self.next);
        let (at, next, filling) =
            view.take_plain(from, (snapshot, until), ahead, out.fill(self.key.key()));
        let Some((key, seq, value)) = filling.end(block) else { return false };
        self.key.set(key);
        (self.at, self.next) = (at, next);
        (self.seq, self.kind) = (seq, Kind::Put);
        (self.value, self.body) = (value, None);
        self.behind.clear();
        true
    }

    /// The value of the next entry, if there is one.
    pub(in crate::table) fn next_value(&self) -> Option<&[u8]> {
        let view = self.view();
        let is_inside = self.is_valid && self.next < self.layout.entries_end;
        let entry = is_inside.then(|| view.entry(self.next))?.ok()?;
        Some(view.value(&entry))
    }

    /// Moves to the previous entry.
    pub(in crate::table) fn prev(&mut self) -> Result<(), Damage> {
        self.is_valid = false;
        if self.at == 0 { Ok(()) } else { self.step_back() }
    }

    /// Moves to the entry at `next`, whose key builds on `key`.
    #[inline]
    fn advance(&mut self) -> Result<(), Damage> {
        self.step(false).map(drop)
    }

    /// As `advance`. Where it `finds_others` and the key is the one before, it only passes over the
    /// entry and says so by `false`.
    #[inline(always)]
    fn step(&mut self, finds_others: bool) -> Result<bool, Damage> {
        self.is_valid = false;
        self.at = self.next;
        if self.at >= self.layout.entries_end {
            return Ok(true);
        }
        // Not `self.view()`: the key buffer is written while the entry borrows the block.
        let view = view(&self.block, self.layout);
        if let Some((entry, next)) = view.short_entry(self.at) {
            self.next = next;
            let suffix = &view.bytes[entry.suffix.clone()];
            if finds_others && self.key.is_same(entry.shared, suffix) {
                return Ok(false);
            }
            self.key.build(entry.shared, suffix, &view.bytes[entry.suffix.start..])?;
            (self.seq, self.kind) = (entry.seq, Kind::Put);
            (self.value, self.body) = (entry.suffix.end..next, None);
            self.is_valid = true;
            return Ok(true);
        }
        let entry = view.entry(self.at)?;
        self.next = entry.next;
        if finds_others && self.key.is_same(entry.shared, entry.suffix) {
            return Ok(false);
        }
        self.key.build(entry.shared, entry.suffix, &view.bytes[entry.suffix_at..])?;
        self.seq = entry.seq;
        self.kind = entry.kind;
        self.value = entry.value;
        self.body = entry.body;
        self.is_valid = true;
        Ok(true)
    }

    /// Moves to the entry before `at`, which is not the first.
    fn step_back(&mut self) -> Result<(), Damage> {
        if self.behind.entries.is_empty() {
            self.fill_behind()?;
        }
        let (at, key_at) = self.behind.entries.pop().ok_or("no entry before this one")?;
        self.key.set(&self.behind.keys[key_at..]);
        self.behind.keys.truncate(key_at);
        let entry = view(&self.block, self.layout).entry(at)?;
        self.at = at;
        self.next = entry.next;
        self.seq = entry.seq;
        self.kind = entry.kind;
        self.value = entry.value;
        self.body = entry.body;
        self.is_valid = true;
        Ok(())
    }

    /// Reads the entries from the last restart before `at` up to it.
    fn fill_behind(&mut self) -> Result<(), Damage> {
        let view = view(&self.block, self.layout);
        let (mut low, mut high) = (0, self.layout.restart_count);
        while low < high {
            let middle = low + (high - low) / 2;
            if view.restart(middle)? < self.at {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let mut at = view.restart(low.checked_sub(1).ok_or("no restart before the entry")?)?;
        self.key.clear();
        while at < self.at {
            let entry = view.entry(at)?;
            self.key.build(entry.shared, entry.suffix, entry.suffix)?;
            self.behind.entries.push((at, self.behind.keys.len()));
            self.behind.keys.extend_from_slice(self.key.key());
            at = entry.next;
        }
        if at == self.at { Ok(()) } else { Err("restart inside an entry") }
    }
}

#[inline]
fn view(block: &Option<Arc<BlockBytes>>, layout: Layout) -> BlockView<'_> {
    BlockView { bytes: block.as_deref().map_or(&[], |block| block), layout }
}
