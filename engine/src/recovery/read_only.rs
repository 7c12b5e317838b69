//! Opening a store to read it, without a change to a byte: for a folder on media that cannot be
//! written, or one that another process has open.
//!
//! Steps: read the manifest; look for its tables; replay the log into memory as it lies there. No
//! lock is taken and no lock file made; nothing is flushed, removed or repaired; no thread is
//! started. What is seen is one moment, at least everything acknowledged when the open began.
//!
//! Beside a process that writes, files go while they are read: a manifest that was rolled, a
//! segment that was flushed, a table that was merged. Then all of it is read again. Tables are held
//! open from here on as far as [`crate::options::Options::files_open_max`] allows, so that the
//! writer may remove their names.
//!
//! Invariant: the store refuses writes from before anybody has it.

use std::collections::HashMap;
use std::sync::Arc;

use super::{How, OpenProgress, check_options, load_keyspaces, replay};
use crate::fs::LockGuard;
use crate::kernel::Kernel;
use crate::key::{KeyspaceId, Seq};
use crate::manifest::Manifest;
use crate::manifest::log::{FileNumbers, Loaded, load};
use crate::options::Options;
use crate::{Error, Result};

/// Times the folder is read while another process changes it.
const READS_MAX: u32 = 16;

/// Stands for the lock that is not taken.
#[derive(Debug)]
struct NoLock;

impl LockGuard for NoLock {}

/// Opens the store in `options.dir` to read it.
pub(crate) fn open_read_only(
    options: Options,
    progress: &dyn Fn(OpenProgress),
) -> Result<Arc<Kernel>> {
    check_options(&options)?;
    let mut left = READS_MAX;
    loop {
        left -= 1;
        match read(options.clone(), progress) {
            Err(error) if left > 0 && may_have_moved(&error) => {}
            outcome => return outcome,
        }
    }
}

/// Whether a writer that goes on beside us may look like this.
fn may_have_moved(error: &Error) -> bool {
    match error {
        Error::Corrupt { .. } => true,
        Error::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn read(options: Options, progress: &dyn Fn(OpenProgress)) -> Result<Arc<Kernel>> {
    let (fs, dir) = (options.fs.clone(), options.dir.clone());
    progress(OpenProgress::Manifest);
    let Some(loaded) = load(&*fs, &dir, &mut |_| {})? else {
        return Err(Error::NotFound { what: format!("a store in {}", dir.display()) });
    };
    let names = fs.list(&dir).map_err(|e| Error::io(&dir, "list", e))?;
    let Loaded { store_id, ref state, .. } = loaded;
    let numbers = Arc::new(FileNumbers::from(state.next_file));
    let clock = options.clock.clone();
    let manifest = Manifest::new(fs, &dir, clock, numbers.clone(), store_id, Some(loaded));
    let kernel = Kernel::new(options, Box::new(NoLock), manifest, numbers);
    let _ = kernel.fail(Error::OpenedReadOnly);
    let flushed: HashMap<KeyspaceId, Seq> = load_keyspaces(&kernel, &names)?;
    replay(&kernel, store_id, &flushed, How::AsItLies, progress)?;
    hold_tables(&kernel)?;
    Ok(kernel)
}

/// Opens the table files, as many as may be.
fn hold_tables(kernel: &Kernel) -> Result<()> {
    let pictures: Vec<_> = kernel.registry.read().all().map(|k| k.picture()).collect();
    let tables = pictures.iter().flat_map(|picture| picture.version.tables());
    let mut held = tables.take(kernel.options.files_open_max);
    held.try_for_each(|(_, table)| table.table.hold())
}
