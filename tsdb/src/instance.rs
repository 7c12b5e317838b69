//! The whole: a store with databases in it.

mod adopt;
mod cut;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use firndb_engine::check::{self, CheckReport};
use firndb_engine::options::Options as EngineOptions;
use firndb_engine::store::{OpenProgress, Store};
use parking_lot::{Mutex, RwLock};

use crate::catalog::{Catalog, Settings};
use crate::column_cache::ColumnCache;
use crate::database::{Database, DatabaseParts, Life, check_name};
use crate::hooks::{LeftOutByDatabase, Resolver};
use crate::keys::Keyspace;
use crate::limits::{KEY_BYTES_MAX, Limits};
use crate::maintenance::MaintenanceReport;
use crate::model::Timestamp;
use crate::retention::{PolicySpec, RetentionPolicy};
use crate::rollup::RollupOptions;
use crate::{Error, Result};

pub(crate) use cut::Cut;

/// How to open.
#[derive(Debug, Clone)]
pub struct Options {
    /// The engine's; its hooks serve the keyspaces that are not ours.
    pub engine: EngineOptions,
    /// Limits of every database.
    pub limits: Limits,
    /// Most memory of a database's look-up cache of series, in bytes. 64 MiB hold about a million
    /// series.
    pub series_cache_bytes: u64,
    /// Most memory of decoded columns of cold chunks, over all databases, in bytes; 0 keeps none.
    /// 64 MiB hold a thousand columns of 8192 numbers.
    pub column_cache_bytes: u64,
    /// How long no point must have come before a partition whose window is over is closed. Ten
    /// minutes: longer than clients that were cut off for a moment take to catch up.
    pub close_delay_ns: i64,
    /// How rollups are built.
    pub rolling: RollupOptions,
}

impl Options {
    /// Defaults on top of an engine's options.
    pub fn new(engine: EngineOptions) -> Self {
        Options {
            engine,
            limits: Limits::default(),
            series_cache_bytes: 64 << 20,
            column_cache_bytes: 64 << 20,
            close_delay_ns: 600_000_000_000,
            rolling: RollupOptions::default(),
        }
    }
}

/// A store with databases in it; clones are the same one.
#[derive(Debug, Clone)]
pub struct Tsdb(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    catalog: Arc<Catalog>,
    columns: Arc<ColumnCache>,
    left_out: Arc<LeftOutByDatabase>,
    options: Options,
    databases: RwLock<BTreeMap<String, Arc<Database>>>,
    /// Held while databases are made or dropped.
    changing: Mutex<()>,
    /// Set when long work is to end.
    stop: Arc<AtomicBool>,
}

impl Tsdb {
    /// Opens or makes a store.
    pub fn open(options: Options) -> Result<Tsdb> {
        Tsdb::open_with_progress(options, &|_| {})
    }

    /// As [`Tsdb::open`], saying how far the engine is.
    pub fn open_with_progress(
        mut options: Options,
        progress: &dyn Fn(OpenProgress),
    ) -> Result<Tsdb> {
        let left_out = Arc::new(LeftOutByDatabase::default());
        let engine = &mut options.engine;
        engine.hooks = Arc::new(Resolver::new(engine.hooks.clone(), left_out.clone()));
        // Tag pairs are keys of the index: both texts and a few bytes before them.
        engine.key_bytes_max = engine.key_bytes_max.max(KEY_BYTES_MAX + 64);
        let store = Store::open_with_progress(engine.clone(), progress)?;
        let catalog = Arc::new(Catalog::open(&store)?);
        let columns = ColumnCache::new(options.column_cache_bytes, &options.engine.budget);
        let columns = Arc::new(columns);
        let inner = Inner {
            store,
            catalog,
            columns,
            left_out,
            options,
            databases: RwLock::default(),
            changing: Mutex::default(),
            stop: Arc::default(),
        };
        inner.load()?;
        Ok(Tsdb(Arc::new(inner)))
    }

    /// Verifies the directory of `options`, which no store has open, and changes no byte of it.
    /// `progress` gets tables done and tables in all.
    ///
    /// # Errors
    /// As [`check::offline::run`].
    pub fn check_offline(
        mut options: Options,
        deep: bool,
        progress: &dyn Fn(u64, u64),
    ) -> Result<CheckReport> {
        let engine = &mut options.engine;
        engine.hooks = Arc::new(Resolver::new(engine.hooks.clone(), Arc::default()));
        Ok(check::offline::run(engine, deep, progress)?)
    }

    /// The store, for keyspaces of plain keys and values, checks and metrics.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The database of this name.
    pub fn database(&self, name: &str) -> Option<Arc<Database>> {
        self.0.databases.read().get(name).cloned()
    }

    /// Names of databases, sorted.
    pub fn databases(&self) -> Vec<String> {
        self.0.databases.read().keys().cloned().collect()
    }

    /// Makes a database with a first policy (`None`: one that keeps points for ever), or returns
    /// the one there is.
    pub fn create_database(&self, name: &str, policy: Option<PolicySpec>) -> Result<Arc<Database>> {
        let _changing = self.0.changing.lock();
        if let Some(database) = self.database(name) {
            if let Some(spec) = policy {
                let wanted = RetentionPolicy::from_spec(&spec)?;
                let has_it = |own: &RetentionPolicy| own.is_same_but_default(&wanted);
                if !database.policies().iter().any(has_it) {
                    return Err(Error::PolicyConflict);
                }
            }
            return Ok(database);
        }
        check_name(name)?;
        let mut policy = RetentionPolicy::from_spec(&policy.unwrap_or_default())?;
        check_name(&policy.name)?;
        policy.is_default = true;
        let settings = Settings { policies: vec![policy], ..Settings::default() };
        let database = self.0.open_database(name, settings.clone())?;
        // The entry comes last: a crash before it leaves keyspaces that the next open drops.
        self.0.catalog.put(name, &settings)?;
        self.0.databases.write().insert(name.to_owned(), database.clone());
        Ok(database)
    }

    /// Removes a database with all it has; no error when there is none.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        let _changing = self.0.changing.lock();
        let Some(database) = self.database(name) else { return Ok(()) };
        let mut gate = database.gate.write();
        // The entry goes first: a crash after it leaves keyspaces that the next open drops.
        self.0.catalog.remove(name)?;
        *gate = Life::Dropped;
        self.0.databases.write().remove(name);
        self.0.drop_keyspaces(|keyspace| keyspace.database() == name, "drop database")
    }

    /// Has long work end soon, for good: the store is about to be closed. Maintenance leaves what
    /// it is at (a purge, a trim) as it was, and does nothing more; deletes and their dry runs that
    /// look for rows are refused. The next open goes on.
    pub fn stop_long_work(&self) {
        self.0.stop.store(true, Ordering::Release);
    }

    /// Expires, closes, sweeps: what is due at `now`. Called on a tick.
    pub fn maintain(&self, now: Timestamp) -> Result<MaintenanceReport> {
        let mut report = MaintenanceReport::default();
        let databases: Vec<_> = self.0.databases.read().values().cloned().collect();
        for database in databases {
            let done = database.maintain(now, self.0.options.close_delay_ns, &mut report);
            if *database.gate.read() == Life::Open {
                done?; // of one dropped meanwhile it does not matter
            }
        }
        self.0.store.maintain()?;
        Ok(report)
    }
}

impl Inner {
    /// Opens the databases of the catalog, and drops keyspaces that belong to none: what a crash
    /// left of a database or policy half made or half dropped.
    fn load(&self) -> Result<()> {
        self.settle_restores()?;
        let mut databases = BTreeMap::new();
        for (name, settings) in self.catalog.databases()? {
            let database = self.open_database(&name, settings)?;
            databases.insert(name, database);
        }
        self.add_partitions(&databases);
        let is_orphan = |keyspace: &Keyspace| match keyspace {
            Keyspace::Index { database } => !databases.contains_key(database),
            Keyspace::Points { database, policy, .. } => {
                databases.get(database).is_none_or(|d| d.class(Some(policy)).is_err())
            }
        };
        self.drop_keyspaces(is_orphan, "left over")?;
        *self.databases.write() = databases;
        Ok(())
    }

    /// Tells databases which partitions they have.
    fn add_partitions(&self, databases: &BTreeMap<String, Arc<Database>>) {
        for keyspace in self.store.keyspaces() {
            if let Some(Keyspace::Points { database, policy, window }) =
                Keyspace::parse(&keyspace.name)
                && let Some(database) = databases.get(&database)
                && database.class(Some(&policy)).is_ok()
            {
                database.partitions.add(&policy, window, keyspace.id);
            }
        }
    }

    fn open_database(&self, name: &str, settings: Settings) -> Result<Arc<Database>> {
        let parts = DatabaseParts {
            store: self.store.clone(),
            catalog: self.catalog.clone(),
            left_out: self.left_out.begin(name),
            limits: self.options.limits.clone(),
            budget: self.options.engine.budget.clone(),
            series_cache_bytes: self.options.series_cache_bytes,
            columns: self.columns.clone(),
            rolling: self.options.rolling,
            stop: self.stop.clone(),
        };
        Ok(Arc::new(Database::open(name, settings, parts)?))
    }

    /// Drops our keyspaces that `is_meant`, in one edit.
    fn drop_keyspaces(&self, is_meant: impl Fn(&Keyspace) -> bool, reason: &str) -> Result<()> {
        let all = self.store.keyspaces();
        let meant = all.iter().filter(|keyspace| {
            Keyspace::parse(&keyspace.name).is_some_and(|keyspace| is_meant(&keyspace))
        });
        let ids: Vec<_> = meant.map(|keyspace| keyspace.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        Ok(self.store.drop_keyspaces(&ids, reason)?)
    }
}
