//! redb: a copy-on-write B-tree in Rust.

use super::*;
use redb::*;

const T: TableDefinition<&[u8], &[u8]> = TableDefinition::new("t");

pub struct Db(Database);

impl Db {
    pub fn open(dir: &Path, o: Opts) -> R<Self> {
        let db = Database::builder().set_cache_size(o.cache).create(dir.join("db.redb"))?;
        let w = db.begin_write()?;
        w.open_table(T)?;
        w.commit()?;
        Ok(Db(db))
    }
    fn write(&self, sync: bool, f: impl FnOnce(&mut Table<&[u8], &[u8]>) -> R<()>) -> R<()> {
        let mut w = self.0.begin_write()?;
        w.set_durability(if sync { Durability::Immediate } else { Durability::None })?;
        {
            let mut t = w.open_table(T)?;
            f(&mut t)?;
        }
        w.commit()?;
        Ok(())
    }
}

impl Kv for Db {
    fn put(&self, k: &[u8], v: &[u8], sync: bool) -> R<()> {
        self.write(sync, |t| {
            t.insert(k, v)?;
            Ok(())
        })
    }
    fn put_batch(&self, kvs: &[([u8; 16], Vec<u8>)]) -> R<()> {
        self.write(false, |t| {
            for (k, v) in kvs {
                t.insert(&k[..], &v[..])?;
            }
            Ok(())
        })
    }
    fn get(&self, k: &[u8], f: &mut dyn FnMut(&[u8])) -> R<bool> {
        let r = self.0.begin_read()?;
        let t = r.open_table(T)?;
        let hit = match t.get(k)? {
            Some(v) => {
                f(v.value());
                true
            }
            None => false,
        };
        Ok(hit)
    }
    fn scan(&self, from: &[u8], n: usize, f: &mut dyn FnMut(&[u8], &[u8])) -> R<usize> {
        let r = self.0.begin_read()?;
        let t = r.open_table(T)?;
        let mut c = 0;
        for e in t.range(from..)?.take(n) {
            let (k, v) = e?;
            f(k.value(), v.value());
            c += 1;
        }
        Ok(c)
    }
    fn settle(&self) -> R<()> {
        // One durable commit makes the unsynced ones persistent and lets freed pages be reused.
        self.write(true, |_| Ok(()))
    }
    fn compact(&mut self) -> R<()> {
        self.0.compact()?;
        Ok(())
    }
}
