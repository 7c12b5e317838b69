//! The files of the log that are being written: the last segment, and those before it that are not
//! on disk yet.
//!
//! ```text
//! 000004.log sealed | 000007.log sealed | 000009.log written
//!   earlier: synced with the first sync that is asked for, or removed before it
//! ```
//!
//! A log that nobody syncs is written out by the operating system when it sees fit, and what is
//! removed before that never reaches the disk: the tables that hold the same do.
//!
//! Invariant: a segment's header and its name are on disk before a record of it is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::WalMetrics;
use super::segment::file_name;
use super::tail::Opening;
use crate::clock::Clock;
use crate::fs::{File, Fs, write_all_at};
use crate::key::FileNumber;
use crate::sync::Mutex;
use crate::{Error, Result};

/// Bytes of one write when a segment is filled with zeros.
const FILL_BYTES: usize = 1 << 20;

/// A segment's file.
#[derive(Debug)]
pub(super) struct Output {
    number: FileNumber,
    file: Box<dyn File>,
    path: PathBuf,
    has_unsynced: bool,
}

/// Segments before the one that is written.
#[derive(Debug)]
struct Earlier {
    /// Those that are not on disk, oldest first.
    unsynced: Vec<Output>,
    /// Those before it are not needed.
    needed_from: FileNumber,
}

/// Where segments are made and synced.
pub(super) struct Files {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    segment_bytes: u64,
    clock: Arc<dyn Clock>,
    metrics: Arc<WalMetrics>,
    earlier: Mutex<Earlier>,
}

impl Files {
    pub(super) fn new(
        fs: Arc<dyn Fs>,
        dir: &Path,
        segment_bytes: u64,
        clock: Arc<dyn Clock>,
        metrics: Arc<WalMetrics>,
    ) -> Files {
        let earlier = Earlier { unsynced: Vec::new(), needed_from: FileNumber(0) };
        Files {
            fs,
            dir: dir.to_owned(),
            segment_bytes,
            clock,
            metrics,
            earlier: Mutex::new(earlier),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Puts a segment to use: its name and its header are on disk when this returns.
    pub(super) fn begin(&self, opening: Opening) -> Result<Output> {
        let Opening { number, header, prepared } = opening;
        let path = self.path(number);
        let is_prepared = prepared.is_some();
        let file = match prepared {
            Some(file) => file,
            None => self.create_sparse(&path)?,
        };
        let mut output = Output { number, file, path, has_unsynced: false };
        output.write(&header, 0)?;
        self.sync_one(&mut output)?;
        if !is_prepared {
            self.fs.sync_dir(&self.dir).map_err(|e| Error::io(&self.dir, "sync", e))?;
        }
        self.metrics.segments_created.fetch_add(1, Ordering::Relaxed);
        self.metrics.segments_prepared.fetch_add(u64::from(is_prepared), Ordering::Relaxed);
        Ok(output)
    }

    /// Keeps a sealed segment until it is synced or not needed any more.
    pub(super) fn leave(&self, output: Output) {
        let mut earlier = self.earlier.lock();
        if output.has_unsynced && output.number >= earlier.needed_from {
            earlier.unsynced.push(output);
        }
    }

    /// Syncs the segments before `last`, then `last`.
    pub(super) fn sync(&self, last: &mut Output) -> Result<()> {
        let unsynced = std::mem::take(&mut self.earlier.lock().unsynced);
        for mut output in unsynced {
            self.sync_one(&mut output)?;
        }
        self.sync_one(last)
    }

    fn sync_one(&self, output: &mut Output) -> Result<()> {
        if output.has_unsynced {
            let start = self.clock.monotonic_ns();
            output.file.sync().map_err(|e| Error::io(&output.path, "sync", e))?;
            self.metrics.sync_ns.record(self.clock.monotonic_ns().saturating_sub(start));
            output.has_unsynced = false;
        }
        Ok(())
    }

    /// Segments before `needed_from` are about to be removed: they are not synced any more.
    pub(super) fn forget_before(&self, needed_from: FileNumber) {
        let mut earlier = self.earlier.lock();
        earlier.needed_from = earlier.needed_from.max(needed_from);
        earlier.unsynced.retain(|output| output.number >= needed_from);
    }

    /// Removes a segment that nobody needs; one that is not there is no error.
    pub(super) fn remove(&self, number: FileNumber) -> Result<()> {
        let path = self.path(number);
        match self.fs.remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(&path, "remove", e))
            }
            _ => Ok(()),
        }
    }

    /// A new file of `segment_bytes` zeros that take no room yet: still better than one that grows
    /// with every write, whose length each sync must record.
    fn create_sparse(&self, path: &Path) -> Result<Box<dyn File>> {
        let file = self.fs.create(path).map_err(|e| Error::io(path, "create", e))?;
        file.set_len(self.segment_bytes).map_err(|e| Error::io(path, "set length of", e))?;
        Ok(file)
    }

    /// A new file of `segment_bytes` zeros that are on disk.
    pub(super) fn create_filled(&self, number: FileNumber) -> Result<Box<dyn File>> {
        let path = self.path(number);
        let file = self.fs.create(&path).map_err(|e| Error::io(&path, "create", e))?;
        let zeros = vec![0; FILL_BYTES.min(self.segment_bytes as usize)];
        let mut offset = 0;
        while offset < self.segment_bytes {
            let count = (self.segment_bytes - offset).min(zeros.len() as u64);
            write_all_at(&*file, &zeros[..count as usize], offset)
                .map_err(|e| Error::io(&path, "write", e))?;
            offset += count;
        }
        file.sync().map_err(|e| Error::io(&path, "sync", e))?;
        self.fs.sync_dir(&self.dir).map_err(|e| Error::io(&self.dir, "sync", e))?;
        Ok(file)
    }

    fn path(&self, number: FileNumber) -> PathBuf {
        self.dir.join(file_name(number))
    }
}

impl Output {
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        self.has_unsynced = true;
        write_all_at(&*self.file, bytes, offset).map_err(|e| Error::io(&self.path, "write", e))
    }

    /// Cuts the file. Tidying that may be left undone.
    pub(super) fn cut(&self, bytes: u64) {
        let _ = self.file.set_len(bytes);
    }
}
