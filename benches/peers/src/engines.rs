//! One adapter per engine behind one trait. To add one: an adapter, a feature with its dependency
//! in Cargo.toml, and one arm in `open`.

use std::path::Path;

pub type R<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Clone, Copy)]
pub struct Opts {
    /// Block / page cache in bytes (ignored by LMDB, which is mmap only).
    pub cache: usize,
    /// LZ4 where the engine has it; otherwise stored plain.
    pub lz4: bool,
    /// The engine is opened for synced single-op commits.
    pub sync: bool,
}

pub trait Kv: Send + Sync {
    /// One committed write. `sync`: durable against power loss on return.
    fn put(&self, k: &[u8], v: &[u8], sync: bool) -> R<()>;
    /// One atomic unsynced batch (used to load the rest of the data set).
    fn put_batch(&self, kvs: &[([u8; 16], Vec<u8>)]) -> R<()>;
    /// Point lookup; hands the value to `f`. False when absent.
    fn get(&self, k: &[u8], f: &mut dyn FnMut(&[u8])) -> R<bool>;
    /// Seek to `from`, read up to `n` pairs. Returns how many were read.
    fn scan(&self, from: &[u8], n: usize, f: &mut dyn FnMut(&[u8], &[u8])) -> R<usize>;
    /// Flush buffers and wait until background work is idle.
    fn settle(&self) -> R<()>;
    /// Full manual compaction / vacuum.
    fn compact(&mut self) -> R<()>;
}

#[cfg(feature = "fjall")]
mod fjall_;
#[cfg(feature = "heed")]
mod heed_;
#[cfg(feature = "ours")]
mod ours;
#[cfg(feature = "redb")]
mod redb_;
#[cfg(feature = "rocksdb")]
mod rocksdb_;
#[cfg(feature = "sled")]
mod sled_;
#[cfg(feature = "sqlite")]
mod sqlite_;

pub fn names() -> Vec<&'static str> {
    let mut v: Vec<&'static str> = Vec::new();
    if cfg!(feature = "ours") {
        v.push("ours");
        v.push("ours-tiered");
        v.push("ours-crossbeam");
    }
    if cfg!(feature = "rocksdb") {
        v.push("rocksdb");
    }
    if cfg!(feature = "fjall") {
        v.push("fjall");
    }
    if cfg!(feature = "redb") {
        v.push("redb");
    }
    if cfg!(feature = "heed") {
        v.push("lmdb");
    }
    if cfg!(feature = "sqlite") {
        v.push("sqlite");
    }
    if cfg!(feature = "sled") {
        v.push("sled");
    }
    v
}

pub fn open(name: &str, dir: &Path, o: Opts) -> R<Box<dyn Kv>> {
    std::fs::create_dir_all(dir)?;
    match name {
        #[cfg(feature = "rocksdb")]
        "rocksdb" => Ok(Box::new(rocksdb_::Db::open(dir, o)?)),
        #[cfg(feature = "fjall")]
        "fjall" => Ok(Box::new(fjall_::Db::open(dir, o)?)),
        #[cfg(feature = "redb")]
        "redb" => Ok(Box::new(redb_::Db::open(dir, o)?)),
        #[cfg(feature = "heed")]
        "lmdb" => Ok(Box::new(heed_::Db::open(dir, o)?)),
        #[cfg(feature = "sqlite")]
        "sqlite" => Ok(Box::new(sqlite_::Db::open(dir, o)?)),
        #[cfg(feature = "sled")]
        "sled" => Ok(Box::new(sled_::Db::open(dir, o)?)),
        #[cfg(feature = "ours")]
        "ours" | "ours-tiered" | "ours-crossbeam" => Ok(Box::new(ours::Db::open(name, dir, o)?)),
        _ => Err(format!("no engine {name}").into()),
    }
}
