//! Integers and floats of any kind, encoded and decoded: nothing may change.
#![no_main]

use firndb_tsdb::chunk::{Class, Head, decode_column, encode};
use firndb_tsdb::model::{Column, Columns, FieldId, Values};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, Vec<(i64, u64, u8)>)| {
    let (is_cold, rows) = input;
    let repeated = rows.iter().flat_map(|row| std::iter::repeat_n(row, 1 + usize::from(row.2)));
    let rows: Vec<_> = repeated.take(4096).collect();
    if rows.is_empty() {
        return;
    }
    let values = [
        Values::Integer(rows.iter().map(|row| row.0).collect()),
        Values::Float(rows.iter().map(|row| f64::from_bits(row.1)).collect()),
        Values::Float(rows.iter().map(|row| row.0 as f64 / 1000.0).collect()),
    ];
    let columns = values.into_iter().zip(0..).map(|(values, field)| Column {
        field: FieldId(field),
        values,
        validity: None,
    });
    let columns =
        Columns { timestamps: (0..rows.len() as i64).collect(), columns: columns.collect() };
    let chunk = encode(&columns, if is_cold { Class::Cold } else { Class::Hot });
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
});
