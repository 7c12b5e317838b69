//! What a table answers is what the sorted list it was built from answers.

use parking_lot::Mutex;

use super::builder::WRITE_BYTES;
use super::*;
use crate::budget::Share;
use crate::fs::File;
use crate::fs::sim::OpKind;
use crate::scan::Stretch;

#[test]
fn cursors_walk_as_the_list_does() {
    for seed in 0..250 {
        let rng = &mut Rng::new(seed);
        let count = [0, 1, 3, 40, 400][rng.below(5) as usize];
        let rows = random_rows(rng, count);
        let (fs, properties) = build(&rows, &random_options(rng));
        assert_eq!(properties.entries, rows.len() as u64, "seed {seed}");
        let cache_bytes = [0, 2_000, 1 << 20][rng.below(3) as usize];
        let table = open(&fs, &path(), NUMBER, cache_bytes);
        for fill_cache in [true, false] {
            walk(rng, &rows, &table, fill_cache, seed);
        }
        let report = table.check(true).unwrap();
        assert_eq!(report.entries, rows.len() as u64);
        assert_eq!(report.bodies, properties.bodies);
        assert_eq!(table.properties().unwrap(), properties);
    }
}

fn walk(rng: &mut Rng, rows: &[Row], table: &Arc<Table>, fill_cache: bool, seed: u64) {
    let mut cursor = table.cursor(fill_cache);
    assert!(!cursor.valid());
    let mut stretch = Stretch::default();
    let mut at: Option<usize> = None;
    for step in 0..400 {
        let key = random_key(rng, 2 * rows.len() as u64 + 2);
        match rng.below(10) {
            0 => {
                cursor.seek_first().unwrap();
                at = (!rows.is_empty()).then_some(0);
            }
            1 => {
                cursor.seek_last().unwrap();
                at = rows.len().checked_sub(1);
            }
            2 => {
                cursor.seek(&key).unwrap();
                let index = rows.partition_point(|row| row.key < key);
                at = (index < rows.len()).then_some(index);
            }
            3 => {
                cursor.seek_before(&key).unwrap();
                at = rows.partition_point(|row| row.key < key).checked_sub(1);
            }
            4..7 => {
                cursor.next().unwrap();
                at = at.map(|index| index + 1).filter(|index| *index < rows.len());
            }
            7 => {
                cursor.next_key().unwrap();
                let is_other = |index: &usize| at.is_some_and(|at| rows[*index].key > rows[at].key);
                at = (0..rows.len()).find(is_other);
            }
            8 => {
                let snapshot = [Seq::MAX, rng.below(1000)][rng.below(2) as usize];
                let until = (rng.below(3) == 0).then_some(&*key);
                if cursor.next_stretch(snapshot, until, &mut stretch) {
                    at = Some(follow(&mut stretch, rows, at.unwrap(), (snapshot, until)));
                }
            }
            _ => {
                cursor.prev().unwrap();
                at = at.and_then(|index| index.checked_sub(1));
            }
        }
        let expected = at.map(|index| rows[index].clone());
        assert_eq!(row_at(&cursor).unwrap(), expected, "seed {seed} step {step}");
    }
    cursor.seek_first().unwrap();
    for row in rows {
        assert_eq!(row_at(&cursor).unwrap().as_ref(), Some(row), "seed {seed}");
        cursor.next().unwrap();
    }
    assert!(!cursor.valid());
}

/// The row of the last entry of `stretch`, whose entries follow the row `at`.
fn follow(
    stretch: &mut Stretch,
    rows: &[Row],
    mut at: usize,
    (snapshot, until): (Seq, Option<&[u8]>),
) -> usize {
    loop {
        let (before, row) = (&rows[at], &rows[at + 1]);
        assert_eq!((stretch.key(), stretch.seq()), (&*row.key, row.seq));
        assert_eq!((stretch.value(), &*stretch.pin()), (&*row.value, &*row.value));
        assert!(row.kind == Kind::Put && row.body.is_none() && row.seq <= snapshot);
        assert!(row.key != before.key && until.is_none_or(|until| &*row.key < until));
        at += 1;
        if !stretch.advance() {
            return at;
        }
    }
}

#[test]
fn gets_find_the_versions_of_a_key() {
    for seed in 0..150 {
        let rng = &mut Rng::new(seed);
        let count = [0, 1, 30, 300][rng.below(4) as usize];
        let rows = random_rows(rng, count);
        let (fs, _) = build(&rows, &random_options(rng));
        let table = open(&fs, &path(), NUMBER, [0, 1 << 20][rng.below(2) as usize]);
        for _ in 0..300 {
            let key = random_key(rng, 2 * rows.len() as u64 + 2);
            let snapshot = if rng.below(2) == 0 { Seq::MAX } else { rng.below(300) * 0x1_0001 };
            let versions_max = rng.below(4) as usize;
            let mut found = Vec::new();
            let goes_on = table.get(key_hash(&key), &key, snapshot, &mut |version| {
                assert_eq!(version.pin(), version.value);
                found.push(Row {
                    key: key.clone(),
                    seq: version.seq,
                    kind: version.kind,
                    value: version.value.to_vec(),
                    body: version.body().map(|body| body.read_all().unwrap()),
                });
                found.len() <= versions_max
            });
            let mut expected: Vec<Row> =
                rows.iter().filter(|row| row.key == key && row.seq <= snapshot).cloned().collect();
            assert_eq!(goes_on.unwrap(), expected.len() <= versions_max, "seed {seed}");
            expected.truncate(versions_max + 1);
            assert_eq!(found, expected, "seed {seed}");
        }
    }
}

#[test]
fn nothing_is_read_before_it_is_needed_and_then_once() {
    let rows = random_rows(&mut Rng::new(3), 2000);
    let (fs, _) = build(&rows, &TableOptions { block_bytes: 512, ..TableOptions::default() });
    let budget = Budget::unlimited();
    let cache = Cache::new(1 << 20, budget.clone());
    let before = fs.op_count();
    let table = Table::open(Arc::new(fs.clone()), path(), NUMBER, &cache).unwrap();
    let absent =
        Table::open(Arc::new(fs.clone()), "/db/000008.tbl".into(), NUMBER, &cache).unwrap();
    let _cursors = (table.cursor(true), absent.cursor(false));
    assert_eq!(fs.op_count(), before, "opening reads nothing");

    let get = |key: &[u8]| table.get(key_hash(key), key, Seq::MAX, &mut |_| false).unwrap();
    fs.start_trace();
    assert!(!get(&rows[0].key));
    let reads = fs.trace().iter().filter(|op| op.kind == OpKind::Read).count();
    assert_eq!(reads, 4, "footer, filter, index, block");
    fs.start_trace();
    assert!(!get(&rows[0].key));
    assert!(get(b"no such key"));
    assert_eq!(fs.trace(), [], "all of it is in memory now");

    let stats = cache.stats();
    assert_eq!((stats.filter_true_positive, stats.filter_negative), (2, 1));
    assert!(stats.pinned_bytes > 0 && stats.cached_bytes > 0);
    assert_eq!(budget.held_bytes(Share::Caches), stats.pinned_bytes + stats.cached_bytes);
    drop((table, absent, _cursors));
    assert_eq!(cache.stats().pinned_bytes, 0);
}

#[test]
fn a_job_leaves_the_cache_alone_and_reads_large() {
    let rows = random_rows(&mut Rng::new(4), 5000);
    let (fs, properties) = build(&rows, &TableOptions::default());
    assert!(properties.blocks > 20);
    let cache = Cache::new(1 << 20, Budget::unlimited());
    let table = Table::open(Arc::new(fs.clone()), path(), NUMBER, &cache).unwrap();
    let mut cursor = table.cursor(false);
    fs.start_trace();
    cursor.seek_first().unwrap();
    while cursor.valid() {
        cursor.next().unwrap();
    }
    let reads = fs.trace().iter().filter(|op| op.kind == OpKind::Read).count() as u64;
    assert!(reads <= 2 + 1 + properties.bytes / WINDOW_BYTES as u64 + 1, "{reads} reads");
    assert_eq!(cache.stats().cached_bytes, 0);
}

#[test]
fn disorder_and_what_belongs_nowhere_are_refused() {
    let fs = SimFs::new(1);
    fs.create_dir_all(Path::new("/db")).unwrap();
    let file = fs.create(&path()).unwrap();
    let mut builder = TableBuilder::new(file, path(), NUMBER, &TableOptions::default());
    builder.add(b"b", 5, Kind::Put, b"", None).unwrap();
    let cases: [(&str, &[u8], Seq, Kind); 5] = [
        ("an earlier key", b"a", 1, Kind::Put),
        ("the same version", b"b", 5, Kind::Put),
        ("a newer version", b"b", 6, Kind::Put),
        ("an appended payload", b"c", 1, Kind::Append),
        ("a sequence number past the last", b"c", crate::key::SEQ_MAX + 1, Kind::Put),
    ];
    for (name, key, seq, kind) in cases {
        assert!(builder.add(key, seq, kind, b"", None).is_err(), "{name}");
    }
    builder.add(b"b", 4, Kind::Delete, b"", None).unwrap();
    assert_eq!(builder.finish().unwrap().entries, 2);
}

/// A file that notes which bytes it is given at once.
#[derive(Debug)]
struct NotedFile(Box<dyn File>, Arc<Mutex<Vec<(u64, usize)>>>);

impl File for NotedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> std::io::Result<usize> {
        self.1.lock().push((offset, buf.len()));
        self.0.write_at(buf, offset)
    }
    fn sync(&self) -> std::io::Result<()> {
        self.0.sync()
    }
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn will_read(&self, offset: u64, len: u64) {
        self.0.will_read(offset, len);
    }
}

#[test]
fn a_table_is_written_in_whole_pieces_at_their_multiples() {
    let fs = SimFs::new(1);
    fs.create_dir_all(Path::new("/db")).unwrap();
    let writes = Arc::default();
    let file = Box::new(NotedFile(fs.create(&path()).unwrap(), Arc::clone(&writes)));
    let mut builder = TableBuilder::new(file, path(), NUMBER, &TableOptions::default());
    let bodies = [300_000, WRITE_BYTES, 3 * WRITE_BYTES + 1].map(|len| vec![7; len]);
    for at in 0..5000usize {
        let body = bodies.get(at / 1000).filter(|_| at % 1000 == 0);
        let key = format!("{at:08}");
        builder.add(key.as_bytes(), 1, Kind::Put, &[3; 200], body.map(Vec::as_slice)).unwrap();
    }
    let bytes = builder.finish().unwrap().bytes;
    let mut end = 0;
    let writes = writes.lock();
    for (at, (offset, len)) in writes.iter().enumerate() {
        assert_eq!(*offset, end, "one after the other");
        assert_eq!(end % WRITE_BYTES as u64, 0, "write {at}");
        end += *len as u64;
    }
    assert_eq!(end, bytes);
    assert!(writes.len() > 4, "{writes:?}");
    let report = open(&fs, &path(), NUMBER, 1 << 20).check(true).unwrap();
    assert_eq!((report.entries, report.bodies), (5000, 3));
}
