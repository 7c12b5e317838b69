//! SQLite, a table WITHOUT ROWID and a write-ahead log; one connection a thread.

use super::*;
use rusqlite::*;
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Mutex;

pub struct Db {
    path: PathBuf,
    o: Opts,
    w: Mutex<()>,
}

thread_local! {
    static C: RefCell<Option<(PathBuf, Connection)>> = const { RefCell::new(None) };
}

impl Db {
    pub fn open(dir: &Path, o: Opts) -> R<Self> {
        let d = Db { path: dir.join("db.sqlite"), o, w: Mutex::new(()) };
        d.with(|c| {
            c.execute_batch(
                "CREATE TABLE IF NOT EXISTS t(k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID",
            )?;
            Ok(())
        })?;
        Ok(d)
    }
    fn with<T>(&self, f: impl FnOnce(&Connection) -> R<T>) -> R<T> {
        C.with(|c| {
            let mut c = c.borrow_mut();
            if c.as_ref().map(|x| &x.0) != Some(&self.path) {
                let k = Connection::open(&self.path)?;
                k.busy_timeout(std::time::Duration::from_secs(60))?;
                let s = if self.o.sync { "FULL" } else { "OFF" };
                k.execute_batch(&format!(
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous={s}; PRAGMA cache_size=-{};",
                    self.o.cache / 1024
                ))?;
                *c = Some((self.path.clone(), k));
            }
            f(&c.as_ref().unwrap().1)
        })
    }
}

impl Kv for Db {
    fn put(&self, k: &[u8], v: &[u8], _sync: bool) -> R<()> {
        let _g = self.w.lock().unwrap();
        self.with(|c| {
            c.prepare_cached("INSERT OR REPLACE INTO t VALUES(?,?)")?.execute((k, v))?;
            Ok(())
        })
    }
    fn put_batch(&self, kvs: &[([u8; 16], Vec<u8>)]) -> R<()> {
        let _g = self.w.lock().unwrap();
        self.with(|c| {
            let t = c.unchecked_transaction()?;
            {
                let mut s = t.prepare_cached("INSERT OR REPLACE INTO t VALUES(?,?)")?;
                for (k, v) in kvs {
                    s.execute((&k[..], &v[..]))?;
                }
            }
            t.commit()?;
            Ok(())
        })
    }
    fn get(&self, k: &[u8], f: &mut dyn FnMut(&[u8])) -> R<bool> {
        self.with(|c| {
            let mut s = c.prepare_cached("SELECT v FROM t WHERE k=?")?;
            let mut r = s.query([k])?;
            match r.next()? {
                Some(x) => {
                    f(x.get_ref(0)?.as_blob()?);
                    Ok(true)
                }
                None => Ok(false),
            }
        })
    }
    fn scan(&self, from: &[u8], n: usize, f: &mut dyn FnMut(&[u8], &[u8])) -> R<usize> {
        self.with(|c| {
            let mut s = c.prepare_cached("SELECT k,v FROM t WHERE k>=? ORDER BY k LIMIT ?")?;
            let mut r = s.query((from, n as i64))?;
            let mut c = 0;
            while let Some(x) = r.next()? {
                f(x.get_ref(0)?.as_blob()?, x.get_ref(1)?.as_blob()?);
                c += 1;
            }
            Ok(c)
        })
    }
    fn settle(&self) -> R<()> {
        self.with(|c| {
            c.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(())
        })
    }
    fn compact(&mut self) -> R<()> {
        self.with(|c| {
            c.execute_batch("VACUUM")?;
            c.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(())
        })
    }
}
