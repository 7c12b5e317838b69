//! Sorted tables: immutable files of entries in internal order, the resting place of data.
//!
//! ```text
//! +--------+--------+---------+--------+-----+--------+-------+------------+--------+
//! | body 0 | body 1 | block 0 | body 2 | ... | filter | index | properties | footer |
//! +--------+--------+---------+--------+-----+--------+-------+------------+--------+
//! ```
//!
//! - A **block** (`block`) holds entries; every block is framed with a compression tag and a
//!   checksum that is bound to the file and the place (`footer`).
//! - A **body** is the outlying part of a split value: raw bytes, uncompressed, just before the
//!   block whose entry names its offset, length and CRC-32. A scan of keys and heads skips it.
//! - The **index** (`index`) is a block that finds data blocks, the **filter** (`filter`)
//!   spares reads of keys that are not there, the **properties** (`properties`) count what was
//!   written.
//! - The **footer** finds these, and carries the file's number, the format version and the magic.
//!
//! All integers are little-endian. Every byte of a file is covered by a checksum.
//!
//! Files: `builder` writes, `reader` opens and gets, `cursor` walks, `check` verifies.

mod ahead;
mod anchors;
mod block;
mod builder;
mod check;
mod cursor;
mod filter;
mod footer;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod fuzz;
mod index;
mod inspect;
mod properties;
mod reader;

pub(crate) use block::common_prefix_len;
pub use builder::{TableBuilder, TableOptions};
pub use check::TableReport;
pub use cursor::{TableCursor, WINDOW_BYTES};
pub use filter::{FilterKind, key_hash};
pub use footer::FORMAT_VERSION;
pub use inspect::{TableBlock, TableDamage, TableEntry, TableLayout, TablePart};
pub use properties::TableProperties;
pub use reader::{Table, TableVersion};

#[cfg(test)]
mod tests;
