//! Which versions of a key a flush or compaction keeps: the engine's own [`EntryMerge`].
//!
//! Live snapshots cut the versions of a key into stripes: two versions are in one stripe when no
//! snapshot sees the older one without the newer. Nobody can ever ask for more than the newest
//! state of each stripe, so a stripe leaves at most one version:
//!
//! - a put, and all below it in the stripe goes;
//! - a delete, likewise; at the bottom it goes too, unless an older stripe left something that it
//!   must hide from later readers;
//! - operands are folded, onto the put or delete below them where the stripe has one (a put), onto
//!   nothing where nothing lies below at all (a put), else into one operand. Never onto a
//!   version of an older stripe: a snapshot still sees that one bare.
//!
//! A version that a range delete hides from everybody, because the delete is in its stripe, goes
//! before any of this is asked. A range delete hides nothing that is newer than it, also where no
//! job has seen that yet, so that it is never taken for the delete below an operand.
//!
//! A put that expires is not final either: operands above it stay apart from it, because they
//! outlive it, and a stripe then leaves two versions; but those of its own batch are folded onto
//! it. Once it has expired when the job begins it is a delete.
//!
//! What is left has the sequence number of the newest version it came from. The decision is one
//! pure function, [`keep`]; [`KeepMerge`] feeds it one key at a time.

use std::ops::Range;
use std::sync::Arc;

use super::{EntryMerge, EntrySink, Hooks, InputEntry, MergeContext};
use crate::expiry::{EXPIRY_BYTES, is_expired};
use crate::key::{Kind, Seq};
use crate::range_delete::{RangeDeletes, is_erased};
use crate::scan::Body;
use crate::{Error, Result};

/// One version that is left of a key, in terms of the positions of the versions given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// The version at this position, as it is.
    AsIs(usize),
    /// The operands at these positions folded onto the put at `base`; becomes a version of `kind`.
    Fold {
        /// Newest first.
        operands: Range<usize>,
        /// The put below them, if any.
        base: Option<usize>,
        /// `Put` when the value is final, `Merge` when something below may still count, `PutUntil`
        /// on a put that expires.
        kind: Kind,
    },
}

/// How many of the live `snapshots` (ascending) do not see a version with this number.
fn stripe(snapshots: &[Seq], seq: Seq) -> usize {
    snapshots.partition_point(|snapshot| *snapshot < seq)
}

/// Says what is left of the `versions` of one key (newest first), given the live `snapshots`
/// (ascending). `is_bottom`: no older version exists anywhere else. The answer, newest first,
/// replaces `out`.
pub fn keep(versions: &[(Seq, Kind)], snapshots: &[Seq], is_bottom: bool, out: &mut Vec<Kept>) {
    out.clear();
    let mut is_any_below = !is_bottom;
    // From the oldest stripe up: whether something is left below decides about deletes.
    let mut end = versions.len();
    while end > 0 {
        let this = stripe(snapshots, versions[end - 1].0);
        let mut start = end - 1;
        while start > 0 && stripe(snapshots, versions[start - 1].0) == this {
            start -= 1;
        }
        keep_stripe(versions, start..end, is_any_below, out);
        is_any_below |= !out.is_empty();
        end = start;
    }
    out.reverse();
}

/// Appends what is left of one stripe, oldest first.
fn keep_stripe(
    versions: &[(Seq, Kind)],
    stripe: Range<usize>,
    is_any_below: bool,
    out: &mut Vec<Kept>,
) {
    let start = stripe.start;
    let operand_count =
        versions[stripe.clone()].iter().take_while(|(_, kind)| *kind == Kind::Merge).count();
    let operands = start..start + operand_count;
    let base = (operands.end < stripe.end).then_some(operands.end);
    match (operand_count, base.map(|base| (base, versions[base].1))) {
        (0, Some((_, Kind::Delete))) if !is_any_below => {}
        (0, _) => out.push(Kept::AsIs(start)),
        (_, Some((base, Kind::Put))) => {
            out.push(Kept::Fold { operands, base: Some(base), kind: Kind::Put });
        }
        (_, Some((base, Kind::PutUntil))) => keep_expiring(versions, operands, base, out),
        (_, Some(_)) => out.push(Kept::Fold { operands, base: None, kind: Kind::Put }),
        (_, None) if !is_any_below => {
            out.push(Kept::Fold { operands, base: None, kind: Kind::Put });
        }
        (_, None) => out.push(operand(operands)),
    }
}

/// Appends a put that expires, with the operands of its batch, and the newer operands.
fn keep_expiring(
    versions: &[(Seq, Kind)],
    operands: Range<usize>,
    base: usize,
    out: &mut Vec<Kept>,
) {
    let seq = versions[base].0;
    let own = operands.start + versions[operands.clone()].partition_point(|(s, _)| *s > seq);
    if own < base {
        out.push(Kept::Fold { operands: own..base, base: Some(base), kind: Kind::PutUntil });
    } else {
        out.push(Kept::AsIs(base));
    }
    if operands.start < own {
        out.push(operand(operands.start..own));
    }
}

/// Operands as one.
fn operand(operands: Range<usize>) -> Kept {
    if operands.len() == 1 {
        Kept::AsIs(operands.start)
    } else {
        Kept::Fold { operands, base: None, kind: Kind::Merge }
    }
}

/// The engine's own merge, for keyspaces whose hooks bring none.
///
/// Holds the versions of one key at a time. A version below a put or delete of its own stripe is
/// passed over as it comes, so that a key written a million times costs no memory.
#[derive(Debug)]
pub struct KeepMerge {
    hooks: Arc<dyn Hooks>,
    snapshots: Vec<Seq>,
    is_bottom: bool,
    range_deletes: Arc<RangeDeletes>,
    now_ms: u64,
    key: Vec<u8>,
    /// Numbers of the range deletes that cover the key.
    covering: Vec<Seq>,
    versions: Vec<(Seq, Kind)>,
    values: Vec<u8>,
    /// For each version the end of its value in `values`, and its body.
    ends: Vec<(usize, Option<Body>)>,
    kept: Vec<Kept>,
}

impl KeepMerge {
    /// A merge for one job; `hooks` folds operands.
    pub fn new(hooks: Arc<dyn Hooks>, context: &MergeContext) -> Self {
        debug_assert!(context.snapshots.is_sorted(), "snapshots ascend");
        KeepMerge {
            hooks,
            snapshots: context.snapshots.clone(),
            is_bottom: context.is_bottom,
            range_deletes: context.range_deletes.clone(),
            now_ms: context.now_ms,
            key: Vec::new(),
            covering: Vec::new(),
            versions: Vec::new(),
            values: Vec::new(),
            ends: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// Whether a version with this number is hidden from everybody by the one before it.
    fn is_hidden(&self, seq: Seq) -> bool {
        self.versions.last().is_some_and(|(newer, kind)| {
            *kind != Kind::Merge && stripe(&self.snapshots, *newer) == stripe(&self.snapshots, seq)
        })
    }

    fn value(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].0);
        &self.values[start..self.ends[index].0]
    }

    /// Writes what is left of the key, and forgets it.
    fn write_key(&mut self, out: &mut dyn EntrySink) -> Result<()> {
        let mut kept = std::mem::take(&mut self.kept);
        keep(&self.versions, &self.snapshots, self.is_bottom, &mut kept);
        for one in &kept {
            match one {
                Kept::AsIs(index) => {
                    let (seq, kind) = self.versions[*index];
                    let body = self.ends[*index].1.as_ref().map(Body::read_all).transpose()?;
                    out.put(&self.key, seq, kind, self.value(*index), body.as_deref())?;
                }
                Kept::Fold { operands, base, kind } => {
                    let value = self.fold(operands.clone(), *base, *kind)?;
                    out.put(&self.key, self.versions[operands.start].0, *kind, &value, None)?;
                }
            }
        }
        self.kept = kept;
        self.versions.clear();
        self.values.clear();
        self.ends.clear();
        Ok(())
    }

    fn fold(&self, operands: Range<usize>, base: Option<usize>, kind: Kind) -> Result<Vec<u8>> {
        let oldest_first: Vec<&[u8]> = operands.rev().map(|index| self.value(index)).collect();
        let base = base.map(|index| self.value(index));
        let moment_bytes = if kind == Kind::PutUntil { EXPIRY_BYTES } else { 0 };
        let (moment, base) = match base {
            Some(base) => (&base[..moment_bytes], Some(&base[moment_bytes..])),
            None => (&[][..], None),
        };
        let value = self.hooks.merge_operands(&self.key, base, &oldest_first);
        let value = value.ok_or_else(|| Error::Invalid {
            reason: "a merge operand without an operator".to_owned(),
        })?;
        Ok(if moment.is_empty() { value } else { [moment, &value].concat() })
    }

    /// Takes back the operands with the number of a put that has expired: they were its batch's.
    fn forget_operands(&mut self, seq: Seq) {
        while self.versions.last().is_some_and(|last| *last == (seq, Kind::Merge)) {
            self.versions.pop();
            self.ends.pop();
            self.values.truncate(self.ends.last().map_or(0, |(end, _)| *end));
        }
    }
}

impl EntryMerge for KeepMerge {
    fn entry(&mut self, entry: InputEntry<'_>, out: &mut dyn EntrySink) -> Result<()> {
        if self.versions.is_empty() || self.key != entry.key {
            self.write_key(out)?;
            self.key.clear();
            self.key.extend_from_slice(entry.key);
            if !self.range_deletes.is_empty() {
                self.covering.clear();
                self.covering.extend_from_slice(self.range_deletes.covering(entry.key));
            }
        } else if self.is_hidden(entry.seq) {
            return Ok(());
        }
        if is_erased(&self.covering, &self.snapshots, entry.seq) {
            return Ok(());
        }
        if is_expired(entry.kind, entry.value, self.now_ms) {
            self.forget_operands(entry.seq);
            self.versions.push((entry.seq, Kind::Delete));
            self.ends.push((self.values.len(), None));
            return Ok(());
        }
        self.versions.push((entry.seq, entry.kind));
        self.values.extend_from_slice(entry.value);
        self.ends.push((self.values.len(), entry.body));
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn EntrySink) -> Result<()> {
        self.write_key(out)
    }

    fn held_bytes(&self) -> u64 {
        (self.values.capacity() + 64 * self.ends.capacity()) as u64
    }
}

#[cfg(test)]
mod tests;
