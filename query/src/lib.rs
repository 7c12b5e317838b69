//! Questions in, answers out: plan, execution, InfluxQL, Arrow and Parquet; the read side of HTTP.
//!
//! Modules in order; each may use those above it:

pub mod error;
pub mod plan;

pub mod exec;

pub mod influxql;

pub mod format;

pub mod arrow;
pub mod export;
pub mod range;

pub mod metrics;

pub mod http;

#[cfg(test)]
mod testing;

pub use error::{Error, Result};
