//! The store that the examples in the documentation run on: in memory, with one keyspace.

use std::sync::Arc;

use crate::Result;
use crate::clock::ManualClock;
use crate::fs::sim::SimFs;
use crate::hooks::Plain;
use crate::keyspace::Keyspace;
use crate::options::{Background, KeyspaceOptions, Options};
use crate::store::Store;

/// Options of a store in memory whose merge operator appends.
pub fn options() -> Options {
    let append = |_: &[u8], base: Option<&[u8]>, operands: &[&[u8]]| {
        [base.unwrap_or_default(), &operands.concat()].concat()
    };
    let (fs, clock) = (Arc::new(SimFs::new(1)), Arc::new(ManualClock::at(1)));
    let hooks = Arc::new(Plain::with_merge(append));
    let mut options = Options::new("/store", fs, clock, hooks);
    options.background = Background::Inline;
    options.wal_segment_bytes = 1 << 20;
    options
}

/// A store in memory with the keyspace `notes`, which holds `a` to `e`, each with `1`.
pub fn store() -> Result<(Store, Keyspace)> {
    let store = Store::open(options())?;
    let notes = store.create_keyspace("notes", KeyspaceOptions::default())?;
    let mut batch = crate::batch::WriteBatch::new();
    for key in [b"a", b"b", b"c", b"d", b"e"] {
        batch.put(notes.id, key, b"1");
    }
    store.write(&batch, crate::options::WriteOptions::default())?.wait()?;
    Ok((store, notes))
}
