//! Random histories against maps, each under options of its own, so that blocks of one entry, no
//! filter, no cache, tiny memtables and every policy meet every kind of step.

use firndb_engine::compress::Compression;
use firndb_engine::fs::sim::Rng;
use firndb_engine::options::{Background, Durability, Options};

use crate::history::{self, pick, random_policy};
use crate::proof;

const STEPS: u64 = 1_500;

fn agree(proof: &str, first: u64, count: u64, gate_min: u64) {
    let mut operations = 0;
    for seed in proof::seeds(proof, first, count) {
        let mut rng = Rng::new(seed);
        let options = random_options(&mut rng, seed);
        operations += history::run(seed, rng, options, STEPS, None).operations;
    }
    proof::looked(proof, operations, gate_min);
}

#[test]
fn histories_agree_with_maps() {
    agree("operations against maps", 0, 60, 500_000);
}

#[test]
fn other_histories_agree_with_maps() {
    agree("operations against maps, more", 50_000, 60, 500_000);
}

fn random_options(rng: &mut Rng, seed: u64) -> Options {
    let mut options = history::options(seed);
    let is_threaded = rng.one_in(4);
    options.background = if is_threaded { Background::Threads(2) } else { Background::Inline };
    options.durability = pick(rng, &[Durability::Always, Durability::Interval, Durability::Os]);
    options.memtable_bytes_max = pick(rng, &[4 << 10, 32 << 10, 256 << 10]);
    options.wal_segment_bytes = pick(rng, &[16 << 10, 256 << 10]);
    options.block_bytes = pick(rng, &[1, 256, 4096]);
    options.restart_interval = pick(rng, &[1, 3, 16]);
    options.filter_bits_per_key = pick(rng, &[0, 4, 10]);
    options.cache_bytes = pick(rng, &[0, 16 << 10, 8 << 20]);
    options.files_open_max = pick(rng, &[1, 1000]);
    options.compression_upper = pick(rng, &[Compression::None, Compression::Zstd(1)]);
    options.compression_last = pick(rng, &[Compression::None, Compression::Zstd(3)]);
    options.table_bytes_max = pick(rng, &[2 << 10, 16 << 10, 1 << 20]);
    options.policy = random_policy(rng);
    options
}
