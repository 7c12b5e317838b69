//! Chunks written once are read for ever: `tests/golden/chunk_1.bin` holds every type, encoding
//! and mask of version 1, and what it decodes to is computed here anew.
//!
//! ```text
//! file := (head len u32 | body len u32 | head | body) x chunks
//! ```
//!
//! Never change the values or the file: a new version or encoding gets a file of its own.
//! `FIRNDB_WRITE_GOLDEN=1 cargo test -p firndb-tsdb golden` writes files that are missing.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

const ROWS: usize = 600;

fn column(field: u32, values: Values, is_valid: Option<fn(usize) -> bool>) -> Column {
    let validity = is_valid.map(|is_valid| {
        let mut bitmap = Bitmap::default();
        (0..ROWS).for_each(|row| bitmap.push(is_valid(row)));
        bitmap
    });
    Column { field: FieldId(field), values, validity }
}

fn texts_of(text: impl FnMut(usize) -> String) -> Values {
    let (mut offsets, mut bytes) = (vec![0], Vec::new());
    for text in (0..ROWS).map(text) {
        bytes.extend_from_slice(text.as_bytes());
        offsets.push(bytes.len() as u32);
    }
    Values::String { offsets, bytes }
}

fn integer_columns(random: &mut Random) -> Vec<Column> {
    let integers = |f: &mut dyn FnMut(usize) -> i64| Values::Integer((0..ROWS).map(f).collect());
    let walk = random.walk(ROWS);
    let extremes = [i64::MIN, i64::MAX, 0, -1, 1];
    let unsigned = (0..ROWS).map(|row| u64::MAX - (row as u64) * (row as u64)).collect();
    let even = |row: usize| row.is_multiple_of(2);
    vec![
        column(0, integers(&mut |row| walk[row] as i64), None),
        column(1, integers(&mut |_| -7), None),
        column(2, integers(&mut |row| 5 - 3 * row as i64), None),
        column(3, integers(&mut |row| [200, 404, 500][row / 97 % 3]), None),
        column(4, integers(&mut |_| random.below(1000) as i64), Some(even)),
        column(5, integers(&mut |row| if row % 199 == 0 { 1 << 40 } else { row as i64 % 7 }), None),
        column(6, integers(&mut |row| extremes[row * row % 5]), Some(|row| row % 150 == 3)),
        column(7, Values::Unsigned(unsigned), Some(|row| row != 77)),
        column(8, integers(&mut |_| 0), Some(|_| false)),
        column(9, integers(&mut |row| [3, 100, 3, 7000][row % 4] + row as i64 / 4), None),
    ]
}

fn float_columns(random: &mut Random) -> Vec<Column> {
    let walk = random.walk(ROWS);
    let rounded = |row: usize| (walk[row] * 100.0).round() / 100.0;
    let odd = [f64::NAN, f64::INFINITY, -0.0, 5e-324, f64::from_bits(0xfff8_0000_dead_beef)];
    let skewed = |random: &mut Random| {
        let square = random.unit() * random.unit();
        square * square * square
    };
    let floats = |f: &mut dyn FnMut(usize) -> f64| Values::Float((0..ROWS).map(f).collect());
    vec![
        column(20, floats(&mut rounded.clone()), None),
        column(21, floats(&mut |row| if row % 90 == 1 { f64::NAN } else { rounded(row) }), None),
        column(22, floats(&mut |row| odd[row * row % 5]), Some(|row| row % 11 != 0)),
        column(23, floats(&mut |_| f64::from_bits(random.next())), None),
        column(24, floats(&mut |row| walk[row]), None),
        column(25, floats(&mut |row| [0.5, 12.25, 0.5, 99.75][row % 4]), None),
        column(27, floats(&mut |_| (skewed(random) * 1e6).round() / 10.0), None),
        column(26, floats(&mut |_| odd[random.below(5) as usize]), None),
    ]
}

fn other_columns(random: &mut Random) -> Vec<Column> {
    let booleans = |f: &mut dyn FnMut(usize) -> bool| Values::Boolean((0..ROWS).map(f).collect());
    vec![
        column(40, booleans(&mut |row| row / 200 == 1), None),
        column(41, booleans(&mut |_| random.once_in(2)), Some(|row| row > 5)),
        column(42, booleans(&mut |row| row % 13 % 3 == 0), None),
        column(
            50,
            texts_of(|row| ["ok", "", "warn", "Fehler \u{e9}\u{1f4a5}"][row % 7 % 4].into()),
            None,
        ),
        column(51, texts_of(|_| format!("{:x}", random.next())), Some(|row| row % 3 != 0)),
        column(52, texts_of(|row| format!("request {row} served in {} ms", row * 37 % 1000)), None),
    ]
}

/// What the chunks of the file hold, with the class that wrote each.
fn expected() -> Vec<(Columns, Class)> {
    let random = &mut Random::new(1);
    let mut columns = integer_columns(random);
    columns.extend(float_columns(random));
    columns.extend(other_columns(random));
    let start = 1_451_606_400_000_000_000;
    let regular = (0..ROWS as i64).map(|row| start + row * 10_000_000_000).collect();
    let jitter = |random: &mut Random| random.below(1000) as i64 * 1_000_000;
    let irregular =
        (0..ROWS as i64).map(|row| start + row * 10_000_000_000 + jitter(random)).collect();
    let one = Columns { timestamps: vec![-1], columns: vec![column(0, Values::Missing(1), None)] };
    let hot = Columns { timestamps: regular, columns: columns.clone() };
    let cold = Columns { timestamps: irregular, columns };
    vec![(hot, Class::Hot), (cold.clone(), Class::Cold), (cold, Class::Hot), (one, Class::Hot)]
}

#[expect(clippy::disallowed_methods, reason = "a test keeps its golden file beside the sources")]
fn golden() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chunk_1.bin");
    if std::env::var_os("FIRNDB_WRITE_GOLDEN").is_some() && !path.exists() {
        let mut file = Vec::new();
        for (columns, class) in expected() {
            let chunk = encode(&columns, class);
            file.extend_from_slice(&(chunk.head.len() as u32).to_le_bytes());
            file.extend_from_slice(&(chunk.body.len() as u32).to_le_bytes());
            file.extend_from_slice(&chunk.head);
            file.extend_from_slice(&chunk.body);
        }
        std::fs::write(&path, file).expect("golden file is written");
    }
    std::fs::read(&path).expect("golden file is read")
}

#[test]
fn chunks_of_version_1_are_read() {
    let file = golden();
    let mut decoder = Decoder::new(&file);
    let (mut encodings, mut masks, mut types) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (columns, class) in expected() {
        let (head_len, body_len) = (decoder.u32().unwrap(), decoder.u32().unwrap());
        let head = Head::decode(decoder.bytes(head_len as usize).unwrap()).unwrap();
        let body = decoder.bytes(body_len as usize).unwrap();
        let (rows, mut timestamps) = (0..head.rows(), Vec::new());
        decode_timestamps(&head, &body[head.timestamps_range()], rows.clone(), &mut timestamps)
            .unwrap();
        assert_eq!(timestamps, columns.timestamps, "{class:?}");
        let present = columns.columns.iter().filter(|c| c.values.field_type().is_some());
        assert_eq!(head.columns().len(), present.clone().count());
        for expected in present {
            let column = head.column(expected.field).unwrap();
            encodings.insert(column.encoding as u8);
            masks.insert(column.mask as u8);
            types.insert(column.field_type as u8);
            let mut out = Column::missing(expected.field, 0);
            decode_column(column, &body[column.range()], rows.clone(), &mut out).unwrap();
            let place = format!("{:?}, {class:?}", expected.field);
            for row in rows.clone() {
                assert_eq!(cell(&out, row), cell(expected, row), "{place}, row {row}");
            }
            assert_eq!(column.count, expected.count(), "{place}");
        }
    }
    decoder.finish().unwrap();
    assert_eq!(encodings, Encoding::ALL.map(|encoding| encoding as u8).into());
    assert_eq!(masks, (0..4).collect());
    assert_eq!(types, (FieldType::Float as u8..=FieldType::String as u8).collect());
}

/// A value as text that tells floats bit by bit.
fn cell(column: &Column, row: usize) -> Option<String> {
    if !column.is_valid(row) {
        return None;
    }
    Some(match column.slice(row..row + 1).values {
        Values::Float(v) => format!("{:016x}", v[0].to_bits()),
        other => format!("{other:?}"),
    })
}
