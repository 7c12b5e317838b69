//! A file system under schedules: before each call that changes something others may run, so that
//! what happens beside a write or a sync is seen. Reads are one step: the block cache, whose
//! locks the scheduler does not know, holds its place while it reads.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use firndb_engine::fs::sim::SimFs;
use firndb_engine::fs::{File, Fs, LockGuard, Space};
use shuttle::sync::atomic::AtomicBool;

/// The simulated file system, slowed down.
#[derive(Debug, Clone)]
pub struct YieldingFs(pub SimFs);

#[derive(Debug)]
struct YieldingFile(Box<dyn File>);

/// A step of the scheduler.
fn step() {
    AtomicBool::new(false).load(Ordering::SeqCst);
}

impl Fs for YieldingFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        step();
        Ok(Box::new(YieldingFile(self.0.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.0.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        step();
        self.0.rename(from, to)
    }

    fn link(&self, existing: &Path, new: &Path) -> io::Result<()> {
        step();
        self.0.link(existing, new)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        step();
        self.0.remove_file(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        step();
        self.0.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.0.lock(path)
    }

    fn lock_unmarked(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.0.lock_unmarked(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.0.space(path)
    }
}

impl File for YieldingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        step();
        self.0.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        step();
        self.0.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        step();
        self.0.set_len(len)
    }

    fn will_read(&self, offset: u64, len: u64) {
        self.0.will_read(offset, len);
    }
}
