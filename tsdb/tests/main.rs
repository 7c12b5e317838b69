//! The crate from outside, on the simulated file system.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // tests: a failure is a panic, seeds are shown

mod backfill;
mod backup;
mod corpus;
mod crash;
mod history;
mod rollups;
mod ruled;
mod rules;
mod scenes;
mod truth;
