//! Tables written by released builds stay readable, byte for byte.
//!
//! `FIRNDB_REWRITE_GOLDEN=1 cargo test` writes the files anew; needed only when the format version
//! is raised, and then under new names.

use super::*;
use crate::fs::{real::RealFs, write_all_at};

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for number in 0..200u64 {
        let key = format!("key/{:03}", number / 2 * 2).into_bytes();
        let kind = match number % 7 {
            0 => Kind::Delete,
            3 => Kind::Merge,
            _ => Kind::Put,
        };
        let value = if kind == Kind::Delete { String::new() } else { "v".repeat(number as usize) };
        rows.push(Row {
            key,
            seq: 1000 - number,
            kind,
            value: value.into_bytes(),
            body: (number % 10 == 1).then(|| vec![number as u8; 50]),
        });
    }
    rows
}

const CASES: [(&str, Compression, FilterKind); 3] = [
    ("table-v1.tbl", Compression::None, FilterKind::Bloom),
    ("table-v1-zstd.tbl", Compression::Zstd(3), FilterKind::Bloom),
    ("table-v1-fuse.tbl", Compression::None, FilterKind::Fuse),
];

#[test]
fn tables_of_version_1_are_read() {
    for (name, compression, filter_kind) in CASES {
        let how = TableOptions { block_bytes: 1024, ..TableOptions::default() };
        let options = TableOptions { compression, filter_kind, ..how };
        let (fs, _) = build(&rows(), &options);
        let built = fs.bytes(&path()).unwrap();
        let golden_path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        if std::env::var_os("FIRNDB_REWRITE_GOLDEN").is_some() {
            let _ = RealFs.remove_file(&golden_path);
            write_all_at(&*RealFs.create(&golden_path).unwrap(), &built, 0).unwrap();
        }
        let golden = crate::fs::read_all(&RealFs, &golden_path).unwrap();
        if compression == Compression::None {
            assert!(built == golden, "{name}: the writer changed: raise the format version");
        }
        fs.set_bytes(&path(), golden);
        let table = open(&fs, &path(), NUMBER, 1 << 20);
        table.check(true).unwrap();
        let mut cursor = table.cursor(true);
        cursor.seek_first().unwrap();
        for row in rows() {
            assert_eq!(row_at(&cursor).unwrap(), Some(row), "{name}");
            cursor.next().unwrap();
        }
        assert!(!cursor.valid());
    }
}
