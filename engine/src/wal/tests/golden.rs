//! What every version of the format looks like on disk, for ever.

use super::unsynced::{long_log, long_records};
use super::*;

/// The bytes of version 1, for ever readable: `tests/golden/wal-v1`.
#[test]
fn golden_version_1() {
    let golden: [(u64, &[u8]); 3] = [
        (1, include_bytes!("../../../tests/golden/wal-v1/000001.log")),
        (2, include_bytes!("../../../tests/golden/wal-v1/000002.log")),
        (3, include_bytes!("../../../tests/golden/wal-v1/000003.log")),
    ];
    let fs = new_fs(1);
    write_golden(&fs);
    let stored = new_fs(1);
    for (number, bytes) in golden {
        assert_eq!(fs.bytes(&path(number)).unwrap(), bytes, "this build writes version 1");
        stored.set_bytes(&path(number), bytes.to_vec());
    }
    let (records, replay) = read(&stored).unwrap();
    assert_eq!(records, golden_records());
    assert_eq!(replay.segments.len(), 3);
}

fn golden_records() -> Records {
    (1..=8).map(|seq: u64| (seq * 10, vec![b'a' + seq as u8; seq as usize * 5])).collect()
}

fn write_golden(fs: &SimFs) {
    let options = WalOptions { segment_bytes: 320, ..options() };
    let wal = create(fs, options, &Replay::default()).unwrap();
    for (seq, body) in golden_records() {
        wal.append(seq, &[&body]).unwrap();
        if seq % 20 == 0 {
            wal.sync_to(wal.end()).unwrap();
        }
    }
    wal.close().unwrap();
}

/// The bytes of version 2, for ever readable: `tests/golden/wal-v2`.
#[test]
fn golden_version_2() {
    let golden: [(u64, &[u8]); 2] = [
        (1, include_bytes!("../../../tests/golden/wal-v2/000001.log")),
        (2, include_bytes!("../../../tests/golden/wal-v2/000002.log")),
    ];
    let fs = new_fs(1);
    drop(long_log(&fs, &Arc::default(), 6));
    let stored = new_fs(1);
    assert_eq!(fs.files().len(), golden.len());
    for (number, bytes) in golden {
        assert_eq!(fs.bytes(&path(number)).unwrap(), bytes, "this build writes version 2");
        stored.set_bytes(&path(number), bytes.to_vec());
    }
    let (records, replay) = read(&stored).unwrap();
    assert_eq!((records, replay.segments.len()), (long_records(1..7), 2));
}

/// Rewrites the golden files; run by hand when a new version is added.
#[test]
#[ignore = "writes into the source tree"]
#[expect(clippy::disallowed_methods, reason = "writes into the source tree")]
fn rewrite_golden() {
    let (first, second) = (new_fs(1), new_fs(1));
    write_golden(&first);
    drop(long_log(&second, &Arc::default(), 6));
    for (name, fs) in [("wal-v1", first), ("wal-v2", second)] {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        std::fs::create_dir_all(&target).unwrap();
        for file in fs.files() {
            let to = target.join(file.file_name().unwrap());
            std::fs::write(to, fs.bytes(&file).unwrap()).unwrap();
        }
    }
}
