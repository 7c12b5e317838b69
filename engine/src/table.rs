//! Sorted tables: immutable files of entries in internal order.

pub mod builder;
pub mod filter;
pub mod properties;
pub mod reader;

pub use builder::{TableBuilder, TableOptions};
pub use filter::key_hash;
pub use properties::TableProperties;
pub use reader::{Table, TableReport, TableVersion};
