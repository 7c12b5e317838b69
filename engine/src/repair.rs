//! Makes the folder of a damaged store open again: rebuilds what can be, sets aside what cannot,
//! says what is lost.
//!
//! Steps:
//! 1. the manifest: the one that CURRENT names, or the newest that can be read; edits behind a
//!    damaged one still count;
//! 2. tables: of a damaged one the whole blocks become a new table in its place; one that is
//!    missing leaves the picture; one that no edit names, because its edit is lost, is set aside;
//!    a keyspace whose edit is lost comes back under another name, `recovered/` and its number;
//! 3. the log: every whole record is kept ([`crate::wal::salvage`]);
//! 4. a new manifest with the picture so far, and CURRENT;
//! 5. damaged tables, copied there before, leave the folder.
//!
//! Invariants:
//! - nothing damaged is removed that was not copied or moved to `quarantine/` before;
//! - stopped between any two steps the folder is as it was, or nearer to its end: a second run goes
//!   on;
//! - nothing is made up. Where a block is lost, keys in it may show an older version or none; the
//!   report says which keys.

mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::BatchOps;
use crate::folder::QUARANTINE;
use crate::inspect::{self, manifest::ManifestReport};
use crate::key::{FileNumber, KeyspaceId, Kind};
use crate::manifest::log::{CURRENT, FileNumbers, Loaded};
use crate::manifest::{Manifest, manifest_name};
use crate::options::Options;
use crate::wal::salvage::{LostSpan, Scope, salvage, set_aside};
use crate::{Error, Result};

/// What a repair did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// What was done, in order.
    pub actions: Vec<Action>,
    /// What is lost.
    pub losses: Vec<Loss>,
    /// Records of the log that were kept; 0 when the log was left as it is.
    pub kept_records: u64,
}

/// Something a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The file it was done to.
    pub file: String,
    /// What was done.
    pub what: String,
}

/// Something that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The file that held it.
    pub file: String,
    /// The keyspace, where it is known.
    pub keyspace: Option<Arc<str>>,
    /// What it is.
    pub what: String,
    /// Keys that may be missing or show an older version: after the first, up to the second.
    pub keys: Option<(Vec<u8>, Vec<u8>)>,
}

impl RepairReport {
    /// Whether there was nothing to do.
    pub fn is_whole(&self) -> bool {
        self.actions.is_empty() && self.losses.is_empty()
    }

    fn did(&mut self, file: impl Into<String>, what: impl Into<String>) {
        self.actions.push(Action { file: file.into(), what: what.into() });
    }

    fn lost(
        &mut self,
        file: impl Into<String>,
        keyspace: Option<&Arc<str>>,
        what: impl Into<String>,
        keys: Option<(Vec<u8>, Vec<u8>)>,
    ) {
        let (file, keyspace, what) = (file.into(), keyspace.cloned(), what.into());
        self.losses.push(Loss { file, keyspace, what, keys });
    }
}

/// Repairs the folder of `options`, of which files, clock and block sizes are used; with `is_dry`
/// says what would be done and changes nothing. A folder that a store would open whole is left as
/// it is.
///
/// # Errors
/// `Locked` when a store has it open; `Corrupt` when no manifest in it says what belongs where;
/// `Version` when it is of a later format; I/O.
pub fn run(options: &Options, is_dry: bool) -> Result<RepairReport> {
    let _lock = inspect::hold(&*options.fs, &options.dir)?;
    let mut repair = Repair::begin(options, is_dry)?;
    repair.tables()?;
    repair.keyspaces()?;
    repair.log()?;
    if repair.is_changed && !is_dry {
        repair.write_manifest()?;
        repair.remove_replaced()?;
    }
    Ok(repair.report)
}

/// A repair under way.
struct Repair<'a> {
    options: &'a Options,
    is_dry: bool,
    report: RepairReport,
    manifest: ManifestReport,
    numbers: Arc<FileNumbers>,
    /// The picture is not what a store would open.
    is_changed: bool,
    /// Edits are lost, so that tables that nothing names may hold data.
    has_lost_edits: bool,
    /// Names of files that are copied to quarantine and leave once the new manifest counts.
    replaced: Vec<String>,
}

impl<'a> Repair<'a> {
    fn begin(options: &'a Options, is_dry: bool) -> Result<Repair<'a>> {
        let mut report = RepairReport::default();
        let (manifest, is_named) = newest_manifest(options, &mut report)?;
        if !manifest.has_snapshot {
            let path = options.dir.join(manifest_name(manifest.number));
            let reason = "the snapshot that begins it is damaged, so that nothing says which \
                          table belongs where";
            return Err(Error::corrupt(&path, 0, reason));
        }
        let name = manifest_name(manifest.number);
        let inside = manifest.damages.iter().filter(|damage| damage.is_inside);
        for damage in inside {
            let what = format!("edits at {}, {} bytes", damage.offset, damage.bytes);
            report.lost(&name, None, what, None);
        }
        let has_lost_edits = !manifest.damages.is_empty() || !manifest.misfits.is_empty();
        let is_changed = !is_named
            || !manifest.misfits.is_empty()
            || manifest.damages.iter().any(|damage| damage.is_inside);
        let seen = seen_number(options)?;
        let next = manifest.state.next_file.0.max(seen + 1);
        let numbers = Arc::new(FileNumbers::from(FileNumber(next)));
        let replaced = Vec::new();
        Ok(Repair {
            options,
            is_dry,
            report,
            manifest,
            numbers,
            is_changed,
            has_lost_edits,
            replaced,
        })
    }

    /// Finds the keyspaces of which only operations and tables are left, for their edits are lost.
    fn keyspaces(&mut self) -> Result<()> {
        if !self.has_lost_edits {
            return Ok(());
        }
        let name = manifest_name(self.manifest.number);
        for record in self.manifest.state.keyspaces.values() {
            if record.name.starts_with("recovered/") {
                let what = "the keyspace's own name";
                self.report.lost(&name, Some(&record.name), what, None);
            }
        }
        for (id, (count, has_rows)) in self.unknown_in_log()? {
            self.is_changed = true;
            self.manifest.recover_keyspace(id);
            let keyspace = self.manifest.state.keyspaces.get(&id).map(|of| of.name.clone());
            self.report.lost(&name, keyspace.as_ref(), "the keyspace's own name", None);
            if has_rows {
                // Only the keyspace's own memtable understands them, and which one that is goes by
                // the name. Dropped, its operations are passed over.
                self.manifest.state.keyspaces.remove(&id);
                let what = format!("{count} operations in the log");
                self.report.lost(&name, keyspace.as_ref(), what, None);
                if !self.is_dry {
                    let segments = inspect::log::segments(&*self.options.fs, &self.options.dir)?;
                    segments
                        .into_iter()
                        .try_for_each(|s| self.keep_copy(&crate::wal::file_name(s)))?;
                }
            }
        }
        Ok(())
    }

    /// Keyspaces that the log speaks of and no edit: operations, and whether there are rows among
    /// them.
    fn unknown_in_log(&self) -> Result<BTreeMap<KeyspaceId, (u64, bool)>> {
        let (known, fs, dir) = (&self.manifest, &*self.options.fs, &self.options.dir);
        let mut unknown = BTreeMap::new();
        let bounds = known.state.log_bounds();
        inspect::log::report(fs, dir, Some(known.store_id), bounds, &mut |record| {
            let Ok(ops) = BatchOps::new(record.body) else { return Ok(()) };
            for (id, op) in ops.filter_map(std::result::Result::ok) {
                let is_known = known.state.keyspaces.contains_key(&id);
                if id >= known.made_from && !is_known && !known.dropped.contains(&id) {
                    let (count, has_rows) = unknown.entry(id).or_insert((0, false));
                    *count += 1;
                    *has_rows |= op.kind == Kind::Append;
                }
            }
            Ok(())
        })?;
        Ok(unknown)
    }

    /// Keeps what is whole of the log.
    fn log(&mut self) -> Result<()> {
        let (options, state) = (self.options, &self.manifest.state);
        let (fs, dir) = (&*options.fs, &options.dir);
        let number = self.numbers.take();
        let store_id = self.manifest.store_id;
        let done = salvage(fs, dir, store_id, state.log_bounds(), number, Scope::All, self.is_dry)?;
        if done.is_nothing() {
            return Ok(());
        }
        self.report.kept_records = done.records;
        for LostSpan { segment, offset, bytes, reason, seq_before, seq_after } in done.lost {
            let between = match (seq_before, seq_after) {
                (Some(before), Some(after)) => format!(" between records {before} and {after}"),
                (Some(before), None) => format!(" behind record {before}"),
                (None, Some(after)) => format!(" before record {after}"),
                (None, None) => String::new(),
            };
            let what = format!("{bytes} bytes at {offset}{between}: {reason}");
            self.report.lost(crate::wal::file_name(segment), None, what, None);
        }
        for segment in done.set_aside {
            self.report.did(crate::wal::file_name(segment), "set aside");
        }
        if let Some(segment) = done.segment {
            let what = format!("written, with {} records of those set aside", done.records);
            self.report.did(crate::wal::file_name(segment), what);
        }
        Ok(())
    }

    /// Writes the picture to a new manifest and moves CURRENT to it.
    fn write_manifest(&mut self) -> Result<()> {
        let (fs, dir) = (self.options.fs.clone(), &self.options.dir);
        let old = self.manifest.number;
        self.keep_copy(&manifest_name(old))?;
        let loaded = Loaded {
            store_id: self.manifest.store_id,
            number: old,
            state: self.manifest.state.clone(),
            torn_at_bytes: None,
            bytes: self.manifest.bytes,
        };
        let (clock, numbers) = (self.options.clock.clone(), self.numbers.clone());
        let mut manifest = Manifest::new(fs, dir, clock, numbers, loaded.store_id, Some(loaded));
        manifest.begin()?;
        manifest.close()?;
        if let Some(number) = manifest.number() {
            self.report.did(manifest_name(number), "written");
        }
        Ok(())
    }

    /// Copies a file to quarantine, by a link where that can be.
    fn keep_copy(&self, name: &str) -> Result<()> {
        let (fs, dir) = (&*self.options.fs, &self.options.dir);
        let quarantine = dir.join(QUARANTINE);
        fs.create_dir_all(&quarantine).map_err(|e| Error::io(&quarantine, "create", e))?;
        let (from, to) = (dir.join(name), quarantine.join(name));
        if fs.exists(&to).map_err(|e| Error::io(&to, "look for", e))? {
            return Ok(()); // by a run that was stopped; numbers of files are never reused
        }
        if fs.link(&from, &to).is_err() {
            crate::fs::copy::copy(fs, &from, &to, &mut |_| Ok(()))?;
        }
        fs.sync_dir(&quarantine).map_err(|e| Error::io(&quarantine, "sync", e))
    }

    /// Removes the tables that the new manifest does not name any more; they are in quarantine.
    fn remove_replaced(&mut self) -> Result<()> {
        let (fs, dir) = (&*self.options.fs, &self.options.dir);
        for name in &self.replaced {
            let path = dir.join(name);
            fs.remove_file(&path).map_err(|e| Error::io(&path, "remove", e))?;
        }
        fs.sync_dir(dir).map_err(|e| Error::io(dir, "sync", e))
    }

    /// Moves a file that nothing names to quarantine.
    fn set_aside(&mut self, name: &str) -> Result<()> {
        self.report.did(name, "set aside");
        if self.is_dry {
            return Ok(());
        }
        set_aside(&*self.options.fs, &self.options.dir, [name.to_owned()])
    }
}

/// The manifest to go by, and whether CURRENT names it.
fn newest_manifest(options: &Options, report: &mut RepairReport) -> Result<(ManifestReport, bool)> {
    let (fs, dir) = (&*options.fs, &options.dir);
    let named = inspect::manifest::current(fs, dir);
    let read = |number| inspect::manifest::read(fs, dir, number, &mut |_| {});
    let refused = match named.and_then(read) {
        Ok(manifest) => return Ok((manifest, true)),
        Err(error @ (Error::Version { .. } | Error::Locked { .. })) => return Err(error),
        Err(error) => error,
    };
    for number in inspect::manifests(fs, dir)?.into_iter().rev() {
        if let Ok(manifest) = read(number)
            && manifest.has_snapshot
        {
            let what = format!("gone by, for {refused}");
            report.did(manifest_name(number), what);
            return Ok((manifest, false));
        }
    }
    match refused {
        error @ Error::Corrupt { .. } => Err(error),
        error => Err(Error::corrupt(&dir.join(CURRENT), 0, format!("no manifest: {error}"))),
    }
}

/// Largest number of a file in the folder.
fn seen_number(options: &Options) -> Result<u64> {
    let (fs, dir) = (&*options.fs, &options.dir);
    let names = fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    let numbers = names.iter().filter_map(|name| crate::folder::FileKind::of(name).number());
    Ok(numbers.map(|number| number.0).max().unwrap_or(0))
}

#[cfg(test)]
mod tests;
