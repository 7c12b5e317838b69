//! Time series over the engine: series, schema, time partitions, chunks, retention.
//!
//! Modules in order; each may use those above it:

pub mod chunk;
pub mod model;
