//! What the simulated disk promises to lose, and what not.

use super::*;
use crate::fs::{read_all, read_exact_at, write_all_at};

fn fs() -> SimFs {
    let fs = SimFs::new(1);
    fs.create_dir_all(Path::new("/d")).unwrap();
    fs
}

fn path(name: &str) -> PathBuf {
    Path::new("/d").join(name)
}

fn write(fs: &SimFs, name: &str, bytes: &[u8]) -> Box<dyn File> {
    let file = fs.create(&path(name)).unwrap();
    write_all_at(&*file, bytes, 0).unwrap();
    file
}

/// A file with a durable name and durable bytes.
fn write_durably(fs: &SimFs, name: &str, bytes: &[u8]) -> Box<dyn File> {
    let file = write(fs, name, bytes);
    file.sync().unwrap();
    fs.sync_dir(Path::new("/d")).unwrap();
    file
}

fn mode(keep: Keep, dirs: DirOrder) -> CrashMode {
    CrashMode { keep, dirs }
}

const NONE: CrashMode = CrashMode { keep: Keep::None, dirs: DirOrder::Any };
const ALL: CrashMode = CrashMode { keep: Keep::All, dirs: DirOrder::Any };

#[test]
fn only_what_was_synced_survives_and_reads_see_all() {
    let fs = fs();
    let file = write_durably(&fs, "a", b"one");
    write_all_at(&*file, b"two", 0).unwrap();
    file.set_len(5).unwrap();
    write(&fs, "b", b"no name");
    let nameless = write(&fs, "c", b"bytes without a name");
    nameless.sync().unwrap();
    assert_eq!(read_all(&fs, &path("a")).unwrap(), b"two\0\0");
    let after = fs.crash(NONE, 7);
    assert_eq!(after.files(), [path("a")]);
    assert_eq!(after.bytes(&path("a")).unwrap(), b"one");
    let after = fs.crash(ALL, 7);
    assert_eq!(after.files(), [path("a"), path("b"), path("c")]);
    assert_eq!(after.bytes(&path("a")).unwrap(), b"two\0\0");
    fs.sync_dir(Path::new("/d")).unwrap();
    let after = fs.crash(NONE, 7);
    assert_eq!(after.bytes(&path("b")).unwrap(), b"", "a name without its bytes");
    assert_eq!(after.bytes(&path("c")).unwrap(), b"bytes without a name");
}

#[test]
fn unsynced_rename_and_unlink_are_undone_or_not() {
    let fs = fs();
    write_durably(&fs, "a", b"a");
    write_durably(&fs, "b", b"b");
    fs.rename(&path("a"), &path("c")).unwrap();
    fs.remove_file(&path("b")).unwrap();
    assert_eq!(fs.files(), [path("c")]);
    assert_eq!(fs.crash(NONE, 1).files(), [path("a"), path("b")]);
    let outcomes = |order| {
        let mode = mode(Keep::Subset, order);
        let mut seen: Vec<_> = (0..64).map(|seed| fs.crash(mode, seed).files()).collect();
        seen.sort();
        seen.dedup();
        seen
    };
    let (a, b, c) = (path("a"), path("b"), path("c"));
    let ordered = [vec![a.clone(), b.clone()], vec![b.clone(), c.clone()], vec![c.clone()]];
    assert_eq!(outcomes(DirOrder::Ordered), ordered, "never the unlink alone");
    assert_eq!(outcomes(DirOrder::Any).len(), 4);
    assert!(outcomes(DirOrder::Any).contains(&vec![a]));
}

#[test]
fn a_rename_over_a_file_gives_the_old_or_the_new_one() {
    let fs = fs();
    write_durably(&fs, "current", b"old");
    write_durably(&fs, "new", b"new");
    fs.rename(&path("new"), &path("current")).unwrap();
    for seed in 0..16 {
        let after = fs.crash(mode(Keep::Subset, DirOrder::Any), seed);
        let bytes = after.bytes(&path("current")).unwrap();
        assert!(bytes == b"old" || bytes == b"new");
    }
}

#[test]
fn sectors_survive_in_any_subset_or_up_to_a_torn_one() {
    let fs = fs();
    let file = write_durably(&fs, "a", &[0; 2048]);
    write_all_at(&*file, &[1; 2048 + 100], 0).unwrap();
    let (mut reordered, mut grown, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let bytes = fs.crash(mode(Keep::Subset, DirOrder::Any), seed).bytes(&path("a")).unwrap();
        let kept: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|s| s.iter().all(|b| *b == s[0])), "sectors are whole");
        reordered += u32::from(kept.windows(2).any(|pair| pair == [0, 1]));
        grown += u32::from(bytes.len() == 2148 && bytes[2048] == 0);

        let bytes = fs.crash(mode(Keep::Torn, DirOrder::Ordered), seed).bytes(&path("a")).unwrap();
        let ones = bytes.iter().take_while(|b| **b == 1).count();
        assert!(bytes[ones..].iter().all(|b| *b == 0), "a prefix");
        torn += u32::from(ones % 512 != 0 && ones < 2148);
    }
    assert!(reordered > 50 && grown > 5 && torn > 50, "{reordered} {grown} {torn}");
}

#[test]
fn a_crash_is_the_same_for_the_same_seed_and_leaves_the_source_alone() {
    let fs = fs();
    write(&fs, "a", &[3; 5000]);
    write(&fs, "b", &[4; 5000]);
    fs.link(&path("a"), &path("twin")).unwrap();
    for mode in CrashMode::ALL {
        let images: Vec<_> = (0..2)
            .map(|_| {
                let after = fs.crash(mode, 99);
                after.files().iter().map(|p| (p.clone(), after.bytes(p))).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(images[0], images[1]);
    }
    let after = fs.crash(ALL, 1);
    after.flip_bit(&path("a"), 0, 0);
    assert_eq!(after.bytes(&path("twin")).unwrap()[0], 2, "one file, two names");
    assert_eq!(fs.bytes(&path("a")).unwrap()[0], 3);
}

#[test]
fn a_failed_sync_forgets_what_it_dropped() {
    let fs = fs();
    let file = write_durably(&fs, "a", &[0; 4096]);
    write_all_at(&*file, &[1; 4096], 0).unwrap();
    let now = fs.op_count();
    fs.inject(now..now + 1, None, Fault::Eio);
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
    file.sync().unwrap();
    assert_eq!(fs.bytes(&path("a")).unwrap(), [1; 4096], "reads show the new bytes");
    let lost = fs.crash(ALL, 1).bytes(&path("a")).unwrap();
    assert!(lost.contains(&0) && lost.contains(&1), "a retried sync brings nothing back");
}

#[test]
fn injected_faults_hit_the_calls_they_apply_to() {
    let fs = fs();
    let file = write(&fs, "a", b"0123456789");
    let next = |fault, only| {
        let now = fs.op_count();
        fs.heal();
        fs.inject(now..now + 1, only, fault);
    };
    next(Fault::NoSpace, None);
    assert_eq!(file.len().unwrap(), 10, "no room is needed to ask the length");
    next(Fault::NoSpace, None);
    assert_eq!(file.write_at(b"x", 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
    next(Fault::Eio, Some(OpKind::Read));
    assert_eq!(file.write_at(b"0", 0).unwrap(), 1, "only reads were to fail");
    next(Fault::Interrupted, None);
    write_all_at(&*file, b"abc", 0).unwrap();
    next(Fault::Short, None);
    write_all_at(&*file, b"defgh", 3).unwrap();
    next(Fault::Short, None);
    let mut buf = [0; 10];
    read_exact_at(&*file, &mut buf, 0).unwrap();
    assert_eq!(&buf, b"abcdefgh89");
    fs.inject(fs.op_count()..u64::MAX, None, Fault::Eio);
    assert!(fs.exists(&path("a")).is_err() && fs.list(Path::new("/d")).is_err());
    fs.heal();
    assert!(fs.exists(&path("a")).unwrap());
}

#[test]
fn after_the_crash_point_nothing_happens() {
    let fs = fs();
    let file = write_durably(&fs, "a", b"a");
    fs.crash_at(fs.op_count() + 1);
    write_all_at(&*file, b"b", 0).unwrap();
    assert!(file.sync().is_err() && fs.remove_file(&path("a")).is_err());
    assert_eq!(fs.crash(NONE, 0).bytes(&path("a")).unwrap(), b"a");
    assert_eq!(fs.crash(ALL, 0).bytes(&path("a")).unwrap(), b"b");
}

#[test]
fn calls_are_counted_traced_and_observed() {
    let fs = fs();
    fs.start_trace();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, source) = (seen.clone(), fs.clone());
    fs.observe(Some(Box::new(move |number, op| {
        log.lock().push((number, op.kind, source.crash(ALL, 0).files().len()));
    })));
    let before = fs.op_count();
    drop(write(&fs, "a", b"a"));
    fs.observe(None);
    assert_eq!(*seen.lock(), [(before, OpKind::Create, 0), (before + 1, OpKind::Write, 1)]);
    fs.sync_dir(Path::new("/d")).unwrap();
    let trace: Vec<_> = fs.trace().into_iter().map(|op| (op.kind, op.path)).collect();
    let dir = PathBuf::from("/d");
    let expected =
        [(OpKind::Create, path("a")), (OpKind::Write, path("a")), (OpKind::SyncDir, dir)];
    assert_eq!(trace, expected);
}

#[test]
fn the_rules_of_the_seam_hold() {
    let fs = fs();
    let file = write(&fs, "a", b"a");
    assert_eq!(fs.create(&path("a")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs.link(&path("a"), &path("a")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs.open(&path("b")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(fs.create(Path::new("/no/b")).unwrap_err().kind(), io::ErrorKind::NotFound);
    let reader = fs.open(&path("a")).unwrap();
    assert_eq!(reader.write_at(b"x", 0).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    fs.remove_file(&path("a")).unwrap();
    write_all_at(&*file, b"still there", 0).unwrap();
    assert_eq!(reader.len().unwrap(), 11, "an open file outlives its name");
    let held = fs.lock(&path("LOCK")).unwrap();
    assert_eq!(fs.lock(&path("LOCK")).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(held);
    drop(fs.lock(&path("LOCK")).unwrap());
    fs.create_dir_all(Path::new("/d/e/f")).unwrap();
    assert_eq!(fs.list(Path::new("/d")).unwrap(), ["LOCK", "e"]);
    assert!(fs.remove_dir(Path::new("/d/e")).is_err());
    fs.remove_dir(Path::new("/d/e/f")).unwrap();
    assert!(!fs.exists(Path::new("/d/e/f")).unwrap() && fs.exists(Path::new("/d/e")).unwrap());
}
