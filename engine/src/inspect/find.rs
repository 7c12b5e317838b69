//! Every version of one key: in the log, and in the tables that the manifest names. Range deletes
//! that cover it count as versions.
//!
//! Steps: the manifest gives keyspaces and tables; of the log every operation is looked at; of a
//! table only the blocks that can hold the key, and none where its range does not cover it. What is
//! damaged on the way is told and passed over.

use std::path::Path;
use std::sync::Arc;

use super::{log, manifest};
use crate::Result;
use crate::batch::BatchOps;
use crate::budget::Budget;
use crate::cache::Cache;
use crate::fs::Fs;
use crate::key::{KeyspaceId, Kind, Seq};
use crate::manifest::{TableMeta, manifest_name, table_path};
use crate::range_delete::RangeDelete;
use crate::table::Table;
use crate::wal::file_name;

/// Where a version lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a record of the log.
    Log {
        /// Whether its memtable has become a table: then the record counts no more.
        is_flushed: bool,
    },
    /// In the manifest: a range delete that is in no memtable any more.
    Manifest,
    /// In a table.
    Table {
        /// The level it lies in.
        level: u8,
    },
}

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Sequence number.
    pub seq: Seq,
    /// Keyspace.
    pub keyspace: KeyspaceId,
    /// Name of the keyspace; empty when the manifest knows it no more.
    pub keyspace_name: Arc<str>,
    /// What the version says.
    pub kind: Kind,
    /// Value, operand, or head of a split value; of a range delete the key that it ends before.
    pub value: Vec<u8>,
    /// Bytes of the body of a split value.
    pub body_bytes: u64,
    /// Where it lies.
    pub place: Place,
    /// Name of the file.
    pub file: String,
    /// Where in the file its record or block starts.
    pub offset: u64,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindReport {
    /// Versions, newest first.
    pub versions: Vec<Found>,
    /// Files that were read.
    pub files: u64,
    /// Damage passed over: file, and what is wrong.
    pub damages: Vec<(String, String)>,
}

/// Finds every version of `key` in the folder `dir`; with `keyspace`, only of the one so named.
///
/// # Errors
/// `Corrupt` when there is no manifest to go by, I/O.
pub fn find(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    key: &[u8],
    keyspace: Option<&str>,
) -> Result<FindReport> {
    let known = manifest::read(&**fs, dir, manifest::current(&**fs, dir)?, &mut |_| {})?;
    let mut report = FindReport { files: 1, ..FindReport::default() };
    for damage in &known.damages {
        let what = format!("{} at {}", damage.reason, damage.offset);
        report.damages.push((manifest_name(known.number), what));
    }
    let is_meant = |name: &str| keyspace.is_none_or(|keyspace| keyspace == name);
    search_log(&**fs, dir, &known, key, &is_meant, &mut report)?;
    let cache = Cache::with_files(0, 1, Budget::unlimited());
    for (id, record) in &known.state.keyspaces {
        let covers = |delete: &&RangeDelete| delete.overlaps(key, key) && is_meant(&record.name);
        for delete in record.range_deletes.iter().filter(covers) {
            report.versions.push(Found {
                seq: delete.seq,
                keyspace: *id,
                keyspace_name: record.name.clone(),
                kind: Kind::DeleteRange,
                value: delete.end.to_vec(),
                body_bytes: 0,
                place: Place::Manifest,
                file: manifest_name(known.number),
                offset: 0,
            });
        }
        for (place, meta) in record.tables.values() {
            if is_meant(&record.name) && meta.overlaps(key, key) {
                let begun = report.versions.len();
                search_table(fs, dir, &cache, meta, key, &mut report);
                for found in &mut report.versions[begun..] {
                    (found.keyspace, found.keyspace_name) = (*id, record.name.clone());
                    found.place = Place::Table { level: place.level };
                }
            }
        }
    }
    // Stable: of one batch the last operation, which counts, stays before the others.
    report.versions.sort_by_key(|found| {
        (std::cmp::Reverse(found.seq), !matches!(found.place, Place::Log { .. }))
    });
    Ok(report)
}

fn search_log(
    fs: &dyn Fs,
    dir: &Path,
    known: &manifest::ManifestReport,
    key: &[u8],
    is_meant: &dyn Fn(&str) -> bool,
    report: &mut FindReport,
) -> Result<()> {
    let state = &known.state;
    let versions = &mut report.versions;
    let found = log::report(fs, dir, Some(known.store_id), state.log_bounds(), &mut |record| {
        // What does not decode although it is whole is for `check` to tell.
        let Ok(ops) = BatchOps::new(record.body) else { return Ok(()) };
        let of_record = versions.len();
        for (id, op) in ops.filter_map(std::result::Result::ok) {
            let is_about = match op.kind {
                Kind::Append => false,
                Kind::DeleteRange => op.key <= key && key < op.value,
                _ => op.key == key,
            };
            if !is_about {
                continue;
            }
            let of = state.keyspaces.get(&id);
            let keyspace_name = of.map_or_else(|| Arc::from(""), |record| record.name.clone());
            if !is_meant(&keyspace_name) {
                continue;
            }
            let is_flushed = of.is_some_and(|of| record.seq <= of.flushed_seq);
            let found = Found {
                seq: record.seq,
                keyspace: id,
                keyspace_name,
                kind: op.kind,
                value: op.value.to_vec(),
                body_bytes: 0,
                place: Place::Log { is_flushed },
                file: file_name(record.segment),
                offset: record.offset,
            };
            versions.insert(of_record, found);
        }
        Ok(())
    })?;
    report.files += found.segments.len() as u64;
    for segment in &found.segments {
        if let log::SegmentState::Damaged(gap) = &segment.state {
            let what = format!("{} at {}", gap.reason, gap.offset);
            report.damages.push((file_name(segment.number), what));
        }
    }
    Ok(())
}

fn search_table(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    cache: &Cache,
    meta: &TableMeta,
    key: &[u8],
    report: &mut FindReport,
) {
    let path = table_path(dir, meta.number);
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let file = file.unwrap_or_default();
    report.files += 1;
    let table = Table::open_written_as(fs.clone(), path, meta.number, meta.written_as, cache);
    let outcome = table.and_then(|table| {
        table.blocks(Some(key), &mut |block| {
            match block.entries {
                Err(error) => report.damages.push((file.clone(), error.to_string())),
                Ok(entries) => {
                    let of_key = entries.into_iter().filter(|entry| entry.key == key);
                    report.versions.extend(of_key.map(|entry| Found {
                        seq: entry.seq,
                        keyspace: KeyspaceId(0),
                        keyspace_name: Arc::from(""),
                        kind: entry.kind,
                        value: entry.value,
                        body_bytes: entry.body.map_or(0, |body| body.len.into()),
                        place: Place::Table { level: 0 },
                        file: file.clone(),
                        offset: block.offset,
                    }));
                }
            }
            Ok(())
        })
    });
    if let Err(error) = outcome {
        report.damages.push((file, error.to_string()));
    }
}
