//! A real process with sixteen writers, killed with SIGKILL again and again on one folder of a real
//! file system: what it said to have stored is there, and every batch is whole or absent.
//!
//! The process is this test binary once more, at [`the_process_that_is_killed`]. It writes an
//! acknowledgement to its output after every write; the kill falls after a seeded number of them,
//! or while it opens the store. A killed process loses nothing that it handed to the operating
//! system, so a round may wait for the disk or only for that.

#![expect(clippy::unwrap_used, reason = "a test, also outside its #[test]")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use firndb_engine::Error;
use firndb_engine::fs::real::RealFs;
use firndb_engine::fs::sim::Rng;
use firndb_engine::options::{Background, Durability, Options};
use firndb_engine::store::{CompactOptions, Store, WriteOptions};

use crate::proof;
use crate::script;
use crate::threads::{ids, read, write_as};

const WRITERS: usize = 16;
/// Acknowledgements before a kill, at the most.
const ACKS_MAX: u64 = 300;
const DIR: &str = "FIRNDB_KILLED_DIR";
const SYNCS: &str = "FIRNDB_KILLED_SYNCS";

fn options(dir: &Path, background: Background) -> Options {
    Options {
        dir: dir.to_owned(),
        background,
        memtable_bytes_max: 32 << 10,
        memtable_bytes_hard: 1 << 20,
        wal_segment_bytes: 64 << 10,
        wal_bytes_max: 256 << 10,
        ..script::options(Arc::new(RealFs))
    }
}

/// Opens the store. A lock that was let go of is still held while another test of this process is
/// between fork and exec: the new process has its file until then.
fn open(options: Options) -> Store {
    loop {
        match Store::open(options.clone()) {
            Err(Error::Locked { .. }) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

/// Not a test of its own: writes until it is killed, when it is told where.
#[test]
fn the_process_that_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let always = std::env::var_os(SYNCS).is_some();
    let durability = Some(if always { Durability::Always } else { Durability::Os });
    // Standard output itself, since what is printed would be kept by the harness.
    let say = |line: &str| std::io::stdout().write_all(line.as_bytes()).unwrap();
    say("\nopening\n");
    let store = open(options(Path::new(&dir), Background::Threads(2)));
    let ids = ids(&store);
    let snapshot = store.snapshot();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, snapshot, say) = (&store, &snapshot, &say);
            scope.spawn(move || {
                let first = read(store, ids, writer, snapshot).unwrap() + 1;
                for count in first.. {
                    write_as(store, ids, writer, count, WriteOptions { durability }).unwrap();
                    say(&format!("ack {writer} {count}\n"));
                    if writer == 0 && count % 64 == 0 {
                        store.compact(None, CompactOptions::default(), &|| false).unwrap();
                    }
                }
            });
        }
    });
}

fn start(dir: &Path, is_synced: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kill::the_process_that_is_killed", "--nocapture"]);
    command.env(DIR, dir).stdout(Stdio::piped()).stderr(Stdio::inherit());
    if is_synced {
        command.env(SYNCS, "1");
    }
    command.spawn().unwrap()
}

/// Lets a process write until `kill_after` acknowledgements, or only open; notes what it said.
fn live(dir: &Path, is_synced: bool, kill_after: u64, acked: &mut [u64; WRITERS]) {
    let mut child = start(dir, is_synced);
    let mut acks = 0;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // After the kill what it had still said is read to its end.
    while let Some(Ok(line)) = lines.next() {
        let words: Vec<_> = line.split(' ').collect();
        if let ["ack", writer, count] = words[..] {
            let (writer, count): (usize, u64) = (writer.parse().unwrap(), count.parse().unwrap());
            acked[writer] = acked[writer].max(count);
            acks += 1;
        } else if line != "opening" {
            continue;
        }
        if acks == kill_after {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert!(!status.success() && acks >= kill_after, "it ended by itself: {status}");
}

/// The counts that are there now.
fn examine(dir: &Path, acked: [u64; WRITERS]) -> [u64; WRITERS] {
    let store = open(options(dir, Background::Inline));
    let (ids, snapshot) = (ids(&store), store.snapshot());
    let report = store.check(true, &|_, _| {}).unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    std::array::from_fn(|writer| {
        let found = read(&store, ids, writer, &snapshot).unwrap();
        let acked = acked[writer];
        assert!(found >= acked, "writer {writer}: {acked} acknowledged, {found} found");
        assert!(found <= acked + 1, "writer {writer}: {found} found, {} begun", acked + 1);
        found
    })
}

fn survive(proof: &str, first: u64, rounds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut acked = [0; WRITERS];
    let mut kills = 0;
    for seed in proof::seeds(proof, first, rounds) {
        let mut rng = Rng::new(seed);
        if rng.one_in(4) {
            live(dir.path(), true, 0, &mut acked); // while it opens
            kills += 1;
        }
        live(dir.path(), rng.one_in(3), 1 + rng.below(ACKS_MAX), &mut acked);
        kills += 1;
        acked = examine(dir.path(), acked);
    }
    proof::looked(proof, kills, rounds);
}

#[test]
fn acknowledged_writes_survive_kills() {
    survive("kills", 0, 100);
}

#[test]
fn acknowledged_writes_survive_other_kills() {
    survive("kills, more", 7_000, 100);
}
