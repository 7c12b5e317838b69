//! A durable, ordered key-value store (LSM). Knows nothing of time series.
//!
//! A program embeds it: it opens a [`store::Store`] in a folder and keeps its data in keyspaces,
//! each an ordered map of its own. What a write gives back is on disk, unless less was asked for.
//!
//! ```
//! use std::sync::Arc;
//!
//! use firndb_engine::batch::WriteBatch;
//! use firndb_engine::clock::Clock;
//! use firndb_engine::fs::real::RealFs;
//! use firndb_engine::hooks::Plain;
//! use firndb_engine::options::{KeyspaceOptions, Options};
//! use firndb_engine::store::{ScanOptions, Store, WriteOptions};
//!
//! /// The engine reads no clock of its own: the program hands one in.
//! #[derive(Debug)]
//! struct SystemClock(std::time::Instant);
//!
//! impl Clock for SystemClock {
//!     fn unix_ns(&self) -> i64 {
//!         let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
//!         since.as_nanos() as i64
//!     }
//!     fn monotonic_ns(&self) -> u64 {
//!         self.0.elapsed().as_nanos() as u64
//!     }
//! }
//!
//! # let folder = tempfile::tempdir()?;
//! # let dir = folder.path();
//! // Open. `Plain` is for keys and values without a merge operator.
//! let clock = Arc::new(SystemClock(std::time::Instant::now()));
//! let mut options = Options::new(dir, Arc::new(RealFs), clock, Arc::new(Plain::new()));
//! options.cache_bytes = 32 << 20;
//! # options.wal_segment_bytes = 1 << 20;
//! let store = Store::open(options)?;
//! let users = store.create_keyspace("users", KeyspaceOptions::default())?;
//!
//! // Write: a batch is stored whole or not at all, over any number of keyspaces.
//! let mut batch = WriteBatch::new();
//! batch.put(users.id, b"ada", b"London");
//! batch.put(users.id, b"grace", b"New York");
//! batch.put(users.id, b"konrad", b"Berlin");
//! store.write(&batch, WriteOptions::default())?.wait()?;
//!
//! // Read: one key, several, a range of them.
//! assert_eq!(store.get(users.id, b"ada", None)?.as_deref(), Some(&b"London"[..]));
//! let values = store.multi_get(users.id, &["konrad", "nobody"], None)?;
//! assert!(values[0].is_some() && values[1].is_none());
//! for pair in store.scan(users.id, ScanOptions::prefix(b"g"))? {
//!     let (key, value) = pair?;
//!     println!("{} lives in {}", key.escape_ascii(), value.escape_ascii());
//! }
//!
//! // A snapshot stands while others write.
//! let before = store.snapshot();
//!
//! // A transaction: what it read is still so when it commits, or it is run again.
//! store.transact(10, |transaction| {
//!     let Some(city) = transaction.get(users.id, b"grace")? else { return Ok(()) };
//!     transaction.delete(users.id, b"grace")?;
//!     transaction.put(users.id, b"grace hopper", &city)
//! })?;
//! assert!(store.get(users.id, b"grace", None)?.is_none());
//! assert!(store.get(users.id, b"grace", Some(&before))?.is_some());
//! drop(before);
//!
//! // Flushes and compactions run by themselves; they may be asked for, too.
//! store.flush(None)?;
//! store.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where to go on: [`options::Options`] and [`options::RuntimeOptions`] for what may be tuned,
//! [`transaction`] for what transactions promise, [`mod@backup`] for backups and the way back,
//! [`hooks`] for merge operators and more,
//! [`error::Error`] for what can go wrong and what to do then, [`store::Store`] for the rest, with
//! an example each.
//!
//! Modules in order; each may use those above it:

pub mod budget;
pub mod clock;
pub mod error;
mod prefetch;
mod sync;

pub mod bloom;
pub mod coding;
pub mod histogram;
pub mod key;

pub mod expiry;
pub mod range_delete;

pub mod fs;
pub mod hooks;
pub mod memtable;
pub mod scan;

pub mod compress;
pub mod options;

pub mod batch;
pub mod cache;
pub mod conflicts;

pub mod table;
pub mod wal;

pub mod manifest;

pub mod levels;

pub mod outputs;

pub mod flush;

pub mod compaction;

pub mod keyspace;
pub mod publish;
pub mod snapshot;

pub mod background;
pub mod events;
pub mod jobs;
pub mod metrics;

mod folder;

mod kernel;

pub mod transaction;

pub mod check;
pub mod recovery;

pub mod inspect;
pub mod repair;

pub mod store;

pub mod backup;

#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod example;

pub use error::{Error, Result};
