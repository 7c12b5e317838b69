use proptest::prelude::*;

use super::testing::{Random, columns};
use super::*;
use crate::model::{FieldId, FieldType, TimeRange};

/// Decodes everything; columns in the order of the head.
fn decode(chunk: &EncodedChunk, rows: Range<usize>) -> (Head, Columns) {
    let head = Head::decode(&chunk.head).unwrap();
    assert_eq!(head.body_len(), chunk.body.len());
    let mut timestamps = Vec::new();
    let bytes = &chunk.body[head.timestamps_range()];
    decode_timestamps(&head, bytes, rows.clone(), &mut timestamps).unwrap();
    let columns = head
        .columns()
        .iter()
        .map(|column| {
            let mut out = Column::missing(FieldId(999), 3);
            decode_column(column, &chunk.body[column.range()], rows.clone(), &mut out).unwrap();
            out
        })
        .collect();
    (head, Columns { timestamps, columns })
}

/// Floats as bits, so that NaN equals NaN and 0.0 differs from -0.0; no validity where all rows
/// have a value; defaults in rows without one.
fn normal(columns: &Columns) -> Columns {
    let mut normal = columns.clone();
    normal.columns.retain(|column| column.values.field_type().is_some());
    for column in &mut normal.columns {
        column.validity = column.validity.take().filter(|v| v.count() < v.len());
        let is_valid: Vec<bool> =
            (0..normal.timestamps.len()).map(|r| column.is_valid(r)).collect();
        let valid = |row: usize| is_valid[row];
        column.values = match &column.values {
            Values::Float(v) => {
                let bits = |r: usize| if valid(r) { v[r].to_bits() } else { 0 };
                Values::Unsigned((0..v.len()).map(bits).collect())
            }
            Values::Integer(v) => {
                Values::Integer((0..v.len()).map(|r| if valid(r) { v[r] } else { 0 }).collect())
            }
            Values::Unsigned(v) => {
                Values::Unsigned((0..v.len()).map(|r| if valid(r) { v[r] } else { 0 }).collect())
            }
            Values::Boolean(v) => Values::Boolean((0..v.len()).map(|r| valid(r) && v[r]).collect()),
            Values::String { offsets, bytes } => {
                let texts = Texts { offsets, bytes };
                let text = |r: usize| if valid(r) { texts.get(r) } else { b"".as_slice() };
                strings((0..is_valid.len()).map(text))
            }
            Values::Missing(n) => Values::Missing(*n),
        };
    }
    normal
}

fn strings<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Values {
    let (mut offsets, mut bytes) = (vec![0], Vec::new());
    for text in texts {
        bytes.extend_from_slice(text);
        offsets.push(bytes.len() as u32);
    }
    Values::String { offsets, bytes }
}

fn texts(texts: &[String]) -> Values {
    strings(texts.iter().map(|text| text.as_bytes()))
}

fn round_trip(name: &str, columns: &Columns, class: Class) -> EncodedChunk {
    let chunk = encode(columns, class);
    let (head, decoded) = decode(&chunk, 0..columns.rows());
    assert_eq!(normal(&decoded), normal(columns), "{name}, {class:?}");
    assert_eq!(head.rows(), columns.rows());
    assert_eq!(head.first_timestamp(), columns.timestamps[0]);
    assert_eq!(Some(&head.last_timestamp()), columns.timestamps.last());
    chunk
}

fn floats(random: &mut Random, len: usize, mut value: impl FnMut(&mut Random) -> f64) -> Values {
    Values::Float((0..len).map(|_| value(random)).collect())
}

/// (name, values, encoding when hot, encoding when cold, most bits a value hot, cold)
fn cases() -> Vec<(&'static str, Values, Encoding, Encoding, f64, f64)> {
    use Encoding::*;
    let random = &mut Random::new(5);
    let n = 4096;
    let walk = random.walk(n);
    let integers = |f: &dyn Fn(f64) -> i64| Values::Integer(walk.iter().map(|&v| f(v)).collect());
    let decimals =
        |power: f64| Values::Float(walk.iter().map(|v| (v * power).round() / power).collect());
    let with_nan = (0..n)
        .map(|i| if i % 100 == 5 { f64::NAN } else { (walk[i] * 100.0).round() / 100.0 })
        .collect();
    let odd = [f64::NAN, f64::INFINITY, -0.0, 5e-324, f64::from_bits(0x7ff0_0000_0000_0001)];
    let same = |random: &mut Random| [0.1 + 0.2, 1.0 / 3.0][random.below(50) as usize / 49];
    let hosts: Vec<String> =
        (0..n).map(|_| format!("host-{}.example.org", random.below(50))).collect();
    let lines: Vec<String> =
        (0..n).map(|i| format!("request {i} took {} ms for /a/b/c", random.below(1000))).collect();
    let ids: Vec<String> = (0..n).map(|_| format!("{:016x}", random.next())).collect();
    let unsigned = (0..n).map(|i| u64::MAX - (i as u64) * 1000 - random.below(9)).collect();
    vec![
        ("integer walk", integers(&|v| v as i64), Packed, Pco, 3.1, 2.5),
        ("constant", integers(&|_| 7), Packed, Packed, 0.01, 0.01),
        ("unsigned counter", Values::Unsigned(unsigned), Packed, Packed, 4.4, 4.4),
        ("one decimal", decimals(10.0), Decimal, DecimalVarints, 6.2, 5.6),
        ("two decimals", decimals(100.0), Decimal, Decimal, 9.5, 9.5),
        ("two decimals and NaN", Values::Float(with_nan), Decimal, DecimalPco, 9.6, 9.2),
        ("all digits", Values::Float(walk.clone()), Packed, Pco, 52.0, 50.0),
        ("f32 once", floats(random, n, |r| f64::from(r.unit() as f32)), Packed, Pco, 27.0, 26.0),
        ("two values of many digits", floats(random, n, same), Packed, Pco, 0.4, 0.3),
        ("odd ones", floats(random, n, |r| odd[r.below(5) as usize]), Gorilla, Pco, 39.0, 3.0),
        ("bits at random", floats(random, n, |r| f64::from_bits(r.next())), Raw, Raw, 64.0, 64.0),
        ("status", texts(&hosts), Dictionary, Dictionary, 6.5, 6.5),
        ("log lines", texts(&lines), Text, Text, 50.0, 50.0),
        ("ids", texts(&ids), Text, Text, 90.0, 80.0),
        ("random bits", booleans(n, |_| random.once_in(2)), Bitmap, Bitmap, 1.0, 1.0),
        ("rare bits", booleans(n, |_| random.once_in(500)), Runs, Runs, 0.1, 0.1),
        ("periodic bits", booleans(n, |i| i % 13 % 3 == 0), Runs, BitmapZstd, 0.7, 0.1),
    ]
}

fn booleans(len: usize, value: impl FnMut(usize) -> bool) -> Values {
    Values::Boolean((0..len).map(value).collect())
}

#[test]
fn the_smallest_encoding_is_chosen() {
    for (name, values, hot, cold, hot_max, cold_max) in cases() {
        let columns = columns(values.len(), vec![values]);
        for (class, encoding, bits_max) in
            [(Class::Hot, hot, hot_max), (Class::Cold, cold, cold_max)]
        {
            let chunk = round_trip(name, &columns, class);
            let head = Head::decode(&chunk.head).unwrap();
            let bits = chunk.body.len() as f64 * 8.0 / columns.rows() as f64;
            println!("{name}, {class:?}: {:?}, {bits:.2} bits", head.columns()[0].encoding);
            assert_eq!(head.columns()[0].encoding, encoding, "{name}, {class:?}, {bits:.2} bits");
            assert!(bits <= bits_max, "{name}, {class:?}: {bits:.2} bits");
        }
    }
}

#[test]
fn any_range_of_rows_decodes_alone() {
    let mut random = Random::new(6);
    for (name, values, ..) in cases() {
        let mut columns = columns(values.len(), vec![values.clone(), values]);
        let validity = (0..columns.rows()).fold(Bitmap::default(), |mut bits, _| {
            bits.push(!random.once_in(3));
            bits
        });
        columns.columns[1].validity = Some(validity);
        columns.timestamps.iter_mut().for_each(|t| *t += random.below(1000) as i64);
        for class in [Class::Hot, Class::Cold] {
            let chunk = encode(&columns, class);
            for _ in 0..10 {
                let start = random.below(4097) as usize;
                let end = start + random.below(4097 - start as u64) as usize;
                let (_, decoded) = decode(&chunk, start..end);
                let expected = normal(&columns.slice(start..end));
                assert_eq!(normal(&decoded), expected, "{name}, {class:?}, {start}..{end}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn nothing(_a: u8) {}
}
