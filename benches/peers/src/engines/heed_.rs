//! LMDB through heed: a memory-mapped copy-on-write B-tree with one writer.

use super::*;
use heed::types::Bytes;
use heed::*;
use std::ops::Bound;

pub struct Db {
    env: Env<WithoutTls>,
    t: Database<Bytes, Bytes>,
}

impl Db {
    pub fn open(dir: &Path, o: Opts) -> R<Self> {
        let mut b = EnvOpenOptions::new().read_txn_without_tls();
        b.map_size(16 << 30);
        // SAFETY: the folder is this run's own; nobody else opens or cuts its files.
        let env = unsafe {
            if !o.sync {
                b.flags(EnvFlags::NO_SYNC);
            }
            b.open(dir)?
        };
        let mut w = env.write_txn()?;
        let t = env.create_database(&mut w, None)?;
        w.commit()?;
        Ok(Db { env, t })
    }
}

impl Kv for Db {
    fn put(&self, k: &[u8], v: &[u8], _sync: bool) -> R<()> {
        let mut w = self.env.write_txn()?;
        self.t.put(&mut w, k, v)?;
        w.commit()?;
        Ok(())
    }
    fn put_batch(&self, kvs: &[([u8; 16], Vec<u8>)]) -> R<()> {
        let mut w = self.env.write_txn()?;
        for (k, v) in kvs {
            self.t.put(&mut w, &k[..], &v[..])?;
        }
        w.commit()?;
        Ok(())
    }
    fn get(&self, k: &[u8], f: &mut dyn FnMut(&[u8])) -> R<bool> {
        let r = self.env.read_txn()?;
        match self.t.get(&r, k)? {
            Some(v) => {
                f(v);
                Ok(true)
            }
            None => Ok(false),
        }
    }
    fn scan(&self, from: &[u8], n: usize, f: &mut dyn FnMut(&[u8], &[u8])) -> R<usize> {
        let r = self.env.read_txn()?;
        let b: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(from), Bound::Unbounded);
        let mut c = 0;
        for e in self.t.range(&r, &b)?.take(n) {
            let (k, v) = e?;
            f(k, v);
            c += 1;
        }
        Ok(c)
    }
    fn settle(&self) -> R<()> {
        self.env.force_sync()?;
        Ok(())
    }
    fn compact(&mut self) -> R<()> {
        Ok(()) // LMDB compacts only by copying the environment.
    }
}
