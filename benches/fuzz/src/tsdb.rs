//! Targets of what the time series are stored as.

use firndb_tsdb::chunk::{
    Class, ColumnHead, Encoding, Head, decode_column, decode_unverified, encode,
};
use firndb_tsdb::index::entries::{
    parse_series_key, split_delete, split_purged, split_rollup_mark,
};
use firndb_tsdb::index::postings;
use firndb_tsdb::keys::{Keyspace, parse_chunk_key};
use firndb_tsdb::memtable::payload::{NoSink, decode};
use firndb_tsdb::model::{Column, Columns, FieldId, FieldType, TimeRange, Values};

use super::input::Input;

/// Rows of a chunk at most.
const ROWS_MAX: usize = 8192;

/// Heads of chunks, beneath their checksum.
pub fn chunk_head(bytes: &[u8]) {
    let _ = Head::decode(bytes);
    if let Ok(head) = Head::decode_unverified(bytes)
        && head.step().is_some()
    {
        let rows = head.rows_in(TimeRange::new(-1, i64::MAX), &[]);
        assert!(rows.end <= head.rows());
    }
}

/// Columns of chunks in every encoding, beneath their checksum: type, encoding, mask, length of the
/// mask, values, rows without a value, two ends of the rows wanted, bytes.
pub fn chunk_column(bytes: &[u8]) {
    let mut input = Input(bytes);
    let Some(field_type) = FieldType::from_byte(input.byte() % 5 + 1) else { return };
    let encoding = Encoding::ALL[usize::from(input.byte()) % Encoding::ALL.len()];
    let (mask, mask_len) = (input.byte() % 4, usize::from(input.byte()));
    let count = usize::from(input.number()) % ROWS_MAX;
    let rows = (count + usize::from(input.byte())).clamp(1, ROWS_MAX);
    let mask_len = if count < rows { mask_len } else { 0 };
    let head = ColumnHead::assembled(field_type, encoding, mask, mask_len, count, rows);
    let Some(head) = head else { return };
    let mut end = || usize::from(input.number()) % (rows + 1);
    let (a, b) = (end(), end());
    let wanted = a.min(b)..a.max(b);
    let mut out = Column::missing(FieldId(0), 0);
    if decode_unverified(&head, input.0, wanted.clone(), &mut out).is_ok() {
        assert_eq!(out.values.len(), wanted.len());
    }
}

/// Integers and floats of any kind, encoded and decoded: nothing may change. Class, then value and
/// how often it comes again.
pub fn chunk_round_trip(bytes: &[u8]) {
    let mut input = Input(bytes);
    let class = if input.byte() % 2 == 1 { Class::Cold } else { Class::Hot };
    let mut rows = Vec::new();
    while !input.is_empty() && rows.len() < ROWS_MAX / 2 {
        let (value, again) = (input.long(), usize::from(input.byte()));
        rows.extend(std::iter::repeat_n(value, (1 + again).min(ROWS_MAX / 2 - rows.len())));
    }
    if rows.is_empty() {
        return;
    }
    let values = [
        Values::Integer(rows.iter().map(|row| *row as i64).collect()),
        Values::Float(rows.iter().map(|row| f64::from_bits(*row)).collect()),
        Values::Float(rows.iter().map(|row| *row as i64 as f64 / 1000.0).collect()),
    ];
    let columns = values.into_iter().zip(0..).map(|(values, field)| Column {
        field: FieldId(field),
        values,
        validity: None,
    });
    let columns =
        Columns { timestamps: (0..rows.len() as i64).collect(), columns: columns.collect() };
    let chunk = encode(&columns, class);
    let head = Head::decode(&chunk.head).expect("just encoded");
    for (column, expected) in head.columns().iter().zip(&columns.columns) {
        let mut out = Column::missing(FieldId(9), 0);
        decode_column(column, &chunk.body[column.range()], 0..rows.len(), &mut out)
            .expect("just encoded");
        match (&out.values, &expected.values) {
            (Values::Float(got), Values::Float(expected)) => {
                assert!(got.iter().map(|v| v.to_bits()).eq(expected.iter().map(|v| v.to_bits())));
            }
            (got, expected) => assert_eq!(got, expected),
        }
    }
}

/// Points as the log and the memtable hold them.
pub fn points_payload(bytes: &[u8]) {
    let _ = decode::<true>(bytes, &mut NoSink);
    let _ = decode::<false>(bytes, &mut NoSink);
}

/// Posting lists of the series index, and their merging: an older one, a newer one.
pub fn posting_list(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (older, newer) = (input.part(), input.0);
    if let Ok(list) = postings::decode(older) {
        let _ = list.cardinality();
    }
    let merged = postings::merge(b"key", Some(older), &[newer]);
    let _ = postings::decode(&merged);
}

/// Keys of the index and of chunks, names of keyspaces.
pub fn series_key(bytes: &[u8]) {
    let _ = parse_series_key(bytes);
    let _ = parse_chunk_key(bytes);
    let _ = split_delete(bytes);
    let _ = split_purged(bytes);
    let _ = split_rollup_mark(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Keyspace::parse(text);
    }
}
