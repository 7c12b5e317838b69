//! sled: a B-tree over a log, in Rust.

use super::*;

pub struct Db(sled::Db);

impl Db {
    pub fn open(dir: &Path, o: Opts) -> R<Self> {
        Ok(Db(sled::Config::new().path(dir).cache_capacity(o.cache as u64).open()?))
    }
}

impl Kv for Db {
    fn put(&self, k: &[u8], v: &[u8], sync: bool) -> R<()> {
        self.0.insert(k, v)?;
        if sync {
            self.0.flush()?;
        }
        Ok(())
    }
    fn put_batch(&self, kvs: &[([u8; 16], Vec<u8>)]) -> R<()> {
        let mut b = sled::Batch::default();
        for (k, v) in kvs {
            b.insert(&k[..], &v[..]);
        }
        self.0.apply_batch(b)?;
        Ok(())
    }
    fn get(&self, k: &[u8], f: &mut dyn FnMut(&[u8])) -> R<bool> {
        match self.0.get(k)? {
            Some(v) => {
                f(&v);
                Ok(true)
            }
            None => Ok(false),
        }
    }
    fn scan(&self, from: &[u8], n: usize, f: &mut dyn FnMut(&[u8], &[u8])) -> R<usize> {
        let mut c = 0;
        for e in self.0.range(from..).take(n) {
            let (k, v) = e?;
            f(&k, &v);
            c += 1;
        }
        Ok(c)
    }
    fn settle(&self) -> R<()> {
        self.0.flush()?;
        Ok(())
    }
    fn compact(&mut self) -> R<()> {
        Ok(())
    }
}
