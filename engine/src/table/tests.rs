//! Tables against a sorted list as their model, and against damage of every byte.

mod damage;
mod golden;
mod model;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::budget::Budget;
use crate::cache::Cache;
use crate::compress::Compression;
use crate::fs::Fs;
use crate::fs::sim::{Rng, SimFs};
use crate::key::{FileNumber, Kind, Seq, internal_cmp};
use crate::scan::Cursor;

/// An entry of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: Vec<u8>,
    pub(super) seq: Seq,
    pub(super) kind: Kind,
    pub(super) value: Vec<u8>,
    pub(super) body: Option<Vec<u8>>,
}

/// Rows in internal order: keys that share prefixes, some with many versions, some with bodies.
pub(super) fn random_rows(rng: &mut Rng, count: usize) -> Vec<Row> {
    let key_space = 1 + rng.below(2 * count as u64 + 1);
    let seq_space = 1 + rng.below(count as u64 + 1);
    let mut rows: Vec<Row> = (0..count)
        .map(|_| {
            let kind = [Kind::Put, Kind::Put, Kind::Delete, Kind::Merge][rng.below(4) as usize];
            let value_len = if kind == Kind::Delete { 0 } else { rng.below(60) as usize };
            let body_len = rng.below(300) as usize;
            Row {
                key: random_key(rng, key_space),
                seq: rng.below(seq_space) * 0x1_0001 + 1,
                kind,
                value: (0..value_len).map(|i| (i / 4) as u8 ^ rng.below(4) as u8).collect(),
                body: (kind == Kind::Put && rng.below(8) == 0)
                    .then(|| (0..body_len).map(|_| rng.next_u64() as u8).collect()),
            }
        })
        .collect();
    rows.sort_by(|a, b| internal_cmp((&a.key, a.seq), (&b.key, b.seq)));
    rows.dedup_by(|a, b| (&a.key, a.seq) == (&b.key, b.seq));
    rows
}

pub(super) fn random_key(rng: &mut Rng, key_space: u64) -> Vec<u8> {
    let number = rng.below(key_space);
    match number % 3 {
        0 => format!("sensor/{:04}", number).into_bytes(),
        1 => number.to_be_bytes()[(8 - 1 - number.ilog2() as usize / 8)..].to_vec(),
        _ => vec![b'x'; (number % 40) as usize],
    }
}

pub(super) fn random_options(rng: &mut Rng) -> TableOptions {
    TableOptions {
        block_bytes: [1, 64, 300, 4096][rng.below(4) as usize],
        restart_interval: [1, 2, 5, 16][rng.below(4) as usize],
        compression: [Compression::None, Compression::Zstd(1)][rng.below(2) as usize],
        filter_bits_per_key: [0, 4, 10][rng.below(3) as usize],
        filter_kind: [FilterKind::Bloom, FilterKind::Fuse][rng.below(2) as usize],
    }
}

pub(super) fn path() -> PathBuf {
    PathBuf::from("/db/000007.tbl")
}

pub(super) const NUMBER: FileNumber = FileNumber(7);

/// Writes `rows` as table 7.
pub(super) fn build(rows: &[Row], options: &TableOptions) -> (SimFs, TableProperties) {
    let fs = SimFs::new(1);
    fs.create_dir_all(Path::new("/db")).unwrap();
    let file = fs.create(&path()).unwrap();
    let mut builder = TableBuilder::new(file, path(), NUMBER, options);
    for row in rows {
        builder.add(&row.key, row.seq, row.kind, &row.value, row.body.as_deref()).unwrap();
    }
    assert_eq!(builder.entries(), rows.len() as u64);
    let estimate = builder.bytes();
    let properties = builder.finish().unwrap();
    let bytes = fs.bytes(&path()).unwrap().len() as u64;
    assert_eq!(properties.bytes, bytes);
    assert!(estimate < 2 * bytes + 200 && bytes < 2 * estimate + 1000, "{estimate} {bytes}");
    (fs, properties)
}

pub(super) fn open(fs: &SimFs, path: &Path, number: FileNumber, cache_bytes: u64) -> Arc<Table> {
    let cache = Cache::new(cache_bytes, Budget::unlimited());
    Table::open(Arc::new(fs.clone()), path.to_owned(), number, &cache).unwrap()
}

/// The entry a cursor stands at.
pub(super) fn row_at(cursor: &dyn crate::scan::Cursor) -> crate::Result<Option<Row>> {
    if !cursor.valid() {
        return Ok(None);
    }
    assert_eq!(cursor.pin(), cursor.value());
    Ok(Some(Row {
        key: cursor.key().to_vec(),
        seq: cursor.seq(),
        kind: cursor.kind(),
        value: cursor.value().to_vec(),
        body: cursor.body().map(|body| body.read_all()).transpose()?,
    }))
}
