//! A durable, ordered key-value store (LSM). Knows nothing of time series.
//!
//! Modules in order; each may use those above it:

pub mod budget;
pub mod cache;
pub mod clock;
pub mod compress;
pub mod error;
pub mod fs;
pub mod hooks;
pub mod key;
pub mod memtable;
pub mod scan;
pub mod table;

pub mod coding;
pub mod histogram;

pub mod wal;

pub use error::{Error, Result};
