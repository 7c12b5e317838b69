//! A log that is damaged inside, opened all the same, where the options say so.
//!
//! Steps: the open was refused, and let go of everything; the folder is locked, its manifest read,
//! the log salvaged ([`salvage`]): what is kept of it goes to a new segment, the old ones to
//! `quarantine/`. Then the store is opened as any other.
//!
//! Invariants: only damage of the log is mended here; what is set aside stays as it was; a crash
//! between any two steps is as one in `firndb wal repair`.

use std::path::Path;

use super::lock;
use crate::folder::FileKind;
use crate::key::FileNumber;
use crate::manifest::log::load;
use crate::options::Options;
use crate::wal::salvage::{Salvage, salvage};
use crate::{Error, Result};

/// Mends the log where `error` is damage of it and the options ask for that; else the error again.
pub(super) fn mend(options: &Options, error: Error) -> Result<Salvage> {
    let Some(scope) = options.wal_on_corruption.scope() else { return Err(error) };
    if !matches!(&error, Error::Corrupt { path, .. } if is_log(path)) {
        return Err(error);
    }
    let (fs, dir) = (&*options.fs, &*options.dir);
    let _lock = lock(fs, dir)?;
    let Some(manifest) = load(fs, dir, &mut |_| {})? else { return Err(error) };
    let names = fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    let seen = names.iter().filter_map(|name| FileKind::of(name).number()).max();
    let seen = seen.map_or(FileNumber(1), |number| FileNumber(number.0 + 1));
    let number = manifest.state.next_file.max(seen);
    let bounds = manifest.state.log_bounds();
    let done = salvage(fs, dir, manifest.store_id, bounds, number, scope, false)?;
    // Whole records that make no sense are for people to look at.
    if done.is_nothing() { Err(error) } else { Ok(done) }
}

fn is_log(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| matches!(FileKind::of(name), FileKind::Log(_)))
}
