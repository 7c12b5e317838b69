//! The index of series: from measurements and tags to series and back.
//!
//! Modules in order; each may use those above it: `matcher` (what to look for).

pub mod matcher;

pub use matcher::{MeasurementFilter, NameFilter, TagPredicate};
