//! Locks, atomics and threads of all that runs beside something else, from one place.
//!
//! As a rule these are those of parking_lot and of the standard library, under their names. With
//! feature `schedules`, for tests alone, they are those of a scheduler that runs one thread at a
//! time, chooses by seed who goes on after every step, and fails when nobody can: the store then
//! runs as it is, under as many schedules as a test asks for (see `tests/schedules`).
//!
//! Not from here: what is held for a few instructions and never around another of these (budget,
//! cache, counters). To the scheduler that is one step.

#[cfg(not(feature = "schedules"))]
pub use native::*;
#[cfg(feature = "schedules")]
pub use scheduled::*;

#[cfg(feature = "schedules")]
mod scheduled;

#[cfg(not(feature = "schedules"))]
mod native {
    pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
    pub use std::sync::atomic;
    pub use std::thread;

    /// Looks before a wait for what takes microseconds as a rule.
    pub const SPINS: usize = 20;
}
