//! Backups of databases into a folder, and the way back.
//!
//! A backup is one moment: of one database, or of everything, keys and values included. It is taken
//! while points are written, which wait for nothing but the sealing of memtables. Tables are files
//! that never change, so the next backup copies only those that are new.
//!
//! The folder, its format and the copying are the engine's ([`firndb_engine::backup`]); what is
//! added here is that a group of keyspaces is a database, with its catalog entry.
//!
//! Modules: `take`, `restore`.

mod restore;
mod take;

pub use firndb_engine::backup::{
    BackupRecord, Damage, Listed, Progress, PruneReport, Repository, VerifyReport, Watch, prune,
    verify,
};
pub use restore::{RestoreRequest, RestoreSummary};
pub use take::{BackupRequest, BackupSummary};
