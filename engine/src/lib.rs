//! A durable, ordered key-value store (LSM). Knows nothing of time series.
//!
//! Modules in order; each may use those above it:

pub mod budget;
pub mod clock;
pub mod error;
mod sync;

pub mod bloom;
pub mod coding;
pub mod histogram;
pub mod key;

pub mod expiry;
pub mod range_delete;

pub mod fs;
pub mod hooks;
pub mod memtable;
pub mod scan;

pub mod compress;
pub mod options;

pub mod batch;
pub mod cache;
pub mod conflicts;

pub mod table;
pub mod wal;

pub mod manifest;

pub mod levels;

pub mod outputs;

pub mod flush;

pub mod compaction;

pub mod keyspace;
pub mod publish;
pub mod snapshot;

pub mod background;
pub mod events;
pub mod jobs;
pub mod metrics;

mod folder;

mod kernel;

pub mod transaction;

pub mod check;
pub mod recovery;

pub mod inspect;
pub mod repair;

pub mod store;

pub use error::{Error, Result};
