//! Writers of answers: straight from columns to bytes, row after row, in pieces of about 64 KiB.
//!
//! ```text
//! answer -> json | csv -> [indent] -> [gzip] -> pieces      output.rs takes the last three steps
//! ```

pub mod cells;
pub mod csv;
pub mod indent;
pub mod json;
pub mod number;
pub mod output;
pub mod time;

pub use output::{Closed, Output};
pub use time::{Epoch, TimeFormat};
