//! Looks into the folder of a store that nobody has open, and changes nothing: for tools.
//!
//! Where recovery and `check` stop at damage, this passes over it and says where it is: tables by
//! block ([`Table::blocks`], [`Table::damages`]), the log by record ([`log`]), the manifest by edit
//! ([`manifest`]), and one key through all of them ([`find()`]). [`Levels`] asks the picker of
//! compactions what it would do.
//!
//! No lock is taken here but by [`hold`]: a caller that reads beside a running store sees files
//! come and go.

mod find;
mod levels;

use std::path::Path;
use std::sync::Arc;

use crate::budget::Budget;
use crate::cache::Cache;
use crate::folder::{FileKind, LOCK};
use crate::fs::{Fs, LockGuard};
use crate::key::FileNumber;
use crate::table::Table;
use crate::{Error, Result};

pub use crate::folder::QUARANTINE;
pub use crate::manifest::inspect as manifest;
pub use crate::wal::inspect as log;
pub use find::{FindReport, Found, Place, find};
pub use levels::{Levels, Shape, Step};

/// Keeps stores from opening `dir` as long as the guard lives, without writing into it. A folder
/// without a lock file was never open; then there is no guard.
///
/// # Errors
/// `Locked` when a store has it open.
pub fn hold(fs: &dyn Fs, dir: &Path) -> Result<Option<Box<dyn LockGuard>>> {
    let path = dir.join(LOCK);
    match fs.lock_unmarked(&path) {
        Ok(lock) => Ok(Some(lock)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(crate::recovery::locked(fs, path, e)),
    }
}

/// Opens the table file at `path`, whatever it is called now: its footer says which number its
/// checksums are bound to. `cache` holds nothing of it but the open file.
///
/// # Errors
/// `Corrupt` when the file is too short for a table, I/O.
pub fn table(fs: &Arc<dyn Fs>, path: &Path) -> Result<Arc<Table>> {
    let written_as = Table::number_in_footer(&**fs, path)?;
    let cache = Cache::with_files(0, 1, Budget::unlimited());
    let number = path.file_name().and_then(|name| FileKind::of(&name.to_string_lossy()).number());
    let number = number.unwrap_or(written_as);
    Table::open_written_as(fs.clone(), path.to_owned(), number, written_as, &cache)
}

/// Numbers of the table files in `dir`, ascending.
pub fn tables(fs: &dyn Fs, dir: &Path) -> Result<Vec<FileNumber>> {
    let names = fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    let mut numbers: Vec<_> = names
        .iter()
        .filter_map(|name| match FileKind::of(name) {
            FileKind::Table(number) => Some(number),
            _ => None,
        })
        .collect();
    numbers.sort();
    Ok(numbers)
}

/// Numbers of the manifests in `dir`, ascending.
pub fn manifests(fs: &dyn Fs, dir: &Path) -> Result<Vec<FileNumber>> {
    let names = fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    let mut numbers: Vec<_> = names
        .iter()
        .filter_map(|name| match FileKind::of(name) {
            FileKind::Manifest(number) => Some(number),
            _ => None,
        })
        .collect();
    numbers.sort();
    Ok(numbers)
}

#[cfg(test)]
mod tests;
