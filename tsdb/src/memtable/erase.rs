//! The payload of one append that takes rows away, and its effect on a memtable.
//!
//! ```text
//! payload := version u8, 2 | group x n
//! ```
//!
//! Groups are those of [`crate::erasure`]; whatever they say of the retention policy, they are
//! meant for the partition they are written to. A delete puts such a payload beside the rows that
//! a memtable holds already. It is applied in its place among the appends, when it is written as
//! when it is replayed, so a memtable never holds rows that are older than an erasure in it.
//!
//! Rows lose cells by becoming rows of a narrower shape. Text of strings stays until the flush.

use std::sync::atomic::Ordering;

use firndb_engine::coding::{DecodeError, Decoder};
use firndb_engine::key::Seq;

use super::payload::ShapeField;
use super::{NONE, PAGE_SERIES, PointsMemtable, SHARDS, Shape};
use crate::erasure::{Erasure, Group, decode_groups, encode_groups};

const VERSION: u8 = 2;

/// Whether a payload takes rows away.
pub fn is_erase(payload: &[u8]) -> bool {
    payload.first() == Some(&VERSION)
}

/// The payload that takes away what `groups` say.
pub fn encode(groups: &[Group]) -> Vec<u8> {
    let mut out = vec![VERSION];
    encode_groups(groups, &mut out);
    out
}

/// What a payload takes away.
pub fn decode(payload: &[u8]) -> Result<Vec<Group>, DecodeError> {
    let mut decoder = Decoder::new(payload);
    if decoder.u8()? != VERSION {
        return Err(decoder.error("unknown version of an erasure"));
    }
    decode_groups(decoder)
}

/// What becomes of the rows of a shape.
pub enum Reduced {
    /// They have none of the fields.
    Kept,
    /// They have no other field.
    Gone,
    /// They become rows of this shape; which of their words stay, the timestamp left aside.
    To(u32, Vec<usize>),
}

impl PointsMemtable {
    /// Applies a payload that was checked.
    pub(super) fn erase(&self, payload: &[u8], seq: Seq) {
        let groups = decode(payload).expect("validated before it was logged");
        for group in &groups {
            self.erase_group(&group.erasure(seq));
        }
    }

    fn erase_group(&self, erasure: &Erasure) {
        let buffers: u64 = self.shards.iter().map(|s| s.lock().buffers.len() as u64).sum();
        if erasure.series.cardinality() <= buffers {
            for series in erasure.series.iter() {
                self.erase_series(series, erasure);
            }
            return;
        }
        let ids: Vec<u32> = self.series().into_iter().map(|series| series.0).collect();
        ids.into_iter().filter(|id| erasure.series.contains(*id)).for_each(|id| {
            self.erase_series(id, erasure);
        });
    }

    fn erase_series(&self, series: u32, erasure: &Erasure) {
        let mut shard = self.shards[(series / PAGE_SERIES) as usize % SHARDS].lock();
        let Some(page) = shard.pages.get(&(series / PAGE_SERIES)) else { return };
        let slot = page[(series % PAGE_SERIES) as usize];
        if slot == NONE {
            return;
        }
        let buffer = &mut shard.buffers[slot as usize];
        let shapes = self.shapes.read().list.clone();
        let reduce = |number: u32| self.reduce(&shapes[number as usize], erasure);
        let Some(left) = buffer.without(erasure, &shapes, reduce) else { return };
        let (before, after) = (buffer.heap_bytes(), left.heap_bytes());
        *buffer = left;
        self.bytes.fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
        self.bytes.fetch_add(after.saturating_sub(before), Ordering::Relaxed);
    }

    fn reduce(&self, shape: &Shape, erasure: &Erasure) -> Reduced {
        let stays = |at: &usize| !erasure.is_of_field(shape[*at].0);
        let kept: Vec<usize> = (0..shape.len()).filter(stays).collect();
        if kept.len() == shape.len() {
            return Reduced::Kept;
        }
        let fields: Vec<ShapeField> = kept.iter().map(|at| shape[*at]).collect();
        match fields.is_empty() {
            true => Reduced::Gone,
            false => Reduced::To(self.shape_number(&fields).number, kept),
        }
    }
}

#[cfg(test)]
mod tests;
