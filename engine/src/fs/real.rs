//! The operating system's files: the one place that touches `std::fs`.
//!
//! What is more than a thin call:
//! - `create_dir_all` syncs the folder above each folder it makes, so that a new folder is there
//!   after a power cut;
//! - `sync` is `fdatasync`: bytes and length, not the modification time (half the journal work);
//! - `lock` is `flock` on a file that stays; the lock goes with the file handle, also when the
//!   process is killed, so a left-over file means nothing.
#![expect(clippy::disallowed_methods, reason = "this is the door that files come in through")]

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{File, Fs, LockGuard, Space};

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

impl Fs for RealFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(RealFile(fs::File::open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, existing: &Path, new: &Path) -> io::Result<()> {
        fs::hard_link(existing, new)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        let parent = super::parent(path);
        self.create_dir_all(&parent)?;
        match fs::create_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            other => other?,
        }
        self.sync_dir(&parent)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not UTF-8 is not one of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // The folder of a bare file name is the working folder.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        fs::File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        try_lock(&file)?;
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Box::new(RealLock { _file: file }))
    }

    fn lock_unmarked(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let file = fs::File::open(path)?;
        try_lock(&file)?;
        Ok(Box::new(RealLock { _file: file }))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}

fn try_lock(file: &fs::File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        fs::TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        fs::TryLockError::Error(e) => e,
    })
}

#[derive(Debug)]
struct RealLock {
    /// Closing it gives the lock back.
    _file: fs::File,
}

impl LockGuard for RealLock {}

#[derive(Debug)]
struct RealFile(fs::File);

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "a hint"))]
    fn will_read(&self, offset: u64, len: u64) {
        #[cfg(target_os = "linux")]
        {
            // A hint: what it answers changes nothing.
            let len = std::num::NonZeroU64::new(len);
            let _ = rustix::fs::fadvise(&self.0, offset, len, rustix::fs::Advice::WillNeed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{read_all, write_all_at};

    #[test]
    fn files_and_names() {
        let dir = tempfile::tempdir().unwrap();
        let (fs, deep) = (RealFs, dir.path().join("a/b"));
        fs.create_dir_all(&deep).unwrap();
        fs.create_dir_all(&deep).unwrap();
        let (one, two, three) = (deep.join("one"), deep.join("two"), deep.join("three"));
        let file = fs.create(&one).unwrap();
        assert_eq!(fs.create(&one).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(file.is_empty().unwrap());
        write_all_at(&*file, b"hello", 3).unwrap();
        file.sync().unwrap();
        file.set_len(10).unwrap();
        file.will_read(0, 10);
        assert_eq!(read_all(&fs, &one).unwrap(), b"\0\0\0hello\0\0");
        fs.link(&one, &two).unwrap();
        fs.rename(&one, &three).unwrap();
        fs.sync_dir(&deep).unwrap();
        let mut names = fs.list(&deep).unwrap();
        names.sort();
        assert_eq!(names, ["three", "two"]);
        assert_eq!(fs.open(&one).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!fs.exists(&one).unwrap() && fs.exists(&two).unwrap());
        fs.remove_file(&two).unwrap();
        fs.remove_file(&three).unwrap();
        fs.remove_dir(&deep).unwrap();
        let space = fs.space(dir.path()).unwrap();
        assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0);
    }

    #[test]
    fn a_lock_has_one_holder_and_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let held = RealFs.lock(&path).unwrap();
        assert_eq!(RealFs.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let text = String::from_utf8(read_all(&RealFs, &path).unwrap()).unwrap();
        assert_eq!(text.trim(), std::process::id().to_string());
        assert_eq!(RealFs.lock_unmarked(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        let unmarked = RealFs.lock_unmarked(&path).unwrap();
        assert_eq!(RealFs.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(unmarked);
        drop(RealFs.lock(&path).unwrap());
        let missing = RealFs.lock_unmarked(&dir.path().join("none"));
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
