//! The crate from outside, on the simulated file system.

mod crash;
mod history;
mod scenes;
mod truth;
