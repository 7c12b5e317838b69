//! A real server killed with SIGKILL under load, again and again, on one data directory: every
//! acknowledged point and key is found after each restart, and every batch is whole or absent.
//!
//! The kill falls after a seeded number of acknowledgements, while other requests are under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::server::{Server, percent};

const ROUNDS: u64 = 20;
const WRITERS: u64 = 4;
const BATCH_POINTS: u64 = 50;

/// What one writer knows: batches acknowledged, and the one whose answer never came.
#[derive(Default)]
struct Ledger {
    acknowledged: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
    keys: BTreeMap<String, String>,
}

fn body(writer: u64, batch: u64) -> String {
    (0..BATCH_POINTS)
        .map(|i| {
            let n = batch * BATCH_POINTS + i;
            // A new series now and then, so that registration is under fire too.
            format!("load,w={writer},s={} n={n}i,half={}.5 {}\n", n / 1000, n / 2, 1_000_000 + n)
        })
        .collect()
}

fn write_until_killed(server: &Server, writer: u64, ledger: &Mutex<Ledger>, acks: &AtomicU64) {
    loop {
        let batch = {
            let ledger = ledger.lock().expect("no writer panics");
            let last = |set: &BTreeSet<u64>| set.last().map_or(0, |n| n + 1);
            last(&ledger.acknowledged).max(last(&ledger.unknown))
        };
        let answer = server.try_post("/write?db=kill", body(writer, batch).as_bytes());
        let mut ledger = ledger.lock().expect("no writer panics");
        match answer {
            Ok(answer) if answer.status == 204 => ledger.acknowledged.insert(batch),
            Ok(answer) => panic!("a write was refused: {} {}", answer.status, answer.text()),
            Err(_) => {
                ledger.unknown.insert(batch);
                return;
            }
        };
        drop(ledger);
        acks.fetch_add(1, Ordering::SeqCst);
    }
}

fn put_keys_until_killed(server: &Server, round: u64, ledger: &Mutex<Ledger>) {
    for n in 0.. {
        let (key, value) = (format!("r{round}-{n}"), format!("value {n}"));
        match server.try_put(&format!("/kv/kill/{key}"), value.as_bytes()) {
            Ok(answer) => assert!(answer.status < 300, "put refused: {}", answer.text()),
            Err(_) => return,
        }
        ledger.lock().expect("no writer panics").keys.insert(key, value);
    }
}

fn found(server: &Server, writer: u64) -> BTreeSet<u64> {
    let answer = server.query("kill", &format!("SELECT n FROM load WHERE w = '{writer}'"));
    let rows = answer["series"][0]["values"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| row[1].as_u64().expect("an integer")).collect()
}

fn verify(server: &Server, ledgers: &[Mutex<Ledger>], seed: u64) {
    for (writer, ledger) in ledgers.iter().enumerate() {
        let mut ledger = ledger.lock().expect("no writer panics");
        let found = found(server, writer as u64);
        let of = |batch: u64| batch * BATCH_POINTS..(batch + 1) * BATCH_POINTS;
        for batch in &ledger.acknowledged {
            let lost: Vec<u64> = of(*batch).filter(|n| !found.contains(n)).collect();
            assert!(lost.is_empty(), "seed {seed}: writer {writer} lost acknowledged {lost:?}");
        }
        let unknown = std::mem::take(&mut ledger.unknown);
        for batch in unknown {
            let count = of(batch).filter(|n| found.contains(n)).count() as u64;
            assert!(count == 0 || count == BATCH_POINTS, "seed {seed}: half a batch: {count}");
            if count == BATCH_POINTS {
                ledger.acknowledged.insert(batch);
            }
        }
        let known: u64 = ledger.acknowledged.len() as u64 * BATCH_POINTS;
        assert_eq!(found.len() as u64, known, "seed {seed}: points nobody wrote");
        for (key, value) in &ledger.keys {
            let answer = server.get(&format!("/kv/kill/{}", percent(key)));
            assert_eq!((answer.status, answer.text()), (200, value.as_str()), "seed {seed}: {key}");
        }
        ledger.keys.clear();
    }
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    let seed = 20_261_121;
    println!("seed {seed}");
    let dir = tempfile::tempdir().expect("a folder");
    let ledgers: Vec<Mutex<Ledger>> = (0..WRITERS).map(|_| Mutex::default()).collect();
    // Small limits, so that kills meet flushes, compactions and log rotations.
    let args = ["--set", "storage.memtable_bytes=256KiB", "--set", "wal.segment_bytes=256KiB"];
    for round in 0..ROUNDS {
        let server = Server::start(dir.path(), &args);
        verify(&server, &ledgers, seed);
        let acks = AtomicU64::new(0);
        let kill_after = 20 + (seed.wrapping_mul(round * 2 + 1) >> 7) % 180;
        std::thread::scope(|scope| {
            for (writer, ledger) in ledgers.iter().enumerate() {
                let (server, acks) = (&server, &acks);
                scope.spawn(move || write_until_killed(server, writer as u64, ledger, acks));
            }
            scope.spawn(|| put_keys_until_killed(&server, round, &ledgers[0]));
            while acks.load(Ordering::SeqCst) < kill_after {
                std::thread::yield_now();
            }
            server.kill_now();
        });
    }
    let server = Server::start(dir.path(), &args);
    verify(&server, &ledgers, seed);
    assert_eq!(server.stop(), Some(0), "a clean stop");
}
