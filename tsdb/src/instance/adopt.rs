//! Keyspaces that were brought into the store become a database, in the place of one of that name
//! or beside the others.
//!
//! Steps: the intent is written into the catalog; one edit of the manifest drops the old keyspaces
//! and makes the new ones; the entry of the catalog is written; the database is opened. A crash
//! leaves the old database or the new one, see `catalog::pending`.
//!
//! Invariant: from before the edit until the new database knows what it leaves out, merges of its
//! partitions leave out nothing. What was dropped from the old one says nothing about the new.

use std::collections::BTreeMap;

use firndb_engine::key::{KeyspaceId, Seq};
use firndb_engine::store::Import;
use serde_json::Value;

use super::{Inner, Tsdb};
use crate::catalog::Settings;
use crate::database::{Life, check_name};
use crate::keys::{Keyspace, index_name};
use crate::{Error, Result};

impl Tsdb {
    /// Makes the database `name` of the keyspaces in `import`, which have names of its own.
    pub(crate) fn adopt(
        &self,
        name: &str,
        entry: &Value,
        import: Import,
        seq: Seq,
        may_replace: bool,
    ) -> Result<()> {
        check_name(name)?;
        let inner = &*self.0;
        let _changing = inner.changing.lock();
        let old = self.database(name);
        if old.is_some() && !may_replace {
            return Err(Error::DatabaseExists { name: name.to_owned() });
        }
        // Writers wait here and then learn that their database is gone; the next finds the new one.
        let mut gate = old.as_ref().map(|database| database.gate.write());
        let index = inner.store.keyspace(&index_name(name)).map(|keyspace| keyspace.id);
        inner.catalog.begin_restore(name, index, entry)?;
        let left_out = inner.left_out.take(name);
        if let Err(error) =
            import.commit(&inner.keyspaces_of(name), seq, &format!("restore {name}"))
        {
            if let Some(left_out) = left_out {
                inner.left_out.put_back(name, left_out);
            }
            // When the store has stopped writing, the next open finds out what happened.
            let _ = inner.catalog.forget_restore(name);
            return Err(error.into());
        }
        if let Some(gate) = &mut gate {
            **gate = Life::Dropped;
        }
        inner.databases.write().remove(name);
        inner.catalog.end_restore(name, entry)?;
        inner.open_adopted(name, entry)
    }
}

impl Inner {
    fn keyspaces_of(&self, name: &str) -> Vec<KeyspaceId> {
        let is_of = |keyspace: &Keyspace| keyspace.database() == name;
        let all = self.store.keyspaces().into_iter();
        all.filter(|k| Keyspace::parse(&k.name).as_ref().is_some_and(is_of)).map(|k| k.id).collect()
    }

    fn open_adopted(&self, name: &str, entry: &Value) -> Result<()> {
        let bytes = serde_json::to_vec(entry).expect("JSON has a JSON form");
        let database = self.open_database(name, Settings::parse(name, &bytes)?)?;
        let databases = BTreeMap::from([(name.to_owned(), database)]);
        self.add_partitions(&databases);
        self.databases.write().extend(databases);
        Ok(())
    }

    /// Ends the restores that a crash cut off.
    pub(super) fn settle_restores(&self) -> Result<()> {
        for (name, pending) in self.catalog.pending()? {
            let index = self.store.keyspace(&index_name(&name)).map(|keyspace| keyspace.id.0);
            if index.is_some() && index != pending.index {
                self.catalog.end_restore(&name, &pending.entry)?;
            } else {
                self.catalog.forget_restore(&name)?;
            }
        }
        Ok(())
    }
}
