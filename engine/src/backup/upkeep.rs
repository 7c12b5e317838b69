//! Verifies a repository by reading it, and removes what is old.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::repository::Repository;
use super::{Meter, Watch};
use crate::{Error, Result};

/// What a check of a repository found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Backups looked at.
    pub backups: u64,
    /// Objects read, each once.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong; empty when all is well.
    pub damaged: Vec<Damage>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
    /// The backups that need it.
    pub backups: Vec<String>,
}

/// Reads every byte of one backup, or of all.
///
/// # Errors
/// `NotFound`, `Locked`, `Cancelled`, I/O; damage is part of the report.
pub fn verify(
    repository: &Repository,
    id: Option<&str>,
    watch: &Watch<'_>,
) -> Result<VerifyReport> {
    let _lock = repository.lock()?;
    let listed = match id {
        Some(id) => {
            let record = match repository.load(id) {
                Err(error) if !error.is_corrupt() => return Err(error),
                record => record,
            };
            vec![super::Listed { id: id.to_owned(), record }]
        }
        None => repository.list()?,
    };
    let mut report = VerifyReport::default();
    let mut objects: BTreeMap<String, (u64, Vec<String>)> = BTreeMap::new();
    for listed in listed {
        report.backups += 1;
        match listed.record {
            Ok(record) => {
                for (object, bytes) in record.objects() {
                    let entry = objects.entry(object.to_owned()).or_insert((bytes, Vec::new()));
                    entry.1.push(listed.id.clone());
                }
            }
            Err(error) => report.damaged.push(Damage {
                file: format!("backups/{}.json", listed.id),
                what: error.to_string(),
                backups: vec![listed.id],
            }),
        }
    }
    let bytes = objects.values().map(|(bytes, _)| bytes).sum();
    let meter = Meter::new(watch, objects.len() as u64, bytes);
    for (object, (bytes, backups)) in objects {
        if let Some(what) = repository.damage_of(&object, bytes, &meter)? {
            report.damaged.push(Damage { file: format!("objects/{object}"), what, backups });
        }
        report.objects += 1;
        report.bytes += bytes;
        meter.file();
    }
    Ok(report)
}

/// What pruning removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PruneReport {
    /// Ids of the backups removed.
    pub backups: Vec<String>,
    /// Objects that no backup needs any more.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Keeps the newest `keep` backups of everything and of each group that has backups of its own, and
/// removes the others with what only they needed.
///
/// # Errors
/// `Corrupt` when a backup cannot be read: nobody knows what it needs, so nothing is removed.
pub fn prune(repository: &Repository, keep: usize, watch: &Watch<'_>) -> Result<PruneReport> {
    if keep == 0 {
        let reason = "pruning keeps at least one backup".to_owned();
        return Err(Error::Invalid { reason });
    }
    let _lock = repository.lock()?;
    let mut seen: BTreeMap<Option<String>, usize> = BTreeMap::new();
    let mut report = PruneReport::default();
    let mut needed: BTreeSet<String> = BTreeSet::new();
    for listed in repository.list()?.into_iter().rev() {
        let record = listed.record?;
        let count = seen.entry(record.scope.clone()).or_default();
        *count += 1;
        if *count > keep {
            report.backups.push(listed.id);
        } else {
            needed.extend(record.objects().into_keys().map(str::to_owned));
        }
    }
    if !report.backups.is_empty() {
        repository.remove_backups(&report.backups)?;
    }
    let objects = repository.objects()?;
    let meter = Meter::new(watch, objects.len() as u64, 0);
    for object in objects {
        meter.bytes(0)?;
        if !needed.contains(&object) {
            report.bytes += repository.remove_object(&object)?;
            report.objects += 1;
        }
        meter.file();
    }
    Ok(report)
}
