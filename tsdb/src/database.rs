//! A database: the coordinator of schema, index, partitions and policies.
//!
//! Who may do what at once:
//! - the *gate* is held for reading by writes of points and for writing by drops, deletes, expiry
//!   and the end of the database, so that no write meets a series or partition that is just going;
//!   who holds it for writing scans nothing long;
//! - the *registration lock* is held by a write from the moment it finds something new (series,
//!   field, measurement) until its batch is in the log, so that nobody sees a number before the
//!   entry that explains it; points of known series and fields never take it;
//! - reads take neither.
//!
//! Order of locks: gate, list of deletes, registration, partitions, engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use firndb_engine as engine;
use firndb_engine::budget::Budget;
use firndb_engine::options::KeyspaceOptions;
use firndb_engine::store::Store;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use crate::catalog::{Catalog, Settings};
use crate::column_cache::ColumnCache;
use crate::deletes::{DeleteList, Watches};
use crate::index::entries::{self, Counters, FieldEntry, MeasurementEntry};
use crate::index::{SeriesCache, SeriesIndex};
use crate::left_out::LeftOut;
use crate::limits::Limits;
use crate::model::{MeasurementId, SeriesRef};
use crate::partition::Partitions;
use crate::retention::{PolicyChange, PolicySpec, RetentionPolicy, RetentionRule};
use crate::rollup::{RollupOptions, Running, is_internal_policy};
use crate::rules::Rules;
use crate::schema::{FieldInfo, MeasurementInfo, Schema};
use crate::{Error, Result, keys};

/// A database.
#[derive(Debug)]
pub struct Database {
    pub(crate) name: String,
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    catalog: Arc<Catalog>,
    pub(crate) settings: RwLock<Settings>,
    pub(crate) rules: Rules,
    /// The rollups of the settings.
    pub(crate) running: RwLock<Arc<[Arc<Running>]>>,
    pub(crate) rolling: RollupOptions,
    pub(crate) budget: Budget,
    pub(crate) schema: Schema,
    pub(crate) index: SeriesIndex,
    pub(crate) left_out: Arc<LeftOut>,
    pub(crate) deletes: Mutex<DeleteList>,
    pub(crate) watches: Watches,
    pub(crate) cache: SeriesCache,
    pub(crate) columns: Arc<ColumnCache>,
    pub(crate) partitions: Partitions,
    pub(crate) gate: RwLock<Life>,
    pub(crate) registration: Mutex<RegistrationState>,
    pub(crate) series_count: AtomicU64,
    stop: Arc<AtomicBool>,
}

/// Whether the database still is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It takes points.
    Open,
    /// It was dropped; somebody still holds it.
    Dropped,
}

/// What registrations go on from.
#[derive(Debug, Default)]
pub(crate) struct RegistrationState {
    pub(crate) counters: Counters,
    /// Number of values per tag key (by prefix of its lists), where a limit had it counted.
    pub(crate) values: HashMap<Vec<u8>, u64>,
}

/// What a database is opened with.
#[derive(Debug)]
pub(crate) struct DatabaseParts {
    pub(crate) store: Store,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) left_out: Arc<LeftOut>,
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    pub(crate) series_cache_bytes: u64,
    pub(crate) columns: Arc<ColumnCache>,
    pub(crate) rolling: RollupOptions,
    /// Set when long work is to end.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Database {
    /// Opens the database `name`; its index is made when missing. Partitions are added by the
    /// caller, who knows the keyspaces.
    pub(crate) fn open(name: &str, settings: Settings, parts: DatabaseParts) -> Result<Database> {
        let DatabaseParts {
            store,
            catalog,
            left_out,
            limits,
            budget,
            series_cache_bytes,
            columns,
            rolling,
            stop,
        } = parts;
        let keyspace =
            store.create_keyspace(&keys::index_name(name), KeyspaceOptions::default())?;
        let database = Database {
            name: name.to_owned(),
            limits,
            catalog,
            settings: RwLock::new(settings),
            rules: Rules::default(),
            running: RwLock::new(Arc::new([])),
            rolling,
            schema: Schema::new(&budget),
            index: SeriesIndex::new(store.clone(), keyspace.id, left_out.dropped().clone()),
            left_out,
            deletes: Mutex::default(),
            watches: Watches::default(),
            cache: SeriesCache::new(series_cache_bytes, &budget),
            columns,
            partitions: Partitions::new(store.clone(), name),
            gate: RwLock::new(Life::Open),
            registration: Mutex::default(),
            series_count: AtomicU64::new(0),
            budget,
            store,
            stop,
        };
        database.load()?;
        database.load_rules()?;
        database.load_rollups()?;
        Ok(database)
    }

    /// Reads schema, numbers and dropped series from the index.
    fn load(&self) -> Result<()> {
        let index = &self.index;
        if let Some(counters) = index.get(entries::COUNTERS)? {
            self.registration.lock().counters = entries::json(&counters)?;
        }
        index.dropped().add(&index.list(entries::DROPPED)?);
        let mut found: HashMap<MeasurementId, MeasurementInfo> = HashMap::new();
        index.visit(b'M', None, |key, value| {
            let (id, _) = entries::split_measurement(key)?;
            let entry: MeasurementEntry = entries::json(value)?;
            let info = MeasurementInfo::new(id, &entry.name);
            found.insert(id, info.with_next_field(entry.next_field));
            Ok(true)
        })?;
        index.visit(b'F', None, |key, value| {
            let (id, rest) = entries::split_measurement(key)?;
            if let Some(info) = found.get_mut(&id) {
                let entry: FieldEntry = entries::json(value)?;
                let (name, field_type) = (entry.name, entry.field_type);
                info.add_field(FieldInfo { name, id: entries::split_field(rest)?, field_type });
            }
            Ok(true)
        })?;
        index.visit(b'T', None, |key, _| {
            let (id, rest) = entries::split_measurement(key)?;
            if let Some(info) = found.get_mut(&id) {
                info.add_tag_key(entries::text(rest)?);
            }
            Ok(true)
        })?;
        let mut count = 0;
        for id in found.keys() {
            count += index.all(*id)?.cardinality();
        }
        self.series_count.store(count, Ordering::Relaxed);
        self.schema.publish(found.into_values().map(Arc::new));
        self.load_deletes()?;
        self.left_out.set_loaded();
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Retention policies, sorted by name; without those that rollups keep their rows under.
    pub fn policies(&self) -> Vec<RetentionPolicy> {
        self.settings.read().policies.clone()
    }

    /// The policy of this name; `None`: the default one.
    pub fn policy(&self, name: Option<&str>) -> Result<RetentionPolicy> {
        let settings = self.settings.read();
        let found = settings.policies.iter().find(|policy| match name {
            Some(name) => policy.name == name,
            None => policy.is_default,
        });
        let name = name.unwrap_or_default();
        found.cloned().ok_or_else(|| Error::PolicyNotFound { name: name.to_owned() })
    }

    /// As [`Database::policy`], internal ones of rollups included: what may be scanned.
    pub(crate) fn class(&self, name: Option<&str>) -> Result<RetentionPolicy> {
        match name.and_then(|name| self.internal_policy(name)) {
            Some(internal) => Ok(internal),
            None => self.policy(name),
        }
    }

    /// Adds a policy; no error when it exists with the same settings.
    pub fn create_policy(&self, spec: &PolicySpec) -> Result<()> {
        let policy = RetentionPolicy::from_spec(spec)?;
        check_name(&policy.name)?;
        if is_internal_policy(&policy.name) {
            return Err(Error::Invalid { reason: "the name is kept for rollups".to_owned() });
        }
        self.change_settings(|settings| {
            let policies = &mut settings.policies;
            match policies.iter().find(|other| other.name == policy.name) {
                Some(other) if other.is_same_but_default(&policy) => {}
                Some(_) => return Err(Error::PolicyExists),
                None => policies.push(policy.clone()),
            }
            if spec.is_default {
                make_default(policies, &policy.name);
            }
            Ok(())
        })
    }

    /// Changes a policy. A new shard duration holds for partitions to come.
    pub fn alter_policy(&self, name: &str, change: &PolicyChange) -> Result<()> {
        self.change_settings(|settings| {
            let missing = || Error::PolicyNotFound { name: name.to_owned() };
            let found = settings.policies.iter_mut().find(|policy| policy.name == name);
            let policy = found.ok_or_else(missing)?;
            *policy = policy.changed(change)?;
            if change.make_default {
                make_default(&mut settings.policies, name);
            }
            Ok(())
        })
    }

    /// Removes a policy with its points, the rollups of them and the rules about it.
    pub fn drop_policy(&self, name: &str) -> Result<()> {
        let _gate = self.gate.write();
        let is_of_it = |rule: &RetentionRule| rule.scope.policy.as_deref() == Some(name);
        self.change_settings(|settings| {
            let found = settings.policies.iter().position(|policy| policy.name == name);
            let missing = || Error::PolicyNotFound { name: name.to_owned() };
            settings.policies.remove(found.ok_or_else(missing)?);
            settings.rollups.retain(|rollup| rollup.policy != name);
            settings.rules.retain(|rule| !is_of_it(rule));
            settings.trims.retain(|trim| trim.scope.policy.as_deref() != Some(name));
            Ok(())
        })?;
        self.rules.keep(|scope| scope.policy.as_deref() != Some(name));
        let taken = self.partitions.take_policy(name);
        let keyspaces: Vec<_> = taken.iter().map(|partition| partition.keyspace).collect();
        self.store.drop_keyspaces(&keyspaces, "drop retention policy")?;
        self.end_rollups(|rollup| rollup.policy == name, "drop retention policy")
    }

    /// Applies a change to a copy of the settings, stores it, then lets it be seen.
    pub(crate) fn change_settings(
        &self,
        change: impl FnOnce(&mut Settings) -> Result<()>,
    ) -> Result<()> {
        let mut current = self.settings.write();
        let mut settings = current.clone();
        change(&mut settings)?;
        settings.policies.sort_by(|a, b| a.name.cmp(&b.name));
        settings.rollups.sort_by(|a, b| a.name.cmp(&b.name));
        if settings != *current {
            self.catalog.put(&self.name, &settings)?;
            *current = settings;
        }
        Ok(())
    }

    /// The series whose measurement and tags were written as `raw_series_text` lately: the
    /// parser's look-up. `None` says nothing.
    pub fn known_series(&self, raw_series_text: &[u8]) -> Option<SeriesRef> {
        self.cache.get(raw_series_text)
    }

    /// Whether long work is to end: it asks between partitions, series and the chunks of a merge.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Refuses to go on with long work that somebody waits for.
    pub(crate) fn check_stopped(&self) -> Result<()> {
        if self.is_stopped() { Err(engine::Error::Closed.into()) } else { Ok(()) }
    }

    /// Number of series.
    pub fn series_count(&self) -> u64 {
        self.series_count.load(Ordering::Relaxed)
    }
}

fn make_default(policies: &mut [RetentionPolicy], name: &str) {
    for policy in policies {
        policy.is_default = policy.name == name;
    }
}

/// Refuses names that no tool could show or ask for.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Err(Error::Invalid { reason: "invalid name".to_owned() });
    }
    Ok(())
}
