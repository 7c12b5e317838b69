//! Flipped bits, and segments that are missing, shortened, foreign or of a later format.

use super::*;

#[test]
fn every_flipped_bit_is_found_or_lies_in_the_unproved_tail() {
    let (fs, synced) = small_log();
    let all = small_records();
    assert_eq!(read(&fs).unwrap().0, all);
    let mut corrupt = 0;
    for file in fs.files() {
        for offset in 0..fs.bytes(&file).unwrap().len() as u64 {
            for bit in 0..8 {
                let damaged = fs.crash(CrashMode::ALL[1], 0);
                damaged.flip_bit(&file, offset, bit);
                match read(&damaged) {
                    Ok((records, _)) => {
                        assert_eq!(records, all[..records.len()], "{file:?} {offset} {bit}");
                        let lost = records.len() < synced as usize;
                        // Nothing behind the last sync says that the record before it was synced.
                        let unproved = records.len() + 1 >= synced as usize;
                        assert!(!lost || unproved, "{file:?} {offset} {bit}");
                    }
                    Err(Error::Corrupt { path, .. }) => {
                        corrupt += 1;
                        assert!(fs.files().contains(&path));
                    }
                    Err(error) => panic!("{file:?} {offset} {bit}: {error}"),
                }
            }
        }
    }
    assert!(corrupt > 3000, "{corrupt}");
}

#[test]
fn a_closed_log_hides_no_damage() {
    let fs = new_fs(1);
    let wal = create(&fs, options(), &Replay::default()).unwrap();
    for seq in 1..=5 {
        wal.append(seq, &[&[7; 20]]).unwrap();
    }
    wal.close().unwrap();
    wal.close().unwrap();
    assert!(matches!(wal.append(6, &[]), Err(Error::Closed)));
    let (records, replay) = read(&fs).unwrap();
    let records_end = fs.bytes(&path(1)).unwrap().len() as u64 - 32;
    for offset in 0..records_end {
        let damaged = fs.crash(CrashMode::ALL[1], 0);
        damaged.flip_bit(&path(1), offset, 3);
        let found = read(&damaged);
        assert!(found.is_err_and(|e| e.is_corrupt()), "{offset}");
    }
    assert_eq!((records.len(), replay.torn_tail), (5, None));
}

#[test]
fn what_is_missing_shortened_or_foreign_is_found() {
    let (fs, _) = small_log();
    let copy = || fs.crash(CrashMode::ALL[1], 0);
    let numbers: Vec<u64> = read(&fs).unwrap().1.segments.iter().map(|s| s.number.0).collect();
    let (first, second) = (numbers[0], numbers[1]);
    let is_corrupt = |fs: &SimFs| read(fs).is_err_and(|e| e.is_corrupt());

    let damaged = copy();
    damaged.remove_file(&path(first)).unwrap();
    assert!(is_corrupt(&damaged), "the first segment is missing");
    let options = ReplayOptions { bounds: from(FileNumber(second)), ..ReplayOptions::new(STORE) };
    let (records, replay) = read_with(&damaged, &options).unwrap();
    assert_eq!(records, small_records()[11 - records.len()..], "unless it is obsolete");
    assert_eq!(replay.segments[0].number.0, second);

    let damaged = copy();
    damaged.remove_file(&path(second)).unwrap();
    assert!(is_corrupt(&damaged), "a segment in the middle is missing");

    let damaged = copy();
    damaged.set_bytes(&path(second), Vec::new());
    assert!(is_corrupt(&damaged), "a segment in the middle is empty");

    for cut in [8, 32, 40] {
        let damaged = copy();
        let mut bytes = damaged.bytes(&path(first)).unwrap();
        let sealed = read(&fs).unwrap().1.segments[0].bytes as usize;
        bytes.truncate(sealed - cut);
        damaged.set_bytes(&path(first), bytes.clone());
        assert!(is_corrupt(&damaged), "cut by {cut}");
        bytes.resize(sealed, 0);
        damaged.set_bytes(&path(first), bytes);
        assert!(is_corrupt(&damaged), "the last {cut} are zeros");
    }

    let damaged = copy();
    damaged.set_bytes(&path(second), damaged.bytes(&path(first)).unwrap());
    assert!(is_corrupt(&damaged), "a segment in the place of another");
    let other = read_with(&fs, &ReplayOptions::new(STORE + 1));
    assert!(other.is_err_and(|e| e.is_corrupt()), "another store's log");
}

#[test]
fn a_later_format_is_refused_by_name() {
    let fs = new_fs(1);
    let wal = create(&fs, options(), &Replay::default()).unwrap();
    wal.close().unwrap();
    let mut bytes = fs.bytes(&path(1)).unwrap();
    bytes[8] = 3;
    let crc = crate::coding::crc_of_parts(&[&bytes[..12], &bytes[16..64]]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    fs.set_bytes(&path(1), bytes);
    assert!(matches!(read(&fs), Err(Error::Version { found: 3, supported: 2, .. })));
}
