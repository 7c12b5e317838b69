//! What deletes take of the memory budget, from the first row that is found until nothing is left
//! of what they took.
//!
//! A delete by values holds a span for every stretch of rows, up to a million of them, and every
//! read asks them until the last partition is rewritten. So they are charged ([`Share::Deletes`]):
//! spans as they are found, then all that making the delete takes, then what stays. Where there is
//! no room the delete is refused, and nothing was deleted. Those that a store opens with are in
//! force, and charged whatever the limit says.

use croaring::Portable;
use firndb_engine as engine;
use firndb_engine::budget::{Budget, Reservation, Share};

use crate::erasure::{Erasure, Group};
use crate::model::TimeRange;
use crate::{Error, Result};

/// A group and its erasure, and about as much again for the headers of what they point to and for
/// their place among those of the series.
const GROUP_BYTES: u64 = 2 * (size_of::<Group>() + size_of::<Erasure>()) as u64;

/// What making a delete takes beside what it means, as a multiple of that: its record, the batch
/// with it, and its erasures in memtables.
pub(super) const MAKING_FACTOR: u64 = 3;

/// Bytes of a span.
pub(super) const SPAN_BYTES: u64 = size_of::<TimeRange>() as u64;

/// Bytes that groups hold.
pub(super) fn of_groups(groups: &[Group]) -> u64 {
    let of_group = |group: &Group| {
        let series = group.series.get_serialized_size_in_bytes::<Portable>() as u64;
        let fields = group.fields.as_deref().map_or(0, size_of_val) as u64;
        GROUP_BYTES + series + fields + group.ranges.len() as u64 * SPAN_BYTES
    };
    groups.iter().map(of_group).sum()
}

/// Reserves `bytes`.
pub(super) fn reserve(budget: &Budget, bytes: u64) -> Result<Reservation> {
    budget.try_reserve(Share::Deletes, bytes).ok_or_else(refusal)
}

/// There is no room: there will be when deletes are purged, or others hold less.
pub(super) fn refusal() -> Error {
    let reason = "no memory for what the delete means";
    engine::Error::Busy { reason, retry_after_ms: 1000 }.into()
}
