//! The write-ahead log on the real file system: appends, group commit, replay.
//!
//! Prints appends a second (128 B bodies, no sync), then for 1 to 64 threads that each append and
//! wait for the disk: commits a second, records a sync and the mean sync, on a segment that grows
//! into a hole and on one that was prepared; then replay. What a sync costs is the disk's: compare
//! runs on one machine only. Run: `cargo bench --bench wal -- FOLDER`.

// It measures and prints.
#![allow(missing_docs, clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)]

#[path = "shared/clock.rs"]
mod clock;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use firndb::engine::fs::Fs;
use firndb::engine::fs::real::RealFs;
use firndb::engine::key::FileNumber;
use firndb::engine::wal::{Replay, ReplayOptions, Wal, WalMetrics, WalOptions, replay};

use clock::BenchClock;

const BODY: [u8; 128] = [7; 128];

fn appends(wal: &Wal, seq: &mut u64) {
    // As many as the buffer takes: what an append costs without the disk.
    let start = Instant::now();
    let count = 40_000;
    for _ in 0..count {
        *seq += 1;
        wal.append(*seq, &[&BODY]).unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("append, buffered:        {:6.2} M records/s", f64::from(count) / seconds / 1e6);
    wal.sync_to(wal.end()).unwrap();
}

fn commits(wal: &Wal, metrics: &WalMetrics, seq: &mut u64, name: &str) {
    for threads in [1, 4, 16, 64] {
        let (before, last) = (metrics.read().sync_ns, Mutex::new(*seq));
        let each = 8000 / threads;
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..each {
                        let position = {
                            let mut last = last.lock().unwrap();
                            *last += 1;
                            wal.append(*last, &[&BODY]).unwrap()
                        };
                        wal.sync_to(position).unwrap();
                    }
                });
            }
        });
        let (seconds, after) = (start.elapsed().as_secs_f64(), metrics.read().sync_ns);
        *seq = last.into_inner().unwrap();
        let (count, syncs) = ((threads * each) as f64, (after.count() - before.count()) as f64);
        println!(
            "{name} segment, {threads:2} threads: {:8.0} commits/s {:5.1} records/sync {:5.0} us/sync",
            count / seconds,
            count / syncs,
            (after.sum - before.sum) as f64 / syncs / 1e3
        );
    }
}

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = folder.unwrap_or_else(|| ".".into());
    let dir = tempfile::Builder::new().prefix("firndb-bench-wal").tempdir_in(folder).unwrap();
    let dir: &Path = dir.path();
    let last = AtomicU64::new(0);
    let numbers = Arc::new(move || FileNumber(last.fetch_add(1, Ordering::Relaxed) + 1));
    let (fs, clock): (Arc<dyn Fs>, _) = (Arc::new(RealFs), Arc::new(BenchClock::new()));
    let metrics = Arc::new(WalMetrics::default());
    let (options, replayed) = (WalOptions::default(), Replay::default());
    let wal =
        Wal::create(fs.clone(), dir, options, &replayed, clock, metrics.clone(), numbers).unwrap();
    let mut seq = 0;
    appends(&wal, &mut seq);
    commits(&wal, &metrics, &mut seq, "sparse  ");
    while !wal.needs_prepare() {
        seq += 1;
        let position = wal.append(seq, &[&[1; 32 << 10]]).unwrap();
        wal.sync_to(position).unwrap(); // a log that nobody syncs is not prepared
    }
    wal.prepare_next().unwrap();
    wal.rotate().unwrap();
    commits(&wal, &metrics, &mut seq, "prepared");
    wal.close().unwrap();
    let start = Instant::now();
    let found = replay(&*fs, dir, &ReplayOptions::new(0), &mut |_, _, _| Ok(()), &|_, _| {});
    let found = found.unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!("replay: {} records, {:.2} GB/s", found.records, found.bytes as f64 / seconds / 1e9);
}
