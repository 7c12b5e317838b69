//! Bytes written for each byte asked for, under each policy: a fill in random order, then as many
//! overwrites. No peer beside it: the figures do not depend on the machine, and those of RocksDB
//! and others under the same load are those of `benches/peers`.
//!
//! For each policy it prints what tables and the log cost in both phases, what a scan has to
//! merge afterwards and what is kept beyond the live bytes. `FIRNDB_AMPLIFICATION_KEYS` sets the
//! number of keys (2 million of 16 + 100 bytes).
//! Run: `cargo bench -p firndb-engine --bench amplification`.

// It measures and prints.
#![allow(missing_docs, clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

#[path = "shared/clock.rs"]
mod clock;

use std::sync::Arc;
use std::time::Duration;

use firndb_engine::batch::WriteBatch;
use firndb_engine::fs::real::RealFs;
use firndb_engine::hooks::Plain;
use firndb_engine::key::KeyspaceId;
use firndb_engine::metrics::StoreMetrics;
use firndb_engine::options::{
    Durability, KeyspaceOptions, LazyLeveled, Leveled, Options, Policy, Tiered,
};
use firndb_engine::store::{Store, WriteOptions};

use clock::BenchClock;

const VALUE: usize = 100;

/// The next of a sequence of random numbers.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Writes `count` keys out of as many, one a batch, then waits until no job is due.
fn write(store: &Store, keyspace: KeyspaceId, count: u64, state: &mut u64, in_order: bool) {
    let options = WriteOptions { durability: Some(Durability::Os) };
    let mut value = [0; VALUE];
    for index in 0..count {
        // A fill takes every key once, in an order that looks random.
        let which = if in_order { index } else { next(state) % count };
        let key = format!("{:016x}", next(&mut which.clone()));
        value.chunks_exact_mut(8).for_each(|to| to.copy_from_slice(&next(state).to_le_bytes()));
        let mut batch = WriteBatch::new();
        batch.put(keyspace, key.as_bytes(), &value);
        let _ = store.write(&batch, options).unwrap();
    }
    while !store.jobs().is_empty() {
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn report(phase: &str, before: &StoreMetrics, after: &StoreMetrics) {
    let (b, a) = (before.amplification(), after.amplification());
    let user = (a.user_bytes - b.user_bytes) as f64;
    let log = (after.wal.appended_bytes - before.wal.appended_bytes) as f64 / user;
    let flushed = (a.flushed_bytes - b.flushed_bytes) as f64 / user;
    let compacted = (a.compacted_bytes - b.compacted_bytes) as f64 / user;
    println!(
        "  {phase:9}  tables {:.2} (flush {flushed:.2} + compaction {compacted:.2})  \
         with the log ({log:.2}) {:.2}  runs {}  kept {:.2}",
        flushed + compacted,
        flushed + compacted + log,
        after.classes["kv"].read_amplification,
        a.table_bytes as f64 / after.classes["kv"].amplification.live_bytes.max(1) as f64,
    );
}

fn measure(name: &str, policy: Policy, keys: u64) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(BenchClock::new());
    let mut options = Options::new(dir.path(), Arc::new(RealFs), clock, Arc::new(Plain::new()));
    options.policy = policy;
    let store = Store::open(options).unwrap();
    let keyspace = store.create_keyspace("kv/t", KeyspaceOptions::default()).unwrap().id;
    println!("{name}");
    let mut state = 1;
    for (phase, in_order) in [("fill", true), ("overwrite", false), ("overwrite", false)] {
        let before = store.metrics();
        write(&store, keyspace, keys, &mut state, in_order);
        report(phase, &before, &store.metrics());
    }
    store.close().unwrap();
}

fn main() {
    let keys = std::env::var("FIRNDB_AMPLIFICATION_KEYS").ok().and_then(|text| text.parse().ok());
    let keys = keys.unwrap_or(2_000_000);
    let tiers = Tiered::default();
    measure("leveled", Policy::Leveled(Leveled::default()), keys);
    measure("tiered", Policy::Tiered(tiers), keys);
    measure("lazy leveled", Policy::LazyLeveled(LazyLeveled::default()), keys);
}
