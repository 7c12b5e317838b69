//! The index of series: from measurements and tags to series and back.
//!
//! Modules in order; each may use those above it: `postings` (sets of series as values), `entries`
//! (keys of the keyspace), `dropped` (series that are gone), `cache` (series by their text),
//! `series` (reading the index), `matcher` (conditions on tags).

pub mod cache;
pub mod dropped;
pub mod entries;
pub mod matcher;
pub mod postings;
pub mod series;

pub use cache::SeriesCache;
pub use dropped::Dropped;
pub use matcher::{MeasurementFilter, NameFilter, TagPredicate};
pub use series::SeriesIndex;
