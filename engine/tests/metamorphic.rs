//! One history under sixteen configurations: whatever the policy, the blocks, the filters, the
//! cache, the memtables, the compression and the threads, and whenever data is moved about and the
//! policy changed, the answers are the same.

use firndb_engine::compress::Compression;
use firndb_engine::fs::sim::Rng;
use firndb_engine::memtable::MemtableKind;
use firndb_engine::options::{
    Background, LazyLeveled, Leveled, Options, Policy, Tiered, TimeWindow,
};

use crate::history;
use crate::proof;

const STEPS: u64 = 150;

/// What one configuration sets.
struct Config {
    policy: Policy,
    memtable: MemtableKind,
    /// Bytes of a block, entries between whole keys.
    block: (usize, usize),
    filter_bits: u32,
    cache_bytes: u64,
    memtable_bytes: u64,
    table_bytes: u64,
    compression: Compression,
    threads: usize,
}

fn leveled(runs0_trigger: u32, ratio: u32, base_bytes: u64) -> Policy {
    Policy::Leveled(Leveled { runs0_trigger, ratio, base_bytes })
}

fn tiered(merge_runs_min: u32, merge_runs_max: u32, runs_max: u32) -> Tiered {
    Tiered { merge_runs_min, merge_runs_max, ratio: 2.0, runs_max }
}

/// The sixteen: what matters is that each setting meets each other.
fn configs() -> [Config; 16] {
    std::array::from_fn(|index| Config {
        policy: match index % 5 {
            0 => leveled(4, 10, 64 << 10),
            1 => leveled(1, 2, 8 << 10),
            2 => Policy::Tiered(tiered(4, 16, 12)),
            3 => Policy::LazyLeveled(LazyLeveled { tiers: tiered(2, 4, 4), ratio: 2 }),
            _ => Policy::TimeWindow(TimeWindow { tiers: tiered(2, 4, 4), prefix_bytes: 1 }),
        },
        memtable: [MemtableKind::Arena, MemtableKind::Crossbeam][index / 4 % 2],
        block: [(4096, 16), (1, 1), (256, 3), (256, 16)][index % 4],
        filter_bits: [10, 0, 4][index % 3],
        cache_bytes: [8 << 20, 0, 16 << 10][index / 2 % 3],
        memtable_bytes: [256 << 10, 4 << 10, 32 << 10, 4 << 10][index / 4],
        table_bytes: [1 << 20, 2 << 10][index / 8],
        compression: if index % 7 < 4 { Compression::None } else { Compression::Zstd(1) },
        threads: if index % 4 == 3 { 2 } else { 0 },
    })
}

fn options(seed: u64, config: &Config) -> Options {
    let mut options = history::options(seed);
    (options.policy, options.memtable) = (config.policy, config.memtable);
    (options.block_bytes, options.restart_interval) = config.block;
    options.filter_bits_per_key = config.filter_bits;
    options.cache_bytes = config.cache_bytes;
    options.memtable_bytes_max = config.memtable_bytes;
    options.table_bytes_max = config.table_bytes;
    (options.compression_upper, options.compression_last) =
        (config.compression, config.compression);
    options.background = match config.threads {
        0 => Background::Inline,
        threads => Background::Threads(threads),
    };
    options
}

fn agree(proof: &str, first: u64, count: u64) {
    let (configs, mut histories) = (configs(), 0);
    for seed in proof::seeds(proof, first, count) {
        let mut expected = None;
        for (index, config) in configs.iter().enumerate() {
            let churn = Rng::new(seed << 8 | index as u64);
            let found =
                history::run(seed, Rng::new(seed), options(seed, config), STEPS, Some(churn));
            let expected = *expected.get_or_insert(found);
            assert_eq!(found, expected, "seed {seed}: configuration {index} answers otherwise");
            histories += 1;
        }
    }
    proof::looked(proof, histories, count * configs.len() as u64);
}

#[test]
fn configurations_give_equal_answers() {
    agree("histories in configurations", 0, 100);
}

#[test]
fn configurations_give_equal_answers_to_other_histories() {
    agree("histories in configurations, more", 30_000, 100);
}
