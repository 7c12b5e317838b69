//! Compaction: fewer runs to read, fewer bytes to keep.
//!
//! Ladder: [`mod@pick`] makes a *plan* (pure: a picture, a policy and what is in flight give what
//! should happen); claiming its tables makes it a *job* ([`run`]); the job ends in an *edit*.
//!
//! Invariants:
//! - a table is in one job at a time, and two jobs never write overlapping ranges of one level:
//!   [`InFlight`] is asked for every plan, and claiming is the only way to run one;
//! - a plan takes whole neighbours in age: nothing between its inputs is left out, so the output's
//!   place is that of its newest input (level 0) or its level;
//! - deletes go only when no table older than the inputs can hold the key.

pub(crate) mod drop;
pub(crate) mod hollow;
pub mod in_flight;
pub mod pick;
pub mod pressure;
pub mod rate;
pub mod run;
pub mod split;

pub use in_flight::{Claim, InFlight};
pub use pick::{Plan, PlanReason, pick};
