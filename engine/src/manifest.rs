//! The manifest: which keyspaces and tables there are. A log of edits, each with its time and its
//! reason.
//!
//! ```text
//! MANIFEST-NNNNNN := header | record*
//!
//! header, 40 bytes
//! +-----------+-------------+----------------+------------+---------+
//! | magic 8 B | version u32 | store_id u128  | number u64 | crc u32 |   crc: all before it
//! +-----------+-------------+----------------+------------+---------+
//!
//! record
//! +---------+---------+---------+------+
//! | crc u32 | len u32 | ser u32 | edit |    ser: counts records from 0
//! +---------+---------+---------+------+    crc: store id, number, len, ser, edit
//!
//! CURRENT := "MANIFEST-NNNNNN\n"
//! ```
//!
//! Record 0 is a snapshot: one edit that makes the whole picture. When the edits behind it have
//! grown to twice its size (1 MiB at least), and at every open, a new file with a new snapshot is
//! written, synced, and CURRENT is moved to it.
//!
//! Order rules, held by types where they can be:
//! - an edit can name only a [`edit::DurableTable`], whose bytes and name were synced (O1);
//! - CURRENT moves only to a synced manifest, and the move is synced before it counts (O2);
//! - files are deleted only against a [`CommittedEdit`] (O4);
//! - after a failed write nothing is written and nothing deleted until the next open (O7);
//! - file numbers are never used twice: the next one is in every snapshot (O6).
//!
//! Reading back: record 0 was synced before CURRENT named the file, so damage in it is damage. A
//! bad record behind it is the torn tail of the last edit if no good record follows; each record
//! is synced before the next is written. Behind the last one stands an empty edit, so that damage
//! in what was once acknowledged is told from a torn tail: it is written when the edit before it is
//! on disk, is not synced, and the next edit takes its place; a clean close syncs one. A crash of
//! the machine may take it. Should damage not be told then, files that the lost edit named or
//! removed are missed when the store opens.

pub mod edit;
pub mod inspect;
pub mod log;
pub mod place;
pub mod state;

pub use edit::{CommittedEdit, DurableTable, Edit};
pub use log::{Manifest, manifest_name};
pub use place::{LEVEL_LAST, LEVELS, Place, TableMeta, table_path};
pub use state::{KeyspaceRecord, ManifestState};
