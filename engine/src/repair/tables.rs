//! The tables of a repair: whole ones stay, damaged ones are written anew from their whole blocks.
//!
//! Order: the new table is synced before the manifest names it; the old one is copied to
//! quarantine before, and leaves the folder once the new manifest counts.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Repair;
use crate::budget::Budget;
use crate::cache::Cache;
use crate::key::{FileNumber, KeyspaceId};
use crate::manifest::{LEVELS, Place, TableMeta, table_path};
use crate::table::{FilterKind, Table, TableBuilder, TableDamage, TableEntry, TableOptions};
use crate::{Error, Result};

fn name_of(number: FileNumber) -> String {
    format!("{:06}.tbl", number.0)
}

impl Repair<'_> {
    /// Makes the picture name whole tables only.
    pub(super) fn tables(&mut self) -> Result<()> {
        let there: BTreeSet<_> =
            crate::inspect::tables(&*self.options.fs, &self.options.dir)?.into_iter().collect();
        let mut named = BTreeSet::new();
        let ids: Vec<_> = self.manifest.state.keyspaces.keys().copied().collect();
        for id in ids {
            let tables = &self.manifest.state.keyspaces[&id].tables;
            let tables: Vec<_> = tables.values().cloned().collect();
            for (place, meta) in tables {
                named.insert(meta.number);
                if there.contains(&meta.number) {
                    self.table(id, place, &meta)?;
                } else {
                    self.missing(id, &meta);
                }
            }
            self.untangle(id)?;
        }
        // A table that nothing names is what an unfinished job left, unless edits are lost.
        if self.has_lost_edits {
            there.difference(&named).try_for_each(|number| self.unnamed(*number))?;
        }
        Ok(())
    }

    fn forget(&mut self, id: KeyspaceId, number: FileNumber) -> Option<Arc<str>> {
        self.is_changed = true;
        let keyspace = self.manifest.state.keyspaces.get_mut(&id)?;
        keyspace.tables.remove(&number);
        Some(keyspace.name.clone())
    }

    fn missing(&mut self, id: KeyspaceId, meta: &TableMeta) {
        let keyspace = self.forget(id, meta.number);
        let what = format!("the table is missing: {} entries", meta.entries);
        let keys = Some((meta.smallest.to_vec(), meta.largest.to_vec()));
        self.report.lost(name_of(meta.number), keyspace.as_ref(), what, keys);
    }

    /// Looks at a table; writes it anew where it is damaged.
    fn table(&mut self, id: KeyspaceId, place: Place, meta: &TableMeta) -> Result<()> {
        let (fs, dir) = (self.options.fs.clone(), &self.options.dir);
        let cache = Cache::with_files(0, 1, Budget::unlimited());
        let path = table_path(dir, meta.number);
        let table = Table::open_written_as(fs, path, meta.number, meta.written_as, &cache)?;
        let damages = table.damages();
        for damage in &damages {
            if let Error::Version { .. } | Error::Io { .. } = damage.error {
                return Err(damage.error.clone());
            }
        }
        if damages.is_empty() {
            return Ok(());
        }
        let name = name_of(meta.number);
        self.replace(&name)?;
        let keyspace = self.forget(id, meta.number);
        let is_lost = damages.iter().any(|damage| matches!(damage.part, "footer" | "index"));
        let kept = if is_lost { None } else { self.rewrite(&table, meta)? };
        let before = self.report.losses.len();
        for TableDamage { part, error, keys } in damages {
            if matches!(part, "block" | "body") {
                self.report.lost(&name, keyspace.as_ref(), format!("{part}: {error}"), keys);
            } else if is_lost {
                let keys = Some((meta.smallest.to_vec(), meta.largest.to_vec()));
                let what = format!("{} entries: {error}", meta.entries);
                self.report.lost(&name, keyspace.as_ref(), what, keys);
            }
        }
        let Some((number, rewritten)) = kept else { return Ok(()) };
        let lost = meta.entries.saturating_sub(rewritten.as_ref().map_or(0, |meta| meta.entries));
        let what = match self.report.losses.len() == before {
            true => format!("written from {name}, nothing is lost"),
            false => format!("written from {name}, without {lost} entries"),
        };
        if let Some(meta) = rewritten {
            let keyspace = self.manifest.state.keyspaces.get_mut(&id);
            let keyspace = keyspace.expect("the keyspace of the table");
            keyspace.tables.insert(number, (place, meta));
            self.report.did(name_of(number), what);
        }
        Ok(())
    }

    /// Writes the whole entries of `table` to a new one; without any there is none.
    fn rewrite(
        &mut self,
        table: &Arc<Table>,
        meta: &TableMeta,
    ) -> Result<Option<(FileNumber, Option<TableMeta>)>> {
        let mut entries = Vec::new();
        table.blocks(None, &mut |block| {
            for entry in block.entries.into_iter().flatten() {
                let body = match entry.body {
                    None => None,
                    Some(handle) => match table.body(handle) {
                        Ok(body) => Some(body),
                        Err(_) => continue, // told with the damages
                    },
                };
                entries.push((entry, body));
            }
            Ok(())
        })?;
        if entries.is_empty() {
            return Ok(None);
        }
        // Whole blocks may yet be out of order, if the index that found them lies.
        let order = |entry: &TableEntry| (entry.key.clone(), std::cmp::Reverse(entry.seq));
        entries.sort_by_cached_key(|(entry, _)| order(entry));
        entries.dedup_by(|(later, _), (entry, _)| later.key == entry.key && later.seq == entry.seq);
        let number = self.numbers.take();
        if self.is_dry {
            let meta = TableMeta { number, entries: entries.len() as u64, ..meta.clone() };
            return Ok(Some((number, Some(meta))));
        }
        let options = self.options;
        let path = table_path(&options.dir, number);
        let file = options.fs.create(&path).map_err(|e| Error::io(&path, "create", e))?;
        let how = TableOptions {
            block_bytes: options.block_bytes,
            restart_interval: options.restart_interval,
            compression: options.compression_upper,
            filter_bits_per_key: options.filter_bits_per_key,
            filter_kind: FilterKind::Bloom,
        };
        let mut builder = TableBuilder::new(file, path, number, &how);
        for (entry, body) in &entries {
            builder.add(&entry.key, entry.seq, entry.kind, &entry.value, body.as_deref())?;
        }
        let properties = builder.finish()?;
        let dir = &options.dir;
        options.fs.sync_dir(dir).map_err(|e| Error::io(dir, "sync", e))?;
        // What is left of a table is as clean of range deletes as all of it was.
        let clean_seq = meta.clean_seq;
        let meta = TableMeta { clean_seq, ..TableMeta::new(number, &properties, meta.is_final) };
        Ok(Some((number, Some(meta))))
    }

    /// A table whose edit is lost: nothing says which keyspace it is of.
    fn unnamed(&mut self, number: FileNumber) -> Result<()> {
        let (fs, dir) = (&self.options.fs, &self.options.dir);
        let path = table_path(dir, number);
        let properties = crate::inspect::table(fs, &path).and_then(|table| table.properties());
        let (what, keys) = match properties {
            Ok(of) => {
                let what = format!(
                    "no edit names the table: {} entries of an unknown keyspace, records {} to {}",
                    of.entries, of.min_seq, of.max_seq
                );
                (what, Some((of.smallest, of.largest)))
            }
            Err(error) => (format!("no edit names the table, and it is damaged: {error}"), None),
        };
        self.report.lost(name_of(number), None, what, keys);
        self.set_aside(&name_of(number))
    }

    /// Lost edits may leave tables of one level that overlap. The older of two was on its way down:
    /// it goes to the next level where it fits, or aside.
    fn untangle(&mut self, id: KeyspaceId) -> Result<()> {
        let Some(keyspace) = self.manifest.state.keyspaces.get_mut(&id) else { return Ok(()) };
        let mut fits: Vec<(Place, TableMeta)> = Vec::new();
        let mut tables: Vec<_> = keyspace.tables.values().cloned().collect();
        tables.sort_by_key(|(place, meta)| (place.level, std::cmp::Reverse(meta.max_seq)));
        let mut moved = Vec::new();
        for (place, meta) in tables {
            let is_free = |at: Place, fits: &[(Place, TableMeta)]| {
                fits.iter().all(|(other, table)| {
                    *other != at || !table.overlaps(&meta.smallest, &meta.largest)
                })
            };
            let below = (place.level + 1..LEVELS as u8).map(|level| Place { level, age: 0 });
            let at = std::iter::once(place).chain(below).find(|at| is_free(*at, &fits));
            if at != Some(place) {
                moved.push((at, meta.clone()));
            }
            if let Some(at) = at {
                fits.push((at, meta));
            }
        }
        let name = keyspace.name.clone();
        for (at, meta) in moved {
            self.is_changed = true;
            let tables = &mut self.manifest.state.keyspaces.get_mut(&id).expect("as above").tables;
            let file = name_of(meta.number);
            match at {
                Some(at) => {
                    let what = format!("moved to level {}, for it overlapped", at.level);
                    tables.insert(meta.number, (at, meta));
                    self.report.did(file, what);
                }
                None => {
                    tables.remove(&meta.number);
                    let keys = Some((meta.smallest.to_vec(), meta.largest.to_vec()));
                    let what = format!("{} entries that overlap newer ones", meta.entries);
                    self.report.lost(&file, Some(&name), what, keys);
                    self.replace(&file)?;
                }
            }
        }
        Ok(())
    }

    /// Has a file leave once the new manifest counts, a copy of it kept.
    fn replace(&mut self, name: &str) -> Result<()> {
        self.report.did(name, "set aside");
        if !self.is_dry {
            self.keep_copy(name)?;
            self.replaced.push(name.to_owned());
        }
        Ok(())
    }
}
