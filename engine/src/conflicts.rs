//! What optimistic transactions conflict on: what a transaction read, and what was written since.
//!
//! A transaction reads at a snapshot and keeps a note of every key and range it read ([`Reads`]).
//! While transactions are open, the keys of every batch are noted as well, in the order of sequence
//! numbers ([`History`]). At its commit the two are compared: a write behind the snapshot to
//! something that was read is a conflict, and the transaction is refused.
//!
//! Steps of the comparison: all of the history but its newest chunk is compared under no lock; what
//! is left, and what came in between, under the lock that gives batches their numbers. That is
//! 64 KiB of keys as a rule. Nothing is read from memtables or tables.
//!
//! Invariants:
//! - a write that is not in the history is older than every open transaction, or older than what
//!   the history says it has forgotten; a transaction older than that is refused;
//! - both sides only ever err towards a conflict: read sets that grow too long become ranges.

pub mod history;
pub mod ranges;
pub mod reads;

pub use history::{Chunk, History};
pub use ranges::KeyRanges;
pub use reads::Reads;
