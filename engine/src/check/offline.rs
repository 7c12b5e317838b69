//! Verifies a directory that no store has open, and changes no byte of it.
//!
//! Steps: the lock is held without a mark in its file; the manifest is read; every table that it
//! names is read and compared; the log is read, and every operation in it must be one that its
//! keyspace takes. Nothing is replayed, mended, rotated or removed. What a killed process leaves (a
//! torn last record, files that nothing names) is no finding: the next open knows what to do.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::{CheckReport, check_table};
use crate::batch::BatchOps;
use crate::cache::Cache;
use crate::folder::FileKind;
use crate::hooks::Hooks;
use crate::key::KeyspaceId;
use crate::levels::{Graveyard, TableFile, Version};
use crate::manifest::ManifestState;
use crate::manifest::log::{CURRENT, Loaded, load};
use crate::options::Options;
use crate::wal::{self, ReplayOptions};
use crate::{Error, Result};

/// Checks the directory of `options`; `deep` reads every byte. `progress` gets tables done and
/// tables in all.
///
/// # Errors
/// `Locked` when a store has it open, `Corrupt` when there is no manifest to go by, I/O.
pub fn run(options: &Options, deep: bool, progress: &dyn Fn(u64, u64)) -> Result<CheckReport> {
    let (fs, dir) = (&options.fs, &options.dir);
    let _lock = crate::inspect::hold(&**fs, dir)?;
    let mut report = CheckReport::default();
    let names = fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    for name in names.iter().filter(|name| FileKind::of(name) == FileKind::Other) {
        report.found(name, "is not a file of the store");
    }
    let Some(loaded) = load(&**fs, dir, &mut |_| {})? else {
        return Err(Error::corrupt(&dir.join(CURRENT), 0, "there is no store here"));
    };
    report.bytes += loaded.bytes;
    check_tables(options, &loaded.state, &names, deep, progress, &mut report)?;
    check_log(options, &loaded, &mut report);
    Ok(report)
}

fn check_tables(
    options: &Options,
    state: &ManifestState,
    names: &[String],
    deep: bool,
    progress: &dyn Fn(u64, u64),
    report: &mut CheckReport,
) -> Result<()> {
    let is_there: HashSet<_> = names.iter().map(|name| FileKind::of(name)).collect();
    let cache =
        Cache::with_files(options.cache_bytes, options.files_open_max, options.budget.clone());
    let graveyard = Graveyard::new(options.fs.clone(), &options.dir, Box::new(|| {}));
    let total = state.keyspaces.values().map(|keyspace| keyspace.tables.len() as u64).sum();
    for keyspace in state.keyspaces.values() {
        let mut added = Vec::with_capacity(keyspace.tables.len());
        for (place, meta) in keyspace.tables.values() {
            let table = TableFile::open(meta.clone(), &cache, &graveyard)?;
            if is_there.contains(&FileKind::Table(meta.number)) {
                check_table(&table, &keyspace.name, deep, report);
            } else {
                let file = format!("{:06}.tbl", meta.number.0);
                report
                    .found(file, format!("is missing, the manifest names it ({})", keyspace.name));
            }
            added.push((*place, table));
            progress(report.tables, total);
        }
        if let Err(reason) = Version::default().edited(&[], &added) {
            report.found(CURRENT, format!("tables of {}: {reason}", keyspace.name));
        }
    }
    Ok(())
}

/// The hooks of keyspaces, made as they are met.
struct Known<'a> {
    options: &'a Options,
    state: &'a ManifestState,
    hooks: HashMap<KeyspaceId, Arc<dyn Hooks>>,
}

impl Known<'_> {
    /// What is wrong with a record, if anything.
    fn damage(&mut self, body: &[u8]) -> Option<String> {
        let ops = match BatchOps::new(body) {
            Ok(ops) => ops,
            Err(error) => return Some(error.to_string()),
        };
        for op in ops {
            let (id, op) = match op {
                Ok(op) => op,
                Err(error) => return Some(error.to_string()),
            };
            let Some(keyspace) = self.state.keyspaces.get(&id) else {
                if id >= self.state.next_keyspace {
                    return Some(format!("keyspace {} was never made", id.0));
                }
                continue; // dropped since
            };
            let make = || self.options.hooks.hooks(&keyspace.name);
            if let Err(error) = self.hooks.entry(id).or_insert_with(make).validate(&op) {
                return Some(error.to_string());
            }
        }
        None
    }
}

fn check_log(options: &Options, loaded: &Loaded, report: &mut CheckReport) {
    let replay = ReplayOptions {
        store_id: loaded.store_id,
        bounds: loaded.state.log_bounds(),
        record_bytes_max: wal::RECORD_BYTES_MAX,
    };
    let mut known = Known { options, state: &loaded.state, hooks: HashMap::new() };
    let mut damaged = BTreeMap::new();
    let mut records = 0;
    let replayed = wal::replay(
        &*options.fs,
        &options.dir,
        &replay,
        &mut |segment, seq, body| {
            records += 1;
            if let Some(what) = known.damage(body) {
                damaged.insert((segment, seq), what);
            }
            Ok(())
        },
        &|_, _| {},
    );
    report.records += records;
    for ((segment, seq), what) in damaged {
        report.found(wal::file_name(segment), format!("record {seq}: {what}"));
    }
    match replayed {
        Ok(replay) => {
            report.segments += replay.segments.len() as u64;
            report.bytes += replay.bytes;
        }
        Err(error) => report.found("log", error),
    }
}

#[cfg(test)]
mod tests;
