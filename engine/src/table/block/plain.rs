//! Decodes plain entries many at a time, into a stretch.
//!
//! A plain entry is a put without a body. Of nearly all of them, what is before the key lies in one
//! word, which is taken apart without a loop and, but for the length of the value, without a
//! branch: the next entry can be begun as soon as the lengths of this one are known. Others are
//! decoded one by one, as everywhere else.

use std::ops::Range;

use super::{BlockView, Entry};
use crate::key::{Kind, Seq, key_cmp};
use crate::prefetch;
use crate::scan::stretch::Filling;

/// A plain entry: the value follows the key.
pub(super) struct Plain {
    pub(super) shared: usize,
    pub(super) suffix: Range<usize>,
    pub(super) seq: Seq,
}

/// The plain entry that starts with `word`, where all before its key lies in that, as if the word
/// were at 0, and the length of its value.
#[inline(always)]
fn plain(word: u64) -> Option<(Plain, usize)> {
    let byte_at = |index: u32| (word >> (8 * index)) as usize & 0xff;
    // The tag, the top bits of its bytes, and what is before it.
    let (tag, tops, before, value_len) = if word & 0x80_0000 == 0 {
        (word >> 24, 0x80_8080_8080, 3, byte_at(2))
    } else {
        (word >> 32, 0x8080_8080, 4, byte_at(2) & 0x7f | byte_at(3) << 7)
    };
    let last = !tag & tops; // its lowest set bit is that of the last byte
    if word & 0x8080 != 0 || tag & 7 != 0 || last == 0 || value_len >= 1 << 14 {
        return None;
    }
    let suffix_at = before + last.trailing_zeros() as usize / 8 + 1;
    let tag = tag & (last ^ (last - 1)); // groups of seven bits, moved together
    let tag = tag & 0x7f_007f_007f | (tag & 0x7f00_7f00) >> 1;
    let tag = tag & 0x7f_0000_3fff | (tag & 0x3fff_0000) >> 2;
    let tag = tag & 0x0fff_ffff | (tag & 0x7f_0000_0000) >> 4;
    let suffix = suffix_at..suffix_at + byte_at(1);
    Some((Plain { shared: byte_at(0), suffix, seq: tag >> 3 }, value_len))
}

impl BlockView<'_> {
    /// The entry at `at`, where it is plain and nearly as short as all are, and where the next one
    /// is.
    #[inline(always)]
    pub(super) fn short_entry(&self, at: usize) -> Option<(Plain, usize)> {
        let entries = &self.bytes[..self.layout.entries_end];
        let word = u64::from_le_bytes(*entries.get(at..)?.first_chunk()?);
        let (Plain { shared, suffix, seq }, value_len) = plain(word)?;
        let suffix = at + suffix.start..at + suffix.end;
        let next = suffix.end + value_len;
        (next <= entries.len()).then_some((Plain { shared, suffix, seq }, next))
    }

    /// Adds the entries from `next` on to `out`, as long as they are plain, of other keys than the
    /// one before, before `until` and numbered `snapshot` or below. Where the last of them starts,
    /// `at` if there is none, and where the next one does.
    #[inline(always)] // `out` is in hand, not in memory
    pub(super) fn take_plain<'b>(
        &self,
        (mut at, mut next): (usize, usize),
        (snapshot, until): (Seq, Option<&[u8]>),
        ahead: &[u8],
        mut out: Filling<'b>,
    ) -> (usize, usize, Filling<'b>) {
        while next < self.layout.entries_end && out.has_room() {
            let short = self.short_entry(next).filter(|(entry, _)| entry.seq <= snapshot);
            let end = if let Some((Plain { shared, suffix, seq }, end)) = short
                && out.push_short(shared, (self.bytes, suffix.clone()), seq, suffix.end..end)
            {
                end
            } else {
                let entry = self.plain_entry(next).filter(|entry| entry.seq <= snapshot);
                let Some(Entry { shared, suffix_at, seq, value, next, .. }) = entry else { break };
                let suffix = suffix_at..value.start;
                if !out.push(shared, (self.bytes, suffix), seq, value) {
                    break;
                }
                next
            };
            if until.is_some_and(|until| key_cmp(out.last_key(), until).is_ge()) {
                out.pop();
                break;
            }
            (at, next) = (next, end);
            prefetch::bytes(ahead.get(at..next).unwrap_or_default());
        }
        (at, next, out)
    }

    /// The entry at `at`, where it is plain.
    #[inline(never)]
    fn plain_entry(&self, at: usize) -> Option<Entry<'_>> {
        let entry = self.entry(at).ok();
        entry.filter(|entry| entry.kind == Kind::Put && entry.body.is_none())
    }
}
