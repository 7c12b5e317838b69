//! The engine of this repository.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use firndb_engine::batch::WriteBatch;
use firndb_engine::clock::Clock;
use firndb_engine::fs::real::RealFs;
use firndb_engine::hooks::Plain;
use firndb_engine::key::KeyspaceId;
use firndb_engine::memtable::MemtableKind;
use firndb_engine::options::{Durability, KeyspaceOptions, Options, Policy, Tiered};
use firndb_engine::scan::bounds::Bounds;
use firndb_engine::store::{CompactOptions, ScanOptions, Store, WriteOptions};

use super::*;

#[derive(Debug)]
struct WallClock;

impl Clock for WallClock {
    fn unix_ns(&self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_nanos() as i64)
    }

    fn monotonic_ns(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

pub struct Db {
    store: Store,
    t: KeyspaceId,
    unsynced: WriteOptions,
}

impl Db {
    /// `ours-tiered`: with the tiered policy; `ours-crossbeam`: with the other memtable.
    pub fn open(name: &str, dir: &Path, o: Opts) -> R<Self> {
        let hooks = Arc::new(Plain::new());
        let mut options = Options::new(dir, Arc::new(RealFs), Arc::new(WallClock), hooks);
        options.cache_bytes = o.cache as u64;
        if name == "ours-crossbeam" {
            options.memtable = MemtableKind::Crossbeam;
        }
        if name == "ours-tiered" {
            options.policy = Policy::Tiered(Tiered::default());
        }
        let store = Store::open(options)?;
        let t = store.create_keyspace("kv/t", KeyspaceOptions::default())?.id;
        let unsynced = WriteOptions { durability: Some(Durability::Os) };
        Ok(Db { store, t, unsynced })
    }
}

impl Kv for Db {
    fn put(&self, k: &[u8], v: &[u8], sync: bool) -> R<()> {
        let mut batch = WriteBatch::new();
        batch.put(self.t, k, v);
        let options = if sync { WriteOptions::default() } else { self.unsynced };
        let _ = self.store.write(&batch, options)?;
        Ok(())
    }

    fn put_batch(&self, kvs: &[([u8; 16], Vec<u8>)]) -> R<()> {
        let mut batch = WriteBatch::new();
        for (k, v) in kvs {
            batch.put(self.t, k, v);
        }
        let _ = self.store.write(&batch, self.unsynced)?;
        Ok(())
    }

    fn get(&self, k: &[u8], f: &mut dyn FnMut(&[u8])) -> R<bool> {
        match self.store.get(self.t, k, None)? {
            Some(value) => {
                f(&value);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn scan(&self, from: &[u8], n: usize, f: &mut dyn FnMut(&[u8], &[u8])) -> R<usize> {
        let bounds = Bounds { lower: Some(from.to_vec()), upper: None };
        let options = ScanOptions { bounds, ..ScanOptions::default() };
        let mut rows = self.store.scan(self.t, options)?;
        let mut count = 0;
        while count < n && rows.advance()? {
            f(rows.key(), rows.value());
            count += 1;
        }
        Ok(count)
    }

    fn settle(&self) -> R<()> {
        self.store.flush(Some(self.t))?;
        let mut quiet = 0;
        while quiet < 5 {
            let metrics = self.store.metrics();
            let is_busy = metrics.memtables_sealed > 0
                || metrics.flushes_running > 0
                || !metrics.compactions_running.is_empty();
            quiet = if is_busy { 0 } else { quiet + 1 };
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn compact(&mut self) -> R<()> {
        self.store.compact(None, CompactOptions::default(), &|| false)?;
        Ok(())
    }
}
