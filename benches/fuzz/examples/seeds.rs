//! Writes first inputs for the targets into `corpus/`: what the encoders make of small data, so
//! that a fuzzer begins with bytes that mean something.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use firndb_engine::batch::WriteBatch;
use firndb_engine::budget::Budget;
use firndb_engine::cache::Cache;
use firndb_engine::clock::ManualClock;
use firndb_engine::compress::{Compression, Compressor};
use firndb_engine::fs::Fs;
use firndb_engine::fs::sim::SimFs;
use firndb_engine::hooks::Plain;
use firndb_engine::key::{FileNumber, KeyspaceId, Kind};
use firndb_engine::manifest::inspect::{current, read};
use firndb_engine::options::{Background, KeyspaceOptions, Options, Policy, Tiered};
use firndb_engine::store::{CompactOptions, Store, WriteOptions};
use firndb_engine::table::{FilterKind, Table, TableBuilder, TableOptions};
use firndb_tsdb::chunk::{Class, Encoding, Head, encode};
use firndb_tsdb::index::entries;
use firndb_tsdb::index::postings::{Postings, encode_adding};
use firndb_tsdb::keys::chunk_key;
use firndb_tsdb::memtable::payload::PayloadWriter;
use firndb_tsdb::model::{
    Column, Columns, FieldId, FieldType, FieldValue, MeasurementId, SeriesId, Values,
};

/// Bytes of a frame behind those of its block.
const FRAME_BYTES: usize = 5;

/// Writes inputs one after the other.
struct Corpus {
    dir: PathBuf,
    count: usize,
}

impl Corpus {
    fn add(&mut self, target: &str, input: &[u8]) {
        let dir = self.dir.join(target);
        std::fs::create_dir_all(&dir).expect("a folder");
        std::fs::write(dir.join(format!("seed-{:03}", self.count)), input).expect("a file");
        self.count += 1;
    }
}

fn main() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut corpus = Corpus { dir, count: 0 };
    batches_and_logs(&mut corpus);
    for kind in [FilterKind::Bloom, FilterKind::Fuse] {
        table(&mut corpus, kind);
    }
    manifest(&mut corpus);
    chunks(&mut corpus);
    index(&mut corpus);
    for tag in 0..2u8 {
        let compression = if tag == 0 { Compression::None } else { Compression::Zstd(3) };
        let mut compressor = Compressor::new(compression);
        let (_, stored) = compressor.compress(&[7; 300]);
        corpus.add("compression", &[&[tag], stored].concat());
    }
    texts(&mut corpus);
    for target in ["store", "transaction"] {
        for salt in 1..9u64 {
            let bytes = (0..200u64).map(|i| (i * i * salt + i * 7919 / (salt + 1)) as u8);
            corpus.add(target, &bytes.collect::<Vec<_>>());
        }
    }
    println!("{} inputs", corpus.count);
}

fn part(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn batches_and_logs(corpus: &mut Corpus) {
    let id = KeyspaceId(3);
    let mut batch = WriteBatch::new();
    batch.put(id, b"key", b"value");
    batch.delete(id, b"key");
    batch.merge(id, b"key", b"operand");
    let mut second = batch.clone();
    second.set_id([9; 16]);
    second.put_with_ttl(id, b"key", b"value", 1_700_000_000_000);
    second.append(id, b"payload");
    let mut third = second.clone();
    third.delete_range(id, b"a", b"k");
    third.delete_range(id, b"k", b"z");
    third.put(KeyspaceId(300), b"after", &[1; 200]);
    let mut segment = vec![3];
    for (seq, batch) in (1u16..).zip([&batch, &second, &third]) {
        corpus.add("write_batch", batch.bytes());
        segment.extend_from_slice(&[u8::from(seq == 3), 0, 0]);
        segment.extend_from_slice(&seq.to_le_bytes());
        part(&mut segment, batch.bytes());
    }
    for cut in [0, 1, 30, 100] {
        corpus.add("wal", &segment[..segment.len() - cut]);
    }
    corpus.add("wal", &[&segment[..], &[0; 64]].concat());
}

fn table(corpus: &mut Corpus, filter_kind: FilterKind) {
    let (fs, path, number) = (SimFs::new(1), PathBuf::from("/000001.tbl"), FileNumber(1));
    let options = TableOptions { restart_interval: 4, filter_kind, ..TableOptions::default() };
    fs.create_dir_all(Path::new("/")).expect("nothing fails");
    let file = fs.create(&path).expect("nothing fails");
    let mut builder = TableBuilder::new(file, path.clone(), number, &options);
    let kinds = [Kind::Put, Kind::Delete, Kind::Merge, Kind::PutUntil];
    for at in 0..40u64 {
        let (key, value) = (format!("key{:03}", at / 2), vec![at as u8; 8 + at as usize % 9]);
        let kind = kinds[at as usize % 4];
        let value = if kind == Kind::Delete { &[][..] } else { &value };
        builder.add(key.as_bytes(), 100 - at, kind, value, None).expect("in order");
    }
    builder.finish().expect("nothing fails");
    let bytes = fs.bytes(&path).expect("just written");
    let cache = Cache::new(1 << 20, Budget::new(1 << 30));
    let table = Table::open(Arc::new(fs), path, number, &cache).expect("just written");
    let layout = table.layout().expect("just written");
    let of = |name: &str| {
        let part = layout.parts.iter().find(|part| part.name == name).expect("it has all parts");
        let end = (part.offset + part.bytes) as usize - FRAME_BYTES;
        (part.offset, &bytes[part.offset as usize..end])
    };
    let data = &bytes[..layout.parts[0].offset as usize - FRAME_BYTES];
    let mut input = Vec::new();
    for block in [data, of("index").1, of("filter").1, of("properties").1] {
        part(&mut input, block);
    }
    corpus.add("table", &[&input[..], b"key007"].concat());
    corpus.add("table_properties", of("properties").1);
    corpus.add("filter", &[&[0; 8], of("filter").1].concat());
    corpus.add("filter", of("filter").1);
    let mut footer = Vec::new();
    for name in ["index", "filter", "properties"] {
        let (offset, block) = of(name);
        footer.extend_from_slice(&offset.to_le_bytes());
        footer.extend_from_slice(&(block.len() as u16).to_le_bytes());
    }
    part(&mut footer, b"key007");
    let before = &bytes[..layout.parts.last().expect("a footer").offset as usize];
    corpus.add("table_footer", &[&footer[..], before].concat());
}

fn manifest(corpus: &mut Corpus) {
    let (fs, clock) = (SimFs::new(1), Arc::new(ManualClock::at(1)));
    let dir = Path::new("/data");
    let options = Options {
        background: Background::Inline,
        ..Options::new(dir, Arc::new(fs.clone()), clock, Arc::new(Plain::new()))
    };
    let store = Store::open(options).expect("nothing fails");
    let id = store.create_keyspace("k", KeyspaceOptions::default()).expect("nothing fails").id;
    for at in 0..3u8 {
        let mut batch = WriteBatch::new();
        batch.put(id, &[at], &[at; 20]);
        batch.delete_range(id, &[at + 1], &[200]);
        store.write(&batch, WriteOptions::default()).expect("nothing fails");
        store.flush(None).expect("nothing fails");
    }
    store.set_ttl(id, Some(std::time::Duration::from_secs(9))).expect("nothing fails");
    store.set_policy(id, Policy::Tiered(Tiered::default())).expect("nothing fails");
    store.compact(None, CompactOptions::default(), &|| false).expect("nothing fails");
    store.drop_keyspaces(&[id], "enough").expect("nothing fails");
    let number = current(&fs, dir).expect("nothing fails");
    let mut edits = Vec::new();
    read(&fs, dir, number, &mut |view| {
        let mut bytes = Vec::new();
        view.edit.encode(&mut bytes);
        edits.push(bytes);
    })
    .expect("nothing fails");
    edits.iter().for_each(|edit| corpus.add("manifest_edit", edit));
}

fn chunks(corpus: &mut Corpus) {
    let rows = 300usize;
    let texts: Vec<String> = (0..rows).map(|i| format!("host-{}", i % 7)).collect();
    let mut offsets = vec![0];
    for text in &texts {
        offsets.push(offsets.last().copied().unwrap_or(0) + text.len() as u32);
    }
    let numbers = |step: i64| (0..rows as i64).map(move |i| i * step + i % 3);
    let values = [
        Values::Integer(numbers(1).collect()),
        Values::Integer(numbers(1 << 40).map(|n| n.wrapping_mul(n)).collect()),
        Values::Float(numbers(3).map(|n| n as f64 / 100.0).collect()),
        Values::Float(numbers(3).map(|n| (n as f64).sin()).collect()),
        Values::Unsigned(numbers(5).map(|n| n as u64).collect()),
        Values::Boolean(numbers(7).map(|n| n % 5 == 0).collect()),
        Values::String { offsets, bytes: texts.concat().into_bytes() },
    ];
    let columns = values.into_iter().zip(0..).map(|(values, field)| Column {
        field: FieldId(field),
        values,
        validity: None,
    });
    let timestamps = (0..rows as i64).map(|i| i * 10_000_000_000 + i % 4).collect();
    let columns = Columns { timestamps, columns: columns.collect() };
    for class in [Class::Hot, Class::Cold] {
        let chunk = encode(&columns, class);
        corpus.add("chunk_head", &chunk.head);
        for column in Head::decode(&chunk.head).expect("just encoded").columns() {
            let encoding = Encoding::ALL.iter().position(|e| *e == column.encoding);
            let mut input = vec![column.field_type as u8 - 1, encoding.expect("one of all") as u8];
            input.extend_from_slice(&[0, 0]);
            input.extend_from_slice(&(rows as u16).to_le_bytes());
            input.extend_from_slice(&[0, 0, 0]);
            input.extend_from_slice(&(rows as u16).to_le_bytes());
            input.extend_from_slice(&chunk.body[column.range()]);
            corpus.add("chunk_column", &input);
        }
        let mut input = vec![u8::from(class == Class::Cold)];
        for number in numbers(1 << 20).take(50) {
            input.extend_from_slice(&number.to_le_bytes());
            input.push(number as u8 % 4);
        }
        corpus.add("chunk_round_trip", &input);
    }
    let mut payload = PayloadWriter::new(1_700_000_000);
    let fields = [(FieldId(0), FieldType::Float), (FieldId(1), FieldType::String)];
    let shape = payload.begin_new_shape(SeriesId(5), &fields, 1_700_000_001);
    for row in 0..4 {
        if row > 0 {
            payload.begin(SeriesId(5 + row), shape, 1_700_000_001 + i64::from(row));
        }
        payload.value(&FieldValue::Float(1.5));
        payload.value(&FieldValue::String("text".into()));
    }
    corpus.add("points_payload", payload.bytes());
}

fn index(corpus: &mut Corpus) {
    let lists = [
        encode_adding(&[1, 2, 3]),
        encode_adding(&(0..1000).map(|i| i * 3).collect::<Vec<_>>()),
        Postings::removing((0..100).collect()).encode(),
    ];
    for older in &lists {
        for newer in &lists {
            let mut input = Vec::new();
            part(&mut input, older);
            corpus.add("posting_list", &[&input[..], newer].concat());
        }
    }
    let measurement = MeasurementId(7);
    corpus.add("series_key", &chunk_key(SeriesId(9), 1_700_000_000));
    corpus.add("series_key", &entries::tag_pair(measurement, "host", "a"));
    corpus.add("series_key", &entries::delete(12));
    corpus.add("series_key", &entries::purged("autogen", 3600));
    corpus.add("series_key", &entries::rollup_mark("cpu_1m", 60));
    corpus.add("series_key", b"points/db/autogen/1700000000+86400");
}

fn texts(corpus: &mut Corpus) {
    for line in [
        "cpu,host=a,dc=x v=1.5,n=1i,s=\"one\",b=true 1700000000",
        "m\\ x,t\\,=a\\= f=\"a\\\"b\" -5\n# comment\n\nm u=7u\r\nm f=1e400",
        "m f= 1\nm,=a f=1\nm f=1i f=2\n\u{ff}",
    ] {
        corpus.add("line_protocol", line.as_bytes());
    }
    for text in [
        "SELECT mean(v), percentile(n, 95) AS p FROM db.rp.cpu WHERE time > now() - 1h AND \
         host =~ /a.*/ GROUP BY time(5m, 1m), * fill(linear) ORDER BY time DESC LIMIT 3 SLIMIT 2 \
         tz('Europe/Berlin')",
        "CREATE ROLLUP ON db (FROM cpu) EVERY 1m KEEP 90d, 1h KEEP 5y; SHOW TAG VALUES FROM cpu \
         WITH KEY IN (host, \"dc\") WHERE dc != 'x'",
        "DELETE FROM cpu WHERE time < '2026-01-01T00:00:00Z' AND $p = 1.5e-3 OR (a / -2 + 3) > 4",
        "SELECT derivative(max(v), 1s) FROM (SELECT sum(a) AS v FROM /c.*/ GROUP BY time(1s)); \
         DROP RETENTION POLICY p ON d; -- end",
    ] {
        corpus.add("influxql", text.as_bytes());
    }
}
