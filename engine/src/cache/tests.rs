//! What the cache bounds, charges and gives back.

use super::*;

fn load(len: usize) -> Result<BlockBytes> {
    Ok(BlockBytes::new(vec![len as u8; len]))
}

fn never() -> Result<BlockBytes> {
    panic!("the block is cached")
}

#[test]
fn a_block_is_read_once() {
    let budget = Budget::new(1 << 30);
    let cache = Cache::new(1 << 20, budget.clone());
    assert_eq!(cache.block(FileNumber(1), 0, || load(100)).unwrap().len(), 100);
    assert_eq!(cache.block(FileNumber(1), 0, never).unwrap().len(), 100);
    assert_eq!(cache.block(FileNumber(2), 0, || load(50)).unwrap().len(), 50);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.read_bytes), (1, 2, 150));
    assert_eq!(budget.held_bytes(Share::Caches), stats.cached_bytes);
    drop(cache);
    assert_eq!(budget.held_bytes(Share::Caches), 0);
}

#[test]
fn a_failed_load_leaves_nothing_behind() {
    let cache = Cache::new(1 << 20, Budget::unlimited());
    assert!(cache.block(FileNumber(1), 0, || Err(Error::Closed)).is_err());
    assert!(cache.peek(FileNumber(1), 0).is_none());
    assert_eq!(cache.block(FileNumber(1), 0, || load(100)).unwrap().len(), 100);
    assert!(cache.peek(FileNumber(1), 0).is_some());
}

#[test]
fn size_and_budget_bound_the_blocks() {
    let cases = [
        ("no cache at all", 0, u64::MAX, 0),
        ("a small cache", 10_000, u64::MAX, 10_000),
        ("a small budget", 1 << 20, 10_000, 10_000),
    ];
    for (name, bytes_max, limit_bytes, held_max) in cases {
        let budget = Budget::new(limit_bytes);
        let cache = Cache::new(bytes_max, budget.clone());
        for offset in 0..500 {
            assert_eq!(cache.block(FileNumber(1), offset, || load(500)).unwrap().len(), 500);
            assert!(budget.held_bytes(Share::Caches) <= held_max, "{name}");
        }
    }
}

#[test]
fn a_block_in_use_stays_charged_after_eviction() {
    let budget = Budget::unlimited();
    let cache = Cache::new(2_000, budget.clone());
    let held: Vec<_> =
        (0..10).map(|offset| cache.block(FileNumber(1), offset, || load(500)).unwrap()).collect();
    assert!(budget.held_bytes(Share::Caches) >= 5_000);
    drop(held);
    assert!(budget.held_bytes(Share::Caches) <= 2_000);
}

#[test]
fn pins_take_at_most_half_and_give_it_back() {
    let budget = Budget::unlimited();
    let cache = Cache::new(100_000, budget.clone());
    let block = |offset| {
        let block = cache.block(FileNumber(1), offset, || load(20_000)).unwrap();
        (cache.pin(FileNumber(1), offset, &block), block)
    };
    let first = block(0);
    let second = block(1);
    let third = block(2);
    assert!(first.0.is_some() && second.0.is_some() && third.0.is_none());
    assert!(cache.peek(FileNumber(1), 0).is_none(), "a pinned block is the holder's alone");
    assert!(cache.peek(FileNumber(1), 2).is_some());
    assert_eq!(cache.stats().pinned_bytes, 2 * (20_000 + BLOCK_OVERHEAD_BYTES));
    drop((first, second, third));
    assert_eq!(cache.stats().pinned_bytes, 0);
    assert_eq!(budget.held_bytes(Share::Caches), cache.stats().cached_bytes);
}

#[test]
fn aligned_blocks_start_at_a_line() {
    for len in [0, 1, 63, 64, 1000] {
        let bytes = vec![3; len];
        let block = BlockBytes::aligned(&bytes);
        assert_eq!(*block, *bytes);
        assert_eq!(block.as_ptr() as usize % 64, 0);
    }
}

#[test]
fn a_scan_does_not_push_out_what_is_read_again_and_again() {
    const BLOCK: usize = 4000;
    let cache = Cache::new(4 << 20, Budget::unlimited());
    let read = |file, offset| cache.block(FileNumber(file), offset, || load(BLOCK)).unwrap();
    // Half of what fits is hot.
    let hot = 500;
    for _ in 0..4 {
        (0..hot).for_each(|offset| drop(read(1, offset)));
    }
    // Ten times what fits comes by once, and the hot blocks are read now and then.
    for offset in 0..10_000 {
        read(2, offset);
        if offset % 20 == 0 {
            read(1, offset / 20);
        }
    }
    let kept = (0..hot).filter(|offset| cache.peek(FileNumber(1), *offset).is_some()).count();
    assert!(kept > hot as usize * 9 / 10, "{kept} of {hot} hot blocks are left");
    let misses = cache.stats().misses;
    (0..hot).for_each(|offset| drop(read(1, offset)));
    assert!(cache.stats().misses - misses < hot / 10);
}
