//! Damaged bytes give `Corrupt`, or the right answer; never a wrong one, never a panic.

use super::*;
use crate::Error;
use crate::table::block::{BlockBuilder, BlockCursor, BlockView};
use crate::table::footer::Footer;

fn small_tables() -> Vec<(Vec<Row>, TableOptions)> {
    let mut tables = Vec::new();
    for (seed, compression, filter_bits_per_key) in
        [(1, Compression::None, 10), (2, Compression::Zstd(1), 10), (3, Compression::None, 0)]
    {
        let options = TableOptions {
            block_bytes: 200,
            restart_interval: 4,
            compression,
            filter_bits_per_key,
            filter_kind: if seed == 2 { FilterKind::Fuse } else { FilterKind::Bloom },
        };
        tables.push((random_rows(&mut Rng::new(seed), 30), options));
    }
    tables
}

/// Everything a table has to say, through every door.
fn read_everything(table: &Arc<Table>, rows: &[Row]) -> crate::Result<()> {
    for fill_cache in [true, false] {
        let mut cursor = table.cursor(fill_cache);
        cursor.seek_first()?;
        for row in rows {
            assert_eq!(row_at(&cursor)?.as_ref(), Some(row));
            cursor.next()?;
        }
        assert!(!cursor.valid());
        cursor.seek_last()?;
        for row in rows.iter().rev() {
            assert_eq!(row_at(&cursor)?.as_ref(), Some(row));
            cursor.prev()?;
        }
        assert!(!cursor.valid());
    }
    for row in rows {
        let mut found = None;
        table.get(key_hash(&row.key), &row.key, row.seq, &mut |version| {
            found = Some((version.seq, version.value.to_vec()));
            false
        })?;
        assert_eq!(found, Some((row.seq, row.value.clone())));
    }
    table.properties()?;
    Ok(())
}

fn assert_corrupt(result: crate::Result<impl std::fmt::Debug>, what: &str) {
    match result {
        Err(Error::Corrupt { path: found, .. }) => assert_eq!(found, path(), "{what}"),
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn every_flipped_bit_is_found() {
    for (rows, options) in small_tables() {
        let (fs, _) = build(&rows, &options);
        let bytes = fs.bytes(&path()).unwrap();
        read_everything(&open(&fs, &path(), NUMBER, 1 << 20), &rows).unwrap();
        for offset in 0..bytes.len() {
            let bit = (offset % 8) as u8;
            fs.flip_bit(&path(), offset as u64, bit);
            let what = format!("bit {bit} of byte {offset} of {}", bytes.len());
            let table = open(&fs, &path(), NUMBER, 1 << 20);
            if let Err(error) = read_everything(&table, &rows) {
                assert_corrupt(Err::<(), _>(error), &what);
            }
            assert_corrupt(table.check(true), &what);
            fs.flip_bit(&path(), offset as u64, bit);
        }
    }
}

#[test]
fn every_truncation_and_extension_is_found() {
    for (rows, options) in small_tables() {
        let (fs, _) = build(&rows, &options);
        let bytes = fs.bytes(&path()).unwrap();
        for len in 0..bytes.len() {
            fs.set_bytes(&path(), bytes[..len].to_vec());
            let table = open(&fs, &path(), NUMBER, 1 << 20);
            assert_corrupt(read_everything(&table, &rows), &format!("cut to {len}"));
            assert_corrupt(table.check(false), &format!("cut to {len}"));
        }
        for tail in [&[0][..], &[0; 100], &bytes] {
            let mut longer = bytes.clone();
            longer.extend_from_slice(tail);
            fs.set_bytes(&path(), longer);
            let table = open(&fs, &path(), NUMBER, 1 << 20);
            // A whole second table at the end has a good footer, but nothing is where it says.
            assert_corrupt(table.check(true), &format!("{} bytes more", tail.len()));
        }
    }
}

#[test]
fn a_block_of_another_file_or_place_is_found() {
    let rows = random_rows(&mut Rng::new(9), 200);
    let options = TableOptions { block_bytes: 1, ..TableOptions::default() };
    let (fs, _) = build(&rows, &options);
    let bytes = fs.bytes(&path()).unwrap();
    // The whole file under another number.
    fs.set_bytes(Path::new("/db/000008.tbl"), bytes.clone());
    let table = open(&fs, Path::new("/db/000008.tbl"), FileNumber(8), 1 << 20);
    assert!(matches!(table.check(true), Err(Error::Corrupt { .. })));
    // Two blocks of equal size swapped: each is whole, in the wrong place.
    let table = open(&fs, &path(), NUMBER, 1 << 20);
    let handles = table.data_handles().unwrap();
    let (a, b) = handles
        .iter()
        .enumerate()
        .find_map(|(i, a)| Some((*a, *handles[i + 1..].iter().find(|b| b.len == a.len)?)))
        .expect("two blocks of one size");
    let mut swapped = bytes.clone();
    let size = (a.end().unwrap() - a.offset) as usize;
    swapped[a.offset as usize..][..size].copy_from_slice(&bytes[b.offset as usize..][..size]);
    swapped[b.offset as usize..][..size].copy_from_slice(&bytes[a.offset as usize..][..size]);
    fs.set_bytes(&path(), swapped);
    assert_corrupt(open(&fs, &path(), NUMBER, 1 << 20).check(true), "swapped blocks");
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let (fs, _) = build(&random_rows(&mut Rng::new(1), 10), &TableOptions::default());
    let mut bytes = fs.bytes(&path()).unwrap();
    let footer = bytes.len() - footer::FOOTER_BYTES;
    let version_at = bytes.len() - 16;
    bytes[version_at] = 2;
    let crc = crc32fast::hash(&bytes[footer..version_at + 4]);
    bytes[version_at + 4..version_at + 8].copy_from_slice(&crc.to_le_bytes());
    fs.set_bytes(&path(), bytes);
    let error = open(&fs, &path(), NUMBER, 1 << 20).properties().unwrap_err();
    assert!(matches!(error, Error::Version { found: 2, supported: 1, .. }), "{error}");
}

/// Runs every decoder of a block over `bytes`; only that it ends, without a panic, is asked.
fn decode(bytes: &[u8], target: &[u8], seq: Seq) {
    if let Ok(view) = BlockView::new(bytes)
        && let Ok(mut finder) = view.find(target, seq)
    {
        while let Some(entry) = finder.entry() {
            let _ = (finder.is_match(), view.value(entry), index::handle(view.value(entry)));
            if finder.next().is_err() {
                break;
            }
        }
    }
    let mut cursor = BlockCursor::empty();
    if cursor.set_block(Arc::new(crate::cache::BlockBytes::new(bytes.to_vec()))).is_err() {
        return;
    }
    let mut good = cursor.seek(target, seq).is_ok();
    while good && cursor.valid() {
        let _ = (cursor.key(), cursor.value());
        good = cursor.next().is_ok();
    }
    let mut good = cursor.seek_last().is_ok();
    while good && cursor.valid() {
        good = cursor.prev().is_ok();
    }
    let _ = cursor.seek_first();
}

#[test]
fn decoders_survive_any_bytes() {
    let rng = &mut Rng::new(42);
    for _ in 0..20_000 {
        let len = rng.below(120) as usize;
        let mut bytes: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
        if rng.below(2) == 0 {
            // Small numbers, so that lengths and restarts often fit.
            bytes.iter_mut().for_each(|byte| *byte %= 8);
        }
        let target = random_key(rng, 50);
        decode(&bytes, &target, rng.below(9));
        let _ = filter::may_contain(&bytes, rng.next_u64() << 20);
        let _ = TableProperties::decode(&bytes, 0);
        let _ = index::handle(&bytes);
        let _ = Footer::decode(&bytes, &path(), NUMBER, 0);
        let _ = footer::open_frame(bytes.clone(), &path(), NUMBER, 0);
        let _ = crate::compress::decompress(bytes.first().copied().unwrap_or(0) % 3, &bytes);
    }
}

#[test]
fn decoders_survive_damage_that_no_checksum_caught() {
    let rng = &mut Rng::new(43);
    for _ in 0..300 {
        let mut builder = BlockBuilder::new(1 + rng.below(6) as usize);
        for row in random_rows(rng, 20) {
            let body = row.body.map(|_| crate::scan::BodyHandle { offset: 9, len: 9, crc: 9 });
            builder.add(&row.key, row.seq, row.kind, &row.value, body);
        }
        let good = builder.finish().to_vec();
        for _ in 0..50 {
            let mut bytes = good.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.next_u64() as u8;
            }
            let target = random_key(rng, 40);
            decode(&bytes, &target, rng.below(30));
        }
    }
}
