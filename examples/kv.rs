//! The engine alone: a durable, ordered key-value store inside your program.
//!
//! `cargo run --example kv` writes into a temporary folder, reopens it and reads everything back.

#![allow(clippy::print_stdout)] // an example shows what it got

use std::sync::Arc;

use firndb::SystemClock;
use firndb::engine::batch::WriteBatch;
use firndb::engine::fs::real::RealFs;
use firndb::engine::hooks::Plain;
use firndb::engine::options::{KeyspaceOptions, Options};
use firndb::engine::scan::bounds::Bounds;
use firndb::engine::store::{ScanOptions, Store, WriteOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    // A merge operator: operands are added up, so counting needs no read.
    let sum = |_: &[u8], base: Option<&[u8]>, operands: &[&[u8]]| {
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or(0);
        let total: u64 = base.into_iter().chain(operands.iter().copied()).map(number).sum();
        total.to_le_bytes().to_vec()
    };
    let options = || {
        let clock = Arc::new(SystemClock::new());
        Options::new(dir.path(), Arc::new(RealFs), clock, Arc::new(Plain::with_merge(sum)))
    };

    let store = Store::open(options())?;
    let users = store.create_keyspace("kv/users", KeyspaceOptions::default())?;
    let counts = store.create_keyspace("kv/counts", KeyspaceOptions::default())?;
    for (name, city) in [("ada", "London"), ("grace", "New York"), ("konrad", "Berlin")] {
        // One batch, two keyspaces, all or nothing; on disk when `write` returns.
        let mut batch = WriteBatch::new();
        batch.put(users.id, name.as_bytes(), city.as_bytes());
        batch.merge(counts.id, b"users", &1u64.to_le_bytes());
        store.write(&batch, WriteOptions::default())?.wait()?;
    }

    let before = store.snapshot();
    let mut batch = WriteBatch::new();
    batch.delete(users.id, b"grace");
    store.write(&batch, WriteOptions::default())?.wait()?;
    assert!(store.get(users.id, b"grace", None)?.is_none());
    assert!(store.get(users.id, b"grace", Some(&before))?.is_some(), "a snapshot stands");
    drop(before);
    store.close()?;
    drop(store);

    let store = Store::open(options())?;
    let bounds = Bounds::prefix(b"");
    for entry in store.scan(users.id, ScanOptions { bounds, ..ScanOptions::default() })? {
        let (key, value) = entry?;
        println!("{} lives in {}", String::from_utf8_lossy(&key), String::from_utf8_lossy(&value));
    }
    let count = store.get(counts.id, b"users", None)?.expect("it was counted");
    println!("{} users were ever added", u64::from_le_bytes(count[..].try_into()?));
    Ok(())
}
