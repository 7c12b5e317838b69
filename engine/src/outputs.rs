//! The tables that a flush or compaction writes: cut, counted, and taken back when the job fails.
//!
//! Steps: [`Outputs`] takes entries (it is the sink of the job's merge) and starts a new table when
//! one is full and the key changes, so that all versions of a user key lie in one table. `finish`
//! gives synced tables; making their names durable and naming them in an edit is the job's.
//!
//! Invariant: files of a job that did not get as far as its edit are removed when it drops; files
//! that an edit may name are never removed here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::Fs;
use crate::hooks::EntrySink;
use crate::key::{FileNumber, Kind, Seq};
use crate::manifest::edit::{DurableTable, SyncedTable};
use crate::manifest::log::FileNumbers;
use crate::manifest::table_path;
use crate::table::{TableBuilder, TableOptions};
use crate::{Error, Result};

/// Where and how a job writes its tables.
#[derive(Debug, Clone)]
pub struct OutputOptions {
    /// Where.
    pub fs: Arc<dyn Fs>,
    /// The folder.
    pub dir: PathBuf,
    /// Numbers of new files.
    pub numbers: Arc<FileNumbers>,
    /// How a table is written.
    pub table: TableOptions,
    /// Bytes at which a table is full.
    pub table_bytes_max: u64,
    /// First bytes that all keys of a table have in common; 0: any keys go together.
    pub window_bytes: usize,
    /// Whether the tables are marked as final.
    pub is_final: bool,
    /// See [`crate::manifest::TableMeta::clean_seq`].
    pub clean_seq: Seq,
}

/// Takes a job's output entries and writes tables.
#[derive(Debug)]
pub struct Outputs {
    options: OutputOptions,
    builder: Option<(FileNumber, TableBuilder)>,
    last_key: Vec<u8>,
    done: Vec<SyncedTable>,
    files: Unnamed,
}

/// Files that no edit names; removed on drop.
#[derive(Debug)]
pub(crate) struct Unnamed {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    numbers: Vec<FileNumber>,
}

impl Unnamed {
    /// No files yet.
    pub fn new(fs: Arc<dyn Fs>, dir: &Path) -> Self {
        Unnamed { fs, dir: dir.to_owned(), numbers: Vec::new() }
    }

    /// A file begins.
    pub fn push(&mut self, number: FileNumber) {
        self.numbers.push(number);
    }

    /// An edit is about to name the files: whatever becomes of it, they stay.
    pub fn keep(&mut self) {
        self.numbers.clear();
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        for number in &self.numbers {
            // Left behind, it is an orphan for the next open.
            let _ = self.fs.remove_file(&table_path(&self.dir, *number));
        }
    }
}

/// Durable tables of a job, on their way into an edit.
#[derive(Debug)]
pub struct DurableOutputs {
    /// The tables in key order.
    pub tables: Vec<DurableTable>,
    files: Unnamed,
}

impl DurableOutputs {
    /// What parts of one job wrote, in key order, as the outputs of one.
    pub fn join(parts: Vec<DurableOutputs>) -> Option<DurableOutputs> {
        let mut parts = parts.into_iter();
        let mut joined = parts.next()?;
        for mut part in parts {
            joined.tables.append(&mut part.tables);
            joined.files.numbers.append(&mut part.files.numbers);
        }
        Some(joined)
    }

    /// An edit is about to name the files: whatever becomes of it, they stay.
    pub fn keep(mut self) -> Vec<DurableTable> {
        self.files.keep();
        self.tables
    }
}

impl Outputs {
    /// No table yet.
    pub fn new(options: OutputOptions) -> Self {
        let files = Unnamed::new(options.fs.clone(), &options.dir);
        let (done, last_key) = (Vec::new(), Vec::new());
        Outputs { options, builder: None, last_key, done, files }
    }

    /// Ends the last table and makes every table durable, names included.
    pub fn finish(mut self) -> Result<DurableOutputs> {
        self.end_table()?;
        let Outputs { options, done, files, .. } = self;
        let tables = SyncedTable::commit(done, &*options.fs, &options.dir)?;
        Ok(DurableOutputs { tables, files })
    }

    /// About how many bytes of memory it holds, for the budget.
    pub fn memory_bytes(&self) -> u64 {
        self.builder.as_ref().map_or(0, |(_, builder)| builder.memory_bytes())
    }

    fn is_other_window(&self, key: &[u8]) -> bool {
        let window = |key: &[u8]| key.len().min(self.options.window_bytes);
        self.last_key[..window(&self.last_key)] != key[..window(key)]
    }

    fn end_table(&mut self) -> Result<()> {
        if let Some((number, builder)) = self.builder.take() {
            let properties = builder.finish()?;
            let OutputOptions { is_final, clean_seq, .. } = self.options;
            self.done.push(SyncedTable::new(number, &properties, is_final, clean_seq));
        }
        Ok(())
    }

    fn begin_table(&mut self) -> Result<(FileNumber, TableBuilder)> {
        let number = self.options.numbers.take();
        let path = table_path(&self.options.dir, number);
        let file = self.options.fs.create(&path).map_err(|e| Error::io(&path, "create", e))?;
        self.files.push(number);
        Ok((number, TableBuilder::new(file, path, number, &self.options.table)))
    }
}

impl EntrySink for Outputs {
    fn put(
        &mut self,
        key: &[u8],
        seq: Seq,
        kind: Kind,
        value: &[u8],
        body: Option<&[u8]>,
    ) -> Result<()> {
        let is_full = |builder: &TableBuilder| {
            builder.bytes() >= self.options.table_bytes_max || self.is_other_window(key)
        };
        if self.builder.as_ref().is_some_and(|(_, builder)| is_full(builder))
            && self.last_key != key
        {
            self.end_table()?;
        }
        if self.builder.is_none() {
            self.builder = Some(self.begin_table()?);
        }
        let (_, builder) = self.builder.as_mut().expect("just begun");
        builder.add(key, seq, kind, value, body)?;
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        Ok(())
    }
}
