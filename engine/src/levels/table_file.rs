//! A table file: shared by versions, views and jobs; unlinked after the last of them let go.
//!
//! Steps of a file's end: an edit that removes it is made durable; then it is marked obsolete;
//! when its last holder drops it, its number goes to the graveyard; the background unlinks it.
//! Nothing else deletes a table while the store is open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Result;
use crate::cache::Cache;
use crate::fs::Fs;
use crate::key::FileNumber;
use crate::manifest::{CommittedEdit, TableMeta, table_path};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::table::Table;

/// A table file in use.
#[derive(Debug)]
pub struct TableFile {
    /// What the manifest says about it.
    pub meta: TableMeta,
    /// Its reader.
    pub table: Arc<Table>,
    obsolete: AtomicBool,
    graveyard: Arc<Graveyard>,
}

impl TableFile {
    /// The table that `meta` describes. Reads nothing.
    pub fn open(meta: TableMeta, cache: &Cache, graveyard: &Arc<Graveyard>) -> Result<Arc<Self>> {
        let path = table_path(&graveyard.dir, meta.number);
        let (fs, number) = (graveyard.fs.clone(), meta.number);
        let table = Table::open_written_as(fs, path, number, meta.written_as, cache)?;
        let obsolete = AtomicBool::new(false);
        Ok(Arc::new(TableFile { meta, table, obsolete, graveyard: graveyard.clone() }))
    }

    /// Marks the file for deletion. Only after the edit that removes it is durable: whoever calls
    /// this holds the proof.
    pub fn set_obsolete(&self, _edit: &CommittedEdit) {
        self.obsolete.store(true, Ordering::Release);
    }
}

#[cfg(test)]
impl TableFile {
    pub(super) fn graveyard(&self) -> &Arc<Graveyard> {
        &self.graveyard
    }
}

impl Drop for TableFile {
    fn drop(&mut self) {
        if *self.obsolete.get_mut() {
            self.graveyard.bury(self.meta.number);
        }
    }
}

/// Obsolete table files that nobody holds any more.
pub struct Graveyard {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    numbers: Mutex<Vec<FileNumber>>,
    closed: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Graveyard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graveyard").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Graveyard {
    /// An empty graveyard; `wake` is called when there is something to unlink.
    pub fn new(fs: Arc<dyn Fs>, dir: &Path, wake: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        let (numbers, closed) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Graveyard { fs, dir: dir.to_owned(), numbers, closed, wake })
    }

    fn bury(&self, number: FileNumber) {
        self.numbers.lock().push(number);
        (self.wake)();
    }

    /// Whether files wait to be unlinked.
    pub fn is_due(&self) -> bool {
        !self.closed.load(Ordering::Acquire) && !self.numbers.lock().is_empty()
    }

    /// Unlinks what waits. A file that cannot be unlinked stays behind as an orphan for the next
    /// open; no edit names it.
    pub fn clear(&self) -> usize {
        if self.closed.load(Ordering::Acquire) {
            return 0;
        }
        let numbers = std::mem::take(&mut *self.numbers.lock());
        for number in &numbers {
            let _ = self.fs.remove_file(&table_path(&self.dir, *number));
        }
        numbers.len()
    }

    /// Unlinks nothing any more: a write of the manifest failed, and the edit that failed may be
    /// on disk or not. Also at close.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}
