//! Measurements out and back in, with the readers of this workspace; other readers:
//! `tests/parquet_readers.py`.

use std::collections::BTreeMap;

use ::arrow::array::{Array, AsArray, RecordBatch};
use ::arrow::datatypes::{DataType, TimestampMicrosecondType, TimestampNanosecondType};
use ::arrow::util::display::array_value_to_string;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use bytes::Bytes;

use super::*;
use crate::testing::{self, NOW, Place, open as open_store};

const LINES: &str = "\
cpu,host=a,zone=x usage=1.5,count=3i,big=18446744073709551615u,up=true,note=\"a \\\"b\\\"\" 1700000000000000000
cpu,host=a,zone=x usage=2.5 1700000010000000000
cpu,host=b usage=-0.5,note=\"line\nbreak\" 1699999990000000000
cpu,host=b count=-7i 1700090000000000000
mem,host=a free=1i 1700000000000000000
";

fn request(measurement: &str) -> Request {
    Request {
        database: "d".into(),
        policy: None,
        measurement: measurement.into(),
        range: TimeRange::ALL,
        now: NOW,
    }
}

fn exported(context: &Context, measurement: &str, format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    write(context, &request(measurement), format, &mut out).unwrap();
    out
}

fn read(file: Vec<u8>) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let cell = |column: &::arrow::array::ArrayRef, row: usize| {
        let ticks = || column.as_primitive_opt::<TimestampMicrosecondType>().map(|t| t.value(row));
        let fine = || column.as_primitive_opt::<TimestampNanosecondType>().map(|t| t.value(row));
        match (column.is_valid(row), ticks().map(|us| us * 1000).or_else(fine)) {
            (false, _) => "-".into(),
            (true, Some(ns)) => chrono::DateTime::from_timestamp_nanos(ns)
                .to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
            (true, None) => array_value_to_string(column, row).unwrap(),
        }
    };
    let row = |batch: &RecordBatch, row: usize| -> String {
        batch.columns().iter().map(|c| cell(c, row)).collect::<Vec<_>>().join(" ")
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |at| row(batch, at))).collect()
}

#[test]
fn parquet_read_back() {
    for place in [Place::Memory, Place::Tables, Place::Compacted] {
        let tsdb = open_store();
        testing::write(&tsdb, LINES);
        testing::settle(&tsdb, place);
        let context = testing::context(&tsdb, 0);
        let batches = read(exported(&context, "cpu", Format::Parquet));
        let schema = batches[0].schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(
            names,
            ["time", "host", "zone", "big", "count", "note", "up", "usage"],
            "{place:?}"
        );
        let types: Vec<String> =
            schema.fields().iter().map(|f| format!("{}", f.data_type())).collect();
        assert_eq!(types[0], "Timestamp(µs, \"UTC\")");
        assert!(matches!(schema.field(1).data_type(), DataType::Dictionary(..)), "{types:?}");
        assert_eq!(types[3..], ["UInt64", "Int64", "Utf8", "Boolean", "Float64"]);
        assert_eq!(
            texts(&batches),
            [
                "2023-11-14T22:13:20Z a x 18446744073709551615 3 a \"b\" true 1.5",
                "2023-11-14T22:13:30Z a x - - - - 2.5",
                "2023-11-14T22:13:10Z b - - - line\nbreak - -0.5",
                "2023-11-15T23:13:20Z b - - -7 - - -",
            ],
            "{place:?}"
        );
        assert_eq!(context.budget.total_bytes(), 0);
    }
}

#[test]
fn nanoseconds_where_some_timestamp_has_them() {
    let tsdb = open_store();
    testing::write(&tsdb, "m v=1i 1700000000000000000\nm v=2i 1700000000000000001\n");
    let context = testing::context(&tsdb, 0);
    let file = exported(&context, "m", Format::Parquet);
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file.clone())).unwrap();
    let notes = reader.metadata().file_metadata().key_value_metadata().unwrap();
    assert!(
        notes
            .iter()
            .any(|n| n.key == crate::arrow::TIME_UNIT_KEY && n.value.as_deref() == Some("ns"))
    );
    assert_eq!(texts(&read(file)), ["2023-11-14T22:13:20Z 1", "2023-11-14T22:13:20.000000001Z 2"]);
}

#[test]
fn row_groups_have_statistics_and_codecs() {
    use ::parquet::basic::Compression;
    let tsdb = open_store();
    let lines: String =
        (0..20_000).map(|n| format!("m,host=h{} v={}i {}\n", n % 7, n, n * 1000)).collect();
    testing::write(&tsdb, &lines);
    let context = testing::context(&tsdb, 0);
    let file = Bytes::from(exported(&context, "m", Format::Parquet));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let group = reader.metadata().row_group(0);
    assert_eq!((reader.metadata().num_row_groups(), group.num_rows()), (1, 20_000));
    for column in group.columns() {
        assert!(column.statistics().is_some(), "{}", column.column_path());
        assert!(matches!(column.compression(), Compression::ZSTD(_)));
    }
    // Sorted by tags, then time.
    let rows = texts(&reader.build().unwrap().map(Result::unwrap).collect::<Vec<_>>());
    let key = |row: &String| {
        let cells: Vec<&str> = row.split(' ').collect();
        (cells[1].to_owned(), cells[2].parse::<i64>().unwrap()) // `v` grows with the time
    };
    let keys: Vec<(String, i64)> = rows.iter().map(key).collect();
    assert!(keys.is_sorted());
}

#[test]
fn line_protocol_comes_back_as_it_went() {
    let tsdb = open_store();
    testing::write(&tsdb, LINES);
    testing::write(&tsdb, "we\\ ird\\,,ta\\=g=va\\ l fi\\ eld=\"back\\\\slash\" 1\n");
    let context = testing::context(&tsdb, 0);
    let mut text = exported(&context, "cpu", Format::LineProtocol);
    text.extend(exported(&context, "we ird,", Format::LineProtocol));
    let again = open_store();
    testing::write(&again, std::str::from_utf8(&text).unwrap());
    let context = testing::context(&again, 0);
    let mut second = exported(&context, "cpu", Format::LineProtocol);
    second.extend(exported(&context, "we ird,", Format::LineProtocol));
    assert_eq!(String::from_utf8(text).unwrap(), String::from_utf8(second).unwrap());
}

#[test]
fn csv_rows() {
    let tsdb = open_store();
    testing::write(&tsdb, LINES);
    let context = testing::context(&tsdb, 0);
    let text = String::from_utf8(exported(&context, "cpu", Format::Csv)).unwrap();
    let expected = "time,host,zone,big,count,note,up,usage\n\
        2023-11-14T22:13:20Z,a,x,18446744073709551615,3,\"a \"\"b\"\"\",true,1.5\n\
        2023-11-14T22:13:30Z,a,x,,,,,2.5\n\
        2023-11-14T22:13:10Z,b,,,,\"line\nbreak\",,-0.5\n\
        2023-11-15T23:13:20Z,b,,,-7,,,\n";
    assert_eq!(text, expected);
}

/// Files in memory.
#[derive(Default)]
struct Folder(BTreeMap<String, Vec<u8>>);

impl Sink for Folder {
    type File = Vec<u8>;

    fn create(&mut self, _: &str) -> std::io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn finish(&mut self, path: &str, file: Vec<u8>, _: Summary) -> std::io::Result<()> {
        self.0.insert(path.to_owned(), file);
        Ok(())
    }
}

#[test]
fn a_database_by_measurement_and_day() {
    for place in [Place::Memory, Place::Compacted] {
        let tsdb = open_store();
        testing::write(&tsdb, LINES);
        testing::settle(&tsdb, place);
        let context = testing::context(&tsdb, 0);
        let mut folder = Folder::default();
        let all = TimeRange::ALL;
        let total = write_hive(&context, "d", None, all, NOW, &mut folder).unwrap();
        assert_eq!(total.rows, 5);
        let rows: Vec<(&str, usize)> = folder
            .0
            .iter()
            .map(|(path, file)| (path.as_str(), texts(&read(file.clone())).len()))
            .collect();
        let expected = [
            ("measurement=cpu/date=2023-11-14/part-0.parquet", 3),
            ("measurement=cpu/date=2023-11-15/part-0.parquet", 1),
            ("measurement=mem/date=2023-11-14/part-0.parquet", 1),
        ];
        assert_eq!(rows, expected, "{place:?}");
    }
}

#[test]
fn an_unknown_measurement_leaves_nothing() {
    let tsdb = open_store();
    let context = testing::context(&tsdb, 0);
    let mut out = Vec::new();
    let error = write(&context, &request("nope"), Format::Csv, &mut out).unwrap_err();
    assert_eq!((error.to_string().as_str(), out.len()), ("measurement not found: nope", 0));
}
