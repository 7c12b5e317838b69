//! Files copied, linked and read from end to end in bounded memory.
//!
//! Invariants: a copy is synced before the call returns, its name is not (that is the caller's, for
//! many at once); a copy that failed leaves no file behind.

use std::path::Path;

use super::{File, Fs, write_all_at};
use crate::{Error, Result};

/// Bytes moved at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// What sees the bytes of a file in order; its error ends the walk.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// Reads all of the file at `path`; gives its length.
pub fn read_through(fs: &dyn Fs, path: &Path, visit: Visit<'_>) -> Result<u64> {
    let file = fs.open(path).map_err(|e| Error::io(path, "open", e))?;
    let len = file.len().map_err(|e| Error::io(path, "stat", e))?;
    file.will_read(0, len);
    let mut buffer = vec![0; BUFFER_BYTES.min(len as usize + 1)];
    let mut offset = 0;
    loop {
        let count = match file.read_at(&mut buffer, offset) {
            Ok(0) => return Ok(offset),
            Ok(count) => count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::io(path, "read", e)),
        };
        visit(&buffer[..count])?;
        offset += count as u64;
    }
}

/// Copies the file `from` to the new file `to` and syncs it; `visit` sees what is copied.
pub fn copy(fs: &dyn Fs, from: &Path, to: &Path, visit: Visit<'_>) -> Result<u64> {
    let file = fs.create(to).map_err(|e| Error::io(to, "create", e))?;
    copy_into(fs, from, to, &*file, visit).inspect_err(|_| {
        // Left behind, it has a name that nothing names.
        let _ = fs.remove_file(to);
    })
}

fn copy_into(
    fs: &dyn Fs,
    from: &Path,
    to: &Path,
    file: &dyn File,
    visit: Visit<'_>,
) -> Result<u64> {
    let mut offset = 0;
    let len = read_through(fs, from, &mut |bytes| {
        visit(bytes)?;
        write_all_at(file, bytes, offset).map_err(|e| Error::io(to, "write", e))?;
        offset += bytes.len() as u64;
        Ok(())
    })?;
    file.sync().map_err(|e| Error::io(to, "sync", e))?;
    Ok(len)
}

/// Gives the file `from`, whose bytes are durable, the second name `to`; copies it where the file
/// system cannot: across disks, or without links.
pub fn link_or_copy(fs: &dyn Fs, from: &Path, to: &Path) -> Result<()> {
    if fs.link(from, to).is_ok() {
        return Ok(());
    }
    copy(fs, from, to, &mut |_| Ok(())).map(drop)
}
