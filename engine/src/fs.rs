//! The seam to the operating system's files: exactly what a durable store needs of it.
//!
//! Only [`real`] touches `std::fs`; the simulated file system behind feature `testing` stands in
//! for it in every crash and fault test. Promises every implementation keeps:
//! - `create` fails when the name exists;
//! - bytes are durable after `File::sync`, names after `Fs::sync_dir` of their folder, not before;
//! - reads and writes may be short and may be interrupted: use the `*_exact`/`*_all` helpers.

pub mod copy;
pub mod real;
#[cfg(any(test, feature = "testing"))]
pub mod sim;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

/// A file system.
pub trait Fs: Send + Sync + Debug {
    /// Creates a file for reading and writing. Fails when `path` exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Moves a file; an existing target is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name.
    fn link(&self, existing: &Path, new: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Creates a folder and the folders above it; no error when it exists. What it creates is
    /// durable when it returns.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Names in a folder, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Whether `path` exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes an exclusive lock for the life of the guard; `WouldBlock` when another holds it.
    /// The holder's process id is written into the file.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;
    /// As [`Fs::lock`], of a file that exists, and without writing into it.
    fn lock_unmarked(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;
    /// Free and total bytes of the file system that holds `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// Free and total bytes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes an unprivileged writer may still use.
    pub free_bytes: u64,
    /// Size in bytes.
    pub total_bytes: u64,
}

/// A held lock.
pub trait LockGuard: Send + Sync + Debug {}

/// An open file. All methods take `&self`: callers see to it that writers do not overlap.
pub trait File: Send + Sync + Debug {
    /// Reads up to `buf.len()` bytes at `offset`; 0 at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes up to `buf.len()` bytes at `offset`.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes the bytes (and the length) durable. After an error the state of the unsynced bytes
    /// is unknown and stays so: never retry.
    fn sync(&self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Sets the length; new bytes read as zero.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Hints that the bytes from `offset` on, `len` of them, will soon be read in order.
    fn will_read(&self, offset: u64, len: u64);
}

/// Reads exactly `buf.len()` bytes at `offset`; `UnexpectedEof` when the file ends first.
pub fn read_exact_at(file: &dyn File, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.read_at(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buf = &mut buf[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Writes all of `buf` at `offset`.
pub fn write_all_at(file: &dyn File, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.write_at(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                buf = &buf[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Reads a whole file.
pub fn read_all(fs: &dyn Fs, path: &Path) -> io::Result<Vec<u8>> {
    let file = fs.open(path)?;
    let mut bytes = vec![0; file.len()? as usize];
    read_exact_at(&*file, &mut bytes, 0)?;
    Ok(bytes)
}

/// The folder of `path`, for `sync_dir`.
pub fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}
