//! The store as its users see it, on the simulated file system.

mod crash;
mod faults;
mod model;
mod planted;
mod script;
mod threads;
mod transfer;
