//! fjall: an LSM in Rust.

use super::*;
use fjall::config::*;
use fjall::*;
use std::time::Duration;

pub struct Db {
    db: Database,
    t: Keyspace,
}

impl Db {
    pub fn open(dir: &Path, o: Opts) -> R<Self> {
        let db = Database::builder(dir).cache_size(o.cache as u64).worker_threads(2).open()?;
        let t = db.keyspace("t", || {
            let k = KeyspaceCreateOptions::default();
            let c = if o.lz4 { CompressionType::Lz4 } else { CompressionType::None };
            k.data_block_compression_policy(CompressionPolicy::all(c)).filter_policy(
                FilterPolicy::all(FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(
                    10.0,
                ))),
            )
        })?;
        Ok(Db { db, t })
    }
}

impl Kv for Db {
    fn put(&self, k: &[u8], v: &[u8], sync: bool) -> R<()> {
        if sync {
            let mut b = self.db.batch().durability(Some(PersistMode::SyncData));
            b.insert(&self.t, k, v);
            b.commit()?;
        } else {
            self.t.insert(k, v)?;
        }
        Ok(())
    }
    fn put_batch(&self, kvs: &[([u8; 16], Vec<u8>)]) -> R<()> {
        let mut b = self.db.batch().durability(Some(PersistMode::Buffer));
        for (k, v) in kvs {
            b.insert(&self.t, &k[..], &v[..]);
        }
        b.commit()?;
        Ok(())
    }
    fn get(&self, k: &[u8], f: &mut dyn FnMut(&[u8])) -> R<bool> {
        match self.t.get(k)? {
            Some(v) => {
                f(&v);
                Ok(true)
            }
            None => Ok(false),
        }
    }
    fn scan(&self, from: &[u8], n: usize, f: &mut dyn FnMut(&[u8], &[u8])) -> R<usize> {
        let mut c = 0;
        for g in self.t.range(from..).take(n) {
            let (k, v) = g.into_inner()?;
            f(&k, &v);
            c += 1;
        }
        Ok(c)
    }
    fn settle(&self) -> R<()> {
        self.t.rotate_memtable_and_wait()?;
        let mut quiet = 0;
        while quiet < 5 {
            if self.db.outstanding_flushes() == 0 && self.db.active_compactions() == 0 {
                quiet += 1;
            } else {
                quiet = 0;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
    fn compact(&mut self) -> R<()> {
        self.t.major_compact()?;
        Ok(())
    }
}
